package pack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/openeas/eascmd/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestExtractTar(t *testing.T) {
	entries := []e{
		{name: "./", kind: tar.TypeDir, mode: 0o777},
		{name: "./bin/", kind: tar.TypeDir, mode: 0o500},
		{name: "./bin/run", body: "#!/bin/sh\n", mode: 0o4711},
		{name: "./lib/deep/x.so", body: "ELF", mode: 0o400}, // its directories are only implied
		{name: "lib64", kind: tar.TypeSymlink, link: "lib"},
		{name: "lib64/deep/y.so", body: "through a link that stays inside"},
		{name: "hard", kind: tar.TypeLink, link: "./bin/run"},
		{name: "empty", body: ""},
		{name: "dangling", kind: tar.TypeSymlink, link: "lib/later"},
		{name: "up/and/down", kind: tar.TypeSymlink, link: "../../lib/deep/x.so"},
		{name: "loop", kind: tar.TypeSymlink, link: "loop"},
		{name: "here", kind: tar.TypeSymlink, link: "."},
		{name: strings.Repeat("long/", 40) + strings.Repeat("n", 200), body: "a name beyond ustar"},
		{name: "名前", body: "UTF-8"},
		{name: `system-x2d\x2dy.slice`, body: "a backslash is a letter here"},
	}
	if runtime.GOOS == "windows" {
		t.Skip("Windows has neither these modes nor these names")
	}
	want := map[string]string{
		"bin": "dir", "bin/run": "#!/bin/sh\n", "lib": "dir", "lib/deep": "dir", "lib/deep/x.so": "ELF",
		"lib/deep/y.so": "through a link that stays inside", "lib64": "-> lib", "hard": "#!/bin/sh\n", "empty": "",
		"dangling": "-> lib/later", "up": "dir", "up/and": "dir", "up/and/down": "-> ../../lib/deep/x.so",
		"loop": "-> loop", "here": "-> .", "名前": "UTF-8", `system-x2d\x2dy.slice`: "a backslash is a letter here",
		strings.Repeat("long/", 40) + strings.Repeat("n", 200): "a name beyond ustar",
	}
	for i := 1; i <= 40; i++ {
		want[strings.TrimSuffix(strings.Repeat("long/", i), "/")] = "dir"
	}
	data := tarOf(t, entries...)
	for name, archive := range map[string]func() []byte{
		"tar":    func() []byte { return data },
		"tar.gz": func() []byte { return gzipOf(t, data) },
		"tar.gz of members": func() []byte {
			return slices.Concat(gzipOf(t, data[:700]), gzipOf(t, data[700:1000]), gzipOf(t, data[1000:]))
		},
		"tar.gz and zeros": func() []byte { return append(gzipOf(t, data), make([]byte, 5000)...) },
		"tar.gz and more":  func() []byte { return append(gzipOf(t, data), "signature"...) },
		"tar.bz2":          func() []byte { return bzip2Of(t, data) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, archive())
			var last [2]int64
			stats, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{Progress: func(done, total int64) { last = [2]int64{done, total} }})
			if err != nil {
				t.Fatal(err)
			}
			p.checkOutside(t)
			if diff := cmp.Diff(want, treeOf(t, p.dest)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			if stats.Files != 8 || stats.Links != 5 || stats.Dirs != 5+40 {
				t.Errorf("stats: %+v", stats)
			}
			info, err := os.Stat(p.archive)
			if err != nil {
				t.Fatal(err)
			}
			if last != [2]int64{info.Size(), info.Size()} {
				t.Errorf("last progress %v of %d", last, info.Size())
			}
			for path, mode := range map[string]fs.FileMode{
				"bin":           fs.ModeDir | 0o700, // 0500, and the owner may always remove
				"bin/run":       0o711,              // setuid is gone
				"lib/deep/x.so": 0o600,
				"empty":         0o644,
			} {
				info, err := os.Stat(filepath.Join(p.dest, path))
				if err != nil {
					t.Fatal(err)
				}
				if info.Mode() != mode {
					t.Errorf("%s: mode %v, want %v", path, info.Mode(), mode)
				}
				if path != "lib" && !info.ModTime().Equal(someTime) {
					t.Errorf("%s: time %v, want %v", path, info.ModTime(), someTime)
				}
			}
			a, _ := os.Stat(filepath.Join(p.dest, "hard"))
			b, _ := os.Stat(filepath.Join(p.dest, "bin/run"))
			if !os.SameFile(a, b) {
				t.Error("the hard link is a copy")
			}
		})
	}
}

