package pack

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"time"
)

// Epoch is the time that every entry of a package has: the beginning of 1980.
// At 0 GNU tar warns, and a zip cannot say anything earlier.
var Epoch = time.Unix(315532800, 0)

// archiveEnd is what a tar ends with.
var archiveEnd [2 * block]byte

// nameRoom is what a header has for a name; a longer one comes before it.
const nameRoom = 100

// appendHeader appends the header of a record: with no owner, one time and two
// modes, whatever the file has. Long names are written in GNU's form, which
// busybox reads too, unlike that of PAX.
func appendHeader(b *bytes.Buffer, r record) error {
	h := tar.Header{Name: r.Name, Mode: 0o644, ModTime: Epoch, Format: tar.FormatGNU, Typeflag: tar.TypeReg}
	switch {
	case r.Mode.IsDir():
		h.Name += "/"
		h.Mode, h.Typeflag = 0o755, tar.TypeDir
	case r.Mode.Type() == fs.ModeSymlink:
		h.Mode, h.Typeflag, h.Linkname = 0o777, tar.TypeSymlink, r.Link
	default:
		if r.Mode&0o111 != 0 {
			h.Mode = 0o755
		}
		if r.same != "" {
			h.Typeflag, h.Linkname = tar.TypeLink, r.same
		} else {
			h.Size = r.Size
		}
	}
	return tar.NewWriter(b).WriteHeader(&h)
}

// headerSize is how many bytes appendHeader appends.
func headerSize(r record) int64 {
	name, link := len(r.Name), len(r.same)
	if r.Mode.IsDir() {
		name++
	}
	if r.Mode.Type() == fs.ModeSymlink {
		link = len(r.Link)
	}
	return block + longName(name) + longName(link)
}

func longName(n int) int64 {
	if n <= nameRoom {
		return 0
	}
	n++ // it ends with a zero byte
	return block + int64(n) + padding(int64(n))
}

// padding is what follows n bytes up to the next block.
func padding(n int64) int64 { return -n & (block - 1) }

// tarSize is how many bytes of tar a record takes.
func tarSize(r record) int64 {
	size := headerSize(r)
	if r.Mode.IsRegular() && r.same == "" {
		size += r.Size + padding(r.Size)
	}
	return size
}
