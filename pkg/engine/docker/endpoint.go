package docker

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/child"
)

// InstancePath is where a gateway tells which run it belongs to.
const InstancePath = "/api/builtin/instance"

// How long an address has to answer: one that should be near, and one that leads
// through the daemon, which has to start a program for it.
const (
	dialTime    = time.Second
	directTime  = 3 * time.Second
	throughTime = 15 * time.Second
)

// findEndpoint returns the base URL at which this machine reaches the service:
// the published port where that answers, else the container's own address,
// else a port of this machine that leads through the daemon.
//
// What answers must prove that it is this run: where the daemon is elsewhere
// another program of this machine may listen on the port that it published.
func (s *start) findEndpoint(ctx context.Context) (string, *forwarder, error) {
	limited, cancel := s.d.limit(ctx, askTime)
	defer cancel()
	info, err := s.d.ContainerInspect(limited, s.container)
	if err != nil {
		return "", nil, s.d.explain(err, "looking at the container's addresses")
	}
	for _, address := range s.published(info) {
		if s.answers(ctx, address, directTime) {
			return "http://" + address, nil, nil
		}
	}
	var direct string
	for _, address := range s.containerAddresses(info) {
		if s.answers(ctx, address, directTime) {
			direct = address
			break
		}
	}
	// A port that was asked for is to be had on this machine.
	if direct != "" && s.plan.Gateway.Port == 0 {
		return "http://" + direct, nil, nil
	}
	tunnel := s.through()
	dial := tunnel.dial
	if direct != "" {
		dial = func(ctx context.Context) (io.ReadWriteCloser, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", direct)
		}
	} else {
		s.log("neither the published port nor the container can be reached from here; requests go through the daemon, which takes longer")
	}
	f, err := forward(net.JoinHostPort(cmp.Or(s.plan.Gateway.Host, "127.0.0.1"), strconv.Itoa(s.plan.Gateway.Port)), dial, tunnel.close)
	if err != nil {
		return "", nil, err
	}
	if address := child.Callable(f.listener.Addr().String()); s.answers(ctx, address, throughTime) {
		return "http://" + address, f, nil
	}
	f.close()
	return "", nil, fault.New(fault.Failed, "the service runs in the container %s and cannot be reached: neither at its published port, nor at its own address, nor through the daemon", s.containerName()).
		WithHint("look at the firewall between this machine and the daemon (%s)", s.d.Endpoint)
}

// published lists the addresses at which the daemon's machine has the service.
func (s *start) published(info container.InspectResponse) []string {
	if info.NetworkSettings == nil {
		return nil
	}
	remote := ""
	if u, err := url.Parse(s.d.Endpoint); err == nil && u.Scheme != "unix" && u.Scheme != "npipe" {
		remote = u.Hostname()
	}
	var list []string
	for _, b := range info.NetworkSettings.Ports[s.containerPort()] {
		list = append(list, child.Callable(net.JoinHostPort(b.HostIP, b.HostPort)))
		if ip := net.ParseIP(b.HostIP); remote != "" && ip != nil && ip.IsUnspecified() {
			list = append(list, net.JoinHostPort(remote, b.HostPort))
		}
	}
	return list
}

// containerAddresses lists the addresses that the container itself has.
func (s *start) containerAddresses(info container.InspectResponse) []string {
	if info.NetworkSettings == nil {
		return nil
	}
	var list []string
	for _, n := range info.NetworkSettings.Networks {
		if n == nil {
			continue
		}
		for _, ip := range []string{n.IPAddress, n.GlobalIPv6Address} {
			if ip != "" {
				list = append(list, net.JoinHostPort(ip, strconv.Itoa(s.gatewayPort())))
			}
		}
	}
	return list
}

// answers reports whether this run's gateway answers at an address.
func (s *start) answers(ctx context.Context, address string, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+InstancePath, nil)
	if err != nil {
		return false
	}
	// No proxy: the address is near, or nowhere.
	client := &http.Client{Transport: &http.Transport{
		DialContext:       (&net.Dialer{Timeout: dialTime}).DialContext,
		DisableKeepAlives: true,
	}}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return err == nil && resp.StatusCode == http.StatusOK && strings.TrimSpace(string(text)) == s.instance
}

// forwarder is a port of this machine that leads to the service.
type forwarder struct {
	listener net.Listener
	dial     func(ctx context.Context) (io.ReadWriteCloser, error)
	ctx      context.Context
	cancel   context.CancelFunc
	end      func() // of what dial uses
	all      sync.WaitGroup
}

func forward(address string, dial func(ctx context.Context) (io.ReadWriteCloser, error), end func()) (*forwarder, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fault.New(fault.Failed, "lead %s to the service: %w", address, err).
			WithHint("end what listens there, or choose another port: --port 0 takes a free one")
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &forwarder{listener: l, dial: dial, ctx: ctx, cancel: cancel, end: end}
	f.all.Go(f.accept)
	return f, nil
}

func (f *forwarder) accept() {
	for {
		c, err := f.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		f.all.Go(func() { f.serve(c) })
	}
}

// serve passes on what both sides say until both have ended.
func (f *forwarder) serve(near net.Conn) {
	defer near.Close()
	far, err := f.dial(f.ctx)
	if err != nil {
		return
	}
	defer far.Close()
	stop := context.AfterFunc(f.ctx, func() { near.Close(); far.Close() })
	defer stop()
	var both sync.WaitGroup
	pass := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		if c, ok := to.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite()
		}
	}
	both.Go(func() { pass(far, near) })
	both.Go(func() {
		pass(near, far)
		// The service has ended the connection: nobody reads what is to come.
		near.Close()
	})
	both.Wait()
}

func (f *forwarder) close() {
	f.listener.Close()
	f.cancel()
	f.end()
	f.all.Wait()
}
