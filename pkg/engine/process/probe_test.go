//go:build unix

package process

import (
	"os"
	"path/filepath"
	"testing"
)

// The probe says what a run finds, and leaves nothing.
func TestPrivateRootProbe(t *testing.T) {
	dir, err := os.MkdirTemp("", "eas-") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	can := tryPrivateRoot(t)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	err = PrivateRoot(t.Context(), Options{})
	if (err == nil) != (can == nil) {
		t.Errorf("the probe says %v, a run %v", err, can)
	}
	if err := PrivateRoot(t.Context(), Options{Executable: "/no/such/program"}); err == nil {
		t.Error("a program that is not there can do it")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "eascmd", "run-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
