package serving

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// longEnough is how long a test waits for what has to happen. It only ever passes
// in full where a test fails.
const longEnough = 2 * time.Minute

// service is a running service of a test.
type service struct {
	t       *testing.T
	plan    *runplan.Plan
	dir     string
	address string
	stop    context.CancelFunc
	done    chan struct{} // closed when Run has returned
	err     error
	client  *http.Client

	mu     sync.Mutex
	events []event.Event
	news   chan struct{} // closed and replaced at every event
}

// noLeaks fails where goroutines are left. Two of the HTTP server's go on for
// a while: one looks at its idle workers every ten seconds, one keeps the date.
func noLeaks(t *testing.T) {
	t.Helper()
	goleak.VerifyNone(t,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

type setting func(*runplan.Plan, *timings)

func mode(m string) setting {
	return func(p *runplan.Plan, _ *timings) {
		p.Worker.Env = append(p.Worker.Env, runplan.Env{Name: workerMode, Value: m})
	}
}

// start runs a service with the test worker and waits until it listens.
func start(t *testing.T, settings ...setting) *service {
	t.Helper()
	return startAmong(t, nil, settings...)
}

// startAmong is start with GPUs in a place of the test's own.
func startAmong(t *testing.T, gpus *gpuPlace, settings ...setting) *service {
	t.Helper()
	noLeaks(t)
	dir := t.TempDir()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, dir: dir, done: make(chan struct{}), news: make(chan struct{})}
	s.plan = &runplan.Plan{
		Version: runplan.Version, Name: "echo", Language: "cpp", Workspace: dir,
		Processor: runplan.Processor{Dir: dir},
		Worker: runplan.Worker{
			Command: []string{executable},
			Count:   1, Threads: 4, GraceMS: 10_000,
			// A program with the race detector sleeps a second before it ends,
			// unless it is told not to.
			Env: []runplan.Env{{Name: "GORACE", Value: "atexit_sleep_ms=0"}},
		},
		Gateway: runplan.Gateway{
			Host: "127.0.0.1", KeepAliveMS: longEnough.Milliseconds(), MaxQueueSize: 64,
			BodyLimit: 128 << 20, BodyMemory: 512 << 20, ContentType: runplan.DefaultContentType,
		},
		Properties: map[string]string{"rpc.keepalive": "20000"},
	}
	times := standardTimings()
	times.sweeping = 20 * time.Millisecond
	for _, set := range settings {
		set(s.plan, times)
	}
	if !strings.Contains(fmt.Sprint(s.plan.Worker.Env), workerMode) {
		mode("serve")(s.plan, times)
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2000}, Timeout: 3 * longEnough}
	go func() {
		defer close(s.done)
		s.err = Run(ctx, s.plan, Options{Emit: s.note, timings: times, gpus: gpus})
	}()
	t.Cleanup(func() {
		s.stop()
		s.client.CloseIdleConnections()
		<-s.done
		if t.Failed() {
			for _, e := range s.all() {
				t.Logf("event %s %s", e.Type, e.Message)
			}
		}
		noLeaks(t)
	})
	s.wait("listening", func(e event.Event) bool { return e.Type == event.Listening || e.Type == event.Failed })
	return s
}

// ready starts a service and waits until it is ready.
func ready(t *testing.T, settings ...setting) *service {
	t.Helper()
	s := start(t, settings...)
	s.wait("ready", func(e event.Event) bool { return e.Type == event.Ready })
	return s
}

func (s *service) note(e event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Type == event.Listening {
		s.address = e.Address
	}
	s.events = append(s.events, e)
	close(s.news)
	s.news = make(chan struct{})
}

func (s *service) all() []event.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]event.Event(nil), s.events...)
}

// wait returns the first event that fits, past or coming.
func (s *service) wait(what string, fits func(event.Event) bool) event.Event {
	s.t.Helper()
	deadline := time.After(longEnough)
	for {
		s.mu.Lock()
		news := s.news
		for _, e := range s.events {
			if fits(e) {
				s.mu.Unlock()
				return e
			}
		}
		s.mu.Unlock()
		select {
		case <-news:
		case <-deadline:
			s.t.Fatalf("no event: %s; there were %v", what, s.all())
		}
	}
}

func (s *service) waitType(t event.Type) event.Event {
	s.t.Helper()
	return s.wait(string(t), func(e event.Event) bool { return e.Type == t })
}

type answer struct {
	status int
	body   string
	header http.Header
	closed bool
}

func (s *service) url(path string) string { return "http://" + s.address + path }

func (s *service) do(req *http.Request) answer {
	s.t.Helper()
	a, err := s.try(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *service) try(req *http.Request) (answer, error) {
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(body), resp.Header, resp.Close}, err
}

func (s *service) post(body string) answer {
	s.t.Helper()
	return s.do(s.request("POST", "/", body))
}

