package hosttest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/serving/wire"
)

// patience is how long the suite waits for anything that must come. It is no
// measure of speed: a machine under load must not fail the suite.
const patience = 3 * time.Minute

// NoEntry, as Options.Entry, sends START with an empty entry.
const NoEntry = "\x00"

// Options say how a worker of the suite is started.
type Options struct {
	Threads     int // default 1
	ModelEntry  string
	ModelConfig string // the fixture takes a command here too; see the package comment
	Entry       string // instead of the host's
	MainClass   string // instead of the host's
	ClassPath   []string
	Env         []string
	Group       bool // make the worker the leader of a process group
	CutFrame    bool // the worker may die inside a frame
}

// Answer is a worker's answer to one request.
type Answer struct {
	Status    int // as in the header: 65535 stands for what no header can hold
	Exception bool
	Body      []byte
}

// Worker is a running worker with this package as its gateway.
type Worker struct {
	PID   int
	Hello map[string]string // what the worker said of itself

	tb       testing.TB
	conn     net.Conn
	write    sync.Mutex
	cutFrame bool

	mu      sync.Mutex
	nextID  uint64
	waiting map[uint64]chan Answer
	partial map[uint64][]byte
	lines   map[string][]string // by stream

	other  chan frame    // every frame that is no RESPONSE
	gone   chan struct{} // closed when the connection has ended; nil where nobody reads it
	exited chan struct{} // closed when the process has ended
	state  *os.ProcessState
	crash  *os.File
}

type frame struct {
	wire.Header
	payload []byte
}

// Launch starts a worker and waits for its connection. Nothing has been sent to it
// yet. The worker is killed when the test ends.
func Launch(tb testing.TB, host Host, opts Options) *Worker {
	tb.Helper()
	w := launch(tb, host, opts)
	w.gone = make(chan struct{})
	go w.read()
	return w
}

// launch is Launch without reading the worker's frames.
func launch(tb testing.TB, host Host, opts Options) *Worker {
	tb.Helper()
	dir, err := os.MkdirTemp("", "hosttest") // t.TempDir's paths are too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	network, address := "unix", filepath.Join(dir, "s")
	if host.TCP {
		network, address = "tcp", "127.0.0.1:0"
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		tb.Fatal(err)
	}
	defer listener.Close()

	w := &Worker{
		cutFrame: opts.CutFrame,
		tb:       tb,
		waiting:  make(map[uint64]chan Answer),
		partial:  make(map[uint64][]byte),
		lines:    make(map[string][]string),
		other:    make(chan frame, 64),
		exited:   make(chan struct{}),
	}
	cmd := exec.Command(host.Command[0], host.Command[1:]...)
	cmd.Dir = host.Dir
	socket := listener.Addr().String()
	if host.TCP {
		socket = "tcp:" + socket
	}
	variables := []string{"EASCMD_WORKER_SOCKET=" + socket, "EASCMD_WORKER_ID=7", "EASCMD_WORKER_KEY=the-key"}
	cmd.Env = slices.Concat(os.Environ(), host.Env, opts.Env)
	if host.VariablesOnStdin {
		r, w, err := os.Pipe() // not a reader, which would be waited for
		if err != nil {
			tb.Fatal(err)
		}
		defer r.Close()
		w.WriteString(strings.Join(variables, "\n") + "\n")
		w.Close()
		cmd.Stdin = r
	} else {
		cmd.Env = append(cmd.Env, variables...)
	}
	if host.Native {
		if w.crash, err = os.CreateTemp(dir, "crash"); err != nil {
			tb.Fatal(err)
		}
		os.Remove(w.crash.Name())
		cmd.ExtraFiles = []*os.File{w.crash}
		cmd.Env = append(cmd.Env, "EASCMD_CRASH_FD=3")
	}
	if opts.Group {
		leadGroup(cmd)
	}
	var readers sync.WaitGroup
	for name, pipe := range map[string]func() (io.ReadCloser, error){"stdout": cmd.StdoutPipe, "stderr": cmd.StderrPipe} {
		r, err := pipe()
		if err != nil {
			tb.Fatal(err)
		}
		readers.Go(func() { w.collect(name, r) })
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("the worker does not start: %v", err)
	}
	w.PID = cmd.Process.Pid
	go func() {
		// Not cmd.Wait: it would wait for children that keep the pipes open.
		w.state, _ = cmd.Process.Wait()
		close(w.exited)
	}()
	tb.Cleanup(func() {
		cmd.Process.Kill()
		<-w.exited
		if w.conn != nil {
			w.conn.Close()
			if w.gone != nil {
				<-w.gone
			}
		}
		cmd.Wait() // closes the pipes
		readers.Wait()
		if w.crash != nil {
			w.crash.Close()
		}
		if tb.Failed() {
			tb.Logf("worker: %v\nstdout: %q\nstderr: %q", w.state, w.Output("stdout"), w.Output("stderr"))
		}
	})

	accepted := make(chan error, 1)
	go func() {
		var err error
		w.conn, err = listener.Accept()
		accepted <- err
	}()
	select {
	case err := <-accepted:
		if err != nil {
			tb.Fatal(err)
		}
	case <-w.exited:
		listener.Close()
		<-accepted
		tb.Fatalf("the worker ended before it connected: %v", w.state)
	case <-time.After(patience):
		listener.Close()
		<-accepted
		tb.Fatal("the worker does not connect")
	}
	return w
}

