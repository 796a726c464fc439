package controlplane

import (
	"context"
	"crypto/hmac"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// predictPath is what the addresses of services begin with.
const predictPath = "/api/predict/"

// servePrediction passes a request on to an instance of the service, or of one
// of the services of the group, that it names.
func (s *Server) servePrediction(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), predictPath)
	name, below, _ := strings.Cut(rest, "/")
	name, err := url.PathUnescape(name)
	if !ok || err != nil || name == "" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	s.mu.Lock()
	d, g := s.services[name], s.groups[name]
	if d != nil {
		g = nil
	} else if g != nil {
		d = g.choose(s.members(name))
	}
	s.mu.Unlock()
	switch {
	case d == nil && g == nil:
		w.WriteHeader(http.StatusNotFound)
		return
	case g != nil && !authorized(r.Header.Get("Authorization"), g.Token):
		w.WriteHeader(http.StatusUnauthorized)
		return
	case d == nil:
		noUpstream(w)
		return
	}
	if g != nil {
		// The member knows its own name and token, and not the group's.
		r = r.Clone(r.Context())
		path := predictPath + url.PathEscape(d.Name)
		if strings.Contains(rest, "/") {
			path += "/" + below
		}
		if r.URL.Path, err = url.PathUnescape(path); err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		r.URL.RawPath = path
		r.Header.Set("Authorization", d.Token)
	}
	t := &turn{server: s, service: d}
	defer t.giveBack()
	s.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), turnKey{}, t)))
}

// authorized checks the raw token and Bearer; the address of a group takes no
// signature of the client SDKs.
func authorized(header, token string) bool {
	if scheme, rest, ok := strings.Cut(header, " "); ok && strings.EqualFold(scheme, "Bearer") {
		header = rest
	}
	return hmac.Equal([]byte(strings.TrimSpace(header)), []byte(token))
}

func noUpstream(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(w, "no healthy upstream")
}

var errNoUpstream = errors.New("no healthy upstream")

// newProxy returns what passes a request on to the instance whose turn it is:
// streams and WebSocket included.
func (s *Server) newProxy() http.Handler {
	s.upstream.MaxIdleConnsPerHost = 64
	s.upstream.IdleConnTimeout = time.Minute
	s.upstream.DisableCompression = true
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Host = r.In.Host
			r.Out.URL.Scheme = "http"
			r.Out.URL.Host = r.In.Host // until it is known whose turn it is
			r.SetXForwarded()
		},
		Transport:     &balancer{&s.upstream},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // the answer says it
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if errors.Is(err, errNoUpstream) {
				noUpstream(w)
				return
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	}
}

type turnKey struct{}

// turn is a request's claim on an instance.
type turn struct {
	server  *Server
	service *deployed
	claimed *instance
}

// claim takes the next instance of the service that is ready.
func (t *turn) claim() (endpoint string, ok bool) {
	t.giveBack()
	s, d := t.server, t.service
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range d.instances {
		in := d.instances[(d.next+i)%len(d.instances)]
		if !in.serving || in.endpoint == "" {
			continue
		}
		d.next = (d.next + i + 1) % len(d.instances)
		d.traffic.count(s.clock.Now())
		in.inFlight++
		t.claimed = in
		return in.endpoint, true
	}
	return "", false
}

func (t *turn) giveBack() {
	if t.claimed == nil {
		return
	}
	t.server.mu.Lock()
	defer t.server.mu.Unlock()
	if t.claimed.inFlight--; t.claimed.retired && t.claimed.inFlight == 0 {
		t.service.change()
	}
	t.claimed = nil
}

// serves reports whether a service has an instance that takes requests.
func (d *deployed) serves() bool {
	for _, in := range d.instances {
		if in.serving && in.endpoint != "" {
			return true
		}
	}
	return false
}

// balancer sends a request to the instance whose turn it is, and to the next one
// where nobody listens any more.
type balancer struct{ transport *http.Transport }

func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	t := r.Context().Value(turnKey{}).(*turn)
	const most = 3
	for try := 1; ; try++ {
		endpoint, ok := t.claim()
		if !ok {
			return nil, errNoUpstream
		}
		target, err := url.Parse(endpoint)
		if err != nil {
			return nil, err
		}
		out := r.Clone(r.Context())
		out.URL.Host = target.Host
		if r.Body != nil && r.Body != http.NoBody {
			out.Body = io.NopCloser(r.Body) // a failed attempt closes it, and did not read it
		}
		resp, err := b.transport.RoundTrip(out)
		op, dialed := errors.AsType[*net.OpError](err)
		if err == nil || !dialed || op.Op != "dial" || try == most {
			return resp, err
		}
	}
}

// traffic counts requests by the second.
type traffic [trafficSeconds]struct {
	second int64
	n      int
}

const trafficSeconds = 10

func (t *traffic) count(now time.Time) {
	slot := &t[now.Unix()%trafficSeconds]
	if slot.second != now.Unix() {
		slot.second, slot.n = now.Unix(), 0
	}
	slot.n++
}

// perSecond is the mean of the latest seconds.
func (t *traffic) perSecond(now time.Time) float64 {
	n := 0
	for _, slot := range t {
		if now.Unix()-slot.second < trafficSeconds {
			n += slot.n
		}
	}
	return float64(n) / trafficSeconds
}
