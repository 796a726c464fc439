package doctor

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRoomNoExec(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_NOEXEC, "size=64k"); err != nil {
		t.Skipf("missing: the right to mount (%v)", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	m := &machine{}
	if got := m.room("cache", "XDG_CACHE_HOME", dir, 0, true); got.state != Warning || !strings.Contains(got.found, "noexec") {
		t.Errorf("%+v", got)
	}
	if got := m.room("sockets", "XDG_RUNTIME_DIR", dir, 0, false); got.state != OK {
		t.Errorf("%+v", got)
	}
}
