package serving

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// gateway reads HTTP, asks front what a request is, gives what belongs to the
// processor to the dispatcher, and writes the answer.
type gateway struct {
	plan     *runplan.Plan
	limits   *limits
	server   *fasthttp.Server
	full     *fullServer // nil: this program cannot serve HTTP itself
	front    *front
	d        *dispatcher
	budget   *budget
	metrics  *metrics
	emit     func(event.Event)
	times    *timings
	jobs     sync.Pool
	conns    *conns
	handed   sync.WaitGroup // goroutines of connections that the express has given away
	ended    chan struct{}  // closed when the server has returned
	stop     chan struct{}  // closed when the sweeper is to end
	swept    chan struct{}
	draining atomic.Bool
}

// minBodyRate is the pace that a body must keep, in bytes a second.
const minBodyRate = 1 << 10

// Sizes of what is read.
const (
	maxHeader  = 16 << 10
	smallBody  = 8 << 10  // read with the header, and not counted in the budget
	keptBuffer = 32 << 10 // of a job that is used again
)

func newGateway(plan *runplan.Plan, l *limits, listener net.Listener, d *dispatcher, b *budget, m *metrics, emit func(event.Event), times *timings, end func()) *gateway {
	g := &gateway{
		plan:    plan,
		limits:  l,
		conns:   newConns(listener, times),
		front:   newFront(plan, l, d, m, end),
		d:       d,
		budget:  b,
		metrics: m,
		emit:    emit,
		times:   times,
		ended:   make(chan struct{}),
		stop:    make(chan struct{}),
		swept:   make(chan struct{}),
	}
	g.jobs.New = func() any {
		return &job{done: make(chan struct{}, 1)}
	}
	g.server = &fasthttp.Server{
		Handler:                      g.handle,
		ErrorHandler:                 g.badRequest,
		ConnState:                    g.conns.note,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		StreamRequestBody:            true, // bodies are read when the budget allows
		DisablePreParseMultipartForm: true, // a form is a body like any other
		MaxRequestBodySize:           int(plan.Gateway.BodyLimit),
		ReadBufferSize:               maxHeader,
		Logger:                       silentLogger{},
		SecureErrorLogMessage:        true, // no request comes back in an error, token and all
		ExpectHandler:                g.mayContinue,
	}
	if plan.Worker.HTTP {
		g.full = newFullServer(g)
	}
	if !plan.Gateway.AccessLog {
		g.conns.express = newExpress(g)
	}
	return g
}

// silentLogger drops the server's own log: what matters of it is answered to
// the client by badRequest.
type silentLogger struct{}

func (silentLogger) Printf(string, ...any) {}

// start serves until the listener is closed. broken is called if it ends
// before.
func (g *gateway) start(broken func(error)) {
	go func() {
		defer close(g.ended)
		err := g.server.Serve(g.conns)
		if !g.draining.Load() {
			broken(listenerEnded(err))
		}
	}()
	if g.full != nil {
		g.full.start()
	}
	if g.conns.express != nil {
		g.conns.express.start()
	}
	go g.sweep()
}

func listenerEnded(err error) error {
	return fault.New(fault.Failed, "no more connections can be taken: %w", err)
}

// drain takes no new connections, lets the requests that have come in be
// answered until ctx ends, and returns how many were not.
func (g *gateway) drain(ctx context.Context) int {
	g.draining.Store(true)
	g.conns.Close()
	return g.conns.drain(ctx)
}

// close ends what is left.
func (g *gateway) close() {
	g.d.shut(&failure{503, "the service has ended"})
	g.conns.closeAll()
	g.server.Shutdown()
	<-g.ended
	g.handed.Wait()
	if g.full != nil {
		g.full.close()
	}
	close(g.stop)
	<-g.swept
}

// fastCall shows a request of the fast server to the rules. Its strings share
// the server's memory: they are valid only inside the handler.
type fastCall struct{ header *fasthttp.RequestHeader }

func shared(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (c fastCall) Method() string { return shared(c.header.Method()) }

// target is the request's target in its origin form.
func (c fastCall) target() []byte {
	target := c.header.RequestURI()
	if len(target) == 0 || target[0] == '/' {
		return target
	}
	_, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok {
		return target
	}
	i := bytes.IndexAny(rest, "/?")
	if i < 0 {
		return nil
	}
	return rest[i:]
}

func (c fastCall) Path() string {
	target := c.target()
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		target = target[:i]
	}
	return shared(target)
}

