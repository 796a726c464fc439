package hosts_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/hosts"
)

func needCompiler(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("C and C++ processors need Linux")
	}
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no cc")
	}
	t.Setenv("CC", "")
}

// script writes a program that stands for a compiler.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "compiler")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCPPIsBuiltOnce(t *testing.T) {
	needCompiler(t)
	dir := t.TempDir()
	var mu sync.Mutex
	var said []string
	opts := hosts.Options{CacheDir: dir, Log: func(s string) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, s)
	}}
	// Several at the same time, as programs that start together would.
	var all sync.WaitGroup
	paths := make([]string, 3)
	for i := range paths {
		all.Go(func() {
			var err error
			if paths[i], err = hosts.CPP(t.Context(), opts); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	want := filepath.Join(dir, "hosts", hosts.CPPName(runtime.GOOS, runtime.GOARCH))
	for _, path := range paths {
		if path != want {
			t.Errorf("the host is at %q, want %q", path, want)
		}
	}
	if len(said) == 0 {
		t.Error("nothing was said of the build")
	}
	files, err := os.ReadDir(filepath.Join(dir, "hosts"))
	if err != nil || len(files) != 1 {
		t.Errorf("the cache holds %v (%v), want the host alone", files, err)
	}
	if text, err := exec.CommandContext(t.Context(), want, "--version").Output(); err != nil || string(text) != "eashost-cpp protocol 1-1\n" {
		t.Errorf("--version prints %q (%v)", text, err)
	}

	// From now on no compiler is needed.
	t.Setenv("PATH", "")
	t.Setenv("CC", "/nonexistent")
	said = nil
	if path, err := hosts.CPP(t.Context(), opts); err != nil || path != want || said != nil {
		t.Errorf("a second time: %q, %v, said %q", path, err, said)
	}
}

func TestCPPFindsPrebuilt(t *testing.T) {
	needCompiler(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(filepath.Dir(exe), "hosts")
	path := filepath.Join(dir, runtime.GOOS+"-"+runtime.GOARCH, hosts.CPPName(runtime.GOOS, runtime.GOARCH))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := hosts.CPP(t.Context(), hosts.Options{CacheDir: t.TempDir()}); err != nil || got != path {
		t.Errorf("got %q, %v, want %q", got, err, path)
	}
	// One that cannot be run is none.
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := hosts.CPP(t.Context(), hosts.Options{CacheDir: t.TempDir()}); err != nil || got == path {
		t.Errorf("got %q, %v, want one that was built", got, err)
	}
}

func TestCPPErrors(t *testing.T) {
	needCompiler(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, cc, path, cache string
		kind                  fault.Kind
		text, hint            string
	}{
		{name: "no compiler", path: "/nonexistent", kind: fault.Missing, text: "no C compiler", hint: "apt-get install gcc"},
		{name: "CC is wrong", cc: "/nonexistent/cc -m64", kind: fault.Missing, text: "/nonexistent/cc", hint: "CC"},
		{name: "compiler fails", cc: script(t, "cat >/dev/null; echo the reason >&2; exit 1"), kind: fault.Failed, text: "the reason", hint: "CC"},
		{name: "no headers", cc: script(t, "cat >/dev/null; echo 'fatal error: stdio.h: No such file or directory' >&2; exit 1"), kind: fault.Missing, text: "stdio.h", hint: "libc6-dev"},
		{name: "compiler builds nothing", cc: script(t, "cat >/dev/null"), kind: fault.Failed, text: "does not run here", hint: "CC"},
		{name: "compiler builds for another machine", cc: script(t, `cat >/dev/null
while [ "$1" != -o ]; do shift; done
printf '\177ELF\2\1\1 and so on' >"$2"`), kind: fault.Failed, text: "does not run here", hint: "CC"},
		{name: "cache is a file", cache: file, kind: fault.Failed, text: file, hint: "XDG_CACHE_HOME"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("CC", test.cc)
			if test.path != "" {
				t.Setenv("PATH", test.path)
			}
			cache := test.cache
			if cache == "" {
				cache = t.TempDir()
			}
			_, err := hosts.CPP(t.Context(), hosts.Options{CacheDir: cache})
			if err == nil || fault.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.text) || !strings.Contains(fault.HintOf(err), test.hint) {
				t.Errorf("got %v (kind %d, hint %q), want kind %d, %q and hint %q", err, fault.KindOf(err), fault.HintOf(err), test.kind, test.text, test.hint)
			}
			if hint := fault.HintOf(err); strings.Contains(hint, "docker") {
				t.Errorf("the hint %q names an engine that is not there", hint)
			}
			if files, _ := filepath.Glob(filepath.Join(cache, "hosts", "*")); files != nil {
				t.Errorf("the cache holds %q", files)
			}
			if files, _ := filepath.Glob(filepath.Join(cache, "hosts", ".*")); files != nil {
				t.Errorf("the cache holds %q", files)
			}
		})
	}
}

func TestCPPCompilerWithArguments(t *testing.T) {
	needCompiler(t)
	t.Setenv("CC", "cc -DEASCMD_TEST")
	if _, err := hosts.CPP(t.Context(), hosts.Options{CacheDir: t.TempDir()}); err != nil {
		t.Error(err)
	}
}

func TestCPPInterrupted(t *testing.T) {
	needCompiler(t)
	started := filepath.Join(t.TempDir(), "started")
	t.Setenv("CC", script(t, "echo >"+started+"; exec sleep 1000"))
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the user has gone")
	go func() {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if _, err := os.Stat(started); err == nil {
				break
			}
		}
		cancel(reason)
	}()
	if _, err := hosts.CPP(ctx, hosts.Options{CacheDir: t.TempDir()}); fault.KindOf(err) != fault.Interrupted || !errors.Is(err, reason) {
		t.Errorf("got %v, want one of kind Interrupted", err)
	}
}

// What a killed build left goes away with the next one, what another may be writing
// stays.
func TestCPPRemovesAbandoned(t *testing.T) {
	needCompiler(t)
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, "hosts", ".building-1"), filepath.Join(dir, "hosts", ".building-2")
	if err := os.Mkdir(filepath.Dir(old), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{old, fresh} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	if _, err := hosts.CPP(t.Context(), hosts.Options{CacheDir: dir}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the abandoned build is still there: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("the other build is gone: %v", err)
	}
}

func BenchmarkCPPCached(b *testing.B) {
	opts := hosts.Options{CacheDir: b.TempDir()}
	if _, err := hosts.CPP(b.Context(), opts); err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		if _, err := hosts.CPP(b.Context(), opts); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRelease(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no cc here")
	}
	path := filepath.Join(t.TempDir(), "linux-"+runtime.GOARCH, hosts.CPPName("linux", runtime.GOARCH))
	if err := hosts.Release(t.Context(), "cc", path); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, "--version").CombinedOutput(); err != nil {
		t.Errorf("the built host says %q, %v", out, err)
	}
	if err := hosts.Release(t.Context(), "no-such-compiler-here", path); fault.KindOf(err) != fault.Missing {
		t.Errorf("without a compiler: %v", err)
	}
}
