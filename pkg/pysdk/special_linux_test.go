package pysdk

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
)

// A pipe is refused: it may never end, and what was read once is gone when pip
// reads it.
func TestPipesAreRefused(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, opts := range []Options{
		{Requirements: fifo},
		{SDK: fileSource(fifo)},
	} {
		opts.Dir = filepath.Join(dir, "demo")
		if _, err := Create(t.Context(), opts); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "is a pipe or a device") {
			t.Errorf("%+v: %v", opts, err)
		}
		if exists(opts.Dir) {
			t.Errorf("%+v: something was made", opts)
		}
	}
}
