package serving

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
	"github.com/openeas/eascmd/pkg/serving/wire"
)

// worker is one process from its start to its death.
type worker struct {
	*supervisor
	id      int
	process *process
	env     []string
	start   []byte // the payload of START
	started time.Time
	link    *link
	up      *upstream              // its program, where that serves HTTP itself
	found   chan *upstream         // a program that serves HTTP is ready
	frames  context.CancelFunc     // it answers frames: nobody need look for its socket
	read    chan struct{}          // closed when nothing more is read from link
	readEnd error                  // why, once read is closed; nil at end-of-file
	warming atomic.Pointer[string] // the warm-up request that it is answering
	silent  bool                   // it was told that the worker does not answer
}

func (w *worker) run(greeted <-chan hello) life {
	result := life{pid: w.process.pid}
	ticker := time.NewTicker(w.times.loading)
	defer ticker.Stop()
	var deadline <-chan time.Time
	if ms := w.plan.Worker.LoadTimeoutMS; ms > 0 {
		timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
		defer timer.Stop()
		deadline = timer.C
	}
	// loading ends with READY and a warm-up, or with a reason.
	loaded := make(chan error, 1)
	var reading chan error
	stop, ending := w.stop, w.process.ending
	defer w.look()()
	greet := func(h hello) {
		w.introduced(w.id, w.process.pid, h.host)
		reading = make(chan error, 1)
		w.open(h, loaded, reading)
	}
	for {
		select {
		case u := <-w.found:
			deadline = nil
			result.ready = w.serve(u, ticker)
		case <-ending:
			ending = nil
			if w.up != nil { // before its death is explained: no new requests
				w.d.leaveUpstream(w.up)
			}
		case h := <-greeted:
			greet(h)
		case err := <-loaded:
			loaded = nil
			if err == errLoadEnded && w.mute() {
				continue
			}
			deadline = nil
			if err != nil {
				if f, ok := errors.AsType[*loadFailure](err); ok {
					return w.loadFailed(result, f)
				}
				// A worker that breaks the protocol or ends while loading dies below.
				continue
			}
			result.ready = w.ready(ticker)
		case err := <-reading:
			// The connection is gone: no new requests. The process is what tells
			// why, so give it a moment to end by itself.
			reading = nil
			select {
			case err := <-loaded: // in the order in which it happened
				if f, ok := errors.AsType[*loadFailure](err); ok {
					return w.loadFailed(result, f)
				}
				if err == nil {
					result.ready = w.ready(ticker)
				}
			default: // too late
			}
			loaded = nil
			if err == nil && w.mute() {
				w.process.closed.Store(true)
				continue
			}
			deadline = nil
			w.d.leave(w.link)
			if err == nil || errors.Is(err, errCut) {
				w.process.endSoon()
			} else {
				w.process.killBecause(breach(err))
			}
		case <-ticker.C:
			if !result.ready.IsZero() {
				w.ping()
				continue
			}
			w.emit(event.Event{Type: event.Loading, Worker: w.id, ElapsedMS: time.Since(w.started).Milliseconds()})
		case <-deadline:
			w.process.killBecause(fmt.Sprintf("loading took longer than the load timeout of %v", time.Duration(w.plan.Worker.LoadTimeoutMS)*time.Millisecond))
		case <-stop:
			stop = nil
			w.askToEnd()
		case <-w.process.dead:
			select {
			case h := <-greeted: // it came and went within one look
				greet(h)
			default:
			}
			result.why, result.abnormal = w.bury(), w.process.abnormal()
			// All that it has said was read by now, and says more than its end.
			select {
			case err := <-loaded:
				if f, ok := errors.AsType[*loadFailure](err); ok && result.ready.IsZero() {
					return w.tellFailed(result, f)
				}
			default:
			}
			if result.ready.IsZero() {
				result.failed, result.hint = w.process.gaveUp(), w.portHint()
			}
			return result
		}
	}
}

// ready makes the worker available, and returns since when it is.
func (w *worker) ready(ticker *time.Ticker) time.Time {
	ticker.Reset(w.times.ping)
	w.d.join(w.link)
	w.becameReady(w.id, time.Since(w.started))
	return time.Now()
}

// ping asks the worker for a sign of life. A thread without user code answers,
// so that silence is not a busy processor: it is a stopped process, in a
// debugger most likely, or one that gets no processor time. Telling is all:
// to end it would take it from under the debugger.
func (w *worker) ping() {
	if w.link == nil || w.process.closed.Load() {
		return // a program without a host
	}
	switch unanswered := w.link.pings - w.link.pongs.Load(); {
	case unanswered <= 0:
		w.link.pings++
		w.link.out.message(wire.Header{Type: wire.Ping}, nil, nil)
	case !w.silent:
		w.silent = true
		w.emit(event.Event{Type: event.Warning, Worker: w.id,
			Message: fmt.Sprintf("worker %d (process %d) has not answered for %v", w.id, w.process.pid, w.times.ping),
			Hint:    "is it stopped in a debugger, or are all processors busy?"})
	}
}

