// Package pack reads the archives that processors and models come in, and
// writes packages.
//
// What an archive is, is told by its content and never by its name, and
// unpacking never writes outside the directory it was given, whatever the
// archive says. What is written depends on the files alone: the same files give
// the same bytes, wherever, whenever and with however many processors it is
// done.
package pack

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/openeas/eascmd/internal/fault"
)

// Format is what a file is.
type Format int

// The formats that Extract reads, and None for a file that is no archive.
const (
	None Format = iota
	Tar
	TarGzip
	TarBzip2
	Zip
)

func (f Format) String() string {
	switch f {
	case None:
		return "plain file"
	case Tar:
		return "tar"
	case TarGzip:
		return "tar.gz"
	case TarBzip2:
		return "tar.bz2"
	case Zip:
		return "zip"
	}
	return fmt.Sprintf("format %d", int(f))
}

// UnsupportedError says that a file is an archive of a kind that is not read.
type UnsupportedError struct {
	Kind string // "7z archive", "xz-compressed file", ...
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("a %s is not supported", e.Kind)
}

// LimitError says that an archive asks for more than ExtractOptions allow.
type LimitError struct {
	Option string // the field of ExtractOptions: "MaxBytes", "MaxEntries" or "MaxRatio"
	Max    int64  // its value
	text   string
}

func (e *LimitError) Error() string { return e.text }

// inEntry says which entry of an archive an error is about.
func inEntry(name string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fault.New(fault.KindOf(err), "entry %s: %w", quote(name), err)
}

// quote quotes a name that may hold anything, and cuts what is too long to be
// read.
func quote(name string) string {
	const most = 200
	if len(name) > most {
		name = name[:most] + "..."
	}
	return strconv.Quote(name)
}

// size writes a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d bytes", n)
	}
	v, prefix := float64(n)/unit, 0
	for v >= unit && prefix < 4 {
		v /= unit
		prefix++
	}
	return fmt.Sprintf("%.4g %ciB", v, "KMGTP"[prefix])
}
