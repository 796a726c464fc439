package elfpatch

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compiler returns gcc for a CPU, or skips the test.
func compiler(t testing.TB, cpu string) string {
	t.Helper()
	names := []string{cpu + "-linux-gnu-gcc"}
	if cpu == map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH] && runtime.GOOS == "linux" {
		names = append(names, "gcc")
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("missing: a C compiler for %s", cpu)
	return ""
}

func command(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func writeText(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, data []byte) *File {
	t.Helper()
	f, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// edit edits a file and checks that both ways of applying the patch agree.
func edit(t testing.TB, data []byte, rpath string) []byte {
	t.Helper()
	p, err := open(t, data).SetRPath(rpath)
	if err != nil {
		t.Fatal(err)
	}
	if p == nil {
		return data
	}
	out := p.Apply(data)
	got, err := io.ReadAll(p.Reader(short{bytes.NewReader(data)}))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, out) || int64(len(got)) != p.Size {
		t.Fatalf("read %d bytes, applied %d, and they differ; the patch says %d", len(got), len(out), p.Size)
	}
	return out
}

// short reads less at a time than it is asked for.
type short struct{ r io.Reader }

func (o short) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 4093)]) }

// judged is what readelf reads in a file.
type judged struct {
	Needed         []string
	RPath, RunPath []string
}

var bracket = regexp.MustCompile(`\((NEEDED|RPATH|RUNPATH)\).*\[(.*)\]`)

func judge(t testing.TB, name string) judged {
	t.Helper()
	if _, err := exec.LookPath("readelf"); err != nil {
		t.Skip("missing: readelf")
	}
	out := command(t, "", "readelf", "-dlSW", name)
	if i := strings.Index(strings.ToLower(out), "warning"); i >= 0 {
		t.Errorf("readelf warns of %s: %s", name, out[i:min(len(out), i+200)])
	}
	var j judged
	for _, m := range bracket.FindAllStringSubmatch(out, -1) {
		switch m[1] {
		case "NEEDED":
			j.Needed = append(j.Needed, m[2])
		case "RPATH":
			j.RPath = append(j.RPath, m[2])
		case "RUNPATH":
			j.RunPath = append(j.RunPath, m[2])
		}
	}
	return j
}

// A program that needs a library, which needs another: both are only found by
// the program's search path, and neither by a DT_RUNPATH, which is not
// inherited.
const (
	deepSource = `int deep(void) { return 42; }`
	midSource  = `int deep(void); int mid(void) { return deep(); }`
	mainSource = `#include <stdio.h>
int mid(void);
char zeros[100000];
int main(void) { printf("%d %d\n", mid(), zeros[99999]); return 0; }`
)

// variant is a way to link the program.
type variant struct {
	name string
	args []string
	cpu  string // empty: x86_64
}

var variants = []variant{
	{name: "plain"},
	{name: "runpath", args: []string{"-Wl,--enable-new-dtags,-rpath,/somewhere/else/that/is/long/enough/lib"}},
	{name: "rpath", args: []string{"-Wl,--disable-new-dtags,-rpath,/somewhere/else/that/is/long/enough/lib"}},
	{name: "short runpath", args: []string{"-Wl,-rpath,/x"}},
	{name: "no PIE", args: []string{"-no-pie"}},
	{name: "no separate code", args: []string{"-Wl,-z,noseparate-code"}},
	{name: "no separate code, no PIE, no RELRO", args: []string{"-no-pie", "-Wl,-z,noseparate-code,-z,norelro"}},
	{name: "large pages", args: []string{"-Wl,-z,max-page-size=0x200000"}},
	{name: "stripped", args: []string{"-s"}},
	{name: "old hash", args: []string{"-Wl,--hash-style=sysv"}},
	{name: "gold", args: []string{"-fuse-ld=gold"}},
	{name: "gold with a short runpath", args: []string{"-fuse-ld=gold", "-Wl,-rpath,/x"}},
	{name: "lld", args: []string{"-fuse-ld=lld"}},
	{name: "lld, no PIE", args: []string{"-fuse-ld=lld", "-no-pie"}},
	{name: "aarch64", cpu: "aarch64"},
	{name: "aarch64 with runpath", cpu: "aarch64", args: []string{"-Wl,-rpath,/somewhere/else/that/is/long/enough/lib"}},
	{name: "aarch64, no PIE", cpu: "aarch64", args: []string{"-no-pie"}},
}

