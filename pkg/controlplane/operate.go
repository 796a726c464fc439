package controlplane

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// operation is how a service gets to where it is wanted: in which state it
// begins, for how long at least, and what is said of it.
type operation struct {
	state   string
	message string
	delay   time.Duration
	waits   bool // it is Waiting while instances start
}

func (s *Server) operationOf(state string) operation {
	delays := s.opts.Delays
	switch state {
	case creating:
		return operation{creating, "Service is now creating", delays.Creating, true}
	case starting:
		return operation{starting, "Service is now starting", delays.Starting, true}
	case updating:
		return operation{updating, "Service is now updating", delays.Updating, true}
	case scaling:
		return operation{scaling, "Service is now scaling", delays.Scaling, false}
	case stopping:
		return operation{stopping, "Service is now stopping", delays.Stopping, false}
	default:
		return operation{deleting, "Service is terminating", delays.Deleting, false}
	}
}

// operate begins an operation, in place of the one that goes on. What is wanted
// has been written into the service before.
func (s *Server) operate(d *deployed, state string) {
	if s.closed {
		return
	}
	op := s.operationOf(state)
	if d.abandon != nil {
		d.abandon()
	}
	ctx, cancel := context.WithCancel(s.ctx)
	before, done := d.settled, make(chan struct{})
	d.abandon, d.settled = cancel, done
	d.Updated = s.clock.Now().UTC()
	d.told = map[string]bool{}
	d.setStatus(op.state, upper(op.state), op.message)
	s.normal(d, op.state, op.message)
	s.save()
	s.work.Go(func() {
		defer close(done)
		defer cancel()
		if before != nil {
			<-before
		}
		s.carryOut(ctx, d, op)
	})
}

// carryOut makes what runs of a service what is wanted. When ctx ends it leaves
// everything to the operation that comes after it.
func (s *Server) carryOut(ctx context.Context, d *deployed, op operation) {
	if s.clock.Sleep(ctx, op.delay) != nil {
		return
	}
	s.mu.Lock()
	if ctx.Err() != nil {
		s.mu.Unlock()
		return
	}
	s.startMissing(d)
	if op.waits && d.wanted() > 0 {
		text := "Service is now waiting to all available"
		d.setStatus(waiting, upper(waiting), text)
		s.normal(d, waiting, text)
	}
	s.mu.Unlock()

	var broken *instance
	settled := s.await(ctx, d, func() bool {
		up := 0
		for _, in := range d.instances {
			switch {
			case !d.fits(in):
			case in.failure != nil:
				broken = in
				return true
			case in.endpoint != "":
				up++
			}
		}
		return up >= d.wanted()
	})
	if !settled {
		return
	}
	if broken != nil {
		s.giveUp(ctx, d, broken)
		return
	}
	if op.waits && s.clock.Sleep(ctx, s.opts.Delays.Waiting) != nil {
		return
	}
	s.arrive(ctx, d, op)
}

// startMissing starts the instances that are wanted and not there, and clears
// away those that failed.
func (s *Server) startMissing(d *deployed) {
	for _, in := range slices.Clone(d.instances) {
		if in.failure != nil {
			s.retire(d, in)
		}
	}
	have := 0
	for _, in := range d.instances {
		if d.fits(in) {
			have++
		}
	}
	for ; have < d.wanted(); have++ {
		in := s.newInstance(d)
		if d.doom == nil {
			s.run(d, in)
			continue
		}
		why := *d.doom
		if why.Last != nil {
			in.started = in.created
		}
		s.fail(d, in, &why)
	}
	d.doom = nil
}

// giveUp ends an operation whose instances do not get ready. What served before
// goes on; those that failed stay to be looked at.
func (s *Server) giveUp(ctx context.Context, d *deployed, broken *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	for _, in := range slices.Clone(d.instances) {
		if in.failure == nil && !in.serving {
			s.retire(d, in)
		}
	}
	d.setStatus(failed, broken.failure.Reason, fmt.Sprintf("Instance %s not healthy: %s", broken.name, broken.failure.Message))
	s.note(d, event{Type: "Warning", Reason: failed, Resource: "Service", Message: d.message})
	d.Updated = s.clock.Now().UTC()
	s.save()
}

// arrive ends an operation whose instances are ready: they take the requests,
// and those that are not wanted any more end.
func (s *Server) arrive(ctx context.Context, d *deployed, op operation) {
	s.mu.Lock()
	if ctx.Err() != nil {
		s.mu.Unlock()
		return
	}
	kept := 0
	for _, in := range slices.Clone(d.instances) {
		if d.fits(in) && kept < d.wanted() {
			in.serving = true
			kept++
			continue
		}
		s.retire(d, in)
	}
	if d.wanted() > 0 {
		d.setStatus(running, upper(running), startedOK)
		s.normal(d, running, startedOK)
		s.save()
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	if !s.await(ctx, d, func() bool { return len(d.instances) == 0 }) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	if op.state == deleting {
		s.normal(d, deleting, "Service was deleted successfully")
		delete(s.services, d.Name)
		s.dropGroup(d.description.Metadata.Group)
	} else {
		d.setStatus(stopped, upper(stopped), "Service is stopped")
		s.normal(d, stopped, "Service is stopped")
	}
	s.save()
}
