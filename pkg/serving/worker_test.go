package serving

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/serving/wire"
)

// The tests of the gateway start this test program as their worker: a real
// process over a real socket, that can do what no decent host would.
const workerMode = "SERVING_TEST_WORKER"

func TestMain(m *testing.M) {
	if mode := os.Getenv(workerMode); mode != "" {
		testWorker(mode)
		return
	}
	os.Exit(m.Run())
}

type workerConn struct {
	net.Conn
	mu     sync.Mutex
	hungUp atomic.Bool // it goes on without its connection
	held   sync.Map    // ids of requests that wait for another one
}

// lost is called when the connection has ended.
func (c *workerConn) lost() {
	if c.hungUp.Load() {
		select {}
	}
	os.Exit(0)
}

func (c *workerConn) frame(h wire.Header, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Write(wire.AppendMessage(nil, h, payload))
}

func (c *workerConn) properties(t wire.Type, pairs ...string) {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		b, _ = wire.AppendProperty(b, pairs[i], pairs[i+1])
	}
	c.frame(wire.Header{Type: t}, b)
}

// once reports whether it is called for the first time in this run: the mark
// is a file in the working directory.
func once(name string) bool {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

func testWorker(mode string) {
	if mode, ok := strings.CutPrefix(mode, "http "); ok {
		testProgram(mode)
		return
	}
	threads := 0
	switch mode {
	case "exit-early":
		fmt.Fprintln(os.Stderr, "no luck today")
		os.Exit(7)
	case "no-hello":
		time.Sleep(time.Hour)
	}
	if mode == "exit-once" && once("exited-once") {
		os.Exit(7)
	}
	variable := os.Getenv
	if variable("EASCMD_WORKER_SOCKET") == "" {
		variable = variablesOnStdin()
	}
	network, address := "unix", variable("EASCMD_WORKER_SOCKET")
	if tcp, ok := strings.CutPrefix(address, "tcp:"); ok {
		network, address = "tcp", tcp
	}
	raw, err := net.Dial(network, address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(9)
	}
	c := &workerConn{Conn: raw}
	key := variable("EASCMD_WORKER_KEY")
	lowest := "1"
	switch mode {
	case "garbage-first":
		c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	case "wrong-key":
		key = "wrong"
	case "wrong-version":
		lowest = "99"
	}
	c.properties(wire.Hello, "protocol.min", lowest, "protocol.max", "99", "worker", variable("EASCMD_WORKER_ID"), "key", key, "host", "test")
	in := newInbox(c.Conn)
	for {
		h, payload, err := in.next()
		if err != nil {
			c.lost()
		}
		switch h.Type {
		case wire.Start:
			props, _ := wire.Properties(payload)
			threads, _ = strconv.Atoi(props["threads"])
			switch {
			case mode == "failed":
				c.properties(wire.Failed, "state", "400", "message", "no model there", "hint", "look again")
				os.Exit(1)
			case mode == "hang-loading":
				continue
			case mode == "drained-while-loading":
				fmt.Println("loading")
				continue
			case mode == "ready-garbage":
				c.properties(wire.Ready, "concurrency", "many")
				continue
			case mode == "response-early":
				c.frame(wire.Header{Type: wire.Response, ID: 1}, nil)
				continue
			case strings.HasPrefix(mode, "load-until "):
				awaitFile(mode[11:])
			case strings.HasPrefix(mode, "load "):
				ms, _ := strconv.Atoi(mode[5:])
				time.Sleep(time.Duration(ms) * time.Millisecond)
			}
			c.properties(wire.Ready, "concurrency", strconv.Itoa(threads))
			switch {
			case mode == "ready-then-close":
				c.hungUp.Store(true)
				c.Close()
			case mode == "never-reads":
				select {}
			case mode == "early-answer": // answers what it has not got
				h, payload, _ := in.next()
				c.frame(wire.Header{Type: wire.Response, ID: h.ID}, payload[:1])
				select {}
			}
			serveRequests(c, in, mode)
		case wire.Ping:
			c.frame(wire.Header{Type: wire.Pong, ID: h.ID}, payload)
		case wire.Drain:
			if mode == "drained-while-loading" {
				c.frame(wire.Header{Type: wire.Drained}, nil)
			}
			os.Exit(0)
		}
	}
}

func serveRequests(c *workerConn, in *inbox, mode string) {
	bodies := make(map[uint64][]byte)
	cancelled := new(sync.Map)
	var busy sync.WaitGroup
	for {
		h, payload, err := in.next()
		if err != nil {
			c.lost()
		}
		switch h.Type {
		case wire.Request:
			if old := bodies[h.ID]; cap(old)-len(old) < len(payload) {
				bodies[h.ID] = slices.Grow(old, len(old)+len(payload)) // appending alone would copy a long one often
			}
			bodies[h.ID] = append(bodies[h.ID], payload...)
			if h.Flags&wire.More != 0 {
				continue
			}
			body := bodies[h.ID]
			delete(bodies, h.ID)
			if string(body) == "hold" { // is answered by answer-all, which must not overtake it
				c.held.Store(h.ID, true)
				continue
			}
			busy.Go(func() { answerRequest(c, h.ID, body, cancelled, mode) })
		case wire.Cancel:
			cancelled.Store(h.ID, true)
		case wire.Ping:
			if mode != "deaf" {
				c.frame(wire.Header{Type: wire.Pong, ID: h.ID}, payload)
			}
		case wire.Drain:
			busy.Wait()
			c.frame(wire.Header{Type: wire.Drained}, nil)
			os.Exit(0)
		}
	}
}

// variablesOnStdin reads how to reach the gateway.
func variablesOnStdin() func(name string) string {
	text, _ := io.ReadAll(os.Stdin)
	return func(name string) string {
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, name+"="); ok {
				return strings.TrimSpace(value)
			}
		}
		return ""
	}
}

