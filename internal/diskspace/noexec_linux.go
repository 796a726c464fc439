package diskspace

import "golang.org/x/sys/unix"

// NoExec reports whether the file system that holds path is mounted so that
// nothing on it can be executed or loaded. What cannot be known is no.
func NoExec(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_NOEXEC != 0
}
