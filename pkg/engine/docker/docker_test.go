//go:build unix

package docker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	volumetypes "github.com/docker/docker/api/types/volume"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/pkg/engine"
	"github.com/openeas/eascmd/pkg/engine/enginetest"
)

// daemon connects to a daemon for a test.
func daemon(t *testing.T, host string) *Daemon {
	t.Helper()
	d, err := Connect(context.Background(), ConnectOptions{Host: host}) // also at the end of a test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// state makes the directory that all state of a test on this machine goes to,
// so that its containers are nobody else's, and returns their owner.
func state(t *testing.T) (owner string, leftovers func(*testing.T) []string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "eng") // short: sockets are made below
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	root := rootOf(t)
	if owner, err = ownerOf(root); err != nil {
		t.Fatal(err)
	}
	return owner, func(t *testing.T) []string {
		entries, err := os.ReadDir(root.Path())
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, e := range entries {
			if e.Name() != ownerFile {
				left = append(left, filepath.Join(root.Path(), e.Name()))
			}
		}
		return left
	}
}

// owned lists the containers and volumes of an owner.
func owned(t *testing.T, d *Daemon, owner string) []string {
	t.Helper()
	ours := filters.NewArgs(filters.Arg("label", labelOwner+"="+owner))
	containers, err := d.ContainerList(context.Background(), container.ListOptions{All: true, Filters: ours})
	if err != nil {
		t.Fatal(err)
	}
	volumes, err := d.VolumeList(context.Background(), volumetypes.ListOptions{Filters: ours})
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, c := range containers {
		left = append(left, "container "+strings.Join(c.Names, " "))
	}
	for _, v := range volumes.Volumes {
		left = append(left, "volume "+v.Name)
	}
	return left
}

// suite runs the engines' suite on a daemon.
func suite(t *testing.T, host string, copying bool) {
	program := dockertest.Program(t)
	owner, here := state(t)
	d := daemon(t, host)
	base := dockertest.Base(t)
	enginetest.Run(t, enginetest.Suite{
		New: func(t *testing.T, dir string) engine.Engine {
			return New(Options{
				Daemon: d, Workspace: dir, Executable: program, Copy: copying,
				Base: base,
				Log:  func(text string) { t.Log(text) },
				Warn: func(text, hint string) { t.Logf("warning: %s (%s)", text, hint) },
			})
		},
		Workspace: Workspace,
		FindsHost: true,
		Kill: func(t *testing.T, run engine.Run) {
			r := run.(*Run)
			if err := r.start.d.ContainerKill(t.Context(), r.start.container, "SIGKILL"); err != nil {
				t.Fatal(err)
			}
		},
		Leftovers: func(t *testing.T) []string {
			return append(here(t), owned(t, d, owner)...)
		},
		Settle: func() { d.Client.Close() }, // its idle connections
	})
}

func TestConformance(t *testing.T) {
	for name, copying := range map[string]bool{"mounted": false, "copied": true} {
		t.Run(name, func(t *testing.T) { suite(t, dockertest.Host(t), copying) })
	}
}