func (s *service) request(method, path, body string) *http.Request {
	req, err := http.NewRequest(method, s.url(path), strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	if s.plan.Gateway.Token != "" {
		req.Header.Set("Authorization", s.plan.Gateway.Token)
	}
	return req
}

// later posts in the background.
func (s *service) later(body string) <-chan answer {
	result := make(chan answer, 1)
	go func() {
		a, err := s.try(s.request("POST", "/", body))
		if err != nil {
			a = answer{body: "error: " + err.Error()}
		}
		result <- a
	}()
	return result
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(longEnough); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("it never happened that %s", what)
}

// metric reads one number from /metrics.
func (s *service) metric(name string) float64 {
	s.t.Helper()
	text := s.do(s.request("GET", "/metrics", "")).body
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	s.t.Fatalf("no metric %s in:\n%s", name, text)
	return 0
}

func TestBodiesComeBackUntouched(t *testing.T) { onBoth(t, testBodiesComeBackUntouched) }

func testBodiesComeBackUntouched(t *testing.T, how setting) {
	s := ready(t, how)
	binary := make([]byte, 70_000)
	for i := range binary {
		binary[i] = byte(i * 7)
	}
	for _, body := range []string{"", "x", "hello world", "\x00\x01\r\n\r\n\xff", strings.Repeat("a", smallBody), strings.Repeat("b", smallBody+1),
		string(binary), strings.Repeat("c", 256<<10), strings.Repeat("d", 256<<10+1), strings.Repeat("e", 3<<20)} {
		if a := s.post(body); a.status != 200 || a.body != body {
			t.Errorf("a body of %d bytes came back as %d with %d bytes", len(body), a.status, len(a.body))
		}
		// Chunked: the length is not told.
		req, _ := http.NewRequest("POST", s.url("/"), io.MultiReader(strings.NewReader(body)))
		req.ContentLength = -1
		if a := s.do(req); a.status != 200 || a.body != body {
			t.Errorf("a chunked body of %d bytes came back as %d with %d bytes", len(body), a.status, len(a.body))
		}
	}
	if got := s.metric("eascmd_body_memory_bytes"); got != 0 {
		t.Errorf("%v bytes are still held", got)
	}
}

func TestRoutes(t *testing.T) { onBoth(t, testRoutes) }

func testRoutes(t *testing.T, how setting) {
	s := ready(t, how)
	for _, test := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"POST", "/", 200, "b"},
		{"POST", "/test", 200, "b"},
		{"PUT", "/any/path?query=1", 200, "b"},
		{"POST", "/api/predict/echo", 200, "b"},
		{"POST", "/api/predict/echo/v1/deep", 200, "b"},
		{"POST", "/api/predict/other", 404, "no service \"other\" here; this is \"echo\"\n"},
		{"POST", "/api/predict/echoes", 404, "no service \"echoes\" here; this is \"echo\"\n"},
		{"POST", "/api/predict/", 404, "no service \"\" here; this is \"echo\"\n"},
		{"TRACE", "/", 405, "TRACE is not served here\n"},
		{"GET", "/api/builtin/ping", 200, "ok\n"},
		{"GET", "/api/builtin/ready", 200, "ready\n"},
		{"GET", "/api/builtin/call", 501, ""},
		{"GET", "/api/builtin/eastool", 501, ""},
		{"GET", "/api/builtin/tell", 501, ""},
		{"GET", "/api/builtin/term", 405, ""},
	} {
		a := s.do(s.request(test.method, test.path, "b"))
		if a.status != test.status || (test.body != "" && a.body != test.body) {
			t.Errorf("%s %s: %d %q", test.method, test.path, a.status, a.body)
		}
	}
	if a := s.do(s.request("GET", "/", "")); a.status != 200 || a.body != "" || a.header.Get("Content-Type") != runplan.DefaultContentType {
		t.Errorf("GET without a body: %+v", a)
	}
	if a := s.do(s.request("HEAD", "/", "")); a.status != 200 {
		t.Errorf("HEAD: %+v", a)
	}
	if a := s.do(s.request("GET", "/api/builtin/prop", "")); !strings.Contains(a.body, `"rpc.keepalive": "20000"`) || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("prop: %+v", a)
	}
	if a := s.do(s.request("GET", "/api/builtin/monitor", "")); !strings.Contains(a.body, `"200": 7`) {
		t.Errorf("monitor: %+v", a)
	}
	if a := s.do(s.request("GET", "/api/builtin/realtime_metrics", "")); !strings.Contains(a.body, `"qps"`) {
		t.Errorf("realtime_metrics: %+v", a)
	}
	if got := s.metric(`eascmd_requests_total{status="200"}`); got != 7 {
		t.Errorf("%v requests counted", got)
	}
	for _, prefix := range discoveryPrefixes {
		host, port, _ := net.SplitHostPort(s.address)
		a := s.do(s.request("GET", prefix+"echo?internal=false", ""))
		if a.status != 200 || !strings.Contains(a.body, host) || !strings.Contains(a.body, port) {
			t.Errorf("discovery: %+v", a)
		}
		if a := s.do(s.request("GET", prefix+"other", "")); a.status != 404 {
			t.Errorf("discovery of another service: %+v", a)
		}
	}
}

func TestStatuses(t *testing.T) {
	s := ready(t)
	for _, test := range []struct {
		body   string
		status int
		answer string
	}{
		{"status 0 fine", 200, "fine"},
		{"status 200 fine", 200, "fine"},
		{"status 201 made", 201, "made"},
		{"status 404 none", 404, "none"},
		{"status 450 full", 450, "full"},
		{"status 599 odd", 599, "odd"},
		{"status 204 x", 204, ""},
		{"status 205 x", 205, ""},
		{"status 304 x", 304, ""},
		{"status 1 x", 400, "x"},
		{"status 100 x", 400, "x"},
		{"status 199 x", 400, "x"},
		{"status 600 x", 400, "x"},
		{"status 65535 x", 400, "x"},
		{"exception bad json", 400, "bad json"},
	} {
		if a := s.post(test.body); a.status != test.status || a.body != test.answer {
			t.Errorf("%s: %d %q", test.body, a.status, a.body)
		}
	}
	if a := s.post("still on the same connection"); a.status != 200 {
		t.Error(a)
	}
}

func TestAuthorization(t *testing.T) { onBoth(t, testAuthorization) }

