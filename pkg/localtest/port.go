package localtest

import (
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"

	"github.com/openeas/eascmd/internal/fault"
)

// CheckPort says, before anything is loaded, whether a service can listen on
// an address, and who holds a port that is taken. Port 0 stands for a free one.
func CheckPort(host string, port int) error {
	address := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		l.Close()
		return nil
	case errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, addressInUse):
		holder := "another program"
		if h, ok := portHolder(port); ok {
			holder = h
		}
		return fault.New(fault.Failed, "port %d is taken by %s", port, holder).
			WithHint("choose another port, or 0 for a free one")
	case errors.Is(err, os.ErrPermission):
		return fault.New(fault.Failed, "listen on %s: %w", address, err).
			WithHint("ports below 1024 need privileges; choose another, or 0 for a free one")
	default:
		return fault.New(fault.Usage, "--host %s: %w", host, reason(err)).
			WithHint("--host takes an address of this machine, such as 127.0.0.1 or 0.0.0.0")
	}
}

// reason takes off what net wraps around the reason of a failure: the
// operation and the address, which the message names already.
func reason(err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New(dns.Err)
	}
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return number
	}
	return err
}
