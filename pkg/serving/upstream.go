package serving

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// kind is how the program of a service takes its requests. It is decided once
// a run, by the first worker that shows it.
type kind int32

const (
	undecided kind = iota
	framed         // a host answers frames
	served         // the program serves HTTP itself
)

// upstream is a worker's program that serves HTTP itself: requests are passed
// on to it as they are.
type upstream struct {
	address   atomic.Pointer[string] // host:port
	transport *http.Transport
	limits    *limits
	dying     <-chan struct{}  // closed when its process has ended
	replace   func(why string) // ends the worker; another one is started

	// Under the dispatcher's lock.
	pending  int // requests whose answer has not begun
	inflight int // and all

	heads   atomic.Int64 // answers that have begun
	suspect atomic.Bool  // somebody asks whether it still answers at all

	gone chan struct{} // closed when its death was explained: then why is set
	why  *failure
}

// Time limits of the connections to a program, which is on the same machine.
const (
	// Frameworks close idle connections after 2 seconds at the least, and a
	// request that crosses that on its way is lost.
	upstreamIdle = time.Second
	upstreamDial = 5 * time.Second
)

func newUpstream(address string, l *limits, p *process) *upstream {
	u := &upstream{limits: l, dying: p.ending, replace: p.killBecause, gone: make(chan struct{})}
	u.address.Store(&address)
	dialer := net.Dialer{Timeout: upstreamDial}
	u.transport = &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, *u.address.Load())
		},
		DisableCompression:  true, // bodies and their headers stay what they are
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     upstreamIdle,
		WriteBufferSize:     32 << 10,
		ReadBufferSize:      32 << 10,
	}
	return u
}

// window is how many requests may wait for the beginning of their answer: as
// many as workers that answer frames would work on and queue. An answer that
// has begun does not count, or a few that go on for hours would lock the
// others out.
func (u *upstream) window() int { return int(u.limits.threads.Load() + u.limits.maxQueue.Load()) }

// enter gives a request to the least busy program, or has it wait for one until
// ctx ends.
func (d *dispatcher) enter(ctx context.Context) (*upstream, *failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for first := true; ; first = false {
		if len(d.ups) > 0 {
			best := d.ups[0]
			for _, u := range d.ups[1:] {
				if u.pending < best.pending {
					best = u
				}
			}
			if best.pending >= max(best.window(), 1) {
				return nil, failQueueFull
			}
			best.pending++
			best.inflight++
			return best, nil
		}
		switch {
		case d.down != nil:
			return nil, d.down
		case !d.waiting:
			return nil, failNotReady
		case first && d.parked >= int(d.limits.maxQueue.Load()):
			return nil, failQueueFull
		}
		news := d.news
		d.parked++
		d.mu.Unlock()
		var ended bool
		select {
		case <-news:
		case <-ctx.Done():
			ended = true
		}
		d.mu.Lock()
		d.parked--
		if ended {
			return nil, failNoWorker
		}
	}
}

// begun is called when an answer begins.
func (d *dispatcher) begun(u *upstream) {
	u.heads.Add(1)
	d.mu.Lock()
	u.pending--
	d.mu.Unlock()
}

// exit is called when a request is over. begun says whether its answer had
// begun.
func (d *dispatcher) exit(u *upstream, begun bool) {
	d.mu.Lock()
	u.inflight--
	if !begun {
		u.pending--
	}
	d.mu.Unlock()
}

// joinUpstream makes a program available to those who wait for one.
func (d *dispatcher) joinUpstream(u *upstream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ups = append(d.ups, u)
	d.tell()
}

// leaveUpstream takes a program out; its requests stay with it.
func (d *dispatcher) leaveUpstream(u *upstream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, other := range d.ups {
		if other == u {
			d.ups = append(d.ups[:i], d.ups[i+1:]...)
			return
		}
	}
}

// tell wakes those who wait for a program; d.mu is held.
func (d *dispatcher) tell() {
	close(d.news)
	d.news = make(chan struct{})
}

// decide settles how the program takes its requests, and returns what was
// settled, by this call or before.
func (d *dispatcher) decide(k kind) kind {
	d.kind.CompareAndSwap(int32(undecided), int32(k))
	return kind(d.kind.Load())
}

// died is called once, with the explanation of the program's death.
func (u *upstream) died(why *failure) {
	u.why = why
	close(u.gone)
	u.transport.CloseIdleConnections()
}

// deathNotice is how long after a broken connection the process behind it may
// take to be seen to have ended.
const deathNotice = time.Second

// ends reports whether the program has ended, waiting a moment for that: its
// connections break before its end is known.
func (u *upstream) ends() bool {
	select {
	case <-u.dying:
		return true
	case <-time.After(deathNotice):
		return false
	}
}

// death returns why the program died, nil where it did not.
func (u *upstream) death() *failure {
	if !u.ends() {
		return nil
	}
	<-u.gone
	return u.why
}

// question asks a program that has let a request wait past its time whether it
// answers anything at all. One that does not, for as long again, is replaced.
func (u *upstream) question(keepalive time.Duration) {
	if !u.suspect.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer u.suspect.Store(false)
		before := u.heads.Load()
		ctx, cancel := context.WithTimeout(context.Background(), keepalive)
		defer cancel()
		go func() {
			select {
			case <-u.dying:
				cancel()
			case <-ctx.Done():
			}
		}()
		if answersHTTP(ctx, *u.address.Load()) || u.heads.Load() != before {
			return
		}
		select {
		case <-u.dying:
		default:
			u.replace("it answered nothing, past rpc.keepalive (" + keepalive.String() + ") and for another " + keepalive.String())
		}
	}()
}
