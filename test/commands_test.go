package test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a script waits for something that has to happen. It
// only ever passes in full where a test fails.
const patience = 60 * time.Second

// scriptCommands are the commands that our scripts have besides testscript's.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"status":       status,
	"capture":      capture,
	"service":      keepService,
	"job":          keepJob,
	"controlplane": keepControlPlane,
	"http":         request,
	"port":         freePort,
	"files":        serveFiles,
	"ossserver":    serveOSS,
	"secrets":      secrets,
	"example":      imageExample,
	"worker":       watchWorker,
	"model":        writeModel,
}

// status runs a program and checks its exit status:
//
//	status 3 eascmd test service.json
//
// Its output is there for stdout, stderr and cmp, as after exec.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	talked(ts, ts.ReadFile("stderr"))
	if err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// capture sets a variable to what the first group of an expression matches in
// the standard output of the last command:
//
//	capture NAME REGEXP
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME REGEXP")
	}
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("no match of %#q in the output", args[1])
	}
	ts.Setenv(args[0], m[1])
}

// keepService keeps `eascmd test` or `eascmd serve` running while a script goes on:
//
//	service start test service.json --workers 2   starts it and waits until it is ready; sets $URL, $ENDPOINT, $TOKEN, $PID
//	service wait REGEXP                           waits until its output matches
//	service stop [SIGNAL [CODE [again]]]          sends SIGNAL (INT), with again until it ends, and checks the
//	                                              exit status (0); its output is there for stdout and stderr
func keepService(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: service start|wait|stop ...")
	}
	switch verb, rest := args[0], args[1:]; verb {
	case "start":
		startService(ts, rest)
	case "wait":
		if len(rest) != 1 {
			ts.Fatalf("usage: service wait REGEXP")
		}
		current(ts, serviceRole).wait(ts, regexp.MustCompile("(?m)"+rest[0]))
	case "stop":
		current(ts, serviceRole).stop(ts, rest)
	default:
		ts.Fatalf("unknown: service %s", verb)
	}
}

// keepJob keeps any command of eascmd running while a script goes on:
//
//	job start create service.json   starts it
//	job wait REGEXP                 waits until its output matches
//	job stop [SIGNAL [CODE]]        as service stop
//	job end [CODE]                  waits until it ends, and checks the exit status (0)
func keepJob(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: job start|wait|stop|end ...")
	}
	switch verb, rest := args[0], args[1:]; {
	case verb == "start":
		launch(ts, jobRole, rest)
	case verb == "wait" && len(rest) == 1:
		current(ts, jobRole).wait(ts, regexp.MustCompile("(?m)"+rest[0]))
	case verb == "stop":
		current(ts, jobRole).stop(ts, rest)
	case verb == "end" && len(rest) <= 1:
		current(ts, jobRole).end(ts, nil, nil, strings.Join(rest, ""))
	default:
		ts.Fatalf("usage: job start|wait|stop|end ...")
	}
}

// role is what a program in the background of a script is there for. A script
// has one program of each at a time.
type role string

const (
	serviceRole      role = "service"
	jobRole          role = "job"
	controlPlaneRole role = "control plane"
)

// part is who plays a role.
type part struct {
	*testscript.TestScript
	role
}

// background is a running eascmd.
type background struct {
	role role
	cmd  *exec.Cmd
	out  output // standard output
	talk output // standard error
	done chan struct{}
	err  error // of Wait; read it after done
}

// running holds the programs in the background of each script.
var running sync.Map // part -> *background

// current returns the program of a role.
func current(ts *testscript.TestScript, r role) *background {
	b, ok := running.Load(part{ts, r})
	if !ok {
		ts.Fatalf("no %s was started", r)
	}
	return b.(*background)
}

var (
	endpointPattern = regexp.MustCompile(`http://[0-9A-Za-z.:\[\]-]+/api/predict/\w+`)
	tokenPattern    = regexp.MustCompile(`Token\s*\|\s*(\S+)\s*\|`)

	// What is said last at the start.
	readyPattern  = regexp.MustCompile(`(?m)^end it: `)
	servedPattern = regexp.MustCompile(`(?m)^\[OK\] Serving at: `)
	// The table comes through another pipe, and so it may come later.
	tablePattern = regexp.MustCompile(`Loading time\s*\|.*\n(\|.*\n)*\+`)
)

// passedOn are the variables of a script that its programs in the background
// have besides those of its own process.
var passedOn = []string{
	"PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "EASCMD_TEST_ENGINE",
	"EASCMD_ACCESS_KEY_ID", "EASCMD_ACCESS_KEY_SECRET", "EASCMD_ENDPOINT", "EASCMD_UPLOAD_PREFIX", "EASCMD_OSS_ENDPOINT", "EASCMD_S3_ENDPOINT",
	"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
}

