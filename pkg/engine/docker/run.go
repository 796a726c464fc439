package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/engine/child"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// Run is a plan that runs in a container.
type Run struct {
	start  *start
	name   string
	stream types.HijackedResponse
	words  *child.Words // standard error
	exited <-chan container.WaitResponse
	lost   <-chan error // of the wait for the end
	oom    atomic.Bool
	watch  context.CancelFunc // ends what follows the daemon's events

	// looking ends with the first wish to end: nobody needs the endpoint then.
	looking     context.Context
	stopLooking context.CancelFunc

	out    chan event.Event
	silent chan struct{} // closed when nobody reads events any more
	ended  chan struct{} // closed when the container has ended
	free   chan struct{} // closed when the program goes on without this one
	err    error         // why; set before ended is closed

	mu       sync.Mutex
	endpoint string
	forward  *forwarder
	asked    bool
	left     bool // to itself
	killed   bool // by us
	hung     bool // the daemon, when it was to end the container
	failure  *fault.Error
	muted    bool
	closed   sync.Once
	closeErr error
}

// run starts the container that was created and follows it.
func (s *start) run(ctx context.Context) (*Run, error) {
	limited, cancel := s.d.limit(ctx, askTime)
	stream, err := s.d.ContainerAttach(limited, s.container, container.AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	cancel()
	if err != nil && s.d.Podman() {
		// It prepares the container here already, and only a start says what was
		// wrong with that.
		if refused := s.startContainer(ctx); refused != nil {
			return nil, refused
		}
	}
	if err != nil {
		return nil, s.d.explain(err, "attaching to the container")
	}
	background, watch := context.WithCancel(context.Background())
	r := &Run{
		start: s, name: s.containerName(), stream: stream, words: new(child.Words), watch: watch,
		out:    make(chan event.Event, 64),
		silent: make(chan struct{}),
		ended:  make(chan struct{}),
		free:   make(chan struct{}),
	}
	r.looking, r.stopLooking = context.WithCancel(background)
	r.followOOM(background)
	// The plan waits in the stream until the program reads it.
	if err := r.launch(ctx, background); err != nil {
		stream.Close()
		watch()
		return nil, err
	}
	go r.sendPlan()
	go r.pump()
	return r, nil
}

func (r *Run) launch(ctx, background context.Context) error {
	s := r.start
	r.exited, r.lost = s.d.ContainerWait(background, s.container, container.WaitConditionNextExit)
	return s.startContainer(ctx)
}

func (s *start) startContainer(ctx context.Context) error {
	limited, cancel := s.d.limit(ctx, startTime)
	defer cancel()
	err := s.d.ContainerStart(limited, s.container, container.StartOptions{})
	if err == nil {
		return nil
	}
	if address, ok := takenAddress(err); ok {
		return fault.New(fault.Failed, "port %d of the daemon's machine is taken: %s", s.plan.Gateway.Port, address).
			WithHint("end what listens there, or choose another port: --port 0 takes a free one")
	}
	return s.explainStart(s.d.explainGPU(s.d.explain(err, "starting the container"), s.GPUs))
}

// takenAddress finds in a refusal to start a container that its port is taken.
func takenAddress(err error) (string, bool) {
	text := err.Error()
	if strings.Contains(text, "port is already allocated") || strings.Contains(text, "address already in use") {
		return text, true
	}
	return "", false
}

// explainStart explains what a container runtime says of a program that it
// cannot execute.
func (s *start) explainStart(err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "exec format error"):
		return fault.New(fault.Missing, "%w", err).
			WithHint("the image %s is for another CPU than the daemon's (%s); take one for it", s.image.Ref, s.d.Arch())
	case strings.Contains(text, programPath) && strings.Contains(text, "no such file or directory"):
		return fault.New(fault.Missing, "the image %s cannot run %s, which needs a dynamic loader that it lacks: %w", s.image.Ref, s.program, err).
			WithHint("build eascmd with CGO_ENABLED=0, or take a released one")
	case strings.Contains(text, programPath) && strings.Contains(text, "permission denied"):
		return fault.New(fault.Missing, "the daemon may not execute %s: %w", s.program, err).
			WithHint("put eascmd into a directory that is not mounted noexec and that everybody may enter")
	}
	return err
}

// sendPlan writes the plan to the program's standard input. Its token is on no
// command line and in no file. What follows on the stream, its end, is ours.
func (r *Run) sendPlan() {
	plan := *r.start.plan
	plan.Gateway.Host, plan.Gateway.Port = "0.0.0.0", r.start.gatewayPort()
	plan.Gateway.Instance = r.start.instance
	if plan.Worker.MemoryMB > 0 && r.start.d.Info.MemoryLimit {
		plan.Worker.Cgroup = runplan.OwnCgroup
	}
	plan.Worker.GPUs = r.start.GPUs.Wanted()
	// A program that ends before it has read the plan says why itself.
	_ = plan.WriteLine(r.stream.Conn)
}

