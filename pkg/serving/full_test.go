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
)

// Programs that serve HTTP themselves. What they have in common with workers
// that answer frames is tested with those, by onBoth.

func TestProgramIsFoundWhereverItListens(t *testing.T) {
	for _, mode := range []string{"serve", "any-port", "ipv6"} {
		t.Run(mode, func(t *testing.T) {
			if mode == "ipv6" {
				l, err := net.Listen("tcp", "[::1]:0")
				if err != nil {
					t.Skipf("missing: IPv6: %v", err)
				}
				l.Close()
			}
			s := ready(t, overHTTP(mode))
			if a := s.post("hello"); a.status != 200 || a.body != "hello" {
				t.Errorf("%+v", a)
			}
		})
	}
}

// A socket that takes connections is no service yet: some programs open it
// before they load.
func TestProgramThatLoadsAfterItListens(t *testing.T) {
	for _, mode := range []string{"load", "bound"} {
		t.Run(mode, func(t *testing.T) {
			gate := filepath.Join(t.TempDir(), "gate")
			s := start(t, overHTTP(mode+" "+gate), func(_ *runplan.Plan, times *timings) { times.loading = 100 * time.Millisecond })
			if a := s.post("early"); a.status != 503 || a.header.Get("Retry-After") == "" {
				t.Errorf("%+v", a)
			}
			s.waitType(event.Loading)
			os.WriteFile(gate, nil, 0o600)
			s.waitType(event.Ready)
			// On the same connection as before.
			if a := s.post("now"); a.status != 200 || a.body != "now" {
				t.Errorf("%+v", a)
			}
		})
	}
}

// Who may answer frames has the fast server as soon as that is known, and who
// came before is answered too.
func TestProgramThatAnswersFramesAfterAll(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	s := start(t, mode("load-until "+gate), func(p *runplan.Plan, _ *timings) { p.Worker.HTTP = true })
	if a := s.post("early"); a.status != 503 {
		t.Errorf("%+v", a)
	}
	os.WriteFile(gate, nil, 0o600)
	s.waitType(event.Ready)
	body := strings.Repeat("x", 100_000)
	if a := s.post(body); a.status != 200 || a.body != body || !a.closed {
		t.Errorf("on the connection from before: %d, %d bytes, closed: %v", a.status, len(a.body), a.closed)
	}
	for range 3 {
		if a := s.post("status 404 none"); a.status != 404 || a.body != "none" || a.closed {
			t.Errorf("%+v", a)
		}
	}
}

func TestWhatAProgramGets(t *testing.T) {
	s := ready(t, overHTTP("serve"), func(p *runplan.Plan, _ *timings) { p.Gateway.Token = "secret" })
	for _, test := range []struct{ path, want string }{
		{"/", "/"},
		{"/a/b?c=d&e;f=%zz", "/a/b?c=d&e;f=%zz"},
		{"/a%2fb/%C3%A9/x;y", "/a%2fb/%C3%A9/x;y"},
		{"/api/predict/echo", "/"},
		{"/api/predict/echo/", "/"},
		{"/api/predict/echo?x=1", "/?x=1"},
		{"/api/predict/echo/v1/chat?x=%20", "/v1/chat?x=%20"},
	} {
		req := s.request("POST", "/", "head me")
		req.URL.Opaque = test.path
		req.Header.Set("X-Own", "kept")
		req.Header.Set("X-Forwarded-For", "10.0.0.1")
		req.Header.Set("Connection", "X-Hop")
		req.Header.Set("X-Hop", "dropped")
		a := s.do(req)
		head := strings.ToLower(a.body)
		if want := "post " + strings.ToLower(test.want) + " " + s.address + "\n"; !strings.HasPrefix(head, want) {
			t.Errorf("%s: %q, want it to begin with %q", test.path, a.body, want)
		}
		for _, want := range []string{"x-own: kept", "x-forwarded-for: 10.0.0.1, 127.0.0.1", "x-forwarded-proto: http", "x-forwarded-host: " + s.address} {
			if !strings.Contains(head, want) {
				t.Errorf("%s: no %q in %q", test.path, want, a.body)
			}
		}
		for _, not := range []string{"secret", "authorization", "x-hop"} {
			if strings.Contains(head, not) {
				t.Errorf("%s: %q in %q", test.path, not, a.body)
			}
		}
		if prefixed := strings.Contains(head, "x-forwarded-prefix: /api/predict/echo\r\n"); prefixed != strings.HasPrefix(test.path, "/api/predict/") {
			t.Errorf("%s: prefix told: %v", test.path, prefixed)
		}
	}
}