// awaitFile waits until a file is there.
func awaitFile(path string) {
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// die ends this process by SIGKILL.
func die() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		self.Kill()
	}
	select {}
}

func answerRequest(c *workerConn, id uint64, body []byte, cancelled *sync.Map, mode string) {
	command, rest, number := parseCommand(body)
	reply := func(status int, answer []byte) {
		c.frame(wire.Header{Type: wire.Response, ID: id, Status: uint16(status)}, answer)
	}
	switch command {
	case "gateway": // its end of the connection
		reply(200, []byte(c.RemoteAddr().String()))
	case "exception":
		c.frame(wire.Header{Type: wire.Response, ID: id, Flags: wire.Exception}, []byte(rest))
	case "cancellable": // waits until it is cancelled
		os.WriteFile("there", nil, 0o600)
		for {
			if _, ok := cancelled.Load(id); ok {
				os.WriteFile("cancelled", []byte(rest), 0o600)
				reply(499, nil)
				return
			}
			time.Sleep(time.Millisecond)
		}
	case "twice":
		reply(200, nil)
		reply(200, nil)
	case "unknown-id":
		reply2 := wire.Header{Type: wire.Response, ID: id + 12345, Status: 200}
		c.frame(reply2, nil)
	case "too-long":
		h := wire.Header{Type: wire.Response, ID: id, Length: wire.MaxPayload + 1}
		c.Write(h.Append(nil))
	case "unknown-type":
		h := wire.Header{Type: 77, ID: id}
		c.Write(h.Append(nil))
	case "optional-type":
		h := wire.Header{Type: 77, ID: id, Flags: wire.Optional}
		c.mu.Lock()
		c.Write(wire.AppendFrame(nil, h, []byte("skip me")))
		c.mu.Unlock()
		reply(200, []byte("skipped"))
	case "half-frame":
		h := wire.Header{Type: wire.Response, ID: id, Length: 100}
		c.Write(append(h.Append(nil), "half"...))
		os.Exit(0)
	case "half-answer": // a part of a long answer, and then whatever
		h := wire.Header{Type: wire.Response, ID: id, Status: 200, Flags: wire.More}
		c.mu.Lock()
		c.Write(wire.AppendFrame(nil, h, bytes.Repeat([]byte{'h'}, number)))
		c.mu.Unlock()
		if strings.Contains(rest, "die") {
			die()
		}
		for {
			if _, ok := cancelled.Load(id); ok {
				break
			}
			time.Sleep(time.Millisecond)
		}
		reply(200, bytes.Repeat([]byte{'i'}, number))
	case "half-frame-crash":
		h := wire.Header{Type: wire.Response, ID: id, Length: 100}
		c.Write(append(h.Append(nil), "half"...))
		die()
	case "answer-all": // the held requests, with long answers, and then a crash
		c.held.Range(func(id, _ any) bool {
			c.frame(wire.Header{Type: wire.Response, ID: id.(uint64), Status: 200}, bytes.Repeat([]byte{'a'}, number))
			return true
		})
		die()
	case "stop-reading": // takes nothing more, but would answer
		c.hungUp.Store(true)
		c.Conn.(*net.UnixConn).CloseRead()
		os.WriteFile("stopped", nil, 0o600)
	case "ready-again":
		c.properties(wire.Ready, "concurrency", "1")
	case "hello-again":
		c.properties(wire.Hello)
	case "close": // hangs up and goes on
		c.hungUp.Store(true)
		c.Close()
	case "put": // properties of the service
		pairs := strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == '=' })
		var b []byte
		for i := 0; i+1 < len(pairs); i += 2 {
			b, _ = wire.AppendProperty(b, pairs[i], pairs[i+1])
		}
		c.frame(wire.Header{Type: wire.Settings, Flags: wire.Optional}, b)
		reply(200, nil)
	default:
		if !answerCommand(body, reply) {
			reply(0, body)
		}
	}
}

