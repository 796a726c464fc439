package store_test

import (
	"path/filepath"
	"runtime"
	"testing"

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
