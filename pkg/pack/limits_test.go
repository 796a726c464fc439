package pack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
)

func TestExtractLimits(t *testing.T) {
	many := make([]e, 50)
	manyz := make([]z, 50)
	for i := range many {
		many[i] = e{name: fmt.Sprintf("f%d", i)}
		manyz[i] = z{name: fmt.Sprintf("f%d", i)}
	}
	tests := []struct {
		name   string
		data   []byte
		opts   ExtractOptions
		option string // "" where it is within the limit
	}{
		{"bytes", tarOf(t, e{name: "a", body: "12345"}, e{name: "b", body: "678"}), ExtractOptions{MaxBytes: 7}, "MaxBytes"},
		{"bytes, just", tarOf(t, e{name: "a", body: "12345"}, e{name: "b", body: "67"}), ExtractOptions{MaxBytes: 7}, ""},
		{"bytes, zip", zipOf(t, z{name: "a", body: "12345"}, z{name: "b", body: "678"}), ExtractOptions{MaxBytes: 7}, "MaxBytes"},
		{"entries", tarOf(t, many...), ExtractOptions{MaxEntries: 49}, "MaxEntries"},
		{"entries, just", tarOf(t, many...), ExtractOptions{MaxEntries: 50}, ""},
		{"entries, zip", zipOf(t, manyz...), ExtractOptions{MaxEntries: 49}, "MaxEntries"},
		{"entries that names imply", tarOf(t, e{name: "a/b/c/d/e/f", body: ""}), ExtractOptions{MaxEntries: 5}, "MaxEntries"},
		{"links count", tarOf(t, e{name: "a", kind: tar.TypeSymlink, link: "b"}, e{name: "b", kind: tar.TypeSymlink, link: "c"}), ExtractOptions{MaxEntries: 1}, "MaxEntries"},
		{"none", tarOf(t, many...), ExtractOptions{MaxEntries: -1, MaxBytes: -1, MaxRatio: -1}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, tt.data)
			_, err := Extract(t.Context(), p.archive, p.dest, tt.opts)
			if tt.option == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var limit *LimitError
			if !errors.As(err, &limit) || limit.Option != tt.option {
				t.Fatalf("got %v", err)
			}
			if fault.HintOf(err) == "" {
				t.Errorf("no hint: %v", err)
			}
			p.checkGone(t)
		})
	}
}

// zeroBomb is a tar.gz of one file of n zeros, a multiple of 8 MiB. One gzip
// member over and over is quickly made.
func zeroBomb(t testing.TB, level int, n int64) []byte {
	t.Helper()
	const each = 8 << 20
	var head bytes.Buffer
	w := tar.NewWriter(&head)
	if err := w.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: n, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	member := gzipAt(t, level, make([]byte, each))
	return slices.Concat(gzipOf(t, head.Bytes()), bytes.Repeat(member, int(n/each)), gzipOf(t, make([]byte, 1024)))
}

// gzipAt packs data as gzip does at a level. It is the standard library's
// compressor, whose level 1 packs zeros no better than gzip's own does.
func gzipAt(t testing.TB, level int, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Ten gigabytes of zeros are refused early, however well they are packed.
func TestExtractZeroBomb(t *testing.T) {
	const n = 10 << 30
	var limit *LimitError
	for level := gzip.BestSpeed; level <= gzip.BestCompression; level++ {
		t.Run(fmt.Sprintf("gzip -%d", level), func(t *testing.T) {
			p := newPlace(t, zeroBomb(t, level, n))
			var seen, total int64
			_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{Progress: func(d, t int64) { seen, total = d, t }})
			if !errors.As(err, &limit) || limit.Option != "MaxRatio" || !strings.Contains(err.Error(), "more than 150 to 1") {
				t.Fatalf("got %v", err)
			}
			if hint := fault.HintOf(err); !strings.Contains(hint, "name the directory") {
				t.Errorf("hint: %q", hint)
			}
			if seen > total/10 {
				t.Errorf("%d of %d bytes were read before it was refused", seen, total)
			}
			p.checkGone(t)
		})
	}
	p := newPlace(t, zeroBomb(t, gzip.BestCompression, n))

	// It says beforehand what it holds, and is refused before anything is
	// unpacked.
	_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{MaxBytes: n - 1, MaxRatio: -1})
	if !errors.As(err, &limit) || limit.Option != "MaxBytes" {
		t.Fatalf("got %v", err)
	}
	p.checkGone(t)
}

// Where it is let through, it fills no disk.
func TestExtractZerosAreNotWritten(t *testing.T) {
	const n = 64 << 20
	p := newPlace(t, zeroBomb(t, gzip.BestCompression, n))
	stats, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{MaxRatio: -1})
	if err != nil {
		t.Fatal(err)
	}
	if stats.Bytes != n {
		t.Errorf("stats: %+v", stats)
	}
	if used, ok := blocks(filepath.Join(p.dest, "zeros")); ok && used > n/100 {
		t.Errorf("%d bytes of %d zeros are on the disk", used, int64(n))
	}
}

