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
// an address, and who holds a port that is taken. A port of 0 always can.
func CheckPort(host string, port int) error {
	if port == 0 {
		return nil
	}
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
		return fault.New(fault.Usage, "listen on %s: %w", address, err).
			WithHint("--host takes an address of this machine, such as 127.0.0.1 or 0.0.0.0")
	}
}
