package serving

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
	"github.com/openeas/eascmd/pkg/serving/wire"
)

// Workers and clients that behave as badly as they can.

// What a worker has written before it dies counts, also where nobody has read
// it yet.
func TestAnswersBeforeACrashArrive(t *testing.T) {
	s := ready(t, func(p *runplan.Plan, times *timings) { p.Worker.Threads = 40; times.settled = 0 })
	for range 5 {
		var held []<-chan answer
		for range 30 {
			held = append(held, s.later("hold"))
		}
		eventually(t, "they are at the worker", func() bool { return s.metric("eascmd_inflight_requests") == 30 })
		last := s.post("answer-all 20000")
		if last.status != 500 || !strings.Contains(last.body, "SIGKILL") {
			t.Fatalf("%d %q", last.status, last.body)
		}
		for i, c := range held {
			if a := <-c; a.status != 200 || len(a.body) != 20000 {
				t.Errorf("request %d: %d, %d bytes", i, a.status, len(a.body))
			}
		}
		if a := s.post("next"); a.status != 200 {
			t.Fatalf("%+v", a)
		}
	}
}

// A crash in the middle of an answer is a crash, not a breach of the protocol.
func TestACrashInsideAFrameIsExplained(t *testing.T) {
	s := ready(t)
	a := s.post("half-frame-crash")
	if a.status != 500 || !strings.Contains(a.body, "killed by signal 9 (SIGKILL)") {
		t.Errorf("%d %q", a.status, a.body)
	}
}

// Clients that leave do not hide that every thread hangs.
func TestStuckWorkerIsReplacedAfterItsClientsLeft(t *testing.T) {
	s := ready(t, func(p *runplan.Plan, _ *timings) { p.Gateway.KeepAliveMS = 1500; p.Worker.Threads = 2 })
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{}, 2)
	for range 2 {
		go func() {
			s.try(s.request("POST", "/", "sleep 60000").WithContext(ctx))
			gone <- struct{}{}
		}()
	}
	eventually(t, "they are at the worker", func() bool { return s.metric("eascmd_inflight_requests") == 2 })
	leave()
	<-gone
	<-gone
	exit := s.waitType(event.WorkerExit)
	if !strings.Contains(exit.Message, "every thread has been busy") {
		t.Errorf("explained as %q", exit.Message)
	}
	s.waitType(event.Restarted)
	if a := s.post("next"); a.status != 200 {
		t.Errorf("%+v", a)
	}
}

// A worker that answers before it has the whole request could otherwise have
// bodies pile up that nobody counts any more.
func TestAnswerBeforeTheRequestIsRefused(t *testing.T) {
	s := ready(t, mode("early-answer"))
	a := s.post(strings.Repeat("x", 8<<20))
	if a.status != 500 || !strings.Contains(a.body, "before it had the whole request") {
		t.Errorf("%d %.200q", a.status, a.body)
	}
}

// The body of a request that was given up stays in memory while it waits to be
// written to the worker, so it stays counted.
func TestAbandonedBodiesAreCounted(t *testing.T) {
	const size = 2 << 20
	s := ready(t, mode("never-reads"), func(p *runplan.Plan, _ *timings) {
		p.Gateway.KeepAliveMS = 1500
		p.Worker.Threads = 3
	})
	if a := s.post(strings.Repeat("x", size)); a.status != 408 {
		t.Fatalf("%d %q", a.status, a.body)
	}
	if got := s.metric("eascmd_body_memory_bytes"); got != size {
		t.Errorf("%v bytes are counted, %d are held", got, size)
	}
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		s.try(s.request("POST", "/", strings.Repeat("x", size)).WithContext(ctx))
	}()
	eventually(t, "it is at the worker", func() bool { return s.metric("eascmd_inflight_requests") == 2 })
	leave()
	<-gone
	eventually(t, "it was noticed that the client left", func() bool {
		return strings.Contains(s.do(s.request("GET", "/metrics", "")).body, `eascmd_requests_total{status="499"} 1`)
	})
	if got := s.metric("eascmd_body_memory_bytes"); got != 2*size {
		t.Errorf("%v bytes are counted, %d are held", got, 2*size)
	}
	s.later("the last slot") // now every slot is taken, and the worker is replaced
	s.waitType(event.WorkerExit)
	eventually(t, "all is given back", func() bool { return s.metric("eascmd_body_memory_bytes") == 0 })
}

// A worker that no longer reads is as good as gone.
func TestWorkerThatStopsReading(t *testing.T) {
	s := ready(t, func(_ *runplan.Plan, times *timings) { times.goodbye = 100 * time.Millisecond })
	first := s.later("stop-reading")
	// What comes while it still reads is never answered.
	eventually(t, "it reads no more", func() bool { _, err := os.Stat(filepath.Join(s.dir, "stopped")); return err == nil })
	second := s.post("x")
	if second.status != 500 || !strings.Contains(second.body, "closed its connection") {
		t.Errorf("%+v", second)
	}
	if a := <-first; a.status != 500 {
		t.Errorf("%+v", a)
	}
}

