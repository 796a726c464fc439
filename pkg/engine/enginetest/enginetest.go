// Package enginetest is the one suite that every engine passes. It runs a real
// processor, compiled from testdata, and talks to it over HTTP.
package enginetest

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine"
	"github.com/openeas/eascmd/pkg/engine/hosts"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// Suite is an engine under test and what the suite has to know about it.
type Suite struct {
	// New makes the engine for a plan whose workspace lies at dir on this
	// machine.
	New func(t *testing.T, dir string) engine.Engine

	// Workspace is where the engine has the workspace; empty means that it is
	// where it lies.
	Workspace string

	// FindsHost is set where the engine finds the host itself.
	FindsHost bool

	// Kill kills the program that the engine started for a run, as kill -9 does.
	Kill func(t *testing.T, run engine.Run)

	// Leftovers names what runs have made outside of this process and not
	// removed: processes, directories, containers. It skips nothing that a run
	// which has ended could have left.
	Leftovers func(t *testing.T) []string

	// Settle, where it is set, ends connections that the engine keeps open to
	// use them again.
	Settle func()

	// WorkspacePaths and MemoryLimit say why the engine cannot show the absolute
	// paths of EAS or keep a memory limit here; empty means that it can.
	WorkspacePaths, MemoryLimit string
}

//go:embed testdata/probe.cc
var probeSource []byte

// timeout bounds everything that a test waits for. It is only reached when
// the test fails.
const timeout = 60 * time.Second

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	f := &fixture{Suite: s}
	f.build(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *fixture)
	}{
		{"Serves", testServes},
		{"DeliversLogsInOrder", testLogs},
		{"DrainsOnStop", testDrain},
		{"StopGivesUpWithContext", testStopDeadline},
		{"EndsOnce", testEndsOnce},
		{"CloseEndsARun", testClose},
		{"CloseWithoutReader", testCloseWithoutReader},
		{"ReportsFailedLoad", testLoadFailure},
		{"RestartsAfterCrash", testCrash},
		{"ServesProgramsThatServeHTTP", testServer},
		{"SurvivesKill", testKill},
		{"ReportsTakenPort", testTakenPort},
		{"CancelledStart", testCancelledStart},
		{"PassesEnvironment", testEnvironment},
		{"WorkspacePaths", testWorkspacePaths},
		{"ExplainsLackOfMemory", testMemory},
		{"LeavesNothing", testLeavesNothing},
	} {
		t.Run(test.name, func(t *testing.T) {
			// Registered first, so that it comes after every run was closed.
			t.Cleanup(func() { f.wantNothingLeft(t) })
			test.run(t, f)
		})
	}
}

type fixture struct {
	Suite
	host, processor string // the programs
}

// Plan makes a workspace with the suite's processor, for tests of one engine,
// and the plan for it as it is at workspace. dir is where it lies here.
func Plan(t *testing.T, workspace string) (p *runplan.Plan, dir string) {
	t.Helper()
	f := &fixture{Suite: Suite{Workspace: workspace, FindsHost: true}}
	f.buildProcessor(t)
	made := f.plan(t)
	return made.Plan, made.dir
}

// build makes the host and the processor, or skips the suite by name of what
// is missing.
func (f *fixture) build(t *testing.T) {
	f.buildProcessor(t)
	if f.FindsHost {
		return
	}
	var err error
	if f.host, err = hosts.CPP(t.Context(), hosts.Options{}); err != nil {
		if fault.KindOf(err) == fault.Missing {
			t.Skipf("missing: %v", err)
		}
		t.Fatal(err)
	}
}

