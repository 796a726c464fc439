// Package process is the engine that runs a plan on this machine, in a process
// beside the one that asked for it: `eascmd serve` of the same executable.
//
// What a run makes, it makes so that nothing outlives it: the program ends when
// the pipe to its parent ends, its workers end with it, and the directory and
// the control group of a run that was killed are removed by the next one.
package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/openeas/eascmd/internal/cgroup"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/engine"
	"github.com/openeas/eascmd/pkg/engine/child"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// Options change how the engine works. The zero value is the usual engine.
type Options struct {
	// Executable is the program that has the command serve; empty means the
	// running one.
	Executable string

	// Hold are files that a run keeps open as long as it goes on: the locks of
	// directories that its plan names.
	Hold []*os.File

	// WithoutPrivateRoot is told why a run goes on without the absolute
	// workspace paths of EAS, which it has wherever the system permits them.
	WithoutPrivateRoot func(reason error)

	// ShareRoot leaves out the attempt to make those paths.
	ShareRoot bool
}

// privateRootFlag is the flag of serve that EnterPrivateRoot is for.
const privateRootFlag = "--private-root"

// New returns the engine.
func New(opts Options) engine.Engine { return &processEngine{opts} }

type processEngine struct{ opts Options }

func (*processEngine) Name() string { return "process" }

// Start starts `eascmd serve` on plan.
func (e *processEngine) Start(ctx context.Context, plan *runplan.Plan) (engine.Run, error) {
	if !supported {
		return nil, fault.New(fault.Missing, "the process engine does not run on this system").
			WithHint("use a Linux machine: the Docker engine, which this system needs, is not part of this version yet")
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	executable := e.opts.Executable
	if executable == "" {
		var err error
		if executable, err = os.Executable(); err != nil {
			return nil, fault.New(fault.Failed, "find the own executable: %w", err)
		}
	}
	root, err := rundir.Runtime()
	if err != nil {
		return nil, err
	}
	dir, err := root.New()
	if err != nil {
		return nil, err
	}
	r, err := e.start(ctx, executable, dir, groupWorkers(plan, dir))
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return r, nil
}

// groupWorkers gives the workers a control group, with the plan's memory limit
// if it has one. All that they start is in it, a daemon included, and ends with
// it. Where none can be made the plan stays as it is, and the runtime watches
// the memory.
func groupWorkers(plan *runplan.Plan, dir *rundir.Dir) *runplan.Plan {
	if plan.Worker.Cgroup != "" {
		return plan
	}
	group, err := cgroup.Create("eascmd-"+filepath.Base(dir.Path()), plan.Worker.MemoryMB<<20, dir.NoteGroup)
	if err != nil {
		return plan
	}
	grouped := *plan
	grouped.Worker.Cgroup = group
	return &grouped
}

func (e *processEngine) start(ctx context.Context, executable string, dir *rundir.Dir, plan *runplan.Plan) (*run, error) {
	serve := []string{"serve", "--events", "json", "--lifeline", "--runtime-dir", dir.Path(), "--plan-fd", "3"}
	if !e.opts.ShareRoot {
		c := newCommand(ctx, executable, serve, plan, append([]*os.File{dir.Lock()}, e.opts.Hold...))
		err := c.startPrivate(ctx, plan.Workspace)
		if err == nil {
			return follow(c, dir), nil
		}
		c.abandon()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if e.opts.WithoutPrivateRoot != nil {
			e.opts.WithoutPrivateRoot(err)
		}
	}
	c := newCommand(ctx, executable, serve, plan, append([]*os.File{dir.Lock()}, e.opts.Hold...))
	if err := c.start(); err != nil {
		c.abandon()
		return nil, fault.New(fault.Failed, "start %s: %w", executable, err)
	}
	return follow(c, dir), nil
}

// command is `eascmd serve` before and while it runs.
type command struct {
	*exec.Cmd
	plan     *runplan.Plan
	lifeline *os.File // kept open by us alone: its end is ours
	events   *os.File
	planIn   *os.File
	stderr   *child.Words
	theirs   []*os.File // to be closed once the program has them
	opened   error
}

// newCommand prepares a program without starting it. Descriptors: 0 the
// lifeline, 1 the events, 2 its words, 3 the plan, from 4 on what it holds.
func newCommand(ctx context.Context, executable string, args []string, plan *runplan.Plan, hold []*os.File) *command {
	c := &command{Cmd: exec.Command(executable, args...), plan: plan, stderr: new(child.Words)}
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		c.opened = errors.Join(c.opened, err)
		return r, w
	}
	stdin, lifeline := pipe()
	events, stdout := pipe()
	planOut, planIn := pipe()
	c.lifeline, c.events, c.planIn = lifeline, events, planIn
	c.theirs = []*os.File{stdin, stdout, planOut}
	c.Stdin, c.Stdout, c.Stderr = stdin, stdout, c.stderr
	c.ExtraFiles = append([]*os.File{planOut}, hold...)
	c.Dir = "/"
	// The program's words come through a pipe that its workers do not have;
	// should one hold it open all the same, it must not hold us.
	c.WaitDelay = time.Second
	setSession(c.Cmd)
	return c
}

