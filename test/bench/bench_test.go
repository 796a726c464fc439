//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/dockertest"
)

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"-h"}, 0},
		{[]string{"--no-such-flag"}, 2},
		{[]string{"argument"}, 2},
		{[]string{"--rounds", "0"}, 2},
		{[]string{"--packs", "0"}, 2},
		{[]string{"--uploads", "0"}, 2},
		{[]string{"--only", "python,fortran"}, 2},
		{[]string{"--duration", "10ms"}, 2},
	} {
		var out, talk bytes.Buffer
		if got := run(t.Context(), tt.args, &out, &talk); got != tt.want {
			t.Errorf("%q: exit status %d, want %d", tt.args, got, tt.want)
		}
		if talk.Len() == 0 || out.Len() > 0 {
			t.Errorf("%q: %q on standard output, %q on standard error", tt.args, out.String(), talk.String())
		}
	}
}

// The whole of it, as short as it can be: every row is measured, or names the
// peer that it needs, and nothing is left over.
func TestBench(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, program := range []string{"gcc", "g++"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s", program)
		}
	}
	host, err := dockertest.Find(t.Context())
	if err == nil {
		t.Setenv("DOCKER_HOST", host)
		err = dockertest.EnsureBase(t.Context(), host, t.Output())
	}
	if err != nil {
		t.Logf("without containers: %v", err)
	}
	containers := err == nil
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	figuresFile := filepath.Join(t.TempDir(), "figures.json")
	var out, talk bytes.Buffer
	args := []string{"--only", partCPP, "--rounds", "1", "--duration", "1s", "--runs", "1", "--repeats", "1", "--requests", "2000", "--json", figuresFile} // so many that what the runtime does by itself is little beside them
	if status := run(t.Context(), args, &out, &talk); status != 0 {
		t.Fatalf("exit status %d\n%s%s", status, talk.String(), out.String())
	}
	text, err := os.ReadFile(figuresFile)
	if err != nil {
		t.Fatal(err)
	}
	var f figures
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "it failed") || f.Starts == nil {
		t.Errorf("not all was measured:\n%s", out.String())
	}
	if i := f.Instructions; i != nil && (i.Gateway < 1000 || i.Host < 100) {
		t.Errorf("too few instructions to be true: %+v", *i)
	}
	if th := f.Throughput; th != nil && (len(th.Five) != 1 || th.Five[0].RequestsPerSecond <= 0 || th.Five[0].CPUMicroseconds <= 0) {
		t.Errorf("throughput: %+v", *th)
	}
	if c := f.InContainer; containers && (c == nil || len(c.FirstAnswer) != 1 || c.FirstAnswer[0] <= 0 || c.DockerRun[0] <= 0) {
		t.Errorf("in a container: %+v\n%s", c, talk.String())
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}
