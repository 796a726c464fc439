//go:build linux

package main

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

func TestFindPython(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("missing: python3")
	}
	b := testBench(t)
	b.python = "python3"
	if err := b.findPython(t.Context()); err != nil {
		t.Fatal(err)
	}
	i := b.interpreter
	if i == nil || !filepath.IsAbs(i.Path) || !regexp.MustCompile(`^3\.\d+\.\d+$`).MatchString(i.Version) {
		t.Errorf("%+v", i)
	}
}

func TestWithoutPython(t *testing.T) {
	b := testBench(t)
	b.python = "no-such-python"
	for _, step := range []func() error{
		func() error { return b.findPython(t.Context()) },
		func() error { return b.installPythonPeers(t.Context()) },
		func() error { return b.measurePython(t.Context()) },
		func() error { return b.measurePacking(t.Context()) },
	} {
		if err := step(); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{pythonProgram, pythonPeers} {
		if !slices.Contains(b.figures.Missing, want) {
			t.Errorf("missing are %q, want %q among them", b.figures.Missing, want)
		}
	}
}

// Where PyPI cannot be reached, nothing half-made is left, and the peers are
// named.
func TestWithoutPyPI(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("missing: python3")
	}
	for name, value := range map[string]string{
		"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": t.TempDir(), "PIP_CONFIG_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	b := testBench(t)
	b.python, b.cache = "python3", t.TempDir()
	if err := b.findPython(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.installPythonPeers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(b.figures.Missing, pythonPeers) || b.venv != "" {
		t.Errorf("missing are %q, the environment is %q", b.figures.Missing, b.venv)
	}
	left, err := filepath.Glob(filepath.Join(b.cache, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
}
