package serving

import (
	"net"
	"runtime"
	"sync/atomic"
	"time"
)

// express answers short, ordinary requests, which most are, with less work than
// a goroutine for each connection takes: one goroutine, a lane, reads from many
// connections and writes their answers. Every connection begins here. With the
// first request that is of another kind, and with an answer that is long or that
// its client does not take at once, a connection goes to the server, which knows
// all of HTTP and has the patience, and stays there.
type express struct {
	lanes []*lane
	next  atomic.Uint32
}

// A lane serves this many processors, the others being for the processor's work,
// and there are at most this many lanes.
const (
	processorsPerLane = 4
	maxLanes          = 8
)

// newExpress returns nil where there can be none.
func newExpress(g *gateway) *express {
	e := &express{}
	for range min(max(runtime.GOMAXPROCS(0)/processorsPerLane, 1), maxLanes) {
		l := newLane(g)
		if l == nil {
			break
		}
		e.lanes = append(e.lanes, l)
	}
	if len(e.lanes) == 0 {
		return nil
	}
	return e
}

func (e *express) start() {
	for _, l := range e.lanes {
		go l.run()
	}
}

// lane is the one that reads the answers of a worker.
func (e *express) lane(worker int) *lane { return e.lanes[worker%len(e.lanes)] }

// take takes a connection, and reports whether it did.
func (e *express) take(conn *net.TCPConn) bool {
	return e.lanes[e.next.Add(1)%uint32(len(e.lanes))].take(conn)
}

// conns returns how many connections there are.
func (e *express) conns() int {
	n := 0
	for _, l := range e.lanes {
		n += l.conns()
	}
	return n
}

// look ends what takes too long; clock is the time as of now.
func (e *express) look(clock time.Duration) {
	for _, l := range e.lanes {
		l.look(clock)
	}
}

// drain ends the connections that have no request.
func (e *express) drain() {
	for _, l := range e.lanes {
		l.drain()
	}
}

// close ends all connections.
func (e *express) close() {
	for _, l := range e.lanes {
		l.close()
	}
}
