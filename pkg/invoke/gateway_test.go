package invoke

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving"
	"github.com/openeas/eascmd/pkg/serving/event"
	"github.com/openeas/eascmd/pkg/serving/wire"
)

// The gateway of TestGateway starts this test program as its worker.
const workerVariable = "INVOKE_TEST_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) != "" {
		if err := work(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// work answers every request with its own body.
func work() error {
	conn, err := net.Dial("unix", os.Getenv("EASCMD_WORKER_SOCKET"))
	if err != nil {
		return err
	}
	send := func(t wire.Type, pairs ...string) {
		var payload []byte
		for i := 0; i < len(pairs); i += 2 {
			payload, _ = wire.AppendProperty(payload, pairs[i], pairs[i+1])
		}
		conn.Write(wire.AppendMessage(nil, wire.Header{Type: t}, payload))
	}
	send(wire.Hello, "protocol.min", "1", "protocol.max", "1", "worker", os.Getenv("EASCMD_WORKER_ID"), "key", os.Getenv("EASCMD_WORKER_KEY"), "host", "test")
	for {
		var head [wire.HeaderSize]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return nil // the gateway has ended
		}
		h, err := wire.ParseHeader(head[:])
		if err != nil {
			return err
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(conn, payload); err != nil {
			return err
		}
		switch h.Type {
		case wire.Start:
			send(wire.Ready, "concurrency", "1")
		case wire.Ping:
			conn.Write(wire.AppendMessage(nil, wire.Header{Type: wire.Pong, ID: h.ID}, payload))
		case wire.Request:
			conn.Write(wire.AppendMessage(nil, wire.Header{Type: wire.Response, ID: h.ID, Status: 200}, payload))
		case wire.Drain:
			send(wire.Drained)
			return nil
		}
	}
}

// gateway runs a service with a token in a gateway that is the real one and
// returns the service's address.
func gateway(t *testing.T, token string) string {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	plan := &runplan.Plan{
		Version: runplan.Version, Name: "echo", Language: "cpp", Workspace: dir,
		Processor: runplan.Processor{Dir: dir},
		Worker: runplan.Worker{Command: []string{executable}, Count: 1, Threads: 1, GraceMS: 10_000,
			Env: []runplan.Env{{Name: workerVariable, Value: "1"}, {Name: "GORACE", Value: "atexit_sleep_ms=0"}}},
		Gateway: runplan.Gateway{Host: "127.0.0.1", Token: token, KeepAliveMS: 20_000, MaxQueueSize: 64,
			BodyLimit: 1 << 20, BodyMemory: 8 << 20, ContentType: runplan.DefaultContentType},
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	address, ready, done := "", make(chan struct{}), make(chan error, 1)
	go func() {
		done <- serving.Run(ctx, plan, serving.Options{Emit: func(e event.Event) {
			switch e.Type {
			case event.Listening:
				address = e.Address
			case event.Ready:
				close(ready)
			}
		}})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatalf("the gateway ended: %v", err)
	}
	return "http://" + address + "/api/predict/echo"
}

// The gateway takes all three authorizations with the right token, on the
// service's own path, below it and with a query, and none with a wrong one.
func TestGateway(t *testing.T) {
	if l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s")); err != nil {
		t.Skip("missing: Unix sockets")
	} else {
		l.Close()
	}
	url := gateway(t, "YjQxZDYz")
	for _, path := range []string{"", "/sub/päth%20x", "?a=1&b=%2F", "/sub?a=b"} {
		for _, auth := range []Auth{Token, Bearer, Signature, None} {
			for _, token := range []string{"YjQxZDYz", "wrong", ""} {
				want := "200 body"
				if token != "YjQxZDYz" || auth == None {
					want = "401 "
				}
				answer, err := Do(t.Context(), Request{URL: url + path, Body: Bytes([]byte("body")), Auth: auth, Token: token}, Options{Client: direct(t)})
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				if answer.StatusCode == 401 {
					body = nil
				}
				if diff := cmp.Diff(want, fmt.Sprintf("%d %s", answer.StatusCode, body)); diff != "" {
					t.Errorf("%s %s %q: -want +got:\n%s", path, auth, token, diff)
				}
			}
		}
	}
}
