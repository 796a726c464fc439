package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// SettleOptions says how patiently an open question is settled.
type SettleOptions struct {
	Interval time.Duration // between two looks; 0: 3 s, less at first
	Patience time.Duration // after which what does not show will not come; 0: 30 s
}

// look asks for a service until decide is content with it, or Patience is over;
// the error is then that of the last question, which is nil where only decide
// was not content.
func (o SettleOptions) look(ctx context.Context, target Target, name string, decide func(*Service) bool) (found bool, err error) {
	if o.Interval <= 0 {
		o.Interval = defaultInterval
	}
	if o.Patience <= 0 {
		o.Patience = defaultAppear
	}
	end := time.Now().Add(o.Patience)
	pause := min(firstInterval, o.Interval)
	for {
		service, err := target.Describe(ctx, name)
		switch {
		case err == nil && decide(service):
			return true, nil
		case ctx.Err() != nil, time.Now().After(end), err != nil && !errors.Is(err, ErrNotFound) && !passing(err):
			return false, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false, err
		case <-timer.C:
		}
		pause = min(2*pause, o.Interval)
	}
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
	var service *Service
	found, err := opts.look(ctx, target, request.Name, func(s *Service) bool {
		service = s
		return true
	})
	switch {
	case found:
		return settled(service, request, cause)
	case ctx.Err() != nil:
		return nil, fault.New(fault.Interrupted, "service %s: whether it was created is not known: %w", request.Name, context.Cause(ctx)).
			WithHint("`eascmd desc %s` tells", request.Name)
	case errors.Is(err, ErrNotFound):
		return nil, fault.New(kindOf(cause), "service %s was not created: %w", request.Name, cause).
			WithHint("it did not appear for a while; the same command tries again")
	}
	return nil, fault.New(kindOf(err), "service %s: whether it was created is not known: %w", request.Name, err).
		WithHint("`eascmd desc %s` tells; do not create it again before", request.Name)
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

// RestartService restarts a service that was like before. The request is sent
// once, since each interrupts the service: when its answer is lost, the service is
// asked for until it shows that it was carried out, by its state, the time of its
// last change or its instances. An instance that crashes in that time looks the
// same; then the service is restarting all the same, if not for that reason.
func RestartService(ctx context.Context, target Target, before *Service, opts SettleOptions) (Reply, error) {
	had, _, err := target.Instances(ctx, before.Name)
	if err != nil && ctx.Err() != nil {
		return Reply{}, err
	}
	known := err == nil
	reply, cause := target.Act(ctx, before.Name, Restart)
	if !Unsettled(cause) {
		return reply, cause
	}
	found, err := opts.look(ctx, target, before.Name, func(s *Service) bool {
		if s.Status != before.Status || s.UpdateTime.After(before.UpdateTime) {
			return true
		}
		if !known {
			return false
		}
		has, _, err := target.Instances(ctx, before.Name)
		return err == nil && slices.ContainsFunc(has, func(i Instance) bool { return !slices.ContainsFunc(had, i.lives) })
	})
	switch {
	case found:
		return Reply{RequestID: RequestIDOf(cause)}, nil
	case ctx.Err() != nil:
		return Reply{}, fault.New(fault.Interrupted, "service %s: whether it was restarted is not known: %w", before.Name, context.Cause(ctx)).
			WithHint("`eascmd showworkers %s` tells since when its instances run", before.Name)
	case err == nil:
		return Reply{}, fault.New(kindOf(cause), "service %s was not restarted: %w", before.Name, cause).
			WithHint("no restart showed for a while; the same command tries again")
	}
	return Reply{}, fault.New(kindOf(err), "service %s: whether it was restarted is not known: %w", before.Name, err).
		WithHint("`eascmd showworkers %s` tells since when its instances run", before.Name)
}

// lives reports whether an instance is still in the life that it was in.
func (i Instance) lives(was Instance) bool {
	return i.Name == was.Name && i.Restarts == was.Restarts && i.StartTime.Equal(was.StartTime)
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

// settle finds out what became of an update whose error is cause.
func (p *Plan) settle(ctx context.Context, target Target, cause error, opts SettleOptions) (Reply, error) {
	found, err := opts.look(ctx, target, p.Name, func(s *Service) bool { return p.shows(s) })
	switch {
	case found:
		return Reply{RequestID: RequestIDOf(cause)}, nil
	case ctx.Err() != nil:
		return Reply{}, fault.New(fault.Interrupted, "service %s: whether it was changed is not known: %w", p.Name, context.Cause(ctx))
	case err == nil:
		return Reply{}, fault.New(kindOf(cause), "service %s was not changed: %w", p.Name, cause).
			WithHint("the change did not show for a while; the same command tries again, and does nothing where it came late")
	}
	return Reply{}, fault.New(kindOf(err), "service %s: whether it was changed is not known: %w", p.Name, err).
		WithHint("the same command tries again, and does nothing where it was changed")
}

// shows reports whether a service has been changed as planned.
func (p *Plan) shows(s *Service) bool {
	if s.LatestVersion > p.latest {
		return true
	}
	if len(s.Description) == 0 || !fits(s.Description, p.Update.Description) {
		return false
	}
	// What was to go has to be gone.
	changes, err := Diff(s.Description, p.Update.Description)
	return err == nil && (!p.Update.Replace || len(changes) == 0)
}
