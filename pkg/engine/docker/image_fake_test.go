package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"

	"github.com/openeas/eascmd/internal/fault"
)

// imageServer is a server that speaks as much of the API as building and pulling
// needs. It has the image "base", and what build and pull do is the test's.
func imageServer(t *testing.T, config map[string]any, build, pull http.HandlerFunc) *Daemon {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /v1.41/images/{name}/json", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") != "base" {
			answer(w, http.StatusNotFound, map[string]string{"message": "No such image: " + r.PathValue("name")})
			return
		}
		answer(w, http.StatusOK, config)
	})
	mux.HandleFunc("GET /v1.41/images/json", func(w http.ResponseWriter, r *http.Request) { answer(w, http.StatusOK, []any{}) })
	mux.HandleFunc("GET /v1.41/containers/json", func(w http.ResponseWriter, r *http.Request) { answer(w, http.StatusOK, []any{}) })
	if build != nil {
		mux.HandleFunc("POST /v1.41/build", build)
	}
	if pull != nil {
		mux.HandleFunc("POST /v1.41/images/create", pull)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c, err := client.NewClientWithOpts(client.WithHost("tcp://"+strings.TrimPrefix(server.URL, "http://")), client.WithVersion("1.41"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &Daemon{Client: c, Endpoint: c.DaemonHost(), Info: system.Info{Architecture: "x86_64", DockerRootDir: "/var/lib/docker"}}
}

var linuxImage = map[string]any{"Id": "sha256:" + strings.Repeat("1", 64), "Os": "linux", "Architecture": "amd64"}

// streams is a handler that answers with messages, after the request was read.
func streams(messages ...message) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		for _, m := range messages {
			json.NewEncoder(w).Encode(map[string]any{"stream": m.Stream, "status": m.Status, "error": m.Error})
		}
	}
}

// stalls is a handler that says what it is told and then nothing, until its
// client goes.
func stalls(messages ...message) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		streams(messages...)(w, r)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

func TestBuildFailures(t *testing.T) {
	const failed = "The command '/bin/sh /tmp/eascmd/prepare.sh compiler' returned a non-zero code: 100"
	for _, tt := range []struct {
		name, output, err string
		env               map[string]string
		daemonProxy       string
		kind              fault.Kind
		text, hint        string
	}{
		{name: "disk full, by the program", output: "dpkg: error: unable to write: No space left on device\n", err: failed,
			kind: fault.Failed, text: "disk is full", hint: "docker system prune"},
		{name: "disk full, by the daemon", err: "write /var/lib/docker/tmp/x: no space left on device",
			kind: fault.Failed, text: "disk is full", hint: "/var/lib/docker"},
		{name: "no name server, Debian", output: "W: Failed to fetch http://deb.example/dists  Temporary failure resolving 'deb.example'\nE: Unable to locate package gcc\n", err: failed,
			kind: fault.Missing, text: "do not reach the package sources", hint: "HTTP_PROXY"},
		{name: "no name server, Alpine", output: "WARNING: updating: temporary error (try again later)\nERROR: unable to select packages:\n", err: failed,
			kind: fault.Missing, text: "do not reach the package sources", hint: "--base-image"},
		{name: "no name server, Fedora", output: "Curl error (6): Couldn't resolve host name\n", err: failed,
			kind: fault.Missing, text: "do not reach the package sources", hint: "HTTP_PROXY"},
		{name: "the daemon has a proxy", output: "Temporary failure resolving 'deb.example'\n", err: failed, daemonProxy: "http://proxy.example:3128",
			kind: fault.Missing, text: "do not reach", hint: "the daemon itself goes through a proxy"},
		{name: "a proxy of this machine", output: "Could not connect to 127.0.0.1:3128\n", err: failed, env: map[string]string{"http_proxy": "127.0.0.1:3128"},
			kind: fault.Missing, text: "do not reach", hint: "instead of 127.0.0.1:3128"},
		{name: "a proxy with a password", output: "407  Proxy Authentication Required [http://u:secret@proxy.example:3128]\n", err: failed,
			kind: fault.Missing, text: "user name and a password", hint: "USER:PASSWORD"},
		{name: "a certificate", output: "Certificate verification failed: The certificate is NOT trusted.\n", err: failed,
			kind: fault.Missing, text: "not trusted", hint: "--ca-bundle"},
		{name: "an old distribution", output: "Err: http://deb.example stretch Release\n  404  Not Found [IP: 192.0.2.1 80]\n", err: failed,
			kind: fault.Missing, text: "no longer where", hint: "newer"},
		{name: "no Java, Debian", output: "E: Unable to locate package default-jre-headless\n", err: failed,
			kind: fault.Missing, text: "no package of a Java", hint: "eclipse-temurin"},
		{name: "no Java, Alpine", output: "eascmd: installing openjdk17-jre-headless with apk\nERROR: unable to select packages:\n  openjdk17-jre-headless (no such package):\n", err: failed,
			kind: fault.Missing, text: "no package of a Java", hint: "--image"},
		{name: "no Java, Fedora", output: "No match for argument: java-headless\n", err: failed,
			kind: fault.Missing, text: "no package of a Java", hint: "--base-image"},
		{name: "a clock", output: "E: Release file for http://deb.example is not valid yet (invalid for another 3d)\n", err: failed,
			kind: fault.Failed, text: "clock", hint: "date"},
		{name: "another CPU", err: "exec /bin/sh: exec format error", kind: fault.Missing, text: "another CPU", hint: "linux/amd64"},
		{name: "something else", output: "a\nb\n", err: failed, kind: fault.Failed, text: "a step of the build failed", hint: "--image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := imageServer(t, linuxImage, streams(message{Stream: "Step 1/2\n"}, message{Stream: tt.output}, message{Error: tt.err}), nil)
			d.Info.HTTPProxy = tt.daemonProxy
			settings := dockerSettings(t, "")
			env := func(name string) string { return cmp.Or(tt.env[name], settings(name)) }
			_, err := d.ensureImage(t.Context(), imageOptions{Language: "cpp", Base: "base", Env: env})
			if err == nil || fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Fatalf("got %v (kind %d, hint %q), want kind %d, %q and %q", err, fault.KindOf(err), fault.HintOf(err), tt.kind, tt.text, tt.hint)
			}
			last, _, _ := strings.Cut(strings.TrimSpace(tt.output), "\n")
			if !strings.Contains(err.Error(), strings.ReplaceAll(last, "u:secret", "***")) {
				t.Errorf("the output is not in the error: %v", err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("a password is shown: %v", err)
			}
		})
	}
}

