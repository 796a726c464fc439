package serving

import (
	"bytes"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// laneConn is a connection here. It belongs to the goroutine that reads,
// except that whoever answers its request writes to it.
type laneConn struct {
	activity
	l *lane

	mu      sync.Mutex
	fd      int
	job     *job // its request; nil: none is being answered
	closing bool // it ends with the answer
	leaving bool // it has been asked to end, or to go to the server
	closed  bool
	ended   bool   // the client has said all, which is told once
	unread  bool   // something came while nothing was to be read
	pending []byte // the beginning of the next request

	received int // length of the request's body
}

// shortAnswer makes answers.
type shortAnswer struct {
	response fasthttp.ResponseHeader
	out      []byte
}

// head begins an answer. later says that the client may try again.
func (w *shortAnswer) head(status int, contentType string, length int, closing, later bool) {
	h := &w.response
	h.Reset()
	h.SetNoDefaultContentType(true)
	h.SetStatusCode(status)
	h.SetContentType(contentType)
	if closing {
		h.SetConnectionClose()
	}
	if bodyless(status) {
		length = 0
	}
	if later {
		h.Set("Retry-After", "1")
	}
	h.SetContentLength(length) // where the status allows it
	w.out = h.AppendBytes(w.out[:0])
}

// arrived is called when something has come on a connection, its end perhaps.
func (l *lane) arrived(c *laneConn, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = c.ended || ended
	if c.job != nil || c.leaving {
		c.unread = true
		return
	}
	l.read(c)
}

// read reads from a connection that has no request, with its lock held.
func (l *lane) read(c *laneConn) {
	for {
		c.unread = false
		have := copy(l.buf, c.pending)
		n, err := unix.Read(c.fd, l.buf[have:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			n = 0
			if have == 0 {
				return
			}
		case err != nil || n == 0:
			if have == 0 || err != nil {
				l.shut(c)
				return
			}
			c.ended = true
			l.requests(c, l.buf[:have])
			switch {
			case c.closed || c.job != nil:
			case len(c.pending) > 0:
				l.hand(c, c.pending, nil) // which says what it thinks of half a request
			default:
				l.shut(c)
			}
			return
		}
		filled := have+n == len(l.buf)
		l.requests(c, l.buf[:have+n])
		if c.closed || c.job != nil {
			c.unread = c.unread || filled
			return
		}
		if !filled && !c.ended {
			return
		}
	}
}

// requests takes the requests out of what has come, until one has to wait for
// its answer; what is left is kept.
func (l *lane) requests(c *laneConn, data []byte) {
	for len(data) > 0 && c.job == nil {
		if p, _ := c.phase(); p != head {
			c.enter(head)
		}
		l.unsent = nil
		used, ok := l.request(c, data)
		data = data[used:]
		switch {
		case c.closed:
			return
		case !ok || l.unsent != nil:
			l.hand(c, data, l.unsent)
			return
		case used == 0:
			c.pending = append(c.pending[:0], data...)
			return
		}
	}
	c.pending = nil
	if len(data) > 0 {
		c.pending = slices.Clone(data)
	}
}

var headEnd = []byte("\r\n\r\n")

// request takes one request and returns its length, 0 where it has not come
// whole. ok is false for one that is for the server.
func (l *lane) request(c *laneConn, data []byte) (used int, ok bool) {
	end := bytes.Index(data, headEnd)
	if end < 0 {
		// Lines may end without a carriage return.
		return 0, len(data) < maxHeader && !bytes.Contains(data, []byte("\n\n")) && !bytes.Contains(data, []byte("\n\r\n"))
	}
	end += len(headEnd)
	if end > maxHeader {
		return 0, false
	}
	l.source.Reset(data[:end])
	l.reader.Reset(&l.source)
	h := &l.header
	if h.Read(l.reader) != nil || l.reader.Buffered() > 0 {
		return 0, false
	}
	length := h.ContentLength()
	if !h.IsPost() || !h.IsHTTP11() || length < 0 || int64(length) > min(smallBody, l.g.plan.Gateway.BodyLimit) || len(h.Peek("Expect")) > 0 || h.ConnectionUpgrade() {
		return 0, false
	}
	if used = end + length; len(data) < used {
		return 0, true
	}
	target := h.RequestURI()
	if len(target) == 0 || target[0] != '/' || l.uri.Parse(h.Host(), target) != nil {
		return 0, false
	}
	call := fastCall{h}
	if own(call.Path()) {
		return 0, false
	}
	g := l.g
	c.closing = h.ConnectionClose() || g.draining.Load()
	c.enter(busy)
	if r := g.front.admit(call); r != nil {
		l.reply(c, r)
		return used, true
	}
	j := g.jobs.Get().(*job)
	j.body = append(j.body[:0], data[end:used]...)
	j.since, j.client, j.waiter = time.Now(), c, c
	c.job, c.received = j, length
	if f := g.d.submitLater(j); f != nil {
		c.job = nil
		l.refuse(c, f, j.since)
	}
	return used, true
}

// refuse answers a request that will have no answer of the processor.
func (l *lane) refuse(c *laneConn, f *failure, since time.Time) {
	r := failureReply(f)
	l.g.metrics.answered(r.status, c.received, len(r.body), since, time.Now())
	l.reply(c, r)
}

// reply gives an answer of the gateway's own. What the client has not taken of
// it is in l.unsent.
func (l *lane) reply(c *laneConn, r *reply) {
	c.closing = c.closing || r.close
	w := &l.writer
	w.head(r.status, r.contentType, len(r.body), c.closing, r.status == 503)
	w.out = append(w.out, r.body...)
	l.unsent = nil
	switch todo, _ := c.send(w.out); todo.what {
	case finish:
		l.shut(c)
	case pass:
		l.unsent = todo.answer
	}
}

// answered writes the answer of c's request.
func (c *laneConn) answered(j *job) {
	if j.failed != nil {
		c.givenUp(j)
		return
	}
	g := c.l.g
	status := httpStatus(j.status, j.flags)
	w := c.l.writers.Get().(*shortAnswer)
	g.metrics.answered(status, len(j.body), len(j.answer), j.since, time.Now())
	var todo errand
	asks := true
	c.mu.Lock()
	c.closing = c.closing || g.draining.Load()
	w.head(status, *g.limits.contentType.Load(), len(j.answer), c.closing, false)
	switch {
	case bodyless(status):
		j.kept.drop()
		todo, asks = c.send(w.out)
	case j.kept != nil:
		c.leaving = true
		todo = errand{conn: c, what: pass, answer: &slowAnswer{net.Buffers{slices.Clone(w.out), j.answer}, j.kept, c.closing}}
	default:
		w.out = append(w.out, j.answer...)
		todo, asks = c.send(w.out)
	}
	c.job = nil
	c.mu.Unlock()
	c.l.writers.Put(w)
	g.reuse(j, j.body)
	if asks {
		c.l.ask(todo)
	}
}

// givenUp has the goroutine that reads answer, as it may hold c's lock and wait
// for the dispatcher's.
func (c *laneConn) givenUp(j *job) {
	c.l.ask(errand{conn: c, what: fail, failed: j.failed})
}

// send writes an answer, with the lock held, and returns what is to be done
// with the connection next.
func (c *laneConn) send(out []byte) (errand, bool) {
	if c.closed {
		return errand{conn: c}, false
	}
	n, err := writeOnce(c.fd, out)
	c.leaving = true
	switch {
	case err != nil && err != unix.EAGAIN:
		return errand{conn: c, what: finish}, true
	case n < len(out):
		return errand{conn: c, what: pass, answer: &slowAnswer{pieces: net.Buffers{slices.Clone(out[n:])}, close: c.closing}}, true
	case c.closing || c.l.g.conns.draining.Load():
		return errand{conn: c, what: finish}, true
	}
	c.leaving = false
	c.enter(idle)
	return errand{conn: c, what: goOn}, c.unread || c.ended || len(c.pending) > 0
}

// left reports whether the client has gone.
func (c *laneConn) left() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed || leftAt(c.fd)
}

// shut ends a connection, with its lock held.
func (l *lane) shut(c *laneConn) {
	delete(l.byFD, int32(c.fd))
	unix.Close(c.fd)
	l.forget(c)
}

func (l *lane) forget(c *laneConn) {
	c.closed, c.fd, c.pending = true, -1, nil
	l.mu.Lock()
	delete(l.open, c)
	last := len(l.open) == 0
	l.mu.Unlock()
	if last {
		l.g.conns.left()
	}
}

// hand gives a connection to the server, with what has been read of it and what
// it is still to be sent; its lock is held.
func (l *lane) hand(c *laneConn, early []byte, answer *slowAnswer) {
	delete(l.byFD, int32(c.fd))
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
	f := os.NewFile(uintptr(c.fd), "")
	conn, err := net.FileConn(f)
	f.Close()
	if err != nil { // no descriptor is left
		answer.drop()
		l.forget(c)
		return
	}
	client := l.g.conns.client(conn.(*net.TCPConn))
	client.early = slices.Clone(early)
	client.doing.Store(c.doing.Load())
	l.forget(c)
	l.g.handed.Go(func() { l.g.serveRest(client, answer) })
}
