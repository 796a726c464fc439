// Package controlplane is a control plane of EAS on one machine: the HTTP API
// of version 2021-07-01 with its signatures, errors, states, versions, events
// and logs, written from the published reference, and the address that requests
// to services go to. It runs what it is given, through a Runner.
//
// It is for trying a client without an account, and for testing one. It keeps
// nobody from anything but by the access keys that it was given: it listens on
// this machine unless asked otherwise.
package controlplane

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// DefaultRegion is the region that a control plane is for where none is named.
const DefaultRegion = "cn-shanghai"

// Options say what a control plane is like. Runner and Keys must be set.
type Options struct {
	Runner Runner      // runs the instances
	Keys   []AccessKey // who may call; at least one

	Listen        string // address of the API; empty: 127.0.0.1:0
	PredictListen string // address that services are called at; empty: 127.0.0.1:0
	Region        string // empty: DefaultRegion

	Delays Delays // how long services stay in their states at least

	// Rate is how many calls a second an access key may make, of which Burst may
	// come at once (empty: twice as many). More are refused. 0 is no limit.
	Rate  float64
	Burst int

	// StateDir keeps services over a restart. Empty: they are in memory alone.
	StateDir string

	// Clock is what time it is for signatures, states, events and logs. Empty:
	// the machine's.
	Clock Clock

	// Notice, if set, is told what happens to services. It must not block.
	Notice func(Notice)

	// Faults opens the path /faults of the API, unsigned, where a test asks for
	// faults; see Fault.
	Faults bool
}

// Notice is something that happened to a service.
type Notice struct {
	Service string
	Text    string
	Warning bool
}

// Delays are how long services stay in states that they pass through, beside
// what the work itself takes.
type Delays struct {
	Creating, Waiting, Starting, Updating, Scaling, Stopping, Deleting time.Duration
}

// AllDelays returns Delays that are all the same.
func AllDelays(d time.Duration) Delays { return Delays{d, d, d, d, d, d, d} }

// Server is a control plane that runs.
type Server struct {
	opts     Options
	clock    Clock
	verifier *verifier
	limiter  *limiter
	faults   faults

	api, predict       *http.Server
	apiAddr, predictAt string // host:port
	proxy              http.Handler
	upstream           http.Transport // to the instances

	// Operations and instances go on in goroutines of group work, until ctx ends.
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	services map[string]*deployed
	groups   map[string]*group
	closed   bool
}

// Start starts a control plane. It runs until Close.
func Start(opts Options) (*Server, error) {
	if opts.Runner == nil || len(opts.Keys) == 0 {
		return nil, fault.New(fault.Usage, "a control plane needs a runner and an access key")
	}
	opts.Listen = cmp.Or(opts.Listen, "127.0.0.1:0")
	opts.PredictListen = cmp.Or(opts.PredictListen, "127.0.0.1:0")
	opts.Region = cmp.Or(opts.Region, DefaultRegion)
	if opts.Clock == nil {
		opts.Clock = machineClock{}
	}
	s := &Server{
		opts: opts, clock: opts.Clock,
		verifier: newVerifier(opts.Keys, opts.Clock),
		limiter:  newLimiter(opts.Rate, opts.Burst),
		services: map[string]*deployed{},
		groups:   map[string]*group{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.restore(); err != nil {
		s.cancel()
		return nil, err
	}
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.resume()
	return s, nil
}

// listen opens both addresses.
func (s *Server) listen() error {
	s.proxy = s.newProxy()
	api, err := net.Listen("tcp", s.opts.Listen)
	if err != nil {
		return listenFault(err)
	}
	predict, err := net.Listen("tcp", s.opts.PredictListen)
	if err != nil {
		api.Close()
		return listenFault(err)
	}
	s.apiAddr, s.predictAt = callable(api.Addr()), callable(predict.Addr())
	s.api = serve(api, s.handler())
	s.predict = serve(predict, http.HandlerFunc(s.servePrediction))
	return nil
}

func listenFault(err error) error {
	return fault.New(fault.Failed, "start the control plane: %w", err).
		WithHint("choose another address with --listen; port 0 is a free one")
}

// headerTimeout is how long the head of a request may take.
const headerTimeout = 30 * time.Second

func serve(l net.Listener, h http.Handler) *http.Server {
	server := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout}
	go server.Serve(l) // ends with Close
	return server
}

// callable is an address that is listened on as this machine calls it.
func callable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// Endpoint is the base URL of the API.
func (s *Server) Endpoint() string { return "http://" + s.apiAddr }

// PredictEndpoint is the base URL that services are called at.
func (s *Server) PredictEndpoint() string { return "http://" + s.predictAt }

// Region is the region that the control plane is for.
func (s *Server) Region() string { return s.opts.Region }

// Close ends all instances, at once where they do not end in order, and returns
// when they have ended. What StateDir keeps stays.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	var err error
	for _, server := range []*http.Server{s.api, s.predict} {
		if server != nil {
			err = errors.Join(err, server.Close())
		}
	}
	s.cancel()
	s.work.Wait()
	s.upstream.CloseIdleConnections()
	return err
}

func (s *Server) notice(service, text string, warning bool) {
	if s.opts.Notice != nil {
		s.opts.Notice(Notice{service, text, warning})
	}
}