// Without a token of ours the header is the program's business.
func TestAuthorizationOfTheProgram(t *testing.T) {
	s := ready(t, overHTTP("serve"))
	req := s.request("POST", "/", "head me")
	req.Header.Set("Authorization", "Basic abc")
	if a := s.do(req); !strings.Contains(a.body, "Basic abc") {
		t.Errorf("%+v", a)
	}
}

// Events arrive one by one, before the request has ended: each is answered
// only when the one before has come back.
func TestStreamsBothWays(t *testing.T) {
	s := ready(t, overHTTP("serve"), func(p *runplan.Plan, _ *timings) { p.Gateway.KeepAliveMS = 3000 })
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			client := s.client
			if proto == "HTTP/2.0" {
				protocols := new(http.Protocols)
				protocols.SetUnencryptedHTTP2(true)
				transport := &http.Transport{Protocols: protocols}
				defer transport.CloseIdleConnections()
				client = &http.Client{Transport: transport}
			}
			body, sender := io.Pipe()
			resp, err := client.Post(s.url("/stream"), "text/plain", body)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.Proto != proto || resp.Header.Get("Content-Type") != "text/event-stream" {
				t.Errorf("%s %v", resp.Proto, resp.Header)
			}
			r := bufio.NewReader(resp.Body)
			for i := range 50 {
				fmt.Fprintf(sender, "event %d\n", i)
				line, err := r.ReadString('\n')
				if want := fmt.Sprintf("data: event %d\n", i); err != nil || line != want {
					t.Fatalf("%q %v, want %q", line, err, want)
				}
				r.ReadString('\n')
			}
			if got := s.metric("eascmd_inflight_requests"); got != 1 {
				t.Errorf("%v in flight", got)
			}
			sender.Close()
			if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
				t.Errorf("%q %v", rest, err)
			}
		})
	}
}

// A stream is no request that waits: it neither ends at rpc.keepalive nor takes
// the place of another.
func TestStreamsAreNotLimited(t *testing.T) {
	s := ready(t, overHTTP("serve"), func(p *runplan.Plan, times *timings) {
		p.Gateway.KeepAliveMS = 2000
		p.Gateway.MaxQueueSize = 1
		p.Worker.Threads = 1
		times.body = 50 * time.Millisecond
	})
	var streams []*http.Response
	var senders []*io.PipeWriter
	for range 5 {
		body, sender := io.Pipe()
		resp, err := s.client.Post(s.url("/stream"), "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		streams, senders = append(streams, resp), append(senders, sender)
	}
	if a := s.post("sleep 60000"); a.status != 408 { // meanwhile all their times pass
		t.Errorf("%+v", a)
	}
	for i, resp := range streams {
		fmt.Fprintln(senders[i], "still here")
		if line, err := bufio.NewReader(resp.Body).ReadString('\n'); line != "data: still here\n" {
			t.Errorf("%q %v", line, err)
		}
		senders[i].Close()
	}
}

func TestUpgradedConnections(t *testing.T) {
	s := ready(t, overHTTP("serve"), func(p *runplan.Plan, _ *timings) {
		p.Gateway.Token, p.Gateway.KeepAliveMS = "secret", 2000
		p.Worker.GraceMS = 600_000
	})
	upgrade := func(token string) (net.Conn, *bufio.Reader, *http.Response) {
		conn := s.dial()
		fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", token)
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		return conn, r, resp
	}
	refused, _, resp := upgrade("wrong")
	if resp.StatusCode != 401 {
		t.Errorf("without a token: %v", resp)
	}
	refused.Close()
	conn, r, resp := upgrade("secret")
	defer conn.Close()
	if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo" {
		t.Fatalf("%v", resp)
	}
	s.post("sleep 60000") // rpc.keepalive passes
	for i := range 20 {
		fmt.Fprintf(conn, "message %d\n", i)
		if line, err := r.ReadString('\n'); line != fmt.Sprintf("message %d\n", i) {
			t.Fatalf("%q %v", line, err)
		}
	}
	// It does not hold up the end.
	begin := time.Now()
	s.stop()
	<-s.done
	if took := time.Since(begin); took > longEnough {
		t.Errorf("draining took %v", took)
	}
	if _, err := r.ReadByte(); err == nil || os.IsTimeout(err) {
		t.Errorf("it is still open: %v", err)
	}
}

