package store

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"hash/crc64"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

func TestReadContent(t *testing.T) {
	const part, end = 2<<20 + 7, 1<<20 + 3
	for _, size := range []int{0, 1, end - 1, end, end + 1, part, 3*part + 5, 7 * part} {
		data := noise(size)
		parts := layout{int64(size), part, end}
		var last int64
		c, err := readContent(t.Context(), bytes.NewReader(data), parts, CRC64, func(n int64) { last = n })
		if err != nil {
			t.Fatal(err)
		}
		want := strconv.FormatUint(crc64.Checksum(data, crc64.MakeTable(crc64.ECMA)), 10)
		if c.sums.CRC64 != want || last != int64(size) || len(c.crcs) != parts.count() {
			t.Errorf("of %d bytes: %+v, read %d", size, c, last)
		}
		for i, crc := range c.crcs {
			at, n := parts.section(i + 1)
			if crc != crc32.Checksum(data[at:at+n], castagnoli) {
				t.Errorf("of %d bytes: part %d has another checksum", size, i+1)
			}
		}
	}
	if _, err := readContent(t.Context(), bytes.NewReader(noise(10)), layout{11, part, end}, CRC32C, func(int64) {}); !errors.Is(err, errFileChanged) {
		t.Errorf("shorter than it was: %v", err)
	}
}

// The parts are the file, one after the other, and get smaller only at its end.
func TestLayout(t *testing.T) {
	for _, l := range []layout{
		{1, 1, 1}, {1, 8, 2}, {7, 8, 8}, {8, 8, 2}, {9, 8, 8}, {31, 8, 2}, {32, 8, 2}, {33, 8, 2}, {40, 8, 2}, {41, 8, 2},
		{47, 8, 3}, {48, 8, 5}, {400, 8, 8}, {401, 8, 1}, {1 << 20, 1000, 7}, {999_999, 1000, 125},
	} {
		var at, before int64 = 0, l.PartSize
		for number := 1; number <= l.count(); number++ {
			offset, size := l.section(number)
			if offset != at || size <= 0 || size > before || number < l.count() && size != l.PartSize && size != l.EndSize {
				t.Fatalf("%+v: part %d is %d bytes at %d", l, number, size, offset)
			}
			at, before = at+size, size
		}
		if at != l.Size {
			t.Errorf("%+v: its parts are %d bytes", l, at)
		}
		if most := int(l.Size/l.PartSize) + 1 + (endParts+1)*int(l.PartSize/l.EndSize+1); l.count() > most {
			t.Errorf("%+v: %d parts", l, l.count())
		}
	}
}

func TestParts(t *testing.T) {
	const mib = 1 << 20
	s3 := Traits{MinPart: 5 * mib, MaxPart: 5 << 30, MaxParts: 10_000}
	oss := Traits{MinPart: 100 << 10, MaxPart: 5 << 30, MaxParts: 10_000}
	for _, tt := range []struct {
		traits                 Traits
		size, asked, want, end int64
	}{
		{s3, 0, 0, smallFile, smallFile},
		{s3, smallFile, 0, smallFile, smallFile},
		{s3, smallFile, smallFile, smallFile, smallFile},
		{s3, smallFile, mib, 5 * mib, 5 * mib},
		{s3, smallFile + 1, 0, 5 * mib, 5 * mib},
		{oss, smallFile + 1, 0, 2 * mib, mib / 2},
		{s3, 1 << 30, 0, 5 * mib, 5 * mib},
		{s3, 9 << 30, 0, 16 * mib, 5 * mib},
		{oss, 9 << 30, 0, 16 * mib, 4 * mib},
		{s3, 1 << 40, 0, 2 << 30, 512 * mib},
		{s3, 1 << 30, 1, 5 * mib, 5 * mib},
		{oss, 1 << 30, mib, mib, mib},
		{s3, 1 << 40, 5 * mib, 1<<40/10_000 + 1, 1<<40/10_000 + 1},
		{s3, 1 << 30, 6<<30 + 1, 5 << 30, 5 << 30},
		{Traits{MinPart: 1, MaxPart: 5 << 30, MaxParts: 520}, 1 << 30, 0, 2 * mib, 2 * mib}, // no room for more
		{s3, 1 << 46, 0, -1, 0},
	} {
		u := &upload{store: &traitsOnly{traits: tt.traits}, info: sized{size: tt.size}, opts: UploadOptions{PartSize: tt.asked}}
		got, err := u.parts()
		if tt.want < 0 {
			if err == nil {
				t.Errorf("%d bytes are sent in parts of %d", tt.size, got.PartSize)
			}
			continue
		}
		if want := (layout{tt.size, tt.want, tt.end}); err != nil || got != want {
			t.Errorf("%d bytes, asked for parts of %d: %+v, %v, want %+v", tt.size, tt.asked, got, err, want)
		}
		if got.count() > tt.traits.MaxParts {
			t.Errorf("%d bytes are %d parts", tt.size, got.count())
		}
	}
}

type traitsOnly struct {
	Store
	traits Traits
}

func (s *traitsOnly) Traits() Traits { return s.traits }

type sized struct {
	os.FileInfo
	size int64
}

func (s sized) Size() int64 { return s.size }

