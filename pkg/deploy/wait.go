package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// Goal is what a service is waited for to become.
type Goal int

// The goals.
const (
	ToRun    Goal = iota // all of its instances run
	ToStop               // none of them does any more
	ToDelete             // it is gone
)

// The pace of waiting where WaitOptions does not set it.
const (
	defaultInterval = 3 * time.Second
	firstInterval   = 300 * time.Millisecond // grows up to the interval: short waits should be short
	defaultPatience = 2 * time.Minute
	defaultAppear   = 30 * time.Second
)

// How often in a row a service that has not been seen to change has to be seen
// in the state that it had before, until that is believed to be what came of the
// change: the other side may take a moment before it begins. To take an old
// failure for a new one would be worse than to wait.
const (
	confirmations = 3
	doubts        = 10
)

// A service whose instances end again and again may stay on its way for ever.
const (
	crashes   = 3 // ends of one instance after which its service is given up
	crashLook = 4 // questions from one look at the instances to the next
)

// WaitOptions says what is waited for, and how.
type WaitOptions struct {
	Goal Goal

	// Before is the service as it was before the change that is waited for;
	// nil where there was none. Without it a service that has not begun to
	// change would be taken for one that is done.
	Before *Snapshot

	// Since is the time from which on events are told where Before is nil; zero:
	// from the service's creation on.
	Since time.Time

	// Version is the version that has to run; 0: the latest.
	Version int

	Interval time.Duration // between two questions; 0: 3 s, less at first
	Timeout  time.Duration // of all of it; 0: none

	// Patience is for how long questions may fail one after the other before
	// waiting ends; 0: 2 minutes.
	Patience time.Duration

	// Observe is told of everything that is seen, in order; may be nil.
	Observe func(Step)
}

// Snapshot is a service before a change.
type Snapshot struct {
	Service *Service
	events  map[Event]bool // what had happened by then
}

// Look takes a Snapshot.
func Look(ctx context.Context, target Target, name string) (*Snapshot, error) {
	service, err := target.Describe(ctx, name)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Service: service, events: map[Event]bool{}}
	// Without the events only some old ones are told again.
	events, _, err := target.Events(ctx, name, EventsRequest{})
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	for _, e := range events {
		s.events[keyOf(e)] = true
	}
	return s, nil
}

// keyOf makes times comparable.
func keyOf(e Event) Event {
	e.Time = e.Time.UTC().Round(0)
	return e
}

// Step is one thing that was seen while waiting.
type Step struct {
	Service *Service // how it is now; nil when it is gone or could not be asked
	Event   *Event   // what happened, where that is what the step is about
	Trouble error    // why it could not be asked; it is asked again

	// Newer is the version that somebody else made meanwhile; else 0.
	Newer int

	Done bool // this is the last step, and the goal is reached

	goal Goal
	name string
}

// String is the step in one line, in the original's words where these are
// known.
func (s Step) String() string {
	switch {
	case s.Event != nil:
		return s.Event.Message
	case s.Trouble != nil:
		return fmt.Sprintf("Service [%s] could not be asked: %v", s.name, s.Trouble)
	case s.Newer != 0:
		return fmt.Sprintf("Service [%s] was changed by somebody else: version %d is being made", s.name, s.Newer)
	case s.Done && s.goal == ToDelete:
		return "Service was deleted successfully"
	case s.Done && s.goal == ToStop:
		return "Service is stopped"
	case s.Done:
		return "Service is running"
	case s.Service == nil:
		return "Service is being created"
	}
	return stateLine(s.Service)
}

// stateLine tells how a service is that has not reached its goal.
func stateLine(s *Service) string {
	switch s.Status {
	case Creating:
		return "Service is now creating"
	case Deleting:
		return "Service is terminating"
	case Stopping:
		return "Service is stopping"
	case "":
		return "Service is in an unknown state"
	}
	return fmt.Sprintf("%s [Total: %d, Pending: %d, Running: %d]", s.Status, s.TotalInstances, s.PendingInstances, s.RunningInstances)
}

