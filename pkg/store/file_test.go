package store_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/store"
	"github.com/openeas/eascmd/pkg/store/storetest"
)

// newDirectory returns a store of an empty directory that does not exist yet.
func newDirectory(t *testing.T) (store.Store, store.Address) {
	t.Helper()
	addr, err := store.ParseAddress("file://" + slashed(filepath.Join(t.TempDir(), "store")) + "/")
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), addr, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st, addr
}

// slashed writes a path as in an address.
func slashed(path string) string {
	if runtime.GOOS == "windows" {
		return "/" + filepath.ToSlash(path)
	}
	return path
}

func TestDirectory(t *testing.T) {
	s := storetest.Suite{New: newDirectory, Directories: true}
	if runtime.GOOS == "windows" {
		s.Names = "file names with all characters"
	}
	storetest.Run(t, s)
}

// inDirectory returns the path of a file of a store of a directory.
func inDirectory(addr store.Address, name string) string {
	dir := "/" + addr.Key
	if runtime.GOOS == "windows" {
		dir = addr.Key
	}
	return filepath.Join(filepath.FromSlash(dir), name)
}

func put(t *testing.T, st store.Store, key, data string) error {
	t.Helper()
	_, err := st.Put(t.Context(), key, store.NewBody(bytes.NewReader([]byte(data)), 0, int64(len(data))), nil)
	return err
}

// Neither keys nor links lead out of the directory.
func TestDirectoryStaysInside(t *testing.T) {
	st, addr := newDirectory(t)
	if err := put(t, st, addr.Key+"x", "x"); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(filepath.Dir(inDirectory(addr, "x")), "..", "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := []string{"../outside/secret", "a/../../outside/secret", "./x", "", "/x", ".eascmd/x", "a/.eascmd/x", "x/"}
	if err := os.Symlink(outside, inDirectory(addr, "link")); err != nil {
		t.Log("missing: symbolic links")
	} else {
		keys = append(keys, "link/secret")
	}
	for _, key := range append(keys, "outside") {
		full := addr.Key + key
		if key == "outside" {
			full = strings.TrimSuffix(addr.Key, "store/") + "outside/secret"
		}
		if o, err := st.Stat(t.Context(), full); err == nil {
			t.Errorf("Stat of %q: %+v", key, o)
		}
		if r, _, err := st.Open(t.Context(), full, "", 0); err == nil {
			r.Close()
			t.Errorf("%q can be opened", key)
		}
		if err := put(t, st, full, "mine"); err == nil {
			t.Errorf("%q can be put", key)
		}
		if _, err := st.CreateMultipart(t.Context(), full, nil); err == nil {
			t.Errorf("%q can be sent in parts", key)
		}
		_ = st.Delete(t.Context(), full)
	}
	for _, id := range []string{"", "..", "../../outside", "0a/../0a"} {
		if _, err := st.ResumeMultipart(addr.Key+"x", id).Parts(t.Context()); err == nil {
			t.Errorf("there is an upload %q", id)
		}
	}
	if data, err := os.ReadFile(filepath.Join(outside, "secret")); string(data) != "secret" {
		t.Errorf("outside there is %q, %v", data, err)
	}
	for o, err := range st.List(t.Context(), addr.Key) {
		if err != nil || o.Key != addr.Key+"x" {
			t.Errorf("listed: %+v, %v", o, err)
		}
	}
}

// Files that others put there are objects, and those that others change are no
// longer what was noted about them.
func TestDirectoryOfOthers(t *testing.T) {
	st, addr := newDirectory(t)
	if err := put(t, st, addr.Key+"x", "one"); err != nil {
		t.Fatal(err)
	}
	before, err := st.Stat(t.Context(), addr.Key+"x")
	if err != nil || before.Sums.SHA256 == "" {
		t.Fatalf("%+v, %v", before, err)
	}
	later := before.ModTime.Add(time.Second)
	for _, name := range []string{"x", "theirs"} {
		file := inDirectory(addr, name)
		if err := os.WriteFile(file, []byte("two"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, later, later); err != nil {
			t.Fatal(err)
		}
		o, err := st.Stat(t.Context(), addr.Key+name)
		if err != nil || o.Sums.SHA256 != "" || o.ETag == before.ETag || o.Size != 3 {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

// Nothing is left of what was deleted, and of what was killed not for ever.
func TestDirectoryClean(t *testing.T) {
	st, addr := newDirectory(t)
	old := time.Now().Add(-30 * 24 * time.Hour)
	hidden := inDirectory(addr, filepath.Join("a", ".eascmd"))
	for _, dir := range []string{hidden, filepath.Join(hidden, "upload-00"), filepath.Join(hidden, "upload-11")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"new-00", "new-11"} {
		if err := os.WriteFile(filepath.Join(hidden, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"new-00", "upload-00"} {
		if err := os.Chtimes(filepath.Join(hidden, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(t, st, addr.Key+"a/x", "x"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"new-00": false, "upload-00": false, "new-11": true, "upload-11": true} {
		if _, err := os.Stat(filepath.Join(hidden, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"new-11", "upload-11"} {
		if err := os.Remove(filepath.Join(hidden, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(t, st, addr.Key+"a/b/c/y", "y"); err != nil {
		t.Fatal(err)
	}
	m, err := st.CreateMultipart(t.Context(), addr.Key+"d/z", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a/x", "a/b/c/y"} {
		if err := st.Delete(t.Context(), addr.Key+key); err != nil {
			t.Fatal(err)
		}
	}
	err = filepath.WalkDir(inDirectory(addr, ""), func(path string, e fs.DirEntry, err error) error {
		if err == nil && path != inDirectory(addr, "") {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
