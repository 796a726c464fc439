//go:build unix

package nvidia

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// access returns why this process may not read and write a file. A device node
// is not opened for that: to open a GPU's may start the GPU.
func access(path string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK|unix.W_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "access", Path: path, Err: err}
	}
	return nil
}
