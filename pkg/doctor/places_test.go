//go:build unix

package doctor

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/engine/docker"
)

// good is a daemon with which everything is right.
func good() facts {
	return facts{
		endpoint: "unix:///var/run/docker.sock", source: "the usual socket",
		product: "Docker Engine", version: "28.5.2", api: "1.51", system: "linux", arch: "amd64",
		storage: "overlay2", backing: "extfs", cgroup: "2", cgroupDriver: "systemd",
		rootDir: "/var/lib/docker", memory: true, swap: true, cpu: true, pids: true, tellsTime: true,
	}
}

func TestJudgeDaemon(t *testing.T) {
	m := fake(t)
	fine := []finding{
		ok("daemon", "unix:///var/run/docker.sock (the usual socket)"),
		ok("engine", "Docker Engine 28.5.2, API 1.51, linux/amd64"),
		ok("mode", "as root"),
		ok("storage", "overlay2 on extfs"),
		ok("control groups", "version 2, systemd"),
		ok("limits", "memory, swap, CPU, processes"),
		ok("clock", "the same time as here"),
	}
	if diff := cmp.Diff(fine, m.judgeDaemon(good()), private); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	tests := []struct {
		name   string
		change func(f *facts)
		line   string
		state  State
		found  string
		fix    string
		breaks engines
	}{
		{"Windows containers", func(f *facts) { f.system = "windows" }, "engine", Warning, "processors are Linux programs", "Linux containers", dockerEngine},
		{"snap", func(f *facts) { f.snap = true }, "mode", Warning, "from a snap", "snap remove docker", 0},
		{"rootless", func(f *facts) { f.rootless = true }, "mode", OK, "rootless", "", 0},
		{"remapped", func(f *facts) { f.remapped = true }, "mode", OK, "remapped", "", 0},
		{"Desktop", func(f *facts) { f.desktop = true }, "mode", OK, "Docker Desktop", "", 0},
		{"vfs", func(f *facts) { f.storage, f.backing = "vfs", "" }, "storage", Warning, "vfs, which makes", "overlay2", 0},
		{"no control groups", func(f *facts) { f.cgroupDriver = "none" }, "control groups", Warning, "nothing can be limited", "Delegate=", 0},
		{"no swap limit", func(f *facts) { f.cgroup, f.swap = "1", false }, "limits", Warning, "no limit of swap", "swapaccount=1", 0},
		{"rootless without delegation", func(f *facts) { f.rootless, f.cpu, f.pids = true, false, false }, "limits", Warning, "no limit of CPU, processes", "Delegate=", 0},
		{"clock ahead", func(f *facts) { f.offset = 90 * time.Second }, "clock", Warning, "1m30s ahead of", "timedatectl", 0},
		{"clock behind", func(f *facts) { f.offset, f.desktop = -time.Hour, true }, "clock", Warning, "1h0m0s behind", "restart Docker Desktop", 0},
		{"clock nearly right", func(f *facts) { f.offset = time.Second }, "clock", OK, "the same", "", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := good()
			test.change(&f)
			for _, got := range m.judgeDaemon(f) {
				if got.name != test.line {
					continue
				}
				if got.state != test.state || got.breaks != test.breaks || !strings.Contains(got.found, test.found) ||
					!strings.Contains(got.fix, test.fix) || (got.fix == "") != (test.state == OK) {
					t.Errorf("%+v", got)
				}
				return
			}
			t.Errorf("there is no line %s", test.line)
		})
	}
}

// The room is only that of a daemon that has this machine's files.
func TestDaemonDisk(t *testing.T) {
	m := fake(t)
	m.write(t, "/var/lib/docker/x", "", 0o600)
	count := func(f facts) (n int) {
		for _, got := range m.judgeDaemon(f) {
			if got.name == "disk" {
				n++
			}
		}
		return n
	}
	f := good()
	if count(f) != 0 {
		t.Error("the disk of a daemon elsewhere is judged")
	}
	f.here = true
	if count(f) != 1 {
		t.Error("the disk of a daemon here is not judged")
	}
	f.rootDir = "/not/there"
	if count(f) != 0 {
		t.Error("a directory that is not there is judged")
	}
}

func TestNoDaemon(t *testing.T) {
	_, err := docker.Connect(t.Context(), docker.ConnectOptions{Host: "unix:///no/such/socket"})
	if err == nil {
		t.Fatal("a daemon answers where there is none")
	}
	got := noDaemon(err, []docker.Candidate{{Address: "unix:///a", Source: "DOCKER_HOST", Outcome: "refused"}, {Source: "context mine", Outcome: "is damaged"}})
	want := "none answers\nunix:///a (DOCKER_HOST): refused\n(context mine): is damaged"
	if got.found != want || got.breaks != dockerEngine || got.fix == "" {
		t.Errorf("%+v", got)
	}
	if got := noDaemon(err, nil); !strings.HasPrefix(got.found, "none answers: ") {
		t.Errorf("%+v", got)
	}
}