// start starts the program and gives it its plan. The token in it is seen by
// no other process: it is on no command line and in no file.
func (c *command) start() error {
	if c.opened != nil {
		return c.opened
	}
	if err := c.Cmd.Start(); err != nil {
		return err
	}
	closeAll(c.theirs)
	c.theirs = nil
	go func() {
		// A program that ends before it has read the plan says why itself.
		c.plan.Write(c.planIn)
		c.planIn.Close()
	}()
	return nil
}

// abandon ends a program that did not get as far as to run the plan.
func (c *command) abandon() {
	closeAll(c.theirs)
	closeAll([]*os.File{c.lifeline, c.events})
	if c.Process != nil {
		c.Process.Kill()
		c.Wait()
	} else {
		closeAll([]*os.File{c.planIn})
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// run is a plan that runs.
type run struct {
	cmd    *command
	dir    *rundir.Dir
	out    chan event.Event
	silent chan struct{} // closed when nobody reads events any more
	ended  chan struct{} // closed when the program has ended
	err    error         // why; set before ended is closed

	mu       sync.Mutex
	endpoint string
	asked    bool
	failure  *fault.Error
	muted    bool
	closed   sync.Once
	closeErr error
}

func follow(c *command, dir *rundir.Dir) *run {
	r := &run{
		cmd: c, dir: dir,
		out:    make(chan event.Event, 64),
		silent: make(chan struct{}),
		ended:  make(chan struct{}),
	}
	go r.pump()
	return r
}

// pump hands events on until the program has ended.
func (r *run) pump() {
	readErr := child.Read(r.cmd.events, func(e event.Event) {
		r.note(e)
		select {
		case r.out <- e:
		case <-r.silent:
		}
	})
	if readErr != nil {
		// Something else wrote to the program's standard output: nothing it
		// says can be trusted from here on.
		r.cmd.Process.Kill()
	}
	waitErr := r.cmd.Wait()
	closeAll([]*os.File{r.cmd.events, r.cmd.lifeline})
	r.mu.Lock()
	r.err = r.reason(readErr, waitErr)
	r.mu.Unlock()
	close(r.ended)
	close(r.out)
}

func (r *run) note(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Type {
	case event.Listening:
		r.endpoint = "http://" + child.Callable(e.Address)
	case event.Failed:
		r.failure = child.Failure(e)
	}
}

// reason says why the program ended; nil means that it was asked to. The
// caller holds mu.
func (r *run) reason(readErr, waitErr error) error {
	switch {
	case r.asked:
		return nil
	case r.failure != nil:
		return r.failure
	case readErr != nil:
		return fault.New(fault.Failed, "follow the service: %w", readErr)
	case waitErr == nil:
		return nil
	}
	words := strings.TrimSpace(r.cmd.stderr.String())
	if words != "" {
		words = "\n" + words
	}
	return fault.New(fault.Failed, "the process that served the service ended: %w%s", waitErr, words)
}

func (r *run) Events() <-chan event.Event { return r.out }

// PID is the process id of the program that serves.
func (r *run) PID() int { return r.cmd.Process.Pid }

func (r *run) Endpoint() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.endpoint
}

func (r *run) Wait() error {
	<-r.ended
	return r.err
}

// killAfter is how long the program has to end at once, tidily.
const killAfter = time.Second

func (r *run) Stop(ctx context.Context) error {
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
func (r *run) ask() {
	r.mu.Lock()
	first := !r.asked && !isClosed(r.ended)
	r.asked = r.asked || first
	r.mu.Unlock()
	if first {
		terminate(r.cmd.Process)
	}
}

// end ends the program at once.
func (r *run) end() {
	r.mute()
	terminate(r.cmd.Process)
	select {
	case <-r.ended:
	case <-time.After(killAfter):
		r.cmd.Process.Kill()
		<-r.ended
	}
}

// mute lets the program go on when nobody reads its events.
func (r *run) mute() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.muted {
		r.muted = true
		close(r.silent)
	}
}

func (r *run) Close() error {
	r.closed.Do(func() {
		r.ask()
		r.end()
		r.closeErr = r.dir.Close()
	})
	return r.closeErr
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
