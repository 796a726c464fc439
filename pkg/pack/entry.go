package pack

import (
	"bytes"
	"io"
	"io/fs"
	"os"
)

// Entry is a directory, regular file or symbolic link that goes into an
// archive.
type Entry struct {
	Name string      // in the archive: relative, with slashes, without "./" and "..", clean
	Mode fs.FileMode // its type bits (none, fs.ModeDir or fs.ModeSymlink) and permission bits
	Link string      // where a symbolic link leads

	// Size is the length of a regular file's content in bytes, which Open
	// yields. Open may be called more than once, and at the same time for
	// different entries; what it yields must not change meanwhile.
	Size int64
	Open func() (io.ReadCloser, error)

	// Same, where it is not empty, is equal in regular files that are one file
	// under several names (hard links); all but the first of them in the archive
	// become links to it.
	Same string
}

// FileEntry is an entry with the content of a file of this machine.
func FileEntry(name, path string, info fs.FileInfo) Entry {
	return Entry{
		Name: name, Mode: info.Mode().Perm(), Size: info.Size(),
		Open: func() (io.ReadCloser, error) { return os.Open(path) },
	}
}

// DataEntry is an entry with a content of its own.
func DataEntry(name string, mode fs.FileMode, content []byte) Entry {
	return Entry{
		Name: name, Mode: mode.Perm(), Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}
}