// launch starts eascmd in the background. It is killed at the end of the script
// if it is still there.
func launch(ts *testscript.TestScript, r role, args []string) *background {
	if old, ok := running.Load(part{ts, r}); ok {
		select {
		case <-old.(*background).done:
		default:
			ts.Fatalf("a %s is running already", r)
		}
	}
	b := &background{role: r, done: make(chan struct{})}
	path := filepath.Join(strings.SplitN(ts.Getenv("PATH"), string(os.PathListSeparator), 2)[0], "eascmd")
	b.cmd = exec.Command(path, args...)
	b.cmd.Dir = ts.MkAbs(".")
	for _, name := range passedOn {
		if value := ts.Getenv(name); value != "" {
			b.cmd.Env = append(b.cmd.Env, name+"="+value)
		}
	}
	b.cmd.Stdout, b.cmd.Stderr = &b.out, &b.talk
	// What the processor's children hold open must not keep the script waiting.
	b.cmd.WaitDelay = 5 * time.Second
	ts.Check(b.cmd.Start())
	go func() {
		b.err = b.cmd.Wait()
		close(b.done)
	}()
	running.Store(part{ts, r}, b)
	ts.Defer(func() {
		running.Delete(part{ts, r})
		select {
		case <-b.done:
		default:
			b.cmd.Process.Kill()
			<-b.done
			ts.Logf("the %s was still running at the end of the script:\n%s%s", r, b.out.String(), b.talk.String())
		}
	})
	return b
}

func startService(ts *testscript.TestScript, args []string) {
	b := launch(ts, serviceRole, args)
	if len(args) > 0 && args[0] == "serve" {
		b.wait(ts, servedPattern)
	} else {
		b.wait(ts, readyPattern)
		b.wait(ts, tablePattern)
	}
	all := b.out.String() + b.talk.String()
	url := endpointPattern.FindString(all)
	if url == "" {
		ts.Fatalf("no endpoint in the output:\n%s", all)
	}
	ts.Setenv("URL", url)
	ts.Setenv("ENDPOINT", strings.SplitN(url, "/api/", 2)[0])
	ts.Setenv("PID", strconv.Itoa(b.cmd.Process.Pid))
	if m := tokenPattern.FindStringSubmatch(all); m != nil {
		ts.Setenv("TOKEN", m[1])
	}
}

// wait waits until the output matches.
func (b *background) wait(ts *testscript.TestScript, pattern *regexp.Regexp) {
	matches := func() bool { return pattern.MatchString(b.out.String()) || pattern.MatchString(b.talk.String()) }
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !matches() {
		select {
		case <-tick.C:
		case <-b.done:
			if !matches() {
				ts.Fatalf("the %s ended (%v) before %q was seen:\n%s%s", b.role, b.err, pattern, b.out.String(), b.talk.String())
			}
		case <-deadline:
			ts.Fatalf("%q was not seen:\n%s%s", pattern, b.out.String(), b.talk.String())
		}
	}
}

// stop sends a signal, and waits for the end; see keepService.
func (b *background) stop(ts *testscript.TestScript, args []string) {
	sig, want := syscall.SIGINT, ""
	if len(args) > 0 {
		known := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}
		var ok bool
		if sig, ok = known[args[0]]; !ok {
			ts.Fatalf("unknown signal %s", args[0])
		}
	}
	if len(args) > 1 {
		want = args[1]
	}
	ts.Check(b.cmd.Process.Signal(sig))
	var more <-chan time.Time
	if len(args) > 2 && args[2] == "again" {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		more = tick.C
	}
	b.end(ts, sig, more, want)
}

// end waits for the end, checks the exit status ("": 0) and has the output there
// for stdout and stderr. sig is sent again whenever more says so.
func (b *background) end(ts *testscript.TestScript, sig os.Signal, more <-chan time.Time, status string) {
	want := 0
	if status != "" {
		var err error
		want, err = strconv.Atoi(status)
		ts.Check(err)
	}
	for deadline := time.After(patience); ; {
		select {
		case <-b.done:
		case <-more:
			_ = b.cmd.Process.Signal(sig) // it may have ended
			continue
		case <-deadline:
			ts.Fatalf("the %s goes on:\n%s%s", b.role, b.out.String(), b.talk.String())
		}
		break
	}
	io.WriteString(ts.Stdout(), b.out.String())
	io.WriteString(ts.Stderr(), b.talk.String())
	talked(ts, b.talk.String())
	if got := b.cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// request sends a request and prints the answer's body:
//
//	http [-m METHOD] [-token TOKEN] [-status N] [-h 'Name: value'] [-retry] URL [BODY|@FILE]
//
// Without a body it is a GET. The status has to be N (200). With -retry it is
// sent again until it is. With -background the script goes on at once;
// http -finish then waits for the answer.
func request(ts *testscript.TestScript, neg bool, args []string) {
	flags := flag.NewFlagSet("http", flag.ContinueOnError)
	r := outgoing{status: http.StatusOK}
	flags.StringVar(&r.method, "m", "", "")
	flags.StringVar(&r.token, "token", "", "")
	flags.IntVar(&r.status, "status", r.status, "")
	flags.StringVar(&r.header, "h", "", "")
	flags.BoolVar(&r.retry, "retry", false, "")
	background := flags.Bool("background", false, "")
	finish := flags.Bool("finish", false, "")
	err := flags.Parse(args)
	if err != nil || neg || !*finish && (flags.NArg() < 1 || flags.NArg() > 2) {
		ts.Fatalf("usage: http [-m METHOD] [-token TOKEN] [-status N] [-h HEADER] [-retry] [-background] URL [BODY|@FILE], or http -finish")
	}
	if *finish {
		running, ok := requests.LoadAndDelete(ts)
		if !ok {
			ts.Fatalf("no request is in the background")
		}
		done := <-running.(chan incoming)
		ts.Check(done.err)
		ts.Stdout().Write(done.body)
		return
	}
	r.url = flags.Arg(0)
	if flags.NArg() == 2 {
		r.body = []byte(flags.Arg(1))
		if name, ok := strings.CutPrefix(flags.Arg(1), "@"); ok {
			r.body = []byte(ts.ReadFile(name))
		}
		if r.method == "" {
			r.method = http.MethodPost
		}
	}
	if *background {
		done := make(chan incoming, 1)
		requests.Store(ts, done)
		go func() { done <- r.send() }()
		return
	}
	done := r.send()
	ts.Stdout().Write(done.body)
	ts.Check(done.err)
}

// requests holds each script's request in the background.
var requests sync.Map // *testscript.TestScript -> chan incoming

// outgoing is a request of a script.
type outgoing struct {
	method, url, token, header string
	body                       []byte
	status                     int // that the answer has to have
	retry                      bool
}

// incoming is the answer, or why there is none.
type incoming struct {
	body []byte
	err  error
}

func (r outgoing) send() incoming {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		status, body, err := r.once(ctx)
		if err == nil && status == r.status {
			return incoming{body: body}
		}
		if err == nil {
			err = fmt.Errorf("status %d, want %d", status, r.status)
		}
		if !r.retry || ctx.Err() != nil {
			return incoming{body, err}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (r outgoing) once(ctx context.Context) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return 0, nil, err
	}
	req.Close = true
	if r.token != "" {
		req.Header.Set("Authorization", r.token)
	}
	if name, value, ok := strings.Cut(r.header, ":"); ok {
		req.Header.Set(name, strings.TrimSpace(value))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// freePort sets a variable to the number of a port that is free, or, with
// -hold, of one that is taken until the script ends:
//
//	port [-hold] NAME
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	hold := len(args) == 2 && args[0] == "-hold"
	if neg || len(args) != 1 && !hold {
		ts.Fatalf("usage: port [-hold] NAME")
	}
	for range lastPort - firstPort {
		port := firstPort + int(portsTaken.Add(1)+int64(os.Getpid()))%(lastPort-firstPort)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if hold {
			ts.Defer(func() { l.Close() })
		} else {
			l.Close()
		}
		ts.Setenv(args[len(args)-1], strconv.Itoa(port))
		return
	}
	ts.Fatalf("no port from %d to %d is free", firstPort, lastPort)
}

// The ports of scripts. The kernel gives none of them to others that want any, and
// none is given to two scripts.
const firstPort, lastPort = 20000, 30000

var portsTaken atomic.Int64

// serveFiles serves a directory over HTTP until the script ends. It sets NAME to
// the address and writes every request that it answers into LOG:
//
//	files NAME DIRECTORY LOG
func serveFiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: files NAME DIRECTORY LOG")
	}
	log, err := os.Create(ts.MkAbs(args[2]))
	ts.Check(err)
	files := http.FileServer(http.Dir(ts.MkAbs(args[1])))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := statusRecorder{ResponseWriter: w, status: http.StatusOK}
		if info, err := os.Stat(filepath.Join(ts.MkAbs(args[1]), filepath.FromSlash(r.URL.Path))); err == nil {
			w.Header().Set("ETag", fmt.Sprintf(`"%x"`, info.ModTime().UnixNano()))
		}
		files.ServeHTTP(&recorder, r)
		fmt.Fprintln(log, r.Method, r.URL.Path, recorder.status)
	}))
	ts.Defer(func() {
		server.Close()
		log.Close()
	})
	ts.Setenv(args[0], server.URL)
}

// statusRecorder remembers the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// output collects what a program prints while others read it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
