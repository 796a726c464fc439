package backtrace

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// run runs a program in a directory and returns its standard output.
func run(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, name), args...)
	cmd.Dir = dir
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

// source is a test's directory with a copy of a file of testdata, so that the
// compiler records paths relative to it.
func source(t testing.TB, names ...string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// record builds the recorder in dir, lets it load a library there, and
// returns what it recorded.
func record(t testing.TB, dir, library string) *Record {
	t.Helper()
	exe := filepath.Join(dir, "recorder")
	if _, err := os.Stat(exe); err != nil {
		src, err := filepath.Abs("testdata/recorder.c")
		if err != nil {
			t.Fatal(err)
		}
		run(t, dir, "gcc", "-g", "-O1", "-o", exe, src, "-ldl", "-lpthread")
	}
	return parse(t, run(t, dir, exe, "./"+library))
}

var mark = regexp.MustCompile(`// here: (\w+)`)

// marks returns the lines of a file of testdata that have a mark, by its word.
func marks(t testing.TB, name string) map[string]int {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := map[string]int{}
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		if m := mark.FindStringSubmatch(in.Text()); m != nil {
			lines[m[1]] = n
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}
