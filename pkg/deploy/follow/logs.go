package follow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/openeas/eascmd/pkg/deploy"
)

// Line is a line that an instance wrote.
type Line struct {
	Instance string `json:"instance,omitempty"`
	Text     string `json:"text"`
}

// Logs reads the lines of a service's instances.
type Logs struct {
	Target  deploy.Target
	Service string

	// Request says which lines. With an instance only its lines are read. Tail
	// is of each instance; when following without Since, Tail lines from before
	// are passed on first.
	Request deploy.LogsRequest

	// Interval is between two looks at the log; 0: two seconds. With many
	// instances it is longer.
	Interval time.Duration

	// Note is told what somebody who follows should know: that an instance has
	// come, gone or restarted, or that the log cannot be read for a while. May
	// be nil.
	Note func(text string)

	now   func() time.Time
	pause func(context.Context, time.Duration) bool
}

// perInstance is what the interval is longer by for each instance, so that many
// of them are not asked more often than the other side likes.
const perInstance = 200 * time.Millisecond

// Read returns the lines that there are, those of an instance together, by its
// name.
func (l *Logs) Read(ctx context.Context) ([]Line, deploy.Reply, error) {
	names := []string{l.Request.Instance}
	if l.Request.Instance == "" {
		instances, _, err := l.Target.Instances(ctx, l.Service)
		if err != nil {
			return nil, deploy.Reply{}, err
		}
		if len(instances) > 0 {
			names = instanceNames(instances)
		}
	}
	lines := []Line{}
	var last deploy.Reply
	for _, name := range names {
		request := l.Request
		request.Instance = name
		texts, reply, err := l.Target.Logs(ctx, l.Service, request)
		if l.Request.Instance != "" && (err == nil && len(texts) == 0 || lasting(err)) {
			// The log of one that is gone may still be there, so it was asked for first.
			if instances, _, listErr := l.Target.Instances(ctx, l.Service); listErr == nil {
				err = cmp.Or(deploy.CheckInstance(l.Service, name, instances), err)
			}
		}
		if err != nil {
			return nil, reply, err
		}
		last = reply
		lines = append(lines, linesOf(name, texts)...)
	}
	return lines, last, nil
}

// Follow passes on lines as they are written, until ctx ends, which is no
// error, or emit fails, or the service is gone. It goes on over restarts of
// instances, new instances and failures to read.
func (l *Logs) Follow(ctx context.Context, emit func([]Line) error) error {
	f := &logFollower{Logs: l, emit: emit, readers: map[string]*reader{}, begin: l.time()}
	p := &poller{interval: cmp.Or(l.Interval, 2*time.Second), note: l.Note, pause: l.pause}
	return p.run(ctx, f.step)
}

func (l *Logs) time() time.Time {
	if l.now != nil {
		return l.now()
	}
	return time.Now()
}

func (l *Logs) say(format string, args ...any) {
	if l.Note != nil {
		l.Note(fmt.Sprintf(format, args...))
	}
}

// logFollower is a run of Follow.
type logFollower struct {
	*Logs
	emit    func([]Line) error
	readers map[string]*reader // by instance
	begin   time.Time
	listed  bool // the instances are known
	waiting bool // it was said that there are none
}

// reader reads the log of one instance.
type reader struct {
	window
	begun    bool
	restarts int
}

// step looks once at all instances.
func (f *logFollower) step(ctx context.Context) (more time.Duration, err error) {
	instances, _, err := f.Target.Instances(ctx, f.Service)
	if err != nil {
		return 0, err
	}
	if only := f.Request.Instance; only != "" {
		if err := deploy.CheckInstance(f.Service, only, instances); err != nil && !f.listed {
			return 0, err
		}
		instances = slices.DeleteFunc(instances, func(i deploy.Instance) bool { return i.Name != only })
	}
	if err := f.welcome(ctx, instances); err != nil {
		return 0, err
	}
	var failure error
	for _, instance := range instances {
		err := f.look(ctx, instance)
		switch {
		case err == nil:
		case isEmit(err) || ctx.Err() != nil:
			return 0, err
		case errors.Is(err, deploy.ErrNotFound):
			// It has gone since it was listed: the next list does not have it.
		default:
			failure = cmp.Or(failure, err)
		}
	}
	return time.Duration(len(instances)) * perInstance, failure
}