func testAuthorization(t *testing.T, how setting) {
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Gateway.Token = "YjQxZDYz" })
	const date, octets = "Thu, 01 Jul 2021 00:00:00 GMT", "application/octet-stream"
	for _, test := range []struct {
		name, path, body string
		header           map[string]string
		status           int
	}{
		{"nothing", "/", "x", nil, 401},
		{"raw", "/", "x", map[string]string{"Authorization": "YjQxZDYz"}, 200},
		{"raw with blanks", "/", "x", map[string]string{"Authorization": "  YjQxZDYz "}, 200},
		{"wrong", "/", "x", map[string]string{"Authorization": "YjQxZDYy"}, 401},
		{"prefix", "/", "x", map[string]string{"Authorization": "YjQxZDY"}, 401},
		{"bearer", "/", "x", map[string]string{"Authorization": "Bearer YjQxZDYz"}, 200},
		{"bearer in small letters", "/", "x", map[string]string{"Authorization": "bearer YjQxZDYz"}, 200},
		{"bearer, wrong", "/", "x", map[string]string{"Authorization": "Bearer nope"}, 401},
		{"basic", "/", "x", map[string]string{"Authorization": "Basic YjQxZDYz"}, 401},
		{"metrics without", "/metrics", "", nil, 401},
		{"prop without", "/api/builtin/prop", "", nil, 401},
		{"term without", "/api/builtin/term", "", nil, 401},
		{"ping without", "/api/builtin/ping", "", nil, 200},
		{"another service without", "/api/predict/other", "", nil, 404},
		// The vectors of the client SDKs.
		{"signed", "/api/predict/echo", "hello world", map[string]string{
			"Authorization": "EAS T2U/xCINmfZ+iTQ8y8CT+AZmi9A=", "Content-MD5": "5eb63bbbe01eeed093cb22bb8f5acdc3", "Date": date, "Content-Type": octets}, 200},
		{"signed, body changed: not our business", "/api/predict/echo", "another body", map[string]string{
			"Authorization": "EAS T2U/xCINmfZ+iTQ8y8CT+AZmi9A=", "Content-MD5": "5eb63bbbe01eeed093cb22bb8f5acdc3", "Date": date, "Content-Type": octets}, 200},
		{"signed for the service, sent to a sub-path", "/api/predict/echo/v1?x=1", "hello world", map[string]string{
			"Authorization": "EAS T2U/xCINmfZ+iTQ8y8CT+AZmi9A=", "Content-MD5": "5eb63bbbe01eeed093cb22bb8f5acdc3", "Date": date, "Content-Type": octets}, 200},
		{"signed, empty body", "/api/predict/echo", "", map[string]string{
			"Authorization": "EAS /OeBskSCdnkxA8OfLAyP3QSkqnQ=", "Content-MD5": "d41d8cd98f00b204e9800998ecf8427e", "Date": date, "Content-Type": octets}, 200},
		{"signed, other date", "/api/predict/echo", "hello world", map[string]string{
			"Authorization": "EAS T2U/xCINmfZ+iTQ8y8CT+AZmi9A=", "Content-MD5": "5eb63bbbe01eeed093cb22bb8f5acdc3", "Date": "Thu, 01 Jul 2021 00:00:01 GMT", "Content-Type": octets}, 401},
		{"signed, no base64", "/api/predict/echo", "hello world", map[string]string{"Authorization": "EAS !!"}, 401},
	} {
		req, _ := http.NewRequest("POST", s.url(test.path), strings.NewReader(test.body))
		for name, value := range test.header {
			req.Header.Set(name, value)
		}
		if a := s.do(req); a.status != test.status {
			t.Errorf("%s: %d %q", test.name, a.status, a.body)
		}
	}
}

func TestKeepalive(t *testing.T) { onBoth(t, testKeepalive) }

func testKeepalive(t *testing.T, how setting) {
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Gateway.KeepAliveMS = 2000; p.Worker.Threads = 2 })
	gate := filepath.Join(s.dir, "gate")
	a := s.post("wait-file " + gate)
	if a.status != 408 || !a.closed {
		t.Errorf("a request past its time: %+v", a)
	}
	// Its slot is taken, the other one is free: the worker goes on, and the late
	// answer reaches nobody else.
	pid := s.post("pid").body
	os.WriteFile(gate, nil, 0o600)
	for range 20 {
		if a := s.post("pid"); a.status != 200 || a.body != pid {
			t.Fatalf("%+v, want %s", a, pid)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got := s.metric("eascmd_worker_deaths_total"); got != 0 {
		t.Errorf("%v workers died", got)
	}
}

func TestStuckWorkerIsReplaced(t *testing.T) {
	s := ready(t, func(p *runplan.Plan, _ *timings) { p.Gateway.KeepAliveMS = 1500; p.Worker.Threads = 2 })
	pid := s.post("pid").body
	first, second := s.later("sleep 60000"), s.later("sleep 60000")
	for _, c := range []<-chan answer{first, second} {
		if a := <-c; a.status != 408 {
			t.Errorf("%+v", a)
		}
	}
	exit := s.waitType(event.WorkerExit)
	if !strings.Contains(exit.Message, "every thread has been busy") {
		t.Errorf("explained as %q", exit.Message)
	}
	s.waitType(event.Restarted)
	if a := s.post("pid"); a.status != 200 || a.body == pid {
		t.Errorf("%+v, the old worker was %s", a, pid)
	}
}

func TestQueueFull(t *testing.T) {
	s := ready(t, func(p *runplan.Plan, _ *timings) { p.Gateway.MaxQueueSize = 3; p.Worker.Threads = 1 })
	gate := filepath.Join(s.dir, "gate")
	s.post("sleep 50") // learns that it is slow: no prefetch
	waiting := []<-chan answer{s.later("wait-file " + gate)}
	eventually(t, "the request is at the worker", func() bool { return s.metric("eascmd_inflight_requests") == 1 })
	for i := range 3 {
		waiting = append(waiting, s.later("ok"))
		eventually(t, "it waits", func() bool { return s.metric("eascmd_queued_requests") == float64(i+1) })
	}
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

func TestRateLimit(t *testing.T) { onBoth(t, testRateLimit) }

func testRateLimit(t *testing.T, how setting) {
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Gateway.RateLimit = 5 })
	// At once, or a slow machine would stay below the limit.
	var answers []<-chan answer
	for range 60 {
		answers = append(answers, s.later("x"))
	}
	counts := make(map[int]int)
	for _, a := range answers {
		counts[(<-a).status]++
	}
	if counts[200] < 5 || counts[429] == 0 || counts[200]+counts[429] != 60 {
		t.Errorf("statuses %v", counts)
	}
	if a := s.do(s.request("GET", "/api/builtin/ping", "")); a.status != 200 {
		t.Errorf("ping is limited: %+v", a)
	}
}

func TestClientLeaves(t *testing.T) { onBoth(t, testClientLeaves) }

