//go:build unix

package nvidia

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// Usable returns why this process cannot use a device node: it is not there, its
// mode or the rules of the control group forbid it. The node is not opened: to
// open a GPU's may start the GPU.
func Usable(path string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK|unix.W_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "access", Path: path, Err: err}
	}
	return nil
}
