package storetest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/store"
)

// fetchOptions are those of a fetch that does not wait long.
func (p *place) fetchOptions(t *testing.T) store.FetchOptions {
	return store.FetchOptions{Store: p.Faults, CacheDir: t.TempDir(), RetryDelay: time.Millisecond}
}

// fetch fetches a file and holds it against what it is to be.
func (p *place) fetch(t *testing.T, name string, opts store.FetchOptions, want []byte) string {
	t.Helper()
	path, err := store.Fetch(t.Context(), p.address(t, name), opts)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes came (%v) instead of %d", len(got), err, len(want))
	}
	return path
}

func testFetch(t *testing.T, p *place) {
	for name, data := range map[string][]byte{"empty": {}, "small": Noise(1, 1000), "larger": Noise(2, 700_000)} {
		opts := p.fetchOptions(t)
		p.put(t, name, data)
		var last [2]int64
		opts.Progress = func(done, total int64) { last = [2]int64{done, total} }
		first := p.fetch(t, name, opts, data)
		if want := int64(len(data)); last != [2]int64{want, want} {
			t.Errorf("%s: the progress ends with %v", name, last)
		}
		p.Reset()
		if second := p.fetch(t, name, opts, data); second != first || p.Count(OpenOp) != 0 {
			t.Errorf("%s: it was fetched again", name)
		}
		p.Reset()
		p.Before = func(Op, int) error { return throttled() }
		opts.Offline = true
		if p.fetch(t, name, opts, data); p.Count(Stat) != 0 {
			t.Errorf("%s: the store was asked", name)
		}
		// Out of reach, what is there has to do.
		opts.Offline = false
		var warned []string
		opts.Warn = func(text string) { warned = append(warned, text) }
		if p.fetch(t, name, opts, data); len(warned) != 1 || !strings.Contains(warned[0], "using the copy") {
			t.Errorf("%s: the warnings are %q", name, warned)
		}
		p.Reset()
	}
	opts := p.fetchOptions(t)
	if _, err := store.Fetch(t.Context(), p.address(t, "none"), opts); !errors.Is(err, store.ErrNotExist) || fault.HintOf(err) == "" || fault.KindOf(err) != fault.Remote {
		t.Errorf("what is not there: %v", err)
	}
	opts.Offline = true
	if _, err := store.Fetch(t.Context(), p.address(t, "small"), opts); fault.KindOf(err) != fault.Missing {
		t.Errorf("what is not in the cache: %v", err)
	}
	opts = p.fetchOptions(t)
	opts.MaxBytes = 999
	if _, err := store.Fetch(t.Context(), p.address(t, "small"), opts); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("more than may be fetched: %v", err)
	}
}

// breaking is a body whose connection breaks.
type breaking struct {
	io.ReadCloser
	left int
}

func (b *breaking) Read(buf []byte) (int, error) {
	if b.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(buf[:min(len(buf), b.left)])
	b.left -= n
	return n, err
}

// Whatever breaks, what is there is not fetched again.
func testFetchResumed(t *testing.T, p *place) {
	data := Noise(1, 500_000)
	p.put(t, "x", data)
	var came int64
	p.Read = func(r io.ReadCloser) io.ReadCloser {
		return &breaking{r, 120_000}
	}
	opts := p.fetchOptions(t)
	opts.Attempts = 2
	opts.Progress = func(done, _ int64) { came = done }
	if _, err := store.Fetch(t.Context(), p.address(t, "x"), opts); fault.KindOf(err) != fault.Missing {
		t.Fatalf("broken twice: %v", err)
	}
	if came != 240_000 {
		t.Errorf("%d bytes came", came)
	}
	opts.Attempts = 10
	p.fetch(t, "x", opts, data)
	if got := p.Count(OpenOp); got != 5 {
		t.Errorf("asked for %d times", got)
	}
}

func testFetchChanged(t *testing.T, p *place) {
	first, second := Noise(1, 300_000), Noise(2, 300_000)
	opts := p.fetchOptions(t)
	p.put(t, "x", first)
	p.fetch(t, "x", opts, first)
	p.put(t, "x", second)
	p.fetch(t, "x", opts, second)
	// In the middle of it: two halves are no whole.
	p.put(t, "y", first)
	var once sync.Once
	p.Read = func(r io.ReadCloser) io.ReadCloser {
		broken := false
		once.Do(func() { broken = true })
		if !broken {
			return r
		}
		p.put(t, "y", second)
		return &breaking{r, 100_000}
	}
	p.fetch(t, "y", opts, second)
}

// flipped changes one bit of what is read.
type flipped struct {
	io.ReadCloser
	done bool
}

func (f *flipped) Read(buf []byte) (int, error) {
	n, err := f.ReadCloser.Read(buf)
	if n > 0 && !f.done {
		buf[0] ^= 1
		f.done = true
	}
	return n, err
}

