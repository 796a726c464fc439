package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openeas/eascmd/internal/fault"
)

func TestNotELF(t *testing.T) {
	tar := make([]byte, 512)
	copy(tar, "model/")
	copy(tar[257:], "ustar\x00")
	for _, tc := range []struct{ name, content, what string }{
		{"empty", "", "the file is empty"},
		{"macOS", "\xcf\xfa\xed\xfe\x0c\x00\x00\x01", "Mach-O, built on macOS"},
		{"macOS, several CPUs", "\xca\xfe\xba\xbe\x00\x00\x00\x02\x01\x00\x00\x07", "Mach-O for several CPUs, built on macOS"},
		{"Java class", "\xca\xfe\xba\xbe\x00\x00\x00\x34\x00\x1d", "a Java class"},
		{"Windows", "MZ\x90\x00\x03", "a Windows program or DLL"},
		{"static library", "!<arch>\n/               0", "a static library or package archive (ar)"},
		{"gzip", "\x1f\x8b\x08\x00", "a compressed file"},
		{"zip", "PK\x03\x04\x14", "an archive"},
		{"tar", string(tar), "an archive"},
		{"Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "a Git LFS pointer, which stands for the real file"},
		{"HTML", "\n<!DOCTYPE html>\n<html><body>404", "an HTML page"},
		{"object store's answer", `<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>`, "an XML document"},
		{"linker script", "/* GNU ld script */\nGROUP ( /lib/libc.so.6 )", "a linker script, which stands for the real library"},
		{"linker script, short", "INPUT(-ltorch -lc10)", "a linker script, which stands for the real library"},
		{"script", "#!/bin/sh\n", "a script"},
		{"JSON", `{"processor": "x"}`, "a JSON text"},
		{"source", "#include <string>\nint main() {}\n// größer\n", "a text file"},
		{"a letter that the block cuts", strings.Repeat("a", 4095) + "ß", "a text file"},
		{"noise", "\x01\x02\x03\x00\xff", "data of unknown kind"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "x.so"), tc.content)
			want := "fatal not-elf: it is not an ELF shared object but " + tc.what
			if tc.content == "" {
				want = "fatal not-elf: " + tc.what
			}
			if diff := cmp.Diff([]string{want}, examine(t, dir, "x.so", Options{})); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	_, err := SharedObject(filepath.Join(dir, "missing.so"), Options{})
	if err == nil || fault.KindOf(err) != fault.Processor || fault.HintOf(err) == "" || !strings.Contains(err.Error(), "missing.so") {
		t.Errorf("a missing file: %v", err)
	}
	if diff := cmp.Diff([]string{"fatal not-elf: it is a directory"}, examine(t, filepath.Dir(dir), filepath.Base(dir), Options{})); diff != "" {
		t.Errorf("a directory (-want +got):\n%s", diff)
	}
	tool(t, "mkfifo")
	run(t, dir, "mkfifo pipe.so")
	if diff := cmp.Diff([]string{"fatal not-elf: it is not a regular file"}, examine(t, dir, "pipe.so", Options{})); diff != "" {
		t.Errorf("a pipe (-want +got):\n%s", diff)
	}
}

func TestELFOfAnotherKind(t *testing.T) {
	dir := project(t, map[string]string{"main.c": "int main(void) { return 0; }"})
	for _, tc := range []struct{ name, build, want string }{
		{"object file", "gcc -c -o x.so processor.c", "fatal not-shared: it is an object file (.o) that was not linked"},
		{"program", "gcc -no-pie -o x.so main.c", "fatal not-shared: it is a program, not a shared object"},
		{"position-independent program", "gcc -fPIE -pie -o x.so main.c", "fatal not-shared: it is a program, not a shared object"},
		{"program that exports", "gcc -fPIE -pie -rdynamic -o x.so main.c processor.c", "fatal not-shared: it is a program, not a shared object"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, dir, tc.build)
			got := examine(t, dir, "x.so", Options{})
			if len(got) == 0 || got[0] != tc.want {
				t.Errorf("problems: %q, want %q", got, tc.want)
			}
		})
	}
}

func TestOfAnotherCPU(t *testing.T) {
	dir := project(t, nil)
	run(t, dir, "gcc -shared -fPIC -o x.so processor.c")
	sound, err := os.ReadFile(filepath.Join(dir, "x.so"))
	if err != nil {
		t.Fatal(err)
	}
	here := cpu(thisMachine())
	for _, tc := range []struct {
		name string
		edit map[int]byte // offset in the header -> value
		is   string
	}{
		{"RISC-V", map[int]byte{18: 243}, "RISC-V"},
		{"s390x", map[int]byte{5: 2, 18: 0, 19: 22}, "s390x (big-endian)"},
		{"x86 of 32 bits", map[int]byte{4: 1, 18: 3}, "32-bit x86"},
		{"arm of 32 bits", map[int]byte{4: 1, 18: 40}, "32-bit arm"},
		{"x32", map[int]byte{4: 1, 18: 62}, "x86-64 in its 32-bit form (x32)"},
		{"unknown", map[int]byte{18: 0xfe, 19: 0xfe}, "CPU number 65278"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data := append([]byte(nil), sound...)
			for at, b := range tc.edit {
				data[at] = b
			}
			write(t, filepath.Join(dir, "y.so"), string(data))
			want := []string{"fatal cpu: it is built for " + tc.is + ", and this machine has " + here}
			if diff := cmp.Diff(want, examine(t, dir, "y.so", Options{})); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
	other := Options{Machine: 183, Place: "the image x"}
	if thisMachine() == 183 {
		other.Machine = 62
	}
	want := []string{"fatal cpu: it is built for " + here + ", and the image x has " + cpu(other.Machine)}
	if diff := cmp.Diff(want, examine(t, dir, "x.so", other)); diff != "" {
		t.Errorf("for another place (-want +got):\n%s", diff)
	}
}

func TestCutOff(t *testing.T) {
	dir := project(t, nil)
	run(t, dir, "gcc -shared -fPIC -o x.so processor.c")
	sound, err := os.ReadFile(filepath.Join(dir, "x.so"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{4, 63, 64, 200, 4096, len(sound) / 2, len(sound) - 1} {
		write(t, filepath.Join(dir, "y.so"), string(sound[:n]))
		got := examine(t, dir, "y.so", Options{})
		severity := "fatal"
		if n == len(sound)-1 {
			severity = "warning" // the loader does not read the section headers
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], severity+" truncated: the file is cut off") {
			t.Errorf("%d of %d bytes: %q", n, len(sound), got)
		}
	}
	tool(t, "objcopy")
	run(t, dir, "objcopy --only-keep-debug x.so debug.so")
	got := examine(t, dir, "debug.so", Options{})
	if len(got) == 0 || !strings.HasPrefix(got[0], "fatal ") {
		t.Errorf("separate debug information: %q", got)
	}
}