// welcome takes note of instances that have come and gone.
func (f *logFollower) welcome(ctx context.Context, instances []deploy.Instance) error {
	names := instanceNames(instances)
	for _, name := range slices.Sorted(maps.Keys(f.readers)) {
		if slices.Contains(names, name) {
			continue
		}
		// What it wrote last may still be there.
		if err := f.read(ctx, name, f.readers[name], false); isEmit(err) {
			return err
		}
		f.say("instance %s is gone", name)
		delete(f.readers, name)
		if f.Request.Instance != "" {
			return errEnded
		}
	}
	for _, instance := range instances {
		if f.readers[instance.Name] != nil {
			continue
		}
		r := &reader{restarts: instance.Restarts}
		f.readers[instance.Name] = r
		if f.listed {
			// All that it writes is new; it may have written before it was seen.
			r.begun, r.start = true, wholeSecond(f.begin.Add(-overlap))
			f.say("instance %s is new", instance.Name)
		}
	}
	if len(instances) == 0 && !f.waiting {
		f.say("there are no instances; waiting for one")
	}
	f.listed, f.waiting = true, len(instances) == 0
	return nil
}

// look passes on what an instance has written since the last look.
func (f *logFollower) look(ctx context.Context, instance deploy.Instance) error {
	r := f.readers[instance.Name]
	if !r.begun {
		return f.first(ctx, instance.Name, r)
	}
	if instance.Restarts > r.restarts {
		// Its last words come first; then its log begins anew.
		if err := f.read(ctx, instance.Name, r, true); err != nil && !lasting(err) {
			return err
		}
		f.say("instance %s was restarted%s", instance.Name, howItEnded(instance.Last))
		r.restarts, r.seen = instance.Restarts, nil
	}
	if err := f.read(ctx, instance.Name, r, false); err != nil {
		return err
	}
	return f.move(ctx, instance.Name, r)
}

// first passes on the lines to begin with.
func (f *logFollower) first(ctx context.Context, name string, r *reader) error {
	start, tail := f.Request.Since, f.Request.Tail
	if start.IsZero() {
		start = f.begin.Add(-overlap)
	}
	r.start = wholeSecond(start)
	lines, err := f.fetch(ctx, name, deploy.LogsRequest{Since: r.start})
	if err != nil {
		return err
	}
	shown := lines
	switch missing := tail - len(lines); {
	case tail > 0 && missing < 0:
		shown = lines[-missing:]
	case f.Request.Since.IsZero() && missing > 0:
		before, err := f.fetch(ctx, name, deploy.LogsRequest{Until: r.start.Add(-time.Second), Tail: missing})
		if err != nil {
			return err
		}
		shown = append(slices.Clone(before), lines...)
	}
	r.begun, r.seen = true, lines
	return f.pass(name, shown)
}

// read passes on what is new in an instance's window, of its last life with
// previous.
func (f *logFollower) read(ctx context.Context, name string, r *reader, previous bool) error {
	lines, err := f.fetch(ctx, name, deploy.LogsRequest{Since: r.start, Previous: previous})
	if err != nil {
		return err
	}
	return f.pass(name, pick(lines, r.next(lines)))
}

// move has a window that has become large start later.
func (f *logFollower) move(ctx context.Context, name string, r *reader) error {
	start, should := r.moves(f.time())
	if !should {
		return nil
	}
	lines, err := f.fetch(ctx, name, deploy.LogsRequest{Since: start})
	if err != nil {
		return err
	}
	return f.pass(name, pick(lines, r.window.move(start, lines)))
}

// fetch asks for an instance's lines.
func (f *logFollower) fetch(ctx context.Context, name string, request deploy.LogsRequest) ([]string, error) {
	request.Instance, request.Container, request.Keyword = name, f.Request.Container, f.Request.Keyword
	lines, _, err := f.Target.Logs(ctx, f.Service, request)
	return lines, err
}

func (f *logFollower) pass(name string, texts []string) error {
	if len(texts) == 0 {
		return nil
	}
	if err := f.emit(linesOf(name, texts)); err != nil {
		return &emitError{err}
	}
	return nil
}

func pick(texts []string, places []int) []string {
	picked := make([]string, len(places))
	for i, place := range places {
		picked[i] = texts[place]
	}
	return picked
}

func linesOf(instance string, texts []string) []Line {
	lines := make([]Line, len(texts))
	for i, text := range texts {
		lines[i] = Line{instance, text}
	}
	return lines
}

func instanceNames(instances []deploy.Instance) []string {
	names := make([]string, len(instances))
	for i, instance := range instances {
		names[i] = instance.Name
	}
	return names
}

// howItEnded says in brackets how the last life of an instance ended.
func howItEnded(last *deploy.LastState) string {
	if last == nil {
		return ""
	}
	text := fmt.Sprintf("exit status %d", last.ExitCode)
	if last.Reason != "" {
		text = last.Reason + ", " + text
	}
	return " (" + text + ")"
}
