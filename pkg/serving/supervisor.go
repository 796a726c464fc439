package serving

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
	"github.com/openeas/eascmd/pkg/serving/wire"
)

// supervisor keeps the workers up: one goroutine a worker starts it, waits for
// it to be ready, hands its connection to the dispatcher, explains its death
// and starts it again.
type supervisor struct {
	plan     *runplan.Plan
	dir      string
	listener net.Listener // Unix or TCP
	limits   *limits
	address  netip.AddrPort // the gateway's
	d        *dispatcher
	metrics  *metrics
	emit     func(event.Event)
	budget   *budget
	times    *timings
	payload  []byte // of START

	mu       sync.Mutex
	expected map[string]chan<- hello // workers that have not said HELLO, by key
	seen     map[int]bool            // workers that were ready at least once
	told     map[string]bool         // warnings
	hosted   map[int]bool            // workers that have said what they are
	started  time.Time
	up       map[int]*process    // running workers
	cut      bool                // the grace time is over
	greeting map[net.Conn]uint64 // in which order they came
	express  *express            // reads the workers' answers; nil: none

	accepted chan struct{} // closed when no more connections are taken
	greets   sync.WaitGroup
	draining atomic.Bool
	stop     chan struct{} // closed when workers are to end
	wg       sync.WaitGroup
	end      func(error)
}

// hello is a connection whose HELLO was accepted.
type hello struct {
	conn duplex
	in   *inbox
	key  string
	host string // what the worker says of itself, for people
}

// duplex is a worker's connection: a Unix socket's, or one of TCP.
type duplex interface {
	net.Conn
	CloseRead() error
}

// maxEarlyDeaths is how often in a row a worker may die before READY.
const maxEarlyDeaths = 3

func newSupervisor(plan *runplan.Plan, dir string, l *limits, d *dispatcher, b *budget, m *metrics, emit func(event.Event), times *timings) (*supervisor, error) {
	payload, err := startPayload(plan)
	if err != nil {
		return nil, fault.New(fault.Description, "run plan: %w", err)
	}
	listener, err := listenForWorkers(plan, dir)
	if err != nil {
		return nil, err
	}
	return &supervisor{
		plan: plan, dir: dir, listener: listener, limits: l, d: d, budget: b, metrics: m, emit: emit, times: times, payload: payload,
		expected: make(map[string]chan<- hello),
		seen:     make(map[int]bool),
		told:     make(map[string]bool),
		hosted:   make(map[int]bool),
		up:       make(map[int]*process),
		greeting: make(map[net.Conn]uint64),
		accepted: make(chan struct{}),
		stop:     make(chan struct{}),
	}, nil
}

func listenForWorkers(plan *runplan.Plan, dir string) (net.Listener, error) {
	network, address := "unix", filepath.Join(dir, socketName)
	if plan.Worker.TCP {
		network, address = "tcp", "127.0.0.1:0"
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return nil, fault.New(fault.Failed, "listen for workers on %s: %w", address, err)
	}
	return listener, nil
}

// socket is where the listener for workers is reached, as a worker is told.
func socket(l net.Listener) string {
	if addr := l.Addr(); addr.Network() == "tcp" {
		return "tcp:" + addr.String()
	}
	return l.Addr().String()
}

// start starts all workers. end is called once when the run cannot go on.
func (s *supervisor) start(end func(error)) {
	s.end = end
	s.started = time.Now()
	go s.accept()
	for i := range s.plan.Worker.Count {
		s.wg.Go(func() { s.supervise(i + 1) })
	}
}

// drain ends the workers, gently until ctx ends.
func (s *supervisor) drain(ctx context.Context) {
	s.draining.Store(true)
	close(s.stop)
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.cut = true
	for _, p := range s.up {
		p.kill()
	}
	s.mu.Unlock()
	<-done
	// Not before: a worker that has just been started would complain of it.
	s.listener.Close()
	<-s.accepted
	s.mu.Lock()
	for conn := range s.greeting {
		conn.Close()
	}
	s.mu.Unlock()
	s.greets.Wait()
}

