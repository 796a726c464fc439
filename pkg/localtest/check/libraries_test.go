package check

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// needLinux skips where there are no libraries to look for.
func needLinux(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("/proc/self/maps"); err != nil {
		t.Skip("Linux is missing")
	}
}

func TestLibraries(t *testing.T) {
	needLinux(t)
	dir := project(t, nil)
	run(t, dir, "g++ -shared -fPIC -o x.so processor.cc")
	r, err := SharedObject(filepath.Join(dir, "x.so"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !r.LibrariesChecked {
		t.Error("libraries were not checked")
	}
	want := map[string]string{"libstdc++.so.6": "x.so", "libc.so.6": "x.so"}
	for _, l := range r.Libraries {
		if _, err := os.Stat(l.Path); err != nil {
			t.Errorf("%s: %v", l.Name, err)
		}
		if want[l.Name] == l.NeededBy {
			delete(want, l.Name)
		}
	}
	if len(want) > 0 {
		t.Errorf("not found: %v among %v", want, r.Libraries)
	}
}

func TestMissingLibraries(t *testing.T) {
	needLinux(t)
	const install = "install the package that holds "
	for _, tc := range []struct {
		name  string
		build []string
		opts  func(dir string) Options
		want  []string
		hint  string
	}{
		{name: "nowhere",
			build: []string{"rm libinner.so"},
			want:  []string{"fatal missing-library: the shared library libinner.so, needed by x.so, is not on this machine"},
			hint:  install},
		{name: "nowhere, in an image",
			build: []string{"rm libinner.so"},
			opts:  func(string) Options { return Options{Root: "/", Place: "the image x"} },
			want:  []string{"fatal missing-library: the shared library libinner.so, needed by x.so, is not on the image x"},
			hint:  install},
		{name: "beside it, without a search path",
			want: []string{"fatal missing-library: the shared library libinner.so, needed by x.so, comes with the processor (libinner.so) but is not on the loader's search path"},
			hint: "link x.so with -Wl,-rpath,'$ORIGIN'"},
		{name: "below it, without a search path",
			build: []string{"mkdir -p lib/more", "mv libinner.so lib/more"},
			want:  []string{"fatal missing-library: the shared library libinner.so, needed by x.so, comes with the processor (lib/more/libinner.so) but is not on the loader's search path"},
			hint:  "link x.so with -Wl,-rpath,'$ORIGIN/lib/more'"},
		{name: "$ORIGIN",
			build: []string{"LINK -Wl,-rpath,$ORIGIN"}},
		{name: "${ORIGIN}/lib",
			build: []string{"LINK -Wl,-rpath,${ORIGIN}/lib", "mkdir lib", "mv libinner.so lib"}},
		{name: "$ORIGIN, in an old-style search path",
			build: []string{"LINK -Wl,--disable-new-dtags,-rpath,$ORIGIN"}},
		{name: "the working directory",
			build: []string{"LINK -Wl,-rpath=./"}},
		{name: "another working directory",
			build: []string{"LINK -Wl,-rpath=./", "mkdir work", "mv libinner.so work"},
			opts:  func(dir string) Options { return Options{WorkDir: filepath.Join(dir, "work")} }},
		{name: "not in the working directory",
			build: []string{"LINK -Wl,-rpath=./", "mkdir work"},
			opts:  func(dir string) Options { return Options{WorkDir: filepath.Join(dir, "work")} },
			want:  []string{"fatal missing-library: the shared library libinner.so, needed by x.so, comes with the processor (libinner.so) but is not on the loader's search path"},
			hint:  "link x.so with -Wl,-rpath,'$ORIGIN'"},
		{name: "an absolute search path",
			build: []string{"LINK -Wl,-rpath,/nonexistent:DIR/lib", "mkdir lib", "mv libinner.so lib"}},
		{name: "LD_LIBRARY_PATH",
			build: []string{"mkdir lib", "mv libinner.so lib"},
			opts:  func(dir string) Options { return Options{LibraryPath: []string{filepath.Join(dir, "lib")}} }},
		{name: "LD_LIBRARY_PATH, relative",
			build: []string{"mkdir lib", "mv libinner.so lib"},
			opts:  func(string) Options { return Options{LibraryPath: []string{"lib"}} }},
		{name: "LD_LIBRARY_PATH, empty entry",
			opts: func(string) Options { return Options{LibraryPath: []string{""}} }},
		{name: "of another CPU",
			build: []string{"LINK -Wl,-rpath,$ORIGIN", "PATCH libinner.so"},
			want:  []string{"fatal missing-library: the shared library libinner.so, needed by x.so, is not on this machine: DIR/libinner.so is built for RISC-V"},
			hint:  install},
		{name: "of another CPU, but later a good one",
			build: []string{"LINK -Wl,-rpath,$ORIGIN:$ORIGIN/lib", "mkdir lib", "cp libinner.so lib", "PATCH libinner.so"}},
		{name: "a text in its place",
			build: []string{"LINK -Wl,-rpath,$ORIGIN", "cp processor.c libinner.so"},
			want:  []string{"fatal missing-library: the shared library libinner.so, needed by x.so, is not on this machine: DIR/libinner.so is a text file"},
			hint:  install},
		{name: "a library's library",
			build: []string{"LINK -Wl,-rpath,$ORIGIN", "gcc -shared -fPIC -o libmiddle.so -DUSES=inner middle.c -L. -linner", "gcc -shared -fPIC -o x.so -DUSES=middle processor.c -L. -lmiddle -Wl,-rpath,$ORIGIN"},
			// The new search path is not handed down.
			want: []string{"fatal missing-library: the shared library libinner.so, needed by libmiddle.so, comes with the processor (libinner.so) but is not on the loader's search path"},
			hint: "link libmiddle.so with"},
		{name: "a library's library, old-style search path",
			// The old one is.
			build: []string{"gcc -shared -fPIC -o libmiddle.so -DUSES=inner middle.c -L. -linner", "gcc -shared -fPIC -o x.so -DUSES=middle processor.c -L. -lmiddle -Wl,--disable-new-dtags,-rpath,$ORIGIN"}},
		{name: "by its path",
			build: []string{"mkdir lib", "mv libinner.so lib", "gcc -shared -fPIC -o x.so -DUSES=inner processor.c lib/libinner.so"}},
		{name: "by its path, where it is not",
			build: []string{"mkdir lib", "cp libinner.so lib", "gcc -shared -fPIC -o x.so -DUSES=inner processor.c lib/libinner.so", "rm -r lib"},
			want:  []string{"fatal missing-library: x.so asks for the shared library by its path lib/libinner.so, where it is not"},
			hint:  "link with -L<directory> -l<name>"},
		{name: "loaded already by its soname",
			build: []string{"gcc -shared -fPIC -o libinner.so.1 -Wl,-soname,libinner.so inner.c", "mv libinner.so old", "mv libinner.so.1 libother.so",
				"gcc -shared -fPIC -o x.so -DUSES=inner processor.c libother.so -Wl,-rpath,$ORIGIN", "cp libother.so libinner.so"}},
		{name: "no default directories",
			build: []string{"LINK -Wl,-rpath,$ORIGIN -Wl,-z,nodefaultlib"},
			want:  []string{"fatal missing-library: the shared library libc.so.6, needed by x.so, is not on this machine"}, hint: install},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := project(t, map[string]string{"inner.c": "int inner(int n) { return n; }", "middle.c": "int USES(int); int middle(int n) { return USES(n); }"})
			run(t, dir, "gcc -shared -fPIC -o libinner.so inner.c")
			link := "gcc -shared -fPIC -o x.so -DUSES=inner processor.c -L. -linner "
			run(t, dir, link)
			for _, line := range tc.build {
				line = strings.ReplaceAll(line, "DIR", dir)
				if rest, ok := strings.CutPrefix(line, "LINK"); ok {
					line = link + rest
				}
				if name, ok := strings.CutPrefix(line, "PATCH "); ok {
					data, err := os.ReadFile(filepath.Join(dir, name))
					if err != nil {
						t.Fatal(err)
					}
					data[18] = 243
					write(t, filepath.Join(dir, name), string(data))
					continue
				}
				run(t, dir, line)
			}
			var opts Options
			if tc.opts != nil {
				opts = tc.opts(dir)
			}
			got := examine(t, dir, "x.so", opts)
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], dir, "DIR")
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			r, err := SharedObject(filepath.Join(dir, "x.so"), opts)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Problems) > 0 && !strings.Contains(r.Problems[0].Hint, tc.hint) {
				t.Errorf("hint %q, want %q", r.Problems[0].Hint, tc.hint)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	needLinux(t)
	dir := project(t, map[string]string{
		"glibc.map": "GLIBC_2.99 { future; }; GLIBC_2.98 { soon; };",
		"glibc.c":   "int future(int n) { return n; } int soon(int n) { return n; }",
		"cxx.map":   "GLIBCXX_3.4.99 { newer; };",
		"cxx.c":     "int newer(int n) { return n; }",
		"own1.map":  "OWN_1 { inner; };",
		"own2.map":  "OWN_1 { inner; }; OWN_2 { later; } OWN_1;",
		"own.c":     "int inner(int n) { return n; } int later(int n) { return n; }",
		"moved.map": "OWN_1 { later; }; OWN_2 { inner; };",
		"two.c":     "int future(int); int soon(int); int both(void) { return future(1) + soon(1); }",
	})
	run(t, dir, "mkdir stub")
	run(t, dir, "gcc -shared -fPIC -nostdlib -o stub/libc.so.6 glibc.c -Wl,-soname,libc.so.6,--version-script=glibc.map")
	run(t, dir, "gcc -shared -fPIC -nostdlib -o stub/libstdc++.so.6 cxx.c -Wl,-soname,libstdc++.so.6,--version-script=cxx.map")
	run(t, dir, "gcc -shared -fPIC -nostdlib -o libown.so own.c -Wl,-soname,libown.so,--version-script=own2.map")
	libc := libcVersion(t)
	for _, tc := range []struct {
		name  string
		build []string
		want  []string
		hint  string
	}{
		{"glibc", []string{"gcc -DUSES=future processor.c stub/libc.so.6"},
			[]string{"fatal library-version: x.so needs GLIBC_2.99 of libc.so.6 (for future); this machine has GLIBC_" + libc},
			"build it on a system whose glibc is no newer"},
		{"glibc, several", []string{"gcc processor.c two.c stub/libc.so.6"},
			[]string{"fatal library-version: x.so needs GLIBC_2.99 of libc.so.6 (for future, soon); this machine has GLIBC_" + libc},
			"build it on a system whose glibc is no newer"},
		{"libstdc++", []string{"g++ -DUSES=newer -x c processor.c -x none stub/libstdc++.so.6"},
			[]string{"fatal library-version: x.so needs GLIBCXX_3.4.99 of libstdc++.so.6 (for newer); this machine has GLIBCXX_" + cxxVersion(t)},
			"-static-libstdc++"},
		{"a library of one's own", []string{"gcc -DUSES=later processor.c libown.so -Wl,-rpath,$ORIGIN",
			"gcc -nostdlib -o libown.so own.c -Wl,-soname,libown.so,--version-script=own1.map"},
			[]string{"fatal library-version: x.so needs OWN_2 of libown.so (for later); this machine has OWN_1"},
			"ship the library that it was linked with"},
		{"a library that lost its versions", []string{"gcc -DUSES=inner processor.c libown.so -Wl,-rpath,$ORIGIN",
			"gcc -nostdlib -o libown.so own.c -Wl,-soname,libown.so"}, nil, ""},
		{"a version that is there", []string{"gcc -DUSES=inner processor.c libown.so -Wl,-rpath,$ORIGIN"}, nil, ""},
		{"a symbol that left its version", []string{"gcc -DUSES=inner processor.c libown.so -Wl,-rpath,$ORIGIN",
			"gcc -nostdlib -o libown.so own.c -Wl,-soname,libown.so,--version-script=moved.map"},
			[]string{"fatal undefined-symbol: x.so uses what no library that it is linked with defines: inner"}, "link the library"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sub := filepath.Join(dir, "case")
			run(t, dir, "rm -rf case")
			run(t, dir, "mkdir case")
			sources, err := filepath.Glob(filepath.Join(dir, "*.*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range append(sources, filepath.Join(dir, "stub")) {
				run(t, dir, "cp -r", s, sub)
			}
			for _, line := range tc.build {
				fields := strings.Fields(line)
				args := []string{"-shared", "-fPIC"}
				if !slices.Contains(fields, "-o") {
					args = append(args, "-o", "x.so")
				}
				run(t, sub, fields[0], append(args, fields[1:]...)...)
			}
			r, err := SharedObject(filepath.Join(sub, "x.so"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, found(r)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if len(r.Problems) > 0 && !strings.Contains(r.Problems[0].Hint, tc.hint) {
				t.Errorf("hint %q, want %q", r.Problems[0].Hint, tc.hint)
			}
		})
	}
}

// library returns the path of a library of the system, as the compiler finds it.
func library(t testing.TB, name string) string {
	t.Helper()
	path := strings.TrimSpace(run(t, t.TempDir(), "gcc -print-file-name="+name))
	if !filepath.IsAbs(path) {
		t.Skipf("%s is missing", name)
	}
	return path
}

func libcVersion(t testing.TB) string {
	t.Helper()
	tool(t, "getconf")
	fields := strings.Fields(run(t, t.TempDir(), "getconf GNU_LIBC_VERSION"))
	return fields[len(fields)-1]
}

func cxxVersion(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(library(t, "libstdc++.so.6"))
	if err != nil {
		t.Fatal(err)
	}
	best := ""
	for word := range bytes.SplitSeq(data, []byte{0}) {
		if v, ok := strings.CutPrefix(string(word), "GLIBCXX_"); ok && isNumber(v) && (best == "" || compareVersions(v, best) > 0) {
			best = v
		}
	}
	return best
}

func TestUndefinedSymbols(t *testing.T) {
	needLinux(t)
	const linked = "uses what no library that it is linked with defines: "
	for _, tc := range []struct {
		name, build string
		want        []string
	}{
		{"none", "gcc -DUSES=abs processor.c", nil},
		{"one", "gcc -DUSES=nobody processor.c", []string{"fatal undefined-symbol: x.so " + linked + "nobody"}},
		{"one, old hash table", "gcc -Wl,--hash-style=sysv -DUSES=nobody processor.c", []string{"fatal undefined-symbol: x.so " + linked + "nobody"}},
		{"weak", "gcc -DWEAK=nobody processor.c", nil},
		{"in C++", "g++ processor.cc missing.cc", []string{"fatal undefined-symbol: x.so " + linked + "shop::missing(int)"}},
		{"many", "gcc processor.c many.c", []string{"fatal undefined-symbol: x.so " + linked +
			"many1, many2, many3, many4, many5, many6, many7, many8, many9, many10 and 2 more"}},
		{"in a library", "gcc -DUSES=inner processor.c -L. -linner -Wl,-rpath,$ORIGIN", []string{"fatal undefined-symbol: libinner.so " + linked + "nobody"}},
		{"of the C library, not linked", "gcc -nostdlib -DUSES=abs processor.c", nil}, // the host has it
		{"thread-local", "gcc processor.c tls.c", []string{"fatal undefined-symbol: x.so " + linked + "nobody"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var many strings.Builder
			for _, n := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"} {
				many.WriteString("int many" + n + "(void); ")
			}
			many.WriteString("int f(void) { return 0")
			for _, n := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"} {
				many.WriteString(" + many" + n + "()")
			}
			many.WriteString("; }")
			dir := project(t, map[string]string{
				"missing.cc": "namespace shop { int missing(int); } int use() { return shop::missing(1); }",
				"inner.c":    "int nobody(int); int inner(int n) { return nobody(n); }",
				"many.c":     many.String(),
				"tls.c":      "extern __thread int nobody; int use(void) { return nobody; }",
			})
			run(t, dir, "gcc -shared -fPIC -o libinner.so inner.c")
			run(t, dir, tc.build, "-shared", "-fPIC", "-o", "x.so")
			got := examine(t, dir, "x.so", Options{})
			if tc.name == "many" {
				// Symbol tables are in no order.
				if len(got) != 1 || strings.Count(got[0], "many") != 10 || !strings.HasSuffix(got[0], " and 2 more") {
					t.Errorf("problems: %q", got)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAsLoader compares with what the dynamic loader itself says of libraries
// of this machine.
func TestAsLoader(t *testing.T) {
	needLinux(t)
	dir := project(t, nil)
	run(t, dir, "gcc -o load load.c -ldl")
	libraries, err := filepath.Glob(filepath.Join(filepath.Dir(library(t, "libc.so.6")), "lib*.so.*"))
	if err != nil {
		t.Fatal(err)
	}
	const most = 60
	step := max(1, len(libraries)/most)
	var chosen []string
	for i := 0; i < len(libraries); i += step {
		chosen = append(chosen, libraries[i])
	}
	said := strings.Split(strings.TrimSpace(run(t, dir, "./load", chosen...)), "\n")
	if len(said) != len(chosen) {
		t.Fatalf("%d answers about %d libraries", len(said), len(chosen))
	}
	compared := 0
	for i, path := range chosen {
		// Some may not be loaded late, or end whom they are loaded into;
		// that is no matter of linking.
		if strings.Contains(said[i], "static TLS") || said[i] == "it died" {
			continue
		}
		compared++
		r, err := SharedObject(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var against []string
		for _, p := range r.Problems {
			if p.Severity == Fatal && p.Code != "missing-function" && p.Code != "extern-c" && p.Code != "hidden" {
				against = append(against, p.Text)
			}
		}
		if loads := said[i] == "loaded"; loads != (len(against) == 0) {
			t.Errorf("%s: the loader says %q, we say %q", path, said[i], against)
		}
	}
	if compared == 0 {
		t.Error("nothing was compared")
	}
}

// TestOtherRoot checks an image's file system: links in it are followed inside
// it, and its libraries count, not this machine's.
func TestOtherRoot(t *testing.T) {
	needLinux(t)
	dir := project(t, map[string]string{"inner.c": "int inner(int n) { return n; }"})
	root := filepath.Join(dir, "root")
	for _, sub := range []string{"lib64", "usr/lib", "opt/real"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, "gcc -shared -fPIC -o root/opt/real/libinner.so.1.2 inner.c")
	link("/opt/real", "opt/linked") // absolute: below the root
	link("../../opt/linked/libinner.so.1.2", "usr/lib/libinner.so")
	link("loop", "usr/lib/loop")
	run(t, dir, "cp root/opt/real/libinner.so.1.2 libinner.so")
	run(t, dir, "gcc -shared -fPIC -nostdlib -DUSES=inner -o x.so processor.c -L. -linner")
	run(t, dir, "rm libinner.so")
	opts := Options{Root: root, Place: "the image x", WorkDir: filepath.Join(dir, "root/opt")}

	r, err := SharedObject(filepath.Join(dir, "x.so"), opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Libraries) != 1 || r.Libraries[0].Path != "/usr/lib/libinner.so" {
		t.Errorf("libraries: %v", r.Libraries)
	}
	// This machine's C library is not in the image.
	if got := found(r); len(got) != 1 || !strings.Contains(got[0], "malloc") {
		t.Errorf("problems: %q", got)
	}
}

func TestMusl(t *testing.T) {
	needLinux(t)
	if cpu(thisMachine()) != "x86-64" {
		t.Skip("an amd64 machine is missing")
	}
	dir := project(t, map[string]string{"musl.c": "void malloc(void) {} void memcpy(void) {}"})
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(filepath.Join(root, "lib"), 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "gcc -shared -fPIC -nostdlib -o root/lib/ld-musl-x86_64.so.1 musl.c -Wl,-soname,libc.musl-x86_64.so.1")
	opts := Options{Root: root, Place: "the image alpine"}
	run(t, dir, "gcc -shared -fPIC -o x.so processor.c")
	got := examine(t, dir, "x.so", opts)
	if len(got) == 0 || !strings.HasPrefix(got[0], "warning musl: x.so is built for glibc (GLIBC_2.") || !strings.HasSuffix(got[0], "and the image alpine has musl") {
		t.Errorf("problems: %q", got)
	}
	run(t, dir, "gcc -shared -fPIC -DUSES=glibc_only -o x.so processor.c")
	got = examine(t, dir, "x.so", opts)
	if len(got) != 2 || got[1] != "fatal undefined-symbol: x.so uses what no library that it is linked with defines: glibc_only" {
		t.Errorf("problems: %q", got)
	}
}

func TestCompareVersions(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"2.36", "2.36", 0}, {"2.4", "2.36", -1}, {"2.36", "2.4", 1}, {"3.4.9", "3.4.30", -1}, {"2.2.5", "2.2", 1}, {"2.02", "2.2", 0},
	} {
		if got := compareVersions(tc.a, tc.b); got != tc.want {
			t.Errorf("compareVersions(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
	for version, want := range map[string]string{"GLIBCXX_3.4.32": "13", "CXXABI_1.3.13": "11", "GLIBCXX_3.4.99": ""} {
		if got := gccOf(version); got != want {
			t.Errorf("gccOf(%q) = %q, want %q", version, got, want)
		}
	}
}

func TestNVIDIAHint(t *testing.T) {
	for name, want := range map[string]string{
		"libcuda.so.1": "the NVIDIA driver", "libnvidia-ml.so.1": "the NVIDIA driver",
		"libcudart.so.11.0": "part of CUDA", "libcublasLt.so.12": "part of CUDA",
		"libcudarts.so": "", "libm.so.6": "", "libcuda": "the NVIDIA driver",
	} {
		if got := nvidiaHint(name); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: %q, want one with %q", name, got, want)
		}
	}
}
