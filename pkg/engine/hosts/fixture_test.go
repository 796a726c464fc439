package hosts_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/openeas/eascmd/pkg/engine/hosts"
	"github.com/openeas/eascmd/pkg/serving/hosttest"
)

// cppHost builds the C host and its fixture.
func cppHost(tb testing.TB) hosttest.Host {
	tb.Helper()
	if runtime.GOOS != "linux" {
		tb.Skip("C and C++ processors need Linux")
	}
	dir := tb.TempDir()
	path, err := hosts.CPP(tb.Context(), hosts.Options{CacheDir: filepath.Join(dir, "cache")})
	if err != nil {
		tb.Fatal(err)
	}
	fixture := filepath.Join(dir, "libfixture.so")
	library(tb, fixture, "", "-std=c++11", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "../../../workers/cpp/testdata/fixture.cc")
	return hosttest.Host{
		Command:  []string{path},
		Dir:      dir,
		Entry:    fixture,
		Native:   true,
		Failures: cppFailures(tb, dir),
	}
}

// library builds a shared object, from C++ source or from the files among the flags.
func library(tb testing.TB, path, source string, flags ...string) {
	tb.Helper()
	compiler, err := exec.LookPath("g++")
	if err != nil {
		tb.Skip("no g++")
	}
	args := append([]string{"-O2", "-fPIC", "-shared", "-o", path}, flags...)
	if source != "" {
		args = append(args, "-x", "c++", "-")
	}
	cmd := exec.CommandContext(tb.Context(), compiler, args...)
	cmd.Stdin = strings.NewReader(source)
	if text, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("building %s: %v\n%s", filepath.Base(path), err, text)
	}
}

// cppFailures makes the ways in which a shared object cannot be loaded.
func cppFailures(tb testing.TB, dir string) []hosttest.Failure {
	tb.Helper()
	const (
		initialize = `void *initialize(const char *, const char *, int *) { return nullptr; }`
		process    = `int process(void *, const void *, int, void **, int *) { return 200; }`
	)
	failures := []hosttest.Failure{
		{Name: "no file", Message: "cannot open shared object file", Hint: "processor_entry"},
		{Name: "no shared object", Message: "file too short", Hint: "cut off"},
		{Name: "text", Message: "invalid ELF header", Hint: "-shared"},
		{Name: "a missing library", Message: "libneeded.so", Hint: "rpath"},
		{Name: "an undefined symbol", Message: "undefined symbol: not_here", Hint: "link the library"},
		{Name: "C++ names", Message: "no function initialize", Hint: "extern \"C\": the library has it with a C++ name"},
		{Name: "no initialize", Message: "no function initialize", Hint: "void *initialize("},
		{Name: "no process", Message: "no function process", Hint: "int process("},
		{Name: "no entry", Message: "START names no entry"},
	}
	for i := range failures {
		f := &failures[i]
		f.State = "0"
		path := filepath.Join(dir, fmt.Sprintf("libbad%d.so", i))
		f.Options.Entry = path
		switch f.Name {
		case "no shared object", "text":
			text := ""
			if f.Name == "text" {
				text = strings.Repeat("this is a text\n", 100)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				tb.Fatal(err)
			}
		case "a missing library":
			needed := filepath.Join(dir, "libneeded.so")
			library(tb, needed, "void needed() {}")
			library(tb, path, "void needed(); void f() { needed(); }", "-L"+dir, "-Wl,--no-as-needed", "-lneeded")
			if err := os.Remove(needed); err != nil {
				tb.Fatal(err)
			}
		case "an undefined symbol":
			library(tb, path, `extern "C" { void not_here(); `+initialize+` int process(void *, const void *, int, void **, int *) { not_here(); return 0; } }`)
		case "C++ names":
			library(tb, path, initialize+process)
		case "no initialize":
			library(tb, path, `extern "C" `+process)
		case "no process":
			library(tb, path, `extern "C" `+initialize)
		case "no entry":
			f.Options.Entry = hosttest.NoEntry
		}
	}
	return failures
}
