package packing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/pysdk/packing/packingtest"
)

// shared holds an environment that all tests use.
var shared struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

// environment returns an environment without any packages.
func environment(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("missing: Linux")
	}
	if testing.Short() {
		t.Skip("missing: time (-short)")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("missing: python3")
	}
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "packing-"); shared.err != nil {
			return
		}
		out, err := exec.Command(python, "-m", "venv", "--without-pip", filepath.Join(shared.dir, pack.EnvDir)).CombinedOutput()
		if err != nil {
			shared.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return filepath.Join(shared.dir, pack.EnvDir)
}

// project makes a processor's directory below a directory of its own.
func project(t *testing.T, env string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if env != "" {
		if err := os.Symlink(env, filepath.Join(dir, pack.EnvDir)); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, pack.IgnoreFile), packingtest.Unneeded)
	}
	return dir
}

// beside lists what lies beside a processor's directory.
func beside(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range list {
		names = append(names, d.Name())
	}
	return names
}

// warnings collects what is warned of.
type warnings []string

func (w *warnings) add(text, _ string) { *w = append(*w, text) }

func unpack(t *testing.T, file string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "un packed")
	if _, err := pack.Extract(t.Context(), file, dir, pack.ExtractOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMake(t *testing.T) {
	dir := project(t, environment(t), map[string]string{
		"app.py": `
from __future__ import annotations
import json, os.path as p
from typing import TYPE_CHECKING
from helper import greeting, sub
from helper import *
if TYPE_CHECKING:
    import nothing_at_run_time
try:
    import not_there_but_tried
except ImportError:
    not_there_but_tried = None
def later():
    import not_there_later
`,
		"helper/__init__.py":     "greeting = 'hello'\n",
		"helper/sub.py":          "",
		"helper/__pycache__/x.p": "",
		"app.json":               `{"name": "x", "processor_type": "python", "processor_entry": "./app.py", "processor_path": "./"}`,
	})
	var said warnings
	var steps []string
	p, err := Make(t.Context(), Options{Dir: dir, Level: 1, Warn: said.add, Step: func(s string) { steps = append(steps, s) }})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(p.Path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	if p.Path != dir+".tar.gz" || p.Size != int64(len(data)) || p.SHA256 != hex.EncodeToString(sum[:]) || !p.Checked || p.Python == "" {
		t.Errorf("%+v", p)
	}
	if want := "Creating package: " + p.Path; !slices.Contains(steps, want) {
		t.Errorf("steps %q, without %q", steps, want)
	}
	text := strings.Join(said, "\n")
	for _, name := range []string{"app.py:10: import not_there_but_tried", "app.py:14: import not_there_later"} {
		if !strings.Contains(text, name) {
			t.Errorf("no warning of %s in %q", name, said)
		}
	}
	if strings.Contains(text, "nothing_at_run_time") {
		t.Errorf("what is imported for types alone was tried: %q", said)
	}
	if diff := cmp.Diff([]string{"demo", "demo.tar.gz"}, beside(t, dir)); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(p.Path); err != nil || info.Mode().Perm()&0o400 == 0 || info.Mode().Perm()&0o022 != 0 && os.Getenv("CI") == "" {
		t.Errorf("%v, %v", info, err)
	}

	unpacked := unpack(t, p.Path)
	if _, err := os.Stat(filepath.Join(unpacked, "helper", "__pycache__")); err == nil {
		t.Error("a __pycache__ was packed")
	}
	cmd := exec.Command(filepath.Join(unpacked, "ENV", "bin", "python"), "-c", "import sys, helper; print(sys.prefix)")
	cmd.Dir = unpacked
	cmd.Env = []string{"PATH=/nowhere"}
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != filepath.Join(unpacked, "ENV") {
		t.Errorf("%s, %v", out, err)
	}

	// The same again is the same, and does not replace the first.
	if _, err := Make(t.Context(), Options{Dir: dir}); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("got %v", err)
	}
	again, err := Make(t.Context(), Options{Dir: dir, Level: 1, File: t.TempDir(), NoCheck: true})
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(again.Path) != "demo.tar.gz" || again.SHA256 != p.SHA256 || again.Checked {
		t.Errorf("%+v", again)
	}
}

// What is wrong with a program is found in the package, which is not put in
// place then.
func TestCheckFails(t *testing.T) {
	dir := project(t, environment(t), map[string]string{"app.py": "import json\nimport not_there.below\n"})
	_, err := Make(t.Context(), Options{Dir: dir, Level: 1})
	const want = "app.py:2: import not_there.below: ModuleNotFoundError: No module named 'not_there'"
	if fault.KindOf(err) != fault.Processor || !strings.Contains(err.Error(), want) || !strings.Contains(fault.HintOf(err), "pip install") {
		t.Errorf("got %v\nhint: %s", err, fault.HintOf(err))
	}
	if diff := cmp.Diff([]string{"demo"}, beside(t, dir)); diff != "" {
		t.Error(diff)
	}
	p, err := Make(t.Context(), Options{Dir: dir, Level: 1, NoCheck: true})
	if err != nil {
		t.Fatalf("without the check: %v", err)
	}

	// Other programs, with the same interpreter.
	unpacked := unpack(t, p.Path)
	for name, content := range map[string]string{
		"helper.py": "raise ValueError('wrong')\n", "leaves.py": "import sys; sys.exit(3)\n",
		"crash.py": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n",
	} {
		write(t, filepath.Join(unpacked, name), content)
	}
	for _, c := range []struct {
		name, program, want, hint string
	}{
		{"name", "from json import nothing\n", "app.py:1: from json import nothing: ImportError: cannot import name 'nothing'", "import json"},
		{"raises", "import helper\n", "app.py:1: import helper: ValueError: wrong", ""},
		{"exits", "import leaves\n", "app.py:1: import leaves: SystemExit: 3", ""},
		{"crashes", "import crash\n", "app.py:1: import crash: signal: segmentation fault", "--no-check"},
		{"no SDK", "import not_there\nimport allspark\n", "app.py:2: import allspark: ModuleNotFoundError", "/demo/ENV/bin/python -m pip install \"$(eascmd pysdk wheel -o /tmp)\"`"},
		{"in a class", "import json\nclass A:\n    import helper_that_is_not_there as x\n", "app.py:3: import helper_that_is_not_there", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, filepath.Join(unpacked, "app.py"), c.program)
			m := &maker{Options: Options{Dir: dir, Warn: func(text, _ string) { t.Errorf("warning: %s", text) }}, entry: "app.py"}
			r, err := m.runCheck(t.Context(), t.TempDir(), unpacked)
			if err == nil {
				err = m.judge(r, unpacked)
			}
			if fault.KindOf(err) != fault.Processor || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), c.hint) {
				t.Errorf("got %v\nhint: %s", err, fault.HintOf(err))
			}
		})
	}
}