// A byte counts once for the progress, and each time for what was sent.
func TestMeter(t *testing.T) {
	var seen []int64
	m := newMeter(UploadOptions{Progress: func(p UploadProgress) { seen = append(seen, p.Done) }}, 100)
	m.phase(Sending)
	m.resumed(10)
	m.sent(1, 20)
	m.sent(2, 5)
	m.sent(1, 30)
	m.lost(1)
	m.sent(1, 30)
	m.sent(1, 0) // gone back to send it once more
	m.sent(1, 30)
	m.arrived(1, 30)
	m.arrived(2, 60)
	want := []int64{0, 10, 30, 35, 45, 15, 45, 15, 45, 45, 100}
	if len(seen) != len(want) {
		t.Fatalf("progress %v", seen)
	}
	for i := range want {
		if seen[i] != want[i] {
			t.Fatalf("progress %v, want %v", seen, want)
		}
	}
	if m.sentBytes() != 30+5+30+30 {
		t.Errorf("%d bytes were sent", m.sentBytes())
	}
}

// The limit holds over all parts together.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(UploadOptions{LimitRate: 100_000}, 0)
		started := time.Now()
		done := make(chan error)
		for range 4 {
			go func() {
				body := NewBody(bytes.NewReader(make([]byte, 250_000)), 0, 250_000)
				body.limit = m.wait
				_, err := io.Copy(io.Discard, body.Reader(t.Context()))
				done <- err
			}()
		}
		for range 4 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(started); took < 9800*time.Millisecond || took > 10200*time.Millisecond {
			t.Errorf("a megabyte at 100,000 bytes a second took %v", took)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(fault.New(fault.Interrupted, "enough"))
		if err := m.wait(ctx, 1<<20); fault.KindOf(err) != fault.Interrupted {
			t.Errorf("interrupted: %v", err)
		}
	})
}

func TestUploadWrong(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	to := Address{Scheme: File, Key: strings.TrimPrefix(filepath.ToSlash(filepath.Join(dir, "to", "x")), "/")}
	for name, tt := range map[string]struct {
		opts UploadOptions
		text string
	}{
		"missing":   {UploadOptions{File: filepath.Join(dir, "none"), To: to}, "none"},
		"directory": {UploadOptions{File: dir, To: to}, "directory"},
		"prefix":    {UploadOptions{File: file, To: Address{Scheme: File, Key: "to/"}}, "several objects"},
	} {
		tt.opts.CacheDir = t.TempDir()
		_, err := Upload(t.Context(), tt.opts)
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Upload(t.Context(), UploadOptions{File: file, To: to}); err == nil || !strings.Contains(err.Error(), "cache directory") {
		t.Errorf("no cache: %v", err)
	}
}

// swallow is a store that keeps nothing but the count of bytes.
type swallow struct {
	Store
	bytes atomic.Int64
}

func (s *swallow) Endpoint() string { return "swallow" }
func (s *swallow) Traits() Traits {
	return Traits{Checksum: CRC64, MinPart: 5 << 20, MaxPart: 5 << 30, MaxParts: 10_000}
}
func (s *swallow) Stat(context.Context, string) (*Object, error) {
	return nil, fileRefusal("NoSuchKey")
}
func (s *swallow) CreateMultipart(context.Context, string, Metadata) (Multipart, error) {
	return &swallowMultipart{store: s}, nil
}

type swallowMultipart struct {
	Multipart
	store *swallow
}

func (m *swallowMultipart) ID() string { return "1" }
func (m *swallowMultipart) PutPart(ctx context.Context, number int, body *Body) (Part, error) {
	n, err := io.Copy(io.Discard, body.Reader(ctx))
	m.store.bytes.Add(n)
	return Part{Number: number, Size: n, ETag: "x"}, err
}
func (m *swallowMultipart) Complete(_ context.Context, parts []Part) (*Object, error) {
	return &Object{Size: m.store.bytes.Load()}, nil
}

// The memory that an upload takes does not grow with the file.
func TestUploadMemory(t *testing.T) {
	const size = 256 << 20
	name := filepath.Join(t.TempDir(), "sparse")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	runtime.GC()
	before, most := heap(), uint64(0)
	calls := 0
	st := &swallow{}
	_, err = Upload(t.Context(), UploadOptions{
		File: name, To: Address{Scheme: OSS, Bucket: "bucket", Key: "x"}, Store: st, CacheDir: t.TempDir(),
		Progress: func(UploadProgress) {
			if calls++; calls%64 == 0 {
				most = max(most, heap())
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if st.bytes.Load() != size {
		t.Errorf("%d bytes were sent", st.bytes.Load())
	}
	t.Logf("%d MiB more than before", (int64(most)-int64(before))>>20)
	if most > before+50<<20 {
		t.Errorf("%d MiB were taken for a file of %d MiB", (most-before)>>20, size>>20)
	}
}

// Of a store that goes on failing somebody has to learn before the end, and of
// parts that fail together once.
func TestUploadWarnsOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var warnings []string
		u := &upload{
			opts:  UploadOptions{Warn: func(text string) { warnings = append(warnings, text) }},
			meter: newMeter(UploadOptions{}, 1),
		}
		refused := errors.New("connection refused")
		u.repeated(failure{1, time.Second, refused})
		for range 4 {
			u.repeated(failure{2, 1500 * time.Millisecond, refused})
		}
		time.Sleep(betweenWarnings + time.Second)
		u.repeated(failure{5, 30 * time.Second, refused})
		want := []string{
			"2 attempts have failed, the next is in 1.5s: connection refused",
			"5 attempts have failed, the next is in 30s: connection refused",
		}
		if diff := cmp.Diff(want, warnings); diff != "" {
			t.Errorf("warnings (-want +got):\n%s", diff)
		}
	})
}