func (f *fixture) buildProcessor(t *testing.T) {
	compiler, err := exec.LookPath("g++")
	if err != nil {
		t.Skip("missing: g++")
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "probe.cc")
	if err := os.WriteFile(source, probeSource, 0o644); err != nil {
		t.Fatal(err)
	}
	f.processor = filepath.Join(dir, "libprobe.so")
	if out, err := exec.CommandContext(t.Context(), compiler, "-shared", "-fPIC", "-g", "-o", f.processor, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// plan is a plan and where its workspace lies on this machine.
type plan struct {
	*runplan.Plan
	dir string
}

// plan makes a workspace with the processor and a model, and the plan for it.
func (f *fixture) plan(t *testing.T) *plan {
	t.Helper()
	here := t.TempDir()
	workspace := cmp.Or(f.Workspace, here)
	dir := filepath.Join(here, "predictor", "probe")
	model := filepath.Join(here, "model")
	for _, d := range []string{dir, model, filepath.Join(here, "config")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(model, "weights"), []byte("0.5"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(f.processor, filepath.Join(dir, "libprobe.so")); err != nil {
		t.Fatal(err)
	}
	var command []string
	if !f.FindsHost {
		command = []string{f.host}
	}
	there := workspace + "/predictor/probe"
	return &plan{dir: here, Plan: &runplan.Plan{
		Version: runplan.Version, Name: "probe", Language: "cpp", Workspace: workspace,
		Processor: runplan.Processor{Dir: there, Entry: there + "/libprobe.so", ModelEntry: workspace + "//model/./"},
		Worker: runplan.Worker{
			Command: command, Count: 1, Threads: runplan.DefaultThreads, GraceMS: runplan.DefaultGraceMS,
		},
		Gateway: runplan.Gateway{
			Host: "127.0.0.1", Token: "secret", KeepAliveMS: runplan.DefaultKeepAliveMS, MaxQueueSize: runplan.DefaultMaxQueueSize,
			BodyLimit: 1 << 20, BodyMemory: 64 << 20, ContentType: runplan.DefaultContentType,
		},
	}}
}

// service is a run and what it has said so far.
type service struct {
	engine.Run
	token string

	mu     sync.Mutex
	events []event.Event
	change chan struct{} // closed at every event
	over   bool
}

func (f *fixture) start(t *testing.T, plan *plan) *service {
	t.Helper()
	run, err := f.New(t, plan.dir).Start(t.Context(), plan.Plan)
	if err != nil {
		t.Fatal(err)
	}
	return f.follow(t, plan, run)
}

func (f *fixture) follow(t *testing.T, plan *plan, run engine.Run) *service {
	s := &service{Run: run, token: plan.Gateway.Token, change: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range run.Events() {
			s.add(e, false)
		}
		s.add(event.Event{}, true)
	}()
	t.Cleanup(func() {
		if err := run.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		<-done
		if t.Failed() {
			s.dump(t)
		}
	})
	return s
}

func (s *service) add(e event.Event, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if over {
		s.over = true
	} else {
		s.events = append(s.events, e)
	}
	close(s.change)
	s.change = make(chan struct{})
}

func (s *service) dump(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		t.Logf("event: %+v", e)
	}
}

// await returns the first event for which is holds.
func (s *service) await(t *testing.T, what string, is func(event.Event) bool) event.Event {
	t.Helper()
	deadline := time.After(timeout)
	for seen := 0; ; {
		s.mu.Lock()
		events, over, change := s.events, s.over, s.change
		s.mu.Unlock()
		for ; seen < len(events); seen++ {
			if is(events[seen]) {
				return events[seen]
			}
		}
		if over {
			t.Fatalf("the run ended before %s: %v", what, s.Wait())
		}
		select {
		case <-change:
		case <-deadline:
			t.Fatalf("no %s after %v", what, timeout)
		}
	}
}

func (s *service) awaitType(t *testing.T, want event.Type) event.Event {
	t.Helper()
	return s.await(t, string(want), func(e event.Event) bool { return e.Type == want })
}

// post sends a request and returns the answer's status and body.
func (s *service) post(body string) (int, string, error) {
	client := &http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequest(http.MethodPost, s.Endpoint()+"/api/predict/probe", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", s.token)
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

func (s *service) wantAnswer(t *testing.T, body string, status int, want string) {
	t.Helper()
	got, answer, err := s.post(body)
	if err != nil {
		t.Fatalf("post %q: %v", body, err)
	}
	if got != status || answer != want {
		t.Errorf("post %q: %d %q, want %d %q", body, got, answer, status, want)
	}
}

// wantNothingLeft waits until nothing is left; processes take a moment to die.
func (f *fixture) wantNothingLeft(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for {
		left := f.Leftovers(t)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %s", strings.Join(left, ", "))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func testServes(t *testing.T, f *fixture) {
	plan := f.plan(t)
	s := f.start(t, plan)
	s.awaitType(t, event.Listening)
	ready := s.awaitType(t, event.Ready)
	if ready.ElapsedMS < 0 || ready.ElapsedMS > timeout.Milliseconds() {
		t.Errorf("loading took %d ms", ready.ElapsedMS)
	}
	s.wantAnswer(t, "echo hello", 200, "hello")
	s.wantAnswer(t, "echo", 200, "")
	s.token = "wrong"
	if status, _, err := s.post("echo hello"); status != 401 || err != nil {
		t.Errorf("with a wrong token: %d, %v", status, err)
	}
	stop(t, s)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Type == event.WorkerExit {
			t.Errorf("a worker did not end in order: %s", e.Message)
		}
	}
}

func stop(t *testing.T, s *service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	if ctx.Err() != nil {
		t.Error("stop took too long")
	}
	if err := s.Wait(); err != nil {
		t.Errorf("a run that was stopped: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func testLogs(t *testing.T, f *fixture) {
	s := f.start(t, f.plan(t))
	s.awaitType(t, event.Ready)
	const lines = 2000
	s.wantAnswer(t, fmt.Sprintf("print %d", lines), 200, "printed")
	next := 0
	s.await(t, "the last line", func(e event.Event) bool {
		if e.Type == event.Log && strings.HasPrefix(e.Message, "line ") {
			if e.Message != "line "+strconv.Itoa(next) || e.Worker != 1 || e.Stream != "stdout" {
				t.Errorf("%+v where line %d was due", e, next)
				return true
			}
			next++
		}
		return next == lines
	})
	stop(t, s)
}

func testDrain(t *testing.T, f *fixture) {
	s := f.start(t, f.plan(t))
	s.awaitType(t, event.Ready)
	answered := make(chan error, 1)
	go func() {
		status, answer, err := s.post("sleep 300")
		if err == nil && (status != 200 || answer != "slept") {
			err = fmt.Errorf("%d %q", status, answer)
		}
		answered <- err
	}()
	s.await(t, "the request's line", func(e event.Event) bool { return e.Type == event.Log && e.Message == "sleeping" })
	stop(t, s)
	if err := <-answered; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	s.awaitType(t, event.Draining)
	if _, _, err := s.post("echo hello"); err == nil {
		t.Error("a stopped service answers")
	}
}

func testStopDeadline(t *testing.T, f *fixture) {
	plan := f.plan(t)
	plan.Gateway.KeepAliveMS = timeout.Milliseconds()
	plan.Worker.GraceMS = timeout.Milliseconds()
	s := f.start(t, plan)
	s.awaitType(t, event.Ready)
	answered := make(chan struct{})
	go func() {
		s.post(fmt.Sprintf("sleep %d", timeout.Milliseconds()))
		close(answered)
	}()
	s.await(t, "the request's line", func(e event.Event) bool { return e.Type == event.Log && e.Message == "sleeping" })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begin := time.Now()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	if took := time.Since(begin); took > timeout/2 {
		t.Errorf("stop took %v", took)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("a run that was stopped: %v", err)
	}
	<-answered
}

func testEndsOnce(t *testing.T, f *fixture) {
	s := f.start(t, f.plan(t))
	s.awaitType(t, event.Ready)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { stop(t, s) })
	}
	wg.Wait()
	if err := errors.Join(s.Stop(t.Context()), s.Wait(), s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	s.awaitType(t, event.Stopped)
}

func testClose(t *testing.T, f *fixture) {
	s := f.start(t, f.plan(t))
	s.awaitType(t, event.Ready)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := s.post("echo hello"); err == nil {
		t.Error("a closed service answers")
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

func testCloseWithoutReader(t *testing.T, f *fixture) {
	plan := f.plan(t)
	run, err := f.New(t, plan.dir).Start(t.Context(), plan.Plan)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- run.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(timeout):
		t.Fatal("close waits for somebody to read events")
	}
}

func testLoadFailure(t *testing.T, f *fixture) {
	plan := f.plan(t)
	plan.Processor.ModelConfig = "fail"
	s := f.start(t, plan)
	err := s.Wait()
	if fault.KindOf(err) != fault.Processor {
		t.Fatalf("kind %v of %v", fault.KindOf(err), err)
	}
	if !strings.Contains(err.Error(), "400") {
		t.Errorf("%q does not name the state 400", err)
	}
	s.await(t, "the processor's last word", func(e event.Event) bool {
		return e.Type == event.Log && e.Stream == "stderr" && e.Message == "the model is no good"
	})
	s.awaitType(t, event.Failed)
}

func testCrash(t *testing.T, f *fixture) {
	s := f.start(t, f.plan(t))
	s.awaitType(t, event.Ready)
	status, answer, err := s.post("crash")
	if err != nil || status != 500 {
		t.Errorf("the request that crashed: %d %q, %v", status, answer, err)
	}
	exit := s.awaitType(t, event.WorkerExit)
	if !strings.Contains(exit.Message, "SIGSEGV") || !strings.Contains(exit.Message, "process") {
		t.Errorf("explanation %q names no signal or no function", exit.Message)
	}
	s.awaitType(t, event.Restarted)
	s.wantAnswer(t, "echo again", 200, "again")
	stop(t, s)
}

func testKill(t *testing.T, f *fixture) {
	if f.Kill == nil {
		t.Skip("the engine's program cannot be killed from here")
	}
	s := f.start(t, f.plan(t))
	s.awaitType(t, event.Ready)
	f.Kill(t, s.Run)
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("a run whose program was killed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func testTakenPort(t *testing.T, f *fixture) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	plan := f.plan(t)
	plan.Gateway.Port = l.Addr().(*net.TCPAddr).Port
	// Engines find it out at different times.
	run, err := f.New(t, plan.dir).Start(t.Context(), plan.Plan)
	if err == nil {
		err = f.follow(t, plan, run).Wait()
	}
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(plan.Gateway.Port)) || fault.HintOf(err) == "" {
		t.Errorf("%v (hint %q)", err, fault.HintOf(err))
	}
}

func testCancelledStart(t *testing.T, f *fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	plan := f.plan(t)
	run, err := f.New(t, plan.dir).Start(ctx, plan.Plan)
	if err == nil {
		run.Close()
		t.Fatal("started for a caller who had left")
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func testEnvironment(t *testing.T, f *fixture) {
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "key")
	plan := f.plan(t)
	plan.Worker.Env = []runplan.Env{{Name: "EAS_MODEL_DIR", Value: plan.Workspace + "/model"}, {Name: "WITH", Value: "a=b\n\"c\""}}
	s := f.start(t, plan)
	s.awaitType(t, event.Ready)
	s.wantAnswer(t, "env EAS_MODEL_DIR", 200, plan.Workspace+"/model")
	s.wantAnswer(t, "env WITH", 200, "a=b\n\"c\"")
	s.wantAnswer(t, "env ALIBABA_CLOUD_ACCESS_KEY_SECRET", 404, "unset")
	s.wantAnswer(t, "model", 200, plan.Workspace+"//model/./")
	s.wantAnswer(t, "read ../../model/weights", 200, "0.5")
	s.wantAnswer(t, "cwd", 200, plan.Processor.Dir)
	stop(t, s)
}

func testWorkspacePaths(t *testing.T, f *fixture) {
	if f.WorkspacePaths != "" {
		t.Skipf("missing: %s", f.WorkspacePaths)
	}
	plan := f.plan(t)
	s := f.start(t, plan)
	s.awaitType(t, event.Ready)
	s.wantAnswer(t, "read /eas/workspace/model/weights", 200, "0.5")
	s.wantAnswer(t, "read /home/admin/docker_ml/workspace/model/weights", 200, "0.5")
	stop(t, s)
}

func testMemory(t *testing.T, f *fixture) {
	if f.MemoryLimit != "" {
		t.Skipf("missing: %s", f.MemoryLimit)
	}
	plan := f.plan(t)
	plan.Worker.MemoryMB = 64
	s := f.start(t, plan)
	s.awaitType(t, event.Ready)
	s.wantAnswer(t, "grow 20", 200, "grown")
	status, answer, err := s.post("grow 500")
	if err != nil || status != 500 {
		t.Errorf("the request that asked for too much: %d %q, %v", status, answer, err)
	}
	exit := s.awaitType(t, event.WorkerExit)
	for _, want := range []string{"out of memory", "64 MB"} {
		if !strings.Contains(exit.Message, want) {
			t.Errorf("explanation %q lacks %q", exit.Message, want)
		}
	}
	s.awaitType(t, event.Restarted)
	s.wantAnswer(t, "echo again", 200, "again")
	stop(t, s)
}

func testLeavesNothing(t *testing.T, f *fixture) {
	settle := func() {
		if f.Settle != nil {
			f.Settle()
		}
	}
	settle()
	before := descriptors(t)
	for range 10 {
		s := f.start(t, f.plan(t))
		s.awaitType(t, event.Ready)
		s.wantAnswer(t, "echo hello", 200, "hello")
		stop(t, s)
	}
	deadline := time.Now().Add(timeout)
	for {
		settle()
		after := descriptors(t)
		if len(after) <= len(before) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors were open before, %d are now: %s", len(before), len(after), bytes.Join(after, []byte(", ")))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// descriptors lists the open descriptors of this process.
func descriptors(t *testing.T) [][]byte {
	t.Helper()
	names, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Skipf("missing: /dev/fd (%v)", err)
	}
	var list [][]byte
	for _, n := range names {
		destination, _ := os.Readlink("/dev/fd/" + n.Name())
		list = append(list, []byte(n.Name()+" "+destination))
	}
	return list
}
