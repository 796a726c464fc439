package pysdk

import (
	"archive/zip"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// WheelName is the name that the package's wheel must have for pip.
func (s *SDK) WheelName() string { return sdkPackage + "-" + s.Version + "-py3-none-any.whl" }

// wheelTime is the time of all files of a wheel, the earliest that a zip can
// hold.
var wheelTime = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Wheel writes the package as a wheel, the same bytes each time.
func (s *SDK) Wheel(w io.Writer) error {
	files := s.packaged()
	return writeZip(w, append(files, s.record(files)))
}

func writeZip(w io.Writer, files []sdkFile) error {
	z := zip.NewWriter(w)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: wheelTime}
		h.SetMode(0o644)
		entry, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := entry.Write(f.data); err != nil {
			return err
		}
	}
	return z.Close()
}

// WriteWheel writes the wheel into a directory, in place of one that is there,
// and returns its path.
func (s *SDK) WriteWheel(dir string) (string, error) {
	path := filepath.Join(dir, s.WheelName())
	f, err := os.CreateTemp(dir, ".eascmd-*")
	if err != nil {
		return "", fault.New(fault.Failed, "write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // nothing is there any more where all went well
	err = s.Wheel(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", fault.New(fault.Failed, "write %s: %w", path, err)
	}
	return path, nil
}
