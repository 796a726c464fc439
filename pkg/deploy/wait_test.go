package deploy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
)

const echo = `{"name":"echo","metadata":{"cpu":1,"instance":1}}`

// create makes a service and fails the test if it cannot.
func create(t *testing.T, p *platform) {
	t.Helper()
	if _, err := p.Create(t.Context(), deploy.CreateRequest{Name: "echo", Description: []byte(echo)}); err != nil {
		t.Fatal(err)
	}
}

// running makes a service that runs.
func running(t *testing.T, p *platform) {
	t.Helper()
	create(t, p)
	p.services["echo"].script = []deploy.State{deploy.Running}
	if _, err := p.Describe(t.Context(), "echo"); err != nil {
		t.Fatal(err)
	}
	p.calls = nil
}

// wait waits and returns the lines that were told, the same one only once in a
// row.
func wait(ctx context.Context, p *platform, opts deploy.WaitOptions) ([]string, *deploy.Service, error) {
	var lines []string
	opts.Interval = time.Millisecond
	opts.Observe = func(s deploy.Step) {
		if line := s.String(); len(lines) == 0 || lines[len(lines)-1] != line {
			lines = append(lines, line)
		}
	}
	s, err := deploy.Wait(ctx, p, "echo", opts)
	return lines, s, err
}

