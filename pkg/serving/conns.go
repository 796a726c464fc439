package serving

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// conns knows the clients' connections and what each is doing, to end those
// that take too long over it, and, when draining, the idle ones. It is also
// the listener that the server takes its connections from.
//
// The time limits are kept here, by looking at all connections now and then:
// deadlines set before every read and write would cost a tenth of a request.
type conns struct {
	net.Listener
	full    *handoff // takes connections in place of the fast server; nil: none
	express *express // has them first; nil: none
	times   *timings
	clock   atomic.Int64 // milliseconds since the start, as of the last look
	start   time.Time

	mu       sync.Mutex
	open     map[*clientConn]struct{}
	upgraded map[*clientConn]struct{} // those that speak no HTTP any more
	draining atomic.Bool
	empty    chan struct{} // closed when draining and none is open
}

// clientConn is a client's connection.
type clientConn struct {
	*net.TCPConn
	activity
	of    *conns
	early []byte // what has been read of it already

	hijacked atomic.Bool  // it speaks no HTTP any more
	calls    atomic.Int64 // of the full server: requests in progress, of which HTTP/2 has several
}

// phase is what a connection is doing.
type phase int64

const (
	fresh   phase = iota // nothing has come yet
	head                 // a request's head is coming
	busy                 // the request is being read or answered
	sending              // the answer is on its way
	idle                 // the next request may come
)

const phaseBits = 3

func newConns(listener net.Listener, times *timings) *conns {
	return &conns{Listener: listener, times: times, start: time.Now(), open: make(map[*clientConn]struct{}), upgraded: make(map[*clientConn]struct{})}
}

// Accept waits where the server would give up: when there are no descriptors
// or no memory for another connection, which passes.
func (c *conns) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err == nil {
			if c.express != nil && (c.full == nil || !c.full.wants()) && c.express.take(conn.(*net.TCPConn)) {
				continue
			}
			client := c.client(conn.(*net.TCPConn))
			switch {
			case c.draining.Load(): // drain may have looked through them
				client.Close()
				c.forget(client)
			case c.full == nil || !c.full.wants():
				return client, nil
			case !c.full.give(client):
				client.Close()
				c.forget(client) // nobody else does
			}
			continue
		}
		if !passing(err) {
			return nil, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// client makes a connection one of those that are known here.
func (c *conns) client(conn *net.TCPConn) *clientConn {
	client := &clientConn{TCPConn: conn, activity: activity{clock: &c.clock}, of: c}
	client.enter(fresh)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[client] = struct{}{}
	return client
}

// Read reads what has been read already first.
func (c *clientConn) Read(b []byte) (int, error) {
	if len(c.early) == 0 {
		return c.TCPConn.Read(b)
	}
	n := copy(b, c.early)
	c.early = c.early[n:]
	return n, nil
}

// Close closes the door for both servers.
func (c *conns) Close() error {
	if c.full != nil {
		c.full.Close()
	}
	return c.Listener.Close()
}

// passing reports whether an error of accept says nothing about the listener.
func passing(err error) bool {
	for _, e := range [...]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.ECONNRESET} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// activity is what a connection is doing, and since when.
type activity struct {
	clock *atomic.Int64 // milliseconds
	doing atomic.Int64  // a phase, and above it the clock when it began
}

func (a *activity) enter(p phase) { a.doing.Store(a.clock.Load()<<phaseBits | int64(p)) }

func (a *activity) phase() (p phase, since time.Duration) {
	doing := a.doing.Load()
	return phase(doing & (1<<phaseBits - 1)), time.Duration(doing>>phaseBits) * time.Millisecond
}

func (c *clientConn) left() bool { return hasLeft(c.TCPConn) }

// Close ends the connection.
func (c *clientConn) Close() error {
	if c.hijacked.Load() {
		c.of.mu.Lock()
		delete(c.of.upgraded, c)
		c.of.mu.Unlock()
	}
	return c.TCPConn.Close()
}

// note is told by the server what becomes of a connection.
func (c *conns) note(conn net.Conn, state fasthttp.ConnState) {
	client := conn.(*clientConn)
	switch state {
	case fasthttp.StateActive:
		client.enter(head)
	case fasthttp.StateIdle:
		client.enter(idle)
		if c.draining.Load() {
			client.Close()
		}
	case fasthttp.StateClosed, fasthttp.StateHijacked:
		c.forget(client)
	}
}

// forget takes a connection off the list of those whose requests a drain waits
// for.
func (c *conns) forget(client *clientConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, client)
	c.checkEmpty()
}

// checkEmpty is called with c.mu held.
func (c *conns) checkEmpty() {
	if len(c.open) == 0 && c.empty != nil && (c.express == nil || c.express.conns() == 0) {
		close(c.empty)
		c.empty = nil
	}
}

// left is called by the express when it has no connection any more.
func (c *conns) left() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checkEmpty()
}

// look ends what takes too long. What is overdue with the head of a request is
// told so: its read ends, and badRequest answers.
func (c *conns) look(now time.Time) {
	clock := now.Sub(c.start)
	c.clock.Store(clock.Milliseconds())
	if c.express != nil {
		c.express.look(clock)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for client := range c.open {
		p, since := client.phase()
		spent := clock - since
		switch {
		case p == head && spent > c.times.header && spent <= c.times.header+headGrace:
			client.SetReadDeadline(now)
		case p == head && spent > c.times.header+headGrace,
			p == fresh && spent > c.times.header,
			p == sending && spent > c.times.write,
			p == idle && spent > c.times.idle:
			client.TCPConn.Close()
		}
	}
}

// headGrace is how long a client may take to hear that its head was too slow.
const headGrace = 5 * time.Second

// drain ends the connections that are not in a request, waits for the others
// until ctx ends, and returns how many are left.
func (c *conns) drain(ctx context.Context) int {
	c.draining.Store(true)
	empty := make(chan struct{})
	if c.express != nil {
		c.express.drain()
	}
	c.mu.Lock()
	for client := range c.open {
		if p, _ := client.phase(); p == fresh || p == idle {
			client.TCPConn.Close()
		}
	}
	c.empty = empty
	c.checkEmpty()
	c.mu.Unlock()
	select {
	case <-empty:
		return 0
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	left := len(c.open)
	if c.express != nil {
		left += c.express.conns()
	}
	return left
}

func (c *conns) closeAll() {
	if c.express != nil {
		c.express.close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for client := range c.open {
		client.TCPConn.Close()
	}
	for client := range c.upgraded {
		client.TCPConn.Close()
	}
}