// maxGreeting bounds the connections that have not said who they are: with TCP
// anybody on this machine can open some. A worker says it at once, so that it is
// the oldest that has to go.
const maxGreeting = 256

// accept takes connections and matches their HELLO with the workers that were
// started.
func (s *supervisor) accept() {
	defer close(s.accepted)
	var came uint64
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if len(s.greeting) >= maxGreeting {
			s.longestGreeting().Close()
		}
		came++
		s.greeting[conn] = came
		s.mu.Unlock()
		s.greets.Go(func() { s.greet(conn.(duplex)) })
	}
}

// longestGreeting is the oldest of those connections; s.mu is held and there is
// one.
func (s *supervisor) longestGreeting() net.Conn {
	var oldest net.Conn
	for conn, came := range s.greeting {
		if oldest == nil || came < s.greeting[oldest] {
			oldest = conn
		}
	}
	return oldest
}

// helloTime is how long a connection may take over its HELLO.
const helloTime = 10 * time.Second

func (s *supervisor) greet(conn duplex) {
	conn.SetDeadline(time.Now().Add(helloTime))
	h, err := checkHello(conn)
	if err = s.welcome(h, err); err == nil {
		return
	}
	conn.Close()
	if !s.draining.Load() {
		s.emit(event.Event{Type: event.Warning, Message: "a worker's connection was refused: " + err.Error()})
	}
}

// welcome gives a connection to the worker whose key it has named, unless err
// is against it. That is one step, so that no connection is left over when the
// worker dies meanwhile.
func (s *supervisor) welcome(h hello, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.greeting, h.conn)
	if err != nil {
		return err
	}
	waiting := s.expected[h.key]
	if waiting == nil {
		return fmt.Errorf("HELLO with a key that no worker was given")
	}
	delete(s.expected, h.key)
	var payload []byte
	payload, _ = wire.AppendProperty(payload, "protocol", strconv.Itoa(wire.MaxVersion))
	payload, _ = wire.AppendProperty(payload, "features", "")
	// The first bytes of a connection always find room: this does not wait.
	if _, err := h.conn.Write(wire.AppendFrame(nil, wire.Header{Type: wire.Hello}, payload)); err != nil {
		return err
	}
	h.conn.SetDeadline(time.Time{})
	waiting <- h
	return nil
}

// checkHello reads a worker's HELLO.
func checkHello(conn duplex) (hello, error) {
	h := hello{conn: conn, in: newInbox(conn)}
	header, payload, err := h.in.next()
	if err != nil {
		return h, err
	}
	if header.Type != wire.Hello {
		return h, fmt.Errorf("it began with %v instead of HELLO", header.Type)
	}
	props, err := wire.Properties(payload)
	if err != nil {
		return h, fmt.Errorf("HELLO: %w", err)
	}
	lowest, err := decimal(props, "protocol.min", 0)
	if err != nil {
		return h, fmt.Errorf("HELLO: %w", err)
	}
	highest, err := decimal(props, "protocol.max", 0)
	if err != nil {
		return h, fmt.Errorf("HELLO: %w", err)
	}
	if lowest > wire.MaxVersion || highest < wire.MinVersion {
		return h, fmt.Errorf("host %q speaks the worker protocol from version %d to %d; this eascmd speaks %d to %d",
			props["host"], lowest, highest, wire.MinVersion, wire.MaxVersion)
	}
	h.key, h.host = props["key"], props["host"]
	return h, nil
}

