package rundir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// checksModes is off: Windows has no permission bits to check.
const checksModes = false

func runtimePath() string { return filepath.Join(os.TempDir(), perUser()) }

// ownedByUs is true: the temporary directory is inside the user's profile.
func ownedByUs(fs.FileInfo) bool { return true }

// tryLock takes the lock of an open file unless somebody else has it.
func tryLock(f *os.File) (bool, error) {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}