// followOOM notes that the kernel killed something in the container for its
// memory: when that was the program itself nobody inside can tell.
func (r *Run) followOOM(ctx context.Context) {
	messages, failed := r.start.d.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)), filters.Arg("container", r.start.container), filters.Arg("event", string(events.ActionOOM)),
	)})
	go func() {
		for {
			select {
			case <-messages:
				r.oom.Store(true)
			case <-failed:
				return
			}
		}
	}()
}

// pump hands events on until the container has ended.
func (r *Run) pump() {
	events, stdout := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(stdout, r.words, r.stream.Reader)
		stdout.CloseWithError(err)
	}()
	readErr := child.Read(events, func(e event.Event) {
		e, wanted := r.note(e)
		if !wanted {
			return
		}
		select {
		case r.out <- e:
		case <-r.silent:
		}
	})
	events.CloseWithError(io.ErrClosedPipe)
	r.stream.Close()
	err := r.reason(readErr)
	r.watch()
	r.mu.Lock()
	r.err = err
	if r.forward != nil {
		r.forward.close()
	}
	r.mu.Unlock()
	close(r.ended)
	close(r.out)
}

// note keeps what an event says of the run, and gives the event the address
// at which this machine reaches the service. It reports whether the event is to
// be handed on.
func (r *Run) note(e event.Event) (event.Event, bool) {
	switch e.Type {
	case event.Listening:
		// A service that is about to end does not answer, and says why itself.
		_ = r.findEndpoint()
		e.Address = strings.TrimPrefix(r.Endpoint(), "http://")
	case event.Ready:
		if err := r.findEndpoint(); err != nil {
			r.fail(err)
			return e, false
		}
	case event.Released:
		close(r.free)
	case event.Failed:
		r.mu.Lock()
		r.failure = child.Failure(e)
		r.mu.Unlock()
	}
	return e, true
}

// fail ends the run for a reason that the program does not know.
func (r *Run) fail(err error) {
	if r.looking.Err() != nil {
		return // it is to end anyhow
	}
	r.mu.Lock()
	if r.failure == nil {
		r.failure = asFault(err)
	}
	r.mu.Unlock()
	r.ask()
}

// findEndpoint finds out where the service is reached, if that is not known yet.
func (r *Run) findEndpoint() error {
	if r.Endpoint() != "" {
		return nil
	}
	endpoint, forward, err := r.start.findEndpoint(r.looking)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endpoint, r.forward = endpoint, forward
	return err
}

func asFault(err error) *fault.Error {
	return &fault.Error{Kind: fault.KindOf(err), Text: err.Error(), Hint: fault.HintOf(err), Err: err}
}

// How long a container may take to end after its output has ended, and how long
// one of a daemon that hangs is waited for.
const (
	exitTime = 15 * time.Second
	hungTime = time.Second
)

// killed is the exit status of a program that SIGKILL has ended.
const killed = 128 + 9

// reason waits for the end of the container and says why it ended; nil means
// that it was asked to.
func (r *Run) reason(readErr error) error {
	var status int64
	var lost error
	r.mu.Lock()
	wait := exitTime
	if r.hung {
		wait = hungTime
	}
	r.mu.Unlock()
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case end := <-r.exited:
		status = end.StatusCode
	case lost = <-r.lost:
	case <-timeout.C:
		lost = fmt.Errorf("the container goes on %v after its output has ended", wait)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.left:
		return nil
	case r.failure != nil:
		return r.failure
	case r.asked && (status != killed || r.killed):
		return nil // whoever asks may just have seen that something is wrong
	case lost != nil:
		return r.start.d.explain(lost, "following the container")
	case readErr != nil:
		return fault.New(fault.Failed, "follow the service: %w", readErr)
	case status == 0:
		return nil
	}
	words := strings.TrimSpace(r.words.String())
	if words != "" {
		words = "\n" + words
	}
	memory := r.start.plan.Worker.MemoryMB
	switch {
	case status == killed && r.oom.Load():
		return fault.New(fault.Processor, "the container ran out of memory: the kernel killed the gateway itself; metadata.memory allows %d MB%s", memory, words).
			WithHint("raise metadata.memory, or lower --body-memory: the bodies of requests under way count too")
	case status == killed:
		return fault.New(fault.Failed, "the container %s was killed from outside%s", r.name, words).
			WithHint("somebody ran docker kill or docker rm -f, or the machine ran out of memory: look at its kernel log")
	}
	return fault.New(fault.Failed, "the program that served the service ended with status %d%s", status, words)
}

// Events delivers what happens.
func (r *Run) Events() <-chan event.Event { return r.out }

// Container is the name of the run's container.
func (r *Run) Container() string { return r.name }

// Endpoint is the service's base URL as this machine reaches it.
func (r *Run) Endpoint() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.endpoint
}

