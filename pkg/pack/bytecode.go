package pack

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/openeas/eascmd/internal/fault"
)

// Bytecode makes what Python compiled hold wherever and whenever it is
// unpacked.
//
// A file in a __pycache__ says which source it was made from, by time and
// length or by a hash. One that is right says afterwards, in the form of PEP
// 552, that nothing needs to be compared (before Python 3.7, which does not know
// that, it names the time that every source in a package has). One whose
// source is gone, or is not the one it was made from, is left out; so is
// everything compiled from a source that is not packed as it is on disk, such
// as one in which paths were replaced. Other entries stay as they are.
func Bytecode(ctx context.Context, entries []Entry) ([]Entry, []LeftOut, error) {
	sources := make(map[string]*Entry)
	for i, e := range entries {
		if strings.HasSuffix(e.Name, ".py") && e.Mode.IsRegular() {
			sources[e.Name] = &entries[i]
		}
	}
	whys := make([]string, len(entries))
	changed := make([]Entry, len(entries))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * runtime.GOMAXPROCS(0))
	const batch = 256
	for from := 0; from < len(entries); from += batch {
		group.Go(func() error {
			for i := from; i < min(from+batch, len(entries)); i++ {
				if err := ctx.Err(); err != nil {
					return err
				}
				e := entries[i]
				source, ok := sourceOf(e)
				if !ok {
					changed[i] = e
					continue
				}
				var err error
				if changed[i], whys[i], err = compiled(e, sources[source]); err != nil {
					return fault.New(fault.KindOf(err), "read %s: %w", quote(e.Name), err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		if errors.Is(err, context.Canceled) {
			err = fault.New(fault.Interrupted, "%w", err)
		}
		return nil, nil, err
	}
	kept := changed[:0]
	var left []LeftOut
	for i, e := range changed {
		if whys[i] != "" {
			left = append(left, LeftOut{Name: entries[i].Name, Why: whys[i]})
			continue
		}
		kept = append(kept, e)
	}
	return kept, left, nil
}

// sourceOf returns the name of the source that a compiled file in a __pycache__
// was made from: x.py for __pycache__/x.cpython-311.opt-1.pyc.
func sourceOf(e Entry) (string, bool) {
	dir, base := path.Split(e.Name)
	above, ok := strings.CutSuffix(dir, "__pycache__/")
	if !ok || above != "" && !strings.HasSuffix(above, "/") || !e.Mode.IsRegular() {
		return "", false
	}
	stem, ok := strings.CutSuffix(base, ".pyc")
	if !ok {
		return "", false
	}
	// The module's name has no dot where Python could import it.
	module, _, _ := strings.Cut(stem, ".")
	return above + module + ".py", true
}

const (
	// magicPEP552 is the first version of compiled files whose header has the
	// flags of PEP 552; from magicPython2 on they are those of Python 2.
	magicPEP552  = 3392
	magicPython2 = 20000

	flagHash    = 1 << 0 // the header has a hash of the source instead of its time
	flagChecked = 1 << 1 // which is to be compared

	longHeader  = 16 // magic, flags, then time and length or hash
	shortHeader = 12 // magic, time, length
)

// compiled returns a compiled file with its new header, or why it is left out.
func compiled(e Entry, source *Entry) (_ Entry, why string, err error) {
	if source == nil {
		return e, "its source is not packed", nil
	}
	header, err := beginning(e, longHeader)
	if err != nil {
		return e, "", err
	}
	le := binary.LittleEndian
	if len(header) < longHeader || header[2] != '\r' || header[3] != '\n' || le.Uint16(header) >= magicPython2 {
		return e, "it is no compiled file of Python 3", nil
	}
	const stale = "it is older than its source"
	if le.Uint16(header) < magicPEP552 {
		if !madeFrom(header[4:shortHeader], source) {
			return e, stale, nil
		}
		le.PutUint32(header[4:], uint32(Epoch.Unix()))
		return withHeader(e, header[:shortHeader]), "", nil
	}
	flags := le.Uint32(header[4:])
	switch {
	case flags&^(flagHash|flagChecked) != 0:
		return e, "its header is of an unknown form", nil
	case flags&flagHash == 0:
		if !madeFrom(header[8:], source) {
			return e, stale, nil
		}
	default:
		content, err := whole(*source)
		if err != nil {
			return e, "", err
		}
		if le.Uint64(header[8:]) != sourceHash(header, content) {
			return e, stale, nil
		}
	}
	le.PutUint32(header[4:], flagHash)
	return withHash(e, header, *source), "", nil
}

// madeFrom compares time and length in a header with those of the source.
func madeFrom(header []byte, source *Entry) bool {
	return !source.ModTime.IsZero() &&
		binary.LittleEndian.Uint32(header) == uint32(source.ModTime.Unix()) &&
		binary.LittleEndian.Uint32(header[4:]) == uint32(source.Size)
}

// beginning reads up to n bytes of an entry's content.
func beginning(e Entry, n int64) ([]byte, error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, n))
	return b, errors.Join(err, r.Close())
}

// whole reads an entry's content.
func whole(e Entry) ([]byte, error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	b := make([]byte, e.Size)
	_, err = io.ReadFull(r, b)
	return b, errors.Join(truncation(err), r.Close())
}

// withHeader returns an entry whose content begins with something else.
func withHeader(e Entry, header []byte) Entry {
	open := e.Open
	e.Open = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		if err := skip(r, int64(len(header))); err != nil {
			return nil, errors.Join(err, r.Close())
		}
		return &headed{header: header, ReadCloser: r}, nil
	}
	return e
}

// withHash is withHeader with the hash of the source in the header. The source
// is read when the entry is, and not earlier, since it then has to be read from
// the disk anyway.
func withHash(e Entry, header []byte, source Entry) Entry {
	open := e.Open
	e.Open = func() (io.ReadCloser, error) {
		content, err := whole(source)
		if err != nil {
			return nil, err
		}
		hashed := binary.LittleEndian.AppendUint64(header[:8:8], sourceHash(header, content))
		return withHeader(Entry{Open: open}, hashed).Open()
	}
	return e
}

// headed is a content whose header was replaced.
type headed struct {
	header []byte // what has not been read of it
	io.ReadCloser
}

func (h *headed) Read(p []byte) (int, error) {
	if len(h.header) > 0 {
		n := copy(p, h.header)
		h.header = h.header[n:]
		return n, nil
	}
	return h.ReadCloser.Read(p)
}
