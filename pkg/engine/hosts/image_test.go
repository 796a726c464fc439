package hosts_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/hosts"
)

// hostDir makes a directory with a program under the host's name.
func hostDir(t *testing.T, text string) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, hosts.CPPName(runtime.GOOS, runtime.GOARCH))
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

const (
	works    = "#!/bin/sh\nexit 0\n"
	tooOld   = "#!/bin/sh\necho \"eashost: /lib/libc.so.6: version 'GLIBC_2.99' not found (required by eashost)\" >&2\nexit 1\n"
	noLoader = "#!/nonexistent/ld.so\n"
)

func TestCPPInAnImage(t *testing.T) {
	needCompiler(t)
	empty := t.TempDir()
	good, goodPath := hostDir(t, works)
	other, _ := hostDir(t, works)
	old, _ := hostDir(t, tooOld)
	for _, tt := range []struct {
		name string
		dirs []string
	}{
		{"the first", []string{good, other}},
		{"the first that is there", []string{empty, good, other}},
		{"the first that runs", []string{old, good, other}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := hosts.CPP(t.Context(), hosts.Options{CacheDir: t.TempDir(), Dirs: tt.dirs})
			if err != nil || got != goodPath {
				t.Errorf("got %q (%v), want %q", got, err, goodPath)
			}
		})
	}
	t.Run("built where none runs", func(t *testing.T) {
		cache := t.TempDir()
		got, err := hosts.CPP(t.Context(), hosts.Options{CacheDir: cache, Dirs: []string{old}})
		if want := filepath.Join(cache, "hosts", hosts.CPPName(runtime.GOOS, runtime.GOARCH)); err != nil || got != want {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
	})
}

func TestCPPInAnImageErrors(t *testing.T) {
	needCompiler(t)
	old, _ := hostDir(t, tooOld)
	musl, _ := hostDir(t, noLoader)
	broken, brokenPath := hostDir(t, "#!/bin/sh\nkill -9 $$\n")
	const hint = "--base-image"
	for _, tt := range []struct {
		name string
		dirs []string
		cc   string
		text []string
		hint string
	}{
		{name: "none", dirs: []string{t.TempDir()}, text: []string{"the image has no host", "no C compiler"}, hint: hint},
		{name: "an older C library", dirs: []string{old}, text: []string{"too old", "GLIBC_2.99", "no C compiler"}, hint: hint},
		{name: "another C library", dirs: []string{musl, old}, text: []string{"musl", "no C compiler"}, hint: hint},
		{name: "something else", dirs: []string{broken}, text: []string{brokenPath, "killed"}, hint: hint},
		{name: "a compiler without headers", dirs: []string{old}, text: []string{"too old", "stdio.h"}, hint: "libc6-dev",
			cc: script(t, "while read -r _; do :; done; echo 'fatal error: stdio.h: No such file or directory' >&2; exit 1")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CC", tt.cc)
			t.Setenv("PATH", "/nonexistent")
			_, err := hosts.CPP(t.Context(), hosts.Options{CacheDir: t.TempDir(), Dirs: tt.dirs})
			if fault.KindOf(err) != fault.Missing || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("got %v (hint %q), want kind Missing and %q", err, fault.HintOf(err), tt.hint)
			}
			for _, text := range tt.text {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("got %v, want %q in it", err, text)
				}
			}
		})
	}
}