func (c fastCall) Query() string {
	target := c.target()
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		return shared(target[i+1:])
	}
	return ""
}

func (c fastCall) Host() string { return shared(c.header.Host()) }

func (c fastCall) Header(name string) string { return shared(c.header.Peek(name)) }

// mayContinue answers Expect: 100-continue before the body is sent: a request
// that will be refused need not send it.
func (g *gateway) mayContinue(ctx *fasthttp.RequestCtx) int {
	if n := ctx.Request.Header.ContentLength(); int64(n) > g.plan.Gateway.BodyLimit {
		g.write(ctx, g.tooLarge())
		return fasthttp.StatusRequestEntityTooLarge
	}
	if r := g.ambiguous(ctx); r != nil {
		g.write(ctx, r)
		return r.status
	}
	if r := g.front.refuse(fastCall{&ctx.Request.Header}); r != nil {
		g.write(ctx, r)
		return r.status
	}
	return fasthttp.StatusContinue
}

func (g *gateway) tooLarge() *reply {
	r := textReply(413, fmt.Sprintf("the body is longer than %d bytes", g.plan.Gateway.BodyLimit))
	r.close = true
	return r
}

// ambiguous refuses a request whose end two servers could see in different
// places. Two lengths that differ in form are refused by the server itself.
func (g *gateway) ambiguous(ctx *fasthttp.RequestCtx) *reply {
	if ctx.Request.Header.ContentLength() != -1 {
		return nil
	}
	both := len(ctx.Request.Header.Peek("Content-Length")) > 0
	if !both {
		both = hasHeader(ctx.Request.Header.RawHeaders(), "content-length")
	}
	if !both && ctx.Request.Header.IsHTTP11() {
		return nil
	}
	text := "Transfer-Encoding in a request of HTTP/1.0"
	if both {
		text = "the request has both Content-Length and Transfer-Encoding"
	}
	r := textReply(400, text)
	r.close = true
	return r
}

// hasHeader looks for a header in the text of a request's head.
func hasHeader(raw []byte, name string) bool {
	for line := range bytes.Lines(raw) {
		key, _, ok := bytes.Cut(line, []byte(":"))
		if ok && bytes.EqualFold(bytes.TrimSpace(key), []byte(name)) {
			return true
		}
	}
	return false
}

// badRequest answers what the server could not read.
func (g *gateway) badRequest(ctx *fasthttp.RequestCtx, err error) {
	r := textReply(400, "the request could not be read: "+err.Error())
	var timeout net.Error
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		r = textReply(431, fmt.Sprintf("the request's head is longer than %d bytes", maxHeader))
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		r = g.tooLarge()
	case errors.As(err, &timeout) && timeout.Timeout():
		r = textReply(408, "the request did not arrive in time")
	}
	r.close = true
	g.write(ctx, r)
}

// handle answers one request.
func (g *gateway) handle(ctx *fasthttp.RequestCtx) {
	conn := ctx.Conn().(*clientConn)
	conn.enter(busy)
	defer conn.enter(sending)
	if g.draining.Load() {
		ctx.SetConnectionClose()
	}
	if r := g.ambiguous(ctx); r != nil {
		g.write(ctx, r)
		return
	}
	if r := g.front.admit(fastCall{&ctx.Request.Header}); r != nil {
		g.write(ctx, r)
		return
	}
	j := g.jobs.Get().(*job)
	body := bodySource{stream: ctx.RequestBodyStream(), length: int64(ctx.Request.Header.ContentLength()), setDeadline: conn.SetReadDeadline}
	own := j.body
	memory, refusal := g.readBody(body, j)
	start := time.Now()
	received := len(j.body)
	if refusal == nil {
		refusal = g.predict(conn, j, start)
	}
	memory.drop() // what is still to be written of it is held by the worker's outbox
	if refusal != nil {
		g.write(ctx, refusal)
		g.account(ctx.RemoteAddr(), fastCall{&ctx.Request.Header}, refusal.status, received, len(refusal.body), start, time.Now())
		return // j may still be at a worker: it is not used again
	}
	status := httpStatus(j.status, j.flags)
	sent := len(j.answer)
	ctx.SetStatusCode(status)
	ctx.Response.Header.SetContentType(*g.limits.contentType.Load())
	switch {
	case bodyless(status):
		j.kept.drop()
	case j.kept != nil:
		// The answer stays in memory until the client has taken it.
		answer := &heldBody{memory: j.kept}
		answer.Reset(j.answer)
		ctx.SetBodyStream(answer, sent)
	default:
		ctx.SetBody(j.answer)
	}
	g.account(ctx.RemoteAddr(), fastCall{&ctx.Request.Header}, status, received, sent, start, time.Now())
	g.reuse(j, own)
}

