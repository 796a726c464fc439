package hosts_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openeas/eascmd/pkg/serving/hosttest"
	"github.com/openeas/eascmd/workers"
)

func TestCPPHost(t *testing.T) {
	t.Parallel()
	hosttest.Run(t, cppHost(t))
}

// The suite again, on a host that finds its own mistakes.
func TestCPPHostSanitized(t *testing.T) {
	for name, build := range map[string]struct{ flags, env []string }{
		"address": {
			flags: []string{"-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"},
			env:   []string{"ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:exitcode=86", "UBSAN_OPTIONS=print_stacktrace=1"},
		},
		"thread": {
			flags: []string{"-fsanitize=thread"},
			env:   []string{"TSAN_OPTIONS=halt_on_error=1:atexit_sleep_ms=0:exitcode=86"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := cppHost(t)
			host.Command = []string{sanitized(t, host.Dir, build.flags, build.env)}
			host.Env = build.env
			host.Sanitized = true
			hosttest.Run(t, host)
		})
	}
}

// sanitized builds the C host with a sanitizer. It skips the test where the compiler has no
// runtime for it, or where that does not start on this kernel.
func sanitized(t *testing.T, dir string, flags, env []string) string {
	t.Helper()
	path := filepath.Join(dir, "eashost-sanitized")
	args := append([]string{"-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-rdynamic", "-o", path}, flags...)
	cmd := exec.CommandContext(t.Context(), "gcc", append(args, "-x", "c", "-", "-ldl")...)
	cmd.Stdin = strings.NewReader(workers.CPPHost)
	if text, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(text), "warning") || strings.Contains(string(text), "error:") && !strings.Contains(string(text), "cannot find") {
			t.Fatalf("the host does not build with %s: %v\n%s", flags[0], err, text)
		}
		t.Skipf("gcc has no runtime for %s: %v\n%s", flags[0], err, text)
	}
	probe := exec.CommandContext(t.Context(), path, "--version")
	probe.Env = env
	if text, err := probe.CombinedOutput(); err != nil {
		t.Skipf("a program built with %s does not start here: %v\n%s", flags[0], err, text)
	}
	return path
}

// The source compiles without a warning with every compiler that is here.
func TestCPPHostWarnings(t *testing.T) {
	for _, compiler := range []string{"gcc", "clang", "musl-gcc"} {
		t.Run(compiler, func(t *testing.T) {
			path, err := exec.LookPath(compiler)
			if err != nil {
				t.Skip("no " + compiler)
			}
			cmd := exec.CommandContext(t.Context(), path, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes",
				"-Werror", "-pthread", "-rdynamic", "-o", filepath.Join(t.TempDir(), "eashost"), "-x", "c", "-", "-ldl")
			cmd.Stdin = strings.NewReader(workers.CPPHost)
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}