func TestWaitAfterCreate(t *testing.T) {
	p := newPlatform()
	create(t, p)
	p.services["echo"].say(p.now(), "Normal", "Image", "Building image [registry/echo:v0.0.1]")
	lines, s, err := wait(t.Context(), p, deploy.WaitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"Creating api gateway",
		"Building image [registry/echo:v0.0.1]",
		"Service is now creating",
		"Waiting [Total: 1, Pending: 1, Running: 0]",
		"Service is running",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if s == nil || s.Status != deploy.Running {
		t.Errorf("service %+v", s)
	}
}

func TestWaitForAnotherGoal(t *testing.T) {
	tests := []struct {
		name   string
		action deploy.Action
		goal   deploy.Goal
		want   []string
		gone   bool
	}{
		{"stop", deploy.Stop, deploy.ToStop, []string{"Service is stopping", "Service is stopped"}, false},
		{"delete", deploy.Delete, deploy.ToDelete, []string{"Service is terminating", "Service was deleted successfully"}, true},
		{"restart", deploy.Restart, deploy.ToRun, []string{"Updating [Total: 1, Pending: 1, Running: 0]", "Service is running"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlatform()
			running(t, p)
			p.latency = 2 // the old state is shown for a while
			before, err := deploy.Look(t.Context(), p, "echo")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Act(t.Context(), "echo", test.action); err != nil {
				t.Fatal(err)
			}
			lines, s, err := wait(t.Context(), p, deploy.WaitOptions{Goal: test.goal, Before: before})
			if err != nil {
				t.Fatal(err)
			}
			lines = without(lines, "Running [Total: 1, Pending: 0, Running: 1]") // from before
			if diff := cmp.Diff(test.want, lines); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if (s == nil) != test.gone {
				t.Errorf("service %+v", s)
			}
		})
	}
}

func without(lines []string, line string) []string {
	var rest []string
	for _, l := range lines {
		if l != line {
			rest = append(rest, l)
		}
	}
	return rest
}

func TestWaitForWhatChangesNothing(t *testing.T) {
	p := newPlatform()
	running(t, p)
	before, err := deploy.Look(t.Context(), p, "echo")
	if err != nil {
		t.Fatal(err)
	}
	lines, _, err := wait(t.Context(), p, deploy.WaitOptions{Before: before})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Service is running"}, lines); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Whoever comes back to a service that was left on its way has heard what
// happened before.
func TestWaitSince(t *testing.T) {
	p := newPlatform()
	running(t, p)
	p.services["echo"].say(p.now(), "Normal", "Image", "Building the old image")
	later := p.now().Add(time.Hour)
	p.services["echo"].say(later, "Normal", "Image", "Building the new image")
	lines, _, err := wait(t.Context(), p, deploy.WaitOptions{Since: later})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Building the new image", "Service is running"}, lines); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWaitEnds(t *testing.T) {
	down := &deploy.Error{Operation: "DescribeService", Err: errors.New("connection refused")}
	busy := &deploy.Error{Operation: "DescribeService", Status: 503, Code: "ServiceUnavailable"}
	denied := fault.New(fault.Remote, "describe service echo: %w", &deploy.Error{Operation: "DescribeService", Status: 403, Code: "Forbidden.RAM", Message: "not you"})
	absent := &deploy.Error{Operation: "DescribeService", Status: 404, Err: deploy.ErrNotFound}
	again := func(err error, n int) []error {
		errs := make([]error, n)
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	tests := []struct {
		name    string
		script  []deploy.State
		faults  []error
		opts    deploy.WaitOptions
		want    string // in the error; "" for none
		kind    fault.Kind
		failure bool
	}{
		{name: "trouble that passes", faults: []error{down, busy, nil, down}},
		{name: "not there at first", faults: []error{absent, absent}},
		{name: "never there", faults: again(absent, 1e6), opts: deploy.WaitOptions{Patience: 20 * time.Millisecond}, want: "was created, but is not there", kind: fault.Remote},
		{name: "trouble that stays", faults: again(down, 1e6), opts: deploy.WaitOptions{Patience: 20 * time.Millisecond}, want: "could not be asked", kind: fault.Missing},
		{name: "not allowed", faults: []error{denied}, want: "not you (Forbidden.RAM)", kind: fault.Remote},
		{name: "failed", script: []deploy.State{deploy.Creating, deploy.Failed}, want: "service echo failed", kind: fault.Remote, failure: true},
		{name: "stopped by somebody", script: []deploy.State{deploy.Creating, deploy.Stopped}, want: "service echo is stopped", kind: fault.Remote, failure: true},
		{name: "too long", script: []deploy.State{deploy.Waiting}, opts: deploy.WaitOptions{Timeout: 30 * time.Millisecond}, want: "does not run after 30ms", kind: fault.Failed, failure: true},
		{name: "not deleted", script: []deploy.State{deploy.Deleting, deploy.DeleteFailed}, opts: deploy.WaitOptions{Goal: deploy.ToDelete}, want: "was not deleted", kind: fault.Remote, failure: true},
	}
	for _, test := range tests {
		runTimeless(t, test.name, func(t *testing.T) {
			p := newPlatform()
			create(t, p)
			if test.script != nil {
				p.services["echo"].script = test.script
			}
			p.faults["Describe"] = test.faults
			_, _, err := wait(t.Context(), p, test.opts)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			if got := fault.KindOf(err); got != test.kind {
				t.Errorf("kind %d, want %d", got, test.kind)
			}
			if _, ok := errors.AsType[*deploy.Failure](err); ok != test.failure {
				t.Errorf("a Failure: %t", ok)
			}
			if fault.HintOf(err) == "" && test.name != "not allowed" {
				t.Error("there is no hint")
			}
		})
	}
}

func TestWaitForDeletedByOthers(t *testing.T) {
	p := newPlatform()
	running(t, p)
	before, err := deploy.Look(t.Context(), p, "echo")
	if err != nil {
		t.Fatal(err)
	}
	delete(p.services, "echo")
	_, _, err = wait(t.Context(), p, deploy.WaitOptions{Before: before})
	if !errors.Is(err, deploy.ErrNotFound) || !strings.Contains(err.Error(), "somebody has deleted it") {
		t.Errorf("error %v", err)
	}
}

func TestWaitTellsOfOthers(t *testing.T) {
	p := newPlatform()
	running(t, p)
	before, err := deploy.Look(t.Context(), p, "echo")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // ours, and somebody else's
		if _, err := p.Update(t.Context(), "echo", deploy.UpdateRequest{Description: []byte(`{"metadata":{"cpu":2}}`)}); err != nil {
			t.Fatal(err)
		}
	}
	lines, _, err := wait(t.Context(), p, deploy.WaitOptions{Before: before})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"Service [echo] was changed by somebody else: version 3 is being made",
		"Updating [Total: 1, Pending: 1, Running: 0]",
		"Service is running",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWaitInterrupted(t *testing.T) {
	p := newPlatform()
	p.next = []deploy.State{deploy.Waiting}
	create(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := deploy.Wait(ctx, p, "echo", deploy.WaitOptions{Interval: time.Millisecond, Observe: func(deploy.Step) { cancel() }})
	if fault.KindOf(err) != fault.Interrupted || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestSettle(t *testing.T) {
	request := deploy.CreateRequest{Name: "echo", Description: []byte(echo)}
	quick := deploy.SettleOptions{Interval: time.Millisecond, Patience: 50 * time.Millisecond}
	runTimeless(t, "carried out", func(t *testing.T) {
		p := newPlatform()
		p.invisible = true
		_, cause := p.Create(t.Context(), request)
		// The platform adds what it likes.
		s := p.services["echo"]
		s.Description = []byte(`{"name":"echo","token":"t","metadata":{"cpu":1,"instance":1,"region":"cn-test"}}`)
		p.faults["Describe"] = []error{&deploy.Error{Status: 404, Err: deploy.ErrNotFound}, &deploy.Error{Status: 500}}
		created, err := deploy.Settle(t.Context(), p, request, cause, quick)
		if err != nil || created.ServiceID != "eas-m-1" {
			t.Errorf("%+v, %v", created, err)
		}
	})
	runTimeless(t, "lost", func(t *testing.T) {
		p := newPlatform()
		p.lost = true
		_, cause := p.Create(t.Context(), request)
		_, err := deploy.Settle(t.Context(), p, request, cause, quick)
		if err == nil || !strings.Contains(err.Error(), "was not created") || !errors.Is(err, cause) || fault.KindOf(err) != fault.Missing {
			t.Errorf("error %v of kind %d", err, fault.KindOf(err))
		}
		if len(p.calls) != 1 {
			t.Errorf("calls %v", p.calls)
		}
	})
	runTimeless(t, "somebody else's", func(t *testing.T) {
		p := newPlatform()
		create(t, p)
		p.services["echo"].Description = []byte(`{"name":"echo","metadata":{"cpu":4,"instance":1}}`)
		_, err := deploy.Settle(t.Context(), p, request, &deploy.Error{Unsettled: true}, quick)
		if !errors.Is(err, deploy.ErrExists) {
			t.Errorf("error %v", err)
		}
	})
	runTimeless(t, "not to be known", func(t *testing.T) {
		p := newPlatform()
		p.faults["Describe"] = []error{&deploy.Error{Status: 403, Code: "NoPermission"}}
		_, err := deploy.Settle(t.Context(), p, request, &deploy.Error{Unsettled: true}, quick)
		if err == nil || !strings.Contains(err.Error(), "is not known") {
			t.Errorf("error %v", err)
		}
	})
}

func TestRollback(t *testing.T) {
	p := newPlatform()
	running(t, p)
	p.broken = `"cpu":99`
	before, err := deploy.Look(t.Context(), p, "echo")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Update(t.Context(), "echo", deploy.UpdateRequest{Description: []byte(`{"metadata":{"cpu":99}}`)}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := wait(t.Context(), p, deploy.WaitOptions{Before: before}); err == nil {
		t.Fatal("it runs")
	}
	s, err := deploy.Rollback(t.Context(), p, before, deploy.WaitOptions{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != deploy.Running || s.CurrentVersion != 1 || string(s.Description) != echo {
		t.Errorf("service %+v", s)
	}
	if diff := cmp.Diff([]string{"Update echo", "SwitchVersion echo"}, p.calls); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestRollbackWithoutVersion(t *testing.T) {
	p := newPlatform()
	running(t, p)
	before, err := deploy.Look(t.Context(), p, "echo")
	if err != nil {
		t.Fatal(err)
	}
	s := p.services["echo"]
	s.Status, s.Description = deploy.Failed, []byte(`{"name":"echo","metadata":{"cpu":99}}`)
	got, err := deploy.Rollback(t.Context(), p, before, deploy.WaitOptions{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Description) != echo {
		t.Errorf("description %s", got.Description)
	}
	if diff := cmp.Diff([]string{"Update echo"}, p.calls); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWaitGivesUpCrashes(t *testing.T) {
	last := &deploy.LastState{ExitCode: 139, Reason: "Error"}
	for _, test := range []struct {
		name      string
		update    bool
		instances []deploy.Instance
		want      bool // it is given up
	}{
		{"new", false, []deploy.Instance{{Name: "a", TotalProcesses: 1, Restarts: 3, Last: last}}, true},
		{"new, few", false, []deploy.Instance{{Name: "a", TotalProcesses: 1, Restarts: 2, Last: last}}, false},
		{"recovered", false, []deploy.Instance{{Name: "a", TotalProcesses: 1, ReadyProcesses: 1, Restarts: 9, Last: last}}, false},
		{"of the version before", true, []deploy.Instance{{Name: "a", TotalProcesses: 1, Restarts: 9, Last: last}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlatform()
			p.next = nil
			for range 30 {
				p.next = append(p.next, deploy.Waiting)
			}
			p.next = append(p.next, deploy.Running)
			create(t, p)
			s := p.services["echo"]
			s.instances = test.instances
			opts := deploy.WaitOptions{}
			if test.update {
				var err error
				if opts.Before, err = deploy.Look(t.Context(), p, "echo"); err != nil {
					t.Fatal(err)
				}
			}
			_, _, err := wait(t.Context(), p, opts)
			if f, ok := errors.AsType[*deploy.Failure](err); ok != test.want {
				t.Fatalf("error %v", err)
			} else if ok {
				if f = deploy.Diagnose(t.Context(), p, f); f.Cause == nil || f.Cause.Name != "crash" || fault.KindOf(f) != fault.Processor {
					t.Errorf("cause %+v", f.Cause)
				}
			}
		})
	}
}
