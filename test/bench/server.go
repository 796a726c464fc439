//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// The load is the same for everybody.
const (
	connections = 16
	bodySize    = 128
	token       = "bench-token"
	requestPath = "/api/predict/bench"
)

// server is one of those that are measured.
type server struct {
	name    string
	address string
	child   *child
	signal  syscall.Signal // that ends it; 0: the end of its standard input
	front   []int          // the processes that speak HTTP
	host    []int          // those behind them
}

func (s *server) pids() []int { return append(append([]int{}, s.front...), s.host...) }

func (s *server) url() string { return "http://" + s.address + requestPath }

// request is the whole request as it is sent.
func (s *server) request() []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n%s",
		requestPath, s.address, token, bodySize, strings.Repeat("x", bodySize))
}

func (s *server) end() error { return s.child.end(s.signal) }

// check posts a few requests: what is measured has to be right.
func (s *server) check(ctx context.Context) error {
	_, err := load{address: s.address, request: s.request(), answer: bodySize, connections: 1, requests: 3}.run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// serve starts the gateway on a variant of the C++ processor's plan, behind the
// words of wrapper, and waits until it is ready.
func (b *bench) serve(ctx context.Context, name string, wrapper, env []string, change func(*runplan.Plan)) (*server, error) {
	plan := *b.plan
	change(&plan)
	return b.servePlan(ctx, name, wrapper, env, &plan)
}

func (b *bench) servePlan(ctx context.Context, name string, wrapper, env []string, p *runplan.Plan) (*server, error) {
	plan, err := b.writePlan(name, p)
	if err != nil {
		return nil, err
	}
	events, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	argv := append(append([]string{}, wrapper...), b.eascmd, "serve", "--lifeline", "--events", "json", plan)
	c, err := start(ctx, b.path(name+".log"), b.environment(env...), w, argv...)
	w.Close()
	if err != nil {
		events.Close()
		return nil, err
	}
	s := &server{name: name, child: c}
	if err := s.awaitReady(ctx, events); err != nil {
		c.cmd.Process.Kill()
		<-c.done
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.front = []int{c.pid()}
	s.host, err = childrenOf(c.pid())
	if err == nil && len(s.host) != 1 {
		err = fmt.Errorf("it has %d workers in place of 1", len(s.host))
	}
	if err != nil {
		s.end()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, s.check(ctx)
}

// awaitReady follows the events until the service is ready, and after that so
// that nobody waits for a reader.
func (s *server) awaitReady(ctx context.Context, events *os.File) error {
	ready := make(chan error, 1)
	go func() {
		defer events.Close()
		said := false
		lines := bufio.NewScanner(events)
		for lines.Scan() {
			var e event.Event
			switch err := json.Unmarshal(lines.Bytes(), &e); {
			case said:
			case err != nil:
				said = true
				ready <- err
			case e.Type == event.Listening:
				s.address = e.Address
			case e.Type == event.Ready:
				said = true
				ready <- nil
			}
		}
		io.Copy(io.Discard, events)
	}()
	select {
	case err := <-ready:
		return err
	case <-s.child.done:
		return s.child.died()
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(readyTime):
		return fmt.Errorf("not ready after %v", readyTime)
	}
}

// test starts a service with `eascmd test`, waits until it is ready, and returns
// it and the name of its container, if it is in one.
func (b *bench) test(ctx context.Context, name, description string, env []string) (s *server, container string, err error) {
	out, w, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	defer out.Close() // nothing comes after the result
	child, err := start(ctx, b.path(name+".log"), env, w, b.eascmd, "test", description, "-o", "json")
	w.Close()
	if err != nil {
		return nil, "", err
	}
	s = &server{name: name, child: child, signal: syscall.SIGTERM}
	var ready struct{ Endpoint, Container string }
	decoded := make(chan error, 1)
	go func() { decoded <- json.NewDecoder(out).Decode(&ready) }()
	select {
	case err = <-decoded:
	case <-child.done:
		return nil, "", fmt.Errorf("%s: %w", name, child.died())
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(readyTime):
		err = fmt.Errorf("not ready after %v", readyTime)
	}
	if err == nil {
		s.address = strings.TrimSuffix(strings.TrimPrefix(ready.Endpoint, "http://"), requestPath)
		err = s.check(ctx)
	}
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("%s: %w", name, err), s.end())
	}
	return s, ready.Container, nil
}

// nginxConfig answers every request with as many bytes as the processor does.
const nginxConfig = `daemon off;
master_process %s;
worker_processes %d;
pid nginx.pid;
error_log error.log;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path temp;
  proxy_temp_path temp;
  fastcgi_temp_path temp;
  uwsgi_temp_path temp;
  scgi_temp_path temp;
  default_type text/html;
  server {
    listen %s;
    location / { return 200 "%s"; }
  }
}
`

// nginx starts nginx with so many worker processes; with none it is a single
// process, as valgrind wants it.
func (b *bench) nginx(ctx context.Context, name string, wrapper []string, workers int) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	dir := b.path(name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	master := "on"
	if workers == 0 {
		master = "off"
	}
	config := fmt.Sprintf(nginxConfig, master, max(workers, 1), address, strings.Repeat("x", bodySize))
	if err := os.WriteFile(b.path(name, "nginx.conf"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	argv := append(append([]string{}, wrapper...), b.programs["nginx"], "-p", dir+"/", "-c", "nginx.conf")
	c, err := start(ctx, b.path(name+".log"), os.Environ(), nil, argv...)
	if err != nil {
		return nil, err
	}
	s := &server{name: name, address: address, child: c, signal: syscall.SIGQUIT}
	fail := func(err error) (*server, error) {
		c.cmd.Process.Kill()
		<-c.done
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := s.awaitPort(ctx); err != nil {
		return fail(err)
	}
	if s.front, err = childrenOf(c.pid()); err != nil {
		return fail(err)
	}
	s.front = append(s.front, c.pid())
	return s, s.check(ctx)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (s *server) awaitPort(ctx context.Context) error {
	return s.awaitPortEvery(ctx, 10*time.Millisecond)
}

// awaitPortEvery tries so often whether the server takes connections.
func (s *server) awaitPortEvery(ctx context.Context, interval time.Duration) error {
	deadline := time.Now().Add(readyTime)
	for {
		err := tryPort(ctx, net.Dialer{}, s.address)
		if err == nil {
			return nil
		}
		select {
		case <-s.child.done:
			return s.child.died()
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(interval):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready after %v: %w", readyTime, err)
		}
	}
}

// tryPort reports whether somebody takes connections at an address. Where nobody
// does, the kernel may give a connection the very port that it leads to: it is then
// one with itself.
func tryPort(ctx context.Context, dialer net.Dialer, address string) error {
	conn, err := dialer.DialContext(ctx, "tcp4", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if conn.LocalAddr().String() == address {
		conn.(*net.TCPConn).SetLinger(0) // the port is free again at once
		return errors.New("nobody listens")
	}
	return nil
}
