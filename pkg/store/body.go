package store

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Body is what Put or PutPart sends: a section of a file. What goes out is read
// from Reader, which is counted and bounded. Reading the section itself, for a
// checksum that has to go ahead, is neither.
type Body struct {
	*io.SectionReader

	limit func(ctx context.Context, n int) error // waits until n bytes may go out
	sent  func(position int64)                   // told how much of the section has gone out
}

// NewBody returns a section of a file that goes out unbounded and uncounted.
func NewBody(file io.ReaderAt, offset, size int64) *Body {
	return &Body{SectionReader: io.NewSectionReader(file, offset, size)}
}

// Reader reads the section from its start, for one request that sends it. Going
// back to send it once more counts it once.
func (b *Body) Reader(ctx context.Context) io.ReadSeeker {
	return &bodyReader{ctx: ctx, body: b, section: io.NewSectionReader(b.SectionReader, 0, b.Size())}
}

// bodyPiece bounds how much goes out at once, so that a bounded rate is even.
const bodyPiece = 64 << 10

type bodyReader struct {
	ctx     context.Context
	body    *Body
	section *io.SectionReader
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if len(p) > bodyPiece {
		p = p[:bodyPiece]
	}
	n, err := r.section.Read(p)
	if n > 0 && r.body.limit != nil {
		if err := r.body.limit(r.ctx, n); err != nil {
			return 0, err
		}
	}
	r.tell()
	if errors.Is(err, io.EOF) && r.position() < r.section.Size() {
		return n, fmt.Errorf("%w: it is shorter than it was", errFileChanged)
	}
	return n, err
}

func (r *bodyReader) Seek(offset int64, whence int) (int64, error) {
	n, err := r.section.Seek(offset, whence)
	r.tell()
	return n, err
}

func (r *bodyReader) position() int64 {
	n, _ := r.section.Seek(0, io.SeekCurrent)
	return n
}

func (r *bodyReader) tell() {
	if r.body.sent != nil {
		r.body.sent(r.position())
	}
}
