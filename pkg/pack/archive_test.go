package pack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var someTime = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// e is an entry of a tar made in a test.
type e struct {
	name string
	kind byte // 0: a file
	body string
	link string
	mode int64
}

func tarOf(t testing.TB, entries ...e) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, en := range entries {
		h := &tar.Header{Name: en.name, Typeflag: en.kind, Linkname: en.link, Mode: en.mode, Size: int64(len(en.body)), ModTime: someTime}
		if en.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
			if en.kind == tar.TypeDir {
				h.Mode = 0o755
			}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(en.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func gzipOf(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// bzip2Of needs bzip2, which Go only reads.
func bzip2Of(t testing.TB, data []byte) []byte {
	t.Helper()
	bin, err := exec.LookPath("bzip2")
	if err != nil {
		t.Skip("bzip2 is missing")
	}
	cmd := exec.Command(bin, "-c")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// z is an entry of a zip made in a test.
type z struct {
	name string
	body string
	mode fs.FileMode // 0: none, as from MS-DOS
	edit func(h *zip.FileHeader)
}

func zipOf(t testing.TB, entries ...z) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, en := range entries {
		h := &zip.FileHeader{Name: en.name, Method: zip.Deflate, Modified: someTime}
		if en.mode != 0 {
			h.SetMode(en.mode)
		}
		if en.edit != nil {
			en.edit(h)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(en.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// place is a directory that is unpacked into, with a canary beside it.
type place struct {
	dir     string // holds everything
	archive string
	dest    string // not made yet
}

func newPlace(t testing.TB, archive []byte) place {
	t.Helper()
	dir := t.TempDir()
	p := place{dir: dir, archive: filepath.Join(dir, "archive"), dest: filepath.Join(dir, "below", "out")}
	write(t, p.archive, string(archive))
	write(t, filepath.Join(dir, "canary"), "alive")
	write(t, filepath.Join(dir, "below", "canary"), "alive")
	return p
}

// checkOutside fails when anything beside the destination has changed.
func (p place) checkOutside(t testing.TB) {
	t.Helper()
	for _, dir := range []string{p.dir, filepath.Dir(p.dest)} {
		names, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range names {
			switch d.Name() {
			case "archive", "canary", "below", "out":
			default:
				t.Errorf("%q was written outside the destination", filepath.Join(dir, d.Name()))
			}
		}
		info, err := os.Lstat(filepath.Join(dir, "canary"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "canary"))
		if err != nil || string(b) != "alive" || info.Mode() != 0o644 {
			t.Errorf("the canary in %s is %v %q, %v", dir, info.Mode(), b, err)
		}
	}
}

// checkGone fails when a failed Extract left something.
func (p place) checkGone(t testing.TB) {
	t.Helper()
	if _, err := os.Lstat(p.dest); err == nil {
		t.Error("something was left after the failure")
	}
}

func write(t testing.TB, name, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

// treeOf describes what is below dir: path to content, "-> target" for links,
// "dir" for directories.
func treeOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		rel = filepath.ToSlash(rel)
		switch {
		case rel == ".":
		case d.IsDir():
			got[rel] = "dir"
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			got[rel] = "-> " + target
			return err
		case d.Type().IsRegular():
			b, err := os.ReadFile(path)
			got[rel] = string(b)
			return err
		default:
			got[rel] = d.Type().String()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}
