package elfpatch

import (
	"io"
	"slices"
)

// Patch is a change of a file: bytes that are overwritten, and bytes behind
// its end.
type Patch struct {
	Size   int64 // of the changed file
	writes []write
	from   int64 // the size of the file before
}

// write is a run of bytes with its place.
type write struct {
	off  int64
	data []byte
}

func (p *Patch) put(off int64, data []byte) {
	p.writes = append(p.writes, write{off, data})
	p.Size = max(p.Size, off+int64(len(data)))
}

// Reader reads the changed file, given the file. What lies between the end of
// the file and what was added is zero.
func (p *Patch) Reader(file io.Reader) io.Reader {
	return &patched{p: p, file: file}
}

type patched struct {
	p    *Patch
	file io.Reader
	off  int64
}

func (r *patched) Read(b []byte) (int, error) {
	if r.off >= r.p.Size {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), r.p.Size-r.off)]
	n := len(b)
	if r.off < r.p.from {
		var err error
		b = b[:min(int64(len(b)), r.p.from-r.off)]
		n, err = r.file.Read(b)
		if err == io.EOF && n == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return n, err
		}
	} else {
		clear(b)
	}
	for _, w := range r.p.writes {
		from, to := max(w.off, r.off), min(w.off+int64(len(w.data)), r.off+int64(n))
		if from < to {
			copy(b[from-r.off:to-r.off], w.data[from-w.off:])
		}
	}
	r.off += int64(n)
	return n, nil
}

// Apply returns the changed content of a file.
func (p *Patch) Apply(file []byte) []byte {
	out := slices.Grow(slices.Clone(file), int(p.Size)-len(file))[:p.Size]
	clear(out[len(file):])
	for _, w := range p.writes {
		copy(out[w.off:], w.data)
	}
	return out
}
