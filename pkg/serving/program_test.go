package serving

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/runplan"
)

// overHTTP has the tests' worker be a program that serves HTTP itself.
func overHTTP(mode string) setting {
	return func(p *runplan.Plan, _ *timings) {
		p.Language = "python"
		p.Worker.HTTP = true
		p.Worker.Env = append(p.Worker.Env, runplan.Env{Name: workerMode, Value: "http " + mode})
	}
}

// onBoth runs a test with a worker that answers frames and with a program that
// serves HTTP itself: to a client there is no difference.
func onBoth(t *testing.T, test func(t *testing.T, how setting)) {
	t.Run("frames", func(t *testing.T) { test(t, mode("serve")) })
	t.Run("http", func(t *testing.T) {
		if _, known := listening(os.Getpid()); !known {
			t.Skip("missing: a system that tells who listens where")
		}
		test(t, overHTTP("serve"))
	})
}

// testProgram is a program that serves HTTP itself and answers the commands of
// the tests' worker.
func testProgram(mode string) {
	address := "127.0.0.1:" + os.Getenv("PORT")
	switch {
	case mode == "exit-early":
		fmt.Fprintln(os.Stderr, "Traceback (most recent call last):\n  File \"app.py\", line 3\nValueError: no luck today")
		os.Exit(1)
	case mode == "any-port":
		address = "0.0.0.0:0"
	case mode == "ipv6":
		address = "[::1]:0"
	case strings.HasPrefix(mode, "load "):
		awaitFile(mode[5:])
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if after, ok := strings.CutPrefix(mode, "bound "); ok { // and nobody answers
		awaitFile(after)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/stream", streamProgram)
	mux.HandleFunc("/ws", echoUpgraded)
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	var hung sync.RWMutex
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		waitFor(&hung)
		if r.URL.Path == "/api/builtin/ping" {
			return
		}
		w.Header().Set("Content-Type", runplan.DefaultContentType)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		reply := func(status int, answer []byte) {
			if status < 100 || status > 999 {
				status = 400
			}
			w.WriteHeader(status)
			w.Write(answer)
		}
		command, rest, _ := parseCommand(body)
		switch command {
		case "cancellable":
			os.WriteFile("there", nil, 0o600)
			<-r.Context().Done()
			os.WriteFile("cancelled", []byte(rest), 0o600)
		case "head":
			fmt.Fprintf(w, "%s %s %s\n", r.Method, r.RequestURI, r.Host)
			r.Header.Write(w)
		case "hang": // for ever, and with it every other request
			hung.Lock()
			os.WriteFile("hung", nil, 0o600)
			select {}
		case "hang-up":
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
		default:
			if !answerCommand(body, reply) {
				reply(200, body)
			}
		}
	})
	server := &http.Server{Handler: mux}
	server.Serve(l)
}

// waitFor waits until nobody writes what the lock guards.
func waitFor(lock *sync.RWMutex) {
	lock.RLock()
	defer lock.RUnlock()
}

// streamProgram sends one event for every line that it is sent.
func streamProgram(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	control.EnableFullDuplex()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(200)
	control.Flush()
	for s := bufio.NewScanner(r.Body); s.Scan(); {
		if s.Text() == "die" {
			fmt.Fprintln(os.Stderr, "dying in a stream")
			time.Sleep(20 * time.Millisecond)
			os.Exit(3)
		}
		fmt.Fprintf(w, "data: %s\n\n", s.Text())
		control.Flush()
	}
}

// echoUpgraded speaks a protocol of its own after an upgrade: it sends back
// what it gets.
func echoUpgraded(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "echo") {
		http.Error(w, "upgrade to echo", http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	io.Copy(conn, rw)
}
