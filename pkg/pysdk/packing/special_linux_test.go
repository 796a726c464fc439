package packing

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
)

// What is no file is neither replaced by a package nor read, which may never end.
func TestNoFiles(t *testing.T) {
	fifo := func(name string) {
		if err := syscall.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := project(t, "", map[string]string{"app.py": ""})
	place := filepath.Join(t.TempDir(), "p.tar.gz")
	fifo(place)
	_, err := Make(t.Context(), Options{Dir: dir, File: place, Replace: true})
	if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "it is no file") {
		t.Errorf("in the place of a FIFO: %v", err)
	}
	if info, err := os.Lstat(place); err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		t.Errorf("the FIFO is gone: %v, %v", info, err)
	}

	ignore := filepath.Join(dir, pack.IgnoreFile)
	fifo(ignore)
	if _, err := Make(t.Context(), Options{Dir: dir}); fault.KindOf(err) != fault.Description || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("%s is a FIFO: %v", pack.IgnoreFile, err)
	}
	if err := errors.Join(os.Remove(ignore), os.Symlink("/dev/zero", ignore)); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(t.Context(), Options{Dir: dir}); fault.KindOf(err) != fault.Description || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("%s is a device: %v", pack.IgnoreFile, err)
	}
}
