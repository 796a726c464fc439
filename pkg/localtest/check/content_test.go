package check

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWorkspacePaths(t *testing.T) {
	dir := project(t, nil)
	run(t, dir, "gcc -shared -fPIC -DWORKSPACE -o x.so processor.c")
	note := func(path string) string {
		return "note workspace-path: it holds the path " + path + ", which exists on EAS and not everywhere else"
	}
	want := []string{note("/home/admin/docker_ml/workspace/model/1"), note("/eas/workspace/model")}
	if diff := cmp.Diff(want, examine(t, dir, "x.so", Options{})); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestAppendPaths(t *testing.T) {
	long := "/eas/workspace/" + strings.Repeat("x", 300)
	for _, tc := range []struct {
		data string
		want []string
	}{
		{"nothing", nil},
		{"\x00/eas/workspace\x00", []string{"/eas/workspace"}},
		{`{"path": "/eas/workspace/model/a"}`, []string{"/eas/workspace/model/a"}},
		{"/eas/workspace/a /eas/workspace/a /eas/workspace/b", []string{"/eas/workspace/a", "/eas/workspace/b"}},
		{long, []string{long[:200]}},
		{strings.Join([]string{"/eas/workspace/1", "/eas/workspace/2", "/eas/workspace/3", "/eas/workspace/4", "/eas/workspace/5", "/eas/workspace/6"}, "\x00"),
			[]string{"/eas/workspace/1", "/eas/workspace/2", "/eas/workspace/3", "/eas/workspace/4", "/eas/workspace/5"}},
	} {
		if diff := cmp.Diff(tc.want, appendPaths(nil, []byte(tc.data))); diff != "" {
			t.Errorf("%.40q (-want +got):\n%s", tc.data, diff)
		}
	}
}

// TestPathAcrossBlocks puts a path where two pieces of the file that are read
// one after the other meet.
func TestPathAcrossBlocks(t *testing.T) {
	const piece = 256 << 10
	for _, at := range []int{piece - 5, piece - 300, piece - 600, piece, piece + 5} {
		data := bytes.Repeat([]byte{0}, 3*piece)
		copy(data[at:], "/eas/workspace/model/of/a/name\x00")
		path := filepath.Join(t.TempDir(), "data")
		write(t, path, string(data))
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var r Report
		r.workspacePaths(f, &object{segments: []segment{{filesz: uint64(len(data))}}})
		if len(r.Problems) == 0 || !strings.Contains(r.Problems[0].Text, "/eas/workspace/model/of/a/name,") {
			t.Errorf("at %d: %v", at, r.Problems)
		}
	}
}

func TestHardening(t *testing.T) {
	needLinux(t)
	dir := project(t, map[string]string{
		"stack.s": ".text\n.globl helper\nhelper: ret\n.section .note.GNU-stack,\"x\",@progbits\n",
		"fixed.c": "int number; int *where(void) { return &number; }",
	})
	for _, tc := range []struct{ name, build, want string }{
		{"executable stack", "gcc processor.c -Wl,-z,execstack", "executable-stack: it asks for an executable stack, which glibc "},
		{"executable stack, by an assembler file", "gcc processor.c stack.s", "executable-stack: it asks for an executable stack, which glibc "},
		{"not position-independent", "gcc -fno-pic -mcmodel=large -Wl,-z,notext processor.c fixed.c", "warning text-relocations: parts of it are not position-independent"},
		{"not to be loaded", "gcc processor.c -Wl,-z,nodlopen", "fatal not-shared: it forbids being loaded at run time"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if strings.Contains(tc.build, "mcmodel") && cpu(thisMachine()) != "x86-64" {
				t.Skip("an amd64 machine is missing")
			}
			args := []string{"-shared", "-o", "x.so"}
			if !strings.Contains(tc.build, "-fno-pic") {
				args = append(args, "-fPIC")
			}
			run(t, dir, tc.build, args...)
			got := examine(t, dir, "x.so", Options{})
			if len(got) != 1 || !strings.Contains(got[0], tc.want) {
				t.Errorf("problems: %q, want %q", got, tc.want)
			}
		})
	}
}

func TestSanitizers(t *testing.T) {
	needLinux(t)
	dir := project(t, nil)
	asan := library(t, "libasan.so")
	run(t, dir, "gcc -shared -fPIC -fsanitize=address -o x.so processor.c")
	got := examine(t, dir, "x.so", Options{})
	if len(got) != 1 || !strings.HasPrefix(got[0], "warning sanitizer: it is built with a sanitizer, whose libasan.so.") {
		t.Errorf("problems: %q", got)
	}
	if got := examine(t, dir, "x.so", Options{Preload: []string{asan}}); got != nil {
		t.Errorf("problems when it is preloaded: %q", got)
	}
}

// TestDocumented checks that docs/checks.md has a heading for every code, and
// for no other.
func TestDocumented(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	code := regexp.MustCompile(`(?:add\((?:Fatal|Warning|Note|severity), |[cC]ode:\s+|f\.code(?:, f\.as)? = )"([a-z-]+)"`)
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range code.FindAllSubmatch(data, -1) {
			codes[string(m[1])] = true
		}
	}
	if len(codes) < 15 {
		t.Errorf("only %d codes in the sources", len(codes))
	}
	page, err := os.ReadFile("../../../docs/checks.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^## `([a-z-]+)`").FindAllSubmatch(page, -1) {
		headings[string(m[1])] = true
	}
	if diff := cmp.Diff(codes, headings); diff != "" {
		t.Errorf("codes and headings (-source +docs/checks.md):\n%s", diff)
	}
}

// FuzzSharedObject examines damaged files: whatever is wrong, there is a
// report and no panic.
func FuzzSharedObject(f *testing.F) {
	dir := project(f, nil)
	run(f, dir, "gcc -shared -fPIC -o x.so processor.c")
	sound, err := os.ReadFile(filepath.Join(dir, "x.so"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nil), uint32(0), false)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint32(32), false)
	f.Add([]byte(nil), uint32(100), true)
	for at := range uint32(1024) {
		if at%8 == 0 {
			f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, at, false)
			f.Add([]byte{0x80, 0x96, 0x98}, at, false)
		}
	}
	path := filepath.Join(dir, "y.so")
	f.Fuzz(func(t *testing.T, with []byte, at uint32, cut bool) {
		data := slices.Clone(sound)
		at %= uint32(len(data))
		copy(data[at:], with)
		if cut {
			data = data[:at]
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := SharedObject(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Problems {
			if p.Code == "" || p.Text == "" {
				t.Errorf("an empty problem: %+v", p)
			}
		}
	})
}

func BenchmarkSharedObject(b *testing.B) {
	dir := project(b, nil)
	run(b, dir, "g++ -shared -fPIC -g -o x.so processor.cc")
	path := filepath.Join(dir, "x.so")
	for b.Loop() {
		if _, err := SharedObject(path, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