// The destination may exist, and then keeps its mode whatever the archive says.
func TestExtractDestination(t *testing.T) {
	data := tarOf(t, e{name: "./", kind: tar.TypeDir, mode: 0o777}, e{name: "a", body: "x"})
	t.Run("empty", func(t *testing.T) {
		p := newPlace(t, data)
		if err := os.Mkdir(p.dest, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(p.dest)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
			t.Errorf("mode %v", info.Mode())
		}
	})
	t.Run("empty, and the archive is damaged", func(t *testing.T) {
		p := newPlace(t, data[:512+100])
		if err := os.Mkdir(p.dest, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{}); err == nil {
			t.Fatal("no error")
		}
		if left := treeOf(t, p.dest); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
	t.Run("not empty", func(t *testing.T) {
		p := newPlace(t, data)
		write(t, filepath.Join(p.dest, "mine"), "x")
		_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{})
		if err == nil || !strings.Contains(err.Error(), `"mine"`) {
			t.Errorf("got %v", err)
		}
		if diff := cmp.Diff(map[string]string{"mine": "x"}, treeOf(t, p.dest)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("a file", func(t *testing.T) {
		p := newPlace(t, data)
		write(t, p.dest, "x")
		if _, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("no parent", func(t *testing.T) {
		p := newPlace(t, data)
		if _, err := Extract(t.Context(), p.archive, filepath.Join(p.dest, "a", "b"), ExtractOptions{}); err == nil {
			t.Error("no error")
		}
		p.checkOutside(t)
	})
}

// Where a name comes twice, the later wins, and never through a link.
func TestExtractTwice(t *testing.T) {
	tests := []struct {
		name    string
		entries []e
		want    map[string]string
	}{
		{"file", []e{{name: "a", body: "first"}, {name: "./a", body: "second"}}, map[string]string{"a": "second"}},
		{"file over link", []e{{name: "a", body: "first"}, {name: "b", kind: tar.TypeSymlink, link: "a"}, {name: "b", body: "second"}},
			map[string]string{"a": "first", "b": "second"}},
		{"file over hard link", []e{{name: "a", body: "first"}, {name: "b", kind: tar.TypeLink, link: "a"}, {name: "b", body: "second"}},
			map[string]string{"a": "first", "b": "second"}},
		{"link over link", []e{{name: "b", kind: tar.TypeSymlink, link: "x"}, {name: "b", kind: tar.TypeSymlink, link: "y"}}, map[string]string{"b": "-> y"}},
		{"link over file", []e{{name: "b", body: "x"}, {name: "b", kind: tar.TypeSymlink, link: "y"}}, map[string]string{"b": "-> y"}},
		{"directory twice", []e{{name: "d/", kind: tar.TypeDir}, {name: "d/a", body: "x"}, {name: "d/", kind: tar.TypeDir, mode: 0o700}},
			map[string]string{"d": "dir", "d/a": "x"}},
		{"directory over link", []e{{name: "c", kind: tar.TypeDir}, {name: "d", kind: tar.TypeSymlink, link: "c"}, {name: "d/", kind: tar.TypeDir}, {name: "d/a", body: "x"}},
			map[string]string{"c": "dir", "d": "dir", "d/a": "x"}},
		{"link over empty directory", []e{{name: "d/", kind: tar.TypeDir}, {name: "d", kind: tar.TypeSymlink, link: "c"}, {name: "d/a", body: "x"}},
			map[string]string{"c": "dir", "c/a": "x", "d": "-> c"}},
		{"directory over file", []e{{name: "d", body: "x"}, {name: "d/", kind: tar.TypeDir}, {name: "d/a", body: "x"}},
			map[string]string{"d": "dir", "d/a": "x"}},
		{"file over empty directory", []e{{name: "d/e/", kind: tar.TypeDir}, {name: "d/e", body: "x"}, {name: "d/f", body: "y"}},
			map[string]string{"d": "dir", "d/e": "x", "d/f": "y"}},
		{"hard link to itself", []e{{name: "a", body: "x"}, {name: "./a", kind: tar.TypeLink, link: "a"}}, map[string]string{"a": "x"}},
		{"hard link to a symbolic link", []e{{name: "d/a", body: "x"}, {name: "d/l", kind: tar.TypeSymlink, link: "a"}, {name: "d/m", kind: tar.TypeLink, link: "d/l"}},
			map[string]string{"d": "dir", "d/a": "x", "d/l": "-> a", "d/m": "-> a"}},
		{"hard link through a link", []e{{name: "d/a", body: "x"}, {name: "l", kind: tar.TypeSymlink, link: "d"}, {name: "l/b", kind: tar.TypeLink, link: "l/a"}},
			map[string]string{"d": "dir", "d/a": "x", "d/b": "x", "l": "-> d"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, tarOf(t, tt.entries...))
			if _, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{}); err != nil {
				t.Fatal(err)
			}
			p.checkOutside(t)
			if diff := cmp.Diff(tt.want, treeOf(t, p.dest)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExtractHostileTar(t *testing.T) {
	long := strings.Repeat("n", 256)
	deep := strings.Repeat("d/", 300) + "f"
	tests := []struct {
		name    string
		entries []e
		want    string
	}{
		{"dot dot", []e{{name: "../evil", body: "x"}}, `".."`},
		{"dot dot inside", []e{{name: "a/../../evil", body: "x"}}, `".."`},
		{"dot dot that stays", []e{{name: "a/../b", body: "x"}}, `".."`},
		{"dot dot directory", []e{{name: "..", kind: tar.TypeDir, mode: 0o777}}, `".."`},
		{"dot dot with backslashes", []e{{name: `..\evil`, body: "x"}}, `".."`},
		{"absolute", []e{{name: "/tmp/eascmd-evil", body: "x"}}, "absolute"},
		{"absolute with backslash", []e{{name: `\evil`, body: "x"}}, "absolute"},
		{"drive", []e{{name: `C:\evil`, body: "x"}}, "absolute"},
		{"drive with slash", []e{{name: "c:/evil", body: "x"}}, "absolute"},
		{"long part", []e{{name: long, body: "x"}}, "256 bytes"},
		{"long name", []e{{name: strings.Repeat("ab/", 1500) + "f", body: "x"}}, "bytes"},
		{"deep", []e{{name: deep, body: "x"}}, "deep"},
		{"absolute link", []e{{name: "l", kind: tar.TypeSymlink, link: "/etc"}}, "leads out"},
		{"link out", []e{{name: "l", kind: tar.TypeSymlink, link: ".."}}, "leads out"},
		{"link out from below", []e{{name: "d/l", kind: tar.TypeSymlink, link: "../../canary"}}, "leads out"},
		{"link out and in again", []e{{name: "l", kind: tar.TypeSymlink, link: "../out/a"}}, "leads out"},
		{"link without target", []e{{name: "l", kind: tar.TypeSymlink, link: ""}}, "target"},
		{"write through a link out", []e{{name: "l", kind: tar.TypeSymlink, link: ".."}, {name: "l/evil", body: "x"}}, "leads out"},
		{"two links that lead out together", []e{
			{name: "d/e/", kind: tar.TypeDir},
			{name: "d/e/l", kind: tar.TypeSymlink, link: "../.."}, // inside: the top
			{name: "m", kind: tar.TypeSymlink, link: "d/e/l/.."},  // reads like d/e, is above the top
			{name: "m/evil", body: "x"},
		}, "leads out"},
		{"two links that lead out together, the other first", []e{
			{name: "m", kind: tar.TypeSymlink, link: "d/e/l/.."},
			{name: "d/e/l", kind: tar.TypeSymlink, link: "../.."},
		}, "leads out"},
		{"a name through links that lead out together", []e{
			{name: "d/l", kind: tar.TypeSymlink, link: ".."},
			{name: "m", kind: tar.TypeSymlink, link: "d/l/d/l/x/.."},
			{name: "x", kind: tar.TypeSymlink, link: "d/l"},
			{name: "m/evil", body: "x"},
		}, "leads out"},
		{"hard link out", []e{{name: "h", kind: tar.TypeLink, link: "../canary"}}, `".."`},
		{"absolute hard link", []e{{name: "h", kind: tar.TypeLink, link: "/etc/passwd"}}, "absolute"},
		{"hard link to nothing", []e{{name: "h", kind: tar.TypeLink, link: "nothing"}}, "no file that comes before"},
		{"hard link to a directory", []e{{name: "d/", kind: tar.TypeDir}, {name: "h", kind: tar.TypeLink, link: "d"}}, "no file that comes before"},
		{"hard link moves a symbolic link out", []e{
			{name: "d/e/l", kind: tar.TypeSymlink, link: "../.."},
			{name: "m", kind: tar.TypeLink, link: "d/e/l"},
		}, "leads out"},
		{"character device", []e{{name: "c", kind: tar.TypeChar}}, "device"},
		{"block device", []e{{name: "b", kind: tar.TypeBlock}}, "device"},
		{"FIFO", []e{{name: "f", kind: tar.TypeFifo}}, "FIFO"},
		{"unknown type", []e{{name: "f", kind: 'Z'}}, `'Z'`},
		{"another volume", []e{{name: "f", kind: 'M'}}, "volume"},
		{"file below a file", []e{{name: "f", body: "x"}, {name: "f/g", body: "y"}}, "not a directory"},
		{"file over a full directory", []e{{name: "d/a", body: "x"}, {name: "d", body: "y"}}, "twice"},
		{"link in place of the destination", []e{{name: "./", kind: tar.TypeSymlink, link: "a"}}, "place of the directory"},
		{"through a loop", []e{{name: "l", kind: tar.TypeSymlink, link: "l"}, {name: "l/a", body: "x"}}, "too many links"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Something good first: it must be gone as well.
			entries := append([]e{{name: "good/file", body: "x"}}, tt.entries...)
			p := newPlace(t, gzipOf(t, tarOf(t, entries...)))
			_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{})
			if err == nil {
				t.Fatalf("no error; got %v", treeOf(t, p.dest))
			}
			p.checkOutside(t)
			p.checkGone(t)
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error does not say %q: %v", tt.want, err)
			}
			if !strings.Contains(err.Error(), p.archive) || !strings.Contains(err.Error(), "entry ") {
				t.Errorf("the error does not name the archive and the entry: %v", err)
			}
		})
	}
}

// A zero byte in a name does not get through archive/tar's writer.
func TestExtractZeroByteInName(t *testing.T) {
	p := newPlace(t, zipOf(t, z{name: "a\x00b", body: "x"}))
	_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{})
	if err == nil || !strings.Contains(err.Error(), "zero byte") {
		t.Errorf("got %v", err)
	}
	p.checkGone(t)
}

func TestExtractHostileZip(t *testing.T) {
	tests := []struct {
		name    string
		entries []z
		want    string
	}{
		{"dot dot", []z{{name: "../evil", body: "x"}}, `".."`},
		{"dot dot with backslashes", []z{{name: `..\evil`, body: "x"}}, `".."`},
		{"absolute", []z{{name: "/evil", body: "x"}}, "absolute"},
		{"drive", []z{{name: `C:\evil`, body: "x"}}, "absolute"},
		{"link out", []z{{name: "l", body: "../canary", mode: fs.ModeSymlink | 0o777}}, "leads out"},
		{"absolute link", []z{{name: "l", body: "/etc", mode: fs.ModeSymlink | 0o777}}, "leads out"},
		{"endless link", []z{{name: "l", body: strings.Repeat("a/", 10000), mode: fs.ModeSymlink | 0o777}}, "target"},
		{"write through a link out", []z{{name: "l", body: "..", mode: fs.ModeSymlink | 0o777}, {name: "l/evil", body: "x"}}, "leads out"},
		{"device", []z{{name: "d", mode: fs.ModeDevice | 0o666}}, "device"},
		{"FIFO", []z{{name: "d", mode: fs.ModeNamedPipe | 0o666}}, "FIFO"},
		{"socket", []z{{name: "d", mode: fs.ModeSocket | 0o666}}, "socket"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, zipOf(t, append([]z{{name: "good/file", body: "x"}}, tt.entries...)...))
			_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{})
			if err == nil {
				t.Fatalf("no error; got %v", treeOf(t, p.dest))
			}
			p.checkOutside(t)
			p.checkGone(t)
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), p.archive) {
				t.Errorf("the error does not say %q: %v", tt.want, err)
			}
		})
	}
	t.Run("encrypted", func(t *testing.T) {
		data := zipOf(t, z{name: "a", body: "x"})
		// The flags of the local and the central header.
		data[6] |= 1
		data[bytes.Index(data, []byte("PK\x01\x02"))+8] |= 1
		p := newPlace(t, data)
		_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{})
		if err == nil || !strings.Contains(err.Error(), "encrypted") || fault.HintOf(err) == "" {
			t.Errorf("got %v", err)
		}
		p.checkGone(t)
	})
	t.Run("compressed with bzip2", func(t *testing.T) {
		data := zipOf(t, z{name: "a", body: "x"})
		data[bytes.Index(data, []byte("PK\x01\x02"))+10] = 12
		p := newPlace(t, data)
		_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{})
		if err == nil || !strings.Contains(err.Error(), "compressed with bzip2") {
			t.Errorf("got %v", err)
		}
	})
}

