//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// netns is a network namespace without a name: it is gone with the last process
// in it, however this one ends.
type netns struct {
	file  *os.File
	tasks chan func()
	done  chan struct{}
}

// newNetns makes a namespace whose loopback interface is up. It needs root.
func newNetns() (*netns, error) {
	n := &netns{tasks: make(chan func()), done: make(chan struct{})}
	entered := make(chan error)
	go func() {
		defer close(n.done)
		// The thread is never given back: it ends with this goroutine. As long as
		// there are programs that it has started it must be there, since they end
		// with it.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.file, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		}
		entered <- err
		if err != nil {
			return
		}
		for task := range n.tasks {
			task()
		}
	}()
	if err := <-entered; err != nil {
		return nil, err
	}
	if err := n.command("ip", "link", "set", "lo", "up"); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// do runs a function on a thread in the namespace: sockets and devices that it
// opens, and programs that it starts, are there.
func (n *netns) do(task func() error) (err error) {
	ran := make(chan struct{})
	n.tasks <- func() {
		defer close(ran)
		err = task()
	}
	<-ran
	return err
}

// close leaves the namespace. Nothing may be running in it any more.
func (n *netns) close() {
	close(n.tasks)
	<-n.done
	n.file.Close()
}

// path names the namespace to programs that this one starts.
func (n *netns) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// command runs a program that changes the namespace.
func (n *netns) command(argv ...string) error {
	return n.do(func() error { return runHere(argv...) })
}

// set writes a setting of the namespace's, such as net/ipv4/tcp_rmem.
func (n *netns) set(name, value string) error {
	return n.do(func() error { return os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0) })
}

// traffic is what an interface has sent and received, in bytes of packets.
type traffic struct {
	Sent     int64 `json:"sent"`
	Received int64 `json:"received"`
}

func (t traffic) since(before traffic) traffic {
	return traffic{t.Sent - before.Sent, t.Received - before.Received}
}

func (n *netns) traffic(device string) (t traffic, err error) {
	err = n.do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		t, err = parseTraffic(text, device)
		return err
	})
	return t, err
}

// parseTraffic reads the line of an interface in /proc/net/dev.
func parseTraffic(text []byte, device string) (t traffic, err error) {
	for line := range bytes.Lines(text) {
		name, counts, ok := strings.Cut(string(line), ":")
		fields := strings.Fields(counts)
		if !ok || strings.TrimSpace(name) != device || len(fields) < 9 {
			continue
		}
		if t.Received, err = strconv.ParseInt(fields[0], 10, 64); err != nil {
			return t, err
		}
		t.Sent, err = strconv.ParseInt(fields[8], 10, 64)
		return t, err
	}
	return t, fmt.Errorf("no interface %s", device)
}
