package serving

import (
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// rawConn is a worker's connection whose descriptor the runtime's poller does
// not look at: the express does, which would otherwise be one of two that every
// answer wakes. Read and Write wait in the kernel.
type rawConn struct {
	fd int

	mu     sync.Mutex
	users  int
	closed bool
}

// newPromptConn takes over a connection. After an error it is as it was.
func newPromptConn(conn duplex) (promptConn, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a connection without a descriptor")
	}
	fd, err := duplicate(sc)
	if err != nil {
		return nil, err
	}
	conn.Close()
	return &rawConn{fd: fd}, nil
}

// duplicate returns another descriptor of a connection, of which the runtime's
// poller knows nothing.
func duplicate(conn syscall.Conn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var failed error
	err = raw.Control(func(own uintptr) { fd, failed = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil {
		err = failed
	}
	return fd, err
}

func (c *rawConn) hold() (fd int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return -1, false
	}
	c.users++
	return c.fd, true
}

func (c *rawConn) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users--
	if c.closed && c.users == 0 {
		unix.Close(c.fd)
	}
}

// Close ends what others wait for.
func (c *rawConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
	if c.users == 0 {
		unix.Close(c.fd)
	}
	return nil
}

// CloseRead has the readers see the end.
func (c *rawConn) CloseRead() error {
	fd, ok := c.hold()
	if !ok {
		return net.ErrClosed
	}
	defer c.release()
	return unix.Shutdown(fd, unix.SHUT_RD)
}

// use calls f until it has not to wait any more for what is meant by events.
func (c *rawConn) use(events int16, f func(fd int) (int, error)) (int, error) {
	fd, ok := c.hold()
	if !ok {
		return 0, net.ErrClosed
	}
	defer c.release()
	for {
		n, err := f(fd)
		switch err {
		case unix.EINTR:
		case unix.EAGAIN:
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, -1); err != nil && err != unix.EINTR {
				return 0, err
			}
		default:
			return max(n, 0), err
		}
	}
}

func (c *rawConn) Read(b []byte) (int, error) {
	n, err := c.use(unix.POLLIN, func(fd int) (int, error) { return unix.Read(fd, b) })
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func (c *rawConn) Write(b []byte) (int, error) {
	all := len(b)
	for len(b) > 0 {
		n, err := c.use(unix.POLLOUT, func(fd int) (int, error) { return unix.Write(fd, b) })
		b = b[n:]
		if err != nil {
			return all - len(b), err
		}
	}
	return all, nil
}

func (c *rawConn) writeAll(pieces [][]byte) error {
	for len(pieces) > 0 {
		n, err := c.use(unix.POLLOUT, func(fd int) (int, error) { return unix.Writev(fd, pieces) })
		if err != nil {
			return err
		}
		for len(pieces) > 0 && n >= len(pieces[0]) {
			n -= len(pieces[0])
			pieces = pieces[1:]
		}
		if n > 0 {
			pieces[0] = pieces[0][n:]
		}
	}
	return nil
}

func (c *rawConn) tryRead(b []byte) (int, error) {
	fd, ok := c.hold()
	if !ok {
		return 0, net.ErrClosed
	}
	defer c.release()
	for {
		n, err := unix.Read(fd, b)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, nil
		case n == 0 && err == nil:
			return 0, io.EOF
		default:
			return max(n, 0), err
		}
	}
}

func (c *rawConn) tryWrite(b []byte) int {
	fd, ok := c.hold()
	if !ok {
		return 0
	}
	defer c.release()
	n, _ := writeOnce(fd, b)
	return n
}

// writeOnce writes what a descriptor takes at once.
func writeOnce(fd int, b []byte) (int, error) {
	for {
		if n, err := unix.Write(fd, b); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}
