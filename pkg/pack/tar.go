package pack

import (
	"archive/tar"
	"bufio"
	"compress/bzip2"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"

	"github.com/openeas/eascmd/internal/fault"
)

// afterEnd is how much may follow the end of a tar: the rest of its last
// record, whose size the writer chose.
const afterEnd = 64 << 20

// tar unpacks a tar, compressed or not.
func (x *extraction) tar() error {
	in := &meter{ctx: x.ctx, r: x.archive}
	br := bufio.NewReaderSize(in, chunk)
	var stream io.Reader
	switch x.format {
	case Tar:
		stream = br
	case TarGzip:
		z, err := newGzipReader(br)
		if err != nil {
			return damaged("gzip", err)
		}
		stream = z
	case TarBzip2:
		stream = bzip2.NewReader(br)
	}
	if x.format != Tar {
		// Counted where it is decompressed, so that reading ahead, which may
		// be a megabyte of zeros, does not blur it.
		ahead := newReadAhead(&ratioMeter{ctx: x.ctx, r: stream, limits: x.limits, compressed: func() int64 {
			return in.n.Load() - int64(br.Buffered())
		}})
		defer ahead.Close()
		stream = ahead
	}

	read := func() error { x.report(in.n.Load()); return nil }
	tr := tar.NewReader(stream)
	last := ""
	for {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		// archive/tar may object to a name; what a name may be is decided here.
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return x.broken(last, err)
		}
		if err := x.tarEntry(h, tr, read); err != nil {
			if _, ok := errors.AsType[*contentError](err); ok {
				return x.broken(h.Name, err)
			}
			return inEntry(h.Name, err)
		}
		last = h.Name
		read()
	}

	// What follows the end is read for the checksum's sake.
	n, err := io.Copy(io.Discard, io.LimitReader(stream, afterEnd+1))
	if err != nil && !errors.Is(err, errAfterGzip) {
		return x.broken(last, err)
	}
	if n > afterEnd {
		return fault.New(fault.Failed, "more than %s follow the end of the archive", size(afterEnd))
	}
	return nil
}

func (x *extraction) tarEntry(h *tar.Header, r io.Reader, read func() error) error {
	switch h.Typeflag {
	case tar.TypeXGlobalHeader, 'V': // comments: git's commit, a volume's label
		return nil
	}
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	a := attributes{mode: fs.FileMode(h.Mode & 0o777), mtime: h.ModTime}
	switch h.Typeflag {
	case tar.TypeDir, 'D': // 'D' lists a directory of an incremental archive
		return x.tree.directory(name, a)
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		if strings.HasSuffix(h.Name, "/") || name == "." {
			if h.Size == 0 {
				return x.tree.directory(name, a)
			}
			return errors.New("it is a file with the name of a directory")
		}
		if err := x.limits.announce(h.Size); err != nil {
			return err
		}
		return x.tree.file(name, a, func(f *os.File) error { return x.content(f, r, read) })
	}
	if name == "." {
		return errors.New("it would take the place of the directory that is unpacked into")
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		return x.tree.symlink(name, h.Linkname)
	case tar.TypeLink:
		return x.tree.hardlink(name, h.Linkname, func(to, from *os.File) error {
			return x.content(to, from, func() error { return nil })
		})
	case tar.TypeChar, tar.TypeBlock:
		return errors.New("it is a device, and devices are not unpacked")
	case tar.TypeFifo:
		return errors.New("it is a FIFO, and FIFOs are not unpacked")
	case 'M':
		return errors.New("it goes on from another volume; a split archive is not supported")
	}
	return fault.New(fault.Failed, "it is of the unknown type %q", h.Typeflag)
}

// broken reports content that cannot be read, at or after an entry.
func (x *extraction) broken(entry string, err error) error {
	if _, ok := errors.AsType[*LimitError](err); ok || x.ctx.Err() != nil {
		return err // not the archive's fault
	}
	what := "the " + x.format.String() + " archive is damaged"
	if t := truncation(err); t == errTruncated {
		what = "the " + x.format.String() + " archive is cut off"
	}
	where := "at its first entry"
	if entry != "" {
		where = "at or after entry " + quote(entry)
	}
	return fault.New(fault.Failed, "%s %s: %w", what, where, err).WithHint("fetch or make the archive again")
}

// meter counts what is read, until ctx ends.
type meter struct {
	ctx context.Context
	r   io.Reader
	n   atomic.Int64
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	m.n.Add(int64(n))
	return n, err
}

// ratioMeter holds what comes out of a decompressor against what went in, until
// ctx ends.
type ratioMeter struct {
	ctx        context.Context
	r          io.Reader
	n          int64
	limits     *limits
	compressed func() int64
}

func (m *ratioMeter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	m.n += int64(n)
	if rerr := m.limits.ratio(m.n, m.compressed()); rerr != nil {
		return n, rerr
	}
	return n, err
}
