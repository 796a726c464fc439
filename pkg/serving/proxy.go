package serving

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// passage is one request on its way to a program that serves HTTP itself, and
// its answer on the way back.
type passage struct {
	s        *fullServer
	up       *upstream
	conn     *clientConn
	control  *http.ResponseController
	upload   *upload
	patience *patience
	start    time.Time // when its head was there
	head     time.Time // when its answer began
	begun    bool      // it did, by the program
	status   int
	sent     int
	again    bool // the program took nothing of it: another try is safe
}

type passingKey struct{}

func (s *fullServer) newProxy(silent *log.Logger) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        s.rewrite,
		Transport:      s,
		ModifyResponse: s.answerBegins,
		ErrorHandler:   s.notAnswered,
		ErrorLog:       silent,
		BufferPool:     &copyBuffers{},
	}
}

// copyBuffers are the buffers through which bodies are copied.
type copyBuffers struct{ pool sync.Pool }

func (b *copyBuffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return *buf
	}
	return make([]byte, 32<<10)
}

func (b *copyBuffers) Put(buf []byte) { b.pool.Put(&buf) }

// pass passes a request on and its answer back.
func (s *fullServer) pass(w http.ResponseWriter, r *http.Request, conn *clientConn) {
	g := s.g
	keepalive := g.limits.keepalive()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	p := &passage{s: s, conn: conn, control: http.NewResponseController(w), start: time.Now()}
	p.patience = newPatience(keepalive, func() { cancel(errPatience) })
	defer p.patience.end()
	p.upload = &upload{body: r.Body, limit: g.plan.Gateway.BodyLimit, p: p}
	out := &answerWriter{ResponseWriter: w, p: p}
	defer func() { // also where the answer broke off, which ends the handler by a panic
		if p.up != nil {
			g.d.exit(p.up, p.begun)
		}
		p.upload.end()
		p.control.SetReadDeadline(time.Time{})
		p.control.SetWriteDeadline(time.Time{})
		received, start := p.upload.sum(p.start)
		g.account(conn.RemoteAddr(), netCall{r}, p.status, received, p.sent, start, p.head)
	}()
	r = r.WithContext(context.WithValue(ctx, passingKey{}, p))
	if r.ContentLength != 0 {
		r.Body = p.upload
		if err := p.hold(r); err != nil {
			p.fail(w, err, false)
			return
		}
		if r.ProtoMajor == 1 {
			p.control.EnableFullDuplex() // a program may answer while it still reads
		}
	}
	for {
		up, refusal := g.d.enter(ctx)
		if refusal != nil {
			if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errPatience) {
				refusal = failLeft
			}
			p.refuse(w, failureReply(refusal))
			return
		}
		p.up, p.again = up, false
		s.proxy.ServeHTTP(out, r)
		if !p.again {
			return
		}
		g.d.exit(up, false)
		p.up = nil
		if r.GetBody != nil {
			r.Body, _ = r.GetBody()
		}
		select { // it may be about to be seen to have ended
		case <-up.dying:
			g.d.leaveUpstream(up)
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
}

// retryPause is the time between two tries to connect to a program.
const retryPause = 20 * time.Millisecond

// hold reads a small body, so that a request that crosses the end of an idle
// connection to the program can be sent again.
func (p *passage) hold(r *http.Request) error {
	if r.ContentLength < 0 || r.ContentLength > keptBuffer {
		return nil
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(p.upload, body); err != nil {
		return err
	}
	p.upload.end()
	again := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.GetBody = again
	r.Body, _ = again()
	return nil
}

// RoundTrip sends a request to its upstream.
func (s *fullServer) RoundTrip(r *http.Request) (*http.Response, error) {
	p := r.Context().Value(passingKey{}).(*passage)
	return p.up.transport.RoundTrip(r)
}

// rewrite makes the request that the program gets: what the client sent, but
// for the path that names the service and the token, which is not its business.
func (s *fullServer) rewrite(pr *httputil.ProxyRequest) {
	p := pr.In.Context().Value(passingKey{}).(*passage)
	call := netCall{pr.In}
	path := call.Path()
	h := pr.Out.Header
	if rest, ok := strings.CutPrefix(path, predictPrefix+s.g.plan.Name); ok && (rest == "" || rest[0] == '/') {
		h.Set("X-Forwarded-Prefix", strings.TrimSuffix(path, rest))
		path = rest
	}
	if path == "" {
		path = "/"
	}
	pr.Out.URL = &url.URL{Scheme: "http", Host: *p.up.address.Load(), RawQuery: call.Query(), ForceQuery: strings.HasSuffix(call.target(), "?")}
	if strings.HasPrefix(path, "//") {
		pr.Out.URL.Path, pr.Out.URL.RawPath = pr.In.URL.Path, pr.In.URL.RawPath
	} else {
		pr.Out.URL.Opaque = path // as it was sent: nothing is decoded and encoded again
	}
	h["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
	pr.SetXForwarded()
	for _, name := range [...]string{"X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"} {
		if given := pr.In.Header[name]; len(given) > 0 { // by a proxy in front of this one
			h[name] = given
		}
	}
	if s.g.front.auth.token != "" {
		h.Del("Authorization")
	}
	h.Del("Expect") // the body is asked for when the program reads it
}

// answerBegins is called with the head of a program's answer.
func (s *fullServer) answerBegins(resp *http.Response) error {
	p := resp.Request.Context().Value(passingKey{}).(*passage)
	if !p.patience.end() {
		return errPatience // it was too late by a hair
	}
	p.begin(resp.StatusCode)
	s.g.d.begun(p.up)
	p.begun = true
	return nil
}

// begin notes the status and the time of an answer.
func (p *passage) begin(status int) {
	p.status = status
	p.upload.end()
	// From here on the client may take its time to send: the two talk.
	p.control.SetReadDeadline(time.Time{})
	p.head = time.Now()
}

// notAnswered is called where the program gave no answer.
func (s *fullServer) notAnswered(w http.ResponseWriter, r *http.Request, err error) {
	p := r.Context().Value(passingKey{}).(*passage)
	if answer, ok := w.(*answerWriter); ok {
		w = answer.ResponseWriter
	}
	p.fail(w, err, r.GetBody != nil || p.upload.untouched())
}

// fail answers a request that the program did not answer, or has it sent again
// where that may be and nothing of it was sent.
func (p *passage) fail(w http.ResponseWriter, err error, replayable bool) {
	g := p.s.g
	var dial *net.OpError
	cause := p.upload.failure()
	switch {
	case cause != nil && errors.Is(cause, errLonger):
		p.refuse(w, g.tooLarge())
	case cause != nil && !p.patience.over():
		p.refuse(w, g.unreadable(cause))
	case p.patience.over():
		if p.up != nil {
			p.up.question(g.limits.keepalive())
		}
		p.refuse(w, failureReply(failTimeout))
	case errors.Is(err, context.Canceled):
		p.refuse(w, failureReply(failLeft))
	case errors.As(err, &dial) && dial.Op == "dial" && replayable:
		p.again = true
	default:
		if why := p.up.death(); why != nil {
			p.refuse(w, failureReply(why))
			return
		}
		p.refuse(w, textReply(502, "the program closed the connection without an answer: "+err.Error()))
	}
}

// refuse gives an answer of the gateway's own.
func (p *passage) refuse(w http.ResponseWriter, r *reply) {
	p.patience.end()
	p.status, p.sent, p.head = r.status, len(r.body), time.Now()
	p.s.write(w, r)
}

// patience is how long a request waits for the beginning of its answer. Its
// time stands still while its body is waited for.
type patience struct {
	mu    sync.Mutex
	timer *time.Timer
	after time.Duration
	state int
}

const (
	waiting = iota
	lost
	ended
)

func newPatience(after time.Duration, lose func()) *patience {
	p := &patience{after: after}
	p.timer = time.AfterFunc(after, func() {
		p.mu.Lock()
		if p.state != waiting {
			p.mu.Unlock()
			return
		}
		p.state = lost
		p.mu.Unlock()
		lose()
	})
	return p
}

// pause stops the time, resume starts it anew.
func (p *patience) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == waiting {
		p.timer.Stop()
	}
}

func (p *patience) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == waiting {
		p.timer.Reset(p.after)
	}
}

// end stops the time for good. It reports whether it was not over.
func (p *patience) end() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == lost {
		return false
	}
	p.state = ended
	p.timer.Stop()
	return true
}

