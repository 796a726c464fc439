//go:build unix

package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/openeas/eascmd/internal/cgroup"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/engine"
	"github.com/openeas/eascmd/pkg/engine/child"
	"github.com/openeas/eascmd/pkg/engine/enginetest"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// TestMain lets the test's own executable be the eascmd that the engine starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "serve":
			os.Exit(enginetest.Serve(os.Args[2:], EnterPrivateRoot))
		case "start":
			os.Exit(start())
		}
	}
	// The race detector lets every program linger for a second.
	os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	goleak.VerifyTestMain(m)
}

// start is a program that starts the plan on its standard input with an
// engine, prints its events, and waits to be killed.
func start() int {
	plan, err := runplan.Read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	run, err := New(Options{}).Start(context.Background(), plan)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	write := child.Writer(os.Stdout)
	for e := range run.Events() {
		write(e)
	}
	return 1
}

// base makes the directory that all state of a test goes to, and a function
// that lists what is left of it: directories, processes, control groups.
func base(t *testing.T) func(*testing.T) []string {
	dir, err := os.MkdirTemp("/tmp", "eng")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	return func(t *testing.T) []string {
		left, err := filepath.Glob(filepath.Join(dir, "eascmd", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return append(left, processesWith(t, "XDG_RUNTIME_DIR="+dir)...)
	}
}

// processesWith lists the processes, other than this one, that have a
// variable in their environment.
func processesWith(t *testing.T, variable string) []string {
	return processesWhere(t, func(environment string) bool { return strings.Contains("\x00"+environment, "\x00"+variable+"\x00") })
}

func processesWhere(t *testing.T, is func(environment string) bool) []string {
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range environments {
		text, err := os.ReadFile(path)
		if err != nil || !is(string(text)) {
			continue
		}
		if pid := filepath.Base(filepath.Dir(path)); pid != fmt.Sprint(os.Getpid()) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			found = append(found, "process "+pid+" "+strings.ReplaceAll(string(name), "\x00", " "))
		}
	}
	return found
}

func noGroups(t *testing.T) string {
	return noGroup(t, 64<<20)
}

// noGroup says why no control group of that limit can be made here.
func noGroup(t *testing.T, limit int64) string {
	dir, err := cgroup.Create(fmt.Sprintf("eascmd-probe-%d", os.Getpid()), limit, nil)
	if err != nil {
		return err.Error()
	}
	if err := cgroup.Remove(dir); err != nil {
		t.Fatal(err)
	}
	return ""
}

func TestConformance(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("ShareRoot=%v", shared), func(t *testing.T) {
			noPaths := ""
			if shared {
				noPaths = "left out"
			} else if err := tryPrivateRoot(t); err != nil {
				noPaths = err.Error()
			}
			enginetest.Run(t, enginetest.Suite{
				New: func(*testing.T, string) engine.Engine {
					return New(Options{ShareRoot: shared, WithoutPrivateRoot: func(err error) {
						if noPaths == "" {
							t.Errorf("no private root: %v", err)
						}
					}})
				},
				Kill: func(t *testing.T, r engine.Run) {
					if err := r.(*run).cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				},
				Leftovers:      base(t),
				WorkspacePaths: noPaths,
				MemoryLimit:    noGroups(t),
			})
		})
	}
}

// tryPrivateRoot says why no private root can be made here.
func tryPrivateRoot(t *testing.T) error {
	if runtime.GOOS != "linux" {
		return errors.New("Linux")
	}
	base(t)
	c := newCommand(t.Context(), os.Args[0], []string{"serve", "--plan-fd", "3", "--runtime-dir", t.TempDir()}, &runplan.Plan{}, nil)
	err := c.startPrivate(t.Context(), t.TempDir())
	c.abandon()
	return err
}