func TestBuildShowsTheEnd(t *testing.T) {
	var messages []message
	for range 50 {
		messages = append(messages, message{Stream: "early\n ---> 0123456789ab\n"})
	}
	for range tailLines - 1 {
		messages = append(messages, message{Stream: "\x1b[91mla"}, message{Stream: "te\x1b[0m\n"})
	}
	messages = append(messages, message{Stream: "10%\r100%"}, message{Error: "it failed"})
	d := imageServer(t, linuxImage, streams(messages...), nil)
	_, err := d.ensureImage(t.Context(), imageOptions{Language: "cpp", Base: "base"})
	if err == nil || !strings.HasSuffix(err.Error(), ": it failed"+strings.Repeat("\n  late", tailLines-1)+"\n  100%") {
		t.Errorf("got %v", err)
	}
}

func TestDaemonThatHangs(t *testing.T) {
	for _, tt := range []struct {
		name        string
		build, pull http.HandlerFunc
		o           imageOptions
		text, hint  string
	}{
		{name: "before it builds", build: stalls(), o: imageOptions{Base: "base"}, text: "said nothing for 1s", hint: "docker run"},
		{name: "while it builds", build: stalls(message{Stream: "Step 1/9\n"}), o: imageOptions{Base: "base"}, text: "\n  Step 1/9", hint: "docker run"},
		{name: "before it pulls", pull: stalls(), o: imageOptions{Image: "other:1"}, text: "said nothing for 1s", hint: "docker load"},
		{name: "while it pulls", pull: stalls(message{Status: "Pulling from other"}), o: imageOptions{Base: "other:1"}, text: "said nothing", hint: "--base-image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := imageServer(t, linuxImage, tt.build, tt.pull)
			tt.o.Language, tt.o.Quiet = "cpp", time.Second
			_, err := d.ensureImage(t.Context(), tt.o)
			if err == nil || fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("got %v (kind %d, hint %q), want %q and %q", err, fault.KindOf(err), fault.HintOf(err), tt.text, tt.hint)
			}
			// Nobody has to wait for that.
			tt.o.Quiet = 0
			ctx, cancel := context.WithCancel(t.Context())
			tt.o.Log = func(string) { time.AfterFunc(50*time.Millisecond, cancel) }
			if _, err := d.ensureImage(ctx, tt.o); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: got %v", err)
			}
		})
	}
}

func TestDaemonThatGoes(t *testing.T) {
	goes := func(w http.ResponseWriter, r *http.Request) {
		streams(message{Stream: "Step 1/9\n", Status: "Pulling"})(w, r)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	for _, o := range []imageOptions{{Base: "base"}, {Image: "other"}} {
		d := imageServer(t, linuxImage, goes, goes)
		o.Language = "cpp"
		if _, err := d.ensureImage(t.Context(), o); err == nil || !strings.Contains(err.Error(), "connection to the Docker daemon") {
			t.Errorf("got %v", err)
		}
	}
}

func TestImageForWindows(t *testing.T) {
	d := imageServer(t, map[string]any{"Id": "sha256:2", "Os": "windows", "Architecture": "amd64"}, nil, nil)
	for _, o := range []imageOptions{{Image: "base"}, {Base: "base"}} {
		o.Language = "cpp"
		if _, err := d.ensureImage(t.Context(), o); fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), "Windows") {
			t.Errorf("got %v", err)
		}
	}
}

