package hosttest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/openeas/eascmd/pkg/serving/wire"
)

func testNative(t *testing.T, host Host) {
	t.Run("what process may return", func(t *testing.T) { testReturns(t, host) })
	t.Run("input", func(t *testing.T) { testInput(t, host) })
	t.Run("output at the end", func(t *testing.T) { testLastOutput(t, host) })
	t.Run("drain while loading", func(t *testing.T) { testDrainWhileLoading(t, host) })
	t.Run("forked children", func(t *testing.T) { testForked(t, host) })
	if host.Sanitized {
		t.Log("crash records are not tested: the sanitizer handles the signals")
		return
	}
	t.Run("crash", func(t *testing.T) { testCrash(t, host) })
	t.Run("crash while loading", func(t *testing.T) { testCrashWhileLoading(t, host) })
	t.Run("crash after answers", func(t *testing.T) { testCrashAfterAnswers(t, host) })
	t.Run("crash in free", func(t *testing.T) { testCrashInFree(t, host) })
	t.Run("output that is not there", func(t *testing.T) { testOutputNotThere(t, host) })
	t.Run("closed descriptors", func(t *testing.T) { testClosedDescriptors(t, host) })
	t.Run("crash on several threads", func(t *testing.T) { testCrashTogether(t, host) })
	t.Run("own handler", func(t *testing.T) { testOwnHandler(t, host) })
}

// A processor that breaks the rules about *output_data gets an exception that says so.
func testReturns(t *testing.T, host Host) {
	w := Start(t, host, Options{})
	for command, want := range map[string]string{
		"null-with-size":  "*output_size = 5 and *output_data = NULL",
		"negative-size":   "*output_size = -5",
		"input-as-output": "memory from malloc",
	} {
		a := w.Do([]byte(command))
		if !a.Exception || a.Status != 500 || !strings.Contains(string(a.Body), want) {
			t.Errorf("%s: got %d (exception: %v) %q, want an exception with %q", command, a.Status, a.Exception, a.Body, want)
		}
	}
	if got := w.Command("echo still here"); got != "still here" {
		t.Errorf("got %q", got)
	}
}

// The input is aligned as memory from malloc is, and the byte behind it is not zero.
func testInput(t *testing.T, host Host) {
	w := Start(t, host, Options{})
	for n := range 40 {
		if got := w.Command("alignment " + strings.Repeat("x", n)); got != "0" {
			t.Fatalf("the address of the input modulo 16 is %s", got)
		}
	}
	for _, n := range []int{0, 1000, wire.MaxPayload + 1} {
		if got := w.Command("behind " + strings.Repeat("x", n)); got == "0" {
			t.Errorf("there is a zero behind an input of %d bytes", n+7)
		}
	}
}

// What the processor has written and not flushed is not lost in a drain.
func testLastOutput(t *testing.T, host Host) {
	w := Start(t, host, Options{})
	w.Command("cout the last words")
	w.Send(wire.AppendFrame(nil, wire.Header{Type: wire.Drain}, nil))
	w.Expect(wire.Drained)
	w.ExpectExit(0)
	w.WaitOutput("stdout", "the last words")
}

// A drain may come while initialize runs. It flushes what has a lock, which std::cout
// has not: to touch it from another thread is a race.
func testDrainWhileLoading(t *testing.T, host Host) {
	w := Launch(t, host, Options{})
	w.Greet()
	w.SendStart(host, Options{ModelConfig: "cout-and-hang the last words"})
	w.WaitOutput("stdout", "initialize hangs")
	w.Send(wire.AppendFrame(nil, wire.Header{Type: wire.Drain}, nil))
	w.Expect(wire.Drained)
	w.ExpectExit(0)
	w.WaitOutput("stdout", "the last words")
}

