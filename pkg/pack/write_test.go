package pack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"go.uber.org/goleak"

	"github.com/openeas/eascmd/internal/fault"
)

// packed writes a package and returns it.
func packed(t testing.TB, entries []Entry, o WriteOptions) ([]byte, WriteStats) {
	t.Helper()
	var b bytes.Buffer
	s, err := Write(t.Context(), &b, entries, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Written != int64(b.Len()) {
		t.Errorf("%d bytes were written, not %d", b.Len(), s.Written)
	}
	return b.Bytes(), s
}

// noiseBlock is what noise repeats: longer than what compression looks back.
var noiseBlock = sync.OnceValue(func() []byte {
	b := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
})

// noise is content that does not compress.
func noise(seed uint64, size int64) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(&noiseReader{off: int(seed*4099) % (1 << 20)}, size)), nil
	}
}

type noiseReader struct{ off int }

func (r *noiseReader) Read(p []byte) (int, error) {
	n := copy(p, noiseBlock()[r.off:])
	r.off = (r.off + n) % (1 << 20)
	return n, nil
}

// strange has everything that a tree may have and readers may stumble over.
func strange() []Entry {
	long := strings.Repeat("long name ", 9)
	deep := strings.Repeat(long[:80]+"/", 8) + "file"
	return []Entry{
		DataEntry("app.py", 0o644, []byte("print()\n")),
		DataEntry("ENV/bin/python3.11", 0o755, []byte("#!/bin/sh\n")),
		{Name: "ENV/bin/python", Mode: fs.ModeSymlink | 0o777, Link: "python3.11"},
		{Name: "ENV/lib64", Mode: fs.ModeSymlink | 0o777, Link: "lib"},
		DataEntry("ENV/lib/empty", 0o600, nil),
		DataEntry("ENV/lib/block", 0o640, bytes.Repeat([]byte("x"), block)),
		DataEntry("ENV/lib/block and one", 0o4755, bytes.Repeat([]byte("x"), block+1)),
		{Name: "ENV/lib/hard", Mode: 0o644, Size: 4, Same: "1", Open: noise(1, 4)},
		{Name: "ENV/lib/again/hard", Mode: 0o644, Size: 4, Same: "1", Open: noise(1, 4)},
		{Name: "ENV/share/nothing", Mode: fs.ModeDir | 0o700},
		DataEntry("ENV/"+deep, 0o644, []byte("deep\n")),
		DataEntry("ENV/"+long+long+"ende", 0o644, []byte("long\n")),
		{Name: "ENV/link", Mode: fs.ModeSymlink | 0o777, Link: deep},
		DataEntry("ENV/Größe/模型.txt", 0o644, []byte("unicode\n")),
		DataEntry("ENV/a b/c\td/'\"$`\\x", 0o644, []byte("quotes\n")),
		{Name: "model/big.bin", Mode: 0o644, Size: pieceSize + 7, Open: noise(2, pieceSize+7)},
		{Name: "model/two.bin", Mode: 0o644, Size: bigFile + 1, Open: noise(3, bigFile+1)},
		DataEntry("model/small.json", 0o644, []byte("{}")),
	}
}

// wantTree is what unpacking entries gives; see describeTree.
func wantTree(t testing.TB, entries []Entry) map[string]string {
	t.Helper()
	want := map[string]string{}
	for _, e := range entries {
		switch {
		case e.Mode.IsDir():
			want[e.Name] = "dir"
		case e.Mode&fs.ModeSymlink != 0:
			want[e.Name] = "-> " + e.Link
		default:
			content, err := whole(e)
			if err != nil {
				t.Fatal(err)
			}
			want[e.Name] = describeFile(e.Mode, content)
		}
		for dir := filepath.Dir(e.Name); dir != "."; dir = filepath.Dir(dir) {
			want[dir] = "dir"
		}
	}
	return want
}

func describeFile(mode fs.FileMode, content []byte) string {
	return fmt.Sprintf("executable=%v %x", mode&0o100 != 0, sha256.Sum256(content))
}

