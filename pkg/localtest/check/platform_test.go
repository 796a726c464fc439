package check

import (
	"debug/elf"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What lies on this machine and not in the processor is not there for a
// platform, whose own versions count.
func TestPlatform(t *testing.T) {
	needLinux(t)
	dir := project(t, map[string]string{
		"inner.c":   "int inner(int n) { return n; }",
		"glibc.map": "GLIBC_2.99 { future; };",
		"glibc.c":   "int future(int n) { return n; }",
	})
	run(t, dir, "mkdir stub lib")
	run(t, dir, "gcc -shared -fPIC -nostdlib -o stub/libc.so.6 glibc.c -Wl,-soname,libc.so.6,--version-script=glibc.map")
	run(t, dir, "gcc -shared -fPIC -o lib/libinner.so inner.c")
	known := map[string]string{"GLIBC_": "2.36", "GLIBCXX_": "3.4.30", "CXXABI_": "1.3.13"}
	for _, tc := range []struct {
		name, build string
		platform    Platform
		want        []string
	}{
		{"what every platform has", "g++ -shared -fPIC -o x.so processor.cc -lm", Platform{Versions: known}, nil},
		{"beside it", "gcc -shared -fPIC -o x.so -DUSES=inner processor.c -Llib -linner -Wl,-rpath,$ORIGIN/lib", Platform{Versions: known}, nil},
		{"not in it", "gcc -shared -fPIC -o x.so processor.c -Wl,--no-as-needed -l:libz.so.1", Platform{Versions: known},
			[]string{"fatal missing-library: the shared library libz.so.1, needed by x.so, is not on EAS"}},
		{"not in it, but on the platform", "gcc -shared -fPIC -o x.so processor.c -Wl,--no-as-needed -l:libz.so.1",
			Platform{Versions: known, Provides: func(name string) bool { return name == "libz.so.1" }}, nil},
		{"too new a glibc", "gcc -shared -fPIC -o x.so -DUSES=future processor.c stub/libc.so.6", Platform{Versions: known},
			[]string{"fatal library-version: x.so needs GLIBC_2.99 of libc.so.6 (for future); EAS has GLIBC_2.36"}},
		{"nothing is known of its glibc", "gcc -shared -fPIC -o x.so -DUSES=future processor.c stub/libc.so.6", Platform{}, nil},
		{"too old a libstdc++", "g++ -shared -fPIC -o x.so processor.cc -DUSES_CXX", Platform{Versions: map[string]string{"GLIBC_": "2.0"}}, []string{"fatal library-version: x.so needs GLIBC_"}},
		{"defined nowhere", "gcc -shared -fPIC -o x.so -DUSES=nowhere processor.c", Platform{Versions: known},
			[]string{"fatal undefined-symbol: x.so uses what no library that it is linked with defines: nowhere"}},
		{"perhaps in a library of the platform", "gcc -shared -fPIC -o x.so -DUSES=nowhere processor.c -Wl,--no-as-needed -l:libz.so.1",
			Platform{Provides: func(string) bool { return true }}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if strings.Contains(tc.build, "libz.so.1") {
				if _, err := filepath.Glob("/usr/lib/*/libz.so.1"); err != nil {
					t.Fatal(err)
				}
				if found, _ := filepath.Glob("/usr/lib/*/libz.so.1"); len(found) == 0 {
					t.Skip("missing: libz.so.1")
				}
			}
			run(t, dir, tc.build)
			r, err := SharedObject(filepath.Join(dir, "x.so"), Options{Platform: &tc.platform, Place: "EAS"})
			if err != nil {
				t.Fatal(err)
			}
			if !r.LibrariesChecked {
				t.Error("libraries were not checked")
			}
			var got []string
			for i, p := range r.Problems {
				text := p.Severity.String() + " " + p.Code + ": " + p.Text
				if i < len(tc.want) && strings.HasPrefix(text, tc.want[i]) {
					text = tc.want[i] // which symbol is the toolchain's
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlatformInterpreter(t *testing.T) {
	needLinux(t)
	dir := project(t, map[string]string{"main.c": "int main(void) { return 0; }"})
	run(t, dir, "gcc -o python main.c")
	path := filepath.Join(dir, "python")
	opts := Options{Platform: &Platform{Versions: map[string]string{"GLIBC_": "2.36"}}, Place: "EAS"}
	if thisMachine() == elf.EM_X86_64 { // its first glibc is 2.2.5
		if err := Interpreter(path, opts); err != nil && !strings.Contains(err.Error(), "GLIBC_2.36") {
			t.Error(err)
		}
	}
	opts.Platform.Versions["GLIBC_"] = "2.0"
	if err := Interpreter(path, opts); err == nil || !strings.Contains(err.Error(), "EAS has GLIBC_2.0") {
		t.Errorf("%v, want that the glibc is too old", err)
	}
	opts.Machine = elf.EM_RISCV
	if err := Interpreter(path, opts); err == nil || !strings.Contains(err.Error(), "RISC-V") {
		t.Errorf("%v, want that the CPU is another one", err)
	}
}
