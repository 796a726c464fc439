package portable

import (
	"io"

	"github.com/openeas/eascmd/internal/elfpatch"
)

// patch makes the content of a file what an ELF edit makes of it.
func (it *item) patch(p *elfpatch.Patch) {
	open := it.Open
	it.Size = p.Size
	it.redone = true
	it.Same = "" // its other names may be in directories from where it is edited otherwise
	it.Open = func() (io.ReadCloser, error) {
		f, err := open()
		if err != nil {
			return nil, err
		}
		return &reader{p.Reader(f), f}, nil
	}
}

// reader reads something else than what it closes.
type reader struct {
	io.Reader
	io.Closer
}
