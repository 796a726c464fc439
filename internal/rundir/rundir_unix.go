//go:build unix

package rundir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

const checksModes = true

// longest is how long a root's path may be: below it come a run's directory,
// the runtime's own, and a socket, in a path of under 100 bytes.
const longest = 50

func runtimePath() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && len(dir)+len("/eascmd") <= longest {
		// Under sudo or su the variable may still name another user's.
		if info, err := os.Stat(dir); err == nil && info.IsDir() && ownedByUs(info) {
			return filepath.Join(dir, "eascmd")
		}
	}
	return filepath.Join("/tmp", perUser())
}

func ownedByUs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}

// tryLock takes the lock of an open file, which its duplicates share, unless
// somebody else has it.
func tryLock(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, err
		}
	}
}
