package pack

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

func parseIgnore(t testing.TB, ig *Ignore, text string) *Ignore {
	t.Helper()
	if err := ig.Add(strings.NewReader(text), IgnoreFile); err != nil {
		t.Fatal(err)
	}
	return ig
}

func TestIgnore(t *testing.T) {
	for _, c := range []struct {
		rules    string
		out, not []string // with a slash at the end: directories
	}{
		{"", nil, []string{"app.py", ".env"}},
		{"# comment\n\n   \n", nil, []string{"app.py", "# comment"}},
		{"*.log", []string{"a.log", "d/e/a.log", "x.log/", "x.log/y"}, []string{"a.log2", "alog"}},
		{"data", []string{"data", "data/", "data/x/y", "d/data/x"}, []string{"data2", "mydata"}},
		{"data/", []string{"data/", "data/x", "d/data/x"}, []string{"data", "d/data"}},
		{"/data", []string{"data", "data/x"}, []string{"d/data"}},
		{"a/b", []string{"a/b", "a/b/c"}, []string{"x/a/b", "a"}},
		{"a/*/c", []string{"a/b/c"}, []string{"a/c", "a/b/b/c"}},
		{"a/**/c", []string{"a/c", "a/b/c", "a/b/b/c/d"}, []string{"a/b", "x/a/c"}},
		{"**/c", []string{"c", "a/c", "a/b/c"}, []string{"cc", "a/cc"}},
		{"a/**", []string{"a/b", "a/b/c"}, []string{"a", "a/"}},
		{"x?.[ch]", []string{"x1.c", "d/x2.h"}, []string{"x.c", "x1.d", "x12.c"}},
		{"[!a]x", []string{"bx"}, []string{"ax"}},
		{"\\#x\n\\!y\nz\\ ", []string{"#x", "!y", "z "}, []string{"x", "y", "z"}},
		{"a b  \r\n", []string{"a b"}, []string{"a b  "}},
		{"*.log\n!keep.log", []string{"a.log"}, []string{"keep.log", "d/keep.log"}},
		{"!keep.log\n*.log", []string{"keep.log"}, nil},
		{"/data\n!/data/small.csv", []string{"data/", "data/big.csv", "data/d/small.csv"}, []string{"data/small.csv"}},
		{"/data\n!/data/d/", []string{"data/x"}, []string{"data/d/", "data/d/x"}},
		// Without a slash nothing is taken back out of a directory.
		{"/data\n!*.csv", []string{"data/small.csv"}, []string{"small.csv"}},
		// The environment is left alone by what does not name it.
		{"data\n*.md\n/**\n", []string{"data/", "README.md"}, []string{"ENV/", "ENV/lib/data/x", "ENV/README.md"}},
		{"ENV/lib/**/tests/", []string{"ENV/lib/a/tests/x.py", "ENV/lib/tests/"}, []string{"ENV/lib/a/tests", "tests/"}},
		{"ENV/", []string{"ENV/", "ENV/bin/python"}, []string{"ENVIRONMENT/"}},
	} {
		ig := parseIgnore(t, &Ignore{}, c.rules)
		for name, want := range func(yield func(string, bool) bool) {
			for _, n := range c.out {
				yield(n, true)
			}
			for _, n := range c.not {
				yield(n, false)
			}
		} {
			clean, dir := strings.CutSuffix(name, "/")
			if why, out := ig.Excluded(clean, dir); out != want {
				t.Errorf("%q: %s is out: %v (%s)", c.rules, name, out, why)
			}
		}
	}
}

func TestIgnoreMistakes(t *testing.T) {
	for _, c := range []struct{ rules, want string }{
		{"ok\n[a-", ".easignore:2: the pattern \"[a-\" is not valid"},
		{"a//b", "empty part"},
		{"../x", "begins at the directory"},
		{"./x", "begins at the directory"},
		{"/", "empty part"},
	} {
		err := (&Ignore{}).Add(strings.NewReader(c.rules), IgnoreFile)
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != fault.Description {
			t.Errorf("%q: %v", c.rules, err)
		}
	}
}

