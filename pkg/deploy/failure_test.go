package deploy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
)

func TestDiagnose(t *testing.T) {
	instance := func(last *deploy.LastState) []deploy.Instance {
		return []deploy.Instance{
			{Name: "echo-good", Status: "Running", ReadyProcesses: 1, TotalProcesses: 1},
			{Name: "echo-bad", Status: "Running", TotalProcesses: 1, Restarts: 3, Last: last},
		}
	}
	warning := func(reason, message string) []deploy.Event {
		return []deploy.Event{{Type: "Normal", Reason: "Fine", Message: "fine"}, {Type: "Warning", Reason: reason, Message: message}}
	}
	tests := []struct {
		name      string
		status    deploy.State
		reason    string
		message   string
		events    []deploy.Event
		instances []deploy.Instance
		log       []string
		cause     string // its name; "" for none
		kind      fault.Kind
		text      string // in the error
		hint      string // in its hint
	}{
		{name: "memory", instances: instance(&deploy.LastState{ExitCode: 137, Reason: "OOMKilled"}), cause: "oom", kind: fault.Processor,
			text: "more memory than its 1000 MB", hint: "`eascmd modify echo -Dmetadata.memory=2000`"},
		{name: "image", events: warning("Failed", `Failed to pull image "x": not found`), cause: "image", kind: fault.Remote, text: "cannot be pulled"},
		{name: "model", message: "fetch model oss://bucket/m.tar.gz failed: NoSuchKey", cause: "files", kind: fault.Remote, text: "cannot be fetched"},
		{name: "model that does not exist", events: warning("DownloadFailed", "oss://bucket/m.tar.gz does not exist"), cause: "files", kind: fault.Remote},
		{name: "no room", status: deploy.Waiting, events: warning("FailedScheduling", "0/3 nodes are available: 3 Insufficient cpu."), cause: "resources", kind: fault.Remote, text: "no machines"},
		{name: "still pending", status: deploy.Waiting, cause: "resources", kind: fault.Remote},
		{name: "glibc", instances: instance(&deploy.LastState{ExitCode: 1, Reason: "Error"}),
			log:   []string{"/eas/libecho.so: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found"},
			cause: "glibc", kind: fault.Processor, text: "GLIBC_2.38", hint: "older"},
		{name: "library", log: []string{"libfoo.so.3: cannot open shared object file: No such file or directory"}, cause: "library", kind: fault.Processor, text: "libfoo.so.3"},
		{name: "module", log: []string{"ModuleNotFoundError: No module named 'numpy'"}, cause: "module", kind: fault.Processor, text: "numpy"},
		{name: "CPU", log: []string{"exec format error"}, cause: "cpu", kind: fault.Processor},
		{name: "health", events: warning("Unhealthy", "Readiness probe failed: connection refused"), cause: "health", kind: fault.Processor},
		{name: "port", log: []string{"OSError: [Errno 98] Address already in use"}, cause: "port", kind: fault.Processor},
		{name: "crash", instances: instance(&deploy.LastState{ExitCode: 139, Reason: "Error"}), cause: "crash", kind: fault.Processor, text: "SIGSEGV"},
		{name: "crash, seen as poor health", reason: "INSTANCE_CRASHED", events: warning("Unhealthy", "Readiness probe failed"),
			instances: instance(&deploy.LastState{ExitCode: 132, Reason: "Error", Message: "worker 1 crashed"}), cause: "crash", kind: fault.Processor, text: "exit status 132: worker 1 crashed"},
		{name: "ended for its poor health", events: warning("Unhealthy", "Liveness probe failed: timeout"),
			instances: instance(&deploy.LastState{ExitCode: 137, Reason: "Error"}), cause: "health", kind: fault.Processor},
		{name: "crash loop", events: warning("BackOff", "Back-off restarting failed container"), cause: "crash", kind: fault.Processor},
		{name: "load", reason: "PROCESSOR_INVALID", message: "the processor holds no file libx.so", cause: "load", kind: fault.Processor, text: "cannot be loaded"},
		{name: "load, in other words", message: "Failed to initialize the processor", cause: "load", kind: fault.Processor},
		{name: "quota", message: "QuotaExceeded: 10 services", cause: "quota", kind: fault.Remote},
		{name: "unknown", message: "the moon is in the wrong place", kind: fault.Remote, text: "the moon is in the wrong place", hint: "eascmd log echo"},
		{name: "fine words are no cause", events: []deploy.Event{{Type: "Normal", Reason: "Pulling", Message: "Pulling image failed once, not found"}}, kind: fault.Remote},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlatform()
			create(t, p)
			s := p.services["echo"]
			s.script = nil
			s.Status = deploy.Failed
			if test.status != "" {
				s.Status = test.status
			}
			s.Reason, s.Message, s.events, s.instances = test.reason, test.message, test.events, test.instances
			s.logs = map[string][]string{"": test.log, "echo-bad": test.log}
			f := deploy.Diagnose(t.Context(), p, &deploy.Failure{Name: "echo"})
			got := ""
			if f.Cause != nil {
				got = f.Cause.Name
			}
			if got != test.cause {
				t.Errorf("cause %q, want %q", got, test.cause)
			}
			var err error = f
			if fault.KindOf(err) != test.kind {
				t.Errorf("kind %d, want %d", fault.KindOf(err), test.kind)
			}
			if !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want %q in it", err, test.text)
			}
			if hint := fault.HintOf(err); hint == "" || !strings.Contains(hint, test.hint) {
				t.Errorf("hint %q, want %q in it", hint, test.hint)
			}
		})
	}
}

