package backtrace

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// ways are the crashes of crash.cc, in the order of their numbers.
var ways = []string{"null pointer", "stack overflow", "division by zero", "assertion", "exception", "null function",
	"read-only memory", "freed twice", "garbage pointer", "mutual recursion", "large local variable", "file cut off",
	"trap", "pure virtual call", "buffer overrun"}

// normalised removes from an explanation what differs between machines:
// addresses, numbers of threads and frames, and the frames of the libraries
// of the system.
func normalised(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		line = strings.TrimSuffix(line, "\n")
		if strings.Contains(line, " in libc") || strings.Contains(line, " in libstdc++") || strings.Contains(line, " in libgcc_s") ||
			strings.Contains(line, " in ld-") {
			continue
		}
		for _, r := range []struct{ pattern, with string }{
			{`0x[0-9a-f]{6,}`, "0xADDRESS"},
			{`crash\.cc:\d+`, "crash.cc:LINE"}, // tells apart compilers, see below for those that must be right
			{`thread \d+`, "thread N"},
			{`#\d+`, "#N"},
			{`\d+ more frames`, "N more frames"},
			{`repeated \d+ times`, "repeated N times"},
		} {
			line = regexp.MustCompile(r.pattern).ReplaceAllString(line, r.with)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// TestExplain crashes a thread in every way and compares the explanations.
func TestExplain(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("an amd64 machine is missing: the golden file is for its signals")
	}
	dir := source(t, "crash.cc")
	lines := marks(t, "crash.cc")
	var b strings.Builder
	for i, way := range ways {
		library := fmt.Sprintf("crash%d.so", i+1)
		run(t, dir, "g++", "-g", "-O1", "-w", "-fstack-protector-all", "-shared", "-fPIC", fmt.Sprintf("-DWAY=%d", i+1), "-o", library, "crash.cc")
		e := record(t, dir, library).Explain(t.Context(), Options{})
		fmt.Fprintf(&b, "== %s\n%s\n", way, normalised(e.String()))
		if want := fmt.Sprintf(" at crash.cc:%d in crash%d.so", lines[fmt.Sprintf("fault%d", i+1)], i+1); !strings.Contains(e.String(), want) {
			t.Errorf("%s: no frame%s:\n%s", way, want, e)
		}
		if !strings.Contains(e.Where, " at crash.cc:") {
			t.Errorf("%s: where: %q", way, e.Where)
		}
	}
	golden := filepath.Join("testdata", "explain.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("explanations (-want +got):\n%s", diff)
	}
}

func TestCause(t *testing.T) {
	maps := []Mapping{
		{Low: 0x400000, High: 0x401000, Perms: "r-xp", Path: "/bin/host"},
		{Low: 0x500000, High: 0x501000, Perms: "r--p", Path: "/lib/libecho.so"},
		{Low: 0x600000, High: 0x601000, Perms: "---p"},
		{Low: 0x601000, High: 0x701000, Perms: "rw-p"},
	}
	for _, tc := range []struct {
		rec  Record
		want string
	}{
		{Record{Signal: 11, Code: 1, Address: 0}, "address not mapped: access at 0x0, close to zero: a null pointer"},
		{Record{Signal: 11, Code: 1, Address: 0xfffffffffffffff8}, "address not mapped: access at 0xfffffffffffffff8, just below zero: a null pointer with a negative offset"},
		{Record{Signal: 11, Code: 1, Address: 0x123456}, "address not mapped: access at 0x123456"},
		{Record{Signal: 11, Code: 2, Address: 0x500010}, "access not permitted: access at 0x500010, in read-only memory of libecho.so"},
		{Record{Signal: 11, Code: 0x80}, "a garbage pointer"},
		{Record{Signal: 11, Code: 0}, "sent by a process"},
		{Record{Signal: 11, Code: 77, Address: 0x123456}, "access at 0x123456"},
		{Record{Signal: 11, Code: 1, Address: 0, PC: 0}, "address not mapped: access at 0x0, close to zero: a null pointer"},
		{Record{Signal: 11, Code: 1, Address: 0x20, PC: 0x20, Frames: []uint64{0x20}}, "a call through a null function pointer, to 0x20"},
		{Record{Signal: 11, Code: 1, Address: 0x123456, PC: 0x123456}, "a call to 0x123456, where there is no code"},
		{Record{Signal: 11, Code: 2, Address: 0x650000, PC: 0x650000}, "a call to 0x650000, which is data and not code"},
		{Record{Signal: 6, Code: -6}, "abort was called"},
		{Record{Signal: 8, Code: 1, Address: 0x400010}, "integer division by zero"},
		{Record{Signal: 4, Code: 2, Address: 0x400010}, "the CPU does not know the instruction: built for a newer one (-march), perhaps"},
		{Record{Signal: 7, Code: 2, Address: 0x500010}, "no such memory: a mapped file is shorter than its mapping, or shared memory ran out: access at 0x500010"},
		{Record{Signal: 31, Code: 1}, "the system call is forbidden by a seccomp filter"},

		// Stack overflows: just below the stack, far below with the stack
		// pointer there, and where the stack's place is unknown.
		{Record{Signal: 11, Code: 2, Address: 0x600ff8, SP: 0x600ff8, StackLow: 0x601000, StackHigh: 0x701000},
			"stack overflow: access at 0x600ff8, beyond the end of the thread's stack of 1 MiB"},
		{Record{Signal: 11, Code: 1, Address: 0x200000, SP: 0x1ff000, StackLow: 0x601000, StackHigh: 0x701000},
			"stack overflow: access at 0x200000, beyond the end of the thread's stack of 1 MiB"},
		{Record{Signal: 11, Code: 2, Address: 0x600ff8, SP: 0x601008}, "stack overflow: access at 0x600ff8, beyond the end of the thread's stack"},
		{Record{Signal: 11, Code: 2, Address: 0x600ff8, SP: 0x601008, StackLow: 0x601000, StackHigh: 0x621000},
			"stack overflow: access at 0x600ff8, beyond the end of the thread's stack of 128 KiB"},
		// No stack overflow: a null pointer, another place, a sound stack pointer.
		{Record{Signal: 11, Code: 1, Address: 0x8, SP: 0x650000, StackLow: 0x601000, StackHigh: 0x701000},
			"address not mapped: access at 0x8, close to zero: a null pointer"},
		{Record{Signal: 11, Code: 1, Address: 0x800000, SP: 0x602000, StackLow: 0x601000, StackHigh: 0x701000}, "address not mapped: access at 0x800000"},
		{Record{Signal: 11, Code: 2, Address: 0x600ff8, SP: 0x690000}, "access not permitted: access at 0x600ff8"},
	} {
		rec := tc.rec
		rec.Maps = maps
		if len(rec.Frames) == 0 && rec.PC == 0 {
			rec.PC = 0x400010
		}
		if got := rec.Explain(t.Context(), Options{}).Cause; got != tc.want {
			t.Errorf("%+v:\n got %s\nwant %s", tc.rec, got, tc.want)
		}
	}
}

func TestExplainWithoutRecord(t *testing.T) {
	rec := parse(t, header+"\n")
	e := rec.Explain(t.Context(), Options{Signal: 9})
	want := "signal 9 (SIGKILL)\nnote: the crash record breaks off: the memory it is written from may be damaged"
	if got := e.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := rec.Explain(t.Context(), Options{}).String(); !strings.HasPrefix(got, "a fatal signal") {
		t.Errorf("got %q", got)
	}
}

func TestExplainString(t *testing.T) {
	lib := "/srv/libx.so"
	f := func(name string) Frame { return Frame{Function: name, Object: lib, File: "x.cc", Line: 1, Address: 1} }
	repeat := func(n int, frames ...Frame) []Frame {
		var out []Frame
		for range n {
			out = append(out, frames...)
		}
		return out
	}
	for _, tc := range []struct {
		name   string
		frames []Frame
		more   int
		want   string
	}{
		{"two of a kind are no recursion", append(repeat(2, f("a")), f("b")), 0, `
  #0 a at x.cc:1 in libx.so
  #1 a at x.cc:1 in libx.so
  #2 b at x.cc:1 in libx.so`},
		{"recursion", append(repeat(120, f("a")), f("b")), 0, `
  #0 a at x.cc:1 in libx.so
     … this frame repeated 120 times
  #120 b at x.cc:1 in libx.so`},
		{"mutual recursion", append([]Frame{f("top")}, append(repeat(50, f("a"), f("b"), f("c")), f("a"), f("main"))...), 3, `
  #0 top at x.cc:1 in libx.so
  #1 a at x.cc:1 in libx.so
  #2 b at x.cc:1 in libx.so
  #3 c at x.cc:1 in libx.so
     … these 3 frames repeated 50 times
  #151 a at x.cc:1 in libx.so
  #152 main at x.cc:1 in libx.so
     … 3 more frames`},
		{"kinds of frames", []Frame{
			{PC: 0x10, Unmapped: true},
			{PC: 0x7f0000001000},
			{PC: 1, Object: lib, Address: 0x1234},
			{PC: 1, Object: lib, Address: 0x1234, Function: "f"},
			{PC: 1, Object: lib, Address: 0x1234, Function: "g", File: "g.cc", Line: 3, Inlined: true},
			{PC: 1, Object: lib, Address: 0x1234, Function: "h", File: "g.cc"},
			{PC: 1, Object: "/lib/libc.so.6", Address: 0x1234, Function: "raise"},
			{PC: 1, Object: "/lib/libc.so.6", Address: 0x1234},
			{PC: 1, Object: "[vdso]"},
		}, 0, `
  #0 ?? (0x10 is not an address of code)
  #1 ?? (0x7f0000001000)
  #2 ?? in libx.so (0x1234)
  #3 f in libx.so (0x1234)
  #4 g at g.cc:3 (inlined)
  #5 h at g.cc in libx.so
  #6 raise in libc.so.6
  #7 ?? in libc.so.6 (0x1234)
  #8 ?? in [vdso]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := &Explanation{Signal: 11, Name: "SIGSEGV", Frames: tc.frames, More: tc.more}
			if diff := cmp.Diff("signal 11 (SIGSEGV)"+tc.want, e.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDemangled(t *testing.T) {
	long := "_Z" + strings.Repeat("3foo", 1) + "RKSt3mapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEESt6vectorIiSaIiEESt4lessIS5_ESaISt4pairIKS5_S8_EEE"
	for _, tc := range []struct{ name, want string }{
		{"process", "process"},
		{"__GI_raise", "raise"},
		{"memcpy@@GLIBC_2.14", "memcpy"},
		{"process.cold", "process"},
		{"_ZL6lookupRK5Tablei", "lookup(Table const&, int)"},
		{"_ZL6lookupRK5Tablei.constprop.0", "lookup(Table const&, int)"},
		{"_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)"},
		{long, "foo"},
		{"_Zbroken", "_Zbroken"},
		{strings.Repeat("x", 300), strings.Repeat("x", longestName-1) + "…"},
		{"_Z" + strings.Repeat("S_", 100000), strings.Repeat("S_", 1)},
	} {
		got := demangled(tc.name)
		if len(tc.name) > maxMangled {
			if len(got) > 4*longestName {
				t.Errorf("a name of %d characters became one of %d", len(tc.name), len(got))
			}
			continue
		}
		if got != tc.want {
			t.Errorf("demangled(%q) = %q, want %q", tc.name, got, tc.want)
		}
	}
}
