package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// complete returns what the shell is told for a command line.
func complete(t *testing.T, args ...string) []string {
	t.Helper()
	got := runMain(t, "", append([]string{"__completeNoDesc"}, args...)...)
	if got.status != 0 {
		t.Fatalf("%+v", got)
	}
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	return lines[:len(lines)-1] // the last one is the directive
}

func TestDynamicCompletion(t *testing.T) {
	home := emptyHome(t)
	file := filepath.Join(home, "own.conf")
	if err := os.WriteFile(file, []byte("endpoint=h\n[profile beijing]\nendpoint=h\n[profile berlin]\nendpoint=h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args []string
		want []string
	}{
		{[]string{"version", "-o", ""}, []string{"table", "json", "yaml"}},
		{[]string{"version", "--output", "j"}, []string{"json"}},
		{[]string{"-c", file, "version", "--profile", ""}, []string{"beijing", "berlin", "default"}},
		{[]string{"-c", file, "version", "--profile", "ber"}, []string{"berlin"}},
		{[]string{"-c", "/nonexistent", "version", "--profile", ""}, []string{}},
		{[]string{"config", "-i", ""}, []string{}},
		{[]string{"test", "--engine", "d"}, []string{"docker"}},
		{[]string{"completion", ""}, []string{"bash", "zsh", "fish", "powershell"}},
		{[]string{"config", "s"}, []string{"set", "show"}},
		{[]string{"help", "config", ""}, []string{"list", "path", "set", "show", "unset"}},
		{[]string{"config", "set", "s3"}, []string{"s3_endpoint", "s3_region"}},
		{[]string{"config", "unset", "access"}, []string{"access_key_id", "access_key_secret"}},
		{[]string{"config", "set", "access"}, []string{}},
		{[]string{"config", "set", "s3_region", ""}, []string{}},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			if diff := cmp.Diff(test.want, complete(t, test.args...)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	t.Setenv("EASCMD_CONFIG", file)
	if diff := cmp.Diff([]string{"beijing", "berlin", "default"}, complete(t, "config", "show", "--profile", "")); diff != "" {
		t.Errorf("file from the environment: -want +got:\n%s", diff)
	}
}

func TestCompletionScripts(t *testing.T) {
	emptyHome(t)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		t.Run(shell, func(t *testing.T) {
			got := runMain(t, "", "completion", shell)
			if got.status != 0 || !strings.Contains(got.stdout, "eascmd") || got.stderr != "" {
				t.Fatalf("status %d, %d bytes, %q", got.status, len(got.stdout), got.stderr)
			}
			path, err := exec.LookPath(shell)
			if err != nil || shell == "powershell" {
				t.Skip("no shell to check the script with: ", shell)
			}
			check := exec.CommandContext(t.Context(), path, "-n")
			check.Stdin = strings.NewReader(got.stdout)
			if output, err := check.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, output)
			}
		})
	}
}
