package hosttest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/serving/wire"
)

func checkHello(t *testing.T, hello map[string]string, pid int) {
	t.Helper()
	lowest, err1 := strconv.Atoi(hello["protocol.min"])
	highest, err2 := strconv.Atoi(hello["protocol.max"])
	if err1 != nil || err2 != nil || lowest > 1 || highest < 1 {
		t.Errorf("HELLO offers versions %q to %q, want 1 among them", hello["protocol.min"], hello["protocol.max"])
	}
	for name, want := range map[string]string{"worker": "7", "key": "the-key", "pid": strconv.Itoa(pid)} {
		if hello[name] != want {
			t.Errorf("HELLO has %s %q, want %q", name, hello[name], want)
		}
	}
	if hello["host"] == "" {
		t.Error("HELLO does not name the host")
	}
}

func testHello(t *testing.T, host Host) {
	w := Start(t, host, Options{})
	checkHello(t, w.Hello, w.PID)
}

func testSurroundings(t *testing.T, host Host) {
	w := Start(t, host, Options{
		ModelEntry:  "/eas/workspace//model/./1/",
		ModelConfig: "{\"a\": \"ü|\n\"}",
		Env:         []string{"EASCMD_TEST_VARIABLE=kept"},
	})
	for _, name := range []string{"SOCKET", "ID", "KEY"} {
		if a := w.Do([]byte("env EASCMD_WORKER_" + name)); !isAbsent(host, a) {
			t.Errorf("the processor sees EASCMD_WORKER_%s=%s", name, a.Body)
		}
	}
	if a := w.Do([]byte("env EASCMD_CRASH_FD")); !isAbsent(host, a) {
		t.Errorf("the processor sees EASCMD_CRASH_FD=%s", a.Body)
	}
	dir, err := filepath.EvalSymlinks(host.Dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{
		"variable": w.Command("env EASCMD_TEST_VARIABLE"),
		"model":    w.Command("model"),
		"pid":      w.Command("pid"),
		"cwd":      w.Command("cwd"),
	}
	want := map[string]string{
		"variable": "kept",
		"model":    "/eas/workspace//model/./1/|{\"a\": \"ü|\n\"}",
		"pid":      strconv.Itoa(w.PID),
		"cwd":      dir,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the processor sees (-want +got):\n%s", diff)
	}
	if runtime.GOOS == "linux" {
		own, other := oomScore(t, os.Getpid()), oomScore(t, w.PID)
		if other < 500 || other < own {
			t.Errorf("oom_score_adj of the worker is %d, of its gateway %d; the worker is to go first", other, own)
		}
		if target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", w.PID)); err != nil || target != os.DevNull {
			t.Errorf("standard input is %q (%v), want %s", target, err, os.DevNull)
		}
	}
}

// isAbsent reports whether a variable is not there, as the fixture answers it.
func isAbsent(host Host, a Answer) bool {
	return a.Status == 404 || host.NoStatus && a.Exception
}

func oomScore(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	if err != nil {
		t.Fatal(err)
	}
	return atoi(strings.TrimSpace(string(text)))
}

// Standard output is a pipe, and yet a line is to be seen when it is written.
func testOutput(t *testing.T, host Host) {
	w := Start(t, host, Options{ModelConfig: "print while loading"})
	w.WaitOutput("stdout", "while loading")
	w.Command("print for a request")
	w.WaitOutput("stdout", "for a request")
}

func testFailures(t *testing.T, host Host) {
	failures := append([]Failure{
		{Name: "state", Options: Options{ModelConfig: "state 400"}, State: "400"},
		{Name: "negative state", Options: Options{ModelConfig: "state -7"}, State: "-7"},
	}, host.Failures...)
	for _, f := range failures {
		t.Run(f.Name, func(t *testing.T) {
			w := Launch(t, host, f.Options)
			w.Greet()
			w.SendStart(host, f.Options)
			props := w.Expect(wire.Failed)
			if host.NoState {
				f.State = "0"
			}
			if f.State != "" && props["state"] != f.State {
				t.Errorf("state is %q, want %q", props["state"], f.State)
			}
			if props["message"] == "" || !strings.Contains(props["message"], f.Message) {
				t.Errorf("message is %q, want %q in it", props["message"], f.Message)
			}
			if !strings.Contains(props["hint"], f.Hint) {
				t.Errorf("hint is %q, want %q in it", props["hint"], f.Hint)
			}
			w.ExpectExit(1)
		})
	}
}

