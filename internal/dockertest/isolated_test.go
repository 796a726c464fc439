package dockertest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// run runs a command in a new container of the base image and returns what it
// printed. A status other than 0 is an error.
func (c *client) run(t *testing.T, settings map[string]any, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var created struct{ ID string }
	err := c.do(ctx, http.MethodPost, "/containers/create", nil,
		map[string]any{"Image": BaseImage, "Cmd": args, "HostConfig": settings}, &created)
	if err != nil {
		return "", err
	}
	defer func() {
		err := c.do(context.WithoutCancel(ctx), http.MethodDelete, "/containers/"+created.ID, url.Values{"force": {"1"}, "v": {"1"}}, nil, nil)
		if err != nil {
			t.Error(err)
		}
	}()
	if err := c.do(ctx, http.MethodPost, "/containers/"+created.ID+"/start", nil, nil, nil); err != nil {
		return "", err
	}
	var ended struct{ StatusCode int }
	if err := c.do(ctx, http.MethodPost, "/containers/"+created.ID+"/wait", nil, nil, &ended); err != nil {
		return "", err
	}
	logs, err := c.open(ctx, http.MethodGet, "/containers/"+created.ID+"/logs", url.Values{"stdout": {"1"}, "stderr": {"1"}}, nil)
	if err != nil {
		return "", err
	}
	defer logs.Close()
	out, err := demultiplex(logs)
	if err == nil && ended.StatusCode != 0 {
		err = fmt.Errorf("exit status %d", ended.StatusCode)
	}
	return out, err
}

func TestHostRunsContainers(t *testing.T) {
	Base(t)
	c, err := newClient(Host(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	out, err := c.run(t, nil, "cat", "/etc/debian_version")
	if err != nil || !strings.HasPrefix(out, "12") {
		t.Errorf("printed %q, %v; want Debian 12", out, err)
	}
}

func TestIsolated(t *testing.T) {
	const record = "/var/log/runtime"
	e := Isolated(t, Options{
		Config: map[string]any{"runtimes": map[string]any{"recorder": map[string]any{"path": "/opt/recorder"}}},
		Files: map[string]string{
			"/opt/recorder": "#!/bin/sh\necho \"$@\" >>" + record + "\nexec runc \"$@\"\n",
		},
	})

	t.Run("runs containers", func(t *testing.T) {
		out, err := e.inner.run(t, map[string]any{"Memory": 50 << 20}, "cat", "/etc/debian_version")
		if err != nil || !strings.HasPrefix(out, "12") {
			t.Errorf("printed %q, %v; want Debian 12", out, err)
		}
		if left := e.Containers(t); len(left) > 0 {
			t.Errorf("containers are left: %v", left)
		}
	})

	t.Run("sees no file of ours", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "ours"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		root, err := moduleRoot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, place := range []string{dir, root} {
			_, err := e.inner.run(t, map[string]any{
				"Mounts": []any{map[string]any{"Type": "bind", "Source": place, "Target": "/given"}},
			}, "ls", "/given")
			if err == nil || !strings.Contains(err.Error(), "does not exist") {
				t.Errorf("mounting %s: %v, want that it does not exist", place, err)
			}
		}
	})

	t.Run("has namespaces of its own", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("missing: Linux, to compare with")
		}
		for _, kind := range []string{"mnt", "net", "pid"} {
			ours, err := os.Readlink("/proc/self/ns/" + kind)
			if err != nil {
				t.Fatal(err)
			}
			if its := e.Exec(t, "readlink", "/proc/1/ns/"+kind); strings.TrimSpace(its) == ours {
				t.Errorf("its %s namespace is ours", kind)
			}
		}
	})

	t.Run("takes runtimes", func(t *testing.T) {
		if _, err := e.inner.run(t, map[string]any{"Runtime": "recorder"}, "true"); err != nil {
			t.Fatal(err)
		}
		if got := e.ReadFile(t, record); !strings.Contains(got, "create") {
			t.Errorf("the runtime was called with %q, want create", got)
		}
	})

	t.Run("is frozen and thawed", func(t *testing.T) {
		e.Freeze(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.inner.do(ctx, http.MethodGet, "/_ping", nil, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a frozen daemon: %v, want no answer", err)
		}
		e.Thaw(t)
		if got := e.Containers(t); len(got) > 0 {
			t.Errorf("containers %v, want none", got)
		}
	})

	t.Run("is killed and started again", func(t *testing.T) {
		var created struct{ ID string }
		ctx := t.Context()
		err := e.inner.do(ctx, http.MethodPost, "/containers/create", url.Values{"name": {"survivor"}},
			map[string]any{"Image": BaseImage, "Cmd": []string{"sleep", "600"}}, &created)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.inner.do(ctx, http.MethodPost, "/containers/survivor/start", nil, nil, nil); err != nil {
			t.Fatal(err)
		}
		e.Kill(t)
		if err := e.inner.do(ctx, http.MethodGet, "/_ping", nil, nil, nil); err == nil {
			t.Error("a killed daemon answers")
		}
		if got := e.Exec(t, "sh", "-c", "cat /proc/[0-9]*/comm"); !strings.Contains(got, "sleep") {
			t.Errorf("the container ended with the daemon; there are %q", strings.Fields(got))
		}
		e.Restart(t)
		if got := e.Containers(t); len(got) != 1 || got[0] != "survivor" {
			t.Errorf("containers %v, want the one from before", got)
		}
	})
}

