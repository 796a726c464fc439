package source

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/store/storetest"
)

// A disk that is full in the middle is named.
func TestFullDisk(t *testing.T) {
	b := newBench(t, map[string]string{
		"service.json": `{"name": "svc", "processor": "pmml", "model_path": "m", "metadata": {"instance": 1, "cpu": 1}}`,
		"m/weights":    noise(4 << 20),
	})
	if err := os.Mkdir(b.cache, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", b.cache, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("missing: the right to mount a file system (%v)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(b.cache, 0); err != nil {
			t.Error(err)
		}
	})
	_, err := Publish(t.Context(), b.options("service.json"))
	if fault.KindOf(err) != fault.Missing || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("of kind %v: %v", fault.KindOf(err), err)
	}
	if hint := fault.HintOf(err); !strings.HasPrefix(hint, "make room on the disk of "+b.cache) || !strings.Contains(hint, "XDG_CACHE_HOME") {
		t.Errorf("the hint is %q", hint)
	}
}

// The same holds for a directory in place of a store.
func TestFullStore(t *testing.T) {
	b := newBench(t, map[string]string{
		"service.json": `{"name": "svc", "processor": "pmml", "model_path": "m", "metadata": {"instance": 1, "cpu": 1}}`,
		"m/weights":    noise(4 << 20),
	})
	if err := os.Mkdir(b.to, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", b.to, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("missing: the right to mount a file system (%v)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(b.to, 0); err != nil {
			t.Error(err)
		}
	})
	_, err := Publish(t.Context(), b.options("service.json"))
	if fault.KindOf(err) != fault.Missing || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(fault.HintOf(err), "make room") {
		t.Errorf("of kind %v: %v (%s)", fault.KindOf(err), err, fault.HintOf(err))
	}
}

// noise returns text that does not become shorter.
func noise(size int64) string { return string(storetest.Noise(1, size)) }
