package portable

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// pycHeader is the length of what stands before the code in a .pyc file: a
// magic number, flags, and either time and size of the source or its hash.
const pycHeader = 16

// unchecked are the flags of bytecode that is taken without a look at its
// source (PEP 552): unpacking sets the times of sources as it likes.
const unchecked = 1

// bytecode keeps the bytecode that belongs to its source, in the form that
// stays valid whatever time the source gets, and leaves the rest out.
func (b *builder) bytecode() {
	tag := fmt.Sprintf(".%s-%d%d.", b.python.Implementation, b.python.Major, b.python.Minor)
	for _, name := range slices.Sorted(maps.Keys(b.items)) {
		dir, base := path.Split(name)
		if path.Base(dir) != "__pycache__" || !strings.HasSuffix(base, ".pyc") {
			continue // without a source, it is a module of its own
		}
		it := b.items[name]
		module, _, _ := strings.Cut(base, ".")
		source := b.items[path.Join(dir, "..", module+".py")]
		if !strings.Contains(base, tag) || source == nil || source.data != nil {
			delete(b.items, name) // another Python's, or its source is gone or rewritten
			continue
		}
		header, ok := validHeader(it, source)
		switch {
		case !ok:
			delete(b.items, name)
			b.leave(name, "bytecode that does not belong to its source")
		case header != nil:
			it.replaceStart(header)
		}
	}
}

// validHeader reports whether bytecode belongs to a source, and returns the
// header that it is to get, where it is not to keep its own.
func validHeader(it, source *item) (header []byte, ok bool) {
	info, err := os.Stat(source.source)
	if err != nil {
		return nil, false
	}
	f, err := os.Open(it.source)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	header = make([]byte, pycHeader)
	if _, err := io.ReadFull(f, header); err != nil {
		return nil, false
	}
	le := binary.LittleEndian
	if le.Uint32(header[4:]) != 0 {
		return nil, true // it has the hash of its source
	}
	if le.Uint32(header[8:]) != uint32(info.ModTime().Unix()) || le.Uint32(header[12:]) != uint32(info.Size()) {
		return nil, false
	}
	le.PutUint32(header[4:], unchecked)
	clear(header[8:])
	return header, true
}

// replaceStart makes the first bytes of a file others.
func (it *item) replaceStart(start []byte) {
	open := it.Open
	it.Same = ""
	it.Open = func() (io.ReadCloser, error) {
		f, err := open()
		if err != nil {
			return nil, err
		}
		if _, err := io.CopyN(io.Discard, f, int64(len(start))); err != nil {
			f.Close()
			return nil, err
		}
		return &reader{io.MultiReader(bytes.NewReader(start), f), f}, nil
	}
}
