//go:build unix

package pack

import (
	"os"
	"syscall"
)

// blocks returns how much room a file takes.
func blocks(name string) (int64, bool) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int64(st.Blocks) * 512, true
}
