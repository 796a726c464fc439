// Package serving is the runtime of a service: a gateway that speaks HTTP,
// and workers, processes of their own, that host the processor and answer the
// gateway's frames. Run takes a run plan and serves it until it is told to
// stop or cannot go on.
//
// One rule shapes the package: the gateway knows no user code. A processor may
// hang, crash or lie in its frames, and the gateway still answers every
// request by the rules of docs/life-of-a-request.md.
//
// The pieces, from the outside in: front.go decides what a request is and
// whether it may come in; gateway.go reads and answers HTTP; dispatch.go holds
// the queue and picks a worker; link.go carries frames; supervisor.go starts
// workers, explains their deaths and starts them again.
package serving

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// Options are what a run needs beside its plan.
type Options struct {
	// Emit is told what happens, in order, one call at a time. It must not
	// block for long: the processor's output waits for it.
	Emit func(event.Event)

	// RuntimeDir is an existing directory of mode 0700 for the workers' socket;
	// its path leaves room for a socket's name below 100 bytes. Whoever made it
	// removes it. Empty: Run makes and removes one itself.
	RuntimeDir string

	timings *timings  // nil: the standard ones
	gpus    *gpuPlace // where GPUs are looked for; nil: on this machine
}

// timings are the waits that no plan sets.
type timings struct {
	header    time.Duration // for the head of a request
	body      time.Duration // how long a body may lag behind minBodyRate
	idle      time.Duration // between the requests of a connection
	write     time.Duration // for an answer to be taken
	loading   time.Duration // between two signs that a worker still loads
	ping      time.Duration // between two PINGs
	goodbye   time.Duration // for a process that has closed its connection
	abandoned time.Duration // at the end, for calls whose clients are gone
	settled   time.Duration // a worker that was ready for this long starts with no back-off
	sweeping  time.Duration // between two looks at old requests, and their age
	looking   time.Duration // between two looks for a program's socket
	gpuSample time.Duration // between two questions to nvidia-smi
	gpuWait   time.Duration // for its answer, of a request
	gpuAnswer time.Duration // for its answer, before it is given up
	gpuProbe  time.Duration // between two looks at the GPUs that were promised
	gpuQuery  time.Duration // between two such looks that ask nvidia-smi too
}

func standardTimings() *timings {
	return &timings{
		header:    60 * time.Second,
		body:      30 * time.Second,
		idle:      10 * time.Minute,
		write:     10 * time.Minute,
		loading:   10 * time.Second,
		ping:      10 * time.Second,
		goodbye:   5 * time.Second,
		abandoned: 2 * time.Second,
		settled:   10 * time.Second,
		sweeping:  100 * time.Millisecond,
		looking:   50 * time.Millisecond,
		gpuSample: 5 * time.Second,
		gpuWait:   time.Second,
		gpuAnswer: 10 * time.Second,
		gpuProbe:  10 * time.Second,
		gpuQuery:  time.Minute,
	}
}

// Run serves plan until ctx ends, then drains: it takes no new requests,
// answers those it has within the plan's grace time, and returns nil. It
// returns an error of kind Processor when the processor cannot be loaded or
// kept up.
func Run(ctx context.Context, plan *runplan.Plan, opts Options) error {
	if err := validate(plan); err != nil {
		return err
	}
	dir, remove, err := runtimeDir(opts.RuntimeDir)
	if err != nil {
		return err
	}
	defer remove()

	emit := serialEmitter(opts.Emit)
	times := opts.timings
	if times == nil {
		times = standardTimings()
	}
	place := opts.gpus
	if place == nil {
		place = thisPlace()
	}
	gpus, err := findGPUs(plan, place, times)
	if err != nil {
		return err
	}
	defer gpus.close()
	// Listen first: a taken port is found before a model is loaded for minutes,
	// and whoever calls early is told 503 instead of being refused.
	listener, err := listen(plan.Gateway.Host, plan.Gateway.Port)
	if err != nil {
		return err
	}
	m := newMetrics()
	budget := newBudget(plan.Gateway.BodyMemory)
	lim := newLimits(plan)
	d := newDispatcher(lim, m)
	sup, err := newSupervisor(plan, dir, lim, d, budget, m, emit, times)
	if err != nil {
		listener.Close()
		return err
	}
	// The run ends for one of two reasons: the caller's, or the supervisor's
	// (the processor cannot be kept up, or /api/builtin/term was called).
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	sup.address = listener.Addr().(*net.TCPAddr).AddrPort()
	gw := newGateway(plan, lim, listener, d, budget, m, emit, times, func() { end(errTerm) })
	sup.express = gw.conns.express
	m.observe(d, budget, plan.Worker.Count)
	m.observeGPUs(gpus)

	emit(event.Event{Type: event.Listening, Address: listener.Addr().String()})
	gw.start(end)
	sup.start(func(err error) { end(err) })
	var watching sync.WaitGroup
	if gpus != nil && gpus.watched {
		watching.Go(func() { gpus.watch(ctx, emit) })
	}

	<-ctx.Done()
	cause := context.Cause(ctx)
	grace := time.Duration(plan.Worker.GraceMS) * time.Millisecond
	drainCtx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	failure, failed := errors.AsType[*fault.Error](cause)
	if !failed {
		emit(event.Event{Type: event.Draining})
	}
	// The order matters: no new requests, then the queue runs dry, then the
	// workers go.
	cut := gw.drain(drainCtx)
	sup.drain(drainCtx)
	gw.close()
	watching.Wait()
	if cut > 0 && !failed {
		emit(event.Event{Type: event.Warning, Message: fmt.Sprintf("%d requests were not answered within the grace time of %v", cut, grace)})
	}
	if failed {
		emit(event.Event{Type: event.Failed, Message: failure.Text, Hint: fault.HintOf(failure), Exit: int(failure.Kind)})
		return failure
	}
	emit(event.Event{Type: event.Stopped})
	return nil
}

