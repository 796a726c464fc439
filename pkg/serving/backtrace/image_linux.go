package backtrace

import (
	"errors"
	"os"
	"syscall"
)

// image is a file whose parts are read as byte slices. On Linux they are
// mapped, so that a library of many hundred megabytes costs only the pages
// that are looked at. The caller must have debug.SetPanicOnFault on: a file
// that shrinks under us is a fault.
type image struct {
	file *os.File
	maps [][]byte
}

// bytes returns n bytes of the file from off, private and writable. They stay
// valid until close.
func (im *image) bytes(off, n int64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	info, err := im.file.Stat()
	if err != nil {
		return nil, err
	}
	if off < 0 || n < 0 || off > info.Size() || n > info.Size()-off {
		return nil, errors.New("section lies outside the file")
	}
	page := int64(os.Getpagesize())
	skip := off % page
	m, err := syscall.Mmap(int(im.file.Fd()), off-skip, int(n+skip), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	im.maps = append(im.maps, m)
	return m[skip : skip+n : skip+n], nil
}

func (im *image) close() {
	for _, m := range im.maps {
		_ = syscall.Munmap(m)
	}
	im.maps = nil
	_ = im.file.Close()
}

// sameFile says whether the mapping can be of the file at its path now: a
// rebuilt library has another inode. Where the devices differ the inodes
// cannot be compared (overlay and btrfs show a device of their own in maps).
func sameFile(info os.FileInfo, m *Mapping) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || m.Inode == 0 {
		return true
	}
	dev := uint64(st.Dev)
	major := (dev>>8)&0xfff | (dev>>32)&^0xfff
	minor := dev&0xff | (dev>>12)&^0xff
	if m.Device != deviceName(major, minor) {
		return true
	}
	return st.Ino == m.Inode
}
