package store

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Body is what Put or PutPart sends: a section of a file. What goes out is read
// from Reader, which is counted and bounded. Reading the section itself, for a
// checksum that has to go ahead, is neither.
type Body struct {
	*io.SectionReader

	limit func(ctx context.Context, n int) error // waits until n bytes may go out
	sent  func(position int64)                   // told how much of the section has gone out
	crc   uint32                                 // CRC-32C of what went out last, once all of it has
}

// NewBody returns a section of a file that goes out unbounded and uncounted.
func NewBody(file io.ReaderAt, offset, size int64) *Body {
	return &Body{SectionReader: io.NewSectionReader(file, offset, size)}
}

// Reader reads the section from its start, for one request that sends it. Going
// back to send it once more counts it once. Only one Reader is used at a time.
func (b *Body) Reader(ctx context.Context) io.ReadSeeker {
	return &bodyReader{ctx: ctx, body: b, section: io.NewSectionReader(b.SectionReader, 0, b.Size())}
}

// bodyPiece bounds how much goes out at once, so that a bounded rate is even.
const bodyPiece = 64 << 10

// castagnoli is computed by the processor itself, at next to no cost.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type bodyReader struct {
	ctx      context.Context
	body     *Body
	section  *io.SectionReader
	position int64
	crc      uint32 // of what is before position; about nothing after a leap
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	if len(p) > bodyPiece {
		p = p[:bodyPiece]
	}
	n, err := r.section.Read(p)
	if n > 0 && r.body.limit != nil {
		if err := r.body.limit(r.ctx, n); err != nil {
			return 0, err
		}
	}
	r.position += int64(n)
	r.crc = crc32.Update(r.crc, castagnoli, p[:n])
	if r.position == r.body.Size() {
		r.body.crc = r.crc
	}
	r.tell()
	if errors.Is(err, io.EOF) && r.position < r.body.Size() {
		return n, fmt.Errorf("%w: it is shorter than it was", errFileChanged)
	}
	return n, err
}

func (r *bodyReader) Seek(offset int64, whence int) (int64, error) {
	n, err := r.section.Seek(offset, whence)
	if err == nil && n != r.position {
		r.position, r.crc = n, 0
	}
	r.tell()
	return n, err
}

func (r *bodyReader) tell() {
	if r.body.sent != nil {
		r.body.sent(r.position)
	}
}