// Wait waits until a service has reached a goal, and returns it as it is then;
// nil for one that is deleted. A service that gets into a state from which it
// will not reach the goal ends with a *Failure that is not diagnosed yet, and
// so does the end of Timeout. When ctx ends the error is of kind Interrupted,
// and what was begun on the other side goes on.
func Wait(ctx context.Context, target Target, name string, opts WaitOptions) (*Service, error) {
	w := &waiter{target: target, name: name, opts: opts, told: map[Event]bool{}, began: time.Now(), restarts: map[string]int{}}
	w.setDefaults()
	service, err := w.wait(ctx)
	if ctx.Err() != nil && err != nil {
		return service, fault.New(fault.Interrupted, "waiting for service %s was interrupted: %w", name, context.Cause(ctx))
	}
	return service, err
}

// waiter is one wait.
type waiter struct {
	target Target
	name   string
	opts   WaitOptions
	told   map[Event]bool
	began  time.Time

	last    *Service  // as it was seen last; nil before
	answer  time.Time // of the last answer
	moved   bool      // it was seen on its way
	seen    int       // times in a row that it was seen in a state that may be the last
	newest  int       // the latest version known to be ours
	foreign int       // the latest version known to be somebody else's

	asked    int            // questions that were answered
	restarts map[string]int // of instances, as they were seen first
}

func (w *waiter) setDefaults() {
	if w.opts.Interval <= 0 {
		w.opts.Interval = defaultInterval
	}
	if w.opts.Patience <= 0 {
		w.opts.Patience = defaultPatience
	}
	if w.opts.Observe == nil {
		w.opts.Observe = func(Step) {}
	}
	if w.opts.Before != nil {
		w.told = maps.Clone(w.opts.Before.events)
		if s := w.opts.Before.Service; s != nil {
			// A change makes one version at most.
			w.newest = s.LatestVersion + 1
		}
	}
	w.answer = w.began
}

func (w *waiter) wait(ctx context.Context) (*Service, error) {
	// Timeout ends the questions too, so that no answer is waited for longer.
	within := ctx
	if w.opts.Timeout > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, w.opts.Timeout)
		defer cancel()
	}
	pause := min(firstInterval, w.opts.Interval)
	for {
		done, err := w.ask(within)
		switch {
		case ctx.Err() != nil:
			return w.last, ctx.Err()
		case done && err == nil && w.opts.Goal == ToDelete:
			return nil, nil
		case done || err != nil && within.Err() == nil:
			return w.last, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-within.Done():
			timer.Stop()
			if ctx.Err() != nil {
				return w.last, ctx.Err()
			}
			return w.last, w.failure(w.opts.Timeout)
		case <-timer.C:
		}
		pause = min(2*pause, w.opts.Interval)
	}
}

// ask asks how the service is. It reports whether waiting is over.
func (w *waiter) ask(ctx context.Context) (done bool, err error) {
	service, err := w.target.Describe(ctx, w.name)
	if err != nil {
		return w.unanswered(ctx, err)
	}
	w.last, w.answer = service, time.Now()
	w.tellEvents(ctx, service)
	w.tellNewer(service)
	if done, err := w.judge(service); done {
		return done, err
	}
	if w.asked++; w.opts.Goal == ToRun && w.asked%crashLook == 0 && w.crashing(ctx) {
		return true, w.failure(0)
	}
	return false, nil
}

// crashing reports whether an instance has ended again and again since it is
// watched.
func (w *waiter) crashing(ctx context.Context) bool {
	instances, _, err := w.target.Instances(ctx, w.name)
	if err != nil {
		return false // the next question may tell
	}
	for _, i := range instances {
		first, seen := w.restarts[i.Name]
		if !seen && (w.opts.Before != nil || w.last.LatestVersion > 1) {
			// It may be one of the version before, with a past of its own.
			first = i.Restarts
		}
		if !seen {
			w.restarts[i.Name] = first
		}
		if i.Restarts-first >= crashes && i.Last != nil && i.ReadyProcesses < max(i.TotalProcesses, 1) {
			return true
		}
	}
	return false
}

// unanswered decides about a question that failed.
func (w *waiter) unanswered(ctx context.Context, err error) (done bool, _ error) {
	if errors.Is(err, ErrNotFound) {
		switch {
		case w.opts.Goal == ToDelete:
			w.tell(Step{Done: true})
			return true, nil
		case w.last != nil || w.opts.Before != nil:
			return true, fault.New(fault.Remote, "service %s is gone: somebody has deleted it: %w", w.name, err)
		case time.Since(w.began) > min(defaultAppear, w.opts.Patience):
			return true, fault.New(fault.Remote, "service %s was created, but is not there: %w", w.name, err).
				WithHint("`eascmd list` shows what is there")
		}
		w.tell(Step{})
		return false, nil
	}
	if ctx.Err() != nil {
		return false, nil // the caller knows
	}
	if !passing(err) {
		return true, err
	}
	if silent := time.Since(w.answer); silent > w.opts.Patience {
		return true, fault.New(kindOf(err), "service %s could not be asked for %s: %w", w.name, silent.Round(time.Second), err).
			WithHint("what was begun goes on; `eascmd desc %s` shows how it stands", w.name)
	}
	w.tell(Step{Trouble: err})
	return false, nil
}

