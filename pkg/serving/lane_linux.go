package serving

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"github.com/openeas/eascmd/pkg/serving/wire"
)

// lane is one goroutine of the express. It sleeps until something has come on
// one of its connections or from one of its workers.
type lane struct {
	g     *gateway
	epoll int
	// The runtime's poller looks at the epoll descriptor, so that no thread is
	// lost to the runtime while it waits.
	epollFile *os.File
	ready     syscall.RawConn
	bell      int // an eventfd: the list has become longer
	ended     chan struct{}

	writers sync.Pool // of *shortAnswer, for those who answer

	mu     sync.Mutex
	open   map[*laneConn]struct{}
	list   []errand
	ending bool
	over   bool // nobody reads any more

	// Of the goroutine that reads.
	byFD   map[int32]*laneConn
	links  map[int32]*watched
	buf    []byte
	source bytes.Reader
	reader *bufio.Reader
	header fasthttp.RequestHeader
	uri    fasthttp.URI
	writer shortAnswer
	unsent *slowAnswer // of the last reply
}

// errand is something for the goroutine that reads to do with a connection.
type errand struct {
	conn   *laneConn
	link   *watched // of watch
	what   errandKind
	failed *failure
	answer *slowAnswer
}

type errandKind int

const (
	begin  errandKind = iota // it is new
	goOn                     // something may be there to be read
	fail                     // its request has failed
	finish                   // it is at its end
	expire                   // it has been idle for too long, or nothing came
	settle                   // no more requests are taken: it ends unless it has one
	hurry                    // the head of its request is slow to come
	pass                     // the answer is for the server to write
	watch                    // a worker's answers are to be read
)

// watched is a worker whose answers are read here.
type watched struct {
	link *link
	in   *inbox
	fd   int
	err  error         // what the worker did wrong
	back chan struct{} // closed when they are not any more
}

// newLane returns nil where there can be none.
func newLane(g *gateway) *lane {
	l := &lane{
		g: g, ended: make(chan struct{}),
		open: make(map[*laneConn]struct{}), byFD: make(map[int32]*laneConn), links: make(map[int32]*watched),
		writers: sync.Pool{New: func() any { return new(shortAnswer) }},
		buf:     make([]byte, 64<<10), reader: bufio.NewReaderSize(nil, maxHeader),
	}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil
	}
	_ = unix.SetNonblock(l.epoll, true) // only so is it one for the runtime's poller
	l.epollFile = os.NewFile(uintptr(l.epoll), "epoll")
	if l.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		l.epollFile.Close()
		return nil
	}
	if l.ready, err = l.epollFile.SyscallConn(); err == nil {
		err = l.listen(l.bell)
	}
	if err != nil {
		l.epollFile.Close()
		unix.Close(l.bell)
		return nil
	}
	return l
}

// listen has the lane told what comes on a descriptor, once each time.
func (l *lane) listen(fd int) error {
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)})
}

// take takes a connection, and reports whether it did.
func (l *lane) take(conn *net.TCPConn) bool {
	fd, err := duplicate(conn)
	if err != nil {
		return false
	}
	c := &laneConn{activity: activity{clock: &l.g.conns.clock}, l: l, fd: fd}
	c.enter(fresh)
	l.mu.Lock()
	refused := l.ending || l.g.conns.draining.Load()
	if !refused {
		l.open[c] = struct{}{}
	}
	l.mu.Unlock()
	if refused {
		unix.Close(fd)
		return false
	}
	conn.Close()
	l.ask(errand{conn: c, what: begin})
	return true
}

// conns returns how many connections there are.
func (l *lane) conns() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// ask has the goroutine that reads do something.
func (l *lane) ask(errands ...errand) {
	if len(errands) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		for _, todo := range errands {
			todo.answer.drop()
			if todo.link != nil {
				close(todo.link.back)
			}
		}
		return
	}
	first := len(l.list) == 0
	l.list = append(l.list, errands...)
	if first {
		l.ring()
	}
}

// ring wakes the goroutine that reads; l.mu is held.
func (l *lane) ring() {
	var count [8]byte
	binary.NativeEndian.PutUint64(count[:], 1)
	_, _ = unix.Write(l.bell, count[:]) // it fails where it has been rung often enough
}

// each asks for something to be done with every connection for which it says
// so.
func (l *lane) each(what func(*laneConn) (errandKind, bool)) {
	var errands []errand
	l.mu.Lock()
	for c := range l.open {
		if kind, ok := what(c); ok {
			errands = append(errands, errand{conn: c, what: kind})
		}
	}
	l.mu.Unlock()
	l.ask(errands...)
}

// look ends what takes too long. A request that does not come at once is for
// the server to wait for.
func (l *lane) look(clock time.Duration) {
	times := l.g.times
	l.each(func(c *laneConn) (errandKind, bool) {
		p, since := c.phase()
		spent := clock - since
		if p == head && spent > times.sweeping*3/2 { // the clock is coarse: looked at twice
			return hurry, true
		}
		return expire, p == fresh && spent > times.header || p == idle && spent > times.idle
	})
}