// build links the program of a variant, with its libraries in DIR/lib.
func build(t testing.TB, v variant) (dir, program string) {
	t.Helper()
	cpu := v.cpu
	if cpu == "" {
		cpu = "x86_64"
	}
	cc := compiler(t, cpu)
	dir = t.TempDir()
	for name, text := range map[string]string{"deep.c": deepSource, "mid.c": midSource, "main.c": mainSource} {
		writeText(t, filepath.Join(dir, name), text)
	}
	for _, d := range []string{"lib", "bin"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	command(t, dir, cc, "-shared", "-fPIC", "-o", "lib/libdeep.so", "deep.c")
	command(t, dir, cc, "-shared", "-fPIC", "-o", "lib/libmid.so", "mid.c", "-Llib", "-ldeep")
	args := append([]string{"-o", "bin/main", "main.c", "-Llib", "-lmid", "-Wl,-rpath-link,lib"}, v.args...)
	cmd := exec.CommandContext(t.Context(), cc, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "cannot find ‘ld") || strings.Contains(string(out), "cannot find 'ld") || strings.Contains(string(out), "invalid linker name") {
			t.Skipf("missing: the linker of %s", v.name)
		}
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return dir, filepath.Join(dir, "bin", "main")
}

// runs says whether a program for a CPU can be run here.
func runs(v variant) bool { return v.cpu == "" && runtime.GOARCH == "amd64" }

func TestSetRPath(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			dir, program := build(t, v)
			before := judge(t, program)
			data := read(t, program)
			for _, rpath := range []string{
				"$ORIGIN/../lib",
				"$ORIGIN/../lib:$ORIGIN/../" + strings.Repeat("a/long/way/../../../", 10) + "lib",
				"$ORIGIN/../lib:" + strings.Repeat("/longer/than/any/padding:", 1500),
			} {
				out := edit(t, data, rpath)
				name := filepath.Join(dir, "bin", fmt.Sprintf("edited%d", len(rpath)))
				if err := os.WriteFile(name, out, 0o755); err != nil {
					t.Fatal(err)
				}
				want := judged{Needed: before.Needed, RPath: []string{rpath}}
				if diff := cmp.Diff(want, judge(t, name)); diff != "" {
					t.Errorf("readelf (-want +got):\n%s", diff)
				}
				f := open(t, out)
				if f.RPath != rpath || f.RunPath != "" {
					t.Errorf("search paths %q and %q, want %q only", f.RPath, f.RunPath, rpath)
				}
				if bytes.Contains(out, []byte("/somewhere/else")) {
					t.Error("it still names the old directory")
				}
				if p, err := f.SetRPath(rpath); p != nil || err != nil {
					t.Errorf("again: %+v, %v; want nothing to be done", p, err)
				}
				if runs(v) {
					if got := command(t, "/", name); got != "42 0\n" {
						t.Errorf("it printed %q", got)
					}
				}
				// As is done when an environment that was packed is packed again.
				other := edit(t, out, "$ORIGIN/x")
				if g := open(t, other); g.RPath != "$ORIGIN/x" {
					t.Errorf("edited twice: %q", g.RPath)
				}
			}
		})
	}
}