// Wait returns when the run has ended.
func (r *Run) Wait() error {
	<-r.ended
	return r.err
}

// killAfter is how long the container has to end at once, tidily.
const killAfter = 2 * time.Second

// Stop drains the service.
func (r *Run) Stop(ctx context.Context) error {
	r.ask()
	select {
	case <-r.ended:
		return nil
	case <-ctx.Done():
	}
	r.end()
	return nil
}

// ask asks the program, once, to drain and end.
func (r *Run) ask() {
	r.stopLooking()
	r.mu.Lock()
	first := !r.asked && !r.left && !r.over()
	r.asked = r.asked || first
	r.mu.Unlock()
	if first {
		r.signal("SIGTERM")
	}
}

// signal has the daemon send a signal to the program, and does not wait for it:
// a daemon may hang. That the program has ended is no fault.
func (r *Run) signal(name string) {
	id := r.start.container // which the end of the run forgets, meanwhile
	go func() {
		ctx, cancel := r.start.d.limit(context.Background(), askTime)
		defer cancel()
		_ = r.start.d.ContainerKill(ctx, id, name)
	}()
}

func (r *Run) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// end ends the container at once.
func (r *Run) end() {
	r.mute()
	if r.over() {
		return
	}
	r.signal("SIGTERM")
	select {
	case <-r.ended:
		return
	case <-time.After(killAfter):
	}
	r.mu.Lock()
	r.killed = true
	r.mu.Unlock()
	r.signal("SIGKILL")
	select {
	case <-r.ended:
		return
	case <-time.After(killAfter):
	}
	// The daemon hangs, or cannot end the container. The end of the stream is
	// the end of the program's lifeline.
	r.mu.Lock()
	r.hung = true
	r.mu.Unlock()
	r.stream.Close()
	<-r.ended
}

// hangs reports whether the daemon does not even answer the simplest question.
func (d *Daemon) hangs() bool {
	ctx, cancel := d.limit(context.Background(), hungTime)
	defer cancel()
	_, err := d.Ping(ctx)
	return err != nil
}

// mute lets the program go on when nobody reads its events.
func (r *Run) mute() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.muted {
		r.muted = true
		close(r.silent)
	}
}

// Close ends the run and removes its container, volumes and directory.
func (r *Run) Close() error {
	r.closed.Do(func() {
		r.ask()
		r.end()
		r.mu.Lock()
		patience, hung := removeTime, r.hung
		r.mu.Unlock()
		if hung && r.start.d.hangs() {
			patience = hungTime
		} else {
			hung = false // it was slow
		}
		if !hung {
			// Again: what a killed run had asked for may have come since this one
			// was started.
			r.start.sweep(context.Background())
		}
		r.closeErr = errors.Join(r.start.undo(patience), r.start.dir.Close())
	})
	return r.closeErr
}

// CanLeave says why a service cannot go on without this process, nil if it can.
func (r *Run) CanLeave() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forward == nil {
		return nil
	}
	return fault.New(fault.Usage, "the service cannot be left to itself: requests reach it through this program only").
		WithHint("publish it where it can be reached from here: --host 0.0.0.0, or without --port")
}

// Leave leaves a service that was started to be Kept to itself: it goes on, and
// Close does nothing more. With it goes dir, which has its workspace: whoever
// next finds the container gone removes it. It may be nil.
func (r *Run) Leave(dir *rundir.Dir) error {
	if !r.start.Kept {
		return fault.New(fault.Usage, "a service that ends with this program cannot be left to itself")
	}
	if dir != nil {
		if err := r.start.leave(dir); err != nil {
			return err
		}
	}
	if err := r.release(); err != nil {
		return err
	}
	r.closed.Do(func() {
		r.mu.Lock()
		r.left = true
		r.mu.Unlock()
		r.stream.Close()
		r.watch()
		<-r.ended
		r.closeErr = r.start.dir.Close()
		if dir != nil {
			r.closeErr = errors.Join(r.closeErr, dir.Drop())
		}
	})
	return r.closeErr
}

// release lets go of the program's lifeline. Until the program has said that it
// knows, it would end with this one: nobody knows of a service whose start was
// broken off.
func (r *Run) release() error {
	r.mute() // nobody reads events while this is called
	_ = r.stream.Conn.SetWriteDeadline(time.Now().Add(askTime))
	if _, err := io.WriteString(r.stream.Conn, child.Release); err != nil {
		return r.start.d.explain(err, "leaving the service to itself")
	}
	select {
	case <-r.free:
		return nil
	case <-r.ended:
		if r.err != nil {
			return r.err
		}
		return fault.New(fault.Failed, "the service ended before it could be left to itself")
	case <-time.After(askTime):
		return fault.New(fault.Failed, "leaving the service to itself: the program in the container %s has not answered within %v", r.name, askTime).
			WithHint("look at the Docker daemon (%s)", r.start.d.Endpoint)
	}
}