// describeTree says what is below a directory.
func describeTree(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case d.IsDir():
			got[name] = "dir"
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			got[name] = "-> " + to
			return err
		default:
			info, err := d.Info()
			if err != nil {
				return err
			}
			content, err := os.ReadFile(path)
			got[name] = describeFile(info.Mode(), content)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

const readWithPython = `
import sys, tarfile
with tarfile.open(sys.argv[1]) as t:
    t.extractall(sys.argv[2])
`

// Every reader that is at hand unpacks the same tree.
func TestReaders(t *testing.T) {
	entries := strange()
	want := wantTree(t, entries)
	for _, single := range []bool{false, true} {
		data, _ := packed(t, entries, WriteOptions{SingleMember: single})
		file := filepath.Join(t.TempDir(), "p.tar.gz")
		write(t, file, string(data))
		for _, r := range []struct {
			name string
			args []string // FILE and DIR stand for what they say
		}{
			{"tar", []string{"tar", "-xzf", "FILE", "-C", "DIR"}},
			{"zcat", []string{"sh", "-c", "gzip -t FILE && zcat FILE | tar -xf - -C DIR"}},
			{"bsdtar", []string{"bsdtar", "-xf", "FILE", "-C", "DIR"}},
			{"busybox", []string{"busybox", "tar", "-xzf", "FILE", "-C", "DIR"}},
			{"python3", []string{"python3", "-c", readWithPython, "FILE", "DIR"}},
			{"pigz", []string{"sh", "-c", "pigz -dc FILE | tar -xf - -C DIR"}},
		} {
			t.Run(fmt.Sprintf("%s/single=%v", r.name, single), func(t *testing.T) {
				if _, err := exec.LookPath(r.name); err != nil {
					t.Skip("missing: " + r.name)
				}
				dir := t.TempDir()
				for i, arg := range r.args {
					r.args[i] = strings.NewReplacer("FILE", file, "DIR", dir).Replace(arg)
				}
				out, err := exec.Command(r.args[0], r.args[1:]...).CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if len(out) > 0 {
					t.Errorf("it says %s", out)
				}
				if diff := cmp.Diff(want, describeTree(t, dir)); diff != "" {
					t.Error(diff)
				}
			})
		}
		t.Run(fmt.Sprintf("Extract/single=%v", single), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			if _, err := Extract(t.Context(), file, dir, ExtractOptions{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, describeTree(t, dir)); diff != "" {
				t.Error(diff)
			}
			one, err := os.Stat(filepath.Join(dir, "ENV/lib/hard"))
			if err != nil {
				t.Fatal(err)
			}
			other, err := os.Stat(filepath.Join(dir, "ENV/lib/again/hard"))
			if err != nil {
				t.Fatal(err)
			}
			if !os.SameFile(one, other) {
				t.Error("a hard link was not kept")
			}
		})
	}
}

// What stands in the headers, and in which order.
func TestHeaders(t *testing.T) {
	data, _ := packed(t, strange(), WriteOptions{})
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || !h.ModTime.Equal(Epoch) {
			t.Errorf("%s: owner %d %q, group %d %q, time %v", h.Name, h.Uid, h.Uname, h.Gid, h.Gname, h.ModTime)
		}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeLink:
			if h.Mode != 0o644 && h.Mode != 0o755 {
				t.Errorf("%s: mode %o", h.Name, h.Mode)
			}
		case tar.TypeDir:
			if h.Mode != 0o755 {
				t.Errorf("%s: mode %o", h.Name, h.Mode)
			}
		}
		if h.Name == "ENV/lib/hard" && h.Linkname != "ENV/lib/again/hard" {
			t.Errorf("%s is a link to %q", h.Name, h.Linkname)
		}
	}
	env := slices.IndexFunc(names, func(n string) bool { return !strings.HasPrefix(n, "ENV/") })
	want := []string{"model/", "model/big.bin", "model/small.json", "model/two.bin", "app.py"}
	if diff := cmp.Diff(want, names[env:]); diff != "" {
		t.Error(diff)
	}
	if !slices.IsSortedFunc(names[:env], func(a, b string) int {
		return comparePaths(strings.TrimSuffix(a, "/"), strings.TrimSuffix(b, "/"))
	}) {
		t.Errorf("not sorted: %q", names[:env])
	}
}