func testFetchDamaged(t *testing.T, p *place) {
	data := Noise(1, 100_000)
	p.upload(t, p.quick(t, "x", file(t, data)))
	p.Reset()
	p.Read = func(r io.ReadCloser) io.ReadCloser { return &flipped{ReadCloser: r} }
	if _, err := store.Fetch(t.Context(), p.address(t, "x"), p.fetchOptions(t)); fault.KindOf(err) != fault.Remote || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("damaged every time: %v", err)
	}
	if p.Count(OpenOp) != 2 {
		t.Errorf("tried %d times", p.Count(OpenOp))
	}
	times := 0
	p.Read = func(r io.ReadCloser) io.ReadCloser {
		if times++; times == 1 {
			return &flipped{ReadCloser: r}
		}
		return r
	}
	p.fetch(t, "x", p.fetchOptions(t), data)
}

// files reads a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		got[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func testFetchPrefix(t *testing.T, p *place) {
	want := map[string]string{"model.bin": "m", "sub/a.txt": "a", "sub/deeper/b": "b", "empty": "", "same-as-a": "a"}
	for name, data := range want {
		p.put(t, "model/"+name, []byte(data))
	}
	p.put(t, "model-2/other", []byte("not below it"))
	opts := p.fetchOptions(t)
	fetch := func(name string) string {
		t.Helper()
		dir, err := store.Fetch(t.Context(), p.address(t, name), opts)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, files(t, dir)); diff != "" {
			t.Error(diff)
		}
		return dir
	}
	first := fetch("model/")
	fetch("model") // people leave the slash out
	p.Reset()
	if dir := fetch("model/"); dir != first || p.Count(OpenOp) != 0 {
		t.Error("it was fetched again")
	}
	opts.Offline = true
	fetch("model/")
	fetch("model")
	opts.Offline = false

	// A file that somebody has removed or written to comes back.
	if err := os.Remove(filepath.Join(first, "sub", "a.txt")); err != nil {
		t.Fatal(err)
	}
	fetch("model/")

	want["model.bin"] = "changed"
	p.put(t, "model/model.bin", []byte("changed"))
	delete(want, "empty")
	if err := p.Delete(t.Context(), p.key(t, "model/empty")); err != nil {
		t.Fatal(err)
	}
	if dir := fetch("model/"); dir == first {
		t.Error("another content has the same directory")
	}

	// Out of reach, the last whole has to do; new and old files are no model.
	first = fetch("model/")
	before := files(t, first)
	p.put(t, "model/model.bin", []byte("changed again"))
	p.put(t, "model/sub/a.txt", []byte("changed too"))
	for _, at := range []Op{List, OpenOp} {
		p.Reset()
		p.Before = func(op Op, _ int) error {
			if op == at && (op == List || p.Count(op) > 1) {
				return throttled()
			}
			return nil
		}
		var warned []string
		opts.Attempts = 1
		opts.Warn = func(text string) { warned = append(warned, text) }
		dir, err := store.Fetch(t.Context(), p.address(t, "model/"), opts)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, files(t, dir)); diff != "" || len(warned) != 1 || !strings.Contains(warned[0], "using the copy") {
			t.Errorf("%s fails: %s, warnings %q", at, diff, warned)
		}
	}
	p.Reset()
	opts.Warn = nil

	opts.MaxBytes = 3
	if _, err := store.Fetch(t.Context(), p.address(t, "model/"), opts); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("more than may be fetched: %v", err)
	}
	opts.MaxBytes = 0
	if _, err := store.Fetch(t.Context(), p.address(t, "none/"), opts); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
}

// What a store lists is not believed.
func testFetchHostile(t *testing.T, p *place) {
	p.put(t, "model/ok", []byte("ok"))
	p.put(t, "model/x", []byte("x"))
	for _, name := range []string{"../x", "/x", "a/../../x", "..", "a//b", `..\x`, `C:\x\..\..`, "a\x00b", "ok/below", "./x", "line\nbreak"} {
		p.Reset()
		p.Listed = func(key string) string {
			if strings.HasSuffix(key, "/x") {
				return strings.TrimSuffix(key, "x") + name
			}
			return key
		}
		opts := p.fetchOptions(t)
		dir, err := store.Fetch(t.Context(), p.address(t, "model/"), opts)
		if err == nil || fault.KindOf(err) != fault.Remote || strings.ContainsAny(err.Error(), "\x00\n") {
			t.Errorf("%q: fetched to %q, %v", name, dir, err)
		}
		if p.Count(OpenOp) != 0 {
			t.Errorf("%q: something was fetched", name)
		}
	}
	p.Reset()
	p.Listed = func(string) string { return "elsewhere/x" }
	if _, err := store.Fetch(t.Context(), p.address(t, "model/"), p.fetchOptions(t)); fault.KindOf(err) != fault.Remote {
		t.Errorf("not below the prefix: %v", err)
	}
}
