package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/dockertest"
)

func TestRunReturnsStatus(t *testing.T) {
	dockertest.Base(t)
	if runtime.GOOS == "windows" {
		t.Skip("missing: sh")
	}
	var log strings.Builder
	status, err := run(t.Context(), []string{"sh", "-c", "exit 3"}, &log)
	if status != 3 || err != nil {
		t.Errorf("status %d, %v; want 3\n%s", status, err, log.String())
	}
	if _, err := run(t.Context(), []string{filepath.Join(t.TempDir(), "none")}, &log); err == nil {
		t.Error("a command that does not exist ran")
	}
}

// Where DOCKER_HOST names an engine that is not there, none is started in its
// place, and the tests learn why there is none.
func TestRunWithoutEngine(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("missing: sh")
	}
	t.Setenv(dockertest.EnvHost, "")
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "nobody"))
	var log strings.Builder
	status, err := run(t.Context(), []string{"sh", "-c", `case $` + dockertest.EnvMissing + ` in *nobody*) exit 0;; esac; exit 1`}, &log)
	if status != 0 || err != nil {
		t.Errorf("status %d, %v; want that the tests are told\n%s", status, err, log.String())
	}
}

// On a machine of its own, where no engine runs: the daemon is started, is
// there for the command, and is gone after it with all that it made.
func TestStart(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("missing: Linux, which alone can have an engine started")
	}
	dockertest.Base(t) // before something is built for nothing
	e := dockertest.Isolated(t, dockertest.Options{Offline: true, Files: map[string]string{"/opt/withengine": build(t)}})
	e.Exec(t, "sh", "-c", `kill $(cat /run/daemon); while [ -e /run/docker.pid ]; do sleep 0.1; done
		ip link delete docker0
		for table in filter nat; do iptables -t $table -F; iptables -t $table -X; done
		iptables -P FORWARD ACCEPT`)
	before := state(t, e)

	// Where images are kept must not lie on an overlay.
	const withengine = "XDG_CACHE_HOME=/var/lib/docker/cache /opt/withengine "

	t.Run("for a command", func(t *testing.T) {
		out := e.Exec(t, "sh", "-c", withengine+`sh -c 'docker version && echo "at $DOCKER_HOST"; exit 3' 2>&1; echo status $?`)
		for _, want := range []string{"Server:", "at unix:///run/eascmd-test/", "status 3"} {
			if !strings.Contains(out, want) {
				t.Errorf("printed\n%s\nwhich lacks %q", out, want)
			}
		}
		if diff := cmp.Diff(before, state(t, e)); diff != "" {
			t.Errorf("left behind (-before +after):\n%s", diff)
		}
	})

	for _, signal := range []string{"INT", "TERM"} {
		t.Run("until "+signal, func(t *testing.T) {
			out := e.Exec(t, "sh", "-c", withengine+`sh -c 'trap "exit 5" INT; docker version >/dev/null && kill -`+signal+` $PPID; while :; do sleep 0.1; done' 2>&1; echo status $?`)
			if !strings.Contains(out, "status 5") {
				t.Errorf("printed\n%s\nwant the status of the interrupted command", out)
			}
			if diff := cmp.Diff(before, state(t, e)); diff != "" {
				t.Errorf("left behind (-before +after):\n%s", diff)
			}
		})
	}

	// The network device is left then, for the next run to use.
	t.Run("until it is killed", func(t *testing.T) {
		e.Exec(t, "sh", "-c", withengine+`sh -c 'kill -9 $PPID' >/var/log/killed 2>&1; while ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q -e dockerd -e containerd; do sleep 0.1; done`)
		out := e.Exec(t, "sh", "-c", withengine+`docker version 2>&1`)
		if !strings.Contains(out, "Server:") {
			t.Errorf("the next run printed\n%s", out)
		}
		if left := strings.Fields(e.Exec(t, "ls", "/run/eascmd-test")); len(left) > 0 {
			t.Errorf("the next run left %v", left)
		}
	})
}

// state lists what a daemon could leave: processes, mounts, network devices
// and rules, files.
func state(t *testing.T, e *dockertest.Engine) []string {
	t.Helper()
	return strings.Split(e.Exec(t, "sh", "-c", `
		ls -l /proc/[0-9]*/exe 2>/dev/null | grep -o -e '-> .*docker.*' -e '-> .*containerd.*' -e '-> .*withengine.*'
		cut -d' ' -f5 /proc/self/mountinfo
		ls /sys/class/net
		cat /proc/sys/net/ipv4/ip_forward
		iptables-save | grep -v -e '^#' -e '^:' | sort
		iptables-save | grep '^:FORWARD' | cut -d' ' -f1,2
		find /tmp /run/eascmd-test -mindepth 1 2>/dev/null
		true`), "\n")
}

// build returns the content of this command, static.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "withengine")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
