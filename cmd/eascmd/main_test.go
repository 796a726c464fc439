package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/config"
)

// outcome is what a run of the program left behind.
type outcome struct {
	stdout, stderr string
	status         int
}

// runMain runs the program with a home directory and an environment of its own.
func runMain(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := Main(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return outcome{stdout.String(), stderr.String(), status}
}

// emptyHome gives the test a home directory without a configuration and an
// environment without our variables.
func emptyHome(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("USERPROFILE", dir)
	for _, name := range []string{
		"EASCMD_OUTPUT", "EASCMD_CONFIG", "EASCMD_PROFILE", "EASCMD_VERBOSE", "EASCMD_CA_BUNDLE",
	} {
		t.Setenv(name, "")
	}
	for _, key := range config.Keys() {
		for _, name := range config.EnvNames(key) {
			t.Setenv(name, "")
		}
	}
	return dir
}

func TestWrongUsage(t *testing.T) {
	emptyHome(t)
	tests := []struct {
		args   []string
		stderr string
	}{
		{[]string{"confg"}, "eascmd: error: there is no command \"confg\"\neascmd: hint: did you mean `eascmd config`?\n"},
		{[]string{"confg", "--port", "1"}, "eascmd: error: there is no command \"confg\"\neascmd: hint: did you mean `eascmd config`?\n"},
		{[]string{"-o", "yaml", "xyzzy"}, "eascmd: error: there is no command \"xyzzy\"\neascmd: hint: `eascmd --help` lists the commands\n"},
		{[]string{"config", "shoow"}, "eascmd: error: there is no command \"config shoow\"\neascmd: hint: did you mean `eascmd config show`?\n"},
		{[]string{"help", "config", "shoow"}, "eascmd: error: there is no command \"config shoow\"\neascmd: hint: did you mean `eascmd config show`?\n"},
		{[]string{"help", "xyzzy"}, "eascmd: error: there is no command \"xyzzy\"\neascmd: hint: `eascmd --help` lists the commands\n"},
		{[]string{"config", "show", "x"}, "eascmd: error: `eascmd config show` takes no arguments, but there is \"x\"\neascmd: hint: see `eascmd config show --help`\n"},
		{[]string{"config", "--secret-stdn"}, "eascmd: error: unknown flag: --secret-stdn\neascmd: hint: did you mean --secret-stdin? see `eascmd config --help`\n"},
		{[]string{"version", "--output"}, "eascmd: error: flag needs an argument: --output\neascmd: hint: see `eascmd version --help`\n"},
		{[]string{"version", "-o", "xml"}, "eascmd: error: --output xml: the formats are table, json, yaml\neascmd: hint: see `eascmd version --help`\n"},
		{[]string{"test", "--port", "abc"}, "eascmd: error: --port abc: a whole number is needed\neascmd: hint: see `eascmd test --help`\n"},
		{[]string{"test", "--port", "99999999999999999999"}, "eascmd: error: --port 99999999999999999999: the number is too large or too small\neascmd: hint: see `eascmd test --help`\n"},
		{[]string{"test", "--timeout", "1"}, "eascmd: error: --timeout 1: a time has a unit: write 1s\neascmd: hint: see `eascmd test --help`\n"},
		{[]string{"test", "--load-timeout", "soon"}, "eascmd: error: --load-timeout soon: a time is a number with a unit, such as 500ms, 30s or 5m\neascmd: hint: see `eascmd test --help`\n"},
		{[]string{"test", "--keep=maybe"}, "eascmd: error: --keep maybe: write true or false\neascmd: hint: see `eascmd test --help`\n"},
		{[]string{"test", "--body-limit", "x"}, "eascmd: error: --body-limit x: a size is a number with an optional unit, such as 64MiB\neascmd: hint: see `eascmd test --help`\n"},
		{[]string{"test", "--body-limit", "4GiB", "x.json"}, "eascmd: error: --body-limit 4294967296: at most 2147483647 bytes, which is what a processor's input_size can tell\n"},
		{[]string{"version", "-x"}, "eascmd: error: unknown shorthand flag: 'x' in -x\neascmd: hint: see `eascmd version --help`\n"},
		{[]string{"scale", "echo", "-1"}, "eascmd: error: -1: a number cannot be negative here\neascmd: hint: see `eascmd scale --help`\n"},
		{[]string{"version", "echo"}, "eascmd: error: the number of the version is missing\neascmd: hint: usage: eascmd version [SERVICE VERSION]; see `eascmd version --help`\n"},
		{[]string{"completion"}, "eascmd: error: the name of the shell is missing\neascmd: hint: usage: eascmd completion bash|zsh|fish|powershell; see `eascmd completion --help`\n"},
		{[]string{"completion", "bash", "zsh"}, "eascmd: error: there is an argument too many: \"zsh\"\neascmd: hint: usage: eascmd completion bash|zsh|fish|powershell; see `eascmd completion --help`\n"},
		{[]string{"completion", "ksh"}, "eascmd: error: there is no completion for \"ksh\"\neascmd: hint: the shells are bash, zsh, fish, powershell\n"},
		{[]string{"a\x1b[2Jb"}, "eascmd: error: there is no command \"a\\x1b[2Jb\"\neascmd: hint: `eascmd --help` lists the commands\n"},
		{[]string{"-o", "json", "confg"}, `{"error":{"kind":"usage","exit":2,"message":"there is no command \"confg\"","hint":"did you mean ` + "`eascmd config`" + `?"}}` + "\n"},
		{[]string{"config", "--nope", "--output=json"}, `{"error":{"kind":"usage","exit":2,"message":"unknown flag: --nope","hint":"see ` + "`eascmd config --help`" + `"}}` + "\n"},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			want := outcome{"", test.stderr, 2}
			if diff := cmp.Diff(want, runMain(t, "", test.args...), cmp.AllowUnexported(outcome{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestJSONErrorFromEnvironment(t *testing.T) {
	emptyHome(t)
	t.Setenv("EASCMD_OUTPUT", "json")
	for _, args := range [][]string{{"xyzzy"}, {"config", "show", "--profile", "nope"}} {
		got := runMain(t, "", args...)
		if !strings.HasPrefix(got.stderr, `{"error":{"kind":"`) || !strings.HasSuffix(got.stderr, "}}\n") || got.status == 0 {
			t.Errorf("%q: status %d, standard error %q", args, got.status, got.stderr)
		}
	}
}

func TestInterruptedIsStatus130(t *testing.T) {
	emptyHome(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(context.DeadlineExceeded)
	var stderr bytes.Buffer
	a := newApp(strings.NewReader(""), &bytes.Buffer{}, &stderr)
	if got := a.exit(ctx, ctx.Err()); got != 130 {
		t.Errorf("status %d, want 130", got)
	}
	if got, want := stderr.String(), "eascmd: error: interrupted\n"; got != want {
		t.Errorf("standard error %q, want %q", got, want)
	}
}
