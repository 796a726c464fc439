//go:build linux

package serving

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// Without descriptors nobody can come in; when there are some again, everybody can.
func TestNoDescriptorsLeft(t *testing.T) {
	s := ready(t)
	s.post("x")
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = uint64(openDescriptors(t) + 5)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Skip(err)
	}
	var conns []net.Conn
	for {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			if !errors.Is(err, syscall.EMFILE) {
				t.Error(err)
			}
			break
		}
		conns = append(conns, conn)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	for _, conn := range conns {
		conn.Close()
	}
	s.client.CloseIdleConnections()
	if a := s.post("x"); a.status != 200 {
		t.Errorf("%+v", a)
	}
}
