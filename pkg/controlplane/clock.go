package controlplane

import (
	"context"
	"time"
)

// Clock is what a control plane takes the time from.
type Clock interface {
	Now() time.Time

	// Sleep returns after d, or with the cause when ctx ends first.
	Sleep(ctx context.Context, d time.Duration) error
}

type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }

func (machineClock) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// The forms in which the API writes times, all in UTC.
const (
	timeForm   = "2006-01-02T15:04:05Z" // of services and instances
	windowForm = time.DateTime          // of events, and of the windows of events and logs
)