// A processor that ends the process: its exit status is kept, and answers that were
// given before are not lost.
func testExit(t *testing.T, host Host) {
	t.Run("while loading", func(t *testing.T) {
		w := Launch(t, host, Options{})
		w.Greet()
		w.SendStart(host, Options{ModelConfig: "exit 9"})
		w.ExpectExit(9)
	})
	t.Run("in a request", func(t *testing.T) {
		w := Start(t, host, Options{})
		warm(w)
		first, second := batch(w, "echo before", "exit 9")
		if a := w.Await(first); string(a.Body) != "before" {
			t.Errorf("got %q", a.Body)
		}
		if a, ok := <-second; ok {
			t.Errorf("the request that ended the process was answered: %+v", a)
		}
		w.ExpectExit(9)
	})
}

// warm lets the host find out that the fixture is fast.
func warm(w *Worker) {
	w.tb.Helper()
	for range 200 {
		w.Command("echo warm")
	}
}

// batch sends two requests in one write.
func batch(w *Worker, first, second string) (a, b <-chan Answer) {
	var frames []byte
	var answers []<-chan Answer
	for _, body := range []string{first, second} {
		id, ch := w.expectAnswer()
		frames = wire.AppendFrame(frames, wire.Header{Type: wire.Request, ID: id}, []byte(body))
		answers = append(answers, ch)
	}
	w.Send(frames)
	return answers[0], answers[1]
}

func testConcurrency(t *testing.T, host Host) {
	const threads = 5
	w := Start(t, host, Options{Threads: threads})
	var answers []<-chan Answer
	for range threads {
		_, ch := w.Request([]byte("meet 5"))
		answers = append(answers, ch)
	}
	for _, ch := range answers {
		if a := w.Await(ch); string(a.Body) != "met" {
			t.Fatalf("%d requests are not worked on at the same time: %s", threads, a.Body)
		}
	}
	answers = nil
	for range 8 * threads {
		_, ch := w.Request([]byte("sleep 5"))
		answers = append(answers, ch)
	}
	for _, ch := range answers {
		w.Await(ch)
	}
	if peak := w.Command("peak"); peak != "5" {
		t.Errorf("at most %s calls at the same time, want 5", peak)
	}
}

func testPing(t *testing.T, host Host) {
	for _, threads := range []int{1, 3} {
		for _, command := range []string{"sleep 3000", "spin 3000"} {
			t.Run(fmt.Sprintf("%s on %d threads", command[:5], threads), func(t *testing.T) {
				w := Start(t, host, Options{Threads: threads})
				warm(w)
				var busy []<-chan Answer
				for range threads + 1 { // one more than can be worked on
					_, ch := w.Request([]byte(command))
					busy = append(busy, ch)
				}
				// A third of what the calls take; on a machine that is not busy
				// the first one comes within 100 ms.
				best := patience
				for n := 0; n < 10 && best > 100*time.Millisecond; n++ {
					best = min(best, w.Ping())
				}
				if best > time.Second {
					t.Errorf("the fastest of 10 PONGs took %v, want 1 s at most", best)
				}
				select {
				case a := <-busy[threads]:
					t.Errorf("the last request was answered (%+v) before the last PONG", a)
				default:
				}
			})
		}
	}
}

