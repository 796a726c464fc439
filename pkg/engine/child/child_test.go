package child

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/hosts"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp ends its own housekeeping a while after the server.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

func TestWriteAndRead(t *testing.T) {
	var stream bytes.Buffer
	write := Writer(&stream)
	want := []event.Event{
		{Type: event.Listening, Time: time.Unix(1, 0).UTC(), Address: "127.0.0.1:1"},
		{Type: event.Log, Time: time.Unix(2, 0).UTC(), Worker: 1, Stream: "stdout", Message: "tab\t\"quotes\" <&> \u2028 \x00 \x1b[31m é"},
		{Type: event.Log, Time: time.Unix(3, 0).UTC(), Message: strings.Repeat("long ", 200_000)},
		{Type: "from the future"},
		{Type: event.Failed, Message: "why", Hint: "what", Exit: 4},
	}
	for _, e := range want {
		write(e)
	}
	var got []event.Event
	if err := Read(&stream, func(e event.Event) { got = append(got, e) }); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

func TestReadHandlesDamage(t *testing.T) {
	tests := []struct {
		name, stream string
		events       int
		fails        bool
	}{
		{"nothing", "", 0, false},
		{"a line that breaks off", `{"type":"ready"}` + "\n" + `{"type":"lo`, 1, false},
		{"something else", "hello\n", 0, true},
		{"another shape", "[1]\n", 0, true},
		{"no end of the line", strings.Repeat("x", maxLine+(1<<17)), 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			err := Read(strings.NewReader(tt.stream), func(event.Event) { n++ })
			if (err != nil) != tt.fails || n != tt.events {
				t.Errorf("%d events, %v", n, err)
			}
		})
	}
	broken := errors.New("broken")
	if err := Read(io.MultiReader(strings.NewReader("{}\n"), errorReader{broken}), func(event.Event) {}); !errors.Is(err, broken) {
		t.Errorf("a broken stream: %v", err)
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"type":"ready","elapsedMs":3}` + "\n"))
	f.Add([]byte("{\"type\":\"log\"}\n\n{}"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		n := 0
		// It must neither panic nor hand on more events than there are lines.
		if _ = Read(bytes.NewReader(stream), func(event.Event) { n++ }); n > bytes.Count(stream, []byte("\n")) {
			t.Errorf("%d events in %q", n, stream)
		}
	})
}

func TestRunTellsEveryFailure(t *testing.T) {
	var events []event.Event
	err := Run(t.Context(), &runplan.Plan{Version: runplan.Version}, Options{Emit: func(e event.Event) { events = append(events, e) }})
	if fault.KindOf(err) != fault.Description {
		t.Fatalf("a plan without anything: %v", err)
	}
	if len(events) != 1 || events[0].Type != event.Failed || events[0].Exit != int(fault.Description) || events[0].Message != err.Error() {
		t.Errorf("%v was told as %+v", err, events)
	}
}

// sleeper makes the plan of a processor that sleeps for the milliseconds of a
// request.
func sleeper(t *testing.T) *runplan.Plan {
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("missing: gcc")
	}
	host, err := hosts.CPP(t.Context(), hosts.Options{})
	if err != nil {
		if fault.KindOf(err) == fault.Missing {
			t.Skipf("missing: %v", err)
		}
		t.Fatal(err)
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "sleeper.c")
	if err := os.WriteFile(source, []byte(`#include <stdio.h>
#include <unistd.h>
void *initialize(const char *e, const char *c, int *state) { *state = 0; if (*c) { puts("loading"); fflush(stdout); sleep(600); } return 0; }
int process(void *m, const void *i, int n, void **o, int *s) { return 200; }
`), 0o644); err != nil {
		t.Fatal(err)
	}
	library := filepath.Join(dir, "sleeper.so")
	if out, err := exec.CommandContext(t.Context(), compiler, "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return &runplan.Plan{
		Version: runplan.Version, Name: "sleeper", Language: "cpp", Workspace: dir,
		Processor: runplan.Processor{Dir: dir, Entry: library},
		Worker:    runplan.Worker{Command: []string{host}, Count: 1, Threads: 1, GraceMS: 600_000},
		Gateway: runplan.Gateway{
			Host: "127.0.0.1", KeepAliveMS: 5000, MaxQueueSize: 1, BodyLimit: 1 << 20, BodyMemory: 1 << 20,
			ContentType: runplan.DefaultContentType,
		},
	}
}

func TestReleased(t *testing.T) {
	for stream, want := range map[string]bool{
		"": false, Release: true, "noise\n" + Release: true, "release": false, "unrelease\n": false,
		strings.Repeat("x", 1<<16) + "\n" + Release + "more": true,
	} {
		if got := released(strings.NewReader(stream)); got != want {
			t.Errorf("%.20q lets go: %v, want %v", stream, got, want)
		}
	}
}

func TestRunEndsWithItsParent(t *testing.T) {
	for _, loading := range []string{"", "endless"} {
		t.Run("loading="+loading, func(t *testing.T) {
			plan := sleeper(t)
			plan.Processor.ModelConfig = loading
			lifeline, parent := io.Pipe()
			up := make(chan struct{}, 1)
			ended := make(chan error, 1)
			go func() {
				ended <- Run(context.Background(), plan, Options{Lifeline: lifeline, Emit: func(e event.Event) {
					if e.Type == event.Ready || e.Type == event.Log && e.Message == "loading" {
						up <- struct{}{}
					}
				}})
			}()
			select {
			case <-up:
			case err := <-ended:
				t.Fatalf("ended: %v", err)
			case <-time.After(time.Minute):
				t.Fatal("neither ready nor loading")
			}
			parent.Close()
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("it goes on without its parent")
			}
		})
	}
}