// drain ends the connections that have no request.
func (l *lane) drain() {
	l.each(func(*laneConn) (errandKind, bool) { return settle, true })
}

// close ends all connections.
func (l *lane) close() {
	l.mu.Lock()
	if !l.ending {
		l.ending = true
		l.ring()
	}
	l.mu.Unlock()
	<-l.ended
}

// run reads what comes.
func (l *lane) run() {
	defer close(l.ended)
	events := make([]unix.EpollEvent, 128)
	var links []*link
	n := 0
	look := func(fd uintptr) bool {
		var err error
		n, err = unix.EpollWait(int(fd), events, 0)
		return n > 0 || err != nil && err != unix.EINTR
	}
	for {
		if err := l.ready.Read(look); err != nil || n < 0 {
			panic("the poller fails: an epoll descriptor that was closed?")
		}
		rung := false
		for i := range n {
			event := &events[i]
			if int(event.Fd) == l.bell {
				rung = true
				continue
			}
			if c := l.byFD[event.Fd]; c != nil {
				l.arrived(c, event.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
			} else if w := l.links[event.Fd]; w != nil {
				l.answers(w)
			}
		}
		if rung && !l.errands() {
			return
		}
		links = l.g.d.flush(links)
	}
}

// watch has the answers of a worker read until something is there that takes a
// goroutine of its own, and returns what the worker did wrong.
func (l *lane) watch(to *link, in *inbox) error {
	conn := to.out.conn
	if conn == nil {
		return nil
	}
	fd, ok := conn.hold()
	if !ok {
		return nil // which whoever reads finds out
	}
	defer conn.release()
	w := &watched{link: to, in: in, fd: fd, back: make(chan struct{})}
	l.ask(errand{what: watch, link: w})
	<-w.back
	return w.err
}

// answers reads a worker's answers.
func (l *lane) answers(w *watched) {
	conn := w.link.out.conn
	for more := true; ; {
		for {
			h, payload, come, err := w.in.peek()
			if err == nil && come == partly {
				break
			}
			if err != nil || come == tooLong || h.Type != wire.Response {
				l.giveBack(w, nil)
				return
			}
			w.in.take(payload)
			if err := w.link.response(h, payload); err != nil {
				l.giveBack(w, err)
				return
			}
		}
		if !more {
			return
		}
		room := w.in.buf[w.in.end:]
		n, err := conn.tryRead(room)
		if err != nil {
			l.giveBack(w, nil)
			return
		}
		w.in.end += n
		more = n == len(room)
	}
}

// giveBack has a goroutine read on.
func (l *lane) giveBack(w *watched, err error) {
	delete(l.links, int32(w.fd))
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, w.fd, nil)
	w.err = err
	close(w.back)
}

// errands does what was asked for. It reports false at the end.
func (l *lane) errands() bool {
	var count [8]byte
	_, _ = unix.Read(l.bell, count[:])
	l.mu.Lock()
	list, ending := l.list, l.ending
	l.list = nil
	l.mu.Unlock()
	for _, todo := range list {
		l.do(todo)
	}
	if !ending {
		return true
	}
	for _, c := range l.byFD {
		c.mu.Lock()
		l.shut(c)
		c.mu.Unlock()
	}
	for _, w := range l.links {
		l.giveBack(w, nil)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.epollFile.Close()
	unix.Close(l.bell)
	return false
}

func (l *lane) do(todo errand) {
	if todo.what == watch {
		w := todo.link
		l.links[int32(w.fd)] = w
		if l.listen(w.fd) != nil {
			l.giveBack(w, nil)
			return
		}
		l.answers(w)
		return
	}
	c := todo.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		todo.answer.drop()
		return
	}
	p, _ := c.phase()
	free := c.job == nil && !c.leaving
	waits := free && len(c.pending) == 0 && (p == fresh || p == idle)
	switch todo.what {
	case begin:
		l.byFD[int32(c.fd)] = c
		if l.listen(c.fd) != nil {
			l.shut(c)
		}
	case goOn:
		if free {
			l.read(c)
		}
	case fail:
		since := c.job.since
		c.job = nil // it may still be at a worker: it is not used again
		l.refuse(c, todo.failed, since)
		switch {
		case c.closed:
		case l.unsent != nil:
			l.hand(c, c.pending, l.unsent)
		default:
			l.read(c)
		}
	case finish:
		l.shut(c)
	case expire, settle:
		if waits {
			l.shut(c)
		}
	case hurry:
		if free && len(c.pending) > 0 {
			l.hand(c, c.pending, nil)
		}
	case pass:
		l.hand(c, c.pending, todo.answer)
	}
}
