package pysdk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// smallDisk mounts a file system of some MiB, or skips.
func smallDisk(t *testing.T, flags uintptr, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Skipf("missing: the right to mount a file system (%v)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A disk that is full in the middle is named, and nothing is left on it.
func TestFullDisk(t *testing.T) {
	i := interpreter(t, "")
	for _, test := range []struct {
		name    string
		backend Backend
		options string
	}{
		{"copy", Copy, "size=16m"},
		{"pip", Venv, "size=4m"},
		{"no room for files", Copy, "nr_inodes=200"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(smallDisk(t, 0, test.options), "project")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "app.py"), "mine", 0o640)
			before := listing(t, dir)
			_, err := Create(t.Context(), Options{Dir: dir, Version: i.Version, Backend: test.backend, SDK: bundled(t), Log: said(t)})
			if fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), "no space left") || fault.HintOf(err) == "" {
				t.Errorf("got %v", err)
			}
			if test.backend == Copy && !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("the cause is lost: %v", err)
			}
			if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
				t.Errorf("-before +after:\n%s", diff)
			}
		})
	}
}

// On a disk on which programs may not run that is said before anything is made.
func TestNoExecDisk(t *testing.T) {
	dir := smallDisk(t, syscall.MS_NOEXEC, "")
	step := func(text string) { t.Errorf("step %q", text) }
	_, err := Create(t.Context(), Options{Dir: dir, Version: interpreter(t, "").Version, Step: step})
	if fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), "does not let programs run (noexec)") {
		t.Errorf("got %v", err)
	}
	if left := listing(t, dir); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}
