package backtrace

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// frame is what a test expects of a Frame.
type frame struct {
	Function string
	Place    string // file:line; empty where unknown
	Inlined  bool
}

func framesIn(e *Explanation, object string) []frame {
	var out []frame
	for _, f := range e.Frames {
		if filepath.Base(f.Object) != object {
			continue
		}
		g := frame{Function: f.Function, Inlined: f.Inlined}
		if f.File != "" {
			g.Place = fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		out = append(out, g)
	}
	return out
}

// chain is the backtrace of chain.cc with debug information.
func chain(t *testing.T) []frame {
	lines := marks(t, "chain.cc")
	at := func(mark string) string { return fmt.Sprintf("chain.cc:%d", lines[mark]) }
	return []frame{
		{"shop::Table<long>::find(long) const", at("find"), false},
		{"shop::innermost", at("innermost"), true},
		{"shop::inlined", at("inlined"), true},
		{"shop::(anonymous namespace)::hidden(shop::Table<long> const&, int)", at("hidden"), false},
		{"shop::Visitor::visit(int)", at("visit"), false},
		{"local(int)::{lambda(int)#1}::operator()(int) const", at("lambda"), false},
		{"local(int)", at("local"), false},
		{"entry", at("entry"), false},
	}
}

// compilers are the ways of compiling chain.cc that keep names and lines.
var compilers = []struct {
	name  string
	flags string
	after string // a command line on chain.so
	clang bool   // try it with Clang, too
}{
	{name: "unoptimised", flags: "-g -O0", clang: true},
	{name: "optimised", flags: "-g -O2", clang: true},
	{name: "O3, function sections", flags: "-g -O3 -ffunction-sections -Wl,--gc-sections"},
	{name: "dwarf 2", flags: "-gdwarf-2 -O2"},
	{name: "dwarf 3", flags: "-gdwarf-3 -O2"},
	{name: "dwarf 4", flags: "-gdwarf-4 -O2", clang: true},
	{name: "dwarf 4, type units", flags: "-gdwarf-4 -fdebug-types-section -O2"},
	{name: "dwarf 5", flags: "-gdwarf-5 -O2", clang: true},
	{name: "dwarf 5, type units", flags: "-gdwarf-5 -fdebug-types-section -O2"},
	{name: "dwarf 5, 64 bit", flags: "-gdwarf-5 -gdwarf64 -O2"},
	{name: "macros", flags: "-g3 -O2"},
	{name: "compressed", flags: "-g -O2 -gz=zlib", clang: true},
	{name: "compressed, GNU's way", flags: "-gdwarf-4 -O2 -gz=zlib-gnu"},
	{name: "link-time optimised", flags: "-g -O2 -flto", clang: true},
	{name: "hidden", flags: "-g -O2 -fvisibility=hidden -Wl,-Bsymbolic"},
	{name: "no aranges", flags: "-g -O2", after: "objcopy --remove-section=.debug_aranges chain.so"},
	{name: "no aranges, dwarf 4", flags: "-gdwarf-4 -O2", after: "objcopy --remove-section=.debug_aranges chain.so"},
	{name: "separate debug file", flags: "-g -O2 -Wl,--build-id=none",
		after: "objcopy --only-keep-debug chain.so chain.debug && strip chain.so && objcopy --add-gnu-debuglink=chain.debug chain.so"},
	{name: "separate debug file, build id", flags: "-g -O2 -Wl,--build-id=sha1",
		after: "mkdir .debug && objcopy --only-keep-debug chain.so .debug/chain.debug && strip chain.so && objcopy --add-gnu-debuglink=.debug/chain.debug chain.so"},
}

func TestResolve(t *testing.T) {
	for _, compiler := range []string{"g++", "clang++"} {
		want := chain(t)
		if compiler == "clang++" {
			// It keeps the linker's names of functions that are only inlined.
			want[1].Function += "(shop::Table<long> const&, int)"
			want[2].Function += "(shop::Table<long> const&, int)"
			want[5].Function = "local(int)::$_0::operator()(int) const"
		}
		for _, tc := range compilers {
			if compiler == "clang++" && !tc.clang {
				continue
			}
			t.Run(compiler+", "+tc.name, func(t *testing.T) {
				tool(t, compiler)
				t.Parallel()
				dir := source(t, "chain.cc")
				args := append(strings.Fields(tc.flags), "-shared", "-fPIC", "-o", "chain.so", "chain.cc")
				if compiler == "clang++" {
					if out, err := command(t, dir, compiler, args...); err != nil {
						t.Skipf("this clang++ does not take %s: %s", tc.flags, out)
					}
				} else {
					run(t, dir, compiler, args...)
				}
				if tc.after != "" {
					tool(t, "objcopy")
					run(t, dir, "sh", "-c", tc.after)
				}
				rec := record(t, dir, "chain.so")
				e := rec.Explain(t.Context(), Options{})
				if diff := cmp.Diff(want, framesIn(e, "chain.so")); diff != "" {
					t.Errorf("frames (-want +got):\n%s\n%s", diff, e)
				}
				if e.Where != fmt.Sprintf("%s at %s", want[0].Function, want[0].Place) {
					t.Errorf("where: %s", e.Where)
				}
				if len(e.Notes) > 0 {
					t.Errorf("notes: %q", e.Notes)
				}
				// The host's frames and the thread's start are left out.
				if last := e.Frames[len(e.Frames)-1]; last.Function != "entry" {
					t.Errorf("last frame: %s", last.String())
				}
			})
		}
	}
}

func command(t *testing.T, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), tool(t, name), args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestResolveAsAddr2line compares places with those that binutils finds.
func TestResolveAsAddr2line(t *testing.T) {
	addr2line := tool(t, "addr2line")
	for _, flags := range []string{"-g -O0", "-g -O2", "-gdwarf-4 -O3"} {
		t.Run(flags, func(t *testing.T) {
			t.Parallel()
			dir := source(t, "chain.cc")
			run(t, dir, "g++", append(strings.Fields(flags), "-shared", "-fPIC", "-o", "chain.so", "chain.cc")...)
			e := record(t, dir, "chain.so").Explain(t.Context(), Options{})
			checked := 0
			for i := 0; i < len(e.Frames); i++ {
				f := e.Frames[i]
				if filepath.Base(f.Object) != "chain.so" {
					continue
				}
				addr := f.Address
				if i > 0 {
					addr--
				}
				var ours []string
				for ours = append(ours, fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)); e.Frames[i].Inlined; {
					i++
					ours = append(ours, fmt.Sprintf("%s:%d", filepath.Base(e.Frames[i].File), e.Frames[i].Line))
				}
				var theirs []string
				out := strings.Split(strings.TrimSpace(run(t, dir, addr2line, "-Cfie", "chain.so", fmt.Sprintf("%#x", addr))), "\n")
				for j := 1; j < len(out); j += 2 {
					place, _, _ := strings.Cut(filepath.Base(out[j]), " (")
					theirs = append(theirs, place)
				}
				if diff := cmp.Diff(theirs, ours); diff != "" {
					t.Errorf("%#x (-addr2line +ours):\n%s", addr, diff)
				}
				checked++
			}
			if checked < 4 {
				t.Errorf("only %d addresses were compared:\n%s", checked, e)
			}
		})
	}
}