func parseCommand(body []byte) (command, rest string, number int) {
	command, rest, _ = strings.Cut(string(body[:min(len(body), 4096)]), " ")
	number, _ = strconv.Atoi(strings.Fields(rest + " 0")[0])
	return command, rest, number
}

// answerCommand answers what every kind of test worker can.
func answerCommand(body []byte, reply func(status int, answer []byte)) bool {
	command, rest, number := parseCommand(body)
	switch command {
	case "status":
		_, text, _ := strings.Cut(rest, " ")
		reply(number, []byte(text))
	case "sleep":
		time.Sleep(time.Duration(number) * time.Millisecond)
		reply(200, []byte("slept"))
	case "die":
		fmt.Fprintln(os.Stderr, "dying now")
		time.Sleep(20 * time.Millisecond)
		os.Exit(number)
	case "kill":
		die()
	case "env":
		reply(200, []byte(os.Getenv(strings.TrimSpace(rest))))
	case "pid":
		reply(200, []byte(strconv.Itoa(os.Getpid())))
	case "big":
		reply(200, bytes.Repeat([]byte{'b'}, number))
	case "print":
		fmt.Println(rest)
		reply(200, nil)
	case "print-long":
		io.WriteString(os.Stdout, strings.Repeat("l", number)+"\nafter\nno end")
		reply(200, nil)
	case "child": // a process that outlives this one if nobody ends it
		p, err := os.StartProcess("/bin/sleep", []string{"sleep", "300"}, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
		if err != nil {
			reply(500, []byte(err.Error()))
			return true
		}
		reply(200, []byte(strconv.Itoa(p.Pid)))
	case "eat": // megabytes, and hold them until a file is there
		block := make([]byte, number<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		_, gate, _ := strings.Cut(rest, " ")
		awaitFile(gate)
		reply(200, []byte{block[0]})
	case "wait-file":
		awaitFile(strings.TrimSpace(rest))
		reply(200, []byte("seen"))
	default:
		return false
	}
	return true
}
