package pack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// ExtractOptions bound what an archive may make of a disk.
//
// A limit of 0 means its default, a negative one means none. An archive that
// goes beyond one is refused with a *LimitError, before anything of it is
// written where the archive says beforehand how much it holds.
type ExtractOptions struct {
	MaxBytes   int64 // bytes of all files together, holes included; default DefaultMaxBytes
	MaxEntries int   // files, directories and links together; default DefaultMaxEntries
	MaxRatio   int   // content to compressed size, once the content is over 256 MiB; default DefaultMaxRatio

	// Progress, if set, is called now and then, and once at the end, from the
	// goroutine that called Extract: bytes of the archive read, and its size.
	Progress func(done, total int64)
}

// Stats says what an archive held.
type Stats struct {
	Format Format
	Files  int   // regular files, hard links among them
	Dirs   int   // directories, with those that only a file's name implied
	Links  int   // symbolic links
	Bytes  int64 // content of all files, holes included
}

// Extract unpacks the archive at archivePath into destDir, which is made
// unless it is there and empty; the directory above it must exist.
//
// Nothing is ever written outside destDir. Refused, with the entry named, are
// names that are absolute or contain "..", symbolic and hard links that lead
// out of destDir (by themselves or by way of other links), devices, FIFOs and
// sockets, encrypted entries, archives without any entry, and archives beyond
// the limits of opts. Of an
// entry's mode setuid, setgid and sticky are dropped, and the owner may always
// read and write what was unpacked; owners and extended attributes are not
// kept, times are. Where a name comes twice the later entry wins, and never
// writes through a link that the earlier one left. Long runs of zeros become
// holes.
//
// When it fails, or ctx ends, everything written is removed again.
func Extract(ctx context.Context, archivePath, destDir string, opts ExtractOptions) (Stats, error) {
	f, err := openRegular(archivePath)
	if err != nil {
		return Stats{}, err
	}
	defer f.Close()
	stats, err := extract(ctx, f, destDir, opts)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = fault.New(fault.Interrupted, "%w", err)
		}
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = fault.New(fault.Missing, "%w", err).WithHint("make room on the disk of %s and try again", destDir)
		}
		if _, ok := errors.AsType[*UnsupportedError](err); ok {
			return Stats{}, describe(archivePath, err)
		}
		return Stats{}, fault.New(fault.KindOf(err), "unpack %s: %w", archivePath, err)
	}
	return stats, nil
}

func extract(ctx context.Context, f *os.File, destDir string, opts ExtractOptions) (_ Stats, err error) {
	format, err := DetectReader(f)
	if err != nil {
		return Stats{}, err
	}
	if format == None {
		return Stats{}, fault.New(fault.Failed, "it is not an archive").
			WithHint("tar, tar.gz, tar.bz2 and zip are read")
	}
	info, err := f.Stat()
	if err != nil {
		return Stats{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Stats{}, err
	}

	made, err := prepare(destDir)
	if err != nil {
		return Stats{}, err
	}
	root, err := os.OpenRoot(destDir)
	if err != nil {
		if made {
			os.Remove(destDir)
		}
		return Stats{}, err
	}
	defer root.Close()
	x := &extraction{
		ctx:      ctx,
		format:   format,
		archive:  f,
		size:     info.Size(),
		limits:   newLimits(opts, destDir),
		progress: opts.Progress,
		buf:      make([]byte, chunk),
	}
	x.tree = newTree(root, x.limits)
	defer func() {
		x.tree.close()
		if err != nil {
			err = errors.Join(err, x.tree.empty())
			if made {
				os.Remove(destDir)
			}
		}
	}()

	if format != Tar {
		err = x.limits.room(x.size)
	} else {
		err = x.limits.room(0)
	}
	if err != nil {
		return Stats{}, err
	}
	if format == Zip {
		err = x.zip()
	} else {
		err = x.tar()
	}
	if err != nil {
		return Stats{}, err
	}
	if err := x.tree.finish(); err != nil {
		return Stats{}, err
	}
	if x.progress != nil {
		x.progress(x.size, x.size)
	}
	s := x.tree.stats
	if s.Files+s.Dirs+s.Links == 0 {
		return Stats{}, fault.New(fault.Failed, "the %s archive holds no files", format).
			WithHint("make the archive again, and look into it before it is used")
	}
	s.Format, s.Bytes = format, x.limits.bytes
	return s, nil
}

// prepare makes sure that dir is an empty directory, and reports whether it
// made it.
func prepare(dir string) (made bool, err error) {
	err = os.Mkdir(dir, 0o755)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	d, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer d.Close()
	names, err := d.Readdirnames(1)
	if err == io.EOF {
		return false, nil
	}
	if err == nil {
		err = fault.New(fault.Failed, "the directory %s is not empty: it holds %q", dir, names[0])
	}
	return false, err
}

// extraction is one run of Extract.
type extraction struct {
	ctx     context.Context
	format  Format
	archive *os.File
	size    int64
	limits  *limits
	tree    *tree
	buf     []byte

	progress func(done, total int64)
	reported time.Time
}

// report tells how much of the archive has been read, at most some twenty
// times a second.
func (x *extraction) report(done int64) {
	if x.progress == nil {
		return
	}
	if now := time.Now(); now.Sub(x.reported) >= 50*time.Millisecond {
		x.reported = now
		x.progress(min(done, x.size), x.size)
	}
}

// holeSize is the run of zeros from which on, at its own multiples, a file
// gets a hole.
const holeSize = 64 << 10

var zeros [holeSize]byte

// content writes what r holds to f, and calls read after every piece that came
// out of r. An error of r comes back as a *contentError, so that it can be told
// from one of the disk.
func (x *extraction) content(f *os.File, r io.Reader, read func() error) error {
	var off, end int64 // what has come, and how far of it is in the file
	for {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		n, rerr := fill(r, x.buf)
		if n > 0 {
			if err := x.limits.grow(int64(n)); err != nil {
				return err
			}
			if err := read(); err != nil {
				return err
			}
			if err := x.write(f, x.buf[:n], off, &end); err != nil {
				return err
			}
			off += int64(n)
		}
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			return &contentError{rerr}
		}
	}
	if end < off {
		return f.Truncate(off) // it ends in a hole
	}
	return nil
}

// write writes b at off, but for runs of zeros, and moves end to where the
// last byte was written.
func (x *extraction) write(f *os.File, b []byte, off int64, end *int64) error {
	start := 0
	flush := func(to int) error {
		if start == to {
			return nil
		}
		if _, err := f.WriteAt(b[start:to], off+int64(start)); err != nil {
			return err
		}
		*end = off + int64(to)
		return x.limits.wrote(int64(to - start))
	}
	for at := 0; at+holeSize <= len(b); at += holeSize {
		if bytes.Equal(b[at:at+holeSize], zeros[:]) {
			if err := flush(at); err != nil {
				return err
			}
			start = at + holeSize
		}
	}
	return flush(len(b))
}

// contentError is an error of what an archive holds.
type contentError struct{ err error }

func (e *contentError) Error() string { return truncation(e.err).Error() }
func (e *contentError) Unwrap() error { return e.err }

// fill reads until buf is full or r ends. Unlike io.ReadFull it keeps an end
// of file apart from io.ErrUnexpectedEOF, which r says when it is cut off.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}
