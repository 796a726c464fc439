//go:build unix

package docker

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/docker/docker/api/types/container"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/engine/enginetest"
	"github.com/openeas/eascmd/pkg/runplan"
)

// leaving starts a service that may be left to itself, with its workspace in a
// directory that goes with it.
func leaving(t *testing.T, d *Daemon, change func(*Options)) (*service, *rundir.Dir) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	root, err := rundir.Temporary()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := root.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	plan, made := enginetest.Plan(t, Workspace)
	workspace := filepath.Join(dir.Path(), "workspace")
	if err := os.CopyFS(workspace, os.DirFS(made)); err != nil {
		t.Fatal(err)
	}
	s, err := servePlan(t, d, plan, workspace, func(o *Options, _ *runplan.Plan) {
		o.Kept = true
		if change != nil {
			change(o)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func wantGone(t *testing.T, dir *rundir.Dir) {
	t.Helper()
	for _, path := range []string{dir.Path(), dir.Path() + ".lock"} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left behind (%v)", path, err)
		}
	}
}

// A service that was started to stay goes on when who started it has left. In
// another login, which has another directory of runs, it is still its owner's.
func TestLeave(t *testing.T) {
	for name, copying := range map[string]bool{"mounted": false, "copied": true} {
		t.Run(name, func(t *testing.T) {
			owner, _ := state(t)
			d := daemon(t, dockertest.Host(t))
			s, dir := leaving(t, d, func(o *Options) { o.Copy = copying })
			s.ready(t)
			endpoint := s.Endpoint()
			if err := s.Leave(dir); err != nil {
				t.Fatal(err)
			}
			s.want(t, "echo on", 200, "on")
			mustServe(t, d, nil).stop(t) // removes what is dead
			state(t)                     // another login
			mustServe(t, d, nil).stop(t)
			list, err := List(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(list, func(one Service) bool { return one.Container == s.Container() })
			if i < 0 || !list[i].Kept || !list[i].Ours || list[i].Endpoint != endpoint || list[i].Service != "probe" || list[i].State != "running" {
				t.Fatalf("listed: %+v", list)
			}
			s.want(t, "echo on", 200, "on")
			s.want(t, "read ../../model/weights", 200, "0.5")
			if _, err := Stop(t.Context(), d, "probe"); err != nil {
				t.Fatal(err)
			}
			if left := owned(t, d, owner); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			wantGone(t, dir)
		})
	}
}

// Somebody removes the container of a service that was left: the next run
// removes its workspace.
func TestLeftWorkspaceGoesWithTheContainer(t *testing.T) {
	state(t)
	d := daemon(t, dockertest.Host(t))
	s, dir := leaving(t, d, nil)
	s.ready(t)
	if err := s.Leave(dir); err != nil {
		t.Fatal(err)
	}
	mustServe(t, d, nil).stop(t)
	if _, err := os.Stat(dir.Path()); err != nil {
		t.Fatalf("the workspace of a service that goes on: %v", err)
	}
	if err := d.removeContainer(s.start.container, removeTime); err != nil {
		t.Fatal(err)
	}
	mustServe(t, d, nil).stop(t)
	wantGone(t, dir)
}

// A service that was to be left, and whose starter was killed before, ends.
func TestKilledBeforeItLeft(t *testing.T) {
	owner, _ := state(t)
	d := daemon(t, dockertest.Host(t))
	s, _ := leaving(t, d, nil)
	s.ready(t)
	limited, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	gone, failed := d.ContainerWait(limited, s.start.container, container.WaitConditionRemoved)
	s.stream.Close() // as the kernel does
	select {
	case <-gone:
	case err := <-failed:
		t.Errorf("it goes on: %v", err)
	}
	s.Close()
	if left := owned(t, d, owner); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