// open begins the conversation: START, then frames both ways.
func (w *worker) open(h hello, loaded chan<- error, reading chan<- error) {
	conn := stream(h.conn)
	if w.express != nil {
		if prompt, err := newPromptConn(h.conn); err == nil {
			conn, h.in.conn = prompt, prompt
		}
	}
	w.link = newLink(conn, w.d, w.budget, w.process.killBecause)
	w.link.out.message(wire.Header{Type: wire.Start}, w.start, nil)
	go w.link.out.write(conn, w.process.dead)
	w.read = make(chan struct{})
	go func() {
		w.readEnd = w.converse(h.in, loaded)
		conn.Close()
		reading <- w.readEnd
		close(w.read)
	}()
}

// lane is the one that reads what the worker answers, nil where there is none.
func (w *worker) lane() *lane {
	if w.express == nil {
		return nil
	}
	return w.express.lane(w.id)
}

// breach says what was wrong with the end of a connection.
func breach(err error) string {
	if errors.Is(err, errCut) {
		return errCut.Error()
	}
	return "it broke the worker protocol: " + err.Error()
}

// converse reads the worker's frames from START to the end of the connection.
func (w *worker) converse(in *inbox, loaded chan<- error) error {
	for {
		h, payload, err := in.next()
		if err != nil {
			loaded <- errLoadEnded
			if err == errEOF {
				return nil
			}
			return err
		}
		switch h.Type {
		case wire.Ready:
			if !w.answersFrames() {
				return fmt.Errorf("READY from a program that serves HTTP itself")
			}
			props, err := wire.Properties(payload)
			if err != nil {
				return fmt.Errorf("READY: %w", err)
			}
			n, err := decimal(props, "concurrency", 1)
			if err != nil {
				return fmt.Errorf("READY: %w", err)
			}
			if n < 1 {
				return fmt.Errorf("READY: concurrency is %d", n)
			}
			w.d.mu.Lock()
			w.link.setConcurrency(n)
			w.d.mu.Unlock()
			if len(w.plan.Worker.WarmUp) == 0 {
				loaded <- nil
			} else {
				go func() { loaded <- w.warmUp() }()
			}
			return w.link.readLoop(in, w.lane(), w.put)
		case wire.Failed:
			props, err := wire.Properties(payload)
			if err != nil {
				return fmt.Errorf("FAILED: %w", err)
			}
			loaded <- &loadFailure{state: props["state"], message: props["message"], hint: props["hint"]}
			return nil
		case wire.Frames:
			w.answersFrames()
		case wire.Settings:
			if err := w.put(payload); err != nil {
				return err
			}
		case wire.Pong, wire.Drained: // the latter where it was told to end while it loads
		default:
			if h.Type.Known() {
				return fmt.Errorf("frame %v before READY", h.Type)
			}
		}
	}
}

// errLoadEnded is a connection that ended before READY or FAILED.
var errLoadEnded = fmt.Errorf("the connection ended while the worker was loading")

// loadFailure is what a worker said in FAILED.
type loadFailure struct{ state, message, hint string }

func (f *loadFailure) Error() string { return f.message }

// loadFailed ends a worker that could not load. Where the service has never
// run, trying again would only hide the message.
func (w *worker) loadFailed(result life, f *loadFailure) life {
	w.process.endSoon()
	<-w.process.dead
	if !result.ready.IsZero() { // it served HTTP, and does no more
		w.process.note(f.message)
		result.why = w.bury()
		return result
	}
	result.why = w.bury()
	return w.tellFailed(result, f)
}

// tellFailed adds to what is known of the end of a worker why it could not load.
func (w *worker) tellFailed(result life, f *loadFailure) life {
	text := "the processor could not be loaded"
	if f.message != "" {
		text += ": " + f.message
	}
	if !w.everReady(w.id) {
		result.fatal = &fault.Error{Kind: fault.Processor, Text: text, Hint: f.hint}
		return result
	}
	result.why, result.hint = text, f.hint
	return result
}

