package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/controlplane"
)

// TestReading asks a control plane about a service, in all formats.
func TestReading(t *testing.T) {
	newCloud(t, controlplane.Delays{})
	must(t, 0, "create", describe(t, echoJSON, "test-token", "m", 1), "--label", "team=search")

	for _, tt := range []struct {
		command string
		args    []string
		want    string // in the table
	}{
		{"list", []string{"ls"}, `\| echo +\| cn-test \| +1 \| .* \| Running \|`},
		{"list", []string{"list", "--name", "ech", "--status", "running", "--label", "team=search"}, `\| echo `},
		{"desc", []string{"desc", "echo"}, `AccessToken \| test-token `},
		{"versions", []string{"versions", "echo"}, `\| +1 \| \* +\| .* \| http://models\.example/m\.tar\.gz \|`},
		{"showworkers", []string{"w", "echo"}, `\| \[1/1\] +\|`},
		{"log", []string{"log", "echo"}, `(?m)^ready$`},
		{"log", []string{"logs", "echo", "--since", "1h", "--tail", "1"}, `ready`},
		{"events", []string{"events", "echo", "--since", "1h"}, `Normal`},
		{"release", []string{"release", "echo", "--weight", "40"}, `after +\| +40 \|`},
		{"autoscale", []string{"autoscale", "cn-test/echo", "-Dmin=2", "-Dmax=5", "-Dstrategies.qps=10"}, `Strategies\.qps \| 10 `},
		{"autoscale", []string{"autoscale", "echo"}, `Max \| 5 `},
		{"autoscale", []string{"autoscale", "echo", "-Dmax=6"}, `(?s)Min \| 2 .*Max \| 6 .*qps \| 10 `},
		{"autoscale rm", []string{"autoscale", "rm", "echo", "-y"}, `RequestId`},
		{"scale", []string{"scale", "echo", "2"}, `RequestId`},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			got := must(t, 0, tt.args...)
			if !regexp.MustCompile(tt.want).MatchString(got.stdout) {
				t.Errorf("there is no %q in\n%s", tt.want, got.stdout)
			}
			if tt.command == "autoscale rm" {
				return // there is nothing to remove any more
			}
			follows(t, tt.command, must(t, 0, append(tt.args, "-o", "json")...).stdout)
			if got := must(t, 0, append(tt.args, "-o", "yaml")...); strings.HasPrefix(got.stdout, "{") || got.stdout == "" {
				t.Errorf("no YAML:\n%s", got.stdout)
			}
		})
	}

	// None of them goes with a filter that nothing fits.
	if got := must(t, 0, "list", "--status", "Failed"); strings.Contains(got.stdout, "echo") || strings.Contains(got.stderr, "known") {
		t.Errorf("%s%s", got.stdout, got.stderr)
	}
	if got := must(t, 0, "list", "--status", "Lost"); !strings.Contains(got.stderr, "[WARN] no service is Lost; the states that are known are Creating, ") {
		t.Errorf("%s", got.stderr)
	}
	if got := must(t, 0, "log", "echo", "--keyword", "nobody writes this"); got.stdout != "" || got.stderr != "there are no such lines\n" {
		t.Errorf("%s%s", got.stdout, got.stderr)
	}
}

func TestReadingRefusals(t *testing.T) {
	newCloud(t, controlplane.Delays{})
	must(t, 0, "create", describe(t, echoJSON, "test-token", "m", 1))
	must(t, 0, "create", describe(t, `{"name":"member","processor":"pmml","model_path":"http://models.example/m.tar.gz","metadata":{"instance":1,"group":"crowd"}}`))
	worker := regexp.MustCompile(`echo-\S+`).FindString(must(t, 0, "w", "echo").stdout)
	for _, tt := range []struct {
		args   []string
		status int
		want   string // on standard error
	}{
		{[]string{"desc", "nothere"}, 7, "nothere"},
		{[]string{"log", "nothere", "-f"}, 7, "nothere"},
		{[]string{"events", "nothere", "-f"}, 7, "nothere"},
		{[]string{"log", "echo", "-f", "--worker", "none"}, 2, `has no instance "none"`},
		{[]string{"log", "echo", "--worker", "none"}, 2, "service echo has no instance \"none\"\neascmd: hint: there is echo-"},
		{[]string{"events", "echo", "--worker", "none"}, 2, "hint: there is echo-"},
		{[]string{"events", "echo", "-f", "--worker", "none"}, 2, "hint: there is echo-"},
		{[]string{"dw", "echo", "none", "-y"}, 2, "hint: there is echo-"},
		{[]string{"log", "nothere", "--worker", "none"}, 7, "nothere"},
		{[]string{"autoscale", "echo"}, 7, "autoscale echo -Dmin=1"},
		{[]string{"autoscale", "cn-other/echo", "-Dmin=1"}, 2, "not in the profile's region, which is cn-test"},
		{[]string{"autoscale", "echo", "-Dmin=3", "-Dmax=2", "-Dstrategies.qps=1"}, 2, "min is 3 and max 2"},
		{[]string{"autoscale", "echo", "-Dinstances=3"}, 2, `there is no rule "instances"`},
		{[]string{"autoscale", "echo", "-s", "none.json"}, 3, "none.json"},
		{[]string{"release", "echo"}, 2, "neither --weight nor --traffic-state"},
		{[]string{"release", "echo", "--weight", "2000"}, 2, "from -1 to 1000"},
		{[]string{"release", "echo", "--traffic-state", "x"}, 2, "standalone or grouping"},
		{[]string{"scale", "echo", "many"}, 2, "\"many\" is no number of instances"},
		{[]string{"dw", "echo", worker}, 2, "Are you sure to delete the instances [" + worker + "] of service [echo] in [cn-test]"},
		{[]string{"dw", "echo", ","}, 2, "the list of instances is empty"},
		{[]string{"autoscale", "rm", "echo"}, 2, "Are you sure to remove the rules"},
		{[]string{"list", "--label", "x"}, 2, "--label x: write name=value"},
		{[]string{"invoke", "nothere"}, 7, "nothere"},
		{[]string{"invoke", "crowd"}, 7, "hint: crowd is a group of services: call it by its URL"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			got := must(t, tt.status, tt.args...)
			if !strings.Contains(got.stderr, tt.want) || got.stdout != "" {
				t.Errorf("there is no %q in\n%s\nstandard output:\n%s", tt.want, got.stderr, got.stdout)
			}
		})
	}
}