// A request is not held up by a slow one that came with it, as long as a thread is
// free.
func testSlowAndFast(t *testing.T, host Host) {
	for _, threads := range []int{2, 5} {
		for _, warmed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d threads, warmed up: %v", threads, warmed), func(t *testing.T) {
				w := Start(t, host, Options{Threads: threads})
				if warmed {
					warm(w)
				}
				for range threads - 2 {
					w.Request([]byte("sleep 5000"))
				}
				slow, fast := batch(w, "sleep 5000", "echo fast")
				select {
				case <-slow:
					t.Error("the slow request was answered first")
				case a := <-fast:
					if string(a.Body) != "fast" {
						t.Errorf("got %+v", a)
					}
				case <-time.After(patience):
					t.Error("no answer")
				}
			})
		}
	}
	t.Run("one thread", func(t *testing.T) {
		w := Start(t, host, Options{})
		slow, fast := batch(w, "sleep 50", "echo fast")
		if a := w.Await(slow); string(a.Body) != "slept" {
			t.Errorf("got %+v", a)
		}
		if a := w.Await(fast); string(a.Body) != "fast" {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("mixed", func(t *testing.T) {
		w := Start(t, host, Options{Threads: 3})
		type sent struct {
			want string
			ch   <-chan Answer
		}
		var window []sent
		settle := func(keep int) {
			for ; len(window) > keep; window = window[1:] {
				if a := w.Await(window[0].ch); string(a.Body) != window[0].want {
					t.Fatalf("got %.100q, want %.100q", a.Body, window[0].want)
				}
			}
		}
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 600 {
			var command, want string
			switch random.IntN(12) {
			case 0:
				command, want = "sleep 3", "slept"
			case 1:
				command, want = "spin 1", "spun"
			case 2:
				n := 20_000 + random.IntN(600_000)
				command, want = fmt.Sprintf("big %d", n), strings.Repeat("b", n)
			case 3:
				want = strings.Repeat(strconv.Itoa(i), 1+random.IntN(100_000))
				command = "echo " + want
			default:
				want = strconv.Itoa(i)
				command = "echo " + want
			}
			_, ch := w.Request([]byte(command))
			window = append(window, sent{want, ch})
			settle(40)
		}
		settle(0)
	})
}

func testManySmall(t *testing.T, host Host) {
	for _, threads := range []int{1, 5} {
		t.Run(fmt.Sprintf("%d threads", threads), func(t *testing.T) {
			w := Start(t, host, Options{Threads: threads})
			files := openFiles(t, w.PID)
			random := rand.New(rand.NewPCG(3, uint64(threads)))
			bytes := make([]byte, 3000)
			for i := range bytes {
				bytes[i] = byte(random.Uint32())
			}
			type sent struct {
				want string
				ch   <-chan Answer
			}
			var window []sent
			for i := range 10_000 {
				want := string(bytes[:random.IntN(1+min(i, len(bytes)))])
				_, ch := w.Request([]byte("echo " + want))
				window = append(window, sent{want, ch})
				for i == 9_999 && len(window) > 0 || len(window) == 64 {
					if a := w.Await(window[0].ch); string(a.Body) != window[0].want || a.Status != 200 {
						t.Fatalf("request %d: got status %d and %d bytes, want %d", i, a.Status, len(a.Body), len(window[0].want))
					}
					window = window[1:]
				}
			}
			if after := openFiles(t, w.PID); after > files {
				t.Errorf("%d open files, %d before the requests", after, files)
			}
		})
	}
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func pattern(n int) []byte {
	random := rand.NewChaCha8([32]byte{})
	b := make([]byte, n)
	random.Read(b)
	return b
}

func testLarge(t *testing.T, host Host) {
	const size = 64 << 20
	w := Start(t, host, Options{Threads: 2})
	body := append([]byte("echo "), pattern(size)...)
	// Two at the same time, their frames mixed.
	answers := make(chan Answer, 2)
	for range 2 {
		go func() {
			_, ch := w.Request(body)
			answers <- <-ch
		}()
	}
	for range 2 {
		select {
		case a := <-answers:
			if a.Status != 200 || !bytes.Equal(a.Body, body[5:]) {
				t.Errorf("got status %d and %d bytes, which are not those sent", a.Status, len(a.Body))
			}
		case <-time.After(patience):
			t.Fatal("no answer")
		}
	}
	for _, n := range []int{0, 1, wire.MaxPayload - 6, wire.MaxPayload - 5, wire.MaxPayload - 4, 2*wire.MaxPayload - 5, 2*wire.MaxPayload + 5, 32 << 10, 32<<10 + 1} {
		if a := w.Do(body[:5+n]); !bytes.Equal(a.Body, body[5:5+n]) {
			t.Errorf("%d bytes: got %d bytes, which are not those sent", n, len(a.Body))
		}
	}
}

// A small answer goes out between the frames of a large one.
func testInterleaving(t *testing.T, host Host) {
	w := Start(t, host, Options{Threads: 2})
	conn := w.takeOver()
	conn.SetDeadline(time.Now().Add(patience))
	const large, small = 1, 2
	for attempt := 0; ; attempt++ {
		w.Send(wire.AppendFrame(nil, wire.Header{Type: wire.Request, ID: large}, []byte("big 67108864")))
		if f, err := readFrame(conn); err != nil || f.ID != large || f.Flags&wire.More == 0 {
			t.Fatalf("got %+v (%v), want the beginning of the large answer", f.Header, err)
		}
		w.Send(wire.AppendFrame(nil, wire.Header{Type: wire.Request, ID: small}, []byte("echo small")))
		between, seen, done := 0, false, 0
		for done < 2 {
			f, err := readFrame(conn)
			if err != nil {
				t.Fatal(err)
			}
			if f.ID == small {
				seen = true
			} else if !seen {
				between++
			}
			if f.Flags&wire.More == 0 {
				done++
			}
		}
		t.Logf("%d frames of the large answer before the small one", between)
		if between < 200 {
			return
		}
		if attempt == 5 {
			t.Fatal("the small answer waited for the large one, 6 times")
		}
	}
}

func testDrain(t *testing.T, host Host) {
	const threads = 3
	w := Start(t, host, Options{Threads: threads})
	warm(w)
	var answers []<-chan Answer
	for range threads {
		_, ch := w.Request([]byte("sleep 300"))
		answers = append(answers, ch)
	}
	for range 2 * threads {
		_, ch := w.Request([]byte("echo x"))
		answers = append(answers, ch)
	}
	w.Send(wire.AppendFrame(nil, wire.Header{Type: wire.Drain}, nil))
	w.Ping()
	for _, ch := range answers {
		if a := w.Await(ch); a.Status != 200 {
			t.Errorf("got %+v", a)
		}
	}
	w.Expect(wire.Drained)
	w.ExpectExit(0)

	// A gateway that changes its mind at once: there may be threads that wait for START.
	for range 20 {
		w := Launch(t, host, Options{})
		hello := wire.AppendFrame(nil, wire.Header{Type: wire.Hello}, properties(t, "protocol", "1", "features", ""))
		w.Send(wire.AppendFrame(hello, wire.Header{Type: wire.Drain}, nil))
		w.Expect(wire.Hello)
		w.Expect(wire.Drained)
		w.ExpectExit(0)
	}

	// A gateway that does not wait for the end of the drain.
	for _, command := range []string{"sleep 50", "sleep 1000000"} {
		w := Start(t, host, Options{Threads: 2})
		for range 3 {
			w.Request([]byte(command))
		}
		w.Send(wire.AppendFrame(nil, wire.Header{Type: wire.Drain}, nil))
		w.Close()
		w.Exit()
	}
}

// CANCEL is advice, but each request has one answer.
func testCancel(t *testing.T, host Host) {
	w := Start(t, host, Options{})
	warm(w)
	_, running := w.Request([]byte("sleep 300"))
	id, waiting := w.Request([]byte("echo waiting"))
	_, other := w.Request([]byte("echo other"))
	w.Ping() // all of them have been read
	w.Send(wire.AppendFrame(nil, wire.Header{Type: wire.Cancel, ID: id}, nil))
	if a := w.Await(waiting); a.Status != 499 && string(a.Body) != "waiting" {
		t.Errorf("the cancelled request was answered %+v, want 499 or what nobody cancelled", a)
	}
	if a := w.Await(running); string(a.Body) != "slept" {
		t.Errorf("got %+v", a)
	}
	if a := w.Await(other); string(a.Body) != "other" {
		t.Errorf("got %+v", a)
	}
}

// A worker never outlives its gateway, whatever its processor does, and takes along
// what it started.
func testEndOfFile(t *testing.T, host Host) {
	for _, command := range []string{"", "sleep 1000000", "spin 1000000"} {
		t.Run("processor: "+command, func(t *testing.T) {
			w := Start(t, host, Options{Threads: 2, Group: true})
			child := 0
			if runtime.GOOS != "windows" {
				child = atoi(w.Command("child"))
				if !alive(child) {
					t.Fatal("the child does not run")
				}
			}
			if command != "" {
				for range 3 {
					w.Request([]byte(command))
				}
				w.Ping()
			}
			w.Close()
			w.Exit()
			eventually(t, "the end of the child process", func() bool { return child == 0 || !alive(child) })
		})
	}
	t.Run("no group of its own", func(t *testing.T) {
		w := Start(t, host, Options{})
		w.Close()
		w.Exit() // and this test goes on
	})
}

// Random frames: the worker may refuse them, but it neither hangs nor crashes.
func testGarbage(t *testing.T, host Host) {
	random := rand.New(rand.NewPCG(5, 6))
	for round := range 30 {
		var w *Worker
		switch round % 3 {
		case 0:
			w = Launch(t, host, Options{})
		case 1:
			w = Launch(t, host, Options{})
			w.Greet()
		case 2:
			w = Start(t, host, Options{Threads: 2})
		}
		w.takeOver()
		w.conn.SetDeadline(time.Now().Add(patience))
		for range 40 {
			h := wire.Header{
				Type:  wire.Type(random.IntN(14)),
				Flags: wire.Flags(random.IntN(256)),
				ID:    uint64(random.IntN(4)),
			}
			if random.IntN(4) > 0 { // mostly frames that are allowed
				h.Type = []wire.Type{wire.Request, wire.Cancel, wire.Ping, 77}[random.IntN(4)]
				h.Flags |= wire.Optional
				h.ID++
			}
			b := wire.AppendFrame(nil, h, pattern(random.IntN(100)))
			for range random.IntN(2) * random.IntN(2) {
				b[random.IntN(len(b))] = byte(random.Uint32())
			}
			w.Send(b)
		}
		w.Close()
		state := w.Exit()
		if signalNumber(state) != 0 {
			t.Errorf("round %d: %v", round, state)
		}
		if code := state.ExitCode(); code != 0 && code != 3 {
			t.Errorf("round %d: ended with %v", round, state)
		}
	}
}
