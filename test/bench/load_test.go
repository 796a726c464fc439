//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestAnswered(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH:  3\r\n\r\n"
	for _, tt := range []struct {
		in    string
		whole bool
		fails bool
	}{
		{in: ""},
		{in: "HTTP/1.1 200 OK\r\nContent-Len"},
		{in: head},
		{in: head + "ab"},
		{in: head + "abc", whole: true},
		{in: head + "abcd", fails: true},
		{in: "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nabc", fails: true},
		{in: "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", fails: true},
		{in: "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", fails: true},
		{in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", fails: true},
	} {
		whole, err := answered([]byte(tt.in), 3)
		if whole != tt.whole || (err != nil) != tt.fails {
			t.Errorf("%q: %v, %v; want whole %v, error %v", tt.in, whole, err, tt.whole, tt.fails)
		}
	}
}

// echo is a server that answers a body of bodySize bytes, as those that are
// measured do.
func echo(t *testing.T, before func(*http.Request)) *server {
	t.Helper()
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if before != nil {
			before(r)
		}
		w.Write(body)
	}))
	t.Cleanup(ts.Close)
	return &server{name: "echo", address: ts.Listener.Addr().String()}
}

func TestLoadSendsWhatWasAskedFor(t *testing.T) {
	var requests atomic.Int64
	s := echo(t, func(r *http.Request) {
		requests.Add(1)
		if r.Method != http.MethodPost || r.URL.Path != requestPath || r.Header.Get("Authorization") != token || r.ContentLength != bodySize {
			t.Errorf("unexpected request: %s %s %v", r.Method, r.URL, r.Header)
		}
	})
	for name, interval := range map[string]time.Duration{"closed": 0, "open": 200 * time.Microsecond} {
		requests.Store(0)
		const n = 500
		r, err := load{address: s.address, request: s.request(), answer: bodySize, connections: 4, requests: n, interval: interval}.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(r.latencies) != n || requests.Load() != n {
			t.Errorf("%s: %d latencies and %d requests, want %d", name, len(r.latencies), requests.Load(), n)
		}
		if least := (n - 1) * interval; r.elapsed < least {
			t.Errorf("%s: took %v, though the last request was due after %v", name, r.elapsed, least)
		}
		if got := len(r.late) > 0; got != (interval > 0) {
			t.Errorf("%s: lateness was noted %d times", name, len(r.late))
		}
	}
}

// A server that stalls once delays all that is due meanwhile, though it is
// sent only afterwards: the latencies have to show it.
func TestLoadChargesAStallToAllThatWaited(t *testing.T) {
	const stall = 300 * time.Millisecond
	var first atomic.Bool
	s := echo(t, func(*http.Request) {
		if first.CompareAndSwap(false, true) {
			time.Sleep(stall)
		}
	})
	// Twenty requests, due within the first 20 ms.
	r, err := load{address: s.address, request: s.request(), answer: bodySize, connections: 1, requests: 20, interval: time.Millisecond}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if least := stall - 20*time.Millisecond; r.latencies[0] < least {
		t.Errorf("a request waited only %v; each was due before %v and answered after %v", r.latencies[0], 20*time.Millisecond, stall)
	}
}

func TestLoadRefusesWrongAnswers(t *testing.T) {
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the queue is full", 450)
	}))
	t.Cleanup(ts.Close)
	s := &server{address: ts.Listener.Addr().String()}
	_, err := load{address: s.address, request: s.request(), answer: bodySize, connections: 2, requests: 10}.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "450") {
		t.Errorf("error %v, want one that shows the answer", err)
	}
}

func TestLoadNoticesAClosedConnection(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			http.ReadRequest(bufio.NewReader(conn))
			conn.Close()
		}
	}()
	s := &server{address: l.Addr().String()}
	if _, err := (load{address: s.address, request: s.request(), answer: bodySize, connections: 1, requests: 2}).run(t.Context()); err == nil {
		t.Error("no error, though the server answered nothing")
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := echo(t, func(*http.Request) { cancel() })
	_, err := load{address: s.address, request: s.request(), answer: bodySize, connections: 1, requests: 1 << 20, interval: time.Millisecond}.run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}
