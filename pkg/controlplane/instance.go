package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// instance is one running copy of a service. The server's lock guards it.
type instance struct {
	name    string
	version int
	round   int
	created time.Time
	started time.Time // of its life that goes on

	endpoint string // empty while it answers no requests
	serving  bool   // it may be given requests
	retired  bool   // it is on its way out
	ended    bool
	failure  *Failure // why it does not run; nil while it may

	restarts int
	last     *LastState
	log      logBook

	inFlight int
	cancel   context.CancelFunc
}

// stage is the instance's state as the API names it.
func (in *instance) stage() (status, reason string) {
	switch {
	case in.retired && !in.ended:
		return "Terminating", ""
	case in.failure != nil:
		if in.started.IsZero() {
			return "Pending", in.failure.Waiting
		}
		return "Failed", in.failure.Waiting
	case in.started.IsZero():
		return "Pending", ""
	case in.endpoint == "" && in.last != nil:
		return "Running", "CrashLoopBackOff"
	default:
		return "Running", ""
	}
}

// newInstance adds an instance of the current version to a service.
func (s *Server) newInstance(d *deployed) *instance {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", d.ID, d.Current, d.round))
	name := strings.ReplaceAll(d.Name, "_", "-") + "-" + hex.EncodeToString(sum[:4]) + "-" + randomWord(5)
	in := &instance{name: name, version: d.Current, round: d.round, created: s.clock.Now().UTC()}
	d.instances = append(d.instances, in)
	return in
}

// run runs an instance until it is retired or ends for good.
func (s *Server) run(d *deployed, in *instance) {
	ctx, cancel := context.WithCancel(s.ctx)
	in.cancel = cancel
	in.started = s.clock.Now().UTC()
	spec := Spec{Service: d.Name, Instance: in.name, Version: in.version, Description: d.description, Token: d.Token}
	s.work.Go(func() {
		defer cancel()
		pause := time.Duration(0)
		for {
			err := s.opts.Runner.Run(ctx, spec, func(r Report) { s.report(d, in, r) })
			if s.over(ctx, d, in, err) {
				return
			}
			pause = min(max(2*pause, firstPause), maxPause)
			if s.clock.Sleep(ctx, pause) != nil {
				s.over(ctx, d, in, nil)
				return
			}
			s.mu.Lock()
			in.started = s.clock.Now().UTC()
			s.mu.Unlock()
		}
	})
}

// The pause before an instance that ended is started again, doubled each time.
const (
	firstPause = time.Second
	maxPause   = time.Minute
)

// report takes what a runner tells.
func (s *Server) report(d *deployed, in *instance, r Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer d.change()
	switch r.Kind {
	case Step:
		if d.told[r.Text] {
			return
		}
		d.told[r.Text] = true
		s.note(d, event{Type: "Normal", Reason: d.status, Resource: "Pod", Instance: in.name, Message: r.Text})
	case Ready:
		in.endpoint = r.Endpoint
		s.note(d, event{Type: "Normal", Reason: "Ready", Resource: "Pod", Instance: in.name, Message: fmt.Sprintf("Instance %s is ready", in.name)})
	case Line:
		in.log.add(s.clock.Now().UTC(), r.Text)
	case Down:
		s.restarted(d, in, r.Last)
	}
}

// restarted notes that the process of an instance ended and is started again.
func (s *Server) restarted(d *deployed, in *instance, last *LastState) {
	now := s.clock.Now().UTC()
	in.endpoint = ""
	in.restarts++
	if last != nil {
		state := *last
		if state.StartedAt.IsZero() {
			state.StartedAt = in.started
		}
		if state.FinishedAt.IsZero() {
			state.FinishedAt = now
		}
		in.last = &state
	}
	in.started = now
	in.log.turn()
	s.warning(d, in, "Unhealthy", fmt.Sprintf("Instance %s not healthy: Instance crashed, please inspect instance log.", in.name))
}

// over takes the end of an instance's run, and reports whether it is the last.
func (s *Server) over(ctx context.Context, d *deployed, in *instance, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer d.change()
	ready := in.endpoint != "" || in.serving
	in.endpoint = ""
	if ctx.Err() != nil {
		in.ended = true
		if in.retired {
			d.instances = slices.DeleteFunc(d.instances, func(x *instance) bool { return x == in })
		}
		return true
	}
	why, ok := errors.AsType[*Failure](err)
	if !ok {
		why = &Failure{Reason: "INSTANCE_CRASHED", Waiting: "CrashLoopBackOff", Message: "the instance ended"}
		if err != nil {
			why.Message = err.Error()
		}
	}
	if ready && !why.Final {
		s.restarted(d, in, why.Last)
		return false
	}
	s.fail(d, in, why)
	return true
}

// fail notes that an instance is not started again.
func (s *Server) fail(d *deployed, in *instance, why *Failure) {
	in.failure, in.ended, in.serving = why, true, false
	if why.Last != nil {
		last := *why.Last
		now := s.clock.Now().UTC()
		if last.StartedAt.IsZero() {
			last.StartedAt = in.created
		}
		if last.FinishedAt.IsZero() {
			last.FinishedAt = now
		}
		in.last = &last
	}
	s.warning(d, in, why.Reason, fmt.Sprintf("Instance %s not healthy: %s", in.name, why.Message))
	if d.status == running && d.ready() == 0 && d.fits(in) {
		d.setStatus(failed, why.Reason, why.Message)
	}
}

// retireTime is how long requests in flight keep an instance that is to end.
const retireTime = 30 * time.Second

// retire ends an instance once its requests are answered.
func (s *Server) retire(d *deployed, in *instance) {
	if in.retired {
		return
	}
	in.retired, in.serving = true, false
	if in.ended || in.cancel == nil {
		in.ended = true
		d.instances = slices.DeleteFunc(d.instances, func(x *instance) bool { return x == in })
		d.change()
		return
	}
	s.work.Go(func() {
		ctx, stop := context.WithTimeout(s.ctx, retireTime)
		defer stop()
		s.await(ctx, d, func() bool { return in.inFlight == 0 })
		in.cancel()
	})
}

// await waits, without the lock, until something about a service is so, and
// reports whether it is; it is not when ctx ended first.
func (s *Server) await(ctx context.Context, d *deployed, so func() bool) bool {
	for {
		s.mu.Lock()
		ok, changed := so(), d.changed
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
