//go:build unix

package pysdk

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// checkInstalled has a Python compare what is installed with its record.
const checkInstalled = `
import base64, hashlib, importlib.metadata as m
d = m.distribution("allspark")
files = d.files
assert len(files) > 5, files
for f in files:
    p = f.locate()
    assert p.exists(), p
    if f.hash is None:
        assert str(f).endswith(("RECORD", ".pyc")), f
        continue
    data = p.read_bytes()
    assert f.hash.mode == "sha256" and f.size == len(data), f
    assert f.hash.value == base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode(), f
import allspark
assert allspark.__version__ == d.version == d.metadata["Version"], d.version
assert allspark.BaseProcessor
print(d.version)
`

func TestWheelIsReproducible(t *testing.T) {
	sdk := bundled(t)
	var a, b bytes.Buffer
	if err := sdk.Wheel(&a); err != nil {
		t.Fatal(err)
	}
	if err := bundled(t).Wheel(&b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two wheels differ")
	}
	if ok, _ := regexp.MatchString(`^allspark-[0-9.]+-py3-none-any\.whl$`, sdk.WheelName()); !ok {
		t.Errorf("the wheel is called %s", sdk.WheelName())
	}
}

// Each pip of this machine takes the wheel, offline, and removes it again.
func TestWheelAndPip(t *testing.T) {
	sdk := bundled(t)
	path, err := sdk.WriteWheel(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := sdk.WriteWheel(filepath.Dir(path)); err != nil || again != path {
		t.Errorf("it is not written twice: %v", err)
	}
	tried := 0
	for _, i := range several(t) {
		if !i.HasPip || !i.HasVenv {
			continue
		}
		tried++
		t.Run(i.Version, func(t *testing.T) {
			env := filepath.Join(t.TempDir(), "env")
			output(t, i.Executable, "-I", "-m", "venv", "--without-pip", "--system-site-packages", env)
			exe := Executable(env)
			output(t, exe, "-m", "pip", "install", "--no-index", "--no-cache-dir", path)
			if got := strings.TrimSpace(output(t, exe, "-c", checkInstalled)); got != sdk.Version {
				t.Errorf("version %q is installed, want %q", got, sdk.Version)
			}
			if show := output(t, exe, "-m", "pip", "show", "allspark"); !strings.Contains(show, "License: Apache-2.0") {
				t.Error(show)
			}
			output(t, exe, "-m", "pip", "uninstall", "-y", "allspark")
			if left, _ := filepath.Glob(filepath.Join(env, "lib/python3*/site-packages/allspark*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	if tried == 0 {
		t.Skip("missing: a Python with pip and venv")
	}
}

func TestWheelElsewhere(t *testing.T) {
	dir := t.TempDir()
	if _, err := bundled(t).WriteWheel(filepath.Join(dir, "none")); err == nil {
		t.Error("written into a directory that does not exist")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// What eascmd installs is what pip would make of the wheel.
func TestInstalledAsByPip(t *testing.T) {
	sdk := bundled(t)
	var mine, pips []string
	for _, f := range sdk.installed() {
		mine = append(mine, f.name)
	}
	i := interpreter(t, "")
	if !i.HasPip {
		t.Skip("missing: pip")
	}
	path, err := sdk.WriteWheel(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	output(t, i.Executable, "-m", "pip", "install", "--no-index", "--no-compile", "--no-cache-dir", "--target", target, path)
	for name, text := range listing(t, target) {
		if !strings.HasPrefix(text, "d") && !strings.HasSuffix(name, "direct_url.json") {
			pips = append(pips, strings.TrimPrefix(name, "/"))
		}
	}
	sorted := cmp.Transformer("sorted", func(s []string) map[string]bool {
		set := map[string]bool{}
		for _, v := range s {
			set[v] = true
		}
		return set
	})
	if diff := cmp.Diff(pips, mine, sorted); diff != "" {
		t.Errorf("-pip +eascmd:\n%s", diff)
	}
}
