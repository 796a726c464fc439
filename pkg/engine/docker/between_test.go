//go:build unix

package docker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/pkg/engine/enginetest"
	"github.com/openeas/eascmd/pkg/runplan"
)

// between puts a proxy between us and the daemon of the tests, and returns the
// proxy's address. seen is called with every request before the daemon has it.
func between(t *testing.T, seen func(*http.Request)) string {
	t.Helper()
	address, ok := strings.CutPrefix(dockertest.Host(t), "unix://")
	if !ok {
		t.Skip("missing: a Docker Engine at a Unix socket")
	}
	dir, err := os.MkdirTemp("/tmp", "prx") // short, for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", address)
	}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "docker"
		},
		Transport:     transport,
		FlushInterval: -1,
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen(r)
		proxy.ServeHTTP(w, r)
	})}}
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	return "unix://" + filepath.Join(dir, "s")
}

// Whoever ends while the daemon makes something leaves nothing of it.
func TestInterruptedWhileMaking(t *testing.T) {
	for _, what := range []string{"/containers/create", "/volumes/create", "/archive", "/start"} {
		t.Run(strings.ReplaceAll(what[1:], "/", "-"), func(t *testing.T) {
			owner, leftovers := state(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			d := daemon(t, between(t, func(r *http.Request) {
				if strings.HasSuffix(r.URL.Path, what) && r.Method != http.MethodGet {
					cancel()
				}
			}))
			plan, dir := enginetest.Plan(t, Workspace)
			run, err := New(Options{
				Daemon: d, Workspace: dir, Executable: dockertest.Program(t), Base: dockertest.Base(t), Copy: true,
			}).Start(ctx, plan)
			if err == nil {
				run.Close()
				t.Fatal("it was started")
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("it was interrupted, and says %v", err)
			}
			if left := append(owned(t, d, owner), leftovers(t)...); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// Runs that start at the same time send the files that they share once: what one
// reads another never writes.
func TestCopiesAtTheSameTime(t *testing.T) {
	owner, leftovers := state(t)
	var sent atomic.Int64
	d := daemon(t, between(t, func(r *http.Request) {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/archive") {
			r.Body = &tallied{r.Body, &sent}
		}
	}))
	model := t.TempDir()
	const size = 64 << 20
	if err := os.WriteFile(filepath.Join(model, "file"), bytes.Repeat([]byte("content\n"), size/8), 0o644); err != nil {
		t.Fatal(err)
	}
	const runs = 4
	plans, dirs := make([]*runplan.Plan, runs), make([]string, runs)
	for i := range runs {
		plans[i], dirs[i] = enginetest.Plan(t, Workspace)
	}
	program, base := dockertest.Program(t), dockertest.Base(t)
	var all sync.WaitGroup
	for i := range runs {
		all.Go(func() {
			run, err := New(Options{
				Daemon: d, Workspace: dirs[i], Executable: program, Base: base, Copy: true, Mounts: []Mount{{model, "model", false}},
			}).Start(t.Context(), plans[i])
			if err != nil {
				t.Error(err)
				return
			}
			go run.Close()
			for range run.Events() {
			}
			if err := run.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if sent := sent.Load(); sent > 2*size {
		t.Errorf("%d runs have sent %d MB for a model of %d MB", runs, sent>>20, size>>20)
	}
	if left := append(owned(t, d, owner), leftovers(t)...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

type tallied struct {
	io.ReadCloser
	n *atomic.Int64
}

func (t *tallied) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.n.Add(int64(n))
	return n, err
}

// A name that is made of the content must not be given to another content.
func TestFileThatChangesWhileItIsCopied(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, time.Time{}, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	f := file{path: "file", source: name, info: info}
	change := func(int) {
		if err := os.WriteFile(name, []byte("after!"), 0o644); err != nil {
			t.Error(err)
		}
	}
	if err := copyFile(t.Context(), io.Discard, f, true, func(int) {}); err != nil {
		t.Errorf("a file that does not change: %v", err)
	}
	if err := copyFile(t.Context(), io.Discard, f, true, change); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("a file that changes: %v", err)
	}
	if err := copyFile(t.Context(), io.Discard, f, false, change); err != nil {
		t.Errorf("a file of the run's own: %v", err)
	}
}
