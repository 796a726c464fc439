//go:build unix

package pack

import (
	"fmt"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// readable tells why a file cannot be read. It does not open it, which takes
// longer.
func readable(name string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, name, unix.R_OK, 0); err != nil {
		return &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return nil
}

// fileID tells a file from all others.
type fileID struct{ device, inode uint64 }

func identify(info fs.FileInfo) fileID {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}
	}
	return fileID{uint64(st.Dev), st.Ino}
}

// sameFile identifies a file that has several names; it is empty for others.
func sameFile(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 {
		return ""
	}
	id := identify(info)
	return fmt.Sprintf("%d:%d", id.device, id.inode)
}
