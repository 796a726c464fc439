//go:build unix

package docker

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// fakeSSH puts a program ssh on PATH, and nothing else, that is a shell script.
func fakeSSH(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if script != "" {
		if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

// TestAsSSH is what the fake ssh runs: `docker system dial-stdio` at the other
// end, which joins its standard streams to a socket.
func TestAsSSH(t *testing.T) {
	socket := os.Getenv("EASCMD_TEST_DIAL_STDIO")
	if socket == "" {
		return // a test on its own has nothing to join
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		io.WriteString(os.Stderr, err.Error())
		os.Exit(1)
	}
	go func() {
		io.Copy(conn, os.Stdin)
		conn.CloseWrite()
	}()
	io.Copy(os.Stdout, conn)
	os.Exit(0)
}

func TestSSH(t *testing.T) {
	m := fakeMachine(t, "DOCKER_HOST=ssh://user@build.example.org:2222")
	m.serve(t, "/far.sock", &fakeDaemon{version: "over ssh"})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	fakeSSH(t, `echo "$*" > "`+m.root+`/args"
EASCMD_TEST_DIAL_STDIO="`+m.root+`/far.sock" exec "`+self+`" -test.run='^TestAsSSH$'
`)
	d, err := connect(t.Context(), ConnectOptions{}, m)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Info.ServerVersion != "over ssh" || d.Local() || d.Endpoint != "ssh://user@build.example.org:2222" {
		t.Errorf("version %s at %s, local %v", d.Info.ServerVersion, d.Endpoint, d.Local())
	}
	echo(t, d)
	args, err := os.ReadFile(m.root + "/args")
	if want := "-l user -p 2222 -o ConnectTimeout=20 -T -- build.example.org docker system dial-stdio\n"; err != nil || string(args) != want {
		t.Errorf("ssh was called with %q, want %q", args, want)
	}
}

func TestSSHFails(t *testing.T) {
	const hint = "`docker -H ssh://build.example.org version` or ssh itself must work without a password and with a known host key; " +
		"docker must be installed there; `unset DOCKER_HOST` has the usual places tried"
	for _, test := range []struct{ name, script, want, hint string }{
		{"refused", "echo 'user@build.example.org: Permission denied (publickey).' >&2; exit 255",
			"ssh says: user@build.example.org: Permission denied (publickey).", hint},
		{"late", "read line; echo 'Connection closed by remote host' >&2; exit 255",
			"ssh says: Connection closed by remote host", hint},
		{"no docker there", "echo 'sh: 1: docker: not found' >&2; exit 127",
			"ssh says: sh: 1: docker: not found", hint},
		{"no word", "exit 255", "ssh ended without a word", hint},
		{"no ssh", "", "there is no program ssh on PATH",
			"install an ssh client, such as OpenSSH's; `unset DOCKER_HOST` has the usual places tried"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fakeSSH(t, test.script)
			_, err := connect(t.Context(), ConnectOptions{}, fakeMachine(t, "DOCKER_HOST=ssh://build.example.org"))
			if err == nil {
				t.Fatal("a daemon was found")
			}
			want := [2]string{"no Docker daemon answers: ssh://build.example.org (DOCKER_HOST): " + test.want, test.hint}
			if diff := cmp.Diff(want, [2]string{err.Error(), fault.HintOf(err)}); diff != "" {
				t.Errorf("error and hint (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSSHHangs gives up on an ssh that says nothing, and leaves none behind.
func TestSSHHangs(t *testing.T) {
	m := fakeMachine(t, "DOCKER_HOST=ssh://build.example.org")
	m.sshTime = 3 * time.Second
	fakeSSH(t, `echo $$ > "`+m.root+`/pid"; exec /bin/sleep 600`)
	_, err := connect(t.Context(), ConnectOptions{}, m)
	if err == nil || !strings.HasSuffix(err.Error(), "does not answer within 3s") {
		t.Errorf("error %v, want that it does not answer", err)
	}
	content, err := os.ReadFile(m.root + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); {
		if time.Since(start) > time.Minute {
			t.Fatal("ssh still runs a minute later")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