// A child that the processor forks has neither the connection nor the crash record, so
// that the worker's death is seen although the child lives.
func testForked(t *testing.T, host Host) {
	for _, command := range []string{"fork", "child"} {
		t.Run(command, func(t *testing.T) {
			w := Start(t, host, Options{Group: true})
			child := atoi(w.Command(command))
			t.Cleanup(func() { kill(child) })
			eventually(t, "only the standard files open in the child", func() bool {
				names, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", child))
				if err != nil || len(names) == 0 {
					t.Fatalf("the child has no files: %v", err)
				}
				return !slices.ContainsFunc(names, func(name string) bool {
					target, _ := os.Readlink(name)
					return strings.HasPrefix(target, "socket:") || strings.Contains(target, "crash")
				})
			})
			kill(w.PID)
			<-w.gone
			if !alive(child) {
				t.Error("the child ended too")
			}
		})
	}
}

// record is what a crash record holds, as far as the suite looks at it.
type record struct {
	text   string
	lines  map[string][]string // by their first word; the maps are left out
	maps   []string
	frames []uint64
}

func (w *Worker) record() record {
	w.tb.Helper()
	r := record{text: w.CrashRecord(), lines: make(map[string][]string)}
	if !strings.HasPrefix(r.text, "eascmd-crash 1\n") || !strings.HasSuffix(r.text, "\nend\n") {
		w.tb.Fatalf("the crash record is not whole:\n%s", r.text)
	}
	inMaps := false
	for line := range strings.Lines(r.text) {
		line = strings.TrimSuffix(line, "\n")
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "maps":
			inMaps = true
		case line == "end-maps":
			inMaps = false
		case inMaps:
			r.maps = append(r.maps, line)
		default:
			r.lines[word] = append(r.lines[word], rest)
		}
		if word == "frame" {
			r.frames = append(r.frames, w.address(rest))
		}
	}
	return r
}

func (w *Worker) address(text string) uint64 {
	w.tb.Helper()
	v, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 64)
	if err != nil || !strings.HasPrefix(text, "0x") {
		w.tb.Fatalf("%q is no address", text)
	}
	return v
}

// one returns the value of a line that stands once.
func (r record) one(t *testing.T, name string) string {
	t.Helper()
	if len(r.lines[name]) != 1 {
		t.Fatalf("%d lines %q in the crash record, want 1:\n%s", len(r.lines[name]), name, r.text)
	}
	return r.lines[name][0]
}

// in reports whether an address lies in code of a file.
func (r record) in(t *testing.T, address uint64, file string) bool {
	t.Helper()
	for _, line := range r.maps {
		var low, high uint64
		if _, err := fmt.Sscanf(line, "%x-%x", &low, &high); err != nil {
			t.Fatalf("%q in the maps: %v", line, err)
		}
		if low <= address && address < high && strings.HasSuffix(line, file) {
			return true
		}
	}
	return false
}