// TestResolveWithoutLines checks what is left without debug information, and
// without a symbol table.
func TestResolveWithoutLines(t *testing.T) {
	for _, tc := range []struct {
		name, flags string
		want        []frame
	}{
		{"symbols", "-O2", []frame{
			{Function: "shop::Table<long>::find(long) const"},
			{Function: "shop::(anonymous namespace)::hidden(shop::Table<long> const&, int)"},
			{Function: "shop::Visitor::visit(int)"},
			{Function: "local(int)::{lambda(int)#1}::operator()(int) const"},
			{Function: "local(int)"},
			{Function: "entry"},
		}},
		// What is not exported has no name, and not that of a neighbour.
		{"stripped", "-O2 -s", []frame{
			{Function: "shop::Table<long>::find(long) const"},
			{},
			{Function: "shop::Visitor::visit(int)"},
			{},
			{},
			{Function: "entry"},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := source(t, "chain.cc")
			run(t, dir, "g++", append(strings.Fields(tc.flags), "-shared", "-fPIC", "-o", "chain.so", "chain.cc")...)
			e := record(t, dir, "chain.so").Explain(t.Context(), Options{})
			if diff := cmp.Diff(tc.want, framesIn(e, "chain.so")); diff != "" {
				t.Errorf("frames (-want +got):\n%s\n%s", diff, e)
			}
			if f := e.Frames[0]; f.Offset == 0 || f.Offset > 0x100 {
				t.Errorf("offset of the first frame: %#x", f.Offset)
			}
			want := []string{"chain.so: no debug information: compile with -g to see files and lines"}
			if diff := cmp.Diff(want, e.Notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestResolveProgram checks a program at a fixed address, which has no load
// offset, and the host's own crash, whose frames are kept.
func TestResolveProgram(t *testing.T) {
	for _, flags := range []string{"-no-pie", "-pie -fPIE"} {
		t.Run(flags, func(t *testing.T) {
			dir := source(t, "recorder.c")
			run(t, dir, "gcc", append(strings.Fields(flags), "-g", "-O1", "-DCRASH", "-o", "recorder", "recorder.c", "-ldl", "-lpthread")...)
			rec := record(t, dir, "nothing")
			e := rec.Explain(t.Context(), Options{})
			want := frame{"own_crash", fmt.Sprintf("recorder.c:%d", marks(t, "recorder.c")["own_crash"]), false}
			got := framesIn(e, "recorder")
			if len(got) < 2 || got[0] != want || got[1].Function != "main" {
				t.Errorf("frames: %v\n%s", got, e)
			}
		})
	}
}

// TestResolveChangedFiles checks that names never come from another file than
// the one that was loaded.
func TestResolveChangedFiles(t *testing.T) {
	dir := source(t, "chain.cc")
	run(t, dir, "g++", "-g", "-O2", "-shared", "-fPIC", "-o", "chain.so", "chain.cc")
	rec := record(t, dir, "chain.so")
	library := filepath.Join(dir, "chain.so")
	built, err := os.ReadFile(library)
	if err != nil {
		t.Fatal(err)
	}
	write := func(t *testing.T, data []byte) {
		t.Helper()
		// Under a new inode, as a linker does.
		if err := os.WriteFile(library+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(library+".new", library); err != nil {
			t.Fatal(err)
		}
	}
	deleted := func(rec *Record) *Record {
		c := *rec
		c.Maps = append([]Mapping(nil), rec.Maps...)
		for i := range c.Maps {
			c.Maps[i].Deleted = c.Maps[i].Path == library
		}
		return &c
	}
	// As if the record came from another file system, whose inodes cannot
	// be compared.
	elsewhere := func(rec *Record) *Record {
		c := *rec
		c.Maps = append([]Mapping(nil), rec.Maps...)
		for i := range c.Maps {
			c.Maps[i].Device = "ff:7f"
		}
		return &c
	}
	for _, tc := range []struct {
		name   string
		change func(t *testing.T)
		rec    *Record
		note   string
		named  bool
	}{
		{"same", func(t *testing.T) {}, rec, "", true},
		{"another device", func(t *testing.T) { write(t, built) }, elsewhere(rec), "", true},
		{"replaced", func(t *testing.T) { write(t, built) }, deleted(rec), "the file was replaced after the worker had loaded it", false},
		{"replaced after the crash", func(t *testing.T) { write(t, built) }, rec, "the file was replaced after the worker had loaded it", false},
		{"cut off", func(t *testing.T) { write(t, built[:2000]) }, elsewhere(rec), "", false},
		{"not ELF", func(t *testing.T) { write(t, []byte("text")) }, elsewhere(rec), "not a sound ELF file", false},
		{"deleted", func(t *testing.T) {
			if err := os.Remove(library); err != nil {
				t.Fatal(err)
			}
		}, deleted(rec), "the file was deleted after the worker had loaded it", false},
		{"a pipe", func(t *testing.T) { run(t, dir, "mkfifo", "chain.so") }, elsewhere(rec), "not a regular file", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.change(t)
			e := tc.rec.Explain(t.Context(), Options{})
			named := framesIn(e, "chain.so")[0].Function != ""
			if named != tc.named {
				t.Errorf("named is %t:\n%s", named, e)
			}
			notes := strings.Join(e.Notes, "\n")
			if tc.note != "" && notes != "chain.so: "+tc.note {
				t.Errorf("notes: %q, want %q", notes, tc.note)
			}
			if !tc.named && notes == "" {
				t.Error("no note")
			}
			if tc.named && notes != "" {
				t.Errorf("notes: %q", notes)
			}
		})
	}
}

func TestResolveOutOfTime(t *testing.T) {
	dir := source(t, "chain.cc")
	run(t, dir, "g++", "-g", "-O2", "-shared", "-fPIC", "-o", "chain.so", "chain.cc")
	rec := record(t, dir, "chain.so")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := rec.Explain(ctx, Options{})
	if got := strings.Join(e.Notes, "\n"); !strings.Contains(got, "chain.so: reading its debug information took too long") {
		t.Errorf("notes: %q", got)
	}
	if len(framesIn(e, "chain.so")) == 0 {
		t.Errorf("no frames:\n%s", e)
	}
}
