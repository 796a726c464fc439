package portable

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// anInterpreter returns a Python that has a directory of its own, or skips.
func anInterpreter(t *testing.T) *python.Interpreter {
	t.Helper()
	found := interpreters(t)
	for _, name := range []string{"3.11", "3.13", "3.8"} {
		if i := found[name]; i != nil {
			return i
		}
	}
	t.Skip("missing: a Python that is not the system's")
	return nil
}

// files writes files, given by their names below a directory. A text that
// begins with -> is a link, one with #! a program.
func files(t *testing.T, dir string, texts map[string]string) {
	t.Helper()
	for name, text := range texts {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "->"); ok {
			if err := os.Symlink(target, file); err != nil {
				t.Fatal(err)
			}
			continue
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
}

// state is what a directory holds, with the times of all.
func state(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[p] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// content returns what an entry holds.
func (t *Tree) content(tb testing.TB, name string) string {
	tb.Helper()
	for _, e := range t.Entries {
		if e.Name != name {
			continue
		}
		if e.Mode&fs.ModeSymlink != 0 {
			return "->" + e.Link
		}
		if e.Mode.IsDir() {
			return ""
		}
		r, err := e.Open()
		if err != nil {
			tb.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err := r.Close(); err != nil {
			tb.Fatal(err)
		}
		if err != nil {
			tb.Fatal(err)
		}
		if int64(len(text)) != e.Size {
			tb.Errorf("%s has %d bytes and says %d", name, len(text), e.Size)
		}
		return string(text)
	}
	return "(missing)"
}

// naming lists the files of a tree that name a directory; bytecode, in which it
// is replaced when it is loaded, and the interpreter are not among them.
func (t *Tree) naming(tb testing.TB, dir string) []string {
	tb.Helper()
	var names []string
	built := map[string]bool{}
	for _, b := range t.Built {
		built[b.Path] = true
	}
	for _, e := range t.Entries {
		text := t.content(tb, e.Name)
		if strings.Contains(text, dir) && !strings.HasSuffix(e.Name, ".pyc") && !built[e.Name] {
			names = append(names, e.Name)
		}
	}
	return names
}

func (t *Tree) left(name string) string {
	for _, l := range t.LeftOut {
		if l.Path == name {
			return l.Why
		}
	}
	return ""
}

// about returns the findings about a file.
func (t *Tree) about(name string) []Finding {
	var list []Finding
	for _, f := range t.Findings {
		if f.Path == name {
			list = append(list, f)
		}
	}
	return list
}

func materialize(t *testing.T, tree *Tree) string {
	t.Helper()
	dir := t.TempDir()
	if err := Materialize(t.Context(), tree, dir, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// hide takes a directory away until what it returns is called.
func hide(t *testing.T, dir string) (back func()) {
	t.Helper()
	rename := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	rename(dir, dir+" hidden")
	return func() { rename(dir+" hidden", dir) }
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = "/"
	cmd.Env = python.Environ(os.Environ())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func hashLine(name, text string) string {
	it := &item{}
	it.setData([]byte(text))
	hash, err := hashOf(it)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%s,%s,%d\n", name, hash, len(text))
}

// An environment on top of another Python becomes one by itself.
func TestVenv(t *testing.T) {
	base := anInterpreter(t)
	project := filepath.Join(t.TempDir(), "demo")
	env := filepath.Join(project, "ENV")
	output(t, base.Executable, "-m", "venv", "--without-pip", env)
	packages := "lib/python" + base.Name() + "/site-packages"
	const script = "import sys, mod\nprint(mod.name, sys.prefix, sys.argv[1:])\n"
	old := "#!" + env + "/bin/python\n" + script
	files(t, env, map[string]string{
		packages + "/mod.py":           "name = 'mod'\n",
		"bin/short":                    old,
		"bin/versioned":                "#!" + env + "/bin/python" + base.Name() + "\n# -*- coding: utf-8 -*-\n" + script,
		"bin/long":                     "#!/bin/sh\n'''exec' " + env + "/bin/python \"$0\" \"$@\"\n' '''\n" + script,
		"bin/quoted":                   "#!/bin/sh\n'''exec' \"" + env + "/bin/python\" \"$0\" \"$@\"\n' '''\n" + script,
		"bin/latin":                    "#!" + env + "/bin/python\n# coding: latin-1\nprint('\xe4')\n",
		"bin/foreign":                  "#!/usr/bin/env perl\n",
		"bin/absolute":                 "->" + env + "/bin/short",
		"bin/dangling":                 "->/no/such/thing",
		"src/vcs/vcs.py":               "x = 1\n",
		packages + "/vcs.egg-link":     env + "/src/vcs\n.",
		packages + "/easy-install.pth": env + "/src/vcs\n",
		packages + "/beside.pth":       project + "/code\n",
		packages + "/comment.pth":      "import sys; sys.probe = 1\n# " + "nothing\n",
		packages + "/away.pth":         "/somewhere/else\n",
		packages + "/__editable___probe_finder.py":        "MAPPING: dict[str, str] = {'probe': '/home/x/probe'}\n",
		packages + "/local-1.0.dist-info/direct_url.json": `{"dir_info": {}, "url": "file:///home/x/local"}`,
		packages + "/local-1.0.dist-info/METADATA":        "Metadata-Version: 2.1\nName: local\nVersion: 1.0\n",
		packages + "/local-1.0.dist-info/RECORD":          hashLine("../../../bin/short", old) + hashLine("mod.py", "name = 'mod'\n") + "local-1.0.dist-info/direct_url.json,sha256=x,1\nlocal-1.0.dist-info/RECORD,,\n",
		packages + "/git-1.0.dist-info/direct_url.json":   `{"url": "https://example.com/x.git", "vcs_info": {"vcs": "git"}}`,
		packages + "/names.py":                            "where = '" + env + "'\nagain = '" + env + "/x'\nother = '" + env + "ious'\n",
		"lib/pkgconfig/probe.pc":                          "prefix=" + env + "\nlibdir=" + env + "/lib\n",
		packages + "/__pycache__/gone.cpython-311.pyc":    "no source",
		packages + "/__pycache__/mod.cpython-27.pyc":      "another Python's",
	})
	output(t, filepath.Join(env, "bin/python"), "-c", "import mod, sys; sys.exit(mod.name != 'mod')")
	before := state(t, project)
	tree, err := Environment(t.Context(), env, Options{Name: "ENV"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, state(t, project)); diff != "" {
		t.Errorf("the environment was changed (-before +after):\n%s", diff)
	}
	if tree.Kind != Venv {
		t.Errorf("it is taken for %s", tree.Kind)
	}
	dir := filepath.Join(materialize(t, tree), "ENV")
	back := hide(t, env)
	for _, name := range []string{"short", "versioned", "long", "quoted", "absolute"} {
		want := "mod " + dir + " ['a b', '$c']\n"
		if got := output(t, filepath.Join(dir, "bin", name), "a b", "$c"); got != want {
			t.Errorf("bin/%s printed %q, want %q", name, got, want)
		}
	}
	back()
	if diff := cmp.Diff([]string{"ENV/" + packages + "/names.py"}, tree.naming(t, env)); diff != "" {
		t.Errorf("files that name the old place (-want +got):\n%s", diff)
	}
	if got := tree.naming(t, base.BasePrefix); len(got) > 0 {
		t.Errorf("files that name the old interpreter's place: %q", got)
	}
	for name, want := range map[string]string{
		"bin/foreign":                                   "#!/usr/bin/env perl\n",
		"bin/latin":                                     "#!/usr/bin/env python\n# coding: latin-1\nprint('\xe4')\n",
		"bin/absolute":                                  "->short",
		packages + "/vcs.egg-link":                      "../../../src/vcs\n.",
		packages + "/easy-install.pth":                  "../../../src/vcs\n",
		packages + "/beside.pth":                        "../../../../code\n",
		packages + "/comment.pth":                       "import sys; sys.probe = 1\n# nothing\n",
		packages + "/git-1.0.dist-info/direct_url.json": `{"url": "https://example.com/x.git", "vcs_info": {"vcs": "git"}}`,
		"lib/pkgconfig/probe.pc":                        "prefix=${pcfiledir}/../..\nlibdir=${pcfiledir}/../../lib\n",
		"pyvenv.cfg":                                    "(missing)",
		"bin/activate":                                  "(missing)",
		packages + "/__pycache__/mod.cpython-27.pyc":    "(missing)",
	} {
		if diff := cmp.Diff(want, tree.content(t, "ENV/"+name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	info := "ENV/" + packages + "/local-1.0.dist-info"
	want := hashLine("../../../bin/short", tree.content(t, "ENV/bin/short")) + hashLine("mod.py", "name = 'mod'\n") + "local-1.0.dist-info/RECORD,,\n"
	if diff := cmp.Diff(want, tree.content(t, info+"/RECORD")); diff != "" {
		t.Errorf("RECORD (-want +got):\n%s", diff)
	}
	for _, name := range []string{"ENV/pyvenv.cfg", "ENV/bin/activate", "ENV/bin/dangling", info + "/direct_url.json"} {
		if tree.left(name) == "" {
			t.Errorf("nothing says why %s is left out", name)
		}
	}
	for name, want := range map[string]Severity{"away.pth": Error, "__editable___probe_finder.py": Error, "beside.pth": Note, "names.py": Warning} {
		got := tree.about("ENV/" + packages + "/" + name)
		if len(got) != 1 || got[0].Severity != want {
			t.Errorf("findings about %s: %+v, want one %s", name, got, want)
		}
	}
	if got := tree.about("ENV/" + packages + "/names.py"); len(got) == 1 && !strings.Contains(got[0].Text, "2 times") {
		t.Errorf("%q does not say how often", got[0].Text)
	}
	if tree.Findings[0].Severity != Error {
		t.Errorf("the first finding is %+v, want the severest", tree.Findings[0])
	}
	// What was made by us is found to be in order.
	again, err := Environment(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := again.naming(t, dir); len(got) > 0 || again.Kind != Copy {
		t.Errorf("of the kind %s; files that name its place: %q", again.Kind, got)
	}
}

// The packages of the Python below come along where the environment sees them.
func TestVenvWithSystemPackages(t *testing.T) {
	base := anInterpreter(t)
	tree, err := Interpreter(t.Context(), base, Options{NoPip: true})
	if err != nil {
		t.Fatal(err)
	}
	below := materialize(t, tree)
	packages := "lib/python" + base.Name() + "/site-packages"
	files(t, below, map[string]string{packages + "/both.py": "x = 'below'\n", packages + "/below.py": "x = 'below'\n"})
	for _, system := range []bool{true, false} {
		env := filepath.Join(t.TempDir(), "ENV")
		args := []string{"-m", "venv", "--without-pip", env}
		if system {
			args = append(args, "--system-site-packages")
		}
		output(t, filepath.Join(below, "bin/python"), args...)
		files(t, env, map[string]string{packages + "/both.py": "x = 'own'\n"})
		tree, err := Environment(t.Context(), env, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := tree.content(t, packages+"/both.py"); got != "x = 'own'\n" {
			t.Errorf("with system packages %v: both.py is %q", system, got)
		}
		if got := tree.content(t, packages+"/below.py") != "(missing)"; got != system {
			t.Errorf("with system packages %v: below.py came along: %v", system, got)
		}
	}
}

// An environment of conda, as it is on disk. None can be had here, so one is
// made: with the layout of its packages and what it notes of them.
func TestConda(t *testing.T) {
	base := anInterpreter(t)
	tree, err := Interpreter(t.Context(), base, Options{NoPip: true})
	if err != nil {
		t.Fatal(err)
	}
	env := filepath.Join(t.TempDir(), "miniconda3", "envs", "demo")
	if err := Materialize(t.Context(), tree, env, nil); err != nil {
		t.Fatal(err)
	}
	packages := "lib/python" + base.Name() + "/site-packages"
	placeholder := "/opt/" + strings.Repeat("placehold_", 20)
	type noted struct {
		Path        string `json:"_path"`
		Placeholder string `json:"prefix_placeholder,omitempty"`
		Mode        string `json:"file_mode,omitempty"`
		Type        string `json:"path_type"`
	}
	conda := func(name string, paths ...noted) string {
		text, err := json.Marshal(map[string]any{
			"name": name, "paths_data": map[string]any{"paths": paths, "paths_version": 1},
			"link": map[string]any{"source": env + "/../../pkgs/" + name, "type": 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const script = "import sys\nprint(sys.prefix)\n"
	binary := "\x00\x01BIN\x00" + env + "/share/x\x00after\x00" + env + "\x00" + env + "ious\x00end" + strings.Repeat("\x00pad", chunk/4) + env + "/ssl\x00"
	files(t, env, map[string]string{
		"conda-meta/history": "# cmd: conda create -p " + env,
		"conda-meta/native-1.json": conda("native",
			noted{"lib/libnative.dat", placeholder, "binary", "hardlink"},
			noted{"etc/native.conf", placeholder, "text", "hardlink"},
			noted{"lib/old.conf", placeholder, "", "hardlink"}, // text where nothing is said
			noted{"bin/native", placeholder, "text", "hardlink"},
			noted{"bin/perl-tool", placeholder, "text", "hardlink"},
			noted{"lib/pkgconfig/native.pc", placeholder, "text", "hardlink"},
			noted{packages + "/replaced.py", placeholder, "text", "hardlink"},
			noted{packages + "/removed.py", placeholder, "text", "hardlink"},
			noted{packages + "/replaced.bin", placeholder, "binary", "hardlink"}),
		// Of a noarch package, the programs are made by conda and not noted as having a prefix.
		"conda-meta/noarch-1.json": conda("noarch",
			noted{"site-packages/noarch.py", placeholder, "text", "hardlink"},
			noted{"bin/noarch", "", "", "unix_python_entry_point"}),
		"lib/libnative.dat":              binary,
		"etc/native.conf":                "dir = " + env + "/etc\nother = " + env + "ious\n",
		"lib/old.conf":                   env,
		"bin/native":                     "#!" + env + "/bin/python\n" + script + "x = '" + env + "/share'\n",
		"bin/perl-tool":                  "#!" + env + "/bin/perl -w\nprint 1;\n",
		"bin/noarch":                     "#!" + env + "/bin/python\n# -*- coding: utf-8 -*-\n" + script,
		"lib/pkgconfig/native.pc":        "prefix=" + env + "\nlibdir=${prefix}/lib\n",
		packages + "/replaced.py":        "# pip put another one here\n",
		packages + "/replaced.bin":       "\x00pip's\x00",
		packages + "/noarch.py":          "x = '" + env + "/x'\n",
		packages + "/unnoted.py":         "x = '" + env + "'\n",
		"lib/libabs.so":                  "->" + env + "/lib/libnative.dat",
		"lib/librel.so":                  "->libnative.dat",
		"etc/conda/activate.d/native.sh": "export NATIVE=$CONDA_PREFIX/share\n",
		"pkgs/cache/big":                 "belongs to conda",
	})
	before := state(t, env)
	made, err := Environment(t.Context(), env, Options{Name: "ENV", Prefix: "/data/eas/ENV"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, state(t, env)); diff != "" {
		t.Errorf("the environment was changed (-before +after):\n%s", diff)
	}
	if made.Kind != Conda {
		t.Errorf("it is taken for %s", made.Kind)
	}
	dir := filepath.Join(materialize(t, made), "ENV")
	back := hide(t, env)
	for _, name := range []string{"native", "noarch"} {
		if got := output(t, filepath.Join(dir, "bin", name)); got != dir+"\n" {
			t.Errorf("bin/%s printed %q", name, got)
		}
	}
	back()
	same := "/data/eas/ENV" + strings.Repeat("/", len(env)-len("/data/eas/ENV"))
	wantBinary := strings.ReplaceAll(strings.ReplaceAll(binary, env, same), same+"ious", env+"ious")
	for name, want := range map[string]string{
		"lib/libnative.dat":        wantBinary,
		"etc/native.conf":          "dir = /data/eas/ENV/etc\nother = " + env + "ious\n",
		"lib/old.conf":             "/data/eas/ENV",
		"bin/perl-tool":            "#!/usr/bin/env perl\nprint 1;\n",
		"lib/pkgconfig/native.pc":  "prefix=${pcfiledir}/../..\nlibdir=${prefix}/lib\n",
		packages + "/replaced.py":  "# pip put another one here\n",
		packages + "/replaced.bin": "\x00pip's\x00",
		packages + "/removed.py":   "(missing)",
		packages + "/noarch.py":    "x = '/data/eas/ENV/x'\n",
		"lib/libabs.so":            "->libnative.dat",
		"lib/librel.so":            "->libnative.dat",
		"conda-meta/history":       "(missing)",
		"pkgs/cache/big":           "(missing)",
	} {
		if got := made.content(t, "ENV/"+name); got != want {
			t.Errorf("%s is %.300q, want %.300q", name, got, want)
		}
	}
	// The first two only begin like it, the last is no file that conda noted.
	if diff := cmp.Diff([]string{"ENV/etc/native.conf", "ENV/lib/libnative.dat", "ENV/" + packages + "/unnoted.py"}, made.naming(t, env)); diff != "" {
		t.Errorf("files that name the old place (-want +got):\n%s", diff)
	}
	if got := made.about("ENV/" + packages + "/unnoted.py"); len(got) != 1 || got[0].Severity != Warning {
		t.Errorf("findings about it: %+v", got)
	}
	// Where it is going to lie is not known, or does not fit.
	b := &builder{opts: Options{}, old: []string{env, "/e"}}
	it := &item{}
	it.setData([]byte(env + "/x\x00/e/y\x00"))
	b.placeBinary(it)
	text, err := hashless(it)
	if err != nil {
		t.Fatal(err)
	}
	if want := nowhere + strings.Repeat("/", len(env)-len(nowhere)) + "/x\x00/n/y\x00"; text != want {
		t.Errorf("%q, want %q", text, want)
	}
}

func hashless(it *item) (string, error) {
	r, err := it.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	return string(text), err
}

// What will not run elsewhere is named, file by file.
func TestFindings(t *testing.T) {
	base := anInterpreter(t)
	plain, err := Interpreter(t.Context(), base, Options{NoPip: true})
	if err != nil {
		t.Fatal(err)
	}
	env := materialize(t, plain)
	packages := "lib/python" + base.Name() + "/site-packages"
	foreign := func(machine elf.Machine) string {
		head := make([]byte, 64)
		copy(head, elf.ELFMAG)
		head[elf.EI_CLASS], head[elf.EI_DATA], head[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
		head[16], head[18] = byte(elf.ET_DYN), byte(machine)
		return string(head)
	}
	arm := elf.EM_AARCH64
	if base.Machine == "aarch64" {
		arm = elf.EM_X86_64
	}
	windowsHead := make([]byte, 128)
	copy(windowsHead, "MZ")
	windowsHead[60] = 64
	copy(windowsHead[64:], "PE\x00\x00")
	mac := "\xcf\xfa\xed\xfe" + strings.Repeat("\x00", 100)
	files(t, env, map[string]string{
		packages + "/mac/_c.cpython-311-darwin.so": mac,
		packages + "/win/_c.pyd":                   string(windowsHead),
		packages + "/arm/_c.so":                    foreign(arm),
		packages + "/damaged/_c.so":                foreign(elf.EM_X86_64)[:40],
		packages + "/every/lib.dylib":              mac,
		packages + "/every/lib.dll":                string(windowsHead),
		packages + "/setup/t64.exe":                string(windowsHead),
		packages + "/java/A.class":                 "\xca\xfe\xba\xbe\x00\x00\x00\x37" + strings.Repeat("\x00", 100),
		packages + "/gpu/kernel.cubin":             foreign(elf.EM_CUDA),
	})
	// A real extension, with a directory of the machine in it and a library that
	// is nowhere.
	if cc, err := exec.LookPath("gcc"); err == nil {
		build := t.TempDir()
		files(t, build, map[string]string{"n.c": "int gone(void) { return 1; }", "x.c": "int gone(void); char *place = \"" + env + "/share\"; int f(void) { return gone(); }"})
		output(t, cc, "-shared", "-fPIC", "-o", build+"/libgone.so", build+"/n.c")
		output(t, cc, "-shared", "-fPIC", "-o", filepath.Join(env, packages, "every/_x.so"), build+"/x.c", "-L"+build, "-lgone", "-Wl,--enable-new-dtags,-rpath,"+env+"/elsewhere")
	} else {
		t.Log("missing: gcc, for an extension with a search path")
	}
	tree, err := Environment(t.Context(), env, Options{GLIBC: "2.2.4"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		severity Severity
		text     string
	}{
		"mac/_c.cpython-311-darwin.so": {Error, "macOS"},
		"win/_c.pyd":                   {Error, "Windows"},
		"arm/_c.so":                    {Error, "built for " + cpu(arm)},
		"damaged/_c.so":                {Warning, "damaged"},
	} {
		got := tree.about(packages + "/" + name)
		if len(got) != 1 || got[0].Severity != want.severity || !strings.Contains(got[0].Text, want.text) {
			t.Errorf("findings about %s: %+v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"setup/t64.exe", "java/A.class", "gpu/kernel.cubin"} {
		if got := tree.about(packages + "/" + name); len(got) > 0 {
			t.Errorf("findings about %s: %+v", name, got)
		}
	}
	if it := packages + "/every/_x.so"; tree.content(t, it) != "(missing)" {
		var texts []string
		for _, f := range tree.about(it) {
			texts = append(texts, f.Severity.String()+": "+f.Text)
		}
		got := strings.Join(texts, "\n")
		for _, want := range []string{"needs libgone.so, which neither", "note: names " + env + ", which is not there elsewhere (once)"} {
			if !strings.Contains(got, want) {
				t.Errorf("findings about the extension do not say %q:\n%s", want, got)
			}
		}
		for _, name := range []string{"every/lib.dylib", "every/lib.dll"} {
			if got := tree.about(packages + "/" + name); len(got) != 1 || got[0].Severity != Note {
				t.Errorf("findings about %s: %+v, want a note: there is one for Linux beside it", name, got)
			}
		}
	}
	found := false
	for _, f := range tree.Findings {
		found = found || f.Path == "bin/python"+base.Name() && f.Severity == Error && strings.HasSuffix(f.Text, "and the image has 2.2.4")
	}
	if !found {
		t.Error("nothing says that the interpreter needs a newer glibc")
	}
	plain, err = Environment(t.Context(), env, Options{GLIBC: "99.1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range plain.Findings {
		if strings.Contains(f.Text, "glibc") && strings.Contains(f.Text, "image") {
			t.Errorf("too new for glibc 99.1: %+v", f)
		}
	}
}

func TestNoEnvironment(t *testing.T) {
	t.Run("of another prefix", func(t *testing.T) {
		dir := t.TempDir()
		files(t, dir, map[string]string{"bin/python": "->" + anInterpreter(t).Executable})
		if _, err := Environment(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), "its bin/python is that of") {
			t.Errorf("%v, want that it says whose", err)
		}
	})
	t.Run("of another C library", func(t *testing.T) {
		i := *anInterpreter(t)
		i.Libc = "musl"
		if _, err := Interpreter(t.Context(), &i, Options{}); err == nil || !strings.Contains(err.Error(), "musl") {
			t.Errorf("%v, want that it says which", err)
		}
	})
	for name, texts := range map[string]map[string]string{
		"it has no bin/python":                 {"readme": "x"},
		"stands on a Python that is not":       {"bin/python": "->/no/such/python"},
		"is one of Windows":                    {"Scripts/python.exe": "MZ"},
		"is one of macOS":                      {"bin/python": "\xcf\xfa\xed\xfe" + strings.Repeat("\x00", 100)},
		"cannot be used as Python 3: it is no": {"bin/python": "#!/bin/sh\necho hello\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files(t, dir, texts)
			_, err := Environment(t.Context(), dir, Options{})
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%v, want that it says %q", err, name)
			}
		})
	}
}

// The tree of an interpreter: what is in it, and what is not.
func TestInterpreter(t *testing.T) {
	base := anInterpreter(t)
	before := state(t, filepath.Dir(base.Stdlib))
	tree, err := Interpreter(t.Context(), base, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, state(t, filepath.Dir(base.Stdlib))); diff != "" {
		t.Errorf("the interpreter was changed (-before +after):\n%s", diff)
	}
	stdlib := "lib/python" + base.Name()
	for name, want := range map[string]bool{
		"bin/python": true, "bin/python3": true, "bin/python" + base.Name(): true, "bin/pip": true,
		stdlib + "/os.py": true, stdlib + "/site-packages/pip/__init__.py": true, stdlib + "/ensurepip/__init__.py": true,
		stdlib + "/test/__init__.py": false, stdlib + "/idlelib/__init__.py": false, stdlib + "/tkinter/__init__.py": false,
	} {
		if got := tree.content(t, name) != "(missing)"; got != want {
			t.Errorf("%s is in the tree: %v, want %v", name, got, want)
		}
	}
	if tree.left(stdlib+"/test") == "" {
		t.Error("nothing says that the tests are left out")
	}
	if got := tree.naming(t, base.BasePrefix); len(got) > 0 {
		t.Errorf("files that name the old place: %q", got)
	}
	for i, e := range tree.Entries {
		if i > 0 && e.Name <= tree.Entries[i-1].Name {
			t.Errorf("%s stands behind %s", e.Name, tree.Entries[i-1].Name)
		}
		if strings.HasSuffix(e.Name, ".pyc") {
			if text := tree.content(t, e.Name); !strings.HasPrefix(text[4:], "\x01\x00\x00\x00") {
				t.Errorf("%s is compared with its source", e.Name)
				break
			}
		}
	}
	dir := materialize(t, tree)
	// What was rewritten is compiled too, and valid.
	got := output(t, filepath.Join(dir, "bin/python"), "-v", "-B", "-c", "import ssl, sysconfig; sysconfig.get_config_vars()")
	for _, name := range []string{"/ssl.", "/_sysconfigdata_"} {
		if !strings.Contains(got, "matches "+dir+"/"+stdlib+name) {
			t.Errorf("the bytecode of %s is not used", name)
		}
	}
	// It can be the base of other environments, and builds for itself.
	output(t, filepath.Join(dir, "bin/python"), "-m", "venv", filepath.Join(dir, "venv"))
	got = output(t, filepath.Join(dir, "venv/bin/python"), "-c", "import sysconfig; print(sysconfig.get_config_var('INCLUDEPY'), sysconfig.get_config_var('LIBDIR'))")
	if want := fmt.Sprintf("%s/include/python%s %s/lib\n", dir, base.Name(), dir); got != want {
		t.Errorf("sysconfig says %q, want %q", got, want)
	}
	if got := output(t, filepath.Join(dir, "bin/pip"), "--version"); !strings.Contains(got, dir+"/"+stdlib) {
		t.Errorf("pip says %q", got)
	}
	// The packages that came along are whole, as pip sees it.
	output(t, filepath.Join(dir, "bin/pip"), "uninstall", "--yes", "--quiet", "--disable-pip-version-check", "pip")
	left, err := filepath.Glob(filepath.Join(dir, "bin", "pip*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left of pip: %q, %v", left, err)
	}
}

func TestLauncherIsPython(t *testing.T) {
	if got := launcher("bin", "bin/python"); !strings.HasPrefix(got, "#!/bin/sh\n") || strings.Count(got, "\n") != 3 {
		t.Errorf("%q", got)
	}
	if got := launcher("lib/python3.11/site-packages/x", "bin/python"); !strings.Contains(got, "/'../../../../bin/python'") {
		t.Errorf("%q", got)
	}
}

// The prefix is found wherever the blocks that are read end.
func TestCount(t *testing.T) {
	const dir = "/home/user/ENV"
	b := &builder{old: []string{dir + "/deeper", dir}}
	for _, before := range []int{0, 1, chunk - len(dir) - 1, chunk - len(dir), chunk - 5, chunk - 1, chunk, 2*chunk - 7} {
		for tail, want := range map[string]int{"": 1, "/x": 1, "ious": 0, "\x00": 1, "\xff": 0} {
			text := strings.Repeat(".", before) + dir + tail
			hits, err := b.count(strings.NewReader(text), int64(len(text)))
			if err != nil || hits[dir] != want {
				t.Errorf("%d bytes before, %q behind: %v, %v; want %d", before, tail, hits, err, want)
			}
		}
		text := strings.Repeat(".", before) + dir + "/deeper/x" + dir + dir
		hits, err := b.count(strings.NewReader(text), int64(len(text)))
		if diff := cmp.Diff(map[string]int{dir: 2, dir + "/deeper": 1}, hits); diff != "" || err != nil {
			t.Errorf("%d bytes before: %v (-want +got):\n%s", before, err, diff)
		}
	}
}

func TestReplacer(t *testing.T) {
	const from, to = "/home/user/ENV", "/nonexistent//"
	for _, before := range []int{0, 3, chunk - 14, chunk - 5, chunk, 2*chunk - 1} {
		text := strings.Repeat(".", before) + from + "/x" + from + "ious" + from
		want := strings.Repeat(".", before) + to + "/x" + from + "ious" + to
		got, err := io.ReadAll(newReplacer(strings.NewReader(text), [][2]string{{from, to}}))
		if err != nil || sha256.Sum256(got) != sha256.Sum256([]byte(want)) {
			t.Errorf("%d bytes before: %v, ends %q", before, err, bytes.TrimLeft(got, "."))
		}
	}
}

func TestCompareVersions(t *testing.T) {
	for _, pair := range [][2]string{{"2.9", "2.36"}, {"2.2.5", "2.3"}, {"2.3", "2.3.1"}, {"3.4.29", "3.4.30"}} {
		if compareVersions(pair[0], pair[1]) >= 0 || compareVersions(pair[1], pair[0]) <= 0 || compareVersions(pair[0], pair[0]) != 0 {
			t.Errorf("%s is not before %s", pair[0], pair[1])
		}
	}
}

func TestRelative(t *testing.T) {
	for _, c := range [][3]string{{"bin", "bin/python", "python"}, {".", "lib", "lib"}, {"lib/a/b", "lib", "../.."}, {"bin", "lib/x", "../lib/x"}} {
		if got := relative(c[0], c[1]); got != c[2] {
			t.Errorf("from %s to %s: %s, want %s", c[0], c[1], got, c[2])
		}
		if got := path.Join(c[0], c[2]); got != c[1] {
			t.Errorf("%s leads to %s", c[2], got)
		}
	}
}
