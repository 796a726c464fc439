package serving

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The port on which programs serve HTTP on EAS where they are told no other,
// and the one on which the platform's own metrics are.
const (
	usualPort   = 8080
	metricsPort = 9090
)

// search looks for the socket at which a worker's program serves HTTP. Until
// ctx ends it reports every change for the better: the first one that answers,
// and then one at a port that is preferred to that.
type search struct {
	process *process
	ports   []uint16       // those that the program was told, the usual one last
	avoid   netip.AddrPort // the gateway's own
	taken   bool           // the usual port is another program's
	every   time.Duration

	// mute is told, once, of a socket that takes connections and does not answer
	// HTTP.
	mute func(netip.AddrPort)
}

// Between two questions to a socket that does not answer the time doubles, since
// to many a program each is worth a traceback: from every up to longestPause.
// After muteTries of them it is told.
const (
	longestPause = 5 * time.Second
	muteTries    = 5
)

// attempts are those at one socket.
type attempts struct {
	asking bool
	failed int
	next   time.Time
}

// preferredPorts are where a program is expected to listen.
func preferredPorts(env []string) []uint16 {
	var ports []uint16
	for _, name := range portVariables {
		for _, kv := range env {
			value, ok := strings.CutPrefix(kv, name+"=")
			if n, err := strconv.ParseUint(value, 10, 16); ok && err == nil && n > 0 {
				ports = append(ports, uint16(n))
			}
		}
	}
	return append(ports, usualPort)
}

// rank orders candidates: the ports that the program was told, then the usual
// one, then the lowest; metrics last.
func (s *search) rank(at netip.AddrPort) int {
	if i := slices.Index(s.ports, at.Port()); i >= 0 {
		return i
	}
	n := len(s.ports) + int(at.Port())
	if at.Port() == metricsPort {
		n += 1 << 16
	}
	return n
}

// run looks until ctx ends, and calls found for every address that is better
// than those before.
func (s *search) run(ctx context.Context, found func(netip.AddrPort)) {
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	asked := make(map[netip.AddrPort]*attempts)
	asking := 0
	type result struct {
		at netip.AddrPort
		ok bool
	}
	results := make(chan result)
	best := -1
	better := func(at netip.AddrPort) bool { return best < 0 || s.rank(at) < best }
	for {
		select {
		case <-ctx.Done():
			for range asking {
				<-results
			}
			return
		case r := <-results:
			a := asked[r.at]
			a.asking = false
			asking--
			if !r.ok {
				a.next = time.Now().Add(min(s.every<<min(a.failed, 10), longestPause))
				if a.failed++; a.failed == muteTries && best < 0 {
					s.mute(r.at)
				}
			}
			if !r.ok || !better(r.at) {
				continue
			}
			best = s.rank(r.at)
			found(r.at)
			if best < len(s.ports) {
				ticker.Stop() // nothing better can come
			} else {
				ticker.Reset(max(s.every, time.Second))
			}
		case <-ticker.C:
			for _, at := range s.candidates() {
				a := asked[at]
				if a == nil {
					a = new(attempts)
					asked[at] = a
				}
				if better(at) && !a.asking && !time.Now().Before(a.next) {
					a.asking = true
					asking++
					go func() { results <- result{at, answersHTTP(ctx, at.String())} }()
				}
			}
		}
	}
}

// candidates returns where the program may be reached.
func (s *search) candidates() []netip.AddrPort {
	bound, known := listening(s.process.pid)
	if !known {
		return s.guesses()
	}
	var all []netip.AddrPort
	add := func(a netip.Addr, port uint16) {
		if at := netip.AddrPortFrom(a, port); !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	loopback4, loopback6 := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	for _, at := range bound {
		switch a := at.Addr(); {
		case a == netip.IPv6Unspecified():
			add(loopback4, at.Port()) // most often it takes both
			add(loopback6, at.Port())
		case a.IsUnspecified():
			add(loopback4, at.Port())
		default:
			add(a, at.Port())
		}
	}
	return all
}

// guesses are the places where a program listens most likely, for systems that
// do not tell who listens where.
func (s *search) guesses() []netip.AddrPort {
	var all []netip.AddrPort
	for _, port := range s.ports {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
		if port == s.avoid.Port() || (port == usualPort && s.taken) {
			continue
		}
		all = append(all, at)
	}
	return all
}

// usualPortTaken reports whether somebody else answers at the usual port. It
// matters only where one cannot see who listens.
func usualPortTaken() bool {
	if _, known := listening(os.Getpid()); known {
		return false
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(usualPort)), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// answersHTTP reports whether what listens at an address answers a request, in
// whatever way. The path is the one whose answer costs a program nothing: the
// original SDK answers it by itself, frameworks do not know it. A program that
// loads its model while connections to it wait already is waited for, until
// ctx ends.
func answersHTTP(ctx context.Context, address string) bool {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	fmt.Fprintf(conn, "GET %sping HTTP/1.1\r\nHost: %s\r\nUser-Agent: eascmd\r\nAccept: */*\r\nConnection: close\r\n\r\n", builtinPrefix, address)
	var start [5]byte
	_, err = io.ReadFull(conn, start[:])
	if err != nil || string(start[:]) != "HTTP/" {
		return false
	}
	// The rest is taken, for the program's sake: to some a connection that
	// breaks off is a fault worth a traceback.
	conn.SetReadDeadline(time.Now().Add(time.Second))
	io.Copy(io.Discard, io.LimitReader(conn, 64<<10))
	return true
}