// startPayload is what START tells a worker.
func startPayload(p *runplan.Plan) ([]byte, error) {
	type property struct{ name, value string }
	list := []property{
		{"service", p.Name},
		{"workspace", p.Workspace},
		{"entry", p.Processor.Entry},
		{"main_class", p.Processor.MainClass},
		{"model_entry", p.Processor.ModelEntry},
		{"model_config", p.Processor.ModelConfig},
		{"threads", strconv.Itoa(min(p.Worker.Threads, maxThreads))},
	}
	if len(p.Processor.ClassPath) > 0 {
		list = append(list, property{"class_path", strings.Join(p.Processor.ClassPath, "\n")})
	}
	switch {
	case p.Worker.ThreadsFixed:
		list = append(list, property{"threads.from", "caller"})
	case slices.Contains(p.Given, "rpc.worker_threads"):
		list = append(list, property{"threads.from", "description"})
	}
	for name, value := range p.Properties {
		list = append(list, property{"prop." + name, value})
	}
	var b []byte
	var err error
	for _, prop := range list {
		if b, err = wire.AppendProperty(b, prop.name, prop.value); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// warmUp replays the service's warm-up requests, one after the other. What a
// processor answers them is its own affair; what went wrong is told. It fails
// where the worker dies of them.
func (w *worker) warmUp() error {
	begin, sent := time.Now(), 0
	for _, path := range w.plan.Worker.WarmUp {
		body, err := os.ReadFile(path)
		if err != nil {
			w.emit(event.Event{Type: event.Warning, Worker: w.id, Message: "warm-up request was not sent: " + err.Error()})
			continue
		}
		sent++
		w.warming.Store(&path)
		j := &job{body: body, since: time.Now(), done: make(chan struct{}, 1)}
		w.d.mu.Lock()
		w.link.assign(j, j.since)
		w.d.mu.Unlock()
		w.link.out.kick()
		select {
		case <-j.done:
		case <-w.process.dead:
			return errLoadEnded
		}
		if status := httpStatus(j.status, j.flags); j.failed == nil && status != 200 {
			w.emit(event.Event{Type: event.Warning, Worker: w.id,
				Message: fmt.Sprintf("warm-up request %s was answered %d: %s", path, status, excerpt(j.answer))})
		}
		if j.failed == nil {
			j.kept.drop()
		}
	}
	w.warming.Store(nil)
	w.emit(event.Event{Type: event.WarmedUp, Worker: w.id, ElapsedMS: time.Since(begin).Milliseconds(),
		Message: fmt.Sprintf("%d warm-up requests were replayed", sent)})
	return nil
}

// excerpt is the beginning of an answer, for a message.
func excerpt(b []byte) string {
	const most = 200
	text := strings.ToValidUTF8(string(b[:min(len(b), most)]), "�")
	if len(b) > most {
		text += "…"
	}
	return text
}

// askToEnd ends a worker in order: it finishes what it has and goes.
func (w *worker) askToEnd() {
	if w.up != nil {
		w.d.leaveUpstream(w.up)
		w.up.transport.CloseIdleConnections()
	}
	if w.up != nil || w.process.closed.Load() {
		w.process.askToEnd()
		return
	}
	if w.plan.Properties["rpc.enable_sigterm"] == "true" {
		w.process.terminate() // for the processor's own clean-up
	}
	if w.link == nil {
		w.process.discard() // still on its way to HELLO: it has nothing to finish
		return
	}
	w.d.leave(w.link)
	w.link.out.message(wire.Header{Type: wire.Drain}, nil, nil)
	// By now every client has its answer or is gone. A call that still goes on
	// works for nobody.
	if len(w.link.orphans()) > 0 {
		go func() {
			select {
			case <-w.process.dead:
			case <-time.After(w.times.abandoned):
				w.process.killBecause("it was still busy with requests that nobody waited for any more")
			}
		}()
	}
}

// bury explains the death of the process, answers the requests that died with
// it, and returns the explanation.
func (w *worker) bury() string {
	if w.up != nil {
		w.d.leaveUpstream(w.up)
	}
	if w.link != nil {
		w.endLink()
	}
	why := w.process.explain()
	if path := w.warming.Load(); path != nil {
		why += "\nit was answering the warm-up request " + *path
	}
	died := &failure{500, why}
	if w.link != nil {
		w.d.fail(w.link, died)
	}
	if w.up != nil {
		w.up.died(died)
	}
	return why
}

// endLink reads the end of what a dead worker has written, and notes what was
// wrong with it.
func (w *worker) endLink() {
	w.d.leave(w.link)
	// What it has answered counts. The end of it comes at once, unless a child
	// that it left behind holds the connection.
	select {
	case <-w.read:
	case <-time.After(outputTime):
	}
	w.link.conn.Close()
	<-w.read
	<-w.link.out.gone
	if w.readEnd != nil {
		w.process.note(breach(w.readEnd))
	}
}