// heldBody is an answer whose memory is held until it was sent.
type heldBody struct {
	bytes.Reader
	memory *buffer
}

func (b *heldBody) Close() error {
	b.Reset(nil)
	b.memory.drop()
	b.memory = nil
	return nil
}

// reuse puts a job back whose answer has come: no worker has it any more. own is
// the memory for bodies that it had.
func (g *gateway) reuse(j *job, own []byte) {
	if j.watched {
		return
	}
	answer := j.answer
	if j.kept != nil {
		answer = nil
	}
	if j.memory == nil {
		own = j.body
	}
	*j = job{done: j.done, body: own[:0], answer: answer[:0]}
	g.jobs.Put(j)
}

// bodySource is where a request's body comes from.
type bodySource struct {
	stream      io.Reader             // nil: there is none
	length      int64                 // negative: unknown
	setDeadline func(time.Time) error // of its reads
}

// readBody reads the whole body into j.body, within the limit and the budget.
// Who calls it holds the memory of a body that is not a small one.
func (g *gateway) readBody(src bodySource, j *job) (memory *buffer, refusal *reply) {
	length := src.length
	j.body = j.body[:0]
	if src.stream == nil || length == 0 {
		return nil, nil
	}
	limit := g.plan.Gateway.BodyLimit
	if length > limit {
		return nil, g.tooLarge()
	}
	if length > 0 && length <= smallBody {
		// It came with the head.
		j.body = slices.Grow(j.body, int(length))[:length]
		if _, err := io.ReadFull(src.stream, j.body); err != nil {
			return nil, g.unreadable(err)
		}
		return nil, nil
	}
	most := length + 1
	if length < 0 {
		// Nobody knows its end: as long as it is small it takes no room.
		most = limit + 1
		beginning := min(smallBody, most)
		var err error
		j.body, err = g.readSlow(src, slices.Grow(j.body, int(beginning)), beginning, nil)
		switch {
		case err == nil:
			return nil, nil
		case !errors.Is(err, errLonger):
			return nil, g.unreadable(err)
		case int64(len(j.body)) == most:
			return nil, g.tooLarge()
		}
	}
	held := most - 1
	if r := g.reserve(held); r != nil {
		return nil, r
	}
	memory = g.budget.buffer(int(min(most, firstBuffer)))
	body, err := g.readSlow(src, append(memory.b[:0], j.body...), most, func(body []byte) []byte {
		bigger := g.budget.buffer(int(min(2*int64(cap(body)), most)))
		copy(bigger.b, body)
		memory.drop()
		memory = bigger
		return memory.b[:len(body)]
	})
	memory.held = held
	if err == nil && int64(len(body)) < length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		memory.drop()
		if errors.Is(err, errLonger) {
			return nil, g.tooLarge()
		}
		return nil, g.unreadable(err)
	}
	j.body, j.memory = body, memory
	if spare := held - int64(len(body)); spare > 0 {
		g.budget.release(spare)
		memory.held -= spare
	}
	return memory, nil
}

// firstBuffer is how much memory is taken for a body before any of it has
// come. It grows with what has come, not with what was announced.
const firstBuffer = 4 << 20

// reserve takes the bytes of a body from the budget.
func (g *gateway) reserve(n int64) *reply {
	if g.budget.try(n) {
		return nil
	}
	wait, cancel := context.WithTimeout(context.Background(), g.limits.keepalive())
	defer cancel()
	if g.budget.acquire(wait, n) == nil {
		return nil
	}
	r := textReply(503, "no memory was free for the body within rpc.keepalive")
	r.close = true
	return r
}

var errLonger = errors.New("the body goes on")

