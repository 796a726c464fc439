package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testKey = AccessKey{ID: "testid", Secret: "testsecret"}

// handClock is a clock that stands still until it is moved.
type handClock struct {
	mu      sync.Mutex
	now     time.Time
	moved   chan struct{}
	sleeper int
}

func newHandClock() *handClock {
	return &handClock{now: time.Date(2021, 7, 1, 0, 0, 0, 0, time.UTC), moved: make(chan struct{})}
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	end := c.now.Add(d)
	c.sleeper++
	defer func() { c.mu.Lock(); c.sleeper--; c.mu.Unlock() }()
	for {
		done, moved := !c.now.Before(end), c.moved
		c.mu.Unlock()
		if done {
			return context.Cause(ctx)
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		c.mu.Lock()
	}
}

func (c *handClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	close(c.moved)
	c.moved = make(chan struct{})
}

// asleep reports whether somebody waits for the clock.
func (c *handClock) asleep() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sleeper > 0
}

// puppets is a runner whose instances do as the test says.
type puppets struct {
	mu   sync.Mutex
	runs map[string]*puppet // by the instance's name
	ever []string           // "name version" of all that were started, in order

	// script, where set, is what an instance does in place of getting ready.
	script func(spec Spec, report func(Report)) error
}

type puppet struct {
	spec   Spec
	report func(Report)
	server *httptest.Server
	end    chan error // ends the instance by itself
}

func (p *puppets) Run(ctx context.Context, spec Spec, report func(Report)) error {
	report(Report{Kind: Step, Text: "Fetching processor from [" + spec.Description.ProcessorPath + "]"})
	p.mu.Lock()
	p.ever = append(p.ever, fmt.Sprintf("%s %d", spec.Service, spec.Version))
	script := p.script
	p.mu.Unlock()
	if script != nil {
		if err := script(spec, report); err != nil {
			return err
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if spec.Token != "" && r.Header.Get("Authorization") != spec.Token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s v%d %s %s", spec.Instance, spec.Version, r.URL.Path, body)
	}))
	defer server.Close()
	me := &puppet{spec: spec, report: report, server: server, end: make(chan error, 1)}
	p.mu.Lock()
	if p.runs == nil {
		p.runs = map[string]*puppet{}
	}
	p.runs[spec.Instance] = me
	p.mu.Unlock()
	defer func() { p.mu.Lock(); delete(p.runs, spec.Instance); p.mu.Unlock() }()
	report(Report{Kind: Line, Text: "started " + spec.Instance})
	report(Report{Kind: Ready, Endpoint: server.URL})
	select {
	case <-ctx.Done():
		return nil
	case err := <-me.end:
		return err
	}
}

func (p *puppets) set(script func(Spec, func(Report)) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script = script
}

// up lists the instances that run, by name.
func (p *puppets) up() []*puppet {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []*puppet
	for _, x := range p.runs {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b *puppet) int { return strings.Compare(a.spec.Instance, b.spec.Instance) })
	return list
}

// start starts a control plane that ends with the test.
func start(t *testing.T, opts Options) *Server {
	t.Helper()
	if opts.Keys == nil {
		opts.Keys = []AccessKey{testKey}
	}
	s, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

// answered is what came back for a call.
type answered struct {
	status int
	body   map[string]any
	header http.Header
}

func (a answered) text(name string) string { v, _ := a.body[name].(string); return v }
func (a answered) int(name string) int     { v, _ := a.body[name].(float64); return int(v) }

func (a answered) list(name string) []map[string]any {
	var list []map[string]any
	values, _ := a.body[name].([]any)
	for _, v := range values {
		list = append(list, v.(map[string]any))
	}
	return list
}

var nonces struct {
	sync.Mutex
	n int
}

// newCall makes a signed call; change may spoil it before it is signed.
func newCall(t *testing.T, s *Server, action, method, path, body string, key AccessKey, change func(*http.Request)) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.Endpoint()+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	nonces.Lock()
	nonces.n++
	nonce := fmt.Sprintf("nonce-%d", nonces.n)
	nonces.Unlock()
	sum := sha256.Sum256([]byte(body))
	r.Header.Set("x-acs-action", action)
	r.Header.Set("x-acs-version", "2021-07-01")
	r.Header.Set("x-acs-date", s.clock.Now().UTC().Format("2006-01-02T15:04:05Z"))
	r.Header.Set("x-acs-signature-nonce", nonce)
	r.Header.Set("x-acs-content-sha256", hex.EncodeToString(sum[:]))
	if body != "" {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if key.SecurityToken != "" {
		r.Header.Set("x-acs-security-token", key.SecurityToken)
	}
	if change != nil {
		change(r)
	}
	signCall(r, key)
	return r
}

func signCall(r *http.Request, key AccessKey) {
	signed := []string{"host"}
	for name := range r.Header {
		if name = strings.ToLower(name); name == "content-type" || strings.HasPrefix(name, "x-acs-") {
			signed = append(signed, name)
		}
	}
	slices.Sort(signed)
	copied := r.Clone(context.Background())
	copied.RequestURI, copied.Host = r.URL.RequestURI(), r.URL.Host
	r.Header.Set("Authorization", fmt.Sprintf("ACS3-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%s",
		key.ID, strings.Join(signed, ";"), sign(canonicalRequest(copied, signed), key.Secret)))
}

func send(t *testing.T, r *http.Request) answered {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return answered{status: -1}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answered{status: resp.StatusCode, header: resp.Header}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&a.body); err != nil {
		t.Fatalf("the answer %q is no JSON: %v", data, err)
	}
	if a.text("RequestId") == "" {
		t.Errorf("an answer without RequestId: %s", data)
	}
	return a
}

// do makes a call that has to end with a status.
func do(t *testing.T, s *Server, status int, action, method, path, body string) answered {
	t.Helper()
	a := send(t, newCall(t, s, action, method, path, body, testKey, nil))
	if a.status != status {
		t.Fatalf("%s %s is answered %d %v, want %d", method, path, a.status, a.body, status)
	}
	return a
}

const services = "/api/v2/services"

func at(name string, more ...string) string {
	return services + "/cn-shanghai/" + name + strings.Join(more, "")
}

func description(name string, instances int, more string) string {
	return fmt.Sprintf(`{"name":%q,"processor_path":"file:///tmp/p.tar.gz","processor_entry":"libecho.so","processor_type":"cpp","metadata":{"instance":%d,"cpu":1,"memory":500}%s}`, name, instances, more)
}

func create(t *testing.T, s *Server, name string, instances int) {
	t.Helper()
	do(t, s, 200, "CreateService", "POST", services, description(name, instances, ""))
}

func describe(t *testing.T, s *Server, name string) answered {
	t.Helper()
	return do(t, s, 200, "DescribeService", "GET", at(name), "")
}

// patience is how long a test waits for what has to happen.
const patience = time.Minute

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not happen: %s", what)
		}
	}
}

func becomes(t *testing.T, s *Server, name, status string) answered {
	t.Helper()
	var a answered
	eventually(t, name+" becomes "+status, func() bool { a = describe(t, s, name); return a.text("Status") == status })
	return a
}

func gone(t *testing.T, s *Server, name string) {
	t.Helper()
	eventually(t, name+" is gone", func() bool {
		return send(t, newCall(t, s, "DescribeService", "GET", at(name), "", testKey, nil)).status == 404
	})
}