func TestExtractZip(t *testing.T) {
	gbk := func(h *zip.FileHeader) { h.NonUTF8 = true }
	dos := func(h *zip.FileHeader) { h.CreatorVersion = 0 }
	p := newPlace(t, zipOf(t,
		z{name: "d/", mode: fs.ModeDir | 0o750},
		z{name: "d/run", body: "#!/bin/sh", mode: fs.ModeSetuid | 0o755},
		z{name: "d/l", body: "run", mode: fs.ModeSymlink | 0o777},
		z{name: "plain", body: "no mode"},
		z{name: "stored", body: "as it is", edit: func(h *zip.FileHeader) { h.Method = zip.Store }},
		z{name: `win\dows\f`, body: "backslashes", edit: dos},
		z{name: "\xc4\xa3\xd0\xcd.bin", body: "GBK", edit: gbk},
		z{name: "caf\x82.txt", body: "CP437", edit: gbk},
		z{name: "utf8-\xe6\xa8\xa1", body: "UTF-8 without the flag", edit: gbk},
		z{name: "big", body: strings.Repeat("abc", 300_000)},
	))
	stats, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.checkOutside(t)
	want := map[string]string{
		"d": "dir", "d/run": "#!/bin/sh", "d/l": "-> run", "plain": "no mode", "stored": "as it is",
		"win": "dir", "win/dows": "dir", "win/dows/f": "backslashes", "模型.bin": "GBK", "café.txt": "CP437",
		"utf8-模": "UTF-8 without the flag", "big": strings.Repeat("abc", 300_000),
	}
	if diff := cmp.Diff(want, treeOf(t, p.dest)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if stats.Files != 8 || stats.Links != 1 || stats.Format != Zip {
		t.Errorf("stats: %+v", stats)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for path, mode := range map[string]fs.FileMode{"d": fs.ModeDir | 0o750, "d/run": 0o755, "plain": 0o644} {
		info, err := os.Stat(filepath.Join(p.dest, path))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s: mode %v, want %v", path, info.Mode(), mode)
		}
	}
}

func TestExtractDamaged(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 20_000)
	tarball := tarOf(t, e{name: "first", body: "x"}, e{name: "second", body: body})
	gz := gzipOf(t, tarball)
	zipped := zipOf(t, z{name: "first", body: "x"}, z{name: "second", body: body, edit: func(h *zip.FileHeader) { h.Method = zip.Store }})
	flip := func(b []byte, at int) []byte {
		b = slices.Clone(b)
		b[at] ^= 0x55
		return b
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"tar cut off in a file", tarball[:200_000], `cut off at or after entry "second"`},
		{"tar cut off in a header", tarball[:1024+300], `cut off at or after entry "first"`},
		{"tar with a damaged header", flip(tarball, 1024+10), `damaged at or after entry "first"`},
		{"tar.gz cut off", gz[:len(gz)/2], `cut off at or after entry "second"`},
		{"tar.gz without its checksum", gz[:len(gz)-8], "cut off"},
		{"tar.gz with a wrong checksum", flip(gz, len(gz)-6), "checksum"},
		{"tar.gz with a damaged second member", slices.Concat(gzipOf(t, tarball[:1024]), flip(gzipOf(t, tarball[1024:]), 1)), "followed by something else"},
		{"zip cut off", zipped[:len(zipped)/2], "zip"},
		{"zip with a wrong checksum", flip(zipped, 100_000), `"second"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, tt.data)
			_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{})
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), p.archive) {
				t.Errorf("the error does not say %q: %v", tt.want, err)
			}
			if fault.HintOf(err) == "" {
				t.Errorf("no hint: %v", err)
			}
			p.checkGone(t)
			p.checkOutside(t)
		})
	}
}

func TestExtractNoArchive(t *testing.T) {
	p := newPlace(t, []byte("hello"))
	_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{})
	if err == nil || !strings.Contains(err.Error(), "not an archive") {
		t.Errorf("got %v", err)
	}
	p.checkGone(t)
}

// No name that is quoted may reach a terminal raw.
func TestExtractErrorsQuoteNames(t *testing.T) {
	p := newPlace(t, tarOf(t, e{name: "../\x1b[31mred\n", body: "x"}))
	_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{})
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("got %q", err)
	}
}

// Real archives of the tools that people have.
func TestExtractRealTools(t *testing.T) {
	src := t.TempDir()
	write(t, filepath.Join(src, "a/b/file"), strings.Repeat("x", 100_000))
	write(t, filepath.Join(src, strings.Repeat("long-name-", 20)), "long")
	write(t, filepath.Join(src, "模型/数据"), "utf-8")
	if err := os.Symlink("b/file", filepath.Join(src, "a/link")); err != nil {
		t.Skip("symbolic links are not possible: ", err)
	}
	if err := os.Link(filepath.Join(src, "a/b/file"), filepath.Join(src, "a/hard")); err != nil {
		t.Fatal(err)
	}
	sparse := filepath.Join(src, "sparse")
	write(t, sparse, "begin")
	if err := os.Truncate(sparse, 3<<20); err != nil {
		t.Fatal(err)
	}
	want := treeOf(t, src)
	for _, cmd := range [][]string{
		{"tar", "--format=gnu", "-cf"},
		{"tar", "--format=pax", "-czf"},
		{"tar", "--format=pax", "--sparse", "-cf"},
		{"tar", "--format=gnu", "--sparse", "-czf"},
		{"tar", "--format=oldgnu", "--sparse", "-cjf"},
		{"bsdtar", "-czf"},
		{"busybox", "tar", "-czf"},
		{"zip", "-q", "-r", "-y"},
		{"bsdtar", "--format=zip", "-cf"},
		{"7z", "a", "-tzip", "-snl"},
	} {
		t.Run(strings.Join(cmd, " "), func(t *testing.T) {
			bin, err := exec.LookPath(cmd[0])
			if err != nil {
				t.Skip(cmd[0] + " is missing")
			}
			archive := filepath.Join(t.TempDir(), "archive.zip")
			c := exec.Command(bin, append(slices.Clone(cmd[1:]), archive, ".")...)
			c.Dir = src
			if out, err := c.CombinedOutput(); err != nil {
				t.Skipf("%s cannot: %s", cmd[0], out)
			}
			dest := filepath.Join(t.TempDir(), "out")
			if _, err := Extract(t.Context(), archive, dest, ExtractOptions{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, treeOf(t, dest)); diff != "" {
				t.Errorf("tree (-want +got):\n%.2000s", diff)
			}
		})
	}
}

func TestExtractCancelled(t *testing.T) {
	// Cancelled from the first report of progress on, it must not get far.
	body := make([]byte, 2<<20)
	data := tarOf(t, e{name: "a", body: string(body)}, e{name: "b", body: string(body)})
	p := newPlace(t, data)
	ctx, cancel := context.WithCancel(t.Context())
	after := 0
	_, err := Extract(ctx, p.archive, p.dest, ExtractOptions{Progress: func(done, total int64) {
		if after++; after == 1 {
			cancel()
		}
	}})
	if after != 1 {
		t.Errorf("it went on for %d reports", after-1)
	}
	if !errors.Is(err, context.Canceled) || fault.KindOf(err) != fault.Interrupted {
		t.Errorf("got %v of kind %v", err, fault.KindOf(err))
	}
	p.checkGone(t)

	_, err = Extract(ctx, p.archive, p.dest, ExtractOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before it began: %v", err)
	}
	p.checkGone(t)
}