func testClientLeaves(t *testing.T, how setting) {
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Worker.Threads = 1 })
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		s.try(s.request("POST", "/", "cancellable was here").WithContext(ctx))
	}()
	eventually(t, "the request is at the worker", func() bool { _, err := os.Stat(filepath.Join(s.dir, "there")); return err == nil })
	queuedCtx, leaveQueue := context.WithCancel(t.Context())
	queuedGone := make(chan struct{})
	go func() {
		defer close(queuedGone)
		for range 2 { // what is prefetched is not in the queue
			s.try(s.request("POST", "/", "cancellable too").WithContext(queuedCtx))
		}
	}()
	time.Sleep(50 * time.Millisecond)
	leaveQueue()
	leave()
	<-gone
	<-queuedGone
	mark := filepath.Join(s.dir, "cancelled")
	eventually(t, "the worker was told", func() bool { _, err := os.Stat(mark); return err == nil })
	eventually(t, "nothing is left", func() bool {
		return s.metric("eascmd_queued_requests") == 0 && s.metric("eascmd_inflight_requests") == 0
	})
	if a := s.post("next"); a.status != 200 || a.body != "next" {
		t.Errorf("%+v", a)
	}
}

func TestBodyLimit(t *testing.T) { onBoth(t, testBodyLimit) }

func testBodyLimit(t *testing.T, how setting) {
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Gateway.BodyLimit = 100_000; p.Gateway.BodyMemory = 200_000 })
	if a := s.post(strings.Repeat("x", 100_000)); a.status != 200 || len(a.body) != 100_000 {
		t.Errorf("at the limit: %d, %d bytes", a.status, len(a.body))
	}
	for _, length := range []int64{100_001, -1} {
		conn := s.dial()
		if length > 0 {
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("y", smallBody))
		} else {
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", 200_000)
			go io.Copy(conn, strings.NewReader(strings.Repeat("y", 200_000)))
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 413 || !resp.Close || !strings.Contains(string(text), "100000 bytes") {
			t.Errorf("length %d: %d %q", length, resp.StatusCode, text)
		}
		conn.Close()
	}
	// One who asks first is told before he sends.
	conn := s.dial()
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 413 {
		t.Errorf("Expect: %v %v", resp, err)
	}
	eventually(t, "no memory is held", func() bool { return s.metric("eascmd_body_memory_bytes") == 0 })
}

func (s *service) dial() net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(longEnough))
	return conn
}

func TestContinueIsAnswered(t *testing.T) { onBoth(t, testContinueIsAnswered) }

func testContinueIsAnswered(t *testing.T, how setting) {
	s := ready(t, how)
	conn := s.dial()
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 20000\r\n\r\n")
	r := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 100 {
		t.Fatalf("%v %v", resp, err)
	}
	io.WriteString(conn, strings.Repeat("z", 20000))
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || len(text) != 20000 {
		t.Errorf("%v %v", resp, err)
	}
}

func TestBodyMemoryIsBounded(t *testing.T) {
	const limit = 4 << 20
	s := ready(t, func(p *runplan.Plan, _ *timings) {
		p.Gateway.BodyLimit = 1 << 20
		p.Gateway.BodyMemory = limit
		p.Gateway.MaxQueueSize = 1000
	})
	var most atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() {
		for ctx.Err() == nil {
			most.Store(max(most.Load(), int64(s.metric("eascmd_body_memory_bytes"))))
		}
	})
	var posts sync.WaitGroup
	for range 40 {
		posts.Go(func() {
			body := strings.Repeat("m", 1<<20)
			if a := s.post(body); a.status != 200 || a.body != body {
				t.Errorf("%d, %d bytes", a.status, len(a.body))
			}
		})
	}
	posts.Wait()
	cancel()
	watch.Wait()
	// Answers are kept even above the limit: at most one of each request in it.
	if got := most.Load(); got > 2*limit || got == 0 {
		t.Errorf("%d bytes were held at most; the limit is %d", got, limit)
	}
	eventually(t, "all is given back", func() bool { return s.metric("eascmd_body_memory_bytes") == 0 })
}

func TestSmallRequestsPassLargeOnes(t *testing.T) {
	s := ready(t, func(p *runplan.Plan, _ *timings) { p.Gateway.KeepAliveMS = 2 * longEnough.Milliseconds() })
	size := 64 << 20
	if testing.Short() {
		size = 8 << 20
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	done := make(chan error, 1)
	go func() {
		resp, err := s.client.Post(s.url("/"), "", bytes.NewReader(body))
		if err != nil {
			done <- err
			return
		}
		defer resp.Body.Close()
		got := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
		_, err = got.ReadFrom(resp.Body)
		if err == nil && !bytes.Equal(got.Bytes(), body) {
			err = fmt.Errorf("%d bytes came back, not the same", got.Len())
		}
		done <- err
	}()
	small := 0
	for left := 1; left > 0; {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			left--
		default:
			if a := s.post("small"); a.body != "small" {
				t.Fatalf("%+v", a)
			}
			small++
		}
	}
	if small < 10 {
		t.Errorf("only %d small requests were answered beside one of %d bytes", small, size)
	}
	eventually(t, "all is given back", func() bool { return s.metric("eascmd_body_memory_bytes") == 0 })
}

func TestSlowSenders(t *testing.T) { onBoth(t, testSlowSenders) }

func testSlowSenders(t *testing.T, how setting) {
	s := ready(t, how, func(_ *runplan.Plan, times *timings) {
		times.body = time.Second
		times.header = time.Second
	})
	read := func(conn net.Conn) (int, string) {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return 0, err.Error()
		}
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
	t.Run("body stops", func(t *testing.T) {
		conn := s.dial()
		defer conn.Close()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n%s", strings.Repeat("x", 10_000))
		// 10,000 bytes buy ten seconds at the least pace; too long for a test, so hang up the promise.
		conn.(*net.TCPConn).CloseWrite()
		if status, text := read(conn); status != 400 || !strings.Contains(text, "could not be read") {
			t.Errorf("%d %q", status, text)
		}
	})
	t.Run("body never starts", func(t *testing.T) {
		conn := s.dial()
		defer conn.Close()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		if status, text := read(conn); status != 408 || !strings.Contains(text, "too slowly") {
			t.Errorf("%d %q", status, text)
		}
	})
	t.Run("head never ends", func(t *testing.T) {
		conn := s.dial()
		defer conn.Close()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\n")
		// The library's server ends such a connection without a word.
		if status, text := read(conn); status != 408 && !(s.plan.Worker.HTTP && status == 0) {
			t.Errorf("%d %q", status, text)
		}
	})
	t.Run("steady", func(t *testing.T) {
		conn := s.dial()
		defer conn.Close()
		// What has come buys the time for what follows.
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n%s", strings.Repeat("s", 20_000))
		go func() {
			for range 10 {
				time.Sleep(30 * time.Millisecond)
				io.WriteString(conn, strings.Repeat("s", 2000))
			}
		}()
		if status, text := read(conn); status != 200 || len(text) != 40000 {
			t.Errorf("%d, %d bytes", status, len(text))
		}
	})
	eventually(t, "no memory is held", func() bool { return s.metric("eascmd_body_memory_bytes") == 0 })
}