// Deleting an instance puts a new one in its place.
func TestDeleteWorkers(t *testing.T) {
	newCloud(t, controlplane.Delays{})
	must(t, 0, "create", describe(t, echoJSON, "test-token", "m", 1))
	name := regexp.MustCompile(`echo-\S+`).FindString(must(t, 0, "w", "echo").stdout)
	if name == "" {
		t.Fatal("no instance is listed")
	}
	got := must(t, 0, "dw", "echo", name, "-y")
	if want := "[OK] Instance(s) [" + name + "] for service [echo] in region [cn-test] was deleted successfully"; !strings.Contains(got.stderr, want) {
		t.Errorf("there is no %q in\n%s", want, got.stderr)
	}
	if !strings.Contains(got.stderr, "region cn-test, profile default") {
		t.Errorf("it does not say where:\n%s", got.stderr)
	}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if now := must(t, 0, "w", "echo").stdout; !strings.Contains(now, name) && strings.Contains(now, "[1/1]") {
			return
		} else if time.Since(begin) > time.Minute {
			t.Fatalf("no new instance:\n%s", now)
		}
	}
}

// watchedOutput is a standard output that somebody waits for.
type watchedOutput struct {
	mu   sync.Mutex
	text bytes.Buffer
	when string // closes seen when it is there
	seen chan struct{}
	once sync.Once
	err  error // of every write
}

func (w *watchedOutput) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	w.text.Write(p)
	if strings.Contains(w.text.String(), w.when) {
		w.once.Do(func() { close(w.seen) })
	}
	return len(p), nil
}

// Following ends with what ends the program, without an error, and prints an
// object a line where JSON is asked for.
func TestFollowingEnds(t *testing.T) {
	newCloud(t, controlplane.Delays{})
	must(t, 0, "create", describe(t, echoJSON, "test-token", "m", 1))
	for _, tt := range []struct {
		command string
		args    []string
		when    string
	}{
		{"log", []string{"log", "echo", "-f"}, "ready\n"},
		{"log", []string{"log", "echo", "-f", "-o", "json"}, `"text":"ready"}` + "\n"},
		{"log", []string{"log", "echo", "-f", "-o", "yaml"}, "- instance: "},
		{"events", []string{"events", "echo", "-f"}, "Normal"},
		{"events", []string{"events", "echo", "-f", "-o", "json"}, "}\n"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out := &watchedOutput{when: tt.when, seen: make(chan struct{})}
			var talk bytes.Buffer
			go func() {
				select {
				case <-out.seen:
					cancel()
				case <-ctx.Done():
				}
			}()
			status := Main(ctx, tt.args, strings.NewReader(""), out, &talk)
			if status != 0 || talk.Len() > 0 || !strings.Contains(out.text.String(), tt.when) {
				t.Errorf("status %d\nstandard output:\n%s\nstandard error:\n%s", status, out.text.String(), talk.String())
			}
			if strings.HasSuffix(strings.Join(tt.args, " "), "json") {
				follows(t, tt.command, out.text.String())
				for line := range strings.Lines(out.text.String()) {
					if !strings.HasPrefix(line, "{") || !strings.HasSuffix(line, "}\n") {
						t.Errorf("%q is no object on a line of its own", line)
					}
				}
			}
		})
	}
	// Nobody reads any more.
	if status := Main(t.Context(), []string{"log", "echo", "-f"}, strings.NewReader(""), &watchedOutput{err: io.ErrClosedPipe}, io.Discard); status != 0 {
		t.Errorf("status %d", status)
	}
	if status := Main(t.Context(), []string{"log", "echo", "-f"}, strings.NewReader(""), &watchedOutput{err: errors.New("disk full")}, io.Discard); status != 1 {
		t.Errorf("status %d", status)
	}
}

// A named service is called at its endpoint with its token, which need not be
// known.
func TestInvokeService(t *testing.T) {
	newCloud(t, controlplane.Delays{})
	must(t, 0, "create", describe(t, echoJSON, "test-token", "m", 1))
	for _, auth := range []string{"token", "bearer", "signature"} {
		got := must(t, 0, "invoke", "echo", "--data", "hello", "--auth", auth, "--wait-ready=1m", "-v")
		if strings.Contains(got.stderr+got.stdout, "test-token") || !strings.Contains(got.stderr, "200 OK after") {
			t.Errorf("%s: %s", auth, got.stderr)
		}
	}
	follows(t, "invoke", must(t, 0, "invoke", "echo", "--data", "hello", "-o", "json").stdout)
}
