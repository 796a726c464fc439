package pack

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDetect(t *testing.T) {
	tarball := tarOf(t, e{name: "a", body: "hello"})
	// The oldest tars have no magic.
	v7 := slices.Clone(tarball)
	clear(v7[257:512])
	resum(v7)
	gz := gzipOf(t, tarball)

	tests := []struct {
		name string
		data []byte
		want Format
	}{
		{"tar", tarball, Tar},
		{"tar without magic", v7, Tar},
		{"tar.gz", gz, TarGzip},
		{"tar.gz in two members", slices.Concat(gzipOf(t, tarball[:100]), gzipOf(t, tarball[100:])), TarGzip},
		{"tar.gz with an empty member first", slices.Concat(gzipOf(t, nil), gz), TarGzip},
		{"zip", zipOf(t, z{name: "a", body: "x"}), Zip},
		{"zip without entries", zipOf(t), Zip},
		{"gzip of a text", gzipOf(t, []byte("hello")), None},
		{"gzip of a long text", gzipOf(t, bytes.Repeat([]byte("hello "), 1000)), None},
		{"gzip of nothing", gzipOf(t, nil), None},
		{"gzip of a text, followed by zeros", append(gzipOf(t, []byte("hello")), 0, 0), None},
		{"gzip of a text, followed by something", append(gzipOf(t, []byte("hello")), "xyz"...), None},
		{"empty", nil, None},
		{"one byte", []byte("P"), None},
		{"text", []byte("print('hello')\n"), None},
		{"ELF", append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 2000)...), None},
		{"zeros", make([]byte, 10240), None},
		{"gzip of zeros and more", gzipOf(t, append(make([]byte, 10240), 1)), None},
		{"text like bzip2", []byte("BZh9 is how a bzip2 file begins"), None},
		{"a tar header with a wrong sum", append([]byte("b"), tarball[1:]...), None},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DetectReader(bytes.NewReader(tt.data))
			if err != nil || got != tt.want {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
	t.Run("tar.bz2", func(t *testing.T) {
		got, err := DetectReader(bytes.NewReader(bzip2Of(t, tarball)))
		if err != nil || got != TarBzip2 {
			t.Errorf("got %v, %v", got, err)
		}
	})
	t.Run("bzip2 of a text", func(t *testing.T) {
		got, err := DetectReader(bytes.NewReader(bzip2Of(t, []byte("hello"))))
		if err != nil || got != None {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// resum puts the right checksum into a tar header.
func resum(header []byte) {
	copy(header[148:156], "        ")
	sum := 0
	for _, c := range header[:512] {
		sum += int(c)
	}
	s := []byte("000000\x00 ")
	for i := 5; i >= 0; i-- {
		s[i] = '0' + byte(sum&7)
		sum >>= 3
	}
	copy(header[148:156], s)
}

func TestDetectForeign(t *testing.T) {
	for magic, kind := range map[string]string{
		"\xfd7zXZ\x00":             "xz",
		"\x28\xb5\x2f\xfd":         "zstd",
		"7z\xbc\xaf\x27\x1c":       "7z",
		"Rar!\x1a\x07\x01\x00":     "rar",
		"\x04\x22\x4d\x18":         "lz4",
		"LZIP\x01":                 "lzip",
		"\x1f\x9d\x90 and so on..": "compress",
	} {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.tar.gz") // the name does not matter
			write(t, path, magic+strings.Repeat("x", 600))
			_, err := Detect(path)
			var unsupported *UnsupportedError
			if !errors.As(err, &unsupported) || !strings.Contains(unsupported.Kind, kind) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name the file: %v", err)
			}
			dest := filepath.Join(t.TempDir(), "out")
			if _, err := Extract(t.Context(), path, dest, ExtractOptions{}); !errors.As(err, &unsupported) {
				t.Errorf("Extract: %v", err)
			}
			if _, err := os.Lstat(dest); err == nil {
				t.Error("Extract made the directory")
			}
		})
	}
}

func TestDetectDamaged(t *testing.T) {
	gz := gzipOf(t, tarOf(t, e{name: "a", body: strings.Repeat("hello", 1000)}))
	for name, data := range map[string][]byte{
		"header only": gz[:10],
		"cut off":     gz[:30],
		"bad header":  {0x1f, 0x8b, 8, 0xff, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := DetectReader(bytes.NewReader(data)); err == nil {
				t.Errorf("got %v and no error", got)
			}
		})
	}
}

func TestDetectNoFile(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "missing"), os.DevNull} {
		if _, err := Detect(path); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}

func TestSingleFile(t *testing.T) {
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"jar", zipOf(t, z{name: "META-INF/"}, z{name: "META-INF/MANIFEST.MF"}, z{name: "A.class"}), "Java archive"},
		{"wheel", zipOf(t, z{name: "p/__init__.py"}, z{name: "p-1.0.dist-info/WHEEL"}), "Python wheel"},
		{"torch", zipOf(t, z{name: "net/data.pkl"}, z{name: "net/data/0"}), "PyTorch model"},
		{"npz", zipOf(t, z{name: "x.npy"}, z{name: "y.npy"}), "NumPy archive"},
		{"plain zip", zipOf(t, z{name: "app.py"}, z{name: "x.npy"}), ""},
		{"zip of a directory with a wheel unpacked", zipOf(t, z{name: "ENV/lib/p-1.0.dist-info/WHEEL"}), ""},
		{"empty zip", zipOf(t), ""},
		{"damaged zip", []byte("PK\x03\x04 and nothing else"), ""},
		{"tar", tarOf(t, e{name: "META-INF/MANIFEST.MF"}), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			write(t, path, string(tt.data))
			got, ok := SingleFile(path)
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v; want %q", got, ok, tt.want)
			}
		})
	}
}
