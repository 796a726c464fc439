//go:build unix

package pysdk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// pip fails halfway: the first package is there, the second is not.
func TestPipFails(t *testing.T) {
	i := interpreter(t, "")
	t.Setenv("PIP_NO_INDEX", "1")
	t.Setenv("PIP_FIND_LINKS", wheel(t, "greeting"))
	req := write(t, filepath.Join(t.TempDir(), "r.txt"), "greeting==1.0\nno-such-package==7\n", 0o666)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "app.py"), "mine", 0o640)
	before := listing(t, dir)
	var log bytes.Buffer
	opts := Options{Dir: dir, Version: i.Version, Backend: quick(), SDK: bundled(t), Requirements: req, Log: &log}
	_, err := Create(t.Context(), opts)
	if err == nil || !strings.Contains(err.Error(), "install the requirements of "+req+": exit status 1") || !strings.Contains(fault.HintOf(err), "pip says above why") {
		t.Errorf("got %v (hint %q)", err, fault.HintOf(err))
	}
	if !strings.Contains(log.String(), "no-such-package") {
		t.Errorf("pip's words are lost: %s", log.String())
	}
	if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}

	// Without a log the error says what pip says at last.
	opts.Log = nil
	if _, err := Create(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "no-such-package") {
		t.Errorf("got %v", err)
	}
}

// waiting makes a conda that says when half of its work is done, and waits.
func waiting(t *testing.T) (begun string) {
	t.Helper()
	begun = filepath.Join(t.TempDir(), "begun")
	if err := syscall.Mkfifo(begun, 0o600); err != nil {
		t.Fatal(err)
	}
	conda(t, interpreter(t, ""), "echo half >"+begun+"; exec sleep 1000")
	return begun
}

// Ctrl-C in the middle leaves nothing.
func TestInterrupted(t *testing.T) {
	begun := waiting(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	done := make(chan error, 1)
	go func() {
		_, err := NewProject(ctx, "", Options{Dir: dir, Version: interpreter(t, "").Version, Backend: Conda})
		done <- err
	}()
	if _, err := os.ReadFile(begun); err != nil {
		t.Fatal(err)
	}
	if !exists(filepath.Join(dir, stageName, "conda-meta")) || exists(filepath.Join(dir, EnvName)) {
		t.Error("the environment is not made where it should be")
	}
	cancel()
	if err := <-done; fault.KindOf(err) != fault.Interrupted || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if exists(filepath.Dir(dir)) {
		t.Error("something is left")
	}
}

// envHelper makes this test program call NewProject in the directory it names.
const envHelper = "EASCMD_TEST_PROJECT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(envHelper); dir != "" {
		if _, err := NewProject(context.Background(), "", Options{Dir: dir, Version: os.Getenv("PYVERSION"), Backend: Conda}); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// What kill -9 leaves is no environment; it is in nobody's way, and the next
// call removes it.
func TestKilled(t *testing.T) {
	i := interpreter(t, "")
	begun := waiting(t)
	dir := filepath.Join(t.TempDir(), "project")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envHelper+"="+dir, "PYVERSION="+i.Version)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(begun); err != nil {
		t.Fatal(err)
	}

	// While it works, nobody else does.
	_, err := NewProject(t.Context(), "", Options{Dir: dir, Version: i.Version, Backend: quick()})
	if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "is being made in") {
		t.Errorf("a second call: %v", err)
	}
	if !exists(filepath.Join(dir, stageName)) {
		t.Fatal("the second call has removed the work of the first")
	}

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	if exists(filepath.Join(dir, EnvName)) || !exists(filepath.Join(dir, stageName)) {
		t.Error("the half-made environment is not where it should be")
	}

	// The lock goes with conda itself, which dies a moment later.
	for {
		_, err = NewProject(t.Context(), "", Options{Dir: dir, Version: i.Version, Backend: quick(), SDK: bundled(t), Log: said(t)})
		if err == nil || !strings.Contains(err.Error(), "is being made in") {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(dir, stageName)) || exists(filepath.Join(dir, EnvName, "conda-meta")) || !exists(filepath.Join(dir, EnvName, MarkerName)) {
		t.Error("the environment is not that of the second call")
	}
}

// What has come to the environment's place meanwhile stays.
func TestPlaceTaken(t *testing.T) {
	i := interpreter(t, "")
	dir := realTempDir(t)
	conda(t, i, "mkdir '"+filepath.Join(dir, EnvName)+"'; echo mine >'"+filepath.Join(dir, EnvName, "file")+"'")
	_, err := Create(t.Context(), Options{Dir: dir, Version: i.Version, Backend: Conda, Log: said(t)})
	if err == nil || !strings.Contains(err.Error(), "has appeared meanwhile") {
		t.Errorf("got %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, EnvName, "file")); err != nil || string(data) != "mine\n" {
		t.Errorf("%q, %v", data, err)
	}
	if exists(filepath.Join(dir, stageName)) {
		t.Error("something is left")
	}
}

// An interpreter that is not the environment's own would take packages
// elsewhere.
func TestNoEnvironmentOfItsOwn(t *testing.T) {
	i := interpreter(t, "")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "conda"), "#!/bin/sh\nmkdir -p \"$4/bin\" && ln -s '"+i.Executable+"' \"$4/bin/python\"\n", 0o755)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	place := t.TempDir()
	_, err := Create(t.Context(), Options{Dir: place, Version: i.Version, Backend: Conda, SDK: bundled(t)})
	if err == nil || !strings.Contains(err.Error(), "no environment of its own") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(place); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A backend that does nothing, but says that all is well.
func TestNothingMade(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "conda"), "#!/bin/sh\n", 0o755)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	_, err := Create(t.Context(), Options{Dir: t.TempDir(), Version: "3.11", Backend: Conda})
	if err == nil || !strings.Contains(err.Error(), "the environment that conda has made is broken") {
		t.Errorf("got %v", err)
	}
}
