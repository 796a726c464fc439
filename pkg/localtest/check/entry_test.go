package check

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openeas/eascmd/internal/fault"
)

const (
	cppInitialize = "initialize(char const*, char const*, int*)"
	cppProcess    = "process(void*, void const*, int, void**, int*)"
)

func TestEntryPoints(t *testing.T) {
	const both = "it does not export the functions initialize and process: "
	for _, tc := range []struct {
		name, build string
		want        []string
	}{
		{"sound", "g++ processor.cc", nil},
		{"sound, in C", "gcc processor.c", nil},
		{"sound, stripped", "g++ -s processor.cc", nil},
		{"sound, old hash table", "g++ -Wl,--hash-style=sysv processor.cc", nil},
		{"sound, both hash tables", "g++ -Wl,--hash-style=both processor.cc", nil},
		{"sound, with a version script", "g++ processor.cc -Wl,--version-script=exports.map", nil},
		{"extern C is missing", "g++ -DMANGLED processor.cc",
			[]string{"fatal extern-c: " + both + `extern "C" is missing, only the C++ name is there: ` + cppInitialize + " and " + cppProcess}},
		{"extern C is missing, stripped", "g++ -s -DMANGLED processor.cc",
			[]string{"fatal extern-c: " + both + `extern "C" is missing, only the C++ name is there: ` + cppInitialize + " and " + cppProcess}},
		{"in a namespace", "g++ -DMANGLED -DNAMESPACE processor.cc",
			[]string{"fatal extern-c: " + both + `extern "C" is missing, only the C++ name is there: my::` + cppInitialize + " and my::" + cppProcess}},
		{"extern C is missing, and hidden", "g++ -DMANGLED -fvisibility=hidden processor.cc",
			[]string{"fatal extern-c: " + both + `extern "C" is missing, and the C++ name is hidden (static, -fvisibility=hidden or a version script): ` + cppInitialize + " and " + cppProcess}},
		{"hidden", "g++ -DHIDDEN processor.cc", []string{hiddenBoth}},
		{"hidden by a flag", "g++ -fvisibility=hidden processor.cc", []string{hiddenBoth}},
		{"hidden by a version script", "g++ processor.cc -Wl,--version-script=nothing.map", []string{hiddenBoth}},
		{"static", "g++ -DSTATIC processor.cc", []string{hiddenBoth}},
		{"hidden and stripped", "g++ -s -fvisibility=hidden processor.cc", []string{"fatal missing-function: " + both + "nothing in it has this name"}},
		{"names of older documentation", "g++ -DOLD_NAMES processor.cc",
			[]string{"fatal missing-function: " + both + "it has Load and Process instead"}},
		{"one is missing", "gcc -DONLY_INITIALIZE processor.c",
			[]string{"fatal missing-function: it does not export the function process: nothing in it has this name"}},
		{"a variable", "gcc -DVARIABLE processor.c",
			[]string{"fatal missing-function: it does not export the function process: what has this name is a variable and not a function"}},
		{"declared only", "gcc -DDECLARED processor.c", []string{
			"fatal missing-function: it does not export the function process: it is used there but defined nowhere: the object file with its definition was not linked in",
			"fatal undefined-symbol: x.so uses what no library that it is linked with defines: process"}},
		{"something else", "gcc other.c", []string{"fatal missing-function: " + both + "nothing in it has this name"}},
		{"a module of Python", "gcc python.c", []string{"fatal missing-function: " + both + "it is an extension module of Python"}},
		{"nothing at all", "gcc -nostdlib empty.c", []string{"fatal missing-function: " + both + "nothing in it has this name"}},
		{"in a library that it needs", "gcc empty.c -Wl,--no-as-needed -L. -linner -Wl,-rpath,$ORIGIN", []string{
			"warning elsewhere: the function initialize is not in x.so itself but in libinner.so, which is loaded along",
			"warning elsewhere: the function process is not in x.so itself but in libinner.so, which is loaded along"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := project(t, map[string]string{
				"exports.map": "{ global: initialize; process; local: *; };",
				"nothing.map": "{ local: *; };",
				"other.c":     "int other(void) { return 1; }",
				"python.c":    "void *PyInit_fast(void) { return 0; }",
				"empty.c":     "",
			})
			if strings.Contains(tc.build, "-linner") {
				run(t, dir, "gcc -shared -fPIC -o libinner.so processor.c")
			}
			run(t, dir, tc.build, "-shared", "-fPIC", "-o", "x.so")
			if diff := cmp.Diff(tc.want, examine(t, dir, "x.so", Options{})); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

const hiddenBoth = "fatal hidden: it does not export the functions initialize and process: " +
	"what has this name is not visible from outside: static, or hidden by -fvisibility=hidden, --exclude-libs or a version script"

func TestErr(t *testing.T) {
	dir := project(t, nil)
	run(t, dir, "g++ -shared -fPIC -o ok.so processor.cc")
	run(t, dir, "g++ -shared -fPIC -DMANGLED -o mangled.so processor.cc")
	run(t, dir, "gcc -shared -fPIC -DDECLARED -o two.so processor.c")

	r, err := SharedObject(filepath.Join(dir, "ok.so"), Options{})
	if err != nil || r.Err() != nil {
		t.Errorf("a sound one: %v, %v", err, r.Err())
	}
	for _, tc := range []struct {
		name  string
		texts []string
		hints []string
	}{
		{"mangled.so", []string{"mangled.so cannot be used as a processor: it does not export", `extern "C" is missing`}, []string{`put extern "C" in front`}},
		{"two.so", []string{"two.so cannot be used as a processor: it does not export", "; two.so uses what no library"}, []string{"whole-archive", "; link the library"}},
	} {
		r, err := SharedObject(filepath.Join(dir, tc.name), Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = r.Err()
		if fault.KindOf(err) != fault.Processor {
			t.Errorf("%s: kind %d", tc.name, fault.KindOf(err))
		}
		for _, text := range tc.texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %q is not in %q", tc.name, text, err)
			}
		}
		for _, hint := range tc.hints {
			if !strings.Contains(fault.HintOf(err), hint) {
				t.Errorf("%s: %q is not in the hint %q", tc.name, hint, fault.HintOf(err))
			}
		}
	}
	warned := Report{Path: "x.so", Problems: []Problem{{Severity: Warning, Text: "a"}, {Severity: Note, Text: "b"}}}
	if err := warned.Err(); err != nil {
		t.Errorf("a warning is an error: %v", err)
	}
}
