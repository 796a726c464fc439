//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeTree makes an environment of three files, a directory and a link.
func writeTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"bin/python": "12345", "lib/a.py": "123", "lib/b.py": ""} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("python", filepath.Join(dir, "bin", "python3")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReadTree(t *testing.T) {
	got, err := readTree(writeTree(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(treeSize{Entries: 6, Bytes: 8}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLinkCondaTree(t *testing.T) {
	from, to := writeTree(t), filepath.Join(t.TempDir(), "conda")
	if err := linkCondaTree(from, to); err != nil {
		t.Fatal(err)
	}
	got, err := readTree(to)
	if err != nil {
		t.Fatal(err)
	}
	if got.Entries != 6+2 {
		t.Errorf("%d entries, want those of the tree and conda's directory with one file", got.Entries)
	}
	for _, name := range []string{"bin/python", "lib/a.py"} {
		a, errA := os.Stat(filepath.Join(from, name))
		b, errB := os.Stat(filepath.Join(to, name))
		if errA != nil || errB != nil || !os.SameFile(a, b) {
			t.Errorf("%s is not the same file: %v, %v", name, errA, errB)
		}
	}
	if target, err := os.Readlink(filepath.Join(to, "bin", "python3")); target != "python" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if _, err := os.Stat(filepath.Join(from, "conda-meta")); err == nil {
		t.Error("the tree itself was changed")
	}
}

// testBench has what running programs needs.
func testBench(t *testing.T) *bench {
	t.Helper()
	return &bench{dir: t.TempDir(), talk: t.Output()}
}

func TestRunPacker(t *testing.T) {
	b := testBench(t)
	out := filepath.Join(t.TempDir(), "package.tar.gz")
	p := packer{programs: [][]string{{"tar", "-C", writeTree(t), "-cf", "-", "."}, {"gzip"}}, toFile: true}
	use, err := b.runPacker(t.Context(), p, out)
	if err != nil {
		t.Fatal(err)
	}
	// Two programs of which each needs some hundred kilobytes.
	if use.took <= 0 || use.memory < 500e3 || use.memory > 1e9 {
		t.Errorf("%v and %d bytes of memory", use.took, use.memory)
	}
	got, err := readPackage(out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(treeSize{Entries: 7, Bytes: 8}, got); diff != "" { // and "."
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRunPackerWithMemory(t *testing.T) {
	const size = 64 << 20
	p := packer{programs: [][]string{{"dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"}}}
	use, err := testBench(t).runPacker(t.Context(), p, "")
	if err != nil {
		t.Fatal(err)
	}
	if use.memory < size || use.memory > 3*size {
		t.Errorf("%d bytes of memory for a program that needs %d", use.memory, size)
	}
}

func TestRunPackerCountsProcessorTime(t *testing.T) {
	work := []string{"dd", "if=/dev/zero", "of=/dev/null", "bs=1M", "count=2000", "status=none"}
	use, err := testBench(t).runPacker(t.Context(), packer{programs: [][]string{work}}, "")
	if err != nil {
		t.Fatal(err)
	}
	if use.cpu <= 0 {
		t.Errorf("%v of processor time in %v", use.cpu, use.took)
	}
}

func TestRunPackerFails(t *testing.T) {
	for name, programs := range map[string][][]string{
		"first": {{"sh", "-c", "echo no such tree >&2; exit 2"}, {"cat"}},
		"last":  {{"cat", "/dev/null"}, {"sh", "-c", "echo no such tree >&2; exit 2"}},
	} {
		out := filepath.Join(t.TempDir(), "package")
		_, err := testBench(t).runPacker(t.Context(), packer{programs: programs, toFile: true}, out)
		if err == nil || !strings.Contains(err.Error(), "no such tree") || !strings.Contains(err.Error(), "exit status 2") {
			t.Errorf("%s: error %v, want its status and what it said", name, err)
		}
	}
	_, err := testBench(t).runPacker(t.Context(), packer{programs: [][]string{{"cat"}, {"no-such-program-at-all"}}}, "")
	if err == nil {
		t.Error("a program that is not there: no error")
	}
}

func TestPackers(t *testing.T) {
	b := testBench(t)
	b.eascmd, b.programs = "eascmd", map[string]string{}
	names := func() []string {
		var names []string
		for _, p := range b.packers("project", "conda", "out") {
			names = append(names, p.name)
		}
		return names
	}
	if diff := cmp.Diff([]string{eascmdPack, eascmdPackChecked, tarGzip}, names()); diff != "" {
		t.Errorf("without peers (-want +got):\n%s", diff)
	}
	b.venv, b.programs = "venv", map[string]string{"pigz": "/usr/bin/pigz"}
	if diff := cmp.Diff([]string{eascmdPack, eascmdPackChecked, condaPackTwo, condaPackOne, tarGzip, tarPigz}, names()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, p := range b.packers("project", "conda", "out") {
		last := p.programs[len(p.programs)-1]
		switch p.name {
		case condaPackTwo:
			if last[len(last)-1] != "2" {
				t.Errorf("%s: %q", p.name, last)
			}
		case condaPackOne:
			if last[len(last)-1] != "1" {
				t.Errorf("%s: %q", p.name, last)
			}
		case eascmdPackChecked:
			if last[len(last)-1] == "--no-check" {
				t.Errorf("%s: %q", p.name, last)
			}
		}
	}
}