func testCrash(t *testing.T, host Host) {
	fixture := filepath.Base(host.Entry)
	const segv, abort, fpe, ill, bus = 11, 6, 8, 4, 7
	for _, test := range []struct {
		how     string
		signal  int
		address string // of the fault, where it is known
		frames  int    // at least so many of the fixture's
		stderr  string
	}{
		{how: "segv", signal: segv, address: "0x10", frames: 3},
		{how: "overflow", signal: segv, frames: 60},
		{how: "null-call", signal: segv, address: "0x0", frames: 2},
		{how: "fpe", signal: fpe, frames: 2},
		{how: "ill", signal: ill, frames: 2},
		{how: "bus", signal: bus, frames: 2},
		{how: "abort", signal: abort, frames: 2},
		{how: "throw", signal: abort, frames: 2, stderr: "thrown by the fixture"},
		{how: "free", signal: abort, frames: 2, stderr: "free()"},
	} {
		if test.how == "fpe" && runtime.GOARCH == "arm64" {
			continue // a division by zero is no fault there
		}
		for _, place := range []string{"crash ", "thread-crash "} {
			t.Run(place+test.how, func(t *testing.T) {
				w := Start(t, host, Options{Threads: 3})
				warm(w)
				other, _ := w.Request([]byte("sleep 1000000"))
				w.Ping()
				id, answer := w.Request([]byte(place + test.how))
				if _, ok := <-answer; ok {
					t.Error("the request was answered")
				}
				state := w.Exit()
				if signal := signalNumber(state); signal != test.signal {
					t.Errorf("the worker ended with %v, want signal %d", state, test.signal)
				}
				r := w.record()
				if number, _, _ := strings.Cut(r.one(t, "signal"), " "); number != strconv.Itoa(test.signal) {
					t.Errorf("the record says signal %s, want %d", number, test.signal)
				}
				if address := r.one(t, "address"); test.address != "" && address != test.address {
					t.Errorf("the record says address %s, want %s", address, test.address)
				}
				if thread := r.one(t, "thread"); !regexp.MustCompile(`^\d+ .`).MatchString(thread) {
					t.Errorf("thread is %q", thread)
				}
				others := []string{strconv.FormatUint(other, 10)}
				if place == "crash " {
					if got := r.one(t, "request"); got != strconv.FormatUint(id, 10) {
						t.Errorf("the record says request %s, want %d", got, id)
					}
				} else {
					if got := r.lines["request"]; got != nil {
						t.Errorf("the record says request %s, of a thread of the processor's own", got)
					}
					others = append(others, strconv.FormatUint(id, 10))
				}
				got := r.lines["other"]
				slices.Sort(got)
				slices.Sort(others)
				if !slices.Equal(got, others) {
					t.Errorf("the record has others %q, want %q", got, others)
				}

				pc, sp := w.address(r.one(t, "pc")), w.address(r.one(t, "sp"))
				if len(r.frames) == 0 || r.frames[0] != pc {
					t.Errorf("the first of the frames %x is not pc, %x", r.frames, pc)
				}
				if len(r.frames) > 64+16 {
					t.Errorf("%d frames, want 64 and the 16 outermost at most", len(r.frames))
				}
				ours := 0
				for _, frame := range r.frames {
					if r.in(t, frame, fixture) {
						ours++
					}
				}
				if ours < test.frames {
					t.Errorf("%d frames in the fixture, want %d at least:\n%s", ours, test.frames, r.text)
				}
				low, high, _ := strings.Cut(r.one(t, "stack"), " ")
				lowest, highest := w.address(low), w.address(high)
				if test.how == "overflow" {
					fault := w.address(r.one(t, "address"))
					if fault > lowest+64<<10 || fault+1<<20 < lowest {
						t.Errorf("the fault address %#x is not near the end of the stack %#x", fault, lowest)
					}
					if more := atoi(r.one(t, "frames-more")); more < 1000 {
						t.Errorf("frames-more is %d", more)
					}
				} else if sp < lowest || sp >= highest {
					t.Errorf("sp %#x is not in the stack %#x to %#x", sp, lowest, highest)
				}
				if test.stderr != "" {
					w.WaitOutput("stderr", test.stderr)
				}
			})
		}
	}
}

func testCrashWhileLoading(t *testing.T, host Host) {
	w := Launch(t, host, Options{})
	w.Greet()
	w.SendStart(host, Options{ModelConfig: "crash overflow"})
	if signal := signalNumber(w.Exit()); signal != 11 {
		t.Errorf("the worker ended with %v, want signal 11", w.state)
	}
	r := w.record()
	if r.lines["request"] != nil {
		t.Errorf("the record says request %q", r.lines["request"])
	}
	if len(r.frames) < 60 {
		t.Errorf("%d frames", len(r.frames))
	}
}

// Answers that were ready when a later request of the same batch crashed are sent.
func testCrashAfterAnswers(t *testing.T, host Host) {
	w := Start(t, host, Options{})
	warm(w)
	first, second := batch(w, "echo before", "crash segv")
	if a := w.Await(first); string(a.Body) != "before" {
		t.Errorf("got %+v", a)
	}
	if a, ok := <-second; ok {
		t.Errorf("got %+v", a)
	}
}

// An answer that is not from malloc, a long body whose memory process damaged: the record names
// the request, although process has returned.
func testCrashInFree(t *testing.T, host Host) {
	for _, command := range []string{"static-output", "damage-input " + strings.Repeat("x", 2*wire.MaxPayload)} {
		name, _, _ := strings.Cut(command, " ")
		t.Run(name, func(t *testing.T) {
			w := Start(t, host, Options{})
			id, _ := w.Request([]byte(command))
			if signal := signalNumber(w.Exit()); signal != 6 {
				t.Errorf("the worker ended with %v, want signal 6", w.state)
			}
			if got := w.record().one(t, "request"); got != strconv.FormatUint(id, 10) {
				t.Errorf("the record says request %s, want %d", got, id)
			}
		})
	}
}