// A library loses a search path that would keep it from inheriting one.
func TestSetRPathTakesAway(t *testing.T) {
	dir, program := build(t, variants[0])
	cc := compiler(t, "x86_64")
	command(t, dir, cc, "-shared", "-fPIC", "-o", "lib/libmid.so", "mid.c", "-Llib", "-ldeep", "-Wl,--enable-new-dtags,-rpath,/nowhere/at/all")
	if err := os.WriteFile(program, edit(t, read(t, program), "$ORIGIN/../lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	if runs(variants[0]) {
		if out, err := exec.CommandContext(t.Context(), program).CombinedOutput(); err == nil {
			t.Fatalf("it ran before the library was edited: %s", out)
		}
	}
	library := filepath.Join(dir, "lib", "libmid.so")
	edited := edit(t, read(t, library), "")
	if bytes.Contains(edited, []byte("/nowhere")) {
		t.Error("the library still names the directory")
	}
	if err := os.WriteFile(library, edited, 0o755); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(judged{Needed: []string{"libdeep.so"}}, judge(t, library)); diff != "" {
		t.Errorf("readelf (-want +got):\n%s", diff)
	}
	if runs(variants[0]) {
		if got := command(t, "/", program); got != "42 0\n" {
			t.Errorf("it printed %q", got)
		}
	}
}

// The kind of an entry changes, and nothing else.
func TestSetRPathKeepsString(t *testing.T) {
	dir, _ := build(t, variants[0])
	cc := compiler(t, "x86_64")
	command(t, dir, cc, "-shared", "-fPIC", "-o", "lib/libmid.so", "mid.c", "-Llib", "-ldeep", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../own")
	data := read(t, filepath.Join(dir, "lib", "libmid.so"))
	if f := open(t, data); f.RunPath != "$ORIGIN/../own" {
		t.Fatalf("the compiler made %+v", f)
	}
	out := edit(t, data, "$ORIGIN/../own")
	differ := 0
	for i := range data {
		if data[i] != out[i] {
			differ++
		}
	}
	if len(out) != len(data) || differ != 1 {
		t.Errorf("%d of %d bytes changed, want one", differ, len(data))
	}
}

// Linkers store a string once where it is the end of another: a symbol may be
// named after the last directory of a search path.
func TestSetRPathShared(t *testing.T) {
	cc := compiler(t, "x86_64")
	dir := t.TempDir()
	for _, symbol := range []string{"tail", "other"} {
		t.Run(symbol, func(t *testing.T) {
			writeText(t, filepath.Join(dir, "s.c"), "int "+symbol+"(void) { return 7; }")
			command(t, dir, cc, "-shared", "-fPIC", "-o", "libs.so", "s.c", "-Wl,--enable-new-dtags,-rpath,/a/long/directory/called/tail")
			data := read(t, filepath.Join(dir, "libs.so"))
			if shared := bytes.Count(data, []byte("\x00tail\x00")) == 0; symbol == "tail" && !shared {
				t.Log("this linker does not share the string")
			}
			out := edit(t, data, "$ORIGIN/x")
			f, err := elf.NewFile(bytes.NewReader(out))
			if err != nil {
				t.Fatal(err)
			}
			symbols, err := f.DynamicSymbols()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == symbol }) {
				t.Errorf("the symbol %s is gone: %v", symbol, symbols)
			}
		})
	}
}

