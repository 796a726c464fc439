package docker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/system"
	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/internal/fault"
)

func TestConnect(t *testing.T) {
	host := dockertest.Host(t)
	start := time.Now()
	d, err := Connect(t.Context(), ConnectOptions{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	t.Logf("%v, Docker %s, API %s", time.Since(start), d.Info.ServerVersion, d.ClientVersion())
	if d.Endpoint != host || d.Source != "the address given" {
		t.Errorf("endpoint %q from %q, want %q from the address given", d.Endpoint, d.Source, host)
	}
	if d.Info.ID == "" || d.Info.DockerRootDir == "" || d.Podman() || !d.Local() {
		t.Errorf("ID %q, root %q, Podman %v, local %v", d.Info.ID, d.Info.DockerRootDir, d.Podman(), d.Local())
	}
	if _, err := d.ContainerList(t.Context(), container.ListOptions{}); err != nil {
		t.Error("a call after connecting:", err)
	}
}

func BenchmarkConnect(b *testing.B) {
	host := dockertest.Host(b)
	for b.Loop() {
		d, err := Connect(b.Context(), ConnectOptions{Host: host})
		if err != nil {
			b.Fatal(err)
		}
		d.Close()
	}
}

// fakeDaemon answers as a daemon of a version does. It has one container, "x",
// whose streams come back as they are.
type fakeDaemon struct {
	version string // of the daemon; empty means "28.0.0"
	api     string // the newest that it speaks; empty means 1.51
	min     string // the oldest; empty means 1.24
	podman  bool
	info    system.Info

	calls atomic.Int32
}

func (f *fakeDaemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.calls.Add(1)
	api, minimum := f.api, f.min
	if api == "" {
		api = "1.51"
	}
	if minimum == "" {
		minimum = "1.24"
	}
	w.Header().Set("Api-Version", api)
	if f.podman {
		w.Header().Set("Libpod-Api-Version", "5.4.0")
	}
	fail := func(status int, format string, args ...any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(types.ErrorResponse{Message: fmt.Sprintf(format, args...)})
	}
	if r.URL.Path == "/_ping" {
		io.WriteString(w, "OK")
		return
	}
	asked, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/")
	if len(asked) == len(minimum) && asked < minimum {
		fail(400, "client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", asked, minimum)
		return
	}
	if len(asked) == len(api) && asked > api {
		fail(400, "client version %s is too new. Maximum supported API version is %s", asked, api)
		return
	}
	switch path {
	case "info":
		info := f.info
		info.ServerVersion = f.version
		if info.ServerVersion == "" {
			info.ServerVersion = "28.0.0"
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(info)
	case "containers/x/attach":
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		io.Copy(conn, buffered)
	case "containers/hang/json":
		<-r.Context().Done()
	case "containers/cut/json":
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	case "containers/half/json":
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, `{"Id": "`)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case "containers/full/json":
		fail(500, "mkdir /var/lib/docker/overlay2/f00: no space left on device")
	case "containers/forbidden/json":
		fail(403, "authorization denied by plugin p: no")
	case "containers/conflict/json":
		fail(409, "the name is in use")
	default:
		fail(404, "page not found")
	}
}

// echo proves that a container's streams pass.
func echo(t *testing.T, d *Daemon) {
	t.Helper()
	attached, err := d.ContainerAttach(t.Context(), "x", container.AttachOptions{Stream: true, Stdin: true, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	io.WriteString(attached.Conn, "there and back\n")
	if err := attached.CloseWrite(); err != nil {
		t.Error("closing for writing:", err)
	}
	if back, err := io.ReadAll(attached.Reader); err != nil || string(back) != "there and back\n" {
		t.Errorf("the stream returned %q, %v", back, err)
	}
}

// fakeMachine is one without any daemon, in a directory of its own. Its system
// is below root, and the user's home is /home/u there.
func fakeMachine(t *testing.T, environ ...string) *machine {
	t.Helper()
	// The paths of t.TempDir are too long for sockets.
	root, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	m := &machine{
		goos:       "linux",
		root:       root,
		home:       filepath.Join(root, "home/u"),
		runtimeDir: filepath.Join(root, "run/user/1000"),
		getenv: func(name string) string {
			for _, pair := range environ {
				if value, ok := strings.CutPrefix(pair, name+"="); ok {
					return strings.ReplaceAll(value, "$ROOT", root)
				}
			}
			return ""
		},
		has:      func(string) bool { return false },
		pingTime: 20 * time.Second,
		sshTime:  20 * time.Second,
		infoTime: 20 * time.Second,
	}
	for _, dir := range []string{"var/run", "run/user/1000/podman", "home/u/.docker/desktop", "home/u/.colima/default", "home/u/.colima/arm", "home/u/.rd"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// write makes a file below the machine's root.
func (m *machine) write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.root+path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.root+path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// plain is a text as it is on a machine whose root is /, with the columns of a
// list two spaces apart.
func (m *machine) plain(text string) string {
	return regexp.MustCompile(`(\S)  +`).ReplaceAllString(strings.ReplaceAll(text, m.root, ""), "$1  ")
}

// listen makes a socket below the machine's root.
func (m *machine) listen(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: m.root + path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// serve has a handler answer at a socket below the machine's root.
func (m *machine) serve(t *testing.T, path string, handler http.Handler) {
	t.Helper()
	serveOn(t, m.listen(t, path), handler)
}

func serveOn(t *testing.T, l net.Listener, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = l
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // tests provoke its complaints
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// accept takes connections and hands each to one.
func accept(t *testing.T, l net.Listener, one func(net.Conn)) {
	t.Helper()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go one(conn)
		}
	}()
}

// TestOutcomes has one socket that behaves in some way, and wants what is said
// of it and what is to be done.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	const socket = "/var/run/docker.sock"
	handle := func(answer http.HandlerFunc) func(*testing.T, *machine) {
		return func(t *testing.T, m *machine) { m.serve(t, socket, answer) }
	}
	for _, test := range []struct {
		name    string
		environ []string
		setup   func(*testing.T, *machine)
		want    string
		hint    string
	}{
		{
			name:  "absent",
			setup: func(*testing.T, *machine) {},
			want:  "does not exist",
			hint:  "`sudo service docker start` starts it",
		},
		{
			name: "dangling link",
			setup: func(t *testing.T, m *machine) {
				if err := os.Symlink(m.root+"/nowhere.sock", m.root+socket); err != nil {
					t.Fatal(err)
				}
			},
			want: "is a link to /nowhere.sock, which does not exist",
			hint: "`sudo service docker start` starts it",
		},
		{
			name: "nobody listens",
			setup: func(t *testing.T, m *machine) {
				l := m.listen(t, socket)
				l.SetUnlinkOnClose(false)
				l.Close()
			},
			want: "nobody listens: the daemon has ended",
			hint: "`sudo service docker start` starts it",
		},
		{
			name: "a directory",
			setup: func(t *testing.T, m *machine) {
				if err := os.Mkdir(m.root+socket, 0o755); err != nil {
					t.Fatal(err)
				}
			},
			want: "is a directory, not a socket",
			hint: "a container mounted what did not exist, and so made the directory: `sudo rmdir /var/run/docker.sock`, then `sudo service docker start`",
		},
		{
			name: "never accepts",
			setup: func(t *testing.T, m *machine) {
				m.pingTime = 2 * time.Second
				m.listen(t, socket)
			},
			want: "accepts connections but does not answer within 2s",
			hint: "the daemon hangs, or is overloaded: `sudo tail -n 50 /var/log/docker.log` shows why, `sudo service docker restart` mends it",
		},
		{
			name: "accepts, but never answers",
			setup: func(t *testing.T, m *machine) {
				m.pingTime = 2 * time.Second
				m.write(t, "/run/systemd/system/x", "")
				accept(t, m.listen(t, socket), func(conn net.Conn) {
					defer conn.Close()
					io.Copy(io.Discard, conn)
				})
			},
			want: "accepts connections but does not answer within 2s",
			hint: "the daemon hangs, or is overloaded: `sudo journalctl -u docker -n 50` shows why, `sudo systemctl restart docker` mends it",
		},
		{
			name: "answers a ping only",
			setup: func(t *testing.T, m *machine) {
				m.infoTime = 2 * time.Second
				m.serve(t, socket, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/_ping" {
						<-r.Context().Done()
						return
					}
					new(fakeDaemon).ServeHTTP(w, r)
				}))
			},
			want: "answers a ping, but does not say what it is within 2s",
			hint: "the daemon hangs, or is overloaded: `sudo tail -n 50 /var/log/docker.log` shows why, `sudo service docker restart` mends it",
		},
		{
			name: "closes",
			setup: func(t *testing.T, m *machine) {
				accept(t, m.listen(t, socket), func(conn net.Conn) { conn.Close() })
			},
			want: "closes the connection without an answer",
			hint: "the daemon ended, or was restarted: `sudo tail -n 50 /var/log/docker.log` shows why, `sudo service docker start` starts it",
		},
		{
			name: "garbage",
			setup: func(t *testing.T, m *machine) {
				accept(t, m.listen(t, socket), func(conn net.Conn) {
					defer conn.Close()
					bufio.NewReader(conn).ReadString('\n')
					io.WriteString(conn, "220 mail.example.org ESMTP\r\n")
				})
			},
			want: "something answers, but not as a Docker daemon does",
			hint: "look at what listens there",
		},
		{
			name:  "another web server",
			setup: handle(func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }),
			want:  "something answers, but not as a Docker daemon does",
			hint:  "look at what listens there",
		},
		{
			name:  "one that redirects",
			setup: handle(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }),
			want:  "something answers, but not as a Docker daemon does",
			hint:  "look at what listens there",
		},
		{
			name: "an old daemon",
			setup: func(t *testing.T, m *machine) {
				m.serve(t, socket, &fakeDaemon{api: "1.40"})
			},
			want: "the daemon is too old: it speaks API 1.40, and 1.41 (Docker Engine 20.10) is needed",
			hint: "update Docker to 20.10 or newer",
		},
		{
			name: "a daemon of the future",
			setup: func(t *testing.T, m *machine) {
				m.serve(t, socket, &fakeDaemon{api: "1.99", min: "1.90"})
			},
			want: "client version 1.51 is too old. Minimum supported API version is 1.90, please upgrade your client to a newer version",
			hint: "update eascmd: this daemon no longer speaks its API",
		},
		{
			name:    "a version asked for that is too old",
			environ: []string{"DOCKER_API_VERSION=1.40"},
			setup: func(t *testing.T, m *machine) {
				m.serve(t, socket, &fakeDaemon{})
			},
			want: "DOCKER_API_VERSION=1.40 asks for an API that is too old: 1.41 is needed",
			hint: "`unset DOCKER_API_VERSION`: the version is negotiated with the daemon",
		},
		{
			name:    "a version asked for that is too new",
			environ: []string{"DOCKER_API_VERSION=1.50"},
			setup: func(t *testing.T, m *machine) {
				m.serve(t, socket, &fakeDaemon{api: "1.41"})
			},
			want: "client version 1.50 is too new. Maximum supported API version is 1.41",
			hint: "`unset DOCKER_API_VERSION`: the version is negotiated with the daemon",
		},
		{
			name: "a proxy that forbids /info",
			setup: handle(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/_ping" {
					http.Error(w, "<html>403 Forbidden</html>", http.StatusForbidden)
					return
				}
				new(fakeDaemon).ServeHTTP(w, r)
			}),
			want: "answers, but refuses: <html>403 Forbidden</html>",
			hint: "an authorization plugin or a proxy of the socket forbids the call: it must allow /info, /containers, /images, /volumes and /build, and to change them",
		},
		{
			name:  "a sick daemon",
			setup: handle(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "containerd is\n not here", 500) }),
			want:  "answers with an error: containerd is not here",
			hint:  "the daemon hangs, or is overloaded: `sudo tail -n 50 /var/log/docker.log` shows why, `sudo service docker restart` mends it",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := fakeMachine(t, test.environ...)
			test.setup(t, m)
			got := candidates(t.Context(), ConnectOptions{Host: "unix://" + m.root + socket}, m)
			if len(got) != 1 {
				t.Fatalf("%d places were tried, want the one that was chosen", len(got))
			}
			want := [2]string{test.want, test.hint}
			if diff := cmp.Diff(want, [2]string{m.plain(got[0].Outcome), m.plain(got[0].Hint())}); diff != "" {
				t.Errorf("outcome and hint (-want +got):\n%s", diff)
			}
			_, err := connect(t.Context(), ConnectOptions{Host: "unix://" + m.root + socket}, m)
			if fault.KindOf(err) != fault.Missing {
				t.Fatalf("Connect: %v, of kind %d; want one of kind Missing", err, fault.KindOf(err))
			}
			full := "no Docker daemon answers: unix:///var/run/docker.sock (the address given): " + test.want
			if diff := cmp.Diff(full, m.plain(err.Error())); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoDaemon is the whole error where none of the usual places has one.
