package source

import (
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// stampOf returns what changes with every change of a file, also with one that
// sets its times back, and when that was. It is empty where it is not known.
func stampOf(info fs.FileInfo) (stamp string, changed time.Time) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", time.Time{}
	}
	changed = time.Unix(s.Ctim.Unix())
	return fmt.Sprintf("%d.%d.%d", s.Dev, s.Ino, changed.UnixNano()), changed
}
