package follow

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/openeas/eascmd/pkg/deploy"
)

// Events reads what happens to a service.
type Events struct {
	Target   deploy.Target
	Service  string
	Request  deploy.EventsRequest // Since is where it begins; zero: as far back as the target goes
	Interval time.Duration        // between two looks; 0: three seconds
	Note     func(text string)    // as that of Logs

	now   func() time.Time
	pause func(context.Context, time.Duration) bool
}

// Follow passes on events, those that there are first, until ctx ends, which is
// no error, or emit fails, or the service is gone.
func (e *Events) Follow(ctx context.Context, emit func([]deploy.Event) error) error {
	w := window{start: e.Request.Since}
	if !w.start.IsZero() {
		w.start = wholeSecond(w.start)
	}
	p := &poller{interval: cmp.Or(e.Interval, 3*time.Second), note: e.Note, pause: e.pause}
	return p.run(ctx, func(ctx context.Context) (time.Duration, error) {
		events, keys, err := e.fetch(ctx, w.start)
		if err != nil {
			return 0, err
		}
		if err := pass(emit, events, w.next(keys)); err != nil {
			return 0, err
		}
		now := time.Now()
		if e.now != nil {
			now = e.now()
		}
		start, should := w.moves(now)
		if !should {
			return 0, nil
		}
		if events, keys, err = e.fetch(ctx, start); err != nil {
			return 0, err
		}
		return 0, pass(emit, events, w.move(start, keys))
	})
}

// fetch returns the events since a moment, and a text for each that tells it
// from others.
func (e *Events) fetch(ctx context.Context, since time.Time) ([]deploy.Event, []string, error) {
	request := e.Request
	request.Since = since
	events, _, err := e.Target.Events(ctx, e.Service, request)
	if err != nil {
		return nil, nil, err
	}
	keys := make([]string, len(events))
	for i, event := range events {
		keys[i] = fmt.Sprintf("%d %q %q %q %q", event.Time.UnixNano(), event.Type, event.Reason, event.Resource, event.Message)
	}
	return events, keys, nil
}

func pass(emit func([]deploy.Event) error, events []deploy.Event, places []int) error {
	if len(places) == 0 {
		return nil
	}
	picked := make([]deploy.Event, len(places))
	for i, place := range places {
		picked[i] = events[place]
	}
	if err := emit(picked); err != nil {
		return &emitError{err}
	}
	return nil
}