func TestNoDaemon(t *testing.T) {
	t.Parallel()
	m := fakeMachine(t)
	m.pingTime = 2 * time.Second
	m.write(t, "/etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n")
	deaf := m.listen(t, "/home/u/.colima/default/docker.sock")
	deaf.SetUnlinkOnClose(false)
	deaf.Close()
	m.serve(t, "/home/u/.colima/arm/docker.sock", &fakeDaemon{api: "1.39"})
	m.listen(t, "/run/user/1000/podman/podman.sock")

	_, err := connect(t.Context(), ConnectOptions{}, m)
	if fault.KindOf(err) != fault.Missing {
		t.Fatalf("error %v of kind %d, want one of kind Missing", err, fault.KindOf(err))
	}
	const want = `no Docker daemon answers:
  /var/run/docker.sock (the usual socket)  does not exist
  /run/user/1000/docker.sock (rootless Docker)  does not exist
  ~/.docker/desktop/docker.sock (Docker Desktop)  does not exist
  ~/.colima/default/docker.sock (Colima default)  nobody listens: the daemon has ended
  ~/.colima/arm/docker.sock (Colima arm)  the daemon is too old: it speaks API 1.39, and 1.41 (Docker Engine 20.10) is needed
  ~/.config/colima/*/docker.sock (Colima)  does not exist
  ~/.rd/docker.sock (Rancher Desktop)  does not exist
  ~/.lima/*/sock/docker.sock (Lima)  does not exist
  /run/finch.sock (Finch)  does not exist
  /run/user/1000/podman/podman.sock (Podman)  accepts connections but does not answer within 2s
  /run/podman/podman.sock (root's Podman)  does not exist`
	if diff := cmp.Diff(want, m.plain(err.Error())); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	// The one that hangs is more likely the one in use than the one that ended.
	const hint = "the daemon hangs, or is overloaded: `journalctl --user -u podman -n 50` shows why, `systemctl --user restart podman.socket` mends it"
	if diff := cmp.Diff(hint, fault.HintOf(err)); diff != "" {
		t.Errorf("hint (-want +got):\n%s", diff)
	}
}

