package backtrace

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// debugRoot is where distributions install separate debug files.
const debugRoot = "/usr/lib/debug"

// separateDebugFile finds and opens the file that the debug information of a
// stripped object was moved to, as debuggers do: by build id, then by the
// name in .gnu_debuglink. It returns nil where there is none that fits.
func (o *object) separateDebugFile(ctx context.Context) *object {
	var found *object
	_ = guard(func() error {
		if o.elf.Section(".debug_info") != nil || o.elf.Section(".zdebug_info") != nil {
			return nil
		}
		id := o.buildID()
		if len(id) > 1 {
			name := hex.EncodeToString(id)
			found = openDebug(filepath.Join(debugRoot, ".build-id", name[:2], name[2:]+".debug"), func(d *object) bool {
				return bytes.Equal(d.buildID(), id)
			})
			if found != nil {
				return nil
			}
		}
		link := o.elf.Section(".gnu_debuglink")
		if link == nil || link.Size > 4096 {
			return nil
		}
		data, err := link.Data()
		if err != nil {
			return err
		}
		name, _, ok := bytes.Cut(data, []byte{0})
		if !ok || len(name) == 0 || len(data) < 4 || bytes.ContainsRune(name, '/') {
			return nil
		}
		sum := o.elf.ByteOrder.Uint32(data[len(data)-4:])
		dir := filepath.Dir(o.path)
		for _, path := range []string{
			filepath.Join(dir, string(name)),
			filepath.Join(dir, ".debug", string(name)),
			filepath.Join(debugRoot, dir, string(name)),
		} {
			found = openDebug(path, func(d *object) bool {
				if theirs := d.buildID(); len(id) > 0 && len(theirs) > 0 {
					return bytes.Equal(id, theirs)
				}
				return checksum(ctx, d.image.file) == sum
			})
			if found != nil {
				return nil
			}
		}
		return nil
	})
	return found
}

func openDebug(path string, fits func(*object) bool) *object {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	d, err := openELF(path)
	if err != nil {
		return nil
	}
	ok := false
	_ = guard(func() error { ok = fits(d); return nil })
	if !ok {
		d.close()
		return nil
	}
	return d
}

// buildID returns the object's build id, or nil.
func (o *object) buildID() []byte {
	s := o.elf.Section(".note.gnu.build-id")
	if s == nil || s.Type == elf.SHT_NOBITS || s.Size > 4096 {
		return nil
	}
	note, err := s.Data()
	if err != nil || len(note) < 16 {
		return nil
	}
	bo := o.elf.ByteOrder
	nameSize, size := uint64(bo.Uint32(note)), uint64(bo.Uint32(note[4:]))
	start := 12 + (nameSize+3)/4*4
	if start+size > uint64(len(note)) {
		return nil
	}
	return note[start : start+size]
}

// checksum is the CRC of a whole file that .gnu_debuglink holds.
func checksum(ctx context.Context, f *os.File) uint32 {
	sum := crc32.NewIEEE()
	_, err := io.Copy(sum, readerFunc(func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return f.Read(p)
	}))
	if err != nil && !errors.Is(err, io.EOF) {
		return 0
	}
	return sum.Sum32()
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
