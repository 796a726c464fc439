//go:build linux || darwin

package diskspace

import "golang.org/x/sys/unix"

// Of returns the room of the file system that holds path, which must exist.
func Of(path string) (Space, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return Space{}, err
		}
		break
	}
	size := uint64(st.Bsize)
	return Space{Free: uint64(st.Bavail) * size, Total: uint64(st.Blocks) * size}, nil
}