// TestImpatience keeps to the limit of a caller who has less time, and tells it.
func TestImpatience(t *testing.T) {
	t.Parallel()
	m := fakeMachine(t)
	m.listen(t, "/var/run/docker.sock")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	c := candidates(ctx, ConnectOptions{Host: "unix://" + m.root + "/var/run/docker.sock"}, m)[0]
	// It is what was left of the time when the connection stood.
	within, ok := strings.CutPrefix(c.Outcome, "accepts connections but does not answer within ")
	if d, err := time.ParseDuration(within); !ok || err != nil || d <= 0 || d > 2*time.Second {
		t.Errorf("outcome %q, want that nothing answers within the caller's time", c.Outcome)
	}
}

// TestInterrupted ends at once when its caller is interrupted.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	m := fakeMachine(t)
	ctx, cancel := context.WithCancel(t.Context())
	accept(t, m.listen(t, "/var/run/docker.sock"), func(conn net.Conn) {
		defer conn.Close()
		bufio.NewReader(conn).ReadString('\n')
		cancel()
		io.Copy(io.Discard, conn)
	})
	_, err := connect(ctx, ConnectOptions{}, m)
	if !errors.Is(err, context.Canceled) || err.Error() != "looking for a Docker daemon: context canceled" {
		t.Errorf("error %v, want that it was cancelled", err)
	}
}

