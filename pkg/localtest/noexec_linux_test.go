package localtest

import (
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
	"golang.org/x/sys/unix"
)

func TestExecutable(t *testing.T) {
	dir := t.TempDir()
	if err := executable(runplan.Processor{Entry: dir}); err != nil {
		t.Skipf("missing: a temporary directory that is not mounted noexec (%v)", err)
	}
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_NOEXEC, "size=64k"); err != nil {
		t.Skipf("missing: the right to mount (%v)", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if err := executable(runplan.Processor{Entry: dir}); fault.KindOf(err) != fault.Missing || fault.HintOf(err) == "" {
		t.Errorf("on a file system mounted noexec: %v", err)
	}
}
