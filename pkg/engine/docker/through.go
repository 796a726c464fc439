package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/openeas/eascmd/internal/fault"
)

// through leads to the gateway through the daemon: a second program in the
// container, which can connect where this one cannot, passes on what it is sent.
// One program carries all connections, as the streams of HTTP/2 over its standard
// input and output: what it takes is the processor's memory.
type through struct {
	open    func(ctx context.Context) (net.Conn, error) // starts the program
	explain func(err error) error

	mu      sync.Mutex
	carrier *http.ClientConn // nil: none yet
}

// Of the streams: how many there may be, and what the program in the container
// holds at most of one that the gateway does not read, and of all.
const (
	maxStreams       = 1 << 16
	streamBuffer     = 256 << 10
	connectionBuffer = 4<<20 - 1
	passBuffer       = 8 << 10
)

func unencrypted() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

func (s *start) through() *through {
	return &through{open: s.startPassOn, explain: func(err error) error {
		return s.d.explain(err, "connecting to the service through the daemon")
	}}
}

// dial makes a connection to the gateway.
func (t *through) dial(ctx context.Context) (io.ReadWriteCloser, error) {
	carrier, err := t.connect(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gateway/", r)
	if err != nil {
		cancel()
		return nil, err
	}
	resp, err := carrier.RoundTrip(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		err = fault.New(fault.Failed, "the gateway does not listen")
	}
	if err != nil {
		cancel()
		return nil, t.explain(err)
	}
	return &stream{resp.Body, w, cancel}, nil
}

// connect returns the connection that carries all others, made anew where it has
// ended.
func (t *through) connect(ctx context.Context) (*http.ClientConn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.carrier != nil && t.carrier.Err() == nil {
		return t.carrier, nil
	}
	transport := &http.Transport{
		Protocols:   unencrypted(),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return t.open(ctx) },
	}
	carrier, err := transport.NewClientConn(ctx, "http", "gateway:80")
	if err != nil {
		return nil, t.explain(err)
	}
	t.carrier = carrier
	return carrier, nil
}

func (t *through) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.carrier != nil {
		t.carrier.Close()
	}
}

// stream is a connection to the gateway.
type stream struct {
	io.ReadCloser
	*io.PipeWriter
	cancel context.CancelFunc
}

// CloseWrite tells the gateway that nothing more comes.
func (s *stream) CloseWrite() error { return s.PipeWriter.Close() }

// Close ends the connection.
func (s *stream) Close() error {
	s.cancel()
	s.PipeWriter.CloseWithError(net.ErrClosed)
	return s.ReadCloser.Close()
}

// startPassOn starts a program in the container that passes connections on, and
// returns what leads to it.
func (s *start) startPassOn(ctx context.Context) (net.Conn, error) {
	limited, cancel := s.d.limit(ctx, askTime)
	defer cancel()
	made, err := s.d.ContainerExecCreate(limited, s.container, container.ExecOptions{
		Cmd:         []string{programPath, "serve", "--connect", "127.0.0.1:" + strconv.Itoa(s.gatewayPort())},
		AttachStdin: true, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return nil, err
	}
	hijacked, err := s.d.ContainerExecAttach(limited, made.ID, container.ExecAttachOptions{})
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(w, io.Discard, hijacked.Reader)
		w.CloseWithError(err)
	}()
	return &pipe{r, hijacked.Conn, hijacked.Close}, nil
}

// pipe is what leads to and from a program as a connection.
type pipe struct {
	r     *io.PipeReader
	w     io.Writer
	close func()
}

func (p *pipe) Read(b []byte) (int, error)  { return p.r.Read(b) }
func (p *pipe) Write(b []byte) (int, error) { return p.w.Write(b) }

// Close ends it on both sides: what has come already would wait for a reader
// forever.
func (p *pipe) Close() error {
	p.close()
	return p.r.Close()
}

func (p *pipe) LocalAddr() net.Addr              { return pipeAddr{} }
func (p *pipe) RemoteAddr() net.Addr             { return pipeAddr{} }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// PassOn is the other side of through, in the container: it passes the
// connections that come through in and out on to an address, until in ends.
func PassOn(ctx context.Context, address string, in io.Reader, out io.Writer) error {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, in)
		w.CloseWithError(err)
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	only := &once{ctx: ctx, conns: make(chan net.Conn, 1)}
	only.conns <- &pipe{r, out, cancel}
	server := &http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { passOn(w, req, address) }),
		Protocols: unencrypted(),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamBuffer, MaxReceiveBufferPerConnection: connectionBuffer,
		},
	}
	defer server.Close()
	if err := server.Serve(only); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// once is a listener with one connection, and ends with it.
type once struct {
	ctx   context.Context
	conns chan net.Conn
}

func (o *once) Accept() (net.Conn, error) {
	select {
	case c := <-o.conns:
		return c, nil
	case <-o.ctx.Done():
		return nil, io.EOF
	}
}

func (o *once) Close() error   { return nil }
func (o *once) Addr() net.Addr { return pipeAddr{} }

// passOn passes on one connection.
func passOn(w http.ResponseWriter, req *http.Request, address string) {
	c, err := new(net.Dialer).DialContext(req.Context(), "tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer c.Close()
	flush := http.NewResponseController(w)
	if flush.Flush() != nil {
		return
	}
	go func() {
		// Small buffers: there is one for every connection, idle as it may be.
		_, err := io.CopyBuffer(struct{ io.Writer }{c}, req.Body, make([]byte, passBuffer))
		if err != nil {
			c.Close() // whoever asked has left
			return
		}
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	buffer := make([]byte, passBuffer)
	for {
		n, err := c.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil || flush.Flush() != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
