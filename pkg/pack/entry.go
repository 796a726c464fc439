package pack

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// Entry is a directory, regular file or symbolic link that goes into an
// archive.
type Entry struct {
	Name string      // in the archive: relative, with slashes, without "./" and "..", clean
	Mode fs.FileMode // its type bits (none, fs.ModeDir or fs.ModeSymlink) and permission bits
	Link string      // where a symbolic link leads

	// Size is the length of a regular file's content in bytes, which Open
	// yields. Open may be called more than once and from several goroutines;
	// what it yields must be the same each time. Closing it fails where the file
	// changed meanwhile.
	Size int64
	Open func() (io.ReadCloser, error)

	// ModTime is when the content was last changed. It is not written, but
	// Bytecode compares it with the time in a compiled file. A content that is
	// no file of this machine as it stands has none.
	ModTime time.Time

	// Same, where it is not empty, is equal in regular files that are one file
	// under several names (hard links); all but the first of them in the archive
	// become links to it.
	Same string
}

// FileEntry is an entry with the content of a file of this machine, as info
// describes it.
func FileEntry(name, path string, info fs.FileInfo) Entry {
	seen := stateOf(info)
	return Entry{
		Name: name, Mode: info.Mode().Perm(), Size: info.Size(), ModTime: info.ModTime(),
		Open: func() (io.ReadCloser, error) {
			f, err := os.Open(path)
			if err != nil {
				return nil, err
			}
			return &steadyFile{File: f, seen: seen}, nil
		},
	}
}

// state is what tells a file from another one, and from itself after a change.
// There is one for every file of a package, so that it is not all that a
// fs.FileInfo holds.
type state struct {
	file fileID
	size int64
	time int64 // of the last change of its content, in nanoseconds
}

func stateOf(info fs.FileInfo) state {
	return state{identify(info), info.Size(), info.ModTime().UnixNano()}
}

// steadyFile is a file that must stay what it was.
type steadyFile struct {
	*os.File
	seen state
}

// Close fails where the file is no longer the one that was found, or no longer
// of the same length and time.
func (f *steadyFile) Close() error {
	now, err := f.Stat()
	if err == nil && stateOf(now) != f.seen {
		err = errChanged()
	}
	return errors.Join(err, f.File.Close())
}

// errChanged says that a file did not stay what it was.
func errChanged() error {
	return fault.New(fault.Failed, "it was changed while it was read").
		WithHint("let nothing write to the directory while it is packed, and try again")
}

// DataEntry is an entry with a content of its own.
func DataEntry(name string, mode fs.FileMode, content []byte) Entry {
	return Entry{
		Name: name, Mode: mode.Perm(), Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}
}