// The bytes depend on the files alone.
func TestReproducible(t *testing.T) {
	first, dir := t.TempDir(), filepath.Join(t.TempDir(), "another place")
	makeTree(t, first, 10<<20)
	write(t, filepath.Join(first, "app.py"), "x = 1\n")
	if err := os.CopyFS(dir, os.DirFS(first)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return errors.Join(os.Chtimes(path, someTime, someTime), os.Chmod(path, 0o600))
	})
	if err != nil {
		t.Fatal(err)
	}
	sum := func(dir string, o WriteOptions, change func([]Entry)) [32]byte {
		t.Helper()
		entries, _, err := Walk(t.Context(), dir, WalkOptions{})
		if err != nil {
			t.Fatal(err)
		}
		change(entries)
		data, _ := packed(t, entries, o)
		return sha256.Sum256(data)
	}
	for _, single := range []bool{false, true} {
		want := sum(first, WriteOptions{Workers: 1, SingleMember: single}, func([]Entry) {})
		for _, workers := range []int{2, 5} {
			got := sum(dir, WriteOptions{Workers: workers, SingleMember: single}, func(e []Entry) {
				rand.Shuffle(len(e), func(i, j int) { e[i], e[j] = e[j], e[i] })
			})
			if got != want {
				t.Errorf("%d workers, single member %v: other bytes", workers, single)
			}
		}
	}
}