// What is read agrees with debug/elf, which goes by sections, in libraries of
// this machine.
func TestReadRealLibraries(t *testing.T) {
	var names []string
	for _, pattern := range []string{"/usr/bin/*", "/usr/lib/*-linux-gnu/lib*.so.*", "/lib/*-linux-gnu/lib*.so.*", "/usr/lib64/lib*.so.*"} {
		list, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, list...)
	}
	seen := 0
	for i, name := range names {
		if i%23 != 0 {
			continue // enough of them
		}
		file, err := os.Open(name)
		if err != nil {
			continue
		}
		func() {
			defer file.Close()
			info, err := file.Stat()
			if err != nil || !info.Mode().IsRegular() {
				return
			}
			f, err := Read(file, info.Size())
			if errors.Is(err, ErrNotELF) {
				return
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			want, err := elf.NewFile(file)
			if err != nil || want.Class != elf.ELFCLASS64 {
				return
			}
			seen++
			libraries, err := want.ImportedLibraries()
			if err != nil {
				return
			}
			if diff := cmp.Diff(libraries, f.Needed); diff != "" && len(libraries)+len(f.Needed) > 0 {
				t.Errorf("%s needs (-debug/elf +ours):\n%s", name, diff)
			}
			var versions, ours []string
			if needs, err := want.DynamicVersionNeeds(); err == nil {
				for _, n := range needs {
					for _, d := range n.Needs {
						versions = append(versions, n.Name+" "+d.Dep)
					}
				}
				for _, v := range f.Versions {
					ours = append(ours, v.Library+" "+v.Name)
				}
				if diff := cmp.Diff(versions, ours); diff != "" {
					t.Errorf("%s needs versions (-debug/elf +ours):\n%s", name, diff)
				}
			}
			for _, rpath := range []string{"$ORIGIN/../lib", ""} {
				if !f.Dynamic {
					continue
				}
				p, err := f.SetRPath(rpath)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if p == nil {
					continue
				}
				out := p.Apply(read(t, name))
				g, err := Read(bytes.NewReader(out), int64(len(out)))
				if err != nil {
					t.Errorf("%s, edited: %v", name, err)
					continue
				}
				if g.RPath != rpath || g.RunPath != "" || !slices.Equal(g.Needed, f.Needed) {
					t.Errorf("%s, edited: %+v", name, g)
				}
			}
		}()
	}
	if seen == 0 {
		t.Skip("missing: ELF files in the usual directories")
	}
	t.Logf("%d files", seen)
}

func TestReadOthers(t *testing.T) {
	for _, text := range []string{"", "#!/bin/sh\necho a script that is long enough\n", "\x7fELD" + strings.Repeat("x", 100)} {
		if _, err := Read(strings.NewReader(text), int64(len(text))); !errors.Is(err, ErrNotELF) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, rpath := range []string{"a\x00b", strings.Repeat("x", 1<<17)} {
		_, program := build(t, variants[0])
		if _, err := open(t, read(t, program)).SetRPath(rpath); err == nil {
			t.Errorf("a search path of %d bytes was taken", len(rpath))
		}
	}
	// A 32-bit big-endian one, of which only the header is read.
	head := append([]byte("\x7fELF\x01\x02\x01"), make([]byte, 60)...)
	head[17], head[19] = byte(elf.ET_DYN), byte(elf.EM_PPC)
	f, err := Read(bytes.NewReader(head), int64(len(head)))
	if err != nil || f.Machine != elf.EM_PPC || f.Type != elf.ET_DYN || f.Class != elf.ELFCLASS32 || f.Dynamic {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := f.SetRPath("x"); err == nil {
		t.Error("it was edited")
	}
}

// A file that ends too early or is damaged anywhere gives an error or something
// that can be worked with.
func TestReadDamaged(t *testing.T) {
	_, program := build(t, variants[1])
	data := read(t, program)
	for n := range data {
		if n > 2048 && n%97 != 0 {
			continue
		}
		if f, err := Read(bytes.NewReader(data[:n]), int64(n)); err == nil {
			_, _ = f.SetRPath("$ORIGIN")
		}
		damaged := slices.Clone(data)
		for _, v := range []byte{0, 0x7f, 0x80, 0xff} {
			damaged[n] = v
			try(t, damaged)
		}
	}
}

// try reads and edits what may be damaged; what was edited can be read again
// with the search path that it was given.
func try(t testing.TB, data []byte) {
	f, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return
	}
	for _, rpath := range []string{"$ORIGIN/../lib", ""} {
		p, err := f.SetRPath(rpath)
		if err != nil || p == nil {
			continue
		}
		if p.Size > int64(len(data))+300<<20 {
			t.Errorf("%d bytes became %d", len(data), p.Size)
		}
		if p.Size > 32<<20 {
			continue
		}
		_ = p.Apply(data)
	}
}

func FuzzRead(f *testing.F) {
	for _, v := range []variant{variants[0], variants[3]} {
		_, program := build(f, v)
		f.Add(read(f, program)[:1024])
		f.Add(read(f, program))
	}
	f.Fuzz(func(t *testing.T, data []byte) { try(t, data) })
}