// A worker that is ready and hangs up at once is not given requests for as
// long as its process lives.
func TestWorkerThatHangsUpWhenReady(t *testing.T) {
	s := ready(t, mode("ready-then-close"), func(p *runplan.Plan, times *timings) {
		p.Worker.GraceMS = 100
		times.goodbye = time.Hour
	})
	eventually(t, "it is out", func() bool { return s.metric("eascmd_ready_workers") == 0 })
}

// A death in the warm-up is one before READY.
func TestDeathsInTheWarmUpEndTheRun(t *testing.T) {
	warm := filepath.Join(t.TempDir(), "1")
	os.WriteFile(warm, []byte("kill"), 0o600)
	s := start(t, func(p *runplan.Plan, _ *timings) { p.Worker.WarmUp = []string{warm} })
	if f := s.failure(); !strings.Contains(f.Text, "3 times in a row before it was ready") {
		t.Errorf("%v", f)
	}
	for _, e := range s.all() {
		if e.Type == event.Ready {
			t.Error("it was told to be ready")
		}
	}
}

// A restart that does not succeed at once is tried again: it may be for want
// of descriptors that clients have taken.
func TestRestartThatCannotStartIsTriedAgain(t *testing.T) {
	onBoth(t, testRestartThatCannotStartIsTriedAgain)
}

func testRestartThatCannotStartIsTriedAgain(t *testing.T, how setting) {
	host := filepath.Join(t.TempDir(), "host")
	s := ready(t, how, func(p *runplan.Plan, _ *timings) {
		if err := os.Symlink(p.Worker.Command[0], host); err != nil {
			t.Skip(err)
		}
		p.Worker.Command = []string{host}
	})
	away := host + ".away"
	os.Rename(host, away)
	s.post("kill")
	s.wait("a failed start", func(e event.Event) bool {
		return e.Type == event.WorkerExit && strings.Contains(e.Message, "start worker 1")
	})
	os.Rename(away, host)
	s.waitType(event.Restarted)
	if a := s.post("next"); a.status != 200 {
		t.Errorf("%+v", a)
	}
}

// Somebody who finds the workers' socket and says nothing holds nothing up.
func TestSilentConnectionEndsWithTheRun(t *testing.T) {
	s := ready(t)
	conn, err := net.Dial("unix", s.post("env EASCMD_WORKER_SOCKET").body)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s.post("one request later") // it was accepted by now, most likely
	s.stop()
	<-s.done
	conn.SetReadDeadline(time.Now().Add(longEnough))
	if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the connection is still open: %v", err)
	}
	for _, e := range s.all() {
		if e.Type == event.Warning {
			t.Errorf("%+v", e)
		}
	}
}

func TestOutboxKeepsNothingThatWasWritten(t *testing.T) {
	ours, theirs := socketPair(t)
	go io.Copy(io.Discard, theirs)
	o := outbox{wake: make(chan struct{}, 1), gone: make(chan struct{})}
	stop := make(chan struct{})
	go o.write(ours, stop)
	for id := range 3 {
		o.message(wire.Header{Type: wire.Request, ID: uint64(id + 1)}, make([]byte, 1<<20), nil)
	}
	eventually(t, "all is written", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.long) == 0
	})
	o.mu.Lock()
	for i, m := range o.long[:cap(o.long)] {
		if m.rest != nil {
			t.Errorf("place %d still holds a body", i)
		}
	}
	o.mu.Unlock()
	close(stop)
	<-o.gone
}

// socketPair returns both ends of a Unix connection.
func socketPair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "eas-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr)); err != nil {
		t.Fatal(err)
	}
	if b, err = l.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// One who asks first is not made to send a body that is refused.
func TestContinueIsRefused(t *testing.T) { onBoth(t, testContinueIsRefused) }

func testContinueIsRefused(t *testing.T, how setting) {
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Gateway.Token = "secret" })
	for _, test := range []struct {
		path, token string
		status      int
	}{
		{"/", "wrong", 401},
		{"/api/predict/other", "secret", 404},
		{"/", "secret", 100},
	} {
		conn := s.dial()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nExpect: 100-continue\r\nContent-Length: 20000\r\n\r\n", test.path, test.token)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != test.status {
			t.Errorf("%s: %v %v", test.path, resp, err)
		}
		conn.Close()
	}
}

// The absolute form of a request's target, as proxies send it, leads to the
// same place.
func TestAbsoluteTarget(t *testing.T) { onBoth(t, testAbsoluteTarget) }

