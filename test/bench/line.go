//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"time"
)

// The line that uploads are measured on. Each way, a packet waits until those
// before it are through and is half of the round trip on its way. Of packets that
// wait or are on their way there are no more than lineQueue; others are lost.
const (
	lineRate  = 200e6 // bits a second
	lineRTT   = 40 * time.Millisecond
	lineQueue = 1000 // packets, which is netem's default
	lineMTU   = 1500
)

// linePayload is the most that TCP could carry over the line, in bytes a second:
// of a packet, 20 bytes are IP's and 32 are TCP's with time stamps.
const (
	linePayload  = lineRate / 8 * payloadShare
	payloadShare = (lineMTU - 52.0) / lineMTU
)

// The ends of the line.
const (
	clientAddress = "10.213.0.1"
	serverAddress = "10.213.0.2"
	lineDevice    = "line"
)

const congestionControl = "cubic" // Linux's usual one

// line is a line between two network namespaces.
type line struct {
	client, server *netns
	shaper         string // what makes it one
	close          func()
}

// newLine lays a line. It is the kernel's own, netem on a pair of veth devices,
// where the kernel has that, and else one of this program between two tun devices.
func newLine() (*line, error) {
	l := &line{close: func() {}}
	var err error
	if l.client, err = newNetns(); err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	if l.server, err = newNetns(); err != nil {
		l.client.close()
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	l.close = func() {
		l.client.close()
		l.server.close()
	}
	l.shaper = "netem"
	if err := l.layNetem(); err != nil {
		l.shaper = "tun"
		if tunErr := l.layTun(); tunErr != nil {
			l.close()
			return nil, fmt.Errorf("shape a line: with netem: %w; with tun: %w", err, tunErr)
		}
	}
	if err := l.configure(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *line) layNetem() error {
	// One packet is one packet: nothing is put together that the line would cut.
	veth := []string{"ip", "link", "add", "name", lineDevice, "gso_max_segs", "1", "type", "veth", "peer", "name", lineDevice, "gso_max_segs", "1", "netns", l.server.path()}
	if err := l.client.command(veth...); err != nil {
		return err
	}
	for _, n := range []*netns{l.client, l.server} {
		if err := n.command(netemCommand()...); err != nil {
			return errors.Join(err, l.client.command("ip", "link", "del", lineDevice))
		}
	}
	return nil
}

func netemCommand() []string {
	return []string{"tc", "qdisc", "add", "dev", lineDevice, "root", "netem",
		"delay", fmt.Sprintf("%dus", (lineRTT / 2).Microseconds()),
		"rate", fmt.Sprintf("%.0fbit", float64(lineRate)), "limit", fmt.Sprint(lineQueue)}
}

func (l *line) layTun() error {
	client, err := openTun(l.client)
	if err != nil {
		return err
	}
	server, err := openTun(l.server)
	if err != nil {
		client.Close()
		return err
	}
	stop := forwardTun(client, server)
	before := l.close
	l.close = func() {
		stop()
		before()
	}
	return nil
}

// configure gives both ends an address, and TCP the settings that are usual on
// Linux, whatever this machine has.
func (l *line) configure() error {
	for _, end := range []struct {
		*netns
		address, other string
	}{{l.client, clientAddress, serverAddress}, {l.server, serverAddress, clientAddress}} {
		for _, argv := range [][]string{
			{"ip", "address", "add", end.address, "dev", lineDevice},
			{"ip", "link", "set", lineDevice, "mtu", fmt.Sprint(lineMTU), "txqueuelen", fmt.Sprint(lineQueue), "up"},
			// A namespace's own setting may be kept to what the machine's is.
			{"ip", "route", "add", end.other, "dev", lineDevice, "congctl", congestionControl},
		} {
			if err := end.command(argv...); err != nil {
				return err
			}
		}
		for _, s := range [][2]string{
			{"net/ipv4/tcp_wmem", "4096 16384 4194304"},
			{"net/ipv4/tcp_rmem", "4096 131072 6291456"},
			{"net/ipv4/tcp_no_metrics_save", "1"}, // each transfer knows nothing of those before
		} {
			if err := end.set(s[0], s[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

func runHere(argv ...string) error {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// transfer sends so many bytes over one TCP connection, from the client's end to
// the server's, and returns how long it took until the server had them all and had
// said so.
func (l *line) transfer(size int64) (took time.Duration, err error) {
	var listener net.Listener
	err = l.server.do(func() (err error) {
		listener, err = net.Listen("tcp4", net.JoinHostPort(serverAddress, "0"))
		return err
	})
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	received := make(chan error, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			received <- err
			return
		}
		defer c.Close()
		if _, err = io.CopyN(io.Discard, c, size); err == nil {
			_, err = c.Write([]byte{1})
		}
		received <- err
	}()
	begin := time.Now()
	var c net.Conn
	err = l.client.do(func() (err error) {
		c, err = net.DialTimeout("tcp4", listener.Addr().String(), 10*time.Second)
		return err
	})
	if err != nil {
		listener.Close()
		<-received
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(begin.Add(transferTime)); err != nil {
		return 0, err
	}
	_, err = io.CopyN(c, zeros{}, size)
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	took = time.Since(begin)
	c.Close()
	return took, errors.Join(err, <-received)
}

// transferTime bounds a transfer.
const transferTime = 10 * time.Minute

// zeros are as many as are read; the line compresses nothing.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
