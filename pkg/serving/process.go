package serving

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/openeas/eascmd/internal/cgroup"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/backtrace"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// process is a worker's process: its output, its end, and what can be found
// out about that.
type process struct {
	id     int
	pid    int
	plan   *runplan.Plan
	emit   func(event.Event)
	times  *timings
	cmd    *exec.Cmd
	crash  *os.File // where the host's signal handler writes
	output sync.WaitGroup
	tail   tail
	ooms   int // kills in the control group before the start

	ending chan struct{} // closed when it has ended
	dead   chan struct{} // closed when it was waited for; state is set
	err    error

	closed atomic.Bool // it goes on without its connection

	mu        sync.Mutex
	asked     bool   // to end
	discarded bool   // we ended it, and it had nothing to finish
	ended     bool   // its number may be somebody else's
	killed    string // why we ended it, if we did
	noted     string // what was strange about its connection
}

// outputTime is how long the output of a dead process is waited for: a child
// that it left behind may hold the pipes open for ever.
const outputTime = 500 * time.Millisecond

func startProcess(plan *runplan.Plan, id int, dir string, env, variables []string, emit func(event.Event), times *timings) (*process, error) {
	p := &process{id: id, plan: plan, emit: emit, times: times, ending: make(chan struct{}), dead: make(chan struct{})}
	crash, err := crashFile(dir)
	if err != nil {
		return nil, err
	}
	p.crash = crash
	var ours, theirs [2]*os.File
	closeAll := func(files [2]*os.File) {
		for _, f := range files {
			if f != nil {
				f.Close()
			}
		}
	}
	for i := range ours {
		if ours[i], theirs[i], err = os.Pipe(); err != nil {
			closeAll(ours)
			closeAll(theirs)
			crash.Close()
			return nil, err
		}
	}
	p.ooms, _ = oomKills(plan)
	stdio := stdio{output: theirs}
	if plan.Worker.VariablesOnStdin {
		// A host that cannot keep variables to itself could not keep a descriptor either.
		stdio.input, err = written(variables)
	} else {
		stdio.crash = crash
		env = append(env, append(variables, "EASCMD_CRASH_FD=3")...)
	}
	if err == nil {
		err = p.launch(env, stdio)
	}
	closeAll(theirs)
	if stdio.input != nil {
		stdio.input.Close()
	}
	if err != nil {
		closeAll(ours)
		crash.Close()
		return nil, err
	}
	p.pid = p.cmd.Process.Pid
	volunteer(p.pid)
	p.output.Go(func() { p.follow("stdout", ours[0]) })
	p.output.Go(func() { p.follow("stderr", ours[1]) })
	go p.watchMemory()
	go p.wait(ours)
	return p, nil
}

// stdio is what a host is started with. Its input is empty where it is nil.
type stdio struct {
	input  *os.File
	output [2]*os.File
	crash  *os.File // its descriptor 3, or nil
}

// written returns the end of a pipe from which lines can be read.
func written(lines []string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	// It finds room in the pipe: a pipe's least is 4 KiB, and a path has its limit.
	_, err = w.WriteString(strings.Join(lines, "\n") + "\n")
	if err = errors.Join(err, w.Close()); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// launch starts the host, in the control group where there is one. A worker
// that the group does not take runs all the same, and that is told.
func (p *process) launch(env []string, io stdio) error {
	start := func(attr *syscall.SysProcAttr) error {
		command := p.plan.Worker.Command
		p.cmd = exec.Command(command[0], command[1:]...)
		p.cmd.Dir = p.plan.Processor.Dir
		if io.crash != nil {
			p.cmd.ExtraFiles = []*os.File{io.crash}
		}
		p.cmd.Env = env
		if io.input != nil {
			p.cmd.Stdin = io.input
		}
		p.cmd.Stdout, p.cmd.Stderr = io.output[0], io.output[1]
		p.cmd.SysProcAttr = attr
		return p.cmd.Start()
	}
	group := p.plan.Worker.Cgroup
	if group == "" || group == runplan.OwnCgroup {
		return start(workerAttributes())
	}
	attr := workerAttributes()
	done, err := cgroup.Join(group, attr)
	if err == nil {
		err = start(attr)
		done()
		if err == nil {
			return nil
		}
	}
	if err := start(workerAttributes()); err != nil {
		return err
	}
	if err := cgroup.Add(group, p.cmd.Process.Pid); err != nil {
		p.emit(event.Event{Type: event.Warning, Worker: p.id, Message: "this worker is outside of its control group, without a memory limit: " + err.Error()})
	}
	return nil
}

// crashFile makes the file that a crash is recorded in. It has no name, so
// that nothing is left of it; should we be killed before it has none, the
// directory goes with the run.
func crashFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "crash-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (p *process) wait(pipes [2]*os.File) {
	// What the process started dies with it; what does not is cut off.
	err := p.reap()
	close(p.ending)
	done := make(chan struct{})
	go func() { p.output.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(outputTime):
	}
	for _, f := range pipes {
		f.Close()
	}
	<-done
	p.err = err
	close(p.dead)
}

// longestLine is where a line without an end is cut.
const longestLine = 64 << 10

