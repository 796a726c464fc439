package diskspace

import (
	"path/filepath"
	"testing"
)

func TestOf(t *testing.T) {
	s, err := Of(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if s.Total == 0 || s.Free > s.Total {
		t.Errorf("implausible room: %+v", s)
	}
	if _, err := Of(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a missing path has room")
	}
}