// ambiguousRequests are requests, and another one behind each, whose end two
// servers could see in different places.
func ambiguousRequests(smuggled string) map[string]string {
	return map[string]string{
		"two lengths":               "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + smuggled,
		"two equal lengths":         "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + smuggled,
		"a list of lengths":         "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\nhello" + smuggled,
		"length and chunked":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"chunked and length":        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + smuggled,
		"chunked twice":             "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"an unknown coding":         "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled,
		"chunked, then identity":    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + smuggled,
		"negative length":           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n" + smuggled,
		"length with a sign":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello" + smuggled,
		"hexadecimal length":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello" + smuggled,
		"length too long":           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nhello" + smuggled,
		"blank before the colon":    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello" + smuggled,
		"blank before coding colon": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"bad chunk size":            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n" + smuggled,
		"chunk size too large":      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n0\r\n\r\n" + smuggled,
		"coding in HTTP/1.0":        "POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"control in a header":       "POST / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\nContent-Length: 5\r\n\r\nhello" + smuggled,
		"no host, no version":       "POST /\r\n\r\n" + smuggled,
	}
}

// One who can make two servers see different requests can smuggle one past
// the first. Whatever is ambiguous is refused, and nothing behind it is read.
func TestAmbiguousRequests(t *testing.T) {
	s := ready(t)
	const smuggled = "POST /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\nprint smuggled!!"
	for name, request := range ambiguousRequests(smuggled) {
		t.Run(name, func(t *testing.T) {
			conn := s.dial()
			defer conn.Close()
			io.WriteString(conn, request)
			r := bufio.NewReader(conn)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode < 400 || len(text) == 0 {
				t.Errorf("answered %d %q", resp.StatusCode, text)
			}
			if rest, err := io.ReadAll(r); len(rest) > 0 {
				t.Errorf("the connection went on: %q %v", rest, err)
			}
		})
	}
	for _, e := range s.all() {
		if strings.Contains(e.Message, "smuggled") {
			t.Error("a smuggled request reached the processor")
		}
	}
	if a := s.post("fine"); a.status != 200 {
		t.Error(a)
	}
}

func TestPipelinedRequests(t *testing.T) { onBoth(t, testPipelinedRequests) }

func testPipelinedRequests(t *testing.T, how setting) {
	s := ready(t, how)
	conn := s.dial()
	defer conn.Close()
	var text strings.Builder
	for i := range 50 {
		body := "request " + strconv.Itoa(i)
		fmt.Fprintf(&text, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	io.WriteString(conn, text.String())
	r := bufio.NewReader(conn)
	for i := range 50 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if string(body) != "request "+strconv.Itoa(i) {
			t.Fatalf("answer %d is %q", i, body)
		}
	}
}

func TestThousandConnections(t *testing.T) { onBoth(t, testThousandConnections) }

func testThousandConnections(t *testing.T, how setting) {
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Gateway.MaxQueueSize = 2000 })
	before := openDescriptors(t)
	var all sync.WaitGroup
	var good atomic.Int64
	for i := range 1000 {
		all.Go(func() {
			body := "connection " + strconv.Itoa(i)
			for range 3 {
				a, err := s.try(s.request("POST", "/", body))
				if err != nil {
					t.Error(err)
					return
				}
				if a.status == 200 && a.body == body {
					good.Add(1)
				} else {
					t.Errorf("%d %.80q", a.status, a.body)
				}
			}
		})
	}
	all.Wait()
	if good.Load() != 3000 {
		t.Errorf("%d of 3000 requests were answered", good.Load())
	}
	s.client.CloseIdleConnections()
	eventually(t, "the descriptors are closed", func() bool { return openDescriptors(t) <= before+2 })
}

func openDescriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	return len(entries)
}

func TestCrashLosesOnlyItsOwnRequests(t *testing.T) { onBoth(t, testCrashLosesOnlyItsOwnRequests) }

func testCrashLosesOnlyItsOwnRequests(t *testing.T, how setting) {
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Worker.Count = 2 })
	gate := filepath.Join(s.dir, "gate")
	var pids []string
	eventually(t, "both workers answer", func() bool {
		// Two at a time go to different workers.
		slow := s.later("sleep 30")
		pid := s.post("pid").body
		<-slow
		if len(pids) == 0 || pids[0] != pid {
			pids = append(pids, pid)
		}
		return len(pids) == 2
	})
	survivor := s.later("wait-file " + gate)
	eventually(t, "it is at a worker", func() bool { return s.metric("eascmd_inflight_requests") >= 1 })
	victim := s.later("die 3")
	a := <-victim
	if a.status != 500 || !strings.Contains(a.body, "ended with exit status 3") || !strings.Contains(a.body, "dying now") {
		t.Errorf("%+v", a)
	}
	os.WriteFile(gate, nil, 0o600)
	if a := <-survivor; a.status != 200 {
		t.Errorf("a request on the other worker: %+v", a)
	}
	exit := s.waitType(event.WorkerExit)
	if !strings.Contains(exit.Message, "exit status 3") || exit.PID == 0 {
		t.Errorf("%+v", exit)
	}
	s.waitType(event.Restarted)
}

func TestRequestsWaitForARestart(t *testing.T) { onBoth(t, testRequestsWaitForARestart) }

func testRequestsWaitForARestart(t *testing.T, how setting) {
	s := ready(t, how)
	for range 3 {
		if a := s.post("kill"); a.status != 500 || !strings.Contains(a.body, "signal 9 (SIGKILL)") {
			t.Fatalf("%+v", a)
		}
		if a := s.post("after"); a.status != 200 || a.body != "after" {
			t.Errorf("while it restarts: %+v", a)
		}
	}
	if got := s.metric("eascmd_worker_deaths_total"); got != 3 {
		t.Errorf("%v deaths counted", got)
	}
}