func (p *process) follow(stream string, r io.Reader) {
	br := bufio.NewReaderSize(r, longestLine)
	for {
		line, err := br.ReadSlice('\n')
		if len(line) > 0 {
			text := strings.ToValidUTF8(string(bytes.TrimRight(line, "\r\n")), "�")
			if stream == "stderr" {
				p.tail.add(text)
			}
			p.emit(event.Event{Type: event.Log, Worker: p.id, Stream: stream, Message: text})
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// killBecause ends the process at once; why becomes its explanation.
func (p *process) killBecause(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	if p.killed == "" {
		p.killed = why
	}
	p.end()
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
}

// discard ends a process that has nothing to finish at once. That it was killed is
// then nothing to tell.
func (p *process) discard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.discarded = p.discarded || !p.ended
	p.end()
}

// end kills the process and its group; p.mu is held.
func (p *process) end() {
	if !p.ended {
		killGroup(p.pid)
		p.cmd.Process.Kill()
	}
}

// note keeps what may explain the end of the process, if nothing else does.
func (p *process) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noted = what
}

// endSoon ends a process that has no more to say, unless it ends by itself.
func (p *process) endSoon() {
	go func() {
		select {
		case <-p.dead:
		case <-time.After(p.times.goodbye):
			p.killBecause("it closed its connection and went on")
		}
	}()
}

// abnormal reports whether the end of the process is worth telling although the
// run ends too.
func (p *process) abnormal() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil && !p.discarded && !(p.asked && endedByTerm(p.cmd.ProcessState))
}

// askToEnd asks a program without a host around it to end, as the platform
// does.
func (p *process) askToEnd() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.asked = true
	if p.cmd.Process.Signal(syscall.SIGTERM) != nil {
		p.end()
	}
}

// gaveUp returns what the process said where it ended by itself as a program
// does that an exception or a wrong use ends: it would do so again.
func (p *process) gaveUp() *fault.Error {
	p.mu.Lock()
	killed := p.killed
	p.mu.Unlock()
	status := p.cmd.ProcessState.ExitCode()
	if killed != "" || (status != 1 && status != 2) {
		return nil
	}
	said := "it ended with exit status " + strconv.Itoa(status)
	if last := p.tail.lastLine(); last != "" {
		said = last + " (exit status " + strconv.Itoa(status) + ")"
	}
	return fault.New(fault.Processor, "the processor could not be loaded: %s", said)
}

// explainTime bounds the search for names in the debug information of large
// libraries.
const explainTime = 5 * time.Second

// explain says why the process ended: one line, and under it what is known of
// a crash and the last lines of its standard error.
func (p *process) explain() string {
	defer p.crash.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "worker %d (process %d) ", p.id, p.pid)
	p.mu.Lock()
	killed, noted := p.killed, p.noted
	p.mu.Unlock()
	signal := exitSignal(p.cmd.ProcessState)
	ctx, cancel := context.WithTimeout(context.Background(), explainTime)
	defer cancel()
	switch record := p.crashRecord(); {
	case killed != "":
		b.WriteString("was ended: " + killed)
	case p.outOfMemory():
		b.WriteString("was killed: out of memory")
		if limit := p.plan.Worker.MemoryMB; limit > 0 {
			fmt.Fprintf(&b, " (the limit is %d MB)", limit)
		}
	case record != nil:
		b.WriteString("crashed: " + strings.TrimRight(record.Explain(ctx, backtrace.Options{}).String(), "\n"))
	case signal != "":
		b.WriteString("was killed by signal " + signal)
	default:
		fmt.Fprintf(&b, "ended with exit status %d", p.cmd.ProcessState.ExitCode())
		if noted != "" {
			b.WriteString(": " + noted)
		}
	}
	if lines := p.tail.last(); len(lines) > 0 {
		b.WriteString("\nlast lines of its standard error:")
		for _, line := range lines {
			b.WriteString("\n  " + line)
		}
	}
	return b.String()
}

func (p *process) crashRecord() *backtrace.Record {
	if _, err := p.crash.Seek(0, io.SeekStart); err != nil {
		return nil
	}
	record, err := backtrace.ParseRecord(p.crash)
	if err != nil {
		return nil // empty, most often: it did not crash
	}
	// What a reader can do something with: the how-manieth request it was.
	record.Request >>= slotBits
	for i := range record.Others {
		record.Others[i] >>= slotBits
	}
	return record
}

// code is the exit status of the process as shells and containers have it: 128
// and the number of the signal for one that a signal ended.
func (p *process) code() int {
	state := p.cmd.ProcessState
	if state == nil {
		return 0
	}
	if code := state.ExitCode(); code >= 0 {
		return code
	}
	if number, _, ok := strings.Cut(exitSignal(state), " "); ok {
		if n, err := strconv.Atoi(number); err == nil {
			return 128 + n
		}
	}
	return 1
}

func (p *process) outOfMemory() bool {
	if p.plan.Worker.Cgroup == "" || exitSignal(p.cmd.ProcessState) == "" {
		return false
	}
	kills, err := oomKills(p.plan)
	return err == nil && kills > p.ooms
}

// oomKills counts what the kernel has killed in the workers' control group.
func oomKills(plan *runplan.Plan) (int, error) {
	group := plan.Worker.Cgroup
	if group == runplan.OwnCgroup {
		var err error
		if group, err = cgroup.Own(); err != nil {
			return 0, err
		}
	}
	return cgroup.OOMKills(group)
}

// watchMemory warns of a worker that has outgrown its memory where no control
// group limits it: EAS would end it there.
func (p *process) watchMemory() {
	limit := p.plan.Worker.MemoryMB
	if limit <= 0 || p.plan.Worker.Cgroup != "" {
		return
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-p.dead:
			return
		case <-ticker.C:
		}
		if resident := residentMB(p.pid); resident > limit {
			p.emit(event.Event{Type: event.Warning, Worker: p.id, Message: fmt.Sprintf(
				"worker %d uses %d MB of memory; metadata.memory allows %d MB, and EAS would end it", p.id, resident, limit)})
			return
		}
	}
}
