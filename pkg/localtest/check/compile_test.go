package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tool returns the path of a program, and skips the test where there is none.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is missing", name)
	}
	return path
}

// run runs a command line in a directory.
func run(t testing.TB, dir, line string, args ...string) string {
	t.Helper()
	fields := append(strings.Fields(line), args...)
	cmd := exec.CommandContext(t.Context(), tool(t, fields[0]), fields[1:]...)
	cmd.Dir = dir
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(fields, " "), err, stderr.String())
	}
	return stdout.String()
}

// project is a directory with the sources of testdata and files of a test's own.
func project(t testing.TB, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("testdata/*.c*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sources {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, filepath.Base(name)), string(data))
	}
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// found is a problem without its hint, "severity code: text".
func found(r Report) []string {
	var out []string
	for _, p := range r.Problems {
		out = append(out, p.Severity.String()+" "+p.Code+": "+p.Text)
	}
	return out
}

// examine checks dir/name and returns what was found.
func examine(t testing.TB, dir, name string, opts Options) []string {
	t.Helper()
	r, err := SharedObject(filepath.Join(dir, name), opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		if p.Severity == Fatal && p.Hint == "" && p.Code != "not-elf" {
			t.Errorf("no hint: %s: %s", p.Code, p.Text)
		}
	}
	return found(r)
}