// Start starts a worker, loads the processor and waits until it is ready.
func Start(tb testing.TB, host Host, opts Options) *Worker {
	tb.Helper()
	w := Launch(tb, host, opts)
	w.Greet()
	w.SendStart(host, opts)
	props := w.Expect(wire.Ready)
	if n, err := strconv.Atoi(props["concurrency"]); err != nil || n < 1 {
		tb.Fatalf("READY has concurrency %q", props["concurrency"])
	}
	return w
}

// Greet reads the worker's HELLO and answers it.
func (w *Worker) Greet() {
	w.tb.Helper()
	w.Hello = w.Expect(wire.Hello)
	w.Send(wire.AppendFrame(nil, wire.Header{Type: wire.Hello}, properties(w.tb, "protocol", "1", "features", "")))
}

// SendStart sends START.
func (w *Worker) SendStart(host Host, opts Options) {
	w.tb.Helper()
	entry, class, threads := host.Entry, host.MainClass, max(opts.Threads, 1)
	switch opts.Entry {
	case "":
	case NoEntry:
		entry = ""
	default:
		entry = opts.Entry
	}
	if opts.MainClass != "" {
		class = opts.MainClass
	}
	payload := properties(w.tb, "service", "hosttest", "workspace", os.TempDir(), "entry", entry, "main_class", class,
		"model_entry", opts.ModelEntry, "model_config", opts.ModelConfig, "threads", strconv.Itoa(threads),
		"prop.rpc.keepalive", "5000", "a-later-property", "skipped")
	if len(opts.ClassPath) > 0 {
		payload = append(payload, properties(w.tb, "class_path", strings.Join(opts.ClassPath, "\n"))...)
	}
	w.Send(wire.AppendMessage(nil, wire.Header{Type: wire.Start}, payload))
}

func properties(tb testing.TB, pairs ...string) (payload []byte) {
	tb.Helper()
	for i := 0; i < len(pairs); i += 2 {
		var err error
		if payload, err = wire.AppendProperty(payload, pairs[i], pairs[i+1]); err != nil {
			tb.Fatal(err)
		}
	}
	return payload
}

// Send sends bytes as they are. A worker that has gone is no failure here: what
// the test waits for next tells.
func (w *Worker) Send(b []byte) {
	w.write.Lock()
	defer w.write.Unlock()
	w.conn.Write(b)
}

// Request sends a request, cut into frames where it is long, and returns its id
// and where its answer will come. The channel is closed without an answer when the
// connection ends.
func (w *Worker) Request(body []byte) (id uint64, answer <-chan Answer) {
	id, answer = w.expectAnswer()
	for first := true; first || len(body) > 0; first = false {
		n := min(len(body), wire.MaxPayload)
		h := wire.Header{Type: wire.Request, ID: id}
		if n < len(body) {
			h.Flags = wire.More
		}
		w.Send(wire.AppendFrame(nil, h, body[:n]))
		body = body[n:]
	}
	return id, answer
}

