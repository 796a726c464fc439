package packing

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
)

// Where programs may not run the package cannot be tried, which is said before
// it is written.
func TestNoExec(t *testing.T) {
	dir := project(t, environment(t), map[string]string{"app.py": "import json\n"})
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_NOEXEC, ""); err != nil {
		t.Skip("missing: permission to mount a disk: " + err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	_, err := Make(t.Context(), Options{Dir: dir, File: filepath.Join(disk, "p.tar.gz")})
	if fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), "cannot be tried in "+disk) || !strings.Contains(fault.HintOf(err), "--no-check") {
		t.Errorf("got %v\nhint: %s", err, fault.HintOf(err))
	}
	list, err := os.ReadDir(disk)
	if err != nil || len(list) > 0 {
		t.Errorf("left: %v, %v", list, err)
	}
	if _, err := Make(t.Context(), Options{Dir: dir, File: filepath.Join(disk, "p.tar.gz"), Level: 1, NoCheck: true}); err != nil {
		t.Errorf("without the check: %v", err)
	}
}