// kindOf is the kind of an error of a target.
func kindOf(err error) fault.Kind {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return fault.KindOf(err)
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Status == 0 {
		return fault.Missing // no answer: the network
	}
	return fault.Remote
}

// passing reports whether the same question may be answered a moment later.
func passing(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Status == 0 || e.Status >= 500 || errors.Is(err, ErrThrottled))
}

// judge decides whether the service has reached the goal, or never will.
func (w *waiter) judge(s *Service) (done bool, err error) {
	if !s.Status.Settled() {
		w.moved, w.seen = true, 0
		w.tell(Step{Service: s})
		return false, nil
	}
	reached := w.reached(s)
	if !reached && !w.hopeless(s) {
		// Such as Running with instances that are still to come.
		w.seen = 0
		w.tell(Step{Service: s})
		return false, nil
	}
	need := confirmations
	if !reached {
		need = doubts
	}
	if w.seen++; !w.moved && w.stale(s) && w.seen < need {
		return false, nil
	}
	if !reached {
		return true, w.failure(0)
	}
	w.tell(Step{Service: s, Done: true})
	return true, nil
}

// stale reports whether what is seen may be the state from before the change.
func (w *waiter) stale(s *Service) bool {
	if w.opts.Before == nil || w.opts.Before.Service == nil {
		return false
	}
	before := w.opts.Before.Service
	newVersion := s.LatestVersion > before.LatestVersion && s.CurrentVersion == s.LatestVersion
	return s.Status == before.Status && !newVersion
}

func (w *waiter) reached(s *Service) bool {
	switch w.opts.Goal {
	case ToStop:
		return s.Status == Stopped
	case ToDelete:
		return false
	}
	version := w.opts.Version
	return s.Status == Running && s.PendingInstances == 0 && s.RunningInstances >= s.TotalInstances &&
		(version == 0 || s.CurrentVersion == version || s.CurrentVersion == 0)
}

// hopeless reports whether a settled service will not reach the goal by
// itself.
func (w *waiter) hopeless(s *Service) bool {
	switch s.Status {
	case Failed:
		return w.opts.Goal == ToRun || w.opts.Goal == ToStop && w.moved
	case DeleteFailed:
		return true
	case Stopped:
		return w.opts.Goal == ToRun
	}
	return false
}

// failure is what is known of a wait that ends without its goal.
func (w *waiter) failure(timedOut time.Duration) *Failure {
	f := &Failure{Name: w.name, Goal: w.opts.Goal, Service: w.last, TimedOut: timedOut}
	if w.opts.Before != nil {
		f.before = w.opts.Before.events
	}
	return f
}

func (w *waiter) tell(s Step) {
	s.goal, s.name = w.opts.Goal, w.name
	w.opts.Observe(s)
}

// tellEvents tells of events that are new.
func (w *waiter) tellEvents(ctx context.Context, s *Service) {
	// What happened to an earlier service of this name is of no interest. The
	// times are all the other side's.
	request := EventsRequest{}
	if w.opts.Before == nil {
		request.Since = s.CreateTime
		if w.opts.Since.After(request.Since) {
			request.Since = w.opts.Since
		}
	}
	events, _, err := w.target.Events(ctx, w.name, request)
	if err != nil {
		return // they come with the next question, or not at all
	}
	for _, e := range events {
		key := keyOf(e)
		if w.told[key] || e.Time.Before(request.Since) {
			continue
		}
		w.told[key] = true
		if e.Message != "" {
			w.tell(Step{Service: s, Event: &e})
		}
	}
}

// tellNewer tells once when somebody else makes a version.
func (w *waiter) tellNewer(s *Service) {
	if w.newest == 0 || s.LatestVersion <= max(w.newest, w.foreign) {
		return
	}
	w.foreign = s.LatestVersion
	w.tell(Step{Service: s, Newer: s.LatestVersion})
}
