package onengine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/controlplane"
	"github.com/openeas/eascmd/pkg/controlplane/onengine"
	"github.com/openeas/eascmd/pkg/engine/docker"
	"github.com/openeas/eascmd/pkg/engine/enginetest"
	"github.com/openeas/eascmd/pkg/engine/process"
	"github.com/openeas/eascmd/pkg/service"
)

// TestMain lets the test's own executable be the eascmd that the engine starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		os.Exit(enginetest.Serve(os.Args[2:], process.EnterPrivateRoot))
	}
	// The race detector lets every program linger for a second.
	os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what has to happen.
const patience = 2 * time.Minute

// hostCache is where the hosts of all tests are built, once.
var hostCache = sync.OnceValues(func() (string, error) {
	base, err := os.UserCacheDir()
	return filepath.Join(base, "eascmd"), err
})

// options returns those of a runner whose state goes into directories of the
// test, which have to be empty at its end.
func options(t *testing.T) onengine.Options {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("missing: Linux, for processors without containers")
	}
	state, err := os.MkdirTemp("/tmp", "cp-") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	t.Setenv("XDG_RUNTIME_DIR", state)
	t.Setenv("TMPDIR", state)
	t.Cleanup(func() {
		for _, pattern := range []string{"eascmd*/run-*", "eascmd*/*.lock"} {
			if left, _ := filepath.Glob(filepath.Join(state, pattern)); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		}
	})
	cache, err := hostCache()
	if err != nil {
		t.Skipf("missing: a cache directory (%v)", err)
	}
	return onengine.Options{CacheDir: cache}
}

// echoPackage builds the echo processor's package.
var echoPackage = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "echo-")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, os.DirFS("../../../examples/echo")); err != nil {
		return "", err
	}
	for _, goal := range []string{"clean", "package"} {
		if out, err := exec.Command("make", "-C", dir, goal).CombinedOutput(); err != nil {
			return "", fmt.Errorf("build the echo processor: %w\n%s", err, out)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "build", "echo_processor_release.tar.gz"))
	os.RemoveAll(dir)
	return string(data), err
})

func echo(t *testing.T) (path string) {
	t.Helper()
	for _, program := range []string{"make", "g++"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("missing: %s", program)
		}
	}
	data, err := echoPackage()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "echo.tar.gz")
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const program = `
import os

import allspark


class Answer(allspark.BaseProcessor):
    def initialize(self):
        print("loading", flush=True)

    def process(self, data):
        if data == b"die":
            os._exit(7)
        print("got", data.decode(), flush=True)
        return b"python says " + data, 200


if __name__ == "__main__":
    Answer(worker_threads=2).run()
`

func python(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("missing: python3")
	}
	path := filepath.Join(t.TempDir(), "app.py")
	if err := os.WriteFile(path, []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// life is an instance under test.
type life struct {
	mu      sync.Mutex
	reports []controlplane.Report
	changed chan struct{}
	end     context.CancelFunc
	done    chan error
}

// run starts an instance of a description, whose token is "secret".
func run(t *testing.T, opts onengine.Options, description string) *life {
	t.Helper()
	d, err := service.Parse("service.json", []byte(description))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := &life{changed: make(chan struct{}), end: cancel, done: make(chan error, 1)}
	spec := controlplane.Spec{Service: d.Name, Instance: "one", Version: 1, Description: d, Token: "secret"}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.done <- onengine.New(opts).Run(ctx, spec, l.report)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return l
}

func (l *life) report(r controlplane.Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reports = append(l.reports, r)
	close(l.changed)
	l.changed = make(chan struct{})
}

// wait returns the n-th report, from 1, of a kind that contains a text.
func (l *life) wait(t *testing.T, kind controlplane.ReportKind, text string, n int) controlplane.Report {
	t.Helper()
	timeout := time.After(patience)
	for {
		l.mu.Lock()
		all, changed := slices.Clone(l.reports), l.changed
		l.mu.Unlock()
		seen := 0
		for _, r := range all {
			if r.Kind == kind && strings.Contains(r.Text, text) {
				if seen++; seen == n {
					return r
				}
			}
		}
		select {
		case <-changed:
		case err := <-l.done:
			t.Fatalf("the instance ended: %v\n%+v", err, all)
		case <-timeout:
			t.Fatalf("no report %d %q: %+v", kind, text, all)
		}
	}
}

func (l *life) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-l.done:
		return err
	case <-time.After(patience):
		t.Fatal("the instance goes on")
		return nil
	}
}

