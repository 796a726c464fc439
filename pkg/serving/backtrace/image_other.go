//go:build !linux

package backtrace

import (
	"errors"
	"os"
)

// image is a file whose parts are read as byte slices. Crash records are made
// and explained on Linux; elsewhere the parts are simply read.
type image struct {
	file *os.File
}

func (im *image) bytes(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || n > maxInflated {
		return nil, errors.New("section is too large")
	}
	b := make([]byte, n)
	if _, err := im.file.ReadAt(b, off); err != nil {
		return nil, err
	}
	return b, nil
}

func (im *image) close() { _ = im.file.Close() }

func sameFile(os.FileInfo, *Mapping) bool { return true }