// An answer whose memory is not there, all of it or the end: a crash of the request that it
// belongs to, also where it is the kernel that reads it.
func testOutputNotThere(t *testing.T, host Host) {
	const abort, segv = 6, 11
	const emptyWild = "wild-output 0" // a fine answer; then the crash is in free
	for _, test := range []struct {
		command string
		signal  int
		stderr  string
	}{
		{"output-beyond 2147483647", abort, "eashost: process() set *output_size to 2147483647, which is more than the memory that *output_data points to"},
		{"wild-output 1000000", abort, "eashost: process() set *output_size to 1000000, which is more than the memory that *output_data points to"},
		{"wild-output 5", segv, ""},
		{emptyWild, segv, ""},
	} {
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, threads: %d", test.command, threads), func(t *testing.T) {
				w := Start(t, host, Options{Threads: threads, CutFrame: true})
				warm(w)
				id, answer := w.Request([]byte(test.command))
				if a, ok := <-answer; ok && test.command != emptyWild {
					t.Errorf("the request was answered: status %d, %d bytes", a.Status, len(a.Body))
				}
				if signal := signalNumber(w.Exit()); signal != test.signal {
					t.Errorf("the worker ended with %v, want signal %d", w.state, test.signal)
				}
				r := w.record()
				if got := r.one(t, "request"); got != strconv.FormatUint(id, 10) {
					t.Errorf("the record says request %s, want %d", got, id)
				}
				if test.stderr != "" {
					w.WaitOutput("stderr", test.stderr)
				}
			})
		}
	}
}

// A processor that closes every file from 3 on, and perhaps opens others, takes the connection
// away: the worker says so, and ends with a status that is no clean end.
func testClosedDescriptors(t *testing.T, host Host) {
	closed := regexp.MustCompile(`^eashost: the processor closed the descriptor of the gateway \(number \d+\)$`)
	check := func(t *testing.T, w *Worker) {
		t.Helper()
		w.ExpectExit(3)
		eventually(t, "the reason on stderr", func() bool { return slices.ContainsFunc(w.Output("stderr"), closed.MatchString) })
	}
	for _, command := range []string{"close-all", "close-all reopen"} {
		t.Run(command+" while loading", func(t *testing.T) {
			w := Launch(t, host, Options{Group: true})
			w.Greet()
			w.SendStart(host, Options{ModelConfig: command})
			check(t, w)
		})
	}
	for _, command := range []string{"close-all", "close-all reopen", "close-all sleep 1000000"} {
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, threads: %d", command, threads), func(t *testing.T) {
				w := Start(t, host, Options{Threads: threads, Group: true})
				warm(w)
				_, answer := w.Request([]byte(command))
				if a, ok := <-answer; ok {
					t.Errorf("got %+v", a)
				}
				check(t, w)
			})
		}
	}
}

// Of several threads that crash at the same time one writes a whole record.
func testCrashTogether(t *testing.T, host Host) {
	for range 5 {
		w := Start(t, host, Options{Threads: 5})
		for range 5 {
			w.Request([]byte("meet-and-crash 5"))
		}
		if signal := signalNumber(w.Exit()); signal != 11 {
			t.Fatalf("the worker ended with %v, want signal 11", w.state)
		}
		if n := strings.Count(w.record().text, "eascmd-crash"); n != 1 {
			t.Errorf("%d records", n)
		}
	}
}

// A handler that the processor installs stays, and there is no record.
func testOwnHandler(t *testing.T, host Host) {
	w := Start(t, host, Options{ModelConfig: "own-handler"})
	w.Request([]byte("crash segv"))
	w.ExpectExit(77)
	w.WaitOutput("stdout", "own handler")
	if text := w.CrashRecord(); text != "" {
		t.Errorf("the host wrote a record all the same:\n%s", text)
	}
}