func TestIsolatedNewer(t *testing.T) {
	e := Isolated(t, Options{Newer: true})
	var info struct{ ServerVersion string }
	if err := e.inner.do(t.Context(), http.MethodGet, "/info", nil, nil, &info); err != nil {
		t.Fatal(err)
	}
	major, _, _ := strings.Cut(info.ServerVersion, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 25 {
		t.Errorf("engine %s, want 25 or newer", info.ServerVersion)
	}
	if out, err := e.inner.run(t, nil, "echo", "here"); err != nil || out != "here\n" {
		t.Errorf("printed %q, %v", out, err)
	}
}

func TestIsolatedTCP(t *testing.T) {
	e := Isolated(t, Options{TCP: true})
	if out, err := e.inner.run(t, nil, "echo", "here"); err != nil || out != "here\n" {
		t.Errorf("printed %q, %v", out, err)
	}
	t.Setenv(EnvHost, "")
	for _, env := range e.Env() {
		name, value, _ := strings.Cut(env, "=")
		t.Setenv(name, value)
	}
	if host, err := Find(t.Context()); host != e.Host() || err != nil {
		t.Errorf("found %s, %v; want %s", host, err, e.Host())
	}
	stranger, err := newClientTLS(e.Host(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.close()
	if err := stranger.do(t.Context(), http.MethodGet, "/info", nil, nil, nil); err == nil {
		t.Error("it answers whoever has no certificate")
	}
}

func TestIsolatedDiskSize(t *testing.T) {
	e := Isolated(t, Options{DiskSize: 600 << 20, Offline: true})
	// What a container prints is kept on the same disk, so its status has to do.
	if _, err := e.inner.run(t, nil, "sh", "-c", "head -c 300M /dev/zero >/fits"); err != nil {
		t.Errorf("writing what fits: %v", err)
	}
	if _, err := e.inner.run(t, nil, "sh", "-c", "head -c 700M /dev/zero >/filled"); err == nil {
		t.Error("the disk was not full")
	}
	if got := e.Exec(t, "ls", "/sys/class/net"); strings.Contains(got, "eth") {
		t.Errorf("offline it has the network devices %q", strings.Fields(got))
	}
}

// What the engine of Host knows of an isolated one.
type footprint struct {
	ID     string // of the container
	Volume string
	Device int // the index of our end of its network device
	Dir    string
}

func (e *Engine) footprint(t *testing.T) footprint {
	t.Helper()
	var info struct {
		Mounts []struct{ Type, Name string }
	}
	if err := e.outer.do(t.Context(), http.MethodGet, "/containers/"+e.container+"/json", nil, nil, &info); err != nil {
		t.Fatal(err)
	}
	f := footprint{ID: e.container, Dir: e.dir.Path()}
	for _, m := range info.Mounts {
		if m.Type == "volume" {
			f.Volume = m.Name
		}
	}
	var err error
	if f.Device, err = strconv.Atoi(strings.TrimSpace(e.Exec(t, "cat", "/sys/class/net/eth0/iflink"))); err != nil {
		t.Fatal(err)
	}
	if f.Volume == "" {
		t.Fatalf("incomplete: %+v", f)
	}
	return f
}

// wantGone checks that nothing of an isolated engine is there any more.
func (f footprint) wantGone(t *testing.T) {
	t.Helper()
	c, err := newClient(Host(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.do(t.Context(), http.MethodGet, "/containers/"+f.ID+"/json", nil, nil, nil); !isStatus(err, http.StatusNotFound) {
		t.Errorf("the container is left: %v", err)
	}
	if err := c.do(t.Context(), http.MethodGet, "/volumes/"+f.Volume, nil, nil, nil); !isStatus(err, http.StatusNotFound) {
		t.Errorf("the volume is left: %v", err)
	}
	if _, err := os.Stat(f.Dir); err == nil {
		t.Errorf("the directory %s is left", f.Dir)
	}
	if runtime.GOOS != "linux" {
		return // the rest is in a virtual machine of Docker's
	}
	if device, err := net.InterfaceByIndex(f.Device); err == nil {
		t.Errorf("the network device %s is left", device.Name)
	}
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(groups, "/proc/self/mountinfo") {
		// A process may end while we look.
		if text, _ := os.ReadFile(name); strings.Contains(string(text), f.ID) {
			t.Errorf("%s still has it:\n%s", name, text)
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*/docker/" + f.ID, "/sys/fs/cgroup/docker/" + f.ID, "/sys/fs/cgroup/system.slice/docker-" + f.ID + ".scope"} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			t.Errorf("control groups are left: %v %v", left, err)
		}
	}
}

func TestIsolatedLeavesNothing(t *testing.T) {
	var f footprint
	t.Run("engine", func(t *testing.T) {
		e := Isolated(t, Options{})
		f = e.footprint(t)
		err := e.inner.do(t.Context(), http.MethodPost, "/containers/create", url.Values{"name": {"running"}},
			map[string]any{"Image": BaseImage, "Cmd": []string{"sleep", "600"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.inner.do(t.Context(), http.MethodPost, "/containers/running/start", nil, nil, nil); err != nil {
			t.Fatal(err)
		}
		e.Freeze(t) // nor does it matter what the daemon is up to
	})
	if f.ID == "" {
		t.Skip("missing: an engine of the test's own, see above")
	}
	f.wantGone(t)
}

// envVictim tells the test program that it is the one that gets killed.
const envVictim = "DOCKERTEST_VICTIM"

// A test program that is killed leaves nothing either.
func TestIsolatedEndsWithTheTestProgram(t *testing.T) {
	const mark = "footprint "
	if os.Getenv(envVictim) != "" {
		text, err := json.Marshal(Isolated(t, Options{}).footprint(t))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%s%s\n", mark, text)
		select {}
	}
	Base(t)
	victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=5m", "-test.v")
	victim.Env = append(os.Environ(), envVictim+"=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var f footprint
	var said strings.Builder
	for lines := bufio.NewScanner(out); f.ID == "" && lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		if text, ok := strings.CutPrefix(lines.Text(), mark); ok {
			if err := json.Unmarshal([]byte(text), &f); err != nil {
				t.Fatal(err)
			}
		}
	}
	victim.Process.Kill()
	victim.Wait()
	if f.ID == "" {
		if strings.Contains(said.String(), "missing: ") {
			t.Skipf("missing: an engine of the test's own:\n%s", said.String())
		}
		t.Fatalf("the test program did not start an engine:\n%s", said.String())
	}
	c, err := newClient(Host(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = c.do(ctx, http.MethodPost, "/containers/"+f.ID+"/wait", url.Values{"condition": {"removed"}}, nil, nil)
	if err != nil && !isStatus(err, http.StatusNotFound) {
		t.Errorf("the engine goes on: %v", err)
	}
	// Its directory goes with the next engine that is started.
	if _, err := openRoot(); err != nil {
		t.Fatal(err)
	}
	f.wantGone(t)
}
