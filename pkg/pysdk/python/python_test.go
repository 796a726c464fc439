//go:build unix

package python

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// program writes an executable script and returns its path.
func program(t *testing.T, path, body string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	return path
}

// found returns every interpreter of this machine, or skips.
func found(t *testing.T) []*Interpreter {
	t.Helper()
	list, err := Find(t.Context(), FindOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Skip("missing: a Python 3")
	}
	return list
}

// What each interpreter of this machine says of itself has to be true.
func TestAskReal(t *testing.T) {
	for _, i := range found(t) {
		t.Run(i.Version, func(t *testing.T) {
			if i.Major != 3 || i.Minor < OldestMinor || !strings.HasPrefix(i.Version, i.Name()+".") {
				t.Errorf("version %s, %d.%d", i.Version, i.Major, i.Minor)
			}
			for _, path := range []string{i.Prefix, i.BasePrefix, i.Executable, i.BaseExecutable, i.Stdlib} {
				if _, err := os.Stat(path); err != nil || !filepath.IsAbs(path) {
					t.Errorf("%q: %v", path, err)
				}
			}
			if _, err := os.Stat(filepath.Join(i.Stdlib, "os.py")); err != nil {
				t.Errorf("no standard library in %s", i.Stdlib)
			}
			if slices.Contains(i.SysPath, "") || i.Machine == "" || i.System == "" {
				t.Errorf("%+v", i)
			}
		})
	}
}

// Nothing that the caller has set or lies about may change an answer.
func TestAskIsolated(t *testing.T) {
	i := found(t)[0]
	dir := t.TempDir()
	for _, name := range []string{"sys.py", "json.py", "os.py", "sitecustomize.py", "sysconfig.py"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("raise SystemExit('not mine')\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for name, value := range map[string]string{"PYTHONHOME": dir, "PYTHONPATH": dir, "PYTHONSTARTUP": "x", "PYTHONUSERBASE": dir, "PYTHONIOENCODING": "utf-16", "PYTHONVERBOSE": "1"} {
		t.Setenv(name, value)
	}
	got, err := Ask(t.Context(), i.Executable)
	if err != nil {
		t.Fatal(err)
	}
	want := *i
	want.Path = got.Path
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What a .pth file prints does not stand in the way of the answer.
func TestAskPrintingSite(t *testing.T) {
	i := found(t)[0]
	path := program(t, filepath.Join(t.TempDir(), "python3"), `echo hello; exec "`+i.Executable+`" "$@"`)
	if _, err := Ask(t.Context(), path); err != nil {
		t.Error(err)
	}
}

func TestAskBroken(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	strange := program(t, filepath.Join(dir, "interpreter"), "")
	if err := os.WriteFile(strange, []byte("#!/no/such/python\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path, want string
	}{
		{"missing", filepath.Join(dir, "none"), "no such file"},
		{"directory", dir, "it is a directory"},
		{"not executable", plain, "permission denied"},
		{"first line", strange, "no such file"},
		{"silent", program(t, filepath.Join(dir, "silent"), "exit 0"), "it is no Python: it prints nothing"},
		{"chatty", program(t, filepath.Join(dir, "chatty"), "echo Lua 5.4"), `it is no Python: it prints "Lua 5.4"`},
		{"failing", program(t, filepath.Join(dir, "failing"), "echo Traceback >&2; echo ImportError: no _struct >&2; exit 3"), "exit status 3: ImportError: no _struct"},
		{"killed", program(t, filepath.Join(dir, "killed"), "kill -SEGV $$"), "signal: segmentation fault"},
		{"damaged", program(t, filepath.Join(dir, "damaged"), `printf '\036eascmd:{"ver'`), "its answer cannot be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Ask(t.Context(), test.path)
			if fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.path) {
				t.Errorf("got %v, want a fault of kind Missing with %q", err, test.want)
			}
		})
	}
}

func TestAskPython2(t *testing.T) {
	home, _ := os.UserHomeDir()
	paths, _ := filepath.Glob(filepath.Join(home, ".pyenv/versions/2.*/bin/python"))
	for path := range ThisMachine().Look("python2") {
		paths = append(paths, path)
	}
	for _, path := range paths {
		_, err := Ask(t.Context(), path)
		if old, ok := errors.AsType[*OldError](err); ok && strings.HasPrefix(old.Version, "2.") {
			return
		}
	}
	t.Skip("missing: a Python 2")
}

// An interpreter that hangs is ended with what it has started.
func TestAskHangs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	fifo := filepath.Join(t.TempDir(), "begun")
	path := program(t, filepath.Join(t.TempDir(), "hangs"), "touch "+fifo+"; sleep 1000 | sleep 1000")
	done := make(chan error, 1)
	go func() {
		_, err := Ask(ctx, path)
		done <- err
	}()
	for {
		if _, err := os.Stat(fifo); err == nil {
			break
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestEnviron(t *testing.T) {
	got := Environ([]string{"PATH=/bin", "PYTHONHOME=/x", "PYTHONPATH=/y", "PYENV_VERSION=3.9", "__PYVENV_LAUNCHER__=/z", "A=PYTHONPATH=b"})
	if diff := cmp.Diff([]string{"PATH=/bin", "PYENV_VERSION=3.9", "A=PYTHONPATH=b"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
