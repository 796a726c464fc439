package localtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

func TestFindPython(t *testing.T) {
	base := t.TempDir()
	write(t, base, map[string]string{
		"own/ENV/bin/python": "", "broken/ENV/lib/x": "", "none/app.py": "", "active/bin/python3": "", "bin/python3": "", "dangling/ENV/bin/x": "",
	})
	for _, path := range []string{"own/ENV/bin/python", "active/bin/python3", "bin/python3"} {
		if err := os.Chmod(filepath.Join(base, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/nowhere/python3.11", filepath.Join(base, "dangling/ENV/bin/python")); err != nil {
		t.Skipf("missing: symbolic links (%v)", err)
	}
	at := func(path string) string { return filepath.Join(base, path) }
	tests := []struct {
		name, dir    string
		inImage      bool
		active, path string // VIRTUAL_ENV and PATH
		want         Python
		kind         fault.Kind
		says         string
	}{
		{"its ENV", "own", false, at("active"), at("bin"), Python{at("own/ENV/bin/python"), true, "ENV"}, 0, ""},
		{"its ENV in an image", "own", true, "", "", Python{at("own/ENV/bin/python"), true, "ENV"}, 0, ""},
		{"active", "none", false, at("active"), at("bin"), Python{at("active/bin/python3"), false, "the active environment"}, 0, ""},
		{"no active one in an image", "none", true, at("active"), at("bin"), Python{at("bin/python3"), false, "PATH"}, 0, ""},
		{"PATH", "none", false, "", at("bin"), Python{at("bin/python3"), false, "PATH"}, 0, ""},
		{"nothing", "none", false, "", at("own"), Python{}, fault.Missing, "python3 is not on PATH"},
		{"without an interpreter", "broken", false, at("active"), at("bin"), Python{}, fault.Processor, "has no bin/python"},
		{"an interpreter that is gone", "dangling", false, at("active"), at("bin"), Python{}, fault.Processor, "leads to /nowhere/python3.11"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("VIRTUAL_ENV", tt.active)
			t.Setenv("CONDA_PREFIX", "")
			t.Setenv("PATH", tt.path)
			got, err := FindPython(at(tt.dir), tt.inImage)
			if tt.kind != 0 {
				if fault.KindOf(err) != tt.kind || err == nil || !strings.Contains(err.Error(), tt.says) || fault.HintOf(err) == "" {
					t.Errorf("kind %v of %v (hint %q)", fault.KindOf(err), err, fault.HintOf(err))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("interpreter (-want +got):\n%s", d)
			}
		})
	}
}