// names lists entries and what was left out, with their reasons.
func names(entries []Entry, left []LeftOut) []string {
	var all []string
	for _, e := range entries {
		name := e.Name
		switch {
		case e.Mode.IsDir():
			name += "/"
		case e.Mode&fs.ModeSymlink != 0:
			name += " -> " + e.Link
		}
		all = append(all, name)
	}
	for _, l := range left {
		all = append(all, "- "+l.Name+": "+l.Why)
	}
	return all
}

func TestWalk(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"app.py", "model/x.bin", "sub/deep/data.txt", ".git/HEAD", "sub/__pycache__/a.pyc", "x.pyc", "venv/bin/python",
		"sub/.DS_Store", "notes.log", "data/big.csv", "data/small.csv", "ENV/bin/python", ".easignore", "venv/keep/this",
	} {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), name)
	}
	links := map[string]string{
		"rel": "model/x.bin", "sub/up": "../app.py", "dead": "nowhere", "abs": filepath.Join(dir, "model", "x.bin"),
		"sub/deep/absdir": filepath.Join(dir, "model"),
	}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ignore := parseIgnore(t, DefaultIgnore(), "*.log\n/data\n!/data/small.csv\n!venv/keep/\n")
	entries, left, err := Walk(t.Context(), dir, WalkOptions{Ignore: ignore, Except: []string{EnvDir}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"abs -> model/x.bin", "app.py", "data/small.csv", "dead -> nowhere", "model/", "model/x.bin", "rel -> model/x.bin",
		"sub/", "sub/deep/", "sub/deep/absdir -> ../../model", "sub/deep/data.txt", "sub/up -> ../app.py", "venv/keep/", "venv/keep/this",
		"- .easignore: /.easignore (default)", "- .git/: .git (default)", "- data/: /data (.easignore:2)", "- notes.log: *.log (.easignore:1)",
		"- s: it is a socket", "- sub/.DS_Store: .DS_Store (default)", "- sub/__pycache__/: __pycache__ (default)",
		"- venv/: venv (default)", "- x.pyc: *.pyc (default)",
	}
	if diff := cmp.Diff(want, names(entries, left)); diff != "" {
		t.Error(diff)
	}
	// The same through a link, and with nothing left out.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	entries, _, err = Walk(t.Context(), link, WalkOptions{Ignore: ignore, Except: []string{EnvDir}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[:len(entries)], names(entries, nil)); diff != "" {
		t.Error(diff)
	}
}

func TestWalkLinksOut(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "p", "d", "x"), "")
	write(t, filepath.Join(dir, "outside"), "")
	for _, c := range []struct{ name, to string }{
		{"up", "../outside"}, {"abs", filepath.Join(dir, "outside")}, {"d/far", "../../nowhere"}, {"system", "/etc/hostname"},
	} {
		name := filepath.Join(dir, "p", c.name)
		if err := os.Symlink(c.to, name); err != nil {
			t.Fatal(err)
		}
		_, _, err := Walk(t.Context(), filepath.Join(dir, "p"), WalkOptions{})
		if err == nil || !strings.Contains(err.Error(), c.name+" -> "+c.to) || !strings.Contains(fault.HintOf(err), "/"+c.name) {
			t.Errorf("%s: %v; %s", c.name, err, fault.HintOf(err))
		}
		ignore := parseIgnore(t, &Ignore{}, "/"+c.name)
		if _, _, err := Walk(t.Context(), filepath.Join(dir, "p"), WalkOptions{Ignore: ignore}); err != nil {
			t.Errorf("%s, left out: %v", c.name, err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWalkUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("missing: a user who may not read everything")
	}
	for _, what := range []string{"d/file", "d"} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "d", "file"), "")
		name := filepath.Join(dir, filepath.FromSlash(what))
		if err := os.Chmod(name, 0); err != nil {
			t.Fatal(err)
		}
		_, _, err := Walk(t.Context(), dir, WalkOptions{})
		if err := os.Chmod(name, 0o700); err != nil {
			t.Fatal(err)
		}
		if err == nil || !strings.Contains(err.Error(), name+": permission denied") || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWalkMissing(t *testing.T) {
	if _, _, err := Walk(t.Context(), filepath.Join(t.TempDir(), "nothing"), WalkOptions{}); err == nil {
		t.Error("a missing directory was walked")
	}
}