func TestPullFailures(t *testing.T) {
	for _, tt := range []struct{ name, err, text, hint string }{
		{"certificate", `Get "https://registry.example/v2/": x509: certificate signed by unknown authority`, "does not trust", "/etc/docker/certs.d/registry.example/ca.crt"},
		{"plain HTTP", `http: server gave HTTP response to HTTPS client`, "plain HTTP", "insecure-registries"},
		{"no name", `dial tcp: lookup registry.example: no such host`, "does not reach", "docker load"},
		{"proxy", `proxyconnect tcp: dial tcp 192.0.2.1:3128: connect: connection refused`, "does not reach", "its own proxy settings"},
		{"CPU", `no matching manifest for linux/amd64 in the manifest list entries`, "none for the CPU", "--image"},
		{"disk", `failed to register layer: write /x: no space left on device`, "disk is full", "docker system prune"},
		{"login", `unauthorized: authentication required`, "wants a login", "docker login registry.example"},
		{"system", `image operating system "windows" cannot be used on this platform`, "another system", "--image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := imageServer(t, linuxImage, nil, streams(message{Status: "Pulling"}, message{Error: tt.err}))
			_, err := d.ensureImage(t.Context(), imageOptions{Language: "cpp", Image: "registry.example/image"})
			if fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), tt.err) || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("got %v (hint %q), want %q and %q", err, fault.HintOf(err), tt.text, tt.hint)
			}
		})
	}
}

func TestBuildProxies(t *testing.T) {
	for _, tt := range []struct {
		name     string
		endpoint string
		env      map[string]string
		settings string
		args     map[string]string
		network  string
	}{
		{name: "none"},
		{name: "both cases of one", env: map[string]string{"https_proxy": "http://p.example:1"},
			args: map[string]string{"https_proxy": "http://p.example:1", "HTTPS_PROXY": "http://p.example:1"}},
		{name: "each its own", env: map[string]string{"no_proxy": "a", "NO_PROXY": "b"}, args: map[string]string{"no_proxy": "a", "NO_PROXY": "b"}},
		{name: "of Docker's configuration", settings: `{"proxies": {"default": {"httpProxy": "http://p.example:2"}}}`,
			args: map[string]string{"http_proxy": "http://p.example:2", "HTTP_PROXY": "http://p.example:2"}},
		{name: "the environment's before that", settings: `{"proxies": {"default": {"httpProxy": "http://p.example:2"}}}`, env: map[string]string{"HTTP_PROXY": "http://p.example:1"},
			args: map[string]string{"http_proxy": "http://p.example:1", "HTTP_PROXY": "http://p.example:1"}},
		{name: "of this machine", endpoint: "unix:///run/docker.sock", env: map[string]string{"HTTP_PROXY": "http://localhost:1"},
			args: map[string]string{"http_proxy": "http://localhost:1", "HTTP_PROXY": "http://localhost:1"}, network: "host"},
		{name: "of this machine, without a scheme", endpoint: "unix:///run/docker.sock", env: map[string]string{"ALL_PROXY": "127.0.0.2:1"},
			args: map[string]string{"all_proxy": "127.0.0.2:1", "ALL_PROXY": "127.0.0.2:1"}, network: "host"},
		{name: "of this machine, for a daemon elsewhere", endpoint: "tcp://192.0.2.1:2375", env: map[string]string{"HTTP_PROXY": "http://[::1]:1"},
			args: map[string]string{"http_proxy": "http://[::1]:1", "HTTP_PROXY": "http://[::1]:1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			settings := dockerSettings(t, tt.settings)
			d := &Daemon{Endpoint: tt.endpoint}
			if tt.network != "" && !d.sharesNetwork() {
				t.Skip("missing: Linux, for a daemon in this machine's network")
			}
			p := d.buildProxies(&imageOptions{Env: func(name string) string {
				return cmp.Or(tt.env[name], settings(name))
			}})
			got := make(map[string]string)
			for name, value := range p.args {
				got[name] = *value
			}
			if len(got) != len(tt.args) || p.network != tt.network {
				t.Errorf("got %v and network %q, want %v and %q", got, p.network, tt.args, tt.network)
			}
			for name, want := range tt.args {
				if got[name] != want {
					t.Errorf("%s is %q, want %q", name, got[name], want)
				}
			}
		})
	}
}
