//go:build unix

package rundir

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/cgroup"
)

func open(t *testing.T, path string) *Root {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func list(t *testing.T, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestCloseRemoves(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	d, err := open(t, root).New()
	if err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(d.Path(), "a", "b")
	if err := os.MkdirAll(locked, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(locked, "f"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, root); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestCloseWhenSomebodyElseRemoved(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	d, err := open(t, root).New()
	if err != nil {
		t.Fatal(err)
	}
	group, err := cgroup.Create("eascmd-"+filepath.Base(d.Path()), 64<<20, d.NoteGroup)
	if err != nil && !errors.Is(err, cgroup.ErrUnsupported) {
		t.Fatal(err)
	}
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(group); group != "" && !errors.Is(err, fs.ErrNotExist) {
		cgroup.Remove(group)
		t.Errorf("control group %s: %v", group, err)
	}
}

func TestSweep(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	r := open(t, root)
	alive, err := r.New()
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	dead, err := r.New()
	if err != nil {
		t.Fatal(err)
	}
	dead.lock.Close() // as the kernel does when a process dies
	kept, err := r.NewKept()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "run-without-lock"), 0o700); err != nil {
		t.Fatal(err)
	}
	open(t, root)
	want := []string{filepath.Base(kept), filepath.Base(alive.Path()), filepath.Base(alive.Path()) + ".lock"}
	if d := cmp.Diff(want, list(t, root)); d != "" {
		t.Errorf("after the sweep (-want +got):\n%s", d)
	}
}

func TestLeft(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	r := open(t, root)
	d, err := r.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Leave([]byte("heir")); err != nil {
		t.Fatal(err)
	}
	left := r.Left()
	if len(left) != 1 || left[0].Path != d.Path() || string(left[0].Note) != "heir" {
		t.Fatalf("left: %+v", left)
	}
	if err := left[0].Remove(); err != nil || len(list(t, root)) != 2 {
		t.Errorf("removed from whoever still has it: %v, %v", list(t, root), err)
	}
	if err := d.Drop(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, root)
	if got := list(t, root); len(got) != 2 {
		t.Errorf("after a sweep: %v", got)
	}
	if err := left[0].Remove(); err != nil {
		t.Error(err)
	}
	if got := list(t, root); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestChildHoldsTheDirectory(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	d, err := open(t, root).New()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("/bin/cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	child.ExtraFiles = []*os.File{d.Lock()}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	d.lock.Close()
	open(t, root)
	if got := list(t, root); len(got) != 2 {
		t.Errorf("a child holds the directory, and it holds %v", got)
	}
	in.Close()
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	open(t, root)
	if got := list(t, root); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestConcurrentStarts(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				r, err := Open(root)
				if err != nil {
					t.Error(err)
					return
				}
				d, err := r.New()
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(filepath.Join(d.Path(), "f"), nil, 0o600); err != nil {
					t.Errorf("the directory of a live run is gone: %v", err)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := list(t, root); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{"symbolic link": link, "file": file, "missing parent": filepath.Join(dir, "no", "such")}
	if os.Getuid() == 0 {
		other := filepath.Join(dir, "other")
		if err := os.Mkdir(other, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(other, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		tests["somebody else's"] = other
	}
	for name, path := range tests {
		if _, err := Open(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestOpenMakesPrivate(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	open(t, root)
	info, err := os.Stat(root)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestRuntimePath(t *testing.T) {
	own := t.TempDir()
	short, err := os.MkdirTemp("/tmp", "rt")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	fallback := filepath.Join("/tmp", perUser())
	tests := []struct{ name, env, want string }{
		{"set", short, filepath.Join(short, "eascmd")},
		{"unset", "", fallback},
		{"relative", "run", fallback},
		{"missing", "/no/such/dir", fallback},
		{"too long for sockets", filepath.Join(own, strings.Repeat("x", 80)), fallback},
	}
	if os.Getuid() != 0 {
		tests = append(tests, struct{ name, env, want string }{"somebody else's", "/", fallback})
	}
	for _, tt := range tests {
		t.Setenv("XDG_RUNTIME_DIR", tt.env)
		if got := runtimePath(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestSweepRemovesControlGroup(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	d, err := open(t, root).New()
	if err != nil {
		t.Fatal(err)
	}
	group, err := cgroup.Create("eascmd-"+filepath.Base(d.Path()), 64<<20, d.NoteGroup)
	if errors.Is(err, cgroup.ErrUnsupported) {
		d.Close()
		t.Skipf("missing: a memory control group (%v)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cgroup.Remove(group) })
	sleeper := exec.Command("/bin/sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cgroup.Add(group, sleeper.Process.Pid); err != nil {
		t.Fatal(err)
	}
	d.lock.Close()
	open(t, root)
	if sleeper.Wait() == nil {
		t.Error("a process of the dead run was not ended")
	}
	if _, err := os.Stat(group); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("control group %s: %v", group, err)
	}
	if got := list(t, root); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}