func testAbsoluteTarget(t *testing.T, how setting) {
	s := ready(t, how)
	for target, status := range map[string]int{
		"http://x/api/predict/other":   404,
		"http://x/api/predict/echo":    200,
		"http://x/api/builtin/call":    501,
		"http://x":                     200,
		"HTTP://x?q=/api/builtin/call": 200,
	} {
		conn := s.dial()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nb", target)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != status {
			t.Errorf("%s: %v %v", target, resp, err)
		}
		conn.Close()
	}
}

func TestAccessLogTellsEveryRequest(t *testing.T) { onBoth(t, testAccessLogTellsEveryRequest) }

func testAccessLogTellsEveryRequest(t *testing.T, how setting) {
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Gateway.AccessLog = true; p.Gateway.KeepAliveMS = 1500 })
	s.post("x")
	s.post("sleep 2500")
	for _, want := range []string{`POST "/" 200 in=1 out=1 `, `POST "/" 408 in=10 `} {
		s.wait(want, func(e event.Event) bool { return e.Type == event.Access && strings.Contains(e.Message, want) })
	}
}

// However a long answer ends, its memory is given back.
func TestLongAnswersThatNobodyTakes(t *testing.T) {
	s := ready(t)
	for _, method := range []string{"POST", "HEAD"} {
		body := "big 3000000"
		conn := s.dial()
		fmt.Fprintf(conn, "%s / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", method, len(body), body)
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
			t.Error(err)
		}
		conn.Close()
		eventually(t, "all is given back after "+method, func() bool { return s.metric("eascmd_body_memory_bytes") == 0 })
	}
	// Clients that leave while the answer comes in.
	for i := range 10 {
		ctx, leave := context.WithTimeout(t.Context(), time.Duration(i)*5*time.Millisecond)
		s.try(s.request("POST", "/", "big 3000000").WithContext(ctx))
		leave()
	}
	eventually(t, "all is given back", func() bool { return s.metric("eascmd_body_memory_bytes") == 0 })
	if a := s.post("next"); a.status != 200 {
		t.Errorf("%+v", a)
	}
}

// A connection that comes at the end, and that no server takes any more, does not
// hold it up.
func TestDrainForgetsWhatNobodyTook(t *testing.T) {
	noLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := newConns(l, standardTimings())
	c.full = &handoff{Listener: l, d: newDispatcher(&limits{}, nil), conns: make(chan net.Conn), closed: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Accept() // until the listener is closed
	}()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	eventually(t, "it is accepted", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.open) == 1
	})
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), longEnough)
	defer cancel()
	if n := c.drain(ctx); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	<-ended
}

// A gateway that can accept nothing any more is no service: the run ends.
func TestListenerThatBreaksEndsTheRun(t *testing.T) {
	f := fault.KindOf(listenerEnded(io.ErrUnexpectedEOF))
	if f != fault.Failed {
		t.Errorf("kind %v", f)
	}
}

// A limit below what is read without asking for room holds as well.
func TestSmallBodyLimit(t *testing.T) { onBoth(t, testSmallBodyLimit) }

func testSmallBodyLimit(t *testing.T, how setting) {
	const limit = 1000
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Gateway.BodyLimit = limit; p.Gateway.BodyMemory = limit })
	for size, status := range map[int]int{limit: 200, limit + 1: 413, 5 * limit: 413, smallBody + 1: 413} {
		for _, length := range []int64{-1, int64(size)} {
			req, _ := http.NewRequest("POST", s.url("/"), io.MultiReader(strings.NewReader(strings.Repeat("c", size))))
			req.ContentLength = length
			if a := s.do(req); a.status != status {
				t.Errorf("%d bytes, announced %d: %d, %d bytes", size, length, a.status, len(a.body))
			}
		}
	}
}

// Of a body without a length nobody knows the end, but one that has hardly
// begun takes no room from others.
func TestSilentChunkedSendersTakeNoRoom(t *testing.T) {
	s := ready(t, func(p *runplan.Plan, _ *timings) {
		p.Gateway.BodyLimit = 1 << 20
		p.Gateway.BodyMemory = 1 << 20
	})
	for range 3 {
		conn := s.dial()
		defer conn.Close()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	}
	for _, size := range []int{5, smallBody - 1, smallBody, smallBody + 1, 1 << 20} {
		for _, length := range []int64{-1, int64(size)} {
			req, _ := http.NewRequest("POST", s.url("/"), io.MultiReader(strings.NewReader(strings.Repeat("c", size))))
			req.ContentLength = length
			if a := s.do(req); a.status != 200 || len(a.body) != size {
				t.Errorf("%d bytes, announced %d: %d, %d bytes", size, length, a.status, len(a.body))
			}
		}
	}
	if got := s.metric("eascmd_body_memory_bytes"); got != 0 {
		t.Errorf("%v bytes are held", got)
	}
}
