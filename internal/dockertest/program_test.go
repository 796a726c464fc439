package dockertest

import (
	"debug/elf"
	"runtime"
	"strings"
	"testing"
)

func TestProgramIsStatic(t *testing.T) {
	path := Program(t)
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s needs a loader", path)
		}
	}
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]; f.Machine != want {
		t.Errorf("it is for %v, want %v", f.Machine, want)
	}
}

// The program that containers get runs in the smallest of images.
func TestProgramRunsInContainer(t *testing.T) {
	Base(t)
	path := Program(t)
	c, err := newClient(Host(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	out, err := c.run(t, map[string]any{
		"Mounts": []any{map[string]any{"Type": "bind", "Source": path, "Target": "/eascmd", "ReadOnly": true}},
	}, "/eascmd", "version")
	if err != nil && strings.Contains(err.Error(), "source path does not exist") {
		t.Skip("missing: an engine that sees this machine's directories")
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
