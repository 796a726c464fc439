package serving

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fullServer speaks all of HTTP: it is the front of a program that serves HTTP
// itself. It is slower than the fast one, so it hands over to that as soon as
// it is known that the program answers frames; what comes on the connections
// that it has by then is answered by it, and they end.
type fullServer struct {
	g        *gateway
	server   *http.Server
	proxy    *httputil.ReverseProxy
	handlers sync.WaitGroup
	ended    chan struct{}
}

// handoff is the listener of the full server: it is given connections by the
// one that accepts them.
type handoff struct {
	net.Listener
	d      *dispatcher
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// wants reports whether the full server is to have the next connection.
func (h *handoff) wants() bool { return kind(h.d.kind.Load()) != framed }

// give hands a connection over, and reports whether it was taken: nobody takes
// one after the end.
func (h *handoff) give(conn net.Conn) bool {
	select {
	case h.conns <- conn:
		return true
	case <-h.closed:
		return false
	}
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

type connKey struct{}

func newFullServer(g *gateway) *fullServer {
	s := &fullServer{g: g, ended: make(chan struct{})}
	g.conns.full = &handoff{Listener: g.conns.Listener, d: g.d, conns: make(chan net.Conn), closed: make(chan struct{})}
	silent := log.New(io.Discard, "", 0)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.server = &http.Server{
		Handler:                      s,
		ConnState:                    g.conns.noteFull,
		ConnContext:                  func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ErrorLog:                     silent,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
	}
	s.proxy = s.newProxy(silent)
	return s
}

func (s *fullServer) start() {
	go func() {
		defer close(s.ended)
		s.server.Serve(s.g.conns.full)
	}()
}

// close ends what is left; the connections are closed already.
func (s *fullServer) close() {
	s.server.Close()
	<-s.ended
	s.handlers.Wait()
}

// noteFull is told by the full server what becomes of a connection.
func (c *conns) noteFull(conn net.Conn, state http.ConnState) {
	client, ok := conn.(*clientConn)
	if !ok {
		return // of HTTP/2: its beginning and its end are told of the connection itself
	}
	switch state {
	case http.StateActive:
		client.enter(head)
	case http.StateIdle:
		client.enter(idle)
		if c.draining.Load() {
			client.Close()
		}
	case http.StateHijacked:
		// A drain does not wait for it: nobody knows when it has said all. The
		// program is asked to end first, and then it is cut.
		client.hijacked.Store(true)
		c.mu.Lock()
		c.upgraded[client] = struct{}{}
		c.mu.Unlock()
		c.forget(client)
	case http.StateClosed:
		c.forget(client)
	}
}

// netCall shows a request of the full server to the rules.
type netCall struct{ r *http.Request }

func (c netCall) Method() string { return c.r.Method }

// target is the request's target in its origin form.
func (c netCall) target() string {
	target := c.r.RequestURI
	if target == "" || target[0] == '/' {
		return target
	}
	_, rest, ok := strings.Cut(target, "://")
	if !ok {
		return target
	}
	i := strings.IndexAny(rest, "/?")
	if i < 0 {
		return ""
	}
	return rest[i:]
}

func (c netCall) Path() string {
	path, _, _ := strings.Cut(c.target(), "?")
	return path
}

func (c netCall) Query() string {
	_, query, _ := strings.Cut(c.target(), "?")
	return query
}

func (c netCall) Host() string { return c.r.Host }

func (c netCall) Header(name string) string { return c.r.Header.Get(name) }

// ServeHTTP answers one request.
func (s *fullServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.handlers.Add(1)
	defer s.handlers.Done()
	conn := r.Context().Value(connKey{}).(*clientConn)
	conn.calls.Add(1)
	conn.enter(busy)
	defer func() {
		if conn.calls.Add(-1) == 0 {
			conn.enter(sending)
		}
	}()
	g := s.g
	decided := kind(g.d.kind.Load())
	if decided == framed || g.draining.Load() || s.doubtful(r) {
		w.Header().Set("Connection", "close")
	}
	if r.ContentLength > g.plan.Gateway.BodyLimit {
		if refusal := g.front.refuse(netCall{r}); refusal != nil {
			s.write(w, refusal)
			return
		}
		refusal := g.tooLarge()
		s.write(w, refusal)
		now := time.Now()
		g.account(conn.RemoteAddr(), netCall{r}, refusal.status, 0, len(refusal.body), now, now)
		return
	}
	if refusal := g.front.admit(netCall{r}); refusal != nil {
		s.write(w, refusal)
		return
	}
	if decided == framed {
		s.answerFrames(w, r, conn)
		return
	}
	s.pass(w, r, conn)
}

// doubtful reports whether another server could see the end of a request
// elsewhere: the library takes the chunks for its end where there is a length
// too, and ignores them in HTTP/1.0, without a trace of it. So nothing that
// follows on such a connection is believed.
func (s *fullServer) doubtful(r *http.Request) bool {
	return r.ProtoMajor == 1 && (r.ProtoMinor == 0 || len(r.TransferEncoding) > 0)
}

// write gives an answer of the gateway's own.
func (s *fullServer) write(w http.ResponseWriter, r *reply) {
	h := w.Header()
	h.Set("Content-Type", r.contentType)
	h.Set("Content-Length", strconv.Itoa(len(r.body)))
	if r.status == 503 {
		h.Set("Retry-After", "1")
	}
	if r.close {
		h.Set("Connection", "close")
	}
	w.WriteHeader(r.status)
	w.Write(r.body)
}

// answerFrames has a worker that answers frames answer a request that has come
// to this server.
func (s *fullServer) answerFrames(w http.ResponseWriter, r *http.Request, conn *clientConn) {
	g := s.g
	control := http.NewResponseController(w)
	j := &job{done: make(chan struct{}, 1)}
	memory, refusal := g.readBody(bodySource{r.Body, r.ContentLength, control.SetReadDeadline}, j)
	start := time.Now()
	received := len(j.body)
	if refusal == nil {
		refusal = g.predict(conn, j, start)
	}
	memory.drop()
	answered := refusal == nil
	if answered {
		refusal = &reply{status: httpStatus(j.status, j.flags), contentType: *g.limits.contentType.Load(), body: j.answer}
	}
	if bodyless(refusal.status) {
		w.WriteHeader(refusal.status)
		refusal.body = nil
	} else {
		s.write(w, refusal)
	}
	if answered {
		j.kept.forget() // HTTP/2 may still look at what it could not send
	}
	g.account(conn.RemoteAddr(), netCall{r}, refusal.status, received, len(refusal.body), start, time.Now())
}

// errPatience ends a request that the program has not begun to answer in time.
var errPatience = errors.New("the program took longer than rpc.keepalive")