// A zip may use the same compressed data for many entries, each of them
// harmless.
func TestExtractOverlappingZip(t *testing.T) {
	const entries, each = 3000, 100 << 10
	var packed bytes.Buffer
	one := zipOf(t, z{name: "0000", body: strings.Repeat("\x00", each)})
	r, err := zip.NewReader(bytes.NewReader(one), int64(len(one)))
	if err != nil {
		t.Fatal(err)
	}
	f := r.File[0]
	raw, err := f.OpenRaw()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(raw)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	local := append([]byte("PK\x03\x04\x14\x00\x00\x00\x08\x00"), make([]byte, 20)...)
	le.PutUint32(local[14:], crc32.ChecksumIEEE(make([]byte, each)))
	le.PutUint32(local[18:], uint32(len(data)))
	le.PutUint32(local[22:], each)
	packed.Write(local)
	packed.Write(data)
	dir := packed.Len()
	for i := range entries {
		h := append([]byte("PK\x01\x02\x14\x00\x14\x00\x00\x00\x08\x00"), make([]byte, 34)...)
		copy(h[16:28], local[14:26])
		name := fmt.Sprintf("%04d", i)
		le.PutUint16(h[28:], uint16(len(name)))
		packed.Write(h)
		packed.WriteString(name)
	}
	end := append([]byte("PK\x05\x06"), make([]byte, 18)...)
	le.PutUint16(end[8:], entries)
	le.PutUint16(end[10:], entries)
	le.PutUint32(end[12:], uint32(packed.Len()-dir))
	le.PutUint32(end[16:], uint32(dir))
	packed.Write(end)

	p := newPlace(t, packed.Bytes())
	_, err = Extract(t.Context(), p.archive, p.dest, ExtractOptions{MaxRatio: 100})
	var limit *LimitError
	if !errors.As(err, &limit) || limit.Option != "MaxRatio" {
		t.Fatalf("got %v", err)
	}
	p.checkGone(t)
}

// A directory of more entries than it says, and than are allowed, is not read
// to its end.
func TestExtractZipDirectoryBomb(t *testing.T) {
	const entries = 66_000
	header := append([]byte("PK\x01\x02\x14\x00\x14\x00\x00\x00\x08\x00"), make([]byte, 34)...)
	header[28] = 1 // of the name
	dir := bytes.Repeat(append(header, 'a'), entries)
	end := append([]byte("PK\x05\x06"), make([]byte, 18)...)
	binary.LittleEndian.PutUint16(end[8:], entries&0xffff)
	binary.LittleEndian.PutUint16(end[10:], entries&0xffff)
	binary.LittleEndian.PutUint32(end[12:], uint32(len(dir)))
	binary.LittleEndian.PutUint32(end[16:], 4)
	data := slices.Concat([]byte("PK\x03\x04"), dir, end)

	l := newLimits(ExtractOptions{MaxEntries: 1000}, t.TempDir())
	r := &directoryReader{r: bytes.NewReader(data), limits: l}
	_, err := zip.NewReader(r, int64(len(data)))
	var limit *LimitError
	if !errors.As(err, &limit) || limit.Option != "MaxEntries" {
		t.Fatalf("got %v", err)
	}
	p := newPlace(t, data)
	if _, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{MaxEntries: 1000}); !errors.As(err, &limit) {
		t.Errorf("got %v", err)
	}
	p.checkGone(t)
}

// Runs of zeros become holes, and the content stays what it was.
func TestExtractHoles(t *testing.T) {
	body := make([]byte, 3<<20+17)
	copy(body, "begin")
	copy(body[1<<20+5:], "middle")
	tests := map[string][]byte{
		"hole at the end":     body,
		"data at the end":     append(bytes.Clone(body), "end"...),
		"nothing but a hole":  make([]byte, 1<<20),
		"shorter than a hole": make([]byte, 1000),
		"a hole and a byte":   append(make([]byte, holeSize), 1),
		"one hole":            make([]byte, holeSize),
		"no hole":             bytes.Repeat([]byte{1}, 1<<20),
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, gzipOf(t, tarOf(t, e{name: "f", body: string(body)})))
			stats, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(p.dest, "f"))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, body) {
				t.Errorf("%d bytes came out, and are not the %d that went in", len(got), len(body))
			}
			if stats.Bytes != int64(len(body)) {
				t.Errorf("stats: %+v", stats)
			}
		})
	}
}

func TestRatio(t *testing.T) {
	l := newLimits(ExtractOptions{}, t.TempDir())
	if err := l.ratio(ratioFrom, 1); err != nil {
		t.Errorf("a small archive: %v", err)
	}
	if err := l.ratio(1000<<20, 10<<20); err != nil {
		t.Errorf("100 to 1: %v", err)
	}
	if err := l.ratio(2290<<20, 10<<20); err == nil {
		t.Error("229 to 1 passes")
	}
}

// A disk that is about to be full is not filled.
func TestRoom(t *testing.T) {
	l := newLimits(ExtractOptions{}, t.TempDir())
	if err := l.room(1 << 62); fault.KindOf(err) != fault.Missing || fault.HintOf(err) == "" {
		t.Errorf("an archive larger than the disk: %v", err)
	}
	l.reserve = 1 << 62
	if err := l.wrote(spaceEvery - 1); err != nil {
		t.Errorf("looked at the disk too early: %v", err)
	}
	if err := l.wrote(1); fault.KindOf(err) != fault.Missing {
		t.Errorf("the reserve is used up: %v", err)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1536: "1.5 KiB", 20 << 30: "20 GiB", 1<<63 - 1: "8192 PiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestExtractNothing(t *testing.T) {
	var comments bytes.Buffer
	w := tar.NewWriter(&comments)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "empty"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"zip":             zipOf(t),
		"tar of comments": comments.Bytes(),
		"tar.gz":          gzipOf(t, make([]byte, 1024)),
		"zeros":           gzipOf(t, make([]byte, 3*zerosLooked)),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, data)
			_, err := Extract(t.Context(), p.archive, p.dest, ExtractOptions{})
			if err == nil || !strings.Contains(err.Error(), "holds no files") || fault.HintOf(err) == "" {
				t.Errorf("got %v", err)
			}
			p.checkGone(t)
		})
	}
}
