package ossserver

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// Listener is a server that can be reached.
type Listener struct {
	// URL is where: http://127.0.0.1:PORT.
	URL string

	server  *Server
	http    *http.Server
	running sync.WaitGroup // requests, and the loop that accepts them

	mu     sync.Mutex
	closed bool // no request begins any more
}

// Listen serves at an address of this machine, such as 127.0.0.1:0.
func (s *Server) Listen(addr string) (*Listener, error) { return s.listen(addr, s) }

func (s *Server) listen(addr string, handler http.Handler) (*Listener, error) {
	socket, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	l := &Listener{URL: "http://" + socket.Addr().String(), server: s}
	l.http = &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !l.begin() {
				panic(http.ErrAbortHandler)
			}
			defer l.running.Done()
			handler.ServeHTTP(w, r)
		}),
	}
	l.running.Go(func() { _ = l.http.Serve(socket) }) // ends with Close
	return l, nil
}

func (l *Listener) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.running.Add(1)
	}
	return !l.closed
}

// Close cuts all connections, clears the faults and waits for the requests to
// end. What was stored stays.
func (l *Listener) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	_ = l.http.Close()
	l.server.ClearFaults()
	l.running.Wait()
}
