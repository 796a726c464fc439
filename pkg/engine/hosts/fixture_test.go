package hosts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	return hosttest.Host{Command: []string{path}, Dir: dir, Entry: cppFixture(tb, dir), Native: true}
}

func cppFixture(tb testing.TB, dir string) string {
	tb.Helper()
	compiler, err := exec.LookPath("g++")
	if err != nil {
		tb.Skip("no g++")
	}
	path := filepath.Join(dir, "libfixture.so")
	cmd := exec.CommandContext(tb.Context(), compiler, "-std=c++11", "-g", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC",
		"-shared", "-pthread", "-o", path, "../../../workers/cpp/testdata/fixture.cc")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		tb.Fatalf("building the fixture: %v", err)
	}
	return path
}
