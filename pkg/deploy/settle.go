package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// SettleOptions says how patiently an open question is settled.
type SettleOptions struct {
	Interval time.Duration // between two looks; 0: 3 s, less at first
	Patience time.Duration // after which a service that is not there will not come; 0: 30 s
}

// Settle finds out what became of a Create that left it open: cause is its
// error. It only asks, so that nothing is made twice.
//
// A service of the name that has what the request asked for is taken for ours:
// there was none before, or the request would not have been sent, and whoever
// else made the same service at the same moment got what was wanted here. One
// that differs is somebody else's, and an error with ErrExists. When none
// appears the request has not arrived, and the error says so.
func Settle(ctx context.Context, target Target, request CreateRequest, cause error, opts SettleOptions) (*Created, error) {
	if opts.Interval <= 0 {
		opts.Interval = defaultInterval
	}
	if opts.Patience <= 0 {
		opts.Patience = defaultAppear
	}
	end := time.Now().Add(opts.Patience)
	pause := min(firstInterval, opts.Interval)
	for {
		service, err := target.Describe(ctx, request.Name)
		switch {
		case err == nil:
			return settled(service, request, cause)
		case ctx.Err() != nil:
			return nil, fault.New(fault.Interrupted, "service %s: whether it was created is not known: %w", request.Name, context.Cause(ctx)).
				WithHint("`eascmd desc %s` tells", request.Name)
		case !errors.Is(err, ErrNotFound) && !passing(err):
			return nil, unknown(request.Name, err)
		case time.Now().After(end) && errors.Is(err, ErrNotFound):
			return nil, fault.New(kindOf(cause), "service %s was not created: %w", request.Name, cause).
				WithHint("it did not appear within %s; the same command tries again", opts.Patience)
		case time.Now().After(end):
			return nil, unknown(request.Name, err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
		pause = min(2*pause, opts.Interval)
	}
}

func unknown(name string, err error) error {
	return fault.New(kindOf(err), "service %s: whether it was created is not known: %w", name, err).
		WithHint("`eascmd desc %s` tells; do not create it again before", name)
}

// settled decides whether a service that is there is the one that was asked
// for.
func settled(s *Service, request CreateRequest, cause error) (*Created, error) {
	if !fits(s.Description, request.Description) {
		return nil, fault.New(fault.Remote, "service %s: %w, with another description: somebody else made it (the request to create it failed: %v)", request.Name, ErrExists, cause).
			WithHint("choose another name, or see what it is with `eascmd desc %s`", request.Name)
	}
	return &Created{
		Reply:            Reply{RequestID: RequestIDOf(cause)},
		ServiceID:        s.ID,
		Status:           s.Status,
		Region:           s.Region,
		InternetEndpoint: s.InternetEndpoint,
		IntranetEndpoint: s.IntranetEndpoint,
	}, nil
}

// fits reports whether a deployed description has everything that was sent.
func fits(deployed, sent json.RawMessage) bool {
	if len(deployed) == 0 {
		return true // not told; nothing speaks against it
	}
	changes, err := Diff(deployed, sent)
	if err != nil {
		return false
	}
	for _, c := range changes {
		if !c.Removal() {
			return false
		}
	}
	return true
}
