package pack

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	kflate "github.com/klauspost/compress/flate"

	"github.com/openeas/eascmd/internal/fault"
)

// zip unpacks a zip.
func (x *extraction) zip() error {
	in := &meter{ctx: x.ctx}
	dir := &directoryReader{r: x.archive, limits: x.limits}
	z, err := zip.NewReader(dir, x.size)
	dir.read = true
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return x.broken("", err)
	}
	if int64(len(z.File)) > x.limits.maxEntries {
		return x.limits.tooMany()
	}
	z.RegisterDecompressor(zip.Store, func(r io.Reader) io.ReadCloser {
		in.r = r
		return io.NopCloser(in)
	})
	inflate := &inflater{}
	z.RegisterDecompressor(zip.Deflate, func(r io.Reader) io.ReadCloser {
		in.r = r
		return inflate.on(in)
	})

	var total int64
	for _, f := range z.File {
		if f.UncompressedSize64 > 1<<62 {
			return inEntry(f.Name, exceeded("MaxBytes", x.limits.maxBytes, "it says it has %d bytes", f.UncompressedSize64))
		}
		total += int64(f.UncompressedSize64)
		if err := x.limits.announce(total); err != nil {
			return err
		}
	}
	if err := x.limits.ratio(total, x.size); err != nil {
		return err
	}
	read := func() error {
		x.report(in.n.Load())
		// All entries together, against the whole file: parts of it may be
		// used for many entries, each of them well within the ratio.
		return x.limits.ratio(x.limits.bytes, x.size)
	}
	for _, f := range z.File {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		if err := x.zipEntry(f, read); err != nil {
			name := zipName(f)
			if _, ok := errors.AsType[*contentError](err); ok {
				return x.broken(name, err)
			}
			return inEntry(name, err)
		}
		read()
	}
	return nil
}

// directoryReader reads a zip and ends the reading of a directory of too many
// entries, which archive/zip keeps in memory, some hundred bytes each. What the
// archive says of their number may be a lie, so they are counted by the
// signature that each begins with.
type directoryReader struct {
	r       io.ReaderAt
	limits  *limits
	entries int64
	read    bool // the directory has been read
}

func (d *directoryReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.r.ReadAt(p, off)
	if d.read {
		return n, err
	}
	// The end of the file is read more than once, in search of the directory.
	const again = 10_000
	d.entries += int64(bytes.Count(p[:n], []byte("PK\x01\x02")))
	if d.entries-again > d.limits.maxEntries {
		return 0, d.limits.tooMany()
	}
	return n, err
}

// zipEntry unpacks one entry.
func (x *extraction) zipEntry(f *zip.File, read func() error) error {
	raw := zipName(f)
	name, err := cleanName(raw)
	if err != nil {
		return err
	}
	const encrypted, strong = 1 << 0, 1 << 6
	if f.Flags&(encrypted|strong) != 0 {
		return fault.New(fault.Failed, "it is encrypted, which is not supported").
			WithHint("pack it again without a password")
	}
	a := attributes{mode: f.Mode().Perm(), mtime: f.Modified}
	isDir := strings.HasSuffix(raw, "/")
	if !unixModes(f) || a.mode == 0 {
		a.mode = 0o644
		if isDir {
			a.mode = 0o755
		}
	}
	mode := f.Mode()
	switch {
	case isDir || mode.IsDir():
		return x.tree.directory(name, a)
	case name == ".":
		return errors.New("it would take the place of the directory that is unpacked into")
	case mode&fs.ModeSymlink != 0:
		target, err := x.zipTarget(f)
		if err != nil {
			return err
		}
		return x.tree.symlink(name, target)
	case !mode.IsRegular() && unixModes(f):
		return fmt.Errorf("it is %s, which is not unpacked", kindOf(mode))
	}
	if f.Method != zip.Store && f.Method != zip.Deflate {
		return fault.New(fault.Failed, "it is compressed with %s, which is not supported", method(f.Method)).
			WithHint("repack it as tar.gz, or as a zip with the usual compression (deflate)")
	}
	r, err := f.Open()
	if err != nil {
		return &contentError{err}
	}
	defer r.Close()
	return x.tree.file(name, a, func(to *os.File) error { return x.content(to, r, read) })
}

// zipTarget reads where a symbolic link leads, which is its content.
func (x *extraction) zipTarget(f *zip.File) (string, error) {
	if f.UncompressedSize64 > maxPath {
		return "", errors.New("it is a link without a possible target")
	}
	r, err := f.Open()
	if err != nil {
		return "", &contentError{err}
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxPath+1))
	if err != nil {
		return "", &contentError{err}
	}
	return string(b), nil
}

// unixModes reports whether an entry's mode means something: it was written on
// Unix or macOS.
func unixModes(f *zip.File) bool {
	system := f.CreatorVersion >> 8
	return system == 3 || system == 19
}

// method names a compression method that is not read.
func method(m uint16) string {
	switch m {
	case 9:
		return "deflate64"
	case 12:
		return "bzip2"
	case 14:
		return "lzma"
	case 93:
		return "zstd"
	case 95:
		return "xz"
	case 98:
		return "PPMd"
	case 99:
		return "AES encryption"
	}
	return fmt.Sprintf("method %d", m)
}

// inflater keeps one decompressor for all entries; they are read one by one.
type inflater struct{ z io.ReadCloser }

func (i *inflater) on(r io.Reader) io.ReadCloser {
	if i.z == nil {
		i.z = kflate.NewReader(r)
		return i.z
	}
	// It fails only with a dictionary, of which there is none.
	_ = i.z.(flate.Resetter).Reset(r, nil)
	return i.z
}
