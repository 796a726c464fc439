package check

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPythonSources(t *testing.T) {
	elsewhere, dir := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{
		filepath.Join(dir, "app.py"):                      "import os\nMODEL = '/eas/workspace/model/a.pkl'\n# /eas/workspace/old\n",
		filepath.Join(dir, "util.txt"):                    "/eas/workspace/x",
		filepath.Join(dir, ".hidden.py"):                  "'/eas/workspace/x'",
		filepath.Join(dir, "ENV", "lib", "x.py"):          "'/eas/workspace/x'",
		filepath.Join(dir, "other", "pyvenv.cfg"):         "",
		filepath.Join(dir, "other", "x.py"):               "'/eas/workspace/x'",
		filepath.Join(elsewhere, "pkg", "deep", "mod.py"): "def f():\n    open(\"/home/admin/docker_ml/workspace/model/b\")\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// As in a workspace, whose entries are links.
	if err := os.Symlink(filepath.Join(elsewhere, "pkg"), filepath.Join(dir, "pkg")); err != nil {
		t.Skipf("missing: symbolic links (%v)", err)
	}
	const tail = ", which exists on EAS and not everywhere else"
	want := []string{
		"app.py:2 names the path /eas/workspace/model/a.pkl" + tail,
		"pkg/deep/mod.py:2 names the path /home/admin/docker_ml/workspace/model/b" + tail,
	}
	var got []string
	for _, p := range PythonSources(dir).Problems {
		if p.Severity != Note || p.Code != "workspace-path" || p.Hint == "" {
			t.Errorf("%+v", p)
		}
		got = append(got, p.Text)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
}
