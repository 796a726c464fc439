//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// load is a number of equal requests over kept connections. With an interval
// the load is open: request i is due i intervals after the start, whatever
// became of those before it. A request that has to wait for a free connection
// is late, and its latency counts from when it was due, so that a server that
// stalls is charged for all that it held up. Without an interval a request is
// due when a connection is free.
//
// One thread does it all and sleeps in the kernel: timers of the Go runtime
// are late by up to a millisecond, which is what is to be measured.
type load struct {
	address     string
	request     []byte
	answer      int // length of the body that has to come back
	connections int
	requests    int
	interval    time.Duration
}

type loadResult struct {
	latencies []time.Duration // sorted
	late      []time.Duration // sorted: by how much the load itself missed a time for which it was waiting
	elapsed   time.Duration
}

func (l load) run(ctx context.Context) (*loadResult, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Be woken when it is time, not within the usual 50 µs. 0 is the default again.
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)

	g := generator{load: l}
	defer g.close()
	if err := g.connect(); err != nil {
		return nil, err
	}
	if err := g.loop(ctx); err != nil {
		return nil, err
	}
	slices.Sort(g.latencies)
	slices.Sort(g.late)
	return &loadResult{g.latencies, g.late, time.Since(g.start)}, nil
}

// generator is a load on its way.
type generator struct {
	load
	start     time.Time
	conns     []connection
	fds       []unix.PollFd
	idle      []int // connections, the one that has been idle longest first
	sent      int
	awaited   bool // the next request only waits for its time, a connection is free
	latencies []time.Duration
	late      []time.Duration
}

type connection struct {
	busy bool
	due  time.Duration
	in   []byte // of the answer so far
}

func (g *generator) close() {
	for _, fd := range g.fds {
		unix.Close(int(fd.Fd))
	}
}

func (g *generator) connect() error {
	addr, err := netip.ParseAddrPort(g.address)
	if err != nil {
		return err
	}
	to := &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	g.conns = make([]connection, g.connections)
	for i := range g.conns {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		g.fds = append(g.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		if err := unix.Connect(fd, to); err != nil {
			return fmt.Errorf("connect to %s: %w", g.address, err)
		}
		if err := errors.Join(unix.SetNonblock(fd, true), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)); err != nil {
			return err
		}
		g.conns[i].in = make([]byte, 0, 4<<10)
		g.idle = append(g.idle, i)
	}
	return nil
}

// stalled is how long no answer at all may come.
const stalled = 10 * time.Second

func (g *generator) loop(ctx context.Context) error {
	g.latencies = make([]time.Duration, 0, g.requests)
	g.late = make([]time.Duration, 0, g.requests)
	g.start = time.Now()
	lastAnswer := time.Duration(0)
	for len(g.latencies) < g.requests {
		if err := ctx.Err(); err != nil {
			return err
		}
		before := len(g.latencies)
		waits, err := g.send()
		if err != nil {
			return err
		}
		timeout := unix.NsecToTimespec(int64(waits))
		if _, err := unix.Ppoll(g.fds, &timeout, nil); err != nil && err != unix.EINTR {
			return fmt.Errorf("poll: %w", err)
		}
		for i := range g.fds {
			if g.fds[i].Revents != 0 {
				g.fds[i].Revents = 0
				if err := g.receive(i); err != nil {
					return err
				}
			}
		}
		now := time.Since(g.start)
		if len(g.latencies) > before || len(g.idle) == len(g.conns) {
			lastAnswer = now
		} else if now-lastAnswer > stalled {
			return fmt.Errorf("%s: no answer for %v", g.address, stalled)
		}
	}
	return nil
}

// send sends what is due, as far as connections are free, and returns how long
// nothing more is to be sent.
func (g *generator) send() (time.Duration, error) {
	const longest = time.Second // to look whether to stop
	now := time.Since(g.start)
	awaited := g.awaited
	g.awaited = false
	for g.sent < g.requests && len(g.idle) > 0 {
		due := now
		if g.interval > 0 {
			if due = time.Duration(g.sent) * g.interval; due > now {
				g.awaited = true
				return min(due-now, longest), nil
			}
		}
		if awaited {
			g.late = append(g.late, now-due)
			awaited = false
		}
		i := g.idle[0]
		g.idle = append(g.idle[:0], g.idle[1:]...)
		c := &g.conns[i]
		c.busy, c.due, c.in = true, due, c.in[:0]
		// A request is far smaller than what the kernel takes at once.
		if n, err := unix.Write(int(g.fds[i].Fd), g.request); err != nil || n != len(g.request) {
			return 0, fmt.Errorf("%s: write: %d of %d bytes: %w", g.address, n, len(g.request), err)
		}
		g.sent++
	}
	return longest, nil
}

func (g *generator) receive(i int) error {
	c := &g.conns[i]
	n, err := unix.Read(int(g.fds[i].Fd), c.in[len(c.in):cap(c.in)])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return fmt.Errorf("%s: read: %w", g.address, err)
	case n == 0:
		return fmt.Errorf("%s: it closed a connection, or its answer is too long", g.address)
	case !c.busy:
		return fmt.Errorf("%s: an answer without a request", g.address)
	}
	c.in = c.in[:len(c.in)+n]
	whole, err := answered(c.in, g.answer)
	if err != nil {
		return fmt.Errorf("%s: %w", g.address, err)
	}
	if whole {
		g.latencies = append(g.latencies, time.Since(g.start)-c.due)
		c.busy = false
		g.idle = append(g.idle, i)
	}
	return nil
}

// answered reports whether a whole answer is there: status 200 and a body of
// size bytes.
func answered(in []byte, size int) (bool, error) {
	head, body, ok := bytes.Cut(in, []byte("\r\n\r\n"))
	if !ok {
		return false, nil
	}
	first, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(first, []byte("HTTP/1.1 200 ")) {
		return false, fmt.Errorf("answered %q", in)
	}
	length := -1
	for line := range bytes.Lines(rest) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("content-length")) {
			var err error
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return false, fmt.Errorf("answered with Content-Length %q", value)
			}
		}
	}
	if length != size || len(body) > size {
		return false, fmt.Errorf("answered a body of %d bytes in place of %d", max(length, len(body)), size)
	}
	return len(body) == size, nil
}