func call(t *testing.T, url, token, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	r.Header.Set("Authorization", token)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func TestCPP(t *testing.T) {
	opts, path := options(t), echo(t)
	l := run(t, opts, `{"name":"echo","processor_path":"file://`+path+`","processor_entry":"libecho.so","processor_type":"cpp"}`)
	l.wait(t, controlplane.Step, "Fetching processor from [file://"+path+"]", 1)
	l.wait(t, controlplane.Step, "Successfully downloaded all artifacts", 1)
	url := l.wait(t, controlplane.Ready, "", 1).Endpoint + "/api/predict/echo"
	if status, _ := call(t, url, "wrong", "x"); status != 401 {
		t.Errorf("with a wrong token: %d", status)
	}
	if status, body := call(t, url, "secret", "hello"); status != 200 || !strings.Contains(body, "hello") {
		t.Errorf("answered %d %q", status, body)
	}
	l.wait(t, controlplane.Line, "echo: loaded", 1)
	l.end()
	if err := l.ended(t); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestCPPInAContainer(t *testing.T) {
	program, base := dockertest.Program(t), dockertest.Base(t)
	opts, path := options(t), echo(t)
	daemon, err := docker.Connect(t.Context(), docker.ConnectOptions{Host: dockertest.Host(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	opts.Daemon, opts.Base, opts.Executable = daemon, base, program
	l := run(t, opts, `{"name":"echo","processor_path":"file://`+path+`","processor_entry":"libecho.so","processor_type":"cpp"}`)
	url := l.wait(t, controlplane.Ready, "", 1).Endpoint + "/api/predict/echo"
	if status, body := call(t, url, "secret", "hello"); status != 200 || !strings.Contains(body, "hello") {
		t.Errorf("answered %d %q", status, body)
	}
	l.end()
	if err := l.ended(t); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// A Python program in one file, from a store: it keeps its name.
func TestPython(t *testing.T) {
	opts, path := options(t), python(t)
	opts.Fetch = func(_ context.Context, address string) (string, error) {
		if address != "oss://bucket/dir/app.py" {
			return "", fault.New(fault.Remote, "there is no %s", address)
		}
		stored := filepath.Join(t.TempDir(), "0123456789abcdef") // as a cache names it
		return stored, os.Rename(path, stored)
	}
	l := run(t, opts, `{"name":"py","processor_path":"oss://bucket/dir/app.py","processor_entry":"app.py","processor_type":"python"}`)
	url := l.wait(t, controlplane.Ready, "", 1).Endpoint + "/api/predict/py"
	if status, body := call(t, url, "secret", "hello"); status != 200 || body != "python says hello" {
		t.Errorf("answered %d %q", status, body)
	}
	l.wait(t, controlplane.Line, "got hello", 1)
	call(t, url, "secret", "die")
	down := l.wait(t, controlplane.Down, "", 1)
	if down.Last == nil || down.Last.ExitCode != 7 || down.Last.Reason != "Error" || down.Last.FinishedAt.Before(down.Last.StartedAt) {
		t.Errorf("the end of the worker: %+v", down.Last)
	}
	l.wait(t, controlplane.Ready, "", 2)
	if status, _ := call(t, url, "secret", "again"); status != 200 {
		t.Errorf("after the restart: %d", status)
	}
	l.end()
	if err := l.ended(t); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestFailures(t *testing.T) {
	opts := options(t)
	opts.Fetch = func(_ context.Context, address string) (string, error) {
		return "", fault.New(fault.Remote, "there is no %s", address)
	}
	broken := filepath.Join(t.TempDir(), "app.py")
	if err := os.WriteFile(broken, []byte("import allspark\nraise SystemExit('no model')\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, description, reason, message, log string }{
		{"missing object", `{"name":"x","processor_path":"oss://bucket/p.tar.gz","processor_entry":"a.so","processor_type":"cpp"}`,
			"DOWNLOAD_FAILED", "Failed to download artifacts: there is no oss://bucket/p.tar.gz", "[ERROR] Failed to download"},
		{"missing file", `{"name":"x","processor_path":"file:///nowhere/p.tar.gz","processor_entry":"a.so","processor_type":"cpp"}`,
			"DOWNLOAD_FAILED", "/nowhere/p.tar.gz", "[ERROR] Failed to download"},
		{"another entry", `{"name":"x","processor_path":"file://` + broken + `","processor_entry":"other.py","processor_type":"python"}`,
			"PROCESSOR_INVALID", "no file other.py", "[ERROR] processor_entry"},
		{"ends by itself", `{"name":"x","processor_path":"file://` + broken + `","processor_entry":"app.py","processor_type":"python"}`,
			"INSTANCE_CRASHED", "Instance crashed, please inspect instance log.", "no model"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Contains(tt.description, "python") {
				python(t)
			}
			l := run(t, opts, tt.description)
			err := l.ended(t)
			f, ok := errors.AsType[*controlplane.Failure](err)
			if !ok || f.Reason != tt.reason || !strings.Contains(f.Message, tt.message) {
				t.Fatalf("ended with %#v", err)
			}
			l.done <- err
			l.mu.Lock()
			defer l.mu.Unlock()
			if !slices.ContainsFunc(l.reports, func(r controlplane.Report) bool {
				return r.Kind == controlplane.Line && strings.Contains(r.Text, tt.log)
			}) {
				t.Errorf("no line with %q: %+v", tt.log, l.reports)
			}
		})
	}
}
