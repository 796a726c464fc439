//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// startPeer starts a server of one process on a free address, which the command
// gets, and waits until it is ready.
func (b *bench) startPeer(ctx context.Context, name string, env []string, signal syscall.Signal, command func(address string) []string) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c, err := start(ctx, b.path(name+".log"), env, nil, command(address)...)
	if err != nil {
		return nil, err
	}
	s := &server{name: name, address: address, child: c, signal: signal, front: []int{c.pid()}}
	if err := s.awaitPort(ctx); err != nil {
		c.cmd.Process.Kill()
		<-c.done
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, s.check(ctx)
}

// timeToAnswer returns the time from the start of a peer to its first answer. It
// is asked every millisecond whether it is there.
func (b *bench) timeToAnswer(ctx context.Context, name string, env []string, signal syscall.Signal, command func(address string) []string) (time.Duration, error) {
	address, err := freeAddress()
	if err != nil {
		return 0, err
	}
	argv := command(address)
	begin := time.Now()
	c, err := start(ctx, b.path(name+"-start.log"), env, nil, argv...)
	if err != nil {
		return 0, err
	}
	s := &server{name: name, address: address, child: c, signal: signal}
	err = s.awaitPortEvery(ctx, time.Millisecond)
	if err == nil {
		_, err = load{address: address, request: s.request(), answer: bodySize, connections: 1, requests: 1}.run(ctx)
	}
	took := time.Since(begin)
	return took, errors.Join(err, s.end())
}
