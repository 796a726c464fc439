package hosts_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openeas/eascmd/pkg/serving/hosttest"
	"github.com/openeas/eascmd/pkg/serving/wire"
	"github.com/openeas/eascmd/workers"
)

func TestCPPHost(t *testing.T) {
	t.Parallel()
	hosttest.Run(t, cppHost(t))
}

// The suite again, on a host that finds its own mistakes.
func TestCPPHostSanitized(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	for name, build := range map[string]struct {
		flags []string
		envs  []string // the first with which a program starts here
	}{
		"address": {
			flags: []string{"-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"},
			envs: []string{
				"ASAN_OPTIONS=exitcode=86:detect_stack_use_after_return=1:detect_leaks=1",
				"ASAN_OPTIONS=exitcode=86:detect_stack_use_after_return=1:detect_leaks=0", // where ptrace is forbidden
			},
		},
		"thread": {
			flags: []string{"-fsanitize=thread"},
			envs:  []string{"TSAN_OPTIONS=exitcode=86:halt_on_error=1:atexit_sleep_ms=0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := cppHost(t)
			path, env := sanitized(t, host.Dir, build.flags, build.envs)
			host.Command = []string{path}
			host.Env = []string{env}
			host.Sanitized = true
			hosttest.Run(t, host)
		})
	}
}

// A drain that comes before the main thread has begun to wait for START, which then has the
// time to see it before the process ends.
func TestCPPHostDrainedEarly(t *testing.T) {
	t.Parallel()
	host := cppHost(t)
	slow := filepath.Join(host.Dir, "libslow.so")
	library(t, slow, `
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
extern "C" int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) noexcept
{
	usleep(200000);
	return sigprocmask(how, set, old);
}
extern "C" int fflush(FILE *) noexcept
{
	usleep(600000);
	return 0;
}`)
	w := hosttest.Launch(t, host, hosttest.Options{Env: []string{"LD_PRELOAD=" + slow}})
	w.Greet()
	w.Send(wire.AppendFrame(nil, wire.Header{Type: wire.Drain}, nil))
	w.Expect(wire.Drained)
	w.ExpectExit(0)
}

// sanitized builds the C host with a sanitizer. It skips the test where the compiler has no
// runtime for it, or where that does not start on this kernel.
func sanitized(t *testing.T, dir string, flags, envs []string) (path, env string) {
	t.Helper()
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc")
	}
	build := func(source, output string) ([]byte, error) {
		args := append([]string{"-std=gnu11", "-O1", "-g", "-pthread", "-rdynamic", "-o", output}, flags...)
		cmd := exec.CommandContext(t.Context(), compiler, append(args, "-x", "c", "-", "-ldl")...)
		cmd.Stdin = strings.NewReader(source)
		return cmd.CombinedOutput()
	}
	path = filepath.Join(dir, "eashost-sanitized")
	if text, err := build("int main(void) { return 0; }", path); err != nil {
		t.Skipf("gcc has no runtime for %s: %v\n%s", flags[0], err, text)
	}
	var text []byte
	for _, env = range envs {
		probe := exec.CommandContext(t.Context(), path)
		probe.Env = []string{env}
		if text, err = probe.CombinedOutput(); err == nil {
			break
		}
	}
	if err != nil {
		t.Skipf("a program built with %s does not run here: %v\n%s", flags[0], err, text)
	}
	if text, err := build(workers.CPPHost, path); err != nil {
		t.Fatalf("the host does not build with %s: %v\n%s", flags[0], err, text)
	}
	return path, env
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
