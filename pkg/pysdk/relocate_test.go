//go:build unix

package pysdk

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRelocate(t *testing.T) {
	const from, to = "/somewhere/demo/.EN", "/somewhere/demo/ENV"
	dir, outside := t.TempDir(), t.TempDir()
	put := func(name, text string, mode os.FileMode) string {
		return write(t, filepath.Join(dir, name), text, mode)
	}
	put("bin/pip", "#!"+from+"/bin/python\nprint('"+from+"')\n", 0o755)
	put("read-only", from, 0o444)
	put("binary", "\x00"+from+"/lib\x00\xff", 0o700)
	put("plain", "nothing of it", 0o644)
	put("empty", "", 0o600)
	// The path lies across the border of two blocks, and at the very end.
	block := 256 << 10
	border := strings.Repeat("x", block-5) + from + strings.Repeat("y", 2*block) + from
	put("large", border, 0o644)
	shared := write(t, filepath.Join(outside, "shared"), from, 0o644)
	if err := os.Link(shared, filepath.Join(dir, "linked")); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"absolute": from + "/bin", "relative": "bin", "elsewhere": "/usr/bin"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	when := time.Unix(1_000_000_000, 0)
	for _, name := range []string{"bin/pip", "binary", "plain", "large", "linked", "read-only"} {
		if err := os.Chtimes(filepath.Join(dir, name), when, when); err != nil {
			t.Fatal(err)
		}
	}
	want := listing(t, dir)
	for name, text := range want {
		want[name] = strings.ReplaceAll(text, from, to)
	}
	if err := relocate(t.Context(), dir, from, to); err != nil {
		t.Fatal(err)
	}
	got := listing(t, dir)
	for _, all := range []map[string]string{got, want} {
		delete(all, "/empty") // its time is of no interest
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%.2000s", diff)
	}
	if data, err := os.ReadFile(shared); err != nil || string(data) != from {
		t.Errorf("the file that is shared became %q, %v", data, err)
	}

	if err := relocate(t.Context(), dir, from, to+"x"); err == nil {
		t.Error("a path of another length was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := relocate(ctx, dir, to, from); err == nil {
		t.Error("it was not interrupted")
	}
}

// Wherever the path begins in a file, it is found.
func TestContains(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	what := []byte("/a/.EN")
	block := 256 << 10
	for _, at := range []int{0, 1, block - 6, block - 5, block - 3, block - 1, block, block + 1, 2*block - 8, 2*block - 2, 3 * block} {
		data := append(bytes.Repeat([]byte("/a/.E"), at/5+1)[:at], what...)
		for _, tail := range []int{0, 1, block} {
			if err := os.WriteFile(path, append(data, make([]byte, tail)...), 0o666); err != nil {
				t.Fatal(err)
			}
			if has, err := contains(path, what); err != nil || !has {
				t.Errorf("not found at %d of %d bytes: %v", at, len(data)+tail, err)
			}
		}
		if err := os.WriteFile(path, data[:len(data)-1], 0o666); err != nil {
			t.Fatal(err)
		}
		if has, err := contains(path, what); err != nil || has {
			t.Errorf("found in %d bytes that lack its end: %v", len(data)-1, err)
		}
	}
}