// readSlow reads on after the beginning of a body, at the pace of its sender
// as long as that has one, to its end or until it has most bytes. grow is called
// when the memory is full.
func (g *gateway) readSlow(src bodySource, body []byte, most int64, grow func([]byte) []byte) ([]byte, error) {
	defer src.setDeadline(time.Time{})
	start := time.Now()
	for {
		late := start.Add(g.times.body + time.Duration(len(body)/minBodyRate)*time.Second)
		src.setDeadline(late)
		if len(body) == cap(body) {
			body = grow(body)
		}
		n, err := src.stream.Read(body[len(body):min(int64(cap(body)), most)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF:
			return body, nil
		case err != nil:
			return body, err
		case int64(len(body)) >= most:
			return body, errLonger
		}
	}
}

func (g *gateway) unreadable(err error) *reply {
	var timeout net.Error
	r := textReply(400, "the body could not be read: "+err.Error())
	if errors.As(err, &timeout) && timeout.Timeout() {
		r = textReply(408, fmt.Sprintf("the body came too slowly: less than %d bytes a second", minBodyRate))
	}
	r.close = true
	return r
}

// predict has the processor answer j, or says why it did not.
func (g *gateway) predict(client client, j *job, start time.Time) *reply {
	j.since = start
	j.client = client
	if f := g.d.submit(j); f != nil {
		return failureReply(f)
	}
	<-j.done // the sweeper sees to it that this comes in time
	if j.failed != nil {
		return failureReply(j.failed)
	}
	return nil
}

// slowAnswer is an answer, or the rest of one, that takes time to write.
type slowAnswer struct {
	pieces net.Buffers
	memory *buffer // that they lie in; nil: in memory of their own
	close  bool    // the connection ends with it
}

func (a *slowAnswer) drop() {
	if a != nil {
		a.memory.drop()
	}
}

// serveRest serves a connection that the express has given away, after an answer
// to a request that had come to that.
func (g *gateway) serveRest(client *clientConn, answer *slowAnswer) {
	defer g.conns.forget(client)
	defer client.Close()
	if answer != nil {
		client.enter(sending)
		_, err := answer.pieces.WriteTo(client.TCPConn)
		answer.drop()
		if err != nil || answer.close {
			return
		}
		client.enter(idle)
	}
	if g.draining.Load() && len(client.early) == 0 {
		return
	}
	_ = g.server.ServeConn(client) // what went wrong was the client's
}

func (g *gateway) write(ctx *fasthttp.RequestCtx, r *reply) {
	ctx.SetStatusCode(r.status)
	ctx.Response.Header.SetContentType(r.contentType)
	if r.status == 503 {
		ctx.Response.Header.Set("Retry-After", "1")
	}
	if r.close {
		ctx.SetConnectionClose()
	}
	ctx.SetBody(r.body)
}

// account counts an answered request, and logs it where that was asked for.
func (g *gateway) account(from net.Addr, c call, status, received, sent int, start, end time.Time) {
	g.metrics.answered(status, received, sent, start, end)
	if g.plan.Gateway.AccessLog {
		g.emit(event.Event{Type: event.Access, Message: fmt.Sprintf("%s %s %.200q %d in=%d out=%d %.2fms",
			from, c.Method(), c.Path(), status, received, sent, float64(end.Sub(start).Microseconds())/1000)})
	}
}

// sweep does what no single request can, or could only at the cost of a timer
// of its own: it ends requests that have had their time, and notices clients
// that have left and workers whose every slot is taken by a request past its
// time.
func (g *gateway) sweep() {
	defer close(g.swept)
	// A request may be late by a sixteenth of its time.
	ticker := time.NewTicker(min(g.times.sweeping, max(g.limits.keepalive()/16, 2*time.Millisecond)))
	defer ticker.Stop()
	var looked time.Time
	for {
		select {
		case <-g.stop:
			return
		case <-ticker.C:
		}
		now, keepalive := time.Now(), g.limits.keepalive()
		g.conns.look(now)
		g.d.expire(now, keepalive)
		if now.Sub(looked) < g.times.sweeping {
			continue
		}
		looked = now
		// A burst of large bodies is over: left alone, the runtime would keep
		// their memory for minutes.
		if g.budget.trim() {
			debug.FreeOSMemory()
		}
		for _, j := range g.d.older(now.Add(-g.times.sweeping)) {
			if j.client.left() {
				g.d.drop(j)
			}
		}
		for _, l := range g.d.stuck(now, keepalive) {
			l.replace(fmt.Sprintf("every thread has been busy with requests past rpc.keepalive (%v) for another %v", keepalive, keepalive))
		}
	}
}
