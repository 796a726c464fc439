//go:build unix

package serving

import (
	"net"
	"syscall"
)

// hasLeft reports whether the client at the other end of a connection has
// closed it, without taking anything from it. A client that has only closed its
// sending side counts as gone, as it does with other servers.
func hasLeft(conn net.Conn) bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	left := false
	err = raw.Control(func(fd uintptr) { left = leftAt(int(fd)) })
	return err == nil && left
}

// leftAt is hasLeft of a descriptor.
func leftAt(fd int) bool {
	var b [1]byte
	n, _, err := syscall.Recvfrom(fd, b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	switch err {
	case nil:
		return n == 0
	case syscall.EAGAIN, syscall.EINTR:
		return false
	}
	return true // reset
}