// What is passed on is not held in memory.
func TestLargeUploadTakesNoMemory(t *testing.T) {
	s := ready(t, overHTTP("serve"), func(p *runplan.Plan, _ *timings) {
		p.Gateway.BodyMemory = 1 << 20
		p.Gateway.BodyLimit = 1 << 20
	})
	s.plan.Gateway.BodyLimit = 256 << 20 // above the memory for bodies: nothing of it is needed
	const size = 100 << 20
	before := residentMB(os.Getpid())
	most := before
	counting := &countingReader{left: size, every: 8 << 20, note: func() { most = max(most, residentMB(os.Getpid())) }}
	req, _ := http.NewRequest("POST", s.url("/count"), counting)
	if a := s.do(req); a.status != 200 || a.body != fmt.Sprint(size) {
		t.Errorf("%d %.100q", a.status, a.body)
	}
	if most > before+64 {
		t.Errorf("memory grew from %d MB to %d MB", before, most)
	}
}

// countingReader is a body of zeros.
type countingReader struct {
	left, every, since int
	note               func()
}

func (r *countingReader) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := min(len(b), r.left)
	clear(b[:n])
	r.left -= n
	if r.since += n; r.since > r.every {
		r.since = 0
		r.note()
	}
	return n, nil
}

func TestTooManyRequestsAtAProgram(t *testing.T) {
	s := ready(t, overHTTP("serve"), func(p *runplan.Plan, _ *timings) { p.Gateway.MaxQueueSize = 3; p.Worker.Threads = 2 })
	gate := filepath.Join(s.dir, "gate")
	var waiting []<-chan answer
	for range 5 {
		waiting = append(waiting, s.later("wait-file "+gate))
	}
	eventually(t, "all are there", func() bool { return s.metric("eascmd_inflight_requests") == 5 })
	if a := s.post("one too many"); a.status != 450 || !a.closed {
		t.Errorf("%+v", a)
	}
	os.WriteFile(gate, nil, 0o600)
	for _, c := range waiting {
		if a := <-c; a.status != 200 {
			t.Errorf("%+v", a)
		}
	}
}

// A program that answers nothing any more is replaced; one that is only slow is
// not.
func TestProgramThatHangsIsReplaced(t *testing.T) {
	s := ready(t, overHTTP("hangs"), func(p *runplan.Plan, _ *timings) { p.Gateway.KeepAliveMS = 1500 })
	pid := s.post("pid").body
	if a := s.post("sleep 60000"); a.status != 408 || !a.closed {
		t.Errorf("%+v", a)
	}
	if a := s.post("pid"); a.body != pid {
		t.Errorf("%+v", a)
	}
	eventually(t, "it hangs", func() bool {
		if a := s.post("hang"); a.status != 408 {
			t.Errorf("%+v", a)
		}
		_, err := os.Stat(filepath.Join(s.dir, "hung"))
		return err == nil
	})
	s.later("whose time passes as well")
	exit := s.waitType(event.WorkerExit)
	if !strings.Contains(exit.Message, "it answered nothing") {
		t.Errorf("explained as %q", exit.Message)
	}
	s.waitType(event.Restarted)
	if a := s.post("pid"); a.status != 200 || a.body == pid {
		t.Errorf("%+v, the old program was %s", a, pid)
	}
}

func TestProgramDiesInAStream(t *testing.T) {
	s := ready(t, overHTTP("serve"))
	body, sender := io.Pipe()
	resp, err := s.client.Post(s.url("/stream"), "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Fprintln(sender, "die")
	if rest, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the answer ended as if it were whole: %q", rest)
	}
	sender.Close()
	if exit := s.waitType(event.WorkerExit); !strings.Contains(exit.Message, "dying in a stream") {
		t.Errorf("%q", exit.Message)
	}
	s.waitType(event.Restarted)
	if a := s.post("next"); a.status != 200 {
		t.Errorf("%+v", a)
	}
}

// A connection that the program ends is no death of the program.
func TestProgramHangsUp(t *testing.T) {
	s := ready(t, overHTTP("serve"))
	if a := s.post("hang-up"); a.status != 502 || !strings.Contains(a.body, "closed the connection without an answer") {
		t.Errorf("%+v", a)
	}
	if a := s.post("next"); a.status != 200 {
		t.Errorf("%+v", a)
	}
	if got := s.metric("eascmd_worker_deaths_total"); got != 0 {
		t.Errorf("%v deaths", got)
	}
}