func TestWaitingForARestartEndsWith503(t *testing.T) { onBoth(t, testWaitingForARestartEndsWith503) }

func testWaitingForARestartEndsWith503(t *testing.T, how setting) {
	s := ready(t, how, func(p *runplan.Plan, times *timings) { p.Gateway.KeepAliveMS = 500; times.settled = time.Hour })
	// The back-off grows past the keepalive, and on from there on a machine that
	// takes its time.
	eventually(t, "a request is refused while it is down", func() bool {
		s.post("kill")
		a := s.post("waits")
		readiness := s.do(s.request("GET", "/api/builtin/ready", "")).status
		if a.status == 503 && a.header.Get("Retry-After") == "" {
			t.Errorf("%+v", a)
		}
		return a.status == 503 && readiness == 503
	})
	if a := s.do(s.request("GET", "/api/builtin/ping", "")); a.status != 200 {
		t.Errorf("ping: %+v", a)
	}
}

func TestLoadingIsRefusedAndTold(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	s := start(t, mode("load-until "+gate), func(_ *runplan.Plan, times *timings) { times.loading = 200 * time.Millisecond })
	listening := time.Now()
	if a := s.post("early"); a.status != 503 {
		t.Errorf("%+v", a)
	}
	s.waitType(event.Loading)
	held := time.Since(listening)
	os.WriteFile(gate, nil, 0o600)
	if e := s.waitType(event.Ready); e.ElapsedMS < held.Milliseconds() {
		t.Errorf("loading took %d ms, and it was held for %v", e.ElapsedMS, held)
	}
	if a := s.post("now"); a.status != 200 {
		t.Errorf("%+v", a)
	}
}

func (s *service) failure() *fault.Error {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(longEnough):
		s.t.Fatal("the run did not end")
	}
	f, ok := errors.AsType[*fault.Error](s.err)
	if !ok {
		s.t.Fatalf("the run ended with %v", s.err)
	}
	return f
}

func TestLoadFailures(t *testing.T) {
	for name, test := range map[string]struct {
		settings []setting
		want     []string
		deaths   int
	}{
		"FAILED":             {[]setting{mode("failed")}, []string{"no model there"}, 0},
		"exits early":        {[]setting{mode("exit-early")}, []string{"died 3 times in a row before it was ready: at last it ended with exit status 7"}, 3},
		"garbage":            {[]setting{mode("garbage-first"), loadLimit(300)}, []string{"3 times"}, 3},
		"wrong key":          {[]setting{mode("wrong-key"), loadLimit(300)}, []string{"3 times"}, 3},
		"wrong version":      {[]setting{mode("wrong-version"), loadLimit(300)}, []string{"3 times"}, 3},
		"hangs":              {[]setting{mode("hang-loading"), loadLimit(200)}, []string{"3 times"}, 3},
		"never connects":     {[]setting{mode("no-hello"), loadLimit(200)}, []string{"3 times"}, 3},
		"READY with garbage": {[]setting{mode("ready-garbage")}, []string{"3 times"}, 3},
		"RESPONSE before":    {[]setting{mode("response-early")}, []string{"3 times"}, 3},
		"restarts forbidden": {[]setting{mode("exit-early"), func(p *runplan.Plan, _ *timings) { p.Worker.NoRestart = true }}, []string{"runtime.enable_crash_block"}, 1},
		"no such host":       {[]setting{func(p *runplan.Plan, _ *timings) { p.Worker.Command = []string{"/nonexistent/host"} }}, []string{"start worker 1", "/nonexistent/host"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, test.settings...)
			f := s.failure()
			if f.Kind != fault.Processor {
				t.Errorf("kind %d", f.Kind)
			}
			for _, want := range test.want {
				if !strings.Contains(f.Text, want) {
					t.Errorf("%q does not say %q", f.Text, want)
				}
			}
			deaths := 0
			for _, e := range s.all() {
				if e.Type == event.WorkerExit {
					deaths++
				}
			}
			if deaths != test.deaths {
				t.Errorf("%d deaths were told, want %d", deaths, test.deaths)
			}
			if e := s.waitType(event.Failed); e.Message != f.Text || e.Exit != 4 {
				t.Errorf("%+v", e)
			}
		})
	}
}

func loadLimit(ms int64) setting {
	return func(p *runplan.Plan, _ *timings) { p.Worker.LoadTimeoutMS = ms }
}

func TestOneEarlyDeathIsForgiven(t *testing.T) {
	s := ready(t, mode("exit-once"))
	if a := s.post("x"); a.status != 200 {
		t.Error(a)
	}
}

func TestWorkersThatBreakTheProtocol(t *testing.T) {
	s := ready(t, func(_ *runplan.Plan, times *timings) { times.goodbye = 200 * time.Millisecond; times.settled = 0 })
	for command, want := range map[string]string{
		"unknown-id":   "which it does not have",
		"too-long":     "the limit is",
		"unknown-type": "unknown type 77",
		"half-frame":   "inside a frame",
		"ready-again":  "READY after READY",
		"hello-again":  "HELLO after READY",
		"close":        "closed its connection",
	} {
		a := s.post(command)
		if a.status != 500 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %q", command, a.status, a.body)
		}
		if a := s.post("after " + command); a.status != 200 {
			t.Errorf("after %s: %+v", command, a)
		}
	}
	if a := s.post("optional-type"); a.status != 200 || a.body != "skipped" {
		t.Errorf("optional-type: %+v", a)
	}
	s.post("twice") // the first answer counts; the second ends the worker
	eventually(t, "it was ended", func() bool {
		for _, e := range s.all() {
			if e.Type == event.WorkerExit && strings.Contains(e.Message, "broke the worker protocol: RESPONSE to request") {
				return true
			}
		}
		return false
	})
}

func TestProcessesOfAWorkerDieWithIt(t *testing.T) { onBoth(t, testProcessesOfAWorkerDieWithIt) }