func TestProxies(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	there := l.Addr().String()
	const gone = "127.0.0.1:1"
	tests := []struct {
		name string
		env  map[string]string
		want []finding
	}{
		{"none", nil, []finding{ok("proxies", "none set")}},
		{"one under all names", map[string]string{"HTTPS_PROXY": "http://" + there, "https_proxy": "http://" + there, "HTTP_PROXY": "http://" + there},
			[]finding{ok("HTTPS_PROXY", "http://%s can be reached", there)}},
		{"with a password and exceptions", map[string]string{"https_proxy": "http://me:secret@" + there, "no_proxy": "localhost"},
			[]finding{ok("https_proxy", "http://%s can be reached; not for localhost", there)}},
		{"without a scheme", map[string]string{"HTTP_PROXY": there}, []finding{ok("HTTP_PROXY", "http://%s can be reached", there)}},
		{"gone", map[string]string{"HTTPS_PROXY": "http://me:secret@" + gone},
			[]finding{warning("HTTPS_PROXY", "unset HTTPS_PROXY, or set it to a proxy that can be reached", "http://%s cannot be reached: connection refused", gone)}},
		{"no address", map[string]string{"HTTP_PROXY": "http://me:sec ret@:x"},
			[]finding{warning("HTTP_PROXY", "unset HTTP_PROXY, or set it to a proxy that can be reached", "it is no address such as http://proxy:3128")}},
		{"one of two", map[string]string{"HTTPS_PROXY": "http://" + there, "HTTP_PROXY": "http://" + gone}, []finding{
			ok("HTTPS_PROXY", "http://%s can be reached", there),
			warning("HTTP_PROXY", "unset HTTP_PROXY, or set it to a proxy that can be reached", "http://%s cannot be reached: connection refused", gone),
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := &machine{env: test.env}
			if diff := cmp.Diff(test.want, m.proxies(t.Context()), private); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	bundle, empty := filepath.Join(dir, "bundle.pem"), filepath.Join(dir, "empty.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for path, data := range map[string][]byte{bundle: append(block, block...), empty: []byte("nothing")} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := readBundle("--ca-bundle", bundle); got.state != OK || !strings.HasSuffix(got.found, ": 2 certificates") {
		t.Errorf("%+v", got)
	}
	for _, path := range []string{empty, filepath.Join(dir, "none.pem"), dir} {
		if got := readBundle("--ca-bundle", path); got.state != Warning || got.fix == "" {
			t.Errorf("%s: %+v", path, got)
		}
	}
	m := &machine{goos: "linux", env: map[string]string{"SSL_CERT_FILE": empty}}
	var names []string
	for _, f := range m.certificates(bundle) {
		names = append(names, f.name)
	}
	if diff := cmp.Diff([]string{"--ca-bundle", "SSL_CERT_FILE", "certificates"}, names); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCloudOffset(t *testing.T) {
	offset := time.Duration(0)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(-offset).UTC().Format(http.TimeFormat))
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound) // is not followed
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not trust it
	server.StartTLS()
	defer server.Close()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	m := fake(t)
	host := strings.TrimPrefix(server.URL, "https://")
	for _, test := range []struct {
		offset time.Duration
		state  State
		found  string
	}{
		{0, OK, "the same time as " + host},
		{5 * time.Minute, Warning, " ahead of " + host + "; from 15m0s on"},
		{-time.Hour, Warning, " behind " + host + ", which refuses"},
	} {
		offset = test.offset
		got := m.cloudOffset(t.Context(), server.URL+"/", bundle)
		if got.state != test.state || !strings.Contains(got.found, test.found) || (got.fix == "") != (test.state == OK) {
			t.Errorf("%v: %+v", test.offset, got)
		}
	}

	// What cannot be asked is no fault.
	silent := "https://" + silentAddress(t, "tcp", "127.0.0.1:0") + "/"
	for _, test := range []struct{ name, address, bundle, found string }{
		{"nobody there", "https://127.0.0.1:1/", bundle, "cannot be reached: connection refused"},
		{"not trusted", server.URL, "", "cannot be reached: "},
		{"silent", silent, bundle, "gave no answer"},
		{"no bundle", server.URL, "/no/such/file", "read the CA bundle"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		if test.name == "silent" {
			ctx = soon(t)
		}
		got := m.cloudOffset(ctx, test.address, test.bundle)
		cancel()
		if got.state != OK || !strings.HasPrefix(got.found, "not known: ") || !strings.Contains(got.found, test.found) {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

func TestConfiguration(t *testing.T) {
	for _, name := range []string{"EASCMD_ACCESS_KEY_ID", "EASCMD_ACCESS_KEY_SECRET", "EASCMD_STS_TOKEN", "EASCMD_ENDPOINT",
		"ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	const endpoint = "pai-eas.cn-shanghai.aliyuncs.com (default)"
	path := filepath.Join(t.TempDir(), "config")
	in := path + " [default]"
	whole := "access_key_id = LTAI5tExample1234\naccess_key_secret = hidden\n"
	tests := []struct {
		name, text string
		mode       os.FileMode
		options    config.Options
		want       []finding
	}{
		{"none", "", 0, config.Options{}, []finding{
			ok("file", "%s is not there, and need not be", filepath.Join(os.Getenv("HOME"), ".eas", "config")),
			ok("credentials", "none; nothing on this machine needs any"), ok("endpoint", endpoint),
		}},
		{"whole", whole, 0o600, config.Options{Path: path}, []finding{
			ok("file", "%s (mode 0600), profile \"default\"", path), ok("credentials", "LTAI****1234 (%s)", in), ok("endpoint", endpoint),
		}},
		{"readable by others, with a line that is none", whole + "nonsense\n", 0o644, config.Options{Path: path}, []finding{
			warning("file", "chmod 600 "+path, "%s may be read by other users (mode 0644); %s:3: ignored: neither a section, a comment nor key=value", path, path),
			ok("credentials", "LTAI****1234 (%s)", in), ok("endpoint", endpoint),
		}},
		{"half", "access_key_id = LTAI5tExample1234\nendpoint = pai-eas.cn-beijing.aliyuncs.com\n", 0o600, config.Options{Path: path}, []finding{
			ok("file", "%s (mode 0600), profile \"default\"", path),
			warning("credentials", "`eascmd config --profile default -i ID -k -` stores both", "profile \"default\" in %s has no access_key_secret", path),
			ok("endpoint", "pai-eas.cn-beijing.aliyuncs.com (%s)", in),
		}},
		{"no such profile", whole, 0o600, config.Options{Path: path, Profile: "ci"}, []finding{
			warning("file", "it has default; `eascmd config --profile ci -i ID -k -` makes a new one", "there is no profile \"ci\" in %s", path),
		}},
		{"wrong endpoint", "endpoint = cn-beijing\n", 0o600, config.Options{Path: path}, []finding{
			warning("file", "correct what is named there", "%s: endpoint \"cn-beijing\": this looks like a region; its endpoint is pai-eas.cn-beijing.aliyuncs.com", in),
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.mode != 0 {
				if err := os.WriteFile(path, []byte(test.text), test.mode); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(path, test.mode); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(test.want, configuration(test.options), private); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRoom(t *testing.T) {
	m := &machine{home: "/nowhere"}
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	if got := m.room("cache", "XDG_CACHE_HOME", dir, 0, true); got.state != OK || !strings.HasPrefix(got.found, dir+": ") {
		t.Errorf("%+v", got)
	}
	got := m.room("cache", "XDG_CACHE_HOME", dir, 1<<63, true)
	if got.state != Warning || !strings.Contains(got.found, "which is little") || !strings.Contains(got.fix, "XDG_CACHE_HOME") {
		t.Errorf("%+v", got)
	}
}

func TestRoomNotWritable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("missing: a user other than root, who may write everywhere")
	}
	m := &machine{}
	if got := m.room("cache", "XDG_CACHE_HOME", "/not-there", 0, true); got.state != Warning || !strings.Contains(got.found, "permission denied") {
		t.Errorf("%+v", got)
	}
}

func TestCause(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, test := range []struct {
		err  error
		want string
	}{
		{refused, "connection refused"},
		{&url.Error{Op: "Head", URL: "x", Err: refused}, "connection refused"},
		{&url.Error{Op: "Head", URL: "x", Err: &net.OpError{Op: "proxyconnect", Err: refused}}, "the proxy: connection refused"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x"}}, "no such host"},
		{errors.New("something else"), "something else"},
	} {
		if got := cause(test.err).Error(); got != test.want {
			t.Errorf("%v: %s, want %s", test.err, got, test.want)
		}
	}
}

func TestMeminfo(t *testing.T) {
	total, available := meminfo("MemTotal:       16384 kB\nMemFree:         1 kB\nMemAvailable:    8192 kB\nHugePages_Total:       0\n")
	if total != 16<<20 || available != 8<<20 {
		t.Errorf("%d %d", total, available)
	}
	if total, available := meminfo("MemTotal: much kB\n"); total != 0 || available != 0 {
		t.Errorf("%d %d", total, available)
	}
}
