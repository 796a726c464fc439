//go:build linux

package main

import (
	"net"
	"testing"
)

func TestTryPort(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := tryPort(t.Context(), net.Dialer{}, l.Addr().String()); err != nil {
		t.Error(err)
	}
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	local, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	if err := tryPort(t.Context(), net.Dialer{LocalAddr: local}, address); err == nil {
		t.Error("a connection with itself counts as a server's")
	}
}