// loader is a plan whose only worker runs a script of the shell.
func loader(t *testing.T, script string) *runplan.Plan {
	dir := t.TempDir()
	return &runplan.Plan{
		Version: runplan.Version, Name: "loader", Language: "cpp", Workspace: dir,
		Processor: runplan.Processor{Dir: dir, Entry: filepath.Join(dir, "x.so")},
		Worker:    runplan.Worker{Command: []string{"/bin/sh", "-c", script}, Count: 1, Threads: 1, GraceMS: 600_000},
		Gateway:   runplan.Gateway{Host: "127.0.0.1", Token: "secret", KeepAliveMS: 5000, BodyLimit: 1, BodyMemory: 1},
	}
}

// killParent starts plan in another program and kills that as soon as the
// worker says that it is loading.
func killParent(t *testing.T, plan *runplan.Plan) {
	t.Helper()
	var text bytes.Buffer
	if err := plan.Write(&text); err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0], "start")
	parent.Stdin, parent.Stderr = &text, os.Stderr
	events, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	loading := false
	if err := child.Read(events, func(e event.Event) {
		if e.Type == event.Log && e.Message == "loading" {
			loading = true
			parent.Process.Kill()
		}
	}); err != nil {
		t.Error(err)
	}
	parent.Wait()
	if !loading {
		t.Fatal("the run ended by itself")
	}
}

// TestKilledParent kills the program that started a run.
func TestKilledParent(t *testing.T) {
	left := base(t)
	// A worker that never connects is the hardest to get rid of.
	plan := loader(t, "echo loading; sleep 600")
	plan.Worker.MemoryMB = 64
	killParent(t, plan)
	variable := "XDG_RUNTIME_DIR=" + os.Getenv("XDG_RUNTIME_DIR")
	eventually(t, func() []string { return processesWith(t, variable) })
	// The next start removes the rest. A process shows no environment any more
	// a little before the kernel drops its locks.
	eventually(t, func() []string {
		if _, err := rundir.Runtime(); err != nil {
			t.Fatal(err)
		}
		return left(t)
	})
}

// TestDaemons has a worker start a process that leaves its session and its
// parent, as a daemon does. Only the control group knows it.
func TestDaemons(t *testing.T) {
	if reason := noGroup(t, 0); reason != "" {
		t.Skipf("missing: a control group (%s)", reason)
	}
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("missing: setsid")
	}
	// It speaks when it has left, and then keeps nothing of the worker open.
	const script = `(DAEMON=$XDG_RUNTIME_DIR setsid sh -c 'echo loading; exec sleep 600 </dev/null >/dev/null 2>&1' &); sleep 600`
	daemons := func(t *testing.T) []string { return processesWith(t, "DAEMON="+os.Getenv("XDG_RUNTIME_DIR")) }

	t.Run("closed", func(t *testing.T) {
		left := base(t)
		run, err := New(Options{}).Start(t.Context(), loader(t, script))
		if err != nil {
			t.Fatal(err)
		}
		defer run.Close()
		for e := range run.Events() {
			if e.Type == event.Log && e.Message == "loading" {
				break
			}
		}
		if len(daemons(t)) == 0 {
			t.Fatal("the worker started no daemon")
		}
		if err := run.Close(); err != nil {
			t.Error(err)
		}
		if still := left(t); len(still) > 0 {
			t.Errorf("still there: %v", still)
		}
	})
	t.Run("killed", func(t *testing.T) {
		left := base(t)
		killParent(t, loader(t, script))
		if len(daemons(t)) == 0 {
			t.Fatal("the daemon ended with the program that was killed; the next start has nothing to do")
		}
		eventually(t, func() []string {
			if _, err := rundir.Runtime(); err != nil {
				t.Fatal(err)
			}
			return left(t)
		})
	})
}

// eventually waits until nothing is left.
func eventually(t *testing.T, left func() []string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		still := left()
		if len(still) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still there: %v", still)
		}
	}
}

