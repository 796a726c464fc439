package pack

import (
	"bytes"
	"context"
	"io"

	"github.com/openeas/eascmd/internal/fault"
)

const (
	// feedChunk is the unit in which files are read ahead, and feedChunks how
	// many of them one worker has.
	feedChunk  = 128 << 10
	feedChunks = 6
)

// feed carries the tar of one segment after another to the worker that
// compresses it. The files are read by a goroutine of its own, so that the disk
// and the processor work at the same time.
type feed struct {
	full chan []byte // nil after a segment
	free chan []byte
	err  error // of the segment that has ended; read it after the nil

	cur    []byte
	header bytes.Buffer
}

func newFeed() *feed {
	f := &feed{full: make(chan []byte, feedChunks+1), free: make(chan []byte, feedChunks)}
	for range feedChunks {
		f.free <- make([]byte, 0, feedChunk)
	}
	return f
}

// segment makes the tar of a segment, and then ends it.
func (f *feed) segment(ctx context.Context, records []record, s segment) {
	f.err = nil
	f.cur = <-f.free
	for i := s.first; i < s.last && f.err == nil; i++ {
		if f.err = ctx.Err(); f.err == nil {
			f.err = f.record(ctx, records[i], s)
		}
	}
	if s.end {
		f.bytes(archiveEnd[:])
	}
	f.full <- f.cur
	f.cur = nil
	f.full <- nil
}

func (f *feed) record(ctx context.Context, r record, s segment) error {
	if s.from == 0 {
		f.header.Reset()
		if err := appendHeader(&f.header, r); err != nil {
			return fault.New(fault.Failed, "entry %s cannot be packed: %w", quote(r.Name), err)
		}
		f.bytes(f.header.Bytes())
	}
	if !r.Mode.IsRegular() || r.same != "" {
		return nil
	}
	from, to := int64(0), r.Size
	if r.big() {
		from, to = s.from, s.to
	}
	if err := f.content(ctx, r.Entry, from, to); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fault.New(fault.KindOf(err), "read %s: %w", quote(r.Name), err)
	}
	if to == r.Size {
		f.bytes(zeros[:padding(r.Size)])
	}
	return nil
}

// content reads a part of a file, and at its end makes sure that it is one.
func (f *feed) content(ctx context.Context, e Entry, from, to int64) (err error) {
	if e.Size == 0 {
		return nil
	}
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer func() {
		if cerr := r.Close(); err == nil {
			err = cerr
		}
	}()
	if from > 0 {
		if err := skip(r, from); err != nil {
			return err
		}
	}
	for left := to - from; left > 0; {
		room := f.room()
		if int64(len(room)) > left {
			room = room[:left]
		}
		n, err := r.Read(room)
		f.cur = f.cur[:len(f.cur)+n]
		left -= int64(n)
		switch {
		case left == 0:
		case err == io.EOF:
			return errChanged()
		case err != nil:
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if to == e.Size {
		var more [1]byte
		if n, _ := io.ReadFull(r, more[:]); n > 0 {
			return errChanged()
		}
	}
	return nil
}

// skip moves a reader on.
func skip(r io.Reader, n int64) error {
	if s, ok := r.(io.Seeker); ok {
		_, err := s.Seek(n, io.SeekStart)
		return err
	}
	_, err := io.CopyN(io.Discard, r, n)
	if err == io.EOF {
		return errChanged()
	}
	return err
}

// room is the rest of the current chunk, which is never empty.
func (f *feed) room() []byte {
	if len(f.cur) == cap(f.cur) {
		f.full <- f.cur
		f.cur = (<-f.free)[:0]
	}
	return f.cur[len(f.cur):cap(f.cur)]
}

func (f *feed) bytes(b []byte) {
	for len(b) > 0 {
		n := copy(f.room(), b)
		f.cur = f.cur[:len(f.cur)+n]
		b = b[n:]
	}
}

// drain passes the chunks of one segment to use. After an error of use it goes on to
// the segment's end.
func (f *feed) drain(use func([]byte) error) error {
	var err error
	for b := range f.full {
		if b == nil {
			break
		}
		if err == nil {
			err = use(b)
		}
		f.free <- b[:0]
	}
	if f.err != nil {
		return f.err
	}
	return err
}