// TestUsualOrder finds the first of those that answer, whatever lies before it.
func TestUsualOrder(t *testing.T) {
	t.Parallel()
	m := fakeMachine(t)
	stale := m.listen(t, "/var/run/docker.sock")
	stale.SetUnlinkOnClose(false)
	stale.Close()
	podman := &fakeDaemon{version: "5.4.0", podman: true}
	m.serve(t, "/run/user/1000/podman/podman.sock", podman)
	m.serve(t, "/home/u/.colima/arm/docker.sock", &fakeDaemon{version: "27.0.1"})

	d, err := connect(t.Context(), ConnectOptions{}, m)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got := m.plain(d.Endpoint + " " + d.Source + " " + d.Info.ServerVersion); got != "unix:///home/u/.colima/arm/docker.sock Colima arm 27.0.1" {
		t.Errorf("found %s", got)
	}
	if d.ClientVersion() != "1.51" || d.Podman() || !d.Local() {
		t.Errorf("API %s, Podman %v, local %v", d.ClientVersion(), d.Podman(), d.Local())
	}
	if podman.calls.Load() != 0 {
		t.Error("a place after the one that answers was dialled, which wakes what systemd listens for")
	}

	var got []string
	for _, c := range candidates(t.Context(), ConnectOptions{}, m) {
		if c.Answers {
			got = append(got, c.Source+": "+c.Outcome)
		}
	}
	want := []string{"Colima arm: Docker Engine 27.0.1 answers, API 1.51", "Podman: Podman 5.4.0 answers, API 1.51"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Candidates (-want +got):\n%s", diff)
	}
}

