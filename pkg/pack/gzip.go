package pack

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
)

// errAfterGzip says that something that is no gzip member follows one.
var errAfterGzip = errors.New("the gzip data is followed by something else")

// gzipReader reads a chain of gzip members, which is how packages are written.
// gzip.Reader could do that alone, but takes whatever follows the last member
// for a damaged one. Tapes and some uploads leave zeros there, which are
// skipped; anything else is errAfterGzip once all members have been read, so
// that a chain whose next header is damaged does not pass for its end.
//
// It never reads ahead of br, so that what br has left tells exactly how much
// compressed data the decompressed so far has taken.
type gzipReader struct {
	br  *bufio.Reader
	z   *gzip.Reader
	err error
}

func newGzipReader(br *bufio.Reader) (*gzipReader, error) {
	z, err := gzip.NewReader(br)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &gzipReader{br: br, z: z}, nil
}

func (g *gzipReader) Read(p []byte) (int, error) {
	for g.err == nil {
		n, err := g.z.Read(p)
		if err == io.EOF {
			err = g.next()
		}
		g.err = err
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, g.err
}

// next moves on to the next member.
func (g *gzipReader) next() error {
	magic, err := g.br.Peek(2)
	if len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		if err := g.z.Reset(g.br); err != nil {
			return unexpected(err)
		}
		g.z.Multistream(false)
		return nil
	}
	if err != nil && err != io.EOF {
		return err
	}
	for {
		b, err := g.br.ReadByte()
		if err != nil {
			return err // io.EOF after nothing but zeros: the end
		}
		if b != 0 {
			return errAfterGzip
		}
	}
}

// unexpected turns an end of file inside of something into what it is.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// truncation says in words what an end of file too early means.
func truncation(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errTruncated
	}
	return err
}

var errTruncated = errors.New("the data ends too early")