func testProcessesOfAWorkerDieWithIt(t *testing.T, how setting) {
	s := ready(t, how)
	pid, err := strconv.Atoi(s.post("child").body)
	if err != nil {
		t.Fatal(err)
	}
	s.post("kill")
	eventually(t, "its child is gone", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestDrainAnswersWhatHasCome(t *testing.T) { onBoth(t, testDrainAnswersWhatHasCome) }

func testDrainAnswersWhatHasCome(t *testing.T, how setting) {
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Worker.Threads = 2 })
	var waiting []<-chan answer
	gate := filepath.Join(s.dir, "gate")
	for range 8 { // more than there are slots
		waiting = append(waiting, s.later("wait-file "+gate))
	}
	eventually(t, "all have come", func() bool { return s.metric("eascmd_inflight_requests")+s.metric("eascmd_queued_requests") == 8 })
	s.stop()
	s.waitType(event.Draining)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range waiting {
		if a := <-c; a.status != 200 || a.body != "seen" {
			t.Errorf("%+v", a)
		}
	}
	<-s.done
	if s.err != nil {
		t.Error(s.err)
	}
	s.waitType(event.Stopped)
	if _, err := net.Dial("tcp", s.address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the end: %v", err)
	}
}

func TestDrainUnderLoadLosesNothing(t *testing.T) { onBoth(t, testDrainUnderLoadLosesNothing) }

func testDrainUnderLoadLosesNothing(t *testing.T, how setting) {
	s := ready(t, how)
	var lost, answered atomic.Int64
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for {
				resp, err := client.Post(s.url("/"), "", strings.NewReader("load"))
				if err != nil {
					if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
						t.Log(err)
					}
					return // the door is closed
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || string(body) != "load" {
					t.Errorf("%d %q %v", resp.StatusCode, body, err)
					lost.Add(1)
				}
				answered.Add(1)
			}
		})
	}
	eventually(t, "there is load", func() bool { return answered.Load() > 500 })
	s.stop()
	clients.Wait()
	<-s.done
	if lost.Load() > 0 {
		t.Errorf("%d of %d answers were lost", lost.Load(), answered.Load())
	}
}

func TestGraceTimeEnds(t *testing.T) { onBoth(t, testGraceTimeEnds) }

func testGraceTimeEnds(t *testing.T, how setting) {
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Worker.GraceMS = 200 })
	hanging := s.later("sleep 600000")
	eventually(t, "it is at the worker", func() bool { return s.metric("eascmd_inflight_requests") == 1 })
	begin := time.Now()
	s.stop()
	<-s.done
	if took := time.Since(begin); took > longEnough {
		t.Errorf("draining took %v", took)
	}
	<-hanging
	e := s.waitType(event.Warning)
	if !strings.Contains(e.Message, "1 requests were not answered within the grace time") {
		t.Errorf("%+v", e)
	}
}

// A thread that hangs in a request whose client is gone does not hold up the
// end for the whole grace time.
func TestDrainDoesNotWaitForNobody(t *testing.T) {
	s := ready(t, func(p *runplan.Plan, times *timings) {
		p.Gateway.KeepAliveMS = 200
		p.Worker.GraceMS = 600_000
		times.abandoned = 100 * time.Millisecond
	})
	if a := s.post("sleep 600000"); a.status != 408 {
		t.Errorf("%+v", a)
	}
	begin := time.Now()
	s.stop()
	<-s.done
	if took := time.Since(begin); took > longEnough {
		t.Errorf("draining took %v", took)
	}
	if s.err != nil {
		t.Error(s.err)
	}
}

func TestTerm(t *testing.T) { onBoth(t, testTerm) }

func testTerm(t *testing.T, how setting) {
	s := ready(t, how)
	if a := s.do(s.request("POST", "/api/builtin/term", "")); a.status != 200 {
		t.Errorf("%+v", a)
	}
	select {
	case <-s.done:
	case <-time.After(longEnough):
		t.Fatal("it goes on")
	}
	if s.err != nil {
		t.Error(s.err)
	}
}

func TestOutputIsFollowedLineByLine(t *testing.T) { onBoth(t, testOutputIsFollowedLineByLine) }

func testOutputIsFollowedLineByLine(t *testing.T, how setting) {
	s := ready(t, how)
	s.post("print hello from the processor")
	e := s.waitType(event.Log)
	if e.Message != "hello from the processor" || e.Stream != "stdout" || e.Worker != 1 {
		t.Errorf("%+v", e)
	}
	s.post("print-long 200000")
	s.wait("after", func(e event.Event) bool { return e.Message == "after" })
	total := 0
	for _, e := range s.all() {
		if e.Type == event.Log && strings.HasPrefix(e.Message, "lll") {
			total += len(e.Message)
		}
	}
	if total != 200_000 {
		t.Errorf("%d of 200000 bytes of a long line came", total)
	}
	s.stop()
	<-s.done
	s.wait("the unfinished line", func(e event.Event) bool { return e.Message == "no end" })
}

func TestWarmUp(t *testing.T) { onBoth(t, testWarmUp) }

func testWarmUp(t *testing.T, how setting) {
	dir := t.TempDir()
	paths := []string{filepath.Join(dir, "1"), filepath.Join(dir, "2"), filepath.Join(dir, "missing")}
	os.WriteFile(paths[0], []byte("print warm"), 0o600)
	os.WriteFile(paths[1], []byte("status 404 cold"), 0o600)
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Worker.WarmUp = paths })
	s.wait("the request was replayed", func(e event.Event) bool { return e.Type == event.Log && e.Message == "warm" })
	s.wait("a bad answer is told", func(e event.Event) bool {
		return e.Type == event.Warning && strings.Contains(e.Message, "was answered 404: cold")
	})
	if e := s.waitType(event.WarmedUp); e.Message != "2 warm-up requests were replayed" {
		t.Errorf("%+v", e)
	}
	s.wait("a missing file is told", func(e event.Event) bool { return e.Type == event.Warning && strings.Contains(e.Message, "missing") })
}

func TestProcessorSeesNoKeysOfOurs(t *testing.T) { onBoth(t, testProcessorSeesNoKeysOfOurs) }

