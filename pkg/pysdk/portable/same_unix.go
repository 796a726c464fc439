//go:build unix

package portable

import (
	"fmt"
	"io/fs"
	"syscall"
)

// sameFile names a file that has several names, by what the system knows it
// by; it is empty for others.
func sameFile(info fs.FileInfo) string {
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Nlink > 1 {
		return fmt.Sprintf("%d:%d", s.Dev, s.Ino)
	}
	return ""
}
