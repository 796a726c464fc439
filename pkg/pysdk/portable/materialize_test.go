package portable

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
)

func TestMaterialize(t *testing.T) {
	source := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(source, []byte("real"), 0o640); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(source)
	if err != nil {
		t.Fatal(err)
	}
	one := pack.DataEntry("d/one", 0o600, []byte("same"))
	two := pack.DataEntry("d/two", 0o600, []byte("same"))
	one.Same, two.Same = "x", "x"
	tree := &Tree{Entries: []pack.Entry{
		{Name: "d", Mode: fs.ModeDir | 0o755},
		{Name: "d/link", Mode: fs.ModeSymlink | 0o777, Link: "../program"},
		one, two,
		{Name: "empty", Mode: fs.ModeDir | 0o755},
		pack.FileEntry("file", source, info),
		pack.DataEntry("program", 0o755, []byte("#!/bin/sh\n")),
	}}
	dir := filepath.Join(t.TempDir(), "not", "there")
	var done, total int64
	if err := Materialize(t.Context(), tree, dir, func(d, n int64) { done, total = d, n }); err != nil {
		t.Fatal(err)
	}
	if want := int64(4 + 4 + 4 + 10); done != want || total != want {
		t.Errorf("progress ended at %d of %d, want %d", done, total, want)
	}
	for name, want := range map[string]string{"file": "real", "d/one": "same", "d/two": "same", "d/link": "#!/bin/sh\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if !same(filepath.Join(dir, "d/one"), filepath.Join(dir, "d/two")) {
		t.Error("two names of one file became two files")
	}
	if info, err := os.Stat(filepath.Join(dir, "program")); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("the program: %v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "empty")); err != nil || !info.IsDir() {
		t.Errorf("the empty directory: %v, %v", info, err)
	}
	// What is there is not overwritten.
	err = Materialize(t.Context(), tree, dir, nil)
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
}

func TestMaterializeFails(t *testing.T) {
	broken := errors.New("the disk is gone")
	entry := func(name string, size int64, open func() (io.ReadCloser, error)) pack.Entry {
		return pack.Entry{Name: name, Mode: 0o644, Size: size, Open: open}
	}
	for _, c := range []struct {
		name  string
		entry pack.Entry
		want  string
	}{
		{"unreadable", entry("a", 1, func() (io.ReadCloser, error) { return nil, broken }), "the disk is gone"},
		{"shorter", entry("a", 9, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("short")), nil }), "has 5 bytes, not the 9"},
		{"out of the directory", entry("../a", 1, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }), "leads out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "x")
			err := Materialize(t.Context(), &Tree{Entries: []pack.Entry{c.entry}}, dir, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(dir), "a")); err == nil {
				t.Error("a file was written outside of the directory")
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Materialize(ctx, &Tree{Entries: []pack.Entry{pack.DataEntry("a", 0o644, []byte("x"))}}, t.TempDir(), nil)
	if fault.KindOf(err) != fault.Interrupted {
		t.Errorf("interrupted: %v", err)
	}
}