// expectAnswer returns an id for a request and where its answer will come.
func (w *Worker) expectAnswer() (uint64, <-chan Answer) {
	ch := make(chan Answer, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nextID++
	w.waiting[w.nextID] = ch
	return w.nextID, ch
}

// Do sends a request and waits for its answer.
func (w *Worker) Do(body []byte) Answer {
	w.tb.Helper()
	_, ch := w.Request(body)
	return w.Await(ch)
}

// Command sends a command to the fixture and returns the body of its answer, which must
// have status 200.
func (w *Worker) Command(command string) string {
	w.tb.Helper()
	a := w.Do([]byte(command))
	if a.Status != 200 || a.Exception {
		w.tb.Fatalf("%.60q was answered %d (exception: %v) %.200q, want status 200", command, a.Status, a.Exception, a.Body)
	}
	return string(a.Body)
}

// Await waits for an answer.
func (w *Worker) Await(ch <-chan Answer) Answer {
	w.tb.Helper()
	select {
	case a, ok := <-ch:
		if !ok {
			w.tb.Fatal("the worker ended before it answered")
		}
		return a
	case <-time.After(patience):
		w.tb.Fatal("no answer")
	}
	panic("unreachable")
}

// Expect waits for a frame of type t that is no RESPONSE and returns its properties.
func (w *Worker) Expect(t wire.Type) map[string]string {
	w.tb.Helper()
	f := w.expectFrame(t)
	props, err := wire.Properties(f.payload)
	if err != nil {
		w.tb.Fatalf("%v: %v", t, err)
	}
	return props
}

func (w *Worker) expectFrame(t wire.Type) frame {
	w.tb.Helper()
	var f frame
	select {
	case f = <-w.other:
	case <-time.After(patience):
		w.tb.Fatalf("no %v", t)
	case <-w.gone:
		select {
		case f = <-w.other:
		default:
			w.tb.Fatalf("the worker closed the connection instead of sending %v", t)
		}
	}
	if f.Type != t {
		w.tb.Fatalf("got %v %q, want %v", f.Type, f.payload, t)
	}
	return f
}

// Ping sends PING and returns how long PONG took.
func (w *Worker) Ping() time.Duration {
	w.tb.Helper()
	payload := []byte("are you there?")
	sent := time.Now()
	w.Send(wire.AppendFrame(nil, wire.Header{Type: wire.Ping, ID: 99}, payload))
	f := w.expectFrame(wire.Pong)
	if f.ID != 99 || !bytes.Equal(f.payload, payload) {
		w.tb.Fatalf("PONG has id %d and payload %q, want PING's", f.ID, f.payload)
	}
	return time.Since(sent)
}

// Close closes the gateway's side of the connection.
func (w *Worker) Close() { w.conn.Close() }

// Exit waits until the process has ended.
func (w *Worker) Exit() *os.ProcessState {
	w.tb.Helper()
	select {
	case <-w.exited:
	case <-time.After(patience):
		w.tb.Fatal("the worker does not end")
	}
	return w.state
}

// ExpectExit waits until the process has ended with a status.
func (w *Worker) ExpectExit(status int) {
	w.tb.Helper()
	if got := w.Exit().ExitCode(); got != status {
		w.tb.Fatalf("the worker ended with %v, want exit status %d", w.state, status)
	}
}

// CrashRecord returns what the worker wrote of its crash. It must have ended.
func (w *Worker) CrashRecord() string {
	w.tb.Helper()
	<-w.exited
	text, err := io.ReadAll(io.NewSectionReader(w.crash, 0, 1<<30))
	if err != nil {
		w.tb.Fatal(err)
	}
	return string(text)
}

// Output returns the lines that the processor has written to a stream so far.
func (w *Worker) Output(stream string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.lines[stream])
}

// WaitOutput waits for a line that contains text.
func (w *Worker) WaitOutput(stream, text string) {
	w.tb.Helper()
	eventually(w.tb, fmt.Sprintf("%q on %s", text, stream), func() bool {
		return slices.ContainsFunc(w.Output(stream), func(line string) bool { return strings.Contains(line, text) })
	})
}

func eventually(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func (w *Worker) collect(name string, r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		w.mu.Lock()
		w.lines[name] = append(w.lines[name], s.Text())
		w.mu.Unlock()
	}
}

// read takes the worker's frames until the connection ends.
func (w *Worker) read() {
	err := w.readFrames()
	if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !isReset(err) &&
		!(w.cutFrame && errors.Is(err, io.ErrUnexpectedEOF)) {
		w.tb.Errorf("from the worker: %v", err)
	}
	w.mu.Lock()
	for id, ch := range w.waiting {
		close(ch)
		delete(w.waiting, id)
	}
	w.mu.Unlock()
	close(w.gone)
}

func (w *Worker) readFrames() error {
	r := bufio.NewReaderSize(w.conn, 1<<20)
	for {
		f, err := readFrame(r)
		if err != nil {
			return err
		}
		if f.Type != wire.Response {
			select {
			case w.other <- f:
			case <-time.After(patience):
				return fmt.Errorf("nobody takes frames, the last is %v", f.Type)
			}
			continue
		}
		w.mu.Lock()
		body := append(w.partial[f.ID], f.payload...)
		if f.Flags&wire.More != 0 {
			w.partial[f.ID] = body
			w.mu.Unlock()
			continue
		}
		delete(w.partial, f.ID)
		ch := w.waiting[f.ID]
		delete(w.waiting, f.ID)
		w.mu.Unlock()
		if ch == nil {
			return fmt.Errorf("RESPONSE for id %d, which is not waited for", f.ID)
		}
		ch <- Answer{Status: int(f.Status), Exception: f.Flags&wire.Exception != 0, Body: body}
	}
}

// readFrame returns the next frame that the suite waits for.
func readFrame(r io.Reader) (frame, error) {
	for {
		f, err := readAnyFrame(r)
		if err != nil || !advice(f.Header) {
			return f, err
		}
	}
}

// advice reports whether a worker may send such a frame whenever it likes to,
// or never: FRAMES and PROPERTIES.
func advice(h wire.Header) bool {
	return (h.Type == wire.Frames || h.Type == wire.Settings) && h.Flags&wire.Optional != 0
}

func readAnyFrame(r io.Reader) (frame, error) {
	var head [wire.HeaderSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	h, err := wire.ParseHeader(head[:])
	if err != nil {
		return frame{}, err
	}
	f := frame{Header: h, payload: make([]byte, h.Length)}
	_, err = io.ReadFull(r, f.payload)
	return f, err
}

// takeOver ends the reading of frames and returns the connection.
func (w *Worker) takeOver() net.Conn {
	w.conn.SetReadDeadline(time.Unix(1, 0))
	<-w.gone
	w.conn.SetReadDeadline(time.Time{})
	return w.conn
}