// supervise keeps worker number id up until the run ends.
func (s *supervisor) supervise(id int) {
	unlock := lockThread() // the worker's parent-death signal is tied to this thread
	defer unlock()
	backoff := backoff{settled: s.times.settled}
	for early := 0; ; {
		life := s.live(id)
		if s.draining.Load() {
			if life.abnormal {
				s.emit(event.Event{Type: event.WorkerExit, Worker: id, PID: life.pid, Message: life.why, Code: life.code, OOM: life.oom})
			}
			return
		}
		s.metrics.death()
		if life.fatal != nil {
			s.giveUp(life.fatal)
			return
		}
		s.emit(event.Event{Type: event.WorkerExit, Worker: id, PID: life.pid, Message: life.why, Code: life.code, OOM: life.oom})
		if life.failed != nil && !s.everReady(id) {
			s.giveUp(life.failed.WithHint("%s", life.hint))
			return
		}
		if life.ready.IsZero() {
			early++
		} else {
			early = 0
		}
		switch {
		case s.plan.Worker.NoRestart:
			s.giveUp(fault.New(fault.Processor, "worker %d died and runtime.enable_crash_block forbids to start it again: %s", id, life.reason(id)))
			return
		case early >= maxEarlyDeaths:
			s.giveUp(fault.New(fault.Processor, "worker %d died %d times in a row before it was ready: at last %s", id, early, life.reason(id)).WithHint("%s", life.hint))
			return
		}
		wait := backoff.next(life.ready, time.Now())
		s.emit(event.Event{Type: event.Restarting, Worker: id, ElapsedMS: wait.Milliseconds()})
		select {
		case <-time.After(wait):
		case <-s.stop:
			return
		}
	}
}

// giveUp ends the run.
func (s *supervisor) giveUp(err *fault.Error) {
	s.d.shut(&failure{503, err.Text})
	s.end(err)
}

// backoff is the pause before a restart: none after a death on its own, and
// doubling from 100 ms to 10 s when deaths follow each other.
type backoff struct{ settled, last time.Duration }

const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 10 * time.Second
)

// next returns the pause after a worker that was ready since the given time
// (zero: never) died at now.
func (b *backoff) next(ready, now time.Time) time.Duration {
	if !ready.IsZero() && now.Sub(ready) >= b.settled {
		b.last = 0
		return 0
	}
	wait := b.last
	b.last = min(max(2*b.last, firstBackoff), maxBackoff)
	return wait
}

// life is what became of one process.
type life struct {
	pid      int
	ready    time.Time    // zero: it died before
	why      string       // the explanation of its death
	code     int          // its exit status, or 128 and the number of the signal
	oom      bool         // it was killed because its memory was used up
	abnormal bool         // it did not simply end
	hint     string       // what to do about it
	failed   *fault.Error // it ended itself before it was ready: it would again
	fatal    *fault.Error // the run cannot go on
}

// reason is the first line of the explanation as a clause, in which the worker
// that it is about is "it".
func (l life) reason(id int) string {
	line, _, _ := strings.Cut(l.why, "\n")
	if end, ok := strings.CutPrefix(line, fmt.Sprintf("worker %d (process %d) ", id, l.pid)); ok {
		return "it " + end
	}
	return line
}

// live starts worker id, serves with it, and returns when it is dead.
func (s *supervisor) live(id int) life {
	s.expectWorkers()
	key := randomWord()
	greeted := make(chan hello, 1)
	s.mu.Lock()
	s.expected[key] = greeted
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.expected, key)
		s.mu.Unlock()
		select {
		case h := <-greeted: // it came too late
			h.conn.Close()
		default:
		}
	}()

	start := time.Now()
	env := s.environment()
	p, err := startProcess(s.plan, id, s.dir, env, s.variables(id, key), s.emit, s.times)
	if err != nil {
		f := fault.New(fault.Processor, "start worker %d: %w", id, err)
		if s.everReady(id) { // what is missing now was there before
			return life{why: f.Text}
		}
		return life{fatal: f}
	}
	s.mu.Lock()
	s.up[id] = p
	if s.cut {
		p.kill()
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.up, id)
		s.mu.Unlock()
	}()

	w := &worker{supervisor: s, id: id, process: p, env: env, start: s.payload, started: start}
	result := w.run(greeted)
	result.code, result.oom = p.code(), p.outOfMemory()
	return result
}