func TestFailureLines(t *testing.T) {
	p := newPlatform()
	create(t, p)
	s := p.services["echo"]
	s.script, s.Status = nil, deploy.Failed
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	s.events = []deploy.Event{{Time: at, Type: "Normal", Message: "fine"}, {Time: at, Type: "Warning", Reason: "BackOff", Message: "Back-off restarting"}}
	s.instances = []deploy.Instance{{Name: "echo-1", Status: "Running", TotalProcesses: 1, Restarts: 2, Last: &deploy.LastState{ExitCode: 247, Reason: "Error"}}}
	var log []string
	for i := range 80 {
		log = append(log, fmt.Sprintf("line %d", i))
	}
	s.logs = map[string][]string{"previous": log, "echo-1": {"of this life"}}
	f := deploy.Diagnose(t.Context(), p, &deploy.Failure{Name: "echo"})
	lines := f.Lines()
	want := []string{
		"events:",
		"  2026-01-02 03:04:05  BackOff  Back-off restarting",
		"instance echo-1: Running, 0 of 1 processes ready, restarted 2 times; before that: exit status 247: ended by SIGKILL, often for want of memory",
		"last 50 lines of its log:",
		"  line 30",
	}
	if diff := cmp.Diff(want, lines[:len(want)]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if last := lines[len(lines)-1]; last != "  line 79" {
		t.Errorf("the last line is %q", last)
	}
}

func TestDiagnoseWithoutAnswers(t *testing.T) {
	p := newPlatform()
	f := deploy.Diagnose(t.Context(), p, &deploy.Failure{Name: "echo", Service: &deploy.Service{Name: "echo", Status: deploy.Failed, Message: "bad luck"}})
	if f.Error() != "service echo failed: bad luck" || len(f.Lines()) != 0 {
		t.Errorf("%s %v", f.Error(), f.Lines())
	}
	if _, ok := errors.AsType[*deploy.Failure](fmt.Errorf("x: %w", f)); !ok {
		t.Error("it is no Failure")
	}
}

func TestWords(t *testing.T) {
	tests := []struct {
		state deploy.LastState
		want  string
	}{
		{deploy.LastState{ExitCode: 1}, "it ended with exit status 1"},
		{deploy.LastState{ExitCode: 0}, "exit status 0; a service has to go on"},
		{deploy.LastState{ExitCode: 127}, "the program is not there"},
		{deploy.LastState{ExitCode: 134}, "SIGABRT"},
		{deploy.LastState{ExitCode: 137, Reason: "OOMKilled"}, "OOMKilled"},
		{deploy.LastState{ExitCode: 247, Message: "killed\n"}, "exit status 247: killed"},
		{deploy.LastState{ExitCode: 132}, "SIGILL"},
		{deploy.LastState{ExitCode: 129}, "signal 1"},
	}
	for _, test := range tests {
		if got := test.state.Words(); !strings.Contains(got, test.want) || strings.HasSuffix(got, "\n") {
			t.Errorf("%+v: %q, want %q in it", test.state, got, test.want)
		}
	}
}