// TestTokenIsNotShown looks at what other users could see of a run.
func TestTokenIsNotShown(t *testing.T) {
	base(t)
	const token = "a-token-that-nobody-may-see"
	dir := t.TempDir()
	run, err := New(Options{}).Start(t.Context(), &runplan.Plan{
		Version: runplan.Version, Name: "loader", Language: "cpp", Workspace: dir,
		Processor: runplan.Processor{Dir: dir},
		Worker:    runplan.Worker{Command: []string{"/bin/sh", "-c", "echo loading; sleep 600"}, Count: 1, Threads: 1},
		Gateway:   runplan.Gateway{Host: "127.0.0.1", Token: token, KeepAliveMS: 5000, BodyLimit: 1, BodyMemory: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	for e := range run.Events() {
		if strings.Contains(fmt.Sprint(e), token) {
			t.Errorf("an event shows the token: %+v", e)
		}
		if e.Type == event.Log {
			break // the plan is read, the worker runs
		}
	}
	variable := "XDG_RUNTIME_DIR=" + os.Getenv("XDG_RUNTIME_DIR")
	processes := processesWith(t, variable)
	if len(processes) < 2 {
		t.Skip("missing: /proc")
	}
	if all := strings.Join(processes, "\n"); strings.Contains(all, token) {
		t.Errorf("a command line shows the token:\n%s", all)
	}
	if found := processesWhere(t, func(environment string) bool { return strings.Contains(environment, token) }); len(found) > 0 {
		t.Errorf("an environment shows the token: %v", found)
	}
	filepath.WalkDir(os.Getenv("XDG_RUNTIME_DIR"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, []byte(token)) {
				t.Errorf("file %s shows the token", path)
			}
		}
		return nil
	})
}

// TestPrivateRootAsUser looks, as a user without privileges, at what a worker
// in a private root sees and may do.
func TestPrivateRootAsUser(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("missing: Linux")
	}
	state, err := os.MkdirTemp("/tmp", "eng")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(state)
	workspace := filepath.Join(state, "work: space")
	if err := os.Mkdir(workspace, 0o755); err != nil {
		t.Fatal(err)
	}
	const script = `grep CapEff: /proc/self/status
grep CapInh: /proc/self/status
test -e /eas/workspace/mark && test -e /home/admin/docker_ml/workspace/mark && echo workspace
test "$(ls -d /usr /tmp /proc/self /dev/null)" && echo root
id -u
sleep 600`
	plan := &runplan.Plan{
		Version: runplan.Version, Name: "looker", Language: "cpp", Workspace: workspace,
		Processor: runplan.Processor{Dir: workspace},
		Worker:    runplan.Worker{Command: []string{"/bin/sh", "-c", script}, Count: 1, Threads: 1},
		Gateway:   runplan.Gateway{Host: "127.0.0.1", KeepAliveMS: 5000, BodyLimit: 1, BodyMemory: 1},
	}
	var text bytes.Buffer
	if err := plan.Write(&text); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(state, "program")
	copyProgram(t, program)
	if err := os.WriteFile(filepath.Join(workspace, "mark"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "start")
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+state)
	cmd.Stdin, cmd.Stderr, cmd.Dir = &text, os.Stderr, "/"
	uid := os.Getuid()
	if uid == 0 {
		uid = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		for _, path := range []string{state, workspace} {
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(state, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	events, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := fmt.Sprint(uid)
	var got []string
	if err := child.Read(events, func(e event.Event) {
		if e.Type != event.Log {
			return
		}
		got = append(got, e.Message)
		if e.Message == last {
			cmd.Process.Kill()
		}
	}); err != nil {
		t.Error(err)
	}
	cmd.Wait()
	eventually(t, func() []string { return processesWith(t, "XDG_RUNTIME_DIR="+state) })
	none := "0000000000000000"
	want := []string{"CapEff:\t" + none, "CapInh:\t" + none, "workspace", "root", last}
	if cmp.Equal(slices.DeleteFunc(slices.Clone(want), func(s string) bool { return s == "workspace" }), got) {
		t.Skip("missing: user namespaces for everybody")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the worker sees (-want +got):\n%s", d)
	}
}

// copyProgram copies this program to where every user may execute it.
func copyProgram(t *testing.T, path string) {
	t.Helper()
	source, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
}
