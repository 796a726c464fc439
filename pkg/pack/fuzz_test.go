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
		checkInside(t, p.dest)
	})
}

// FuzzExtractLinks makes trees of files, directories and links with few names,
// so that they meet: links through links, names through links, what replaces
// what.
func FuzzExtractLinks(f *testing.F) {
	f.Add([]byte{2, 'a', '/', 'b', '/', 'c', 0, '.', '.', '/', '.', '.', 0, 2, 'd', 0, 'a', '/', 'b', '/', 'c', '/', '.', '.', 0, 0, 'd', '/', 'a', 0, 0})
	f.Add([]byte("\x01a\x00\x00\x02b\x00a\x00\x00b/c\x00\x00\x03d\x00b/c\x00\x02d\x00a/..\x00\x01b\x00\x00"))
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 500 {
			return
		}
		kinds := []byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink}
		letters := []string{"a", "b", "c", "d", "/", "/", "..", "."}
		word := func() string {
			var s strings.Builder
			for len(program) > 0 && program[0] != 0 {
				if c := program[0]; c >= 'a' && c <= 'd' || c == '/' || c == '.' {
					s.WriteByte(c)
				} else {
					s.WriteString(letters[int(c)%len(letters)])
				}
				program = program[1:]
			}
			if len(program) > 0 {
				program = program[1:]
			}
			return s.String()
		}
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for len(program) > 0 {
			h := &tar.Header{Typeflag: kinds[int(program[0])%len(kinds)], Mode: 0o755}
			program = program[1:]
			h.Name, h.Linkname = strings.TrimRight(word(), "/"), word()
			if h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeDir {
				h.Linkname = ""
			}
			if w.WriteHeader(h) != nil {
				return
			}
		}
		if w.Close() != nil {
			return
		}
		p := newPlace(t, buf.Bytes())
		_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{MaxEntries: 300})
		p.checkOutside(t)
		if err != nil {
			p.checkGone(t)
			return
		}
		checkInside(t, p.dest)
	})
}

// checkInside fails when something below dest leads out, or is not of the kinds
// that are unpacked.
func checkInside(t *testing.T, dest string) {
	t.Helper()
	inside, err := filepath.EvalSymlinks(dest)
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
