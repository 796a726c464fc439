//go:build linux

package check

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
)

func TestInterpreter(t *testing.T) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("missing: gcc")
	}
	compile := func(name string, source string, flags ...string) string {
		t.Helper()
		out := filepath.Join(t.TempDir(), name)
		cmd := exec.CommandContext(t.Context(), gcc, append([]string{"-x", "c", "-", "-o", out}, flags...)...)
		cmd.Stdin = strings.NewReader(source)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return out
	}
	sound := compile("python3", "int main(void) { return 0; }")
	link := filepath.Join(t.TempDir(), "python")
	if err := os.Symlink(sound, link); err != nil {
		t.Fatal(err)
	}
	other := elf.EM_AARCH64
	if thisMachine() == other {
		other = elf.EM_X86_64
	}
	script := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	mac := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(mac, []byte("\xcf\xfa\xed\xfe"), 0o755); err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(cut, []byte("\x7fELF\x02\x01\x01"), 0o755); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	musl := t.TempDir()
	if err := os.Mkdir(filepath.Join(musl, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ld-musl-x86_64.so.1", "ld-musl-aarch64.so.1"} {
		if err := os.WriteFile(filepath.Join(musl, "lib", name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	library := compile("libown.so", "int own(void) { return 0; }", "-shared", "-fPIC")
	needs := []string{"-Wl,--no-as-needed", "-L" + filepath.Dir(library), "-lown"}
	tests := []struct {
		name, path string
		opts       Options
		want       string // in the message; empty: it runs
	}{
		{"sound", sound, Options{}, ""},
		{"a link to it", link, Options{}, ""},
		{"a script", script, Options{}, ""},
		{"static", compile("python3", "int main(void) { return 0; }", "-static-pie"), Options{Root: empty}, ""},
		{"of macOS", mac, Options{}, "it is Mach-O, built on macOS"},
		{"cut off", cut, Options{}, "the file is damaged"},
		{"another CPU", sound, Options{Machine: other}, "it is built for " + cpu(thisMachine())},
		{"an empty image", sound, Options{Root: empty, Place: "the image none"}, "does not run on the image none: it lacks the dynamic loader /"},
		{"musl", sound, Options{Root: musl}, "there is musl in its place"},
		{"a library that is not there", compile("python3", "int main(void) { return 0; }", needs...), Options{}, "libown.so"},
		{
			"a library of its own",
			compile("python3", "int main(void) { return 0; }", append(needs, "-Wl,-rpath,"+filepath.Dir(library))...),
			Options{}, "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Interpreter(tt.path, tt.opts)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err, fault.HintOf(err))
			case tt.want != "" && (fault.KindOf(err) != fault.Processor || !strings.Contains(err.Error(), tt.want) || fault.HintOf(err) == ""):
				t.Errorf("%v; want %q", err, tt.want)
			}
		})
	}
}

// A root directory stands for an image with an older C library.
func TestInterpreterNeedsNewerLibrary(t *testing.T) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("missing: gcc")
	}
	dir := t.TempDir()
	build := func(out, source string, flags ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), gcc, append([]string{"-x", "c", "-", "-o", filepath.Join(dir, out)}, flags...)...)
		cmd.Stdin = strings.NewReader(source)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	versions := func(names string) string {
		path := filepath.Join(t.TempDir(), "map")
		if err := os.WriteFile(path, []byte(names), 0o644); err != nil {
			t.Fatal(err)
		}
		return "-Wl,--version-script=" + path
	}
	soname := "-Wl,-soname,libnew.so.1"
	build("libnew.so", "int f(void) { return 0; }", "-shared", "-fPIC", soname, versions("OWN_1.1 { global: f; };"))
	build("python3", "int f(void); int main(void) { return f(); }", "-L"+dir, "-lnew", "-Wl,-rpath,"+dir)
	build("libnew.so.1", "int f(void) { return 0; }", "-shared", "-fPIC", soname, versions("OWN_1.0 { global: f; };"))
	err = Interpreter(filepath.Join(dir, "python3"), Options{Place: "the image old"})
	if err == nil || !strings.Contains(err.Error(), "python3 needs OWN_1.1 of libnew.so.1 (for f); the image old has OWN_1.0") || !strings.Contains(fault.HintOf(err), "--base-image") {
		t.Errorf("%v (%s)", err, fault.HintOf(err))
	}
}
