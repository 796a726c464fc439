package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperVariable) != "" {
		helper()
		return
	}
	if os.Getenv(uploadVariable) != "" {
		uploadHelper()
		return
	}
	goleak.VerifyTestMain(m)
}

// origin is a real server with one object, that notes what it was asked.
type origin struct {
	*httptest.Server

	mu       sync.Mutex
	body     []byte
	etag     string
	modified string
	header   http.Header // more to answer
	requests []*http.Request
	cut      []int // of the coming answers, after how many bytes the connection dies
	status   []int // of the coming answers, an error instead
	rude     bool  // conditional and range requests are not understood

	// before, if set, comes first, and returns whether it has answered.
	before func(w http.ResponseWriter, r *http.Request) bool
}

func newOrigin(t testing.TB, size int) *origin {
	o := &origin{body: noise(size), etag: `"v1"`, header: http.Header{}}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

// noise returns bytes that are the same every time.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = r.Read(b)
	return b
}

func (o *origin) set(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

// asked returns the requests since it was last called.
func (o *origin) asked() []*http.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.requests
	o.requests = nil
	return r
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.requests = append(o.requests, r)
	before := o.before
	o.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	o.mu.Lock()
	body, cut, status := o.body, -1, 0
	if len(o.cut) > 0 {
		cut, o.cut = o.cut[0], o.cut[1:]
	}
	if len(o.status) > 0 {
		status, o.status = o.status[0], o.status[1:]
	}
	for k, v := range o.header {
		w.Header()[k] = v
	}
	if o.etag != "" {
		w.Header().Set("ETag", o.etag)
	}
	if o.modified != "" {
		w.Header().Set("Last-Modified", o.modified)
	}
	rude := o.rude
	o.mu.Unlock()

	if status > 0 {
		w.Header().Del("ETag")
		w.WriteHeader(status)
		fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>You have no right.</Message><OSSAccessKeyId>LTAIsecret</OSSAccessKeyId></Error>`)
		return
	}
	if rude {
		r.Header = http.Header{}
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	if cut >= 0 {
		w = &cutWriter{ResponseWriter: w, left: cut}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// cutWriter kills the connection after some bytes.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

// warnings collects what Warn is told.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) add(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.text, "\n")
}