// expectWorkers tells the dispatcher whether requests may wait: they may once
// the service has been ready, not while it loads for the first time.
func (s *supervisor) expectWorkers() {
	s.mu.Lock()
	waiting := len(s.seen) > 0
	s.mu.Unlock()
	s.d.expect(waiting)
}

// introduced tells what hosts the processor: at a worker's first start, since
// that does not change.
func (s *supervisor) introduced(id, pid int, host string) {
	s.mu.Lock()
	known := s.hosted[id]
	s.hosted[id] = true
	s.mu.Unlock()
	if !known && host != "" {
		s.emit(event.Event{Type: event.Hosted, Worker: id, PID: pid, Message: fmt.Sprintf("%.1000s", strings.ToValidUTF8(host, "�"))})
	}
}

// everReady reports whether worker id was ready at least once.
func (s *supervisor) everReady(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[id]
}

// becameReady tells that a worker can take requests: for the first time, after
// a restart, or as the last one that makes the service whole.
func (s *supervisor) becameReady(id int, took time.Duration) {
	s.mu.Lock()
	again := s.seen[id]
	s.seen[id] = true
	whole := len(s.seen) == s.plan.Worker.Count
	s.mu.Unlock()
	s.d.expect(true)
	switch {
	case again:
		s.emit(event.Event{Type: event.Restarted, Worker: id, ElapsedMS: took.Milliseconds()})
	case whole:
		s.emit(event.Event{Type: event.Ready, ElapsedMS: time.Since(s.started).Milliseconds()})
	}
}

// variables tell worker id how to reach us.
func (s *supervisor) variables(id int, key string) []string {
	return []string{
		"EASCMD_WORKER_SOCKET=" + socket(s.listener),
		"EASCMD_WORKER_ID=" + strconv.Itoa(id),
		"EASCMD_WORKER_KEY=" + key,
	}
}

// environment is what a worker finds in its environment beside the variables.
func (s *supervisor) environment() []string {
	own := make(map[string]string)
	for _, v := range s.plan.Worker.Env {
		if !strings.HasPrefix(v.Name, "EASCMD_WORKER_") { // no plan may change how a worker finds us
			own[v.Name] = v.Value
		}
	}
	if s.plan.Worker.HTTP {
		tellPort(own)
	}
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if _, replaced := own[name]; !replaced && !credential(name) && !slices.Contains(s.plan.Worker.Unset, name) {
			env = append(env, kv)
		}
	}
	for name, value := range own {
		env = append(env, name+"="+value)
	}
	return env
}

// The variables in which programs look for the port that they are to listen on.
var portVariables = [...]string{"PAI_SERVING_PORT", "PORT"}

// tellPort chooses a port for a program that may serve HTTP itself, unless the
// plan does: a port of its own for each worker, which two of them would
// otherwise have to share, and the gateway with them.
func tellPort(env map[string]string) {
	for _, name := range portVariables {
		if _, given := env[name]; given {
			return
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return
	}
	defer l.Close()
	for _, name := range portVariables {
		env[name] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
}

// portHint says what to do where a program could not have its port.
func (w *worker) portHint() string {
	if !w.plan.Worker.HTTP || !w.process.tail.says("address already in use") {
		return ""
	}
	if w.plan.Worker.Count > 1 {
		return "several workers cannot listen on the same port: let the program listen on the one in its variable PORT, or run one worker"
	}
	return "end what listens there, or let the program listen on the port in its variable PORT"
}

// credential reports whether a variable of ours must not reach user code: the
// processor has no business with the keys that deploy it.
func credential(name string) bool {
	return strings.HasPrefix(name, "ALIBABA_CLOUD_") || strings.HasPrefix(name, "EASCMD_")
}