func testProcessorSeesNoKeysOfOurs(t *testing.T, how setting) {
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "secret")
	t.Setenv("EASCMD_PROFILE", "mine")
	t.Setenv("SOMETHING_ELSE", "kept")
	s := ready(t, how, func(p *runplan.Plan, _ *timings) {
		p.Worker.Env = append(p.Worker.Env, runplan.Env{Name: "OWN", Value: "from the plan"}, runplan.Env{Name: "PATH", Value: "/replaced"},
			// Ours are set last: a plan cannot cut a worker off.
			runplan.Env{Name: "EASCMD_WORKER_KEY", Value: "x"}, runplan.Env{Name: "EASCMD_WORKER_SOCKET", Value: "/nowhere"})
	})
	for name, want := range map[string]string{
		"ALIBABA_CLOUD_ACCESS_KEY_SECRET": "", "EASCMD_PROFILE": "", "SOMETHING_ELSE": "kept", "OWN": "from the plan", "PATH": "/replaced",
	} {
		if got := s.post("env " + name).body; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestMemoryIsWatched(t *testing.T) { onBoth(t, testMemoryIsWatched) }

func testMemoryIsWatched(t *testing.T, how setting) {
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		t.Skip("no /proc here")
	}
	s := ready(t, how, func(p *runplan.Plan, _ *timings) { p.Worker.MemoryMB = 100 })
	gate := filepath.Join(s.dir, "gate")
	eating := s.later("eat 200 " + gate)
	e := s.waitType(event.Warning)
	os.WriteFile(gate, nil, 0o600)
	if !strings.Contains(e.Message, "metadata.memory allows 100 MB") {
		t.Errorf("%+v", e)
	}
	<-eating
}

func TestSilentWorkerIsTold(t *testing.T) {
	s := ready(t, mode("deaf"), func(_ *runplan.Plan, times *timings) { times.ping = 50 * time.Millisecond })
	e := s.waitType(event.Warning)
	if !strings.Contains(e.Message, "has not answered") {
		t.Errorf("%+v", e)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	plan := &runplan.Plan{Version: 1, Name: "x", Worker: runplan.Worker{Command: []string{"x"}, Count: 1, Threads: 1},
		Gateway: runplan.Gateway{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, KeepAliveMS: 1, BodyLimit: 1, BodyMemory: 1}}
	err = Run(t.Context(), plan, Options{})
	if err == nil || !strings.Contains(err.Error(), "is in use") || fault.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
}

func TestPlansThatCannotRun(t *testing.T) {
	good := func() *runplan.Plan {
		return &runplan.Plan{Version: 1, Name: "x", Worker: runplan.Worker{Command: []string{"x"}, Count: 1, Threads: 1},
			Gateway: runplan.Gateway{Host: "127.0.0.1", KeepAliveMS: 1, BodyLimit: 1, BodyMemory: 1}}
	}
	if err := validate(good()); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*runplan.Plan){
		"version":      func(p *runplan.Plan) { p.Version = 2 },
		"service name": func(p *runplan.Plan) { p.Name = "" },
		"command":      func(p *runplan.Plan) { p.Worker.Command = nil },
		"0 workers":    func(p *runplan.Plan) { p.Worker.Count = 0 },
		"0 worker thr": func(p *runplan.Plan) { p.Worker.Threads = 0 },
		"queue size":   func(p *runplan.Plan) { p.Gateway.MaxQueueSize = -1 },
		"keepalive":    func(p *runplan.Plan) { p.Gateway.KeepAliveMS = 0 },
		"body limit":   func(p *runplan.Plan) { p.Gateway.BodyLimit = 1 << 40 },
		"zero byte":    func(p *runplan.Plan) { p.Processor.ModelConfig = "a\x00b" },
		"would never":  func(p *runplan.Plan) { p.Gateway.BodyLimit = 10 },
	} {
		p := good()
		spoil(p)
		err := Run(t.Context(), p, Options{})
		if err == nil || !strings.Contains(err.Error(), want) || fault.KindOf(err) != fault.Description {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestCrashInWarmUpNamesTheRequest(t *testing.T) { onBoth(t, testCrashInWarmUpNamesTheRequest) }

func testCrashInWarmUpNamesTheRequest(t *testing.T, how setting) {
	path := filepath.Join(t.TempDir(), "poison")
	os.WriteFile(path, []byte("die 3"), 0o600)
	s := start(t, how, func(p *runplan.Plan, _ *timings) { p.Worker.WarmUp = []string{path} })
	s.failure()
	if e := s.waitType(event.WorkerExit); !strings.Contains(e.Message, "it was answering the warm-up request "+path) {
		t.Errorf("%+v", e)
	}
}

// The answer to a request that cannot be read does not repeat it: the token in
// it could end up in somebody's log.
func TestUnreadableRequestsAreNotRepeated(t *testing.T) {
	onBoth(t, testUnreadableRequestsAreNotRepeated)
}

func testUnreadableRequestsAreNotRepeated(t *testing.T, how setting) {
	s := ready(t, how)
	conn := s.dial()
	defer conn.Close()
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: very-secret\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx")
	text, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(text), "HTTP/1.1 400 ") || strings.Contains(string(text), "very-secret") {
		t.Errorf("answered %q", text)
	}
}

// drainsWithoutFault stops a service whose worker has printed something, and looks
// that nobody is told of a fault.
func (s *service) drainsWithoutFault() {
	s.t.Helper()
	s.waitType(event.Log)
	s.stop()
	<-s.done
	for _, e := range s.all() {
		if e.Type == event.WorkerExit || e.Type == event.Warning || e.Type == event.Failed {
			s.t.Errorf("%+v", e)
		}
	}
}

func TestDrainWhileLoadingIsNoFault(t *testing.T) {
	s := start(t, mode("drained-while-loading"))
	s.drainsWithoutFault()
}

// Before a worker has said anything the run kills it, and tells no one. A JVM
// takes long enough for that to be seen.
func TestDrainBeforeHelloIsNoFault(t *testing.T) {
	s := start(t, func(p *runplan.Plan, _ *timings) {
		p.Worker.Command = []string{"/bin/sh", "-c", "echo here; exec sleep 600"}
	})
	s.drainsWithoutFault()
}

func TestReasonIsAClause(t *testing.T) {
	for why, want := range map[string]string{
		"worker 1 (process 7) ended with exit status 3\nlast lines": "it ended with exit status 3",
		"the processor could not be loaded: no model":               "the processor could not be loaded: no model",
	} {
		if got := (life{pid: 7, why: why}).reason(1); got != want {
			t.Errorf("%q: got %q, want %q", why, got, want)
		}
	}
}
