package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
)

func TestFresh(t *testing.T) {
	for _, tt := range []struct{ name, seen, now, want string }{
		{"nothing", "", "", ""},
		{"the first look", "", "a b", "a b"},
		{"nothing new", "a b", "a b", ""},
		{"more at the end", "a b", "a b c d", "c d"},
		{"the same line again and again", "x x x", "x x x x x", "x x"},
		{"one arrived late", "a c d", "a b c d e", "b e"},
		{"late ones that look the same", "x y x", "x x y x x", "x x"},
		{"the beginning has gone", "a b c d", "c d e", "e"},
		{"the beginning has gone, and nothing came", "a b c d", "c d", ""},
		{"another life", "a b c", "a b", "a b"},
		{"another life that went on", "a b c", "a d e", "a d e"},
		{"all is gone", "a b", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := strings.Fields(tt.now)
			got := strings.Join(pick(now, fresh(strings.Fields(tt.seen), now)), " ")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// target is a target with lines that have a time, and a clock.
type target struct {
	deploy.Target // panics where it is asked for anything else

	clock     time.Time
	instances []deploy.Instance
	lines     map[string][]timed // by instance
	previous  map[string][]timed
	events    []deploy.Event
	failure   error // of the next calls
	calls     int
	fetched   int // lines
}

type timed struct {
	at   time.Time
	text string
}

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newTarget(names ...string) *target {
	f := &target{clock: begin, lines: map[string][]timed{}, previous: map[string][]timed{}}
	for _, name := range names {
		f.instances = append(f.instances, deploy.Instance{Name: name, Status: "Running"})
	}
	return f
}

func (f *target) write(instance string, texts ...string) {
	for _, text := range texts {
		f.lines[instance] = append(f.lines[instance], timed{f.clock, text})
	}
}

func (f *target) Instances(context.Context, string) ([]deploy.Instance, deploy.Reply, error) {
	f.calls++
	return slices.Clone(f.instances), deploy.Reply{}, f.failure
}

func (f *target) Logs(_ context.Context, _ string, r deploy.LogsRequest) ([]string, deploy.Reply, error) {
	f.calls++
	if f.failure != nil {
		return nil, deploy.Reply{}, f.failure
	}
	lines := f.lines[r.Instance]
	if r.Previous {
		lines = f.previous[r.Instance]
	}
	var texts []string
	for _, line := range lines {
		at := line.at.Truncate(time.Second)
		if !r.Since.IsZero() && at.Before(r.Since) || !r.Until.IsZero() && at.After(r.Until) || !strings.Contains(line.text, r.Keyword) {
			continue
		}
		texts = append(texts, line.text)
	}
	if r.Tail > 0 && len(texts) > r.Tail {
		texts = texts[len(texts)-r.Tail:]
	}
	f.fetched += len(texts)
	return texts, deploy.Reply{RequestID: "R"}, nil
}

func (f *target) Events(_ context.Context, _ string, r deploy.EventsRequest) ([]deploy.Event, deploy.Reply, error) {
	f.calls++
	var events []deploy.Event
	for _, e := range f.events {
		if !e.Time.Before(r.Since) {
			events = append(events, e)
		}
	}
	return events, deploy.Reply{}, f.failure
}

// run follows logs. Between two looks the clock advances by two seconds and
// script, which is told how often that was, changes the world; it returns false
// to end. What was passed on and noted comes back in one list.
func (f *target) run(t *testing.T, request deploy.LogsRequest, script func(round int) bool) ([]string, error) {
	t.Helper()
	var said []string
	round := 0
	l := &Logs{
		Target: f, Service: "echo", Request: request,
		Note: func(text string) { said = append(said, "note: "+text) },
		now:  func() time.Time { return f.clock },
		pause: func(_ context.Context, d time.Duration) bool {
			if d < 2*time.Second || d > longest {
				t.Errorf("a pause of %v", d)
			}
			round++
			f.clock = f.clock.Add(2 * time.Second)
			return !script(round)
		},
	}
	err := l.Follow(t.Context(), func(lines []Line) error {
		for _, line := range lines {
			said = append(said, line.Instance+": "+line.Text)
		}
		return nil
	})
	return said, err
}

func TestFollow(t *testing.T) {
	f := newTarget("a")
	f.clock = begin.Add(-time.Hour)
	f.write("a", "old 1", "old 2", "old 3")
	f.clock = begin
	f.write("a", "ready")
	got, err := f.run(t, deploy.LogsRequest{Tail: 3}, func(round int) bool {
		switch round {
		case 1:
			f.write("a", "one", "one")
		case 2:
			f.write("a", "one")
		case 4:
			return false
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a: old 2", "a: old 3", "a: ready", "a: one", "a: one", "a: one"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFollowSince(t *testing.T) {
	f := newTarget("a")
	f.clock = begin.Add(-10 * time.Minute)
	f.write("a", "too old")
	f.clock = begin.Add(-5 * time.Minute)
	f.write("a", "1 x", "2", "3 x")
	f.clock = begin
	got, err := f.run(t, deploy.LogsRequest{Since: begin.Add(-6 * time.Minute), Keyword: "x", Tail: 1}, func(round int) bool {
		f.write("a", "4 x", "5")
		return round < 2
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a: 3 x", "a: 4 x"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// An instance that crashes is heard to its last word, and its next life from
// the first one, although both say the same.
func TestFollowRestart(t *testing.T) {
	f := newTarget("a")
	f.write("a", "loading")
	got, err := f.run(t, deploy.LogsRequest{Tail: 10}, func(round int) bool {
		switch round {
		case 1:
			f.write("a", "out of words")
			f.previous["a"], f.lines["a"] = f.lines["a"], nil
			f.instances[0].Restarts = 1
			f.instances[0].Last = &deploy.LastState{ExitCode: 137, Reason: "OOMKilled"}
			f.write("a", "loading")
		case 2:
			f.write("a", "ready")
		}
		return round < 3
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a: loading", "a: out of words", "note: instance a was restarted (OOMKilled, exit status 137)", "a: loading", "a: ready"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFollowManyInstances(t *testing.T) {
	f := newTarget("a", "b")
	f.write("a", "hello")
	f.write("b", "hello")
	got, err := f.run(t, deploy.LogsRequest{Tail: 10}, func(round int) bool {
		switch round {
		case 1:
			f.write("b", "bye")
			f.instances = []deploy.Instance{{Name: "a"}, {Name: "c"}}
			f.write("c", "hello")
		case 2:
			f.instances = nil
		case 3:
			f.instances = []deploy.Instance{{Name: "d"}}
			f.write("d", "hello")
		}
		return round < 4
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a: hello", "b: hello",
		"b: bye", "note: instance b is gone", "note: instance c is new", "c: hello",
		"note: instance a is gone", "note: instance c is gone", "note: there are no instances; waiting for one",
		"note: instance d is new", "d: hello",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFollowOneInstance(t *testing.T) {
	f := newTarget("a", "b")
	f.write("a", "hello")
	f.write("b", "hello")
	got, err := f.run(t, deploy.LogsRequest{Instance: "b"}, func(round int) bool {
		f.instances = f.instances[:1]
		return round < 10
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b: hello", "note: instance b is gone"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	_, err = f.run(t, deploy.LogsRequest{Instance: "z"}, func(int) bool { return false })
	if fault.KindOf(err) != fault.Usage || !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// What fails for a while is tried again, and nothing is lost; what fails for
// good ends it.
func TestFollowFailures(t *testing.T) {
	f := newTarget("a")
	f.write("a", "one")
	got, err := f.run(t, deploy.LogsRequest{Tail: 10}, func(round int) bool {
		switch round {
		case 1:
			f.failure = &deploy.Error{Status: 503, Message: "busy"}
			f.write("a", "two")
		case 3:
			f.failure = &deploy.Error{Status: 400, Code: "Throttling.User", Message: "slower"}
		case 5:
			f.failure = nil
		case 6:
			f.failure = &deploy.Error{Status: 404, Message: "it is no more", Err: deploy.ErrNotFound}
		}
		return true
	})
	if !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("%v", err)
	}
	want := []string{"a: one", "note: it cannot be read, trying again: busy", "a: two", "note: it can be read again"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	f.failure = &deploy.Error{Status: 403, Message: "no"}
	if _, err := f.run(t, deploy.LogsRequest{}, func(int) bool { t.Error("tried again"); return false }); err == nil {
		t.Error("no error")
	}
}

// A busy log is read in a window that stays small: every line once, in order.
func TestFollowMovesItsWindow(t *testing.T) {
	f := newTarget("a")
	n := 0
	write := func() {
		for range 40 {
			n++
			f.write("a", fmt.Sprintf("line %d", n))
		}
	}
	write()
	const rounds = 200
	got, err := f.run(t, deploy.LogsRequest{}, func(round int) bool {
		write()
		return round < rounds
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != n-40 { // those of the last round are not looked at any more
		t.Errorf("%d lines of %d", len(got), n-40)
	}
	for i, line := range got {
		if want := fmt.Sprintf("a: line %d", i+1); line != want {
			t.Fatalf("line %d is %q, want %q", i+1, line, want)
		}
	}
	// Without a window that moves a look would be at half of all lines on average.
	if perLook := f.fetched / rounds; perLook > 4*pageful {
		t.Errorf("%d lines are read at each look", perLook)
	}
}

// With a clock that is wrong by more than the overlap the window stays.
func TestWindowDoesNotMoveIntoTheDark(t *testing.T) {
	w := window{start: begin, seen: []string{"a", "b"}}
	if places := w.move(begin.Add(time.Hour), nil); len(places) > 0 || !w.start.Equal(begin) || len(w.seen) != 2 {
		t.Errorf("%v, %v", places, w)
	}
	if places := w.move(begin.Add(time.Hour), []string{"b", "c"}); !slices.Equal(places, []int{1}) || w.start.Equal(begin) {
		t.Errorf("%v, %v", places, w)
	}
}

func TestFollowEnds(t *testing.T) {
	f := newTarget("a")
	f.write("a", "one")
	l := &Logs{Target: f, Service: "echo", now: func() time.Time { return f.clock }}
	if err := l.Follow(t.Context(), func([]Line) error { return io.ErrClosedPipe }); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := l.Follow(ctx, func([]Line) error { cancel(); return nil }); err != nil {
		t.Errorf("%v", err)
	}
}

func TestRead(t *testing.T) {
	f := newTarget("a", "b")
	f.write("a", "1", "2")
	f.write("b", "3", "4")
	f.write("", "5")
	for _, tt := range []struct {
		instances []deploy.Instance
		request   deploy.LogsRequest
		want      []Line
	}{
		{f.instances, deploy.LogsRequest{Tail: 1}, []Line{{"a", "2"}, {"b", "4"}}},
		{f.instances, deploy.LogsRequest{Instance: "b"}, []Line{{"b", "3"}, {"b", "4"}}},
		{nil, deploy.LogsRequest{}, []Line{{"", "5"}}},
		{nil, deploy.LogsRequest{Keyword: "none"}, []Line{}},
	} {
		f.instances = tt.instances
		got, reply, err := (&Logs{Target: f, Service: "echo", Request: tt.request}).Read(t.Context())
		if err != nil || reply.RequestID != "R" {
			t.Fatal(reply, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

func TestFollowEvents(t *testing.T) {
	f := newTarget()
	at := func(seconds int, message string) deploy.Event {
		return deploy.Event{Time: begin.Add(time.Duration(seconds) * time.Second), Type: "Normal", Message: message}
	}
	f.events = []deploy.Event{at(-7200, "long ago"), at(0, "one"), at(0, "one"), at(1, "two")}
	var got []string
	round := 0
	e := &Events{Target: f, Service: "echo", Request: deploy.EventsRequest{Since: begin.Add(-time.Hour)},
		now: func() time.Time { return f.clock },
		pause: func(context.Context, time.Duration) bool {
			round++
			f.clock = f.clock.Add(time.Minute)
			switch round {
			case 1:
				f.events = append(f.events, at(1, "two"), at(30, "three"))
			case 2: // one that comes late
				f.events = slices.Insert(f.events, 1, at(-1, "zero"))
			case 3:
				for i := range 3 * pageful {
					f.events = append(f.events, at(200, fmt.Sprint(i)))
				}
			}
			return round == 6
		}}
	err := e.Follow(t.Context(), func(events []deploy.Event) error {
		for _, event := range events {
			got = append(got, event.Message)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"one", "one", "two", "two", "three", "zero"}
	for i := range 3 * pageful {
		want = append(want, fmt.Sprint(i))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
