package test

import (
	"bytes"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tracked lists the files that git knows and that match a pattern.
func tracked(t *testing.T, pattern string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z", pattern)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Skip("needs git and a clone")
	}
	var names []string
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if _, err := os.Stat(filepath.Join("..", name)); err == nil { // not one that is being removed
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("no files match %s", pattern)
	}
	return names
}

func TestGofmt(t *testing.T) {
	for _, name := range tracked(t, "*.go") {
		data, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		formatted, err := format.Source(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(data, formatted) {
			t.Errorf("%s is not gofmt-clean", name)
		}
	}
}

// go test runs a part of vet; this is all of it.
func TestVet(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "vet", "./...")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go vet: %v\n%s", err, out)
	}
}
