// Package follow reads the log and the events of a service while they are
// written.
//
// A target can only be asked for what was written since a moment, and neither
// lines nor events have an id. So the same window of time is read again and
// again, and what it has more than the last time is new: exactly so as long as
// its start stays where it is, which is why that moves seldom. What arrives
// late, in the middle of the window, is passed on as well.
package follow

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/openeas/eascmd/pkg/deploy"
)

// overlap is how far a window reaches back when its start moves. It is longer
// than lines take to arrive and than clocks are usually wrong.
const overlap = 30 * time.Second

// pageful is how many entries a window may have before its start moves: as many
// as one call to the target returns.
const pageful = 500

// fresh returns the places of the entries of now that seen does not have. Both
// are what a window held, the last time and this time.
func fresh(seen, now []string) []int {
	from := func(k int) []int {
		places := make([]int, 0, len(now)-k)
		for i := k; i < len(now); i++ {
			places = append(places, i)
		}
		return places
	}
	if len(now) >= len(seen) && slices.Equal(now[:len(seen)], seen) {
		return from(len(seen))
	}
	if places, ok := among(seen, now); ok {
		return places
	}
	// The beginning of the window has gone: what is kept for it is bounded, or
	// the start has moved.
	for k := min(len(seen), len(now)); k > 0; k-- {
		if slices.Equal(seen[len(seen)-k:], now[:k]) {
			return from(k)
		}
	}
	return from(0) // another life of the instance
}

// among returns what now has beside all that seen has, if it has all of it.
func among(seen, now []string) (places []int, ok bool) {
	count := make(map[string]int, len(seen))
	for _, text := range seen {
		count[text]++
	}
	left := len(seen)
	for i, text := range now {
		if count[text] > 0 {
			count[text]--
			left--
			continue
		}
		places = append(places, i)
	}
	return places, left == 0
}

// window is what is read again and again.
type window struct {
	start time.Time // a whole second
	seen  []string  // what it held the last time
}

// next takes what the window holds now and returns the places of what is new.
func (w *window) next(now []string) []int {
	places := fresh(w.seen, now)
	w.seen = now
	return places
}

// moves returns where the window should start from now on, if it has become
// too large.
func (w *window) moves(now time.Time) (time.Time, bool) {
	start := wholeSecond(now.Add(-overlap))
	return start, len(w.seen) > pageful && start.Sub(w.start) > overlap
}

// move has the window start later. now is what is there since then. The window
// stays where it is when the two have nothing in common: then the clocks
// disagree, and something could be lost.
func (w *window) move(start time.Time, now []string) (places []int) {
	for k := min(len(w.seen), len(now)); k > 0; k-- {
		if slices.Equal(w.seen[len(w.seen)-k:], now[:k]) {
			for i := k; i < len(now); i++ {
				places = append(places, i)
			}
			w.start, w.seen = start, now
			return places
		}
	}
	return nil
}

func wholeSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// lasting reports an error that trying again does not help against.
func lasting(err error) bool {
	if errors.Is(err, deploy.ErrNotFound) {
		return true
	}
	refusal, ok := errors.AsType[*deploy.Error](err)
	if !ok || strings.HasPrefix(refusal.Code, "Throttling") {
		return false
	}
	return refusal.Status >= 400 && refusal.Status < 500 && refusal.Status != 408 && refusal.Status != 429
}

// poller repeats something until ctx ends or it fails for good.
type poller struct {
	interval time.Duration
	note     func(text string)                                       // may be nil
	pause    func(ctx context.Context, d time.Duration) (ended bool) // nil: wait
}

// errEnded is why a step is the last one although nothing failed.
var errEnded = errors.New("there is nothing more to come")

// longest is the longest pause after failures.
const longest = 30 * time.Second

// run calls step until ctx ends, which is no error, or step fails for good. more
// is what the interval is longer by.
func (p *poller) run(ctx context.Context, step func(context.Context) (more time.Duration, err error)) error {
	pause, failures := p.pause, 0
	if pause == nil {
		pause = wait
	}
	for {
		more, err := step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		delay := p.interval + more
		switch {
		case errors.Is(err, errEnded):
			return nil
		case err == nil:
			if failures > 0 {
				p.say("it can be read again")
			}
			failures = 0
		case lasting(err):
			return err
		case isEmit(err):
			return err
		default:
			if failures == 0 {
				p.say("it cannot be read, trying again: " + err.Error())
			}
			failures++
			delay = min(delay<<min(failures, 8), longest)
		}
		if pause(ctx, delay) {
			return nil
		}
	}
}

func (p *poller) say(text string) {
	if p.note != nil {
		p.note(text)
	}
}

// wait waits and reports whether ctx has ended.
func wait(ctx context.Context, d time.Duration) (ended bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return true
	case <-timer.C:
		return false
	}
}

// emitError is an error of whoever takes what is new.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }
func (e *emitError) Unwrap() error { return e.err }

func isEmit(err error) bool {
	_, ok := errors.AsType[*emitError](err)
	return ok
}