// errTerm ends a run that was asked to end over HTTP.
var errTerm = errors.New("asked to end by /api/builtin/term")

func validate(p *runplan.Plan) error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Description, "run plan: "+format, args...)
	}
	switch {
	case p.Version != runplan.Version:
		return bad("version %d; this eascmd runs version %d", p.Version, runplan.Version)
	case p.Name == "":
		return bad("no service name")
	case len(p.Worker.Command) == 0:
		return bad("no worker command")
	case p.Worker.Count < 1:
		return bad("%d workers; at least 1 is needed", p.Worker.Count)
	case p.Worker.Threads < 1:
		return bad("%d worker threads; at least 1 is needed", p.Worker.Threads)
	case p.Gateway.MaxQueueSize < 0:
		return bad("max queue size is %d", p.Gateway.MaxQueueSize)
	case p.Gateway.KeepAliveMS <= 0:
		return bad("keepalive is %d ms", p.Gateway.KeepAliveMS)
	case p.Gateway.BodyLimit <= 0 || p.Gateway.BodyLimit > maxBody:
		return bad("body limit is %d bytes; it lies between 1 and %d", p.Gateway.BodyLimit, maxBody)
	case p.Gateway.BodyMemory < p.Gateway.BodyLimit:
		return bad("body memory (%d bytes) is smaller than the body limit (%d bytes): the longest body would never fit",
			p.Gateway.BodyMemory, p.Gateway.BodyLimit)
	}
	return nil
}

// maxBody is what the C interface can carry: input_size is an int.
const maxBody = 1<<31 - 1

// serialEmitter stamps events and hands them on one at a time.
func serialEmitter(next func(event.Event)) func(event.Event) {
	if next == nil {
		return func(event.Event) {}
	}
	var mu sync.Mutex
	return func(e event.Event) {
		mu.Lock()
		defer mu.Unlock()
		e.Time = time.Now()
		next(e)
	}
}

// runtimeDir returns the directory of the workers' socket: the given one, or one
// that is made here and that only this user can enter. The limit on a socket's
// path is the kernel's: 108 bytes, 104 on macOS.
func runtimeDir(given string) (dir string, remove func(), err error) {
	dir, remove = given, func() {}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "eas-"); err != nil {
			return "", nil, fault.New(fault.Failed, "make a directory for the workers' socket: %w", err)
		}
		made := dir
		remove = func() { os.RemoveAll(made) }
	}
	if n := len(filepath.Join(dir, socketName)); n >= 100 {
		remove()
		return "", nil, fault.New(fault.Failed, "directory %s is too long for a socket's path (%d bytes; the limit is 99)", dir, n).
			WithHint("set TMPDIR to a shorter path")
	}
	return dir, remove, nil
}

const socketName = "worker.sock"

func listen(host string, port int) (net.Listener, error) {
	address := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fault.New(fault.Failed, "address %s is in use: %w", address, err).WithHint("choose another port, or 0 for a free one")
	case errors.Is(err, os.ErrPermission):
		return nil, fault.New(fault.Failed, "listen on %s: %w", address, err).WithHint("ports below 1024 need privileges; choose another, or 0 for a free one")
	default:
		return nil, fault.New(fault.Failed, "listen on %s: %w", address, err)
	}
}

// randomWord returns 18 random bytes as text without special characters.
func randomWord() string {
	var b [18]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
