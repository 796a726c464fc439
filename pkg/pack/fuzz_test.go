package pack

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzExtract looks for an archive that writes outside, leaves something behind
// when it fails, or leaves something that leads out when it does not.
func FuzzExtract(f *testing.F) {
	good := tarOf(f, e{name: "d/", kind: tar.TypeDir}, e{name: "d/f", body: "hello"}, e{name: "l", kind: tar.TypeSymlink, link: "d/f"}, e{name: "h", kind: tar.TypeLink, link: "d/f"})
	f.Add(good)
	f.Add(gzipOf(f, good))
	f.Add(tarOf(f, e{name: "../canary", body: "x"}))
	f.Add(tarOf(f, e{name: "l", kind: tar.TypeSymlink, link: ".."}, e{name: "l/canary", body: "x"}))
	f.Add(tarOf(f, e{name: "d/e/l", kind: tar.TypeSymlink, link: "../.."}, e{name: "m", kind: tar.TypeSymlink, link: "d/e/l/.."}, e{name: "m/canary", body: "x"}))
	f.Add(tarOf(f, e{name: "l", kind: tar.TypeSymlink, link: "d"}, e{name: "l/x", body: "x"}, e{name: "l", body: "y"}, e{name: "l", kind: tar.TypeLink, link: "d/x"}))
	f.Add(tarOf(f, e{name: "fifo", kind: tar.TypeFifo}))
	f.Add(zipOf(f, z{name: "d/f", body: "hello"}, z{name: "l", body: "d/f", mode: fs.ModeSymlink | 0o777}))
	f.Add(zipOf(f, z{name: `..\canary`, body: "x"}, z{name: "l", body: "..", mode: fs.ModeSymlink | 0o777}))

	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		p := newPlace(t, data)
		_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{MaxBytes: 1 << 20, MaxEntries: 300})
		p.checkOutside(t)
		if err != nil {
			p.checkGone(t)
			if strings.ContainsAny(strings.ReplaceAll(err.Error(), p.archive, ""), "\x1b\n\x00") {
				t.Errorf("the error is not fit for a terminal: %q", err)
			}
			return
		}
		inside, err := filepath.EvalSymlinks(p.dest)
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(inside, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if special := info.Mode() &^ (fs.ModePerm | fs.ModeDir | fs.ModeSymlink); special != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			if to, err := filepath.EvalSymlinks(path); err == nil && to != inside && !strings.HasPrefix(to, inside+string(os.PathSeparator)) {
				t.Errorf("%s leads to %s", path, to)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func FuzzDetect(f *testing.F) {
	tarball := tarOf(f, e{name: "a", body: "x"})
	f.Add(tarball)
	f.Add(gzipOf(f, tarball))
	f.Add(zipOf(f, z{name: "a"}))
	f.Add([]byte("BZh91AY&SY"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, errA := DetectReader(bytes.NewReader(data))
		b, errB := DetectReader(&oneByte{bytes.NewReader(data)})
		if a != b || (errA == nil) != (errB == nil) {
			t.Errorf("%v %v at once, %v %v byte by byte", a, errA, b, errB)
		}
	})
}

// oneByte gives one byte a read.
type oneByte struct{ r *bytes.Reader }

func (o *oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }
