package serving

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// pythonProgram has the worker be a Python program, as it is, without a host.
func pythonProgram(t *testing.T, text string) setting {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("missing: python3")
	}
	path := filepath.Join(t.TempDir(), "app.py")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(p *runplan.Plan, _ *timings) {
		p.Language = "python"
		p.Worker.HTTP = true
		p.Worker.Command = []string{python, path}
		p.Worker.Env = append(p.Worker.Env,
			runplan.Env{Name: workerMode, Value: "none"},
			runplan.Env{Name: "PYTHONFAULTHANDLER", Value: "1"}, runplan.Env{Name: "PYTHONUNBUFFERED", Value: "1"})
	}
}

// plainServer is a program of the standard library's server.
const plainServer = `
import ctypes, http.server, os, socketserver, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if body == b"segfault":
            ctypes.string_at(0)
        if body == b"exit":
            os._exit(9)
        if body == b"pid":
            body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
`

func TestPythonServer(t *testing.T) {
	s := ready(t, pythonProgram(t, plainServer+`
threads = [threading.Thread(target=threading.Event().wait, daemon=True) for _ in range(60)]
for t in threads: t.start()
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
`))
	for _, body := range []string{"", "hello", strings.Repeat("x", 3<<20)} {
		if a := s.post(body); a.status != 200 || a.body != body {
			t.Errorf("%d, %d bytes of %d", a.status, len(a.body), len(body))
		}
	}
	a := s.post("segfault")
	if a.status != 500 || !strings.Contains(a.body, "SIGSEGV") || !strings.Contains(a.body, "Fatal Python error: Segmentation fault") ||
		!strings.Contains(a.body, "line 7 in do_POST") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.post("again"); a.status != 200 {
		t.Errorf("%+v", a)
	}
	if a := s.post("exit"); a.status != 500 || !strings.Contains(a.body, "exit status 9") {
		t.Errorf("%+v", a)
	}
	if a := s.post("again"); a.status != 200 {
		t.Errorf("%+v", a)
	}
	s.stop()
	<-s.done
	for _, e := range s.all()[len(s.all())-2:] {
		if e.Type == event.WorkerExit {
			t.Errorf("its end is told as a death: %+v", e)
		}
	}
}

// A program may have its work done by children, in a session of their own even.
func TestPythonServerInChildren(t *testing.T) {
	s := ready(t, pythonProgram(t, plainServer+`
if os.environ.get("CHILD"):
    http.server.HTTPServer(("127.0.0.1", 0), Handler).serve_forever()
import subprocess
subprocess.run([sys.executable, __file__], env=dict(os.environ, CHILD="1"), start_new_session=True)
`))
	if a := s.post("hello"); a.status != 200 || a.body != "hello" {
		t.Errorf("%+v", a)
	}
}

// One that forks after it has opened its socket, as servers with several
// processes do.
func TestPythonServerThatForks(t *testing.T) {
	s := ready(t, pythonProgram(t, plainServer+`
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
for _ in range(2):
    if os.fork() == 0:
        server.serve_forever()
os.wait()
`))
	if a := s.post("hello"); a.status != 200 || a.body != "hello" {
		t.Errorf("%+v", a)
	}
}

// What listens without speaking HTTP is not the service.
func TestPythonServerBesideAnotherSocket(t *testing.T) {
	s := ready(t, pythonProgram(t, plainServer+`
import socket
other = socket.socket(); other.bind(("127.0.0.1", 0)); other.listen()
def talk():
    while True:
        other.accept()[0].sendall(b"220 no HTTP here\r\n")
threading.Thread(target=talk, daemon=True).start()
silent = socket.socket(); silent.bind(("127.0.0.1", 0)); silent.listen()
import time; time.sleep(0.3)
http.server.HTTPServer(("127.0.0.1", 0), Handler).serve_forever()
`))
	if a := s.post("hello"); a.status != 200 || a.body != "hello" {
		t.Errorf("%+v", a)
	}
}

// A port that the program was told counts more than one that it opened before.
func TestPythonServerAfterAnother(t *testing.T) {
	s := ready(t, pythonProgram(t, plainServer+`
class Metrics(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_error(404)
metrics = http.server.HTTPServer(("127.0.0.1", 0), Metrics)
threading.Thread(target=metrics.serve_forever, daemon=True).start()
print("metrics first", flush=True)
sys.stdin.read()
while not os.path.exists("go"): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`))
	if a := s.post("hello"); a.status != 501 {
		t.Errorf("%+v", a)
	}
	os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o600)
	s.wait("the move is told", func(e event.Event) bool {
		return e.Type == event.Warning && strings.Contains(e.Message, "requests go there from now on")
	})
	if a := s.post("hello"); a.status != 200 || a.body != "hello" {
		t.Errorf("%+v", a)
	}
}

func TestPythonProgramsThatCannotLoad(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"exception": {"def load():\n    raise ValueError('no model there')\nload()\n", "ValueError: no model there (exit status 1)"},
		"syntax":    {"x = = 1\n", "SyntaxError: invalid syntax (exit status 1)"},
		"exit":      {"import sys\nsys.exit('set MODEL first')\n", "set MODEL first (exit status 1)"},
		"ends":      {"print('done')\n", "died 3 times in a row before it was ready: at last it ended with exit status 0"},
		"segfault":  {"import ctypes\nctypes.string_at(0)\n", "died 3 times in a row before it was ready: at last it was killed by signal 11 (SIGSEGV)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, pythonProgram(t, test.text))
			f := s.failure()
			if f.Kind != fault.Processor || !strings.Contains(f.Text, test.want) {
				t.Errorf("%d %q, want %q", f.Kind, f.Text, test.want)
			}
		})
	}
}

// Who always listens on the same port can be started once.
func TestPythonServersOnOnePort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	s := start(t, pythonProgram(t, plainServer+`
http.server.HTTPServer.allow_reuse_port = False
http.server.HTTPServer(("127.0.0.1", `+port+`), Handler).serve_forever()
`), func(p *runplan.Plan, _ *timings) { p.Worker.Count = 2 })
	f := s.failure()
	if !strings.Contains(f.Text, "Address already in use") || !strings.Contains(fault.HintOf(f), "several workers") {
		t.Errorf("%q, %q", f.Text, fault.HintOf(f))
	}
}

// A program that breaks off every request at first is asked less and less often,
// and that is told once.
func TestPythonServerThatDoesNotAnswer(t *testing.T) {
	s := start(t, pythonProgram(t, plainServer+`
class Mute(Handler):
    asked = 0
    def do_GET(self):
        Mute.asked += 1
        print("asked", Mute.asked, flush=True)
        if Mute.asked < 7:
            raise SystemError("no answer")
        self.send_error(404)
http.server.HTTPServer(("127.0.0.1", 0), Mute).serve_forever()
`))
	s.waitType(event.Ready)
	s.wait("the last question", func(e event.Event) bool { return e.Message == "asked 7" }) // comes through a pipe
	var told, asked int
	for _, e := range s.all() {
		switch {
		case e.Type == event.Warning && strings.Contains(e.Message, "does not answer GET /api/builtin/ping") && e.Hint != "":
			told++
		case e.Type == event.Log && strings.HasPrefix(e.Message, "asked "):
			asked++
		}
	}
	if told != 1 || asked != 7 {
		t.Errorf("told %d times, asked %d times", told, asked)
	}
	if a := s.post("hello"); a.status != 200 || a.body != "hello" {
		t.Errorf("%+v", a)
	}
}