// What an exception ends while it loads would be ended by it again.
func TestProgramThatCannotLoad(t *testing.T) {
	s := start(t, overHTTP("exit-early"))
	f := s.failure()
	if f.Kind != fault.Processor || f.Text != "the processor could not be loaded: ValueError: no luck today (exit status 1)" {
		t.Errorf("%d %q", f.Kind, f.Text)
	}
	exits := 0
	for _, e := range s.all() {
		if e.Type == event.WorkerExit {
			exits++
			if !strings.Contains(e.Message, "Traceback (most recent call last)") {
				t.Errorf("%q", e.Message)
			}
		}
	}
	if exits != 1 {
		t.Errorf("it was tried %d times", exits)
	}
}

// Each worker is told a port of its own, so that several of them can serve.
func TestSeveralPrograms(t *testing.T) {
	s := ready(t, overHTTP("serve"), func(p *runplan.Plan, _ *timings) {
		p.Worker.Count = 3
		p.Worker.Threads = 1
		p.Gateway.MaxQueueSize = 0
	})
	gate := filepath.Join(s.dir, "gate")
	var waiting []<-chan answer
	for i := range 3 { // one at each: there is no room for two
		waiting = append(waiting, s.later("wait-file "+gate))
		eventually(t, "it is there", func() bool { return s.metric("eascmd_inflight_requests") == float64(i+1) })
	}
	if a := s.post("one more"); a.status != 450 {
		t.Errorf("%+v", a)
	}
	os.WriteFile(gate, nil, 0o600)
	for _, c := range waiting {
		if a := <-c; a.status != 200 {
			t.Errorf("%+v", a)
		}
	}
}

// Clients that leave are noticed by the program too.
func TestProgramSeesThatTheClientLeft(t *testing.T) {
	s := ready(t, overHTTP("serve"))
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		s.try(s.request("POST", "/", "cancellable").WithContext(ctx))
	}()
	eventually(t, "it is there", func() bool { _, err := os.Stat(filepath.Join(s.dir, "there")); return err == nil })
	leave()
	<-gone
	mark := filepath.Join(s.dir, "cancelled")
	eventually(t, "the program was told", func() bool { _, err := os.Stat(mark); return err == nil })
	eventually(t, "it is counted", func() bool {
		return strings.Contains(s.do(s.request("GET", "/metrics", "")).body, `eascmd_requests_total{status="499"} 1`)
	})
}

// However the bounds of a request are written, the program sees one request at
// most, with one meaning, and nothing behind it that could be taken for
// another one.
func TestAmbiguousRequestsToAProgram(t *testing.T) {
	s := ready(t, overHTTP("serve"))
	const smuggled = "POST /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\nprint smuggled!!"
	requests := ambiguousRequests(smuggled)
	delete(requests, "two equal lengths") // have one meaning, and the program gets one of them
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			conn := s.dial()
			defer conn.Close()
			io.WriteString(conn, request)
			text, err := io.ReadAll(conn)
			if os.IsTimeout(err) {
				t.Error("the connection goes on")
			}
			if n := strings.Count(string(text), "HTTP/1.1 "); n > 1 {
				t.Errorf("answered %q", text)
			}
		})
	}
	for _, e := range s.all() {
		if strings.Contains(e.Message, "smuggled") {
			t.Error("a smuggled request reached the program")
		}
	}
	if a := s.post("fine"); a.status != 200 {
		t.Error(a)
	}
}

func TestHugeHeadsToAProgram(t *testing.T) {
	s := ready(t, overHTTP("serve"))
	for name, head := range map[string]string{
		"one header":   "X: " + strings.Repeat("x", 64<<10) + "\r\n",
		"many headers": strings.Repeat("X: y\r\n", 10_000),
	} {
		conn := s.dial()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\n%s\r\n", head)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 431 {
			t.Errorf("%s: %v %v", name, resp, err)
		}
		conn.Close()
	}
	conn := s.dial()
	defer conn.Close()
	fmt.Fprintf(conn, "POST /%s HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("x", 64<<10))
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode < 400 {
		t.Errorf("a long path: %v %v", resp, err)
	}
}

// A header in which a program could see two is not passed on.
func TestSplitHeadersDoNotReachAProgram(t *testing.T) {
	s := ready(t, overHTTP("serve"))
	for _, header := range []string{"X: a\rInjected: b", "X: a\x00b", "Injected : b", " Injected: b"} {
		conn := s.dial()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\n%s\r\nConnection: close\r\nContent-Length: 4\r\n\r\nhead", header)
		text, _ := io.ReadAll(conn)
		if !strings.HasPrefix(string(text), "HTTP/1.1 400") || strings.Contains(string(text), "Injected: b") {
			t.Errorf("%q: %q", header, text)
		}
		if strings.Count(string(text), "HTTP/1.1 ") != 1 {
			t.Errorf("%q: %q", header, text)
		}
		conn.Close()
	}
}
