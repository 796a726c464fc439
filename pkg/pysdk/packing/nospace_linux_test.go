package packing

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// No room is said in words, and what was written goes away.
func TestNoSpace(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Skip("missing: permission to mount a small disk: " + err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	dir := project(t, "", map[string]string{"app.py": ""})
	noise(t, filepath.Join(dir, "model.bin"), 8<<20)
	_, err := Make(t.Context(), Options{Dir: dir, File: filepath.Join(disk, "p.tar.gz")})
	if fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), "no space left") || !strings.Contains(fault.HintOf(err), "make room on the disk of "+disk) {
		t.Errorf("got %v\nhint: %s", err, fault.HintOf(err))
	}
	list, err := os.ReadDir(disk)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(0, len(list)); diff != "" {
		t.Errorf("left: %v", list)
	}
}