// members decompresses the members of a package one by one.
func members(t testing.TB, data []byte) [][]byte {
	t.Helper()
	r := bytes.NewReader(data)
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for {
		z.Multistream(false)
		b, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
		if err := z.Reset(r); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestMembers(t *testing.T) {
	chain, stats := packed(t, strange(), WriteOptions{})
	parts := members(t, chain)
	if len(parts) != stats.Segments || stats.Segments < 5 {
		t.Errorf("%d members, %d segments", len(parts), stats.Segments)
	}
	whole := bytes.Join(parts, nil)
	if int64(len(whole)) != stats.Tar {
		t.Errorf("%d bytes of tar, not %d", len(whole), stats.Tar)
	}
	if !bytes.HasSuffix(parts[len(parts)-1], archiveEnd[:]) {
		t.Error("the last member does not hold the end of the archive")
	}
	single, _ := packed(t, strange(), WriteOptions{SingleMember: true})
	if parts := members(t, single); len(parts) != 1 || !bytes.Equal(parts[0], whole) {
		t.Errorf("%d members, or another content", len(parts))
	}
}

// A change of one file changes the segment that it is in, and at most one more.
func TestEditChangesOneSegment(t *testing.T) {
	dir := t.TempDir()
	makeTree(t, dir, 16<<20)
	entries, _, err := Walk(t.Context(), dir, WalkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := packed(t, entries, WriteOptions{Level: 1})
	known := map[[32]byte]bool{}
	for _, m := range members(t, before) {
		known[sha256.Sum256(m)] = true
	}
	if len(known) < 4 {
		t.Fatalf("only %d segments", len(known))
	}
	at := len(entries) / 2
	for what, changed := range map[string][]Entry{
		"added":   append(slices.Clone(entries), DataEntry(entries[at].Name+"x", 0o644, []byte("new"))),
		"removed": slices.Delete(slices.Clone(entries), at, at+1),
		"code":    append(slices.Clone(entries), DataEntry("app.py", 0o644, []byte("new"))),
	} {
		after, _ := packed(t, changed, WriteOptions{Level: 1})
		fresh := 0
		for _, m := range members(t, after) {
			if !known[sha256.Sum256(m)] {
				fresh++
			}
		}
		// One more where the end of the archive has moved.
		if fresh == 0 || fresh > 2 {
			t.Errorf("%s: %d of %d segments are new", what, fresh, len(known))
		}
	}
}

// Whatever the names and sizes, the segments are all of the archive in its
// order, and of the sizes that they may have.
func FuzzCut(f *testing.F) {
	f.Add(uint64(1), 100, int64(1<<20))
	f.Add(uint64(2), 3000, int64(8<<10))
	f.Add(uint64(3), 20, int64(60<<20))
	f.Fuzz(func(t *testing.T, seed uint64, n int, most int64) {
		if n < 1 || n > 5000 || most < 1 || most > 1<<40 {
			t.Skip()
		}
		r := rand.New(rand.NewPCG(seed, 0))
		var entries []Entry
		for i := range n {
			name := fmt.Sprintf("d%d/%x", r.IntN(5), i)
			if r.IntN(2) == 0 {
				name = EnvDir + "/" + name
			}
			entries = append(entries, Entry{Name: name, Size: r.Int64N(most), Open: noise(0, 0)})
		}
		records, err := inOrder(entries)
		if err != nil {
			t.Fatal(err)
		}
		segments := cut(records)
		next, off := 0, int64(0)
		for i, s := range segments {
			if s.first != next || s.from != off {
				t.Fatalf("segment %d begins at %d+%d, not at %d+%d", i, s.first, s.from, next, off)
			}
			next, off = s.last, 0
			if r := records[s.first]; r.big() {
				if s.last != s.first+1 || s.to-s.from > pieceSize || s.to != r.Size && s.to-s.from != pieceSize {
					t.Fatalf("segment %d: %+v of a file of %d", i, s, r.Size)
				}
				if s.to < r.Size {
					next, off = s.first, s.to
				}
				continue
			}
			if s.from != 0 || s.to != 0 {
				t.Fatalf("segment %d is a piece: %+v", i, s)
			}
			if s.size > maxSegment+int64(len(archiveEnd)) {
				t.Fatalf("segment %d has %d bytes", i, s.size)
			}
			last := s.last == len(records)
			if s.size < minSegment && !last && !records[s.last].big() && records[s.last].rank == records[s.first].rank {
				t.Fatalf("segment %d has %d bytes", i, s.size)
			}
			if s.end != last {
				t.Fatalf("segment %d: end %v", i, s.end)
			}
		}
		if next != len(records) || off != 0 {
			t.Fatalf("the segments end at %d+%d of %d", next, off, len(records))
		}
	})
}

func TestHeaderSize(t *testing.T) {
	records, err := inOrder(append(strange(), Entry{Name: "big", Size: 9 << 30, Open: noise(0, 0)}))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 98, 99, 100, 101, 102, 511, 512, 600} {
		name := strings.Repeat("x", 50) + "/" + strings.Repeat("y", min(200, n)) + strings.Repeat("/z", n/2)
		records = append(records, record{Entry: DataEntry(name, 0o644, nil)},
			record{Entry: Entry{Name: name, Mode: fs.ModeDir}},
			record{Entry: Entry{Name: "l", Mode: fs.ModeSymlink, Link: name}},
			record{Entry: DataEntry("h", 0o644, nil), same: name})
	}
	for _, r := range records {
		var b bytes.Buffer
		if err := appendHeader(&b, r); err != nil {
			t.Fatal(err)
		}
		if int64(b.Len()) != headerSize(r) {
			t.Errorf("%q -> %q%q: %d bytes, not %d", r.Name, r.Link, r.same, b.Len(), headerSize(r))
		}
	}
}

func TestRefusedEntries(t *testing.T) {
	file := func(name string) Entry { return DataEntry(name, 0o644, nil) }
	link := func(to string) Entry { return Entry{Name: "d/l", Mode: fs.ModeSymlink, Link: to} }
	for _, c := range []struct {
		why     string
		entries []Entry
	}{
		{"nothing to pack", nil},
		{"absolute", []Entry{file("/etc/passwd")}},
		{`".."`, []Entry{file("a/../b")}},
		{"simplest", []Entry{file("./a")}},
		{"simplest", []Entry{file("a/")}},
		{"simplest", []Entry{file(".")}},
		{"no name", []Entry{file("")}},
		{"twice", []Entry{file("a"), file("a")}},
		{"twice", []Entry{file("a"), file("a/b")}},
		{"twice", []Entry{link("x"), file("d/l/x")}},
		{"leads out", []Entry{link("/etc")}},
		{"leads out", []Entry{link("../../x")}},
		{"leads out", []Entry{link("")}},
		{"socket", []Entry{{Name: "s", Mode: fs.ModeSocket}}},
		{"no content", []Entry{{Name: "a", Size: 3}}},
	} {
		var b bytes.Buffer
		_, err := Write(t.Context(), &b, c.entries, WriteOptions{})
		if err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%v: got %v, want %q", c.entries, err, c.why)
		}
		if b.Len() > 0 {
			t.Errorf("%v: something was written", c.entries)
		}
	}
	for _, level := range []int{-1, 10} {
		if _, err := Write(t.Context(), io.Discard, []Entry{file("a")}, WriteOptions{Level: level}); fault.KindOf(err) != fault.Usage {
			t.Errorf("level %d: %v", level, err)
		}
	}
}

// A file that changes between Walk and the end of Write is an error that names it.
func TestChangedFile(t *testing.T) {
	for what, change := range map[string]func(name string) error{
		"longer":  func(name string) error { return os.WriteFile(name, []byte("more than there was"), 0o644) },
		"shorter": func(name string) error { return os.WriteFile(name, []byte("les"), 0o644) },
		"touched": func(name string) error { return os.Chtimes(name, someTime, someTime.Add(time.Second)) },
		"gone":    os.Remove,
		"replaced": func(name string) error {
			return errors.Join(os.WriteFile(name+".new", []byte("same size"), 0o644), os.Rename(name+".new", name))
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "d", "data.txt")
			write(t, name, "same size")
			entries, _, err := Walk(t.Context(), dir, WalkOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := change(name); err != nil {
				t.Fatal(err)
			}
			if _, err = Write(t.Context(), io.Discard, entries, WriteOptions{}); err == nil || !strings.Contains(err.Error(), "d/data.txt") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// fullDisk takes so many bytes.
type fullDisk struct{ left int }

var errFull = errors.New("the disk is full")

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriterFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, room := range []int{0, 1, 1 << 20, 18 << 20} {
		for _, workers := range []int{1, 4} {
			if _, err := Write(t.Context(), &fullDisk{room}, strange(), WriteOptions{Workers: workers}); !errors.Is(err, errFull) {
				t.Errorf("room for %d: %v", room, err)
			}
		}
	}
}

func TestReaderFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	errRead := errors.New("the disk is broken")
	entries := append(strange(), Entry{Name: "broken", Size: 1 << 20, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("begins"), failing{errRead})), nil
	}})
	_, err := Write(t.Context(), io.Discard, entries, WriteOptions{})
	if !errors.Is(err, errRead) || !strings.Contains(err.Error(), `"broken"`) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestWriteInterrupted(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := Write(ctx, io.Discard, strange(), WriteOptions{Progress: func(done, total int64) {
		if done > total/2 {
			cancel()
		}
	}})
	if fault.KindOf(err) != fault.Interrupted || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestJoinCRC(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, n := range []int{0, 1, 7, 8, 9, 1000, 65536, 100_001} {
		a, b := make([]byte, r.IntN(5000)), make([]byte, n)
		for i := range a {
			a[i] = byte(r.Uint32())
		}
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		got := joinCRC(crc32.ChecksumIEEE(a), crc32.ChecksumIEEE(b), int64(n))
		if want := crc32.ChecksumIEEE(slices.Concat(a, b)); got != want {
			t.Errorf("%d and %d bytes: %x, want %x", len(a), n, got, want)
		}
	}
}