// over reports whether the time is over.
func (p *patience) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == lost
}

// upload is a request's body on its way to the program: within the limit, and
// at the least pace as long as no answer has begun.
type upload struct {
	body  io.ReadCloser
	limit int64
	p     *passage

	mu       sync.Mutex
	read     int64
	waited   time.Duration // for its sender
	err      error         // what was wrong with it
	finished time.Time     // when it was there as a whole
	ended    bool
}

func (u *upload) Read(b []byte) (int, error) {
	u.mu.Lock()
	pace := !u.ended
	if pace {
		times := u.p.s.g.times
		left := times.body + time.Duration(u.read/minBodyRate)*time.Second - u.waited
		u.p.control.SetReadDeadline(time.Now().Add(left))
	}
	u.mu.Unlock()
	begin := time.Now()
	u.p.patience.pause()
	n, err := u.body.Read(b)
	u.p.patience.resume()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waited += time.Since(begin)
	u.read += int64(n)
	switch {
	case err == io.EOF:
		u.finished = time.Now()
	case err != nil:
		u.err = err
	}
	if u.read > u.limit {
		u.err = errLonger
		return 0, errLonger
	}
	return n, err
}

func (u *upload) Close() error { return u.body.Close() }

// end says that its sender may take its time from now on.
func (u *upload) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
}

func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

func (u *upload) untouched() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.read == 0
}

// sum returns how many bytes came, and since when they were there: since the
// request's head where there was no end of them.
func (u *upload) sum(head time.Time) (received int, since time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.finished.IsZero() {
		return int(u.read), head
	}
	return int(u.read), u.finished
}

// answerWriter counts what goes to the client, and ends a connection whose
// client takes nothing.
type answerWriter struct {
	http.ResponseWriter
	p    *passage
	late time.Time
}

func (w *answerWriter) Write(b []byte) (int, error) {
	limit := w.p.s.g.times.write
	if now := time.Now(); w.late.Sub(now) < limit/2 {
		w.late = now.Add(limit)
		w.p.control.SetWriteDeadline(w.late)
	}
	n, err := w.ResponseWriter.Write(b)
	w.p.sent += n
	return n, err
}

// Unwrap lets the library find what the writer below can do.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
