package dockertest

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Where no registry can be reached the image is made, and the next time what
// was made is taken.
func TestEnsureBaseWithoutRegistry(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("missing: root on Linux, to make an image with debootstrap")
	}
	if _, err := exec.LookPath("debootstrap"); err != nil {
		t.Skip("missing: debootstrap")
	}
	e := Isolated(t, Options{Offline: true})
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, from := range []string{"debootstrap", "cache"} {
		t.Run("from "+from, func(t *testing.T) {
			if err := e.inner.do(t.Context(), http.MethodDelete, "/images/"+BaseImage, nil, nil, nil); err != nil {
				t.Fatal(err)
			}
			if from == "cache" {
				t.Setenv("PATH", "")
			}
			var log strings.Builder
			if err := EnsureBase(t.Context(), e.Host(), &log); err != nil {
				if strings.Contains(err.Error(), "debootstrap: ") {
					t.Skipf("missing: Debian's packages (%v)", err)
				}
				t.Fatal(err)
			}
			if made := strings.Contains(log.String(), "debootstrap"); made != (from == "debootstrap") {
				t.Errorf("what was done: %s", log.String())
			}
			out, err := e.inner.run(t, nil, "cat", "/etc/debian_version")
			if err != nil || !strings.HasPrefix(out, "12") {
				t.Errorf("printed %q, %v; want Debian 12", out, err)
			}
		})
	}
}

// daemon serves the engine's API in the way that a test wants, on a Unix
// socket, and returns its address.
func daemon(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dockertest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return "unix://" + path
}

func TestPullGivesUp(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		handler    http.HandlerFunc
	}{
		{
			"no answer", "no registry answers",
			func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		},
		{
			"no progress", "no registry answers",
			func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusOK)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			},
		},
		{
			"refused", "no such host",
			func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusInternalServerError)
				io.WriteString(w, `{"message": "no such host"}`)
			},
		},
		{
			"failed midway", "layer broken",
			func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, `{"status": "Pulling"}{"error": "layer broken"}`)
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := newClient(daemon(t, tt.handler))
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			within := time.Minute
			if strings.HasPrefix(tt.want, "no registry") {
				within = 50 * time.Millisecond
			}
			if err := c.pull(t.Context(), BaseImage, within); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
