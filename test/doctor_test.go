package test

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A daemon that takes connections and never answers, and programs that never
// end, keep `eascmd doctor` neither waiting nor from telling the rest.
func TestDoctorBesideWhatHangs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux")
	}
	dir := t.TempDir()
	for _, name := range []string{"java", "javac", "mvn", "python3", "g++", "cmake"} {
		script := "#!/bin/sh\n/bin/sleep 600\nexit 0\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The path of a socket is short.
	short, err := os.MkdirTemp("", "eas-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	listener, err := net.Listen("unix", filepath.Join(short, "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() }) // the kernel takes connections that nobody accepts

	cmd := exec.CommandContext(t.Context(), filepath.Join(binDir(t), "eascmd"), "doctor", "-o", "json")
	cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+dir, "JAVA_HOME=", "CC=",
		"XDG_RUNTIME_DIR="+short, "DOCKER_HOST=unix://"+listener.Addr().String(), "EASCMD_ENDPOINT=127.0.0.1:1")
	begin := time.Now()
	out, err := cmd.Output()
	taken := time.Since(begin)
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	// It is 5 s; the programs take 10 minutes. Between them is room for a machine
	// that is busy.
	if taken > 2*time.Minute {
		t.Errorf("it took %v", taken)
	}
	t.Logf("it took %v", taken)
	var report struct {
		Checks []struct{ Name, State, Found, Fix string }
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := map[string]string{"daemon": "does not answer", "C++ compiler": "no answer", "cmake": "no answer", "python3": "no answer", "JDK": "no answer", "Maven": "no answer"}
	for _, c := range report.Checks {
		if text, ok := want[c.Name]; ok && strings.Contains(c.Found, text) {
			delete(want, c.Name)
			if c.State == "ok" || c.Fix == "" {
				t.Errorf("%s is %s, fix %q", c.Name, c.State, c.Fix)
			}
		}
	}
	for name, text := range want {
		t.Errorf("%s does not say %q:\n%s", name, text, out)
	}
	// What a compiler has started ends when it finds its pipes closed.
	left := processesWith("XDG_RUNTIME_DIR=" + short)
	for end := time.Now().Add(patience); len(left) > 0 && time.Now().Before(end); left = processesWith("XDG_RUNTIME_DIR=" + short) {
		time.Sleep(20 * time.Millisecond)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