// A directory without an environment, for a data image.
func TestWithoutEnvironment(t *testing.T) {
	dir := project(t, "", map[string]string{"app.py": "import not_there\n", "notes.log": "", ".easignore": "*.log\n", "demo.tar.gz": "old", ".demo.tar.gz.XYZ": "older"})
	var said warnings
	var hint string
	p, err := Make(t.Context(), Options{Dir: dir, Warn: func(text, h string) { said.add(text, h); hint = h }})
	if err != nil {
		t.Fatal(err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "has no Python") || !strings.Contains(hint, "`eascmd pysdk init "+dir+" --env-only`") {
		t.Errorf("said %q, hint %q", said, hint)
	}
	var names []string
	for _, l := range p.LeftOut {
		names = append(names, l.Name)
	}
	if diff := cmp.Diff([]string{".demo.tar.gz.XYZ", ".easignore", "demo.tar.gz", "notes.log"}, names); diff != "" {
		t.Error(diff)
	}
	said = nil
	write(t, filepath.Join(dir, "app.json"), `{"name": "x", "processor_type": "python", "processor_entry": "./app.py", "processor_path": "./", "data_image": "registry/x"}`)
	if p, err = Make(t.Context(), Options{Dir: dir, Replace: true, File: filepath.Join(dir, "inside.tgz"), Warn: said.add}); err != nil || len(said) > 0 {
		t.Fatalf("%v; said %q", err, said)
	}
	// A package inside the directory is not packed the next time.
	again, err := Make(t.Context(), Options{Dir: dir, Replace: true, File: filepath.Join(dir, "inside.tgz")})
	if err != nil || again.SHA256 != p.SHA256 {
		t.Errorf("%v, %v", again, err)
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestMistakes(t *testing.T) {
	dir := project(t, "", map[string]string{"app.py": ""})
	parent := filepath.Dir(dir)
	for _, c := range []struct {
		what string
		opts Options
		kind fault.Kind
		want string
	}{
		{"no directory", Options{Dir: filepath.Join(parent, "nothing")}, fault.Usage, "there is no directory"},
		{"a file", Options{Dir: filepath.Join(dir, "app.py")}, fault.Usage, "is not a directory"},
		{"the root", Options{Dir: "/"}, fault.Usage, "whole file system"},
		{"nowhere", Options{Dir: dir, File: filepath.Join(parent, "no", "p.tar.gz")}, fault.Usage, "there is no directory"},
		{"exists", Options{Dir: dir, File: filepath.Join(dir, "app.py")}, fault.Usage, "exists already"},
		{"level", Options{Dir: dir, Level: 12}, fault.Usage, "no level 12"},
	} {
		_, err := Make(t.Context(), c.opts)
		if fault.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	for name, c := range map[string]struct{ file, content, want string }{
		"entry":  {"app.json", `{"name": "x", "processor_type": "python", "processor_entry": "./main.py", "processor_path": "./"}`, "there is no main.py"},
		"ignore": {".easignore", "x\n[", ".easignore:2: "},
	} {
		dir := project(t, "", map[string]string{"app.py": "", c.file: c.content})
		_, err := Make(t.Context(), Options{Dir: dir})
		if fault.KindOf(err) != fault.Description || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diff := cmp.Diff([]string{"demo"}, beside(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// noise writes a file that does not compress.
func noise(t *testing.T, name string, size int) {
	t.Helper()
	b := make([]byte, size)
	var key [32]byte
	if _, err := rand.NewChaCha8(key).Read(b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestInterrupted(t *testing.T) {
	for _, part := range []string{Packing, Unpacking} {
		dir := project(t, "", map[string]string{"app.py": ""})
		noise(t, filepath.Join(dir, "model.bin"), 8<<20)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Make(ctx, Options{Dir: dir, Progress: func(p string, done, total int64) {
			if p == part {
				cancel()
			}
		}})
		cancel()
		if fault.KindOf(err) != fault.Interrupted {
			t.Errorf("%s: %v", part, err)
		}
		if diff := cmp.Diff([]string{"demo"}, beside(t, dir)); diff != "" {
			t.Errorf("%s: %s", part, diff)
		}
	}
}

func TestBiggest(t *testing.T) {
	file := func(name string, size int64) pack.Entry { return pack.Entry{Name: name, Size: size} }
	got := biggest([]pack.Entry{
		file("app.py", 100), file("ENV/lib/site/a/x", 5000), file("ENV/lib/site/b/x", 3000), file("ENV/lib/site/b/y", 1500),
		file("ENV/bin/python", 10), {Name: "ENV/link", Mode: fs.ModeSymlink},
	})
	want := []Directory{{"ENV/lib/site", 9500, 3}, {"ENV/lib/site/a", 5000, 1}, {"ENV/lib/site/b", 4500, 2}, {"ENV/bin", 10, 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