// TestLinkedSocket does not try one socket twice because it has two names.
func TestLinkedSocket(t *testing.T) {
	t.Parallel()
	m := fakeMachine(t)
	m.serve(t, "/home/u/.colima/default/docker.sock", &fakeDaemon{})
	if err := os.Symlink(m.root+"/home/u/.colima/default/docker.sock", m.root+"/var/run/docker.sock"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range candidates(t.Context(), ConnectOptions{}, m) {
		if c.Answers {
			got = append(got, m.plain(c.Address))
		}
	}
	if diff := cmp.Diff([]string{"unix:///var/run/docker.sock"}, got); diff != "" {
		t.Errorf("those that answer (-want +got):\n%s", diff)
	}
}

// addContext makes a context of Docker's client in the machine's home; without
// a host it has no daemon.
func (m *machine) addContext(t *testing.T, name, host string, tls *store.EndpointTLSData, skipVerify bool) {
	t.Helper()
	contexts := store.New(filepath.Join(m.configDir(), "contexts"), store.NewConfig(
		func() any { return new(map[string]any) },
		store.EndpointTypeGetter(docker.DockerEndpoint, func() any { return new(docker.EndpointMeta) })))
	meta := store.Metadata{Name: name, Endpoints: map[string]any{}}
	if host != "" {
		meta.Endpoints[docker.DockerEndpoint] = docker.EndpointMeta{Host: host, SkipTLSVerify: skipVerify}
	}
	err := contexts.CreateOrUpdate(meta)
	if err == nil && tls != nil {
		err = contexts.ResetEndpointTLSMaterial(name, docker.DockerEndpoint, tls)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestChoice is which of several daemons is taken, each in its place.
func TestChoice(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		environ []string
		host    string
		config  string
		want    string // endpoint, source, version; or the error
	}{
		{name: "nothing chosen", want: "/var/run/docker.sock (the usual socket): usual"},
		{name: "config.json", config: `{"currentContext": "c1"}`, want: "/c1.sock (the current context c1): c1"},
		{name: "config.json elsewhere", environ: []string{"DOCKER_CONFIG=$ROOT/home/u/.docker"}, config: `{"currentContext": "c1"}`,
			want: "/c1.sock (the current context c1): c1"},
		{name: "the default context of config.json", config: `{"currentContext": "default"}`, want: "/var/run/docker.sock (the usual socket): usual"},
		{name: "DOCKER_CONTEXT before config.json", environ: []string{"DOCKER_CONTEXT=c2"}, config: `{"currentContext": "c1"}`,
			want: "/c2.sock (DOCKER_CONTEXT c2): c2"},
		{name: "the default context before config.json", environ: []string{"DOCKER_CONTEXT=default"}, config: `{"currentContext": "c1"}`,
			want: "/var/run/docker.sock (the usual socket): usual"},
		{name: "DOCKER_HOST before DOCKER_CONTEXT", environ: []string{"DOCKER_HOST=unix://$ROOT/h.sock", "DOCKER_CONTEXT=c2"}, config: `{"currentContext": "c1"}`,
			want: "/h.sock (DOCKER_HOST): h"},
		{name: "the address given before all", environ: []string{"DOCKER_HOST=unix://$ROOT/h.sock", "DOCKER_CONTEXT=c2"}, host: "$ROOT/c1.sock",
			want: "/c1.sock (the address given): c1"},
		{name: "only what was chosen", environ: []string{"DOCKER_HOST=unix://$ROOT/gone.sock"},
			want: "no Docker daemon answers: unix:///gone.sock (DOCKER_HOST): does not exist\n" +
				"start the daemon there; `unset DOCKER_HOST` has the usual places tried"},
		{name: "a context that is gone", environ: []string{"DOCKER_CONTEXT=c3"},
			want: "no Docker daemon answers: DOCKER_CONTEXT c3: there is no such context, only c1, c2, empty\n" +
				"`docker context ls` lists the contexts, `unset DOCKER_CONTEXT` leaves them"},
		{name: "a current context that is gone", config: `{"currentContext": "c3"}`,
			want: "no Docker daemon answers: the current context c3: there is no such context, only c1, c2, empty\n" +
				"`docker context ls` lists the contexts, `docker context use default` leaves them"},
		{name: "a context without a daemon", environ: []string{"DOCKER_CONTEXT=empty"},
			want: "no Docker daemon answers: DOCKER_CONTEXT empty: the context names no Docker daemon\n" +
				"`docker context ls` lists the contexts, `unset DOCKER_CONTEXT` leaves them"},
		{name: "a configuration that cannot be read", config: `{"currentContext": `, want: "/var/run/docker.sock (the usual socket): usual"},
		{name: "a path for an address", environ: []string{"DOCKER_HOST=/var/run/docker.sock"},
			want: "no Docker daemon answers: /var/run/docker.sock (DOCKER_HOST): is not the address of a daemon\n" +
				"the address of a socket is written unix:///var/run/docker.sock"},
		{name: "another scheme", environ: []string{"DOCKER_HOST=ftp://example.org"},
			want: "no Docker daemon answers: ftp://example.org (DOCKER_HOST): is not the address of a daemon\n" +
				"an address is unix:///path, tcp://host:port or ssh://user@host"},
		{name: "a password in an address", environ: []string{"DOCKER_HOST=ssh://u:secret@example.org"},
			want: "no Docker daemon answers: ssh://u:xxxxx@example.org (DOCKER_HOST): is not the address of a daemon\n" +
				"ssh takes no password from an address; use a key"},
		{name: "a pipe", environ: []string{"DOCKER_HOST=npipe:////./pipe/docker_engine"},
			want: "no Docker daemon answers: npipe:////./pipe/docker_engine (DOCKER_HOST): named pipes are Windows' own\n" +
				"an address here is unix:///path, tcp://host:port or ssh://user@host"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := fakeMachine(t, test.environ...)
			m.serve(t, "/var/run/docker.sock", &fakeDaemon{version: "usual"})
			m.serve(t, "/h.sock", &fakeDaemon{version: "h"})
			for _, name := range []string{"c1", "c2"} {
				m.serve(t, "/"+name+".sock", &fakeDaemon{version: name})
				m.addContext(t, name, "unix://"+m.root+"/"+name+".sock", nil, false)
			}
			m.addContext(t, "empty", "", nil, false)
			if test.config != "" {
				m.write(t, "/home/u/.docker/config.json", test.config)
			}
			host := ""
			if test.host != "" {
				host = "unix://" + strings.ReplaceAll(test.host, "$ROOT", m.root)
			}
			d, err := connect(t.Context(), ConnectOptions{Host: host}, m)
			var got string
			if err != nil {
				got = m.plain(err.Error() + "\n" + fault.HintOf(err))
			} else {
				defer d.Close()
				got = fmt.Sprintf("%s (%s): %s", m.plain(strings.TrimPrefix(d.Endpoint, "unix://")), d.Source, d.Info.ServerVersion)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestUnreadableConfig tells of a configuration that cannot be read where no
// daemon answers, which may be why.
func TestUnreadableConfig(t *testing.T) {
	t.Parallel()
	m := fakeMachine(t)
	m.write(t, "/home/u/.docker/config.json", `{"currentContext": `)
	_, err := connect(t.Context(), ConnectOptions{}, m)
	if err == nil {
		t.Fatal("a daemon was found")
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(m.plain(err.Error()), "no Docker daemon answers:\n"), "\n")
	if want := "  /home/u/.docker/config.json  cannot be read: parsing config file (/home/u/.docker/config.json): unexpected EOF"; first != want {
		t.Errorf("the first line is\n%s\nwant\n%s", first, want)
	}
	if got, want := fault.HintOf(err), "mend the file, whose context is the daemon to use"; got != want {
		t.Errorf("hint %q, want %q", got, want)
	}
}

// TestHeaders sends the headers that Docker's configuration adds, for proxies
// that want them.
func TestHeaders(t *testing.T) {
	t.Parallel()
	m := fakeMachine(t)
	m.write(t, "/home/u/.docker/config.json", `{"HttpHeaders": {"X-Team": "blue"}}`)
	m.serve(t, "/var/run/docker.sock", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Team") != "blue" || r.Header.Get("User-Agent") != "eascmd" {
			http.Error(w, fmt.Sprintf("%s: %v", r.URL.Path, r.Header), http.StatusForbidden)
			return
		}
		new(fakeDaemon).ServeHTTP(w, r)
	}))
	d, err := connect(t.Context(), ConnectOptions{}, m)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
}

// TestStream has a container's streams through a socket.
func TestStream(t *testing.T) {
	t.Parallel()
	m := fakeMachine(t)
	m.serve(t, "/var/run/docker.sock", &fakeDaemon{})
	d, err := connect(t.Context(), ConnectOptions{}, m)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	echo(t, d)
}

func TestFacts(t *testing.T) {
	type facts struct{ Rootless, Remapped, Desktop, Snap, Local bool }
	for _, test := range []struct {
		endpoint string
		info     system.Info
		want     facts
	}{
		{"unix:///var/run/docker.sock", system.Info{OperatingSystem: "Debian GNU/Linux 12", DockerRootDir: "/var/lib/docker",
			SecurityOptions: []string{"name=apparmor", "name=seccomp,profile=default"}}, facts{Local: true}},
		{"unix:///run/user/1000/docker.sock", system.Info{SecurityOptions: []string{"name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"}},
			facts{Rootless: true, Local: true}},
		{"unix:///var/run/docker.sock", system.Info{SecurityOptions: []string{"name=userns"}}, facts{Remapped: true, Local: true}},
		{"npipe:////./pipe/docker_engine", system.Info{OperatingSystem: "Docker Desktop"}, facts{Desktop: true, Local: true}},
		{"unix:///var/run/docker.sock", system.Info{DockerRootDir: "/var/snap/docker/common/var-lib-docker"}, facts{Snap: true, Local: true}},
		{"tcp://127.0.0.1:2375", system.Info{}, facts{Local: true}},
		{"tcp://[::1]:2376/base", system.Info{}, facts{Local: true}},
		{"tcp://localhost:2375", system.Info{}, facts{Local: true}},
		{"tcp://10.0.0.7:2376", system.Info{}, facts{}},
		{"tcp://docker:2375", system.Info{}, facts{}},
		{"ssh://localhost", system.Info{}, facts{}},
	} {
		d := &Daemon{Endpoint: test.endpoint, Info: test.info}
		got := facts{d.Rootless(), d.Remapped(), d.Desktop(), d.Snap(), d.Local()}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s, %+v (-want +got):\n%s", test.endpoint, test.info.SecurityOptions, diff)
		}
	}
}

// TestRefusedPort is TCP without a listener, and with one.
func TestRefusedPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := fakeMachine(t)
	serveOn(t, l, &fakeDaemon{version: "over TCP"})
	d, err := connect(t.Context(), ConnectOptions{Host: "tcp://" + l.Addr().String()}, m)
	if err != nil {
		t.Fatal(err)
	}
	if d.Info.ServerVersion != "over TCP" || !d.Local() {
		t.Errorf("version %s, local %v", d.Info.ServerVersion, d.Local())
	}
	echo(t, d)
	d.Close()
	_, err = connect(t.Context(), ConnectOptions{Host: "tcp://127.0.0.1:1"}, m)
	if err == nil || !strings.HasSuffix(err.Error(), ": nobody listens there") || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v, want that nobody listens", err)
	}
}
