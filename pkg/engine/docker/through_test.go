//go:build unix

package docker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/pkg/runplan"
)

// tunnelTo returns what leads to address as it would through a daemon, and how
// often that had to be started.
func tunnelTo(t *testing.T, address string) (tunnel *through, starts *atomic.Int32, broken func()) {
	t.Helper()
	starts = new(atomic.Int32)
	var last atomic.Pointer[func()]
	tunnel = &through{
		explain: func(err error) error { return err },
		open: func(context.Context) (net.Conn, error) {
			starts.Add(1)
			toRead, toWrite, err := os.Pipe()
			if err != nil {
				return nil, err
			}
			fromRead, fromWrite, err := os.Pipe()
			if err != nil {
				return nil, err
			}
			ended := make(chan error, 1)
			go func() {
				ended <- PassOn(context.Background(), address, toRead, fromWrite)
				fromWrite.Close()
			}()
			back, w := io.Pipe()
			go func() {
				_, err := io.Copy(w, fromRead)
				w.CloseWithError(err)
			}()
			end := sync.OnceFunc(func() {
				toWrite.Close()
				if err := <-ended; err != nil {
					t.Errorf("the program in the container: %v", err)
				}
				toRead.Close()
			})
			last.Store(&end)
			return &pipe{back, toWrite, end}, nil
		},
	}
	t.Cleanup(tunnel.close)
	return tunnel, starts, func() { (*last.Load())() }
}

// A server that answers what it was sent once nothing more comes.
func echoAtTheEnd(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if text, err := io.ReadAll(c); err == nil {
					c.Write(text)
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestThrough(t *testing.T) {
	tunnel, starts, broken := tunnelTo(t, echoAtTheEnd(t))
	f, err := forward("127.0.0.1:0", tunnel.dial, tunnel.close)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	call := func(body []byte) error {
		c, err := net.Dial("tcp", f.listener.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := c.Write(body); err != nil {
			return err
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		got, err := io.ReadAll(c)
		if err == nil && !bytes.Equal(got, body) {
			err = fmt.Errorf("%d bytes came back of %d", len(got), len(body))
		}
		return err
	}
	if err := call([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	const clients = 300
	failed := make(chan error, clients)
	for i := range clients {
		go func() { failed <- call(bytes.Repeat([]byte{byte(i)}, 1+i*1000)) }()
	}
	for range clients {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if err := call(make([]byte, 32<<20)); err != nil {
		t.Errorf("a large body: %v", err)
	}
	// Clients that leave take nothing with them.
	for range 50 {
		c, err := net.Dial("tcp", f.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("goodbye"))
		c.Close()
	}
	if err := call([]byte("still here")); err != nil {
		t.Error(err)
	}
	if n := starts.Load(); n != 1 {
		t.Errorf("%d programs were started for all of it", n)
	}
	broken()
	for end := time.Now().Add(patience); ; {
		if err = call([]byte("again")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after the program in the container has ended: %v", err)
		}
	}
	if n := starts.Load(); n != 2 {
		t.Errorf("%d programs were started after it had ended", n-1)
	}
}

func TestThroughToNobody(t *testing.T) {
	tunnel, _, _ := tunnelTo(t, "127.0.0.1:1")
	if _, err := tunnel.dial(t.Context()); err == nil || !strings.Contains(err.Error(), "gateway") {
		t.Errorf("a connection to nobody: %v", err)
	}
}

// What connections take is the processor's memory, and many must not bring it
// down.
func TestManyConnectionsThrough(t *testing.T) {
	state(t)
	d, _ := elsewhere(t, dockertest.Options{TCP: true})
	s := mustServe(t, d, func(_ *Options, p *runplan.Plan) { p.Worker.MemoryMB = 128 })
	const clients = 300
	address := strings.TrimPrefix(s.Endpoint(), "http://")
	failed := make(chan error, clients)
	done := make(chan struct{})
	for range clients {
		go func() {
			failed <- func() error {
				c, err := net.Dial("tcp", address)
				if err != nil {
					return err
				}
				context.AfterFunc(t.Context(), func() { c.Close() })
				go func() { <-done; c.Close() }()
				c.SetDeadline(time.Now().Add(patience))
				fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", InstancePath)
				answer := make([]byte, 12)
				if _, err := io.ReadFull(c, answer); err != nil {
					return err
				}
				if want := "HTTP/1.1 200"; string(answer) != want {
					return fmt.Errorf("%q, want %q", answer, want)
				}
				return nil // and stays
			}()
		}()
	}
	bad := 0
	for range clients {
		if err := <-failed; err != nil {
			if bad++; bad < 4 {
				t.Error(err)
			}
		}
	}
	s.want(t, "echo on", 200, "on")
	close(done)
	s.stop(t)
}
