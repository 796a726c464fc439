package pack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pyc is a compiled file with such a header.
func pyc(magic uint16, words ...uint32) []byte {
	b := binary.LittleEndian.AppendUint16(nil, magic)
	b = append(b, '\r', '\n')
	for _, w := range words {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return append(b, "code"...)
}

func TestBytecode(t *testing.T) {
	const py36, py311 = 3379, 3495
	text := []byte("x = 1\n")
	when, size := uint32(someTime.Unix()), uint32(len(text))
	hash := sourceHash(pyc(py311), text)
	low, high := uint32(hash), uint32(hash>>32)
	unchecked := pyc(py311, flagHash, low, high)
	for _, c := range []struct {
		what string
		pyc  []byte
		want []byte // nil: left out
	}{
		{"right", pyc(py311, 0, when, size), unchecked},
		{"another time", pyc(py311, 0, when+1, size), nil},
		{"another length", pyc(py311, 0, when, size+1), nil},
		{"hash", pyc(py311, flagHash|flagChecked, low, high), unchecked},
		{"unchecked hash", unchecked, unchecked},
		{"another hash", pyc(py311, flagHash|flagChecked, low+1, high), nil},
		{"another unchecked hash", pyc(py311, flagHash, low, high+1), nil},
		{"unknown flags", pyc(py311, 4, when, size), nil},
		{"Python 3.6", pyc(py36, when, size), pyc(py36, uint32(Epoch.Unix()), size)},
		{"Python 3.6, another time", pyc(py36, when-1, size), nil},
		{"Python 2", pyc(62211, when, size), nil},
		{"short", pyc(py311)[:7], nil},
		{"empty", nil, nil},
		{"garbage", []byte("this is no compiled file"), nil},
	} {
		source := DataEntry("ENV/m.py", 0o644, text)
		source.ModTime = someTime
		entries, left, err := Bytecode(t.Context(), []Entry{source, DataEntry("ENV/__pycache__/m.cpython-311.opt-1.pyc", 0o644, c.pyc)})
		if err != nil {
			t.Fatal(err)
		}
		if kept := len(entries) == 2; kept != (c.want != nil) || kept == (len(left) == 1) {
			t.Errorf("%s: kept %v, left out %v", c.what, kept, left)
			continue
		}
		if c.want == nil {
			continue
		}
		got, err := whole(entries[1])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, c.want) {
			t.Errorf("%s: %x, want %x", c.what, got, c.want)
		}
	}
	// Only what is in a __pycache__ and has its source, as it was, is touched.
	entries, left, err := Bytecode(t.Context(), []Entry{
		DataEntry("ENV/alone.pyc", 0o644, pyc(py311, 0, 1, 2)),
		DataEntry("ENV/rewritten.py", 0o644, text),
		DataEntry("ENV/__pycache__/rewritten.cpython-311.pyc", 0o644, pyc(py311, 0, when, size)),
		DataEntry("ENV/__pycache__/gone.cpython-311.pyc", 0o644, pyc(py311, 0, when, size)),
		DataEntry("ENV/__pycache__/notes.txt", 0o644, text),
		DataEntry("ENV/my__pycache__/x.pyc", 0o644, text),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ENV/alone.pyc", "ENV/rewritten.py", "ENV/__pycache__/notes.txt", "ENV/my__pycache__/x.pyc",
		"- ENV/__pycache__/rewritten.cpython-311.pyc: it is older than its source",
		"- ENV/__pycache__/gone.cpython-311.pyc: its source is not packed",
	}
	if diff := cmp.Diff(want, names(entries, left)); diff != "" {
		t.Error(diff)
	}
}

// pythons are the interpreters of this machine that can be found without asking.
func pythons() []string {
	found, _ := filepath.Glob(filepath.Join(os.Getenv("HOME"), ".pyenv", "versions", "3.*", "bin", "python3"))
	if one, err := exec.LookPath("python3"); err == nil {
		found = append(found, one)
	}
	return found
}

// Python takes what was packed as it is, whatever times the unpacker sets and
// whether the header had a time or a hash before, and says so.
func TestBytecodeInPython(t *testing.T) {
	all := pythons()
	if len(all) == 0 {
		t.Skip("missing: python3")
	}
	seen := map[string]bool{}
	for _, python := range all {
		out, err := exec.Command(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").Output()
		version := strings.TrimSpace(string(out))
		if err != nil || seen[version] {
			continue
		}
		seen[version] = true
		modes := []string{"timestamp", "checked-hash", "unchecked-hash"}
		if version == "3.6" {
			modes = []string{""}
		}
		for _, mode := range modes {
			t.Run(version+mode, func(t *testing.T) { bytecodeIn(t, python, version, mode) })
		}
	}
}

func bytecodeIn(t *testing.T, python, version, mode string) {
	t.Parallel()
	dir := t.TempDir()
	site := filepath.Join(dir, EnvDir, "site")
	for i := range 3 {
		write(t, filepath.Join(site, "pkg", fmt.Sprintf("m%d.py", i)), fmt.Sprintf("value = %d\n", i))
	}
	write(t, filepath.Join(site, "pkg", "__init__.py"), "")
	args := []string{"-m", "compileall", "-q", site}
	if mode != "" {
		args = append(args, "--invalidation-mode", mode)
	}
	if out, err := exec.Command(python, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// One that is stale.
	write(t, filepath.Join(site, "pkg", "m2.py"), "value = 'changed'\n")

	entries, _, err := Walk(t.Context(), dir, WalkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	entries, left, err := Bytecode(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 || !strings.Contains(left[0].Name, "m2.") {
		t.Errorf("left out: %v", left)
	}
	data, _ := packed(t, entries, WriteOptions{})
	file := filepath.Join(dir, "p.tar.gz")
	write(t, file, string(data))
	unpacked := filepath.Join(t.TempDir(), "elsewhere")
	if _, err := Extract(t.Context(), file, unpacked, ExtractOptions{}); err != nil {
		t.Fatal(err)
	}
	modules := "pkg, pkg.m0, pkg.m1"
	if version != "3.6" { // it compares times
		err := filepath.WalkDir(unpacked, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chtimes(path, time.Now(), time.Now())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	before := describeTree(t, unpacked)
	for _, check := range []string{"default", "always"} {
		args := []string{"-E", "-s", "-v", "-c", "import " + modules + "; assert pkg.m1.value == 1"}
		if mode != "" {
			args = append([]string{"--check-hash-based-pycs", check}, args...)
		}
		cmd := exec.Command(python, args...)
		cmd.Dir = filepath.Join(unpacked, EnvDir, "site")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		from := regexp.MustCompile(`(?m)^# code object from .*pkg.*$`).FindAllString(string(out), -1)
		if len(from) != 3 {
			t.Errorf("%d modules: %q", len(from), from)
		}
		for _, line := range from {
			if !strings.Contains(line, ".pyc") {
				t.Errorf("compiled anew: %s", line)
			}
		}
	}
	if diff := cmp.Diff(before, describeTree(t, unpacked)); diff != "" {
		t.Error(diff)
	}
}
