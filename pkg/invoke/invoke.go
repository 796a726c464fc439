// Package invoke calls services: those that are deployed, and those that run
// here. It knows the three authorizations that EAS takes, when a service is not
// ready rather than broken, and what the statuses of EAS mean.
//
// What a service answers is passed on as it is: whatever the status, byte for
// byte, neither decompressed nor redirected.
package invoke

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// DefaultContentType is sent with a body whose type nobody tells; the client
// SDKs send the same.
const DefaultContentType = "application/octet-stream"

// Request is a request to a service. It can be sent several times.
type Request struct {
	URL    string
	Method string // empty: POST
	Header http.Header
	Body   Body

	Auth  Auth // empty: Token
	Token string
}

// Body is what a request carries. Each call opens it anew and is told its
// length in bytes.
type Body func() (body io.ReadCloser, size int64, err error)

// Bytes makes a body of what is in memory.
func Bytes(data []byte) Body {
	return func() (io.ReadCloser, int64, error) {
		return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
	}
}

// File makes a body of a file, which is read while it is sent.
func File(path string) Body {
	return func() (io.ReadCloser, int64, error) {
		// Before it is opened: to open a FIFO waits for whoever writes to it.
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			return nil, 0, &os.PathError{Op: "read", Path: path, Err: errors.New("it is no regular file")}
		}
		file, err := os.Open(path)
		if err != nil {
			return nil, 0, err
		}
		info, err := file.Stat()
		if err != nil {
			file.Close()
			return nil, 0, err
		}
		return file, info.Size(), nil
	}
}

// Options say how a request is sent.
type Options struct {
	// Client sends it; redirects are not followed, whatever it says. nil: one
	// without limits that goes through the environment's proxies.
	Client *http.Client

	// Timeout is of one attempt, to the end of the answer's body; 0: none.
	Timeout time.Duration

	// WaitReady is for how long a service that is not ready is asked again: it
	// cannot be reached, or its answer is one of those that NotReady knows. 0:
	// the first answer is taken.
	WaitReady time.Duration

	// Waiting is told why a service is asked again; may be nil.
	Waiting func(why string)

	pause time.Duration // between two attempts; 0: one second
}

// Answer is what a service answered.
type Answer struct {
	Status     string // such as "200 OK"
	StatusCode int
	Header     http.Header
	Body       io.ReadCloser // to be closed

	Attempts  int
	FirstByte time.Duration // from the request that was answered to its answer's header
	Sent      time.Time     // when that request was sent
}

// Do sends a request and returns the answer, whatever its status; Err judges
// it. An error is of kind Missing where the service cannot be reached, of kind
// Answer where it breaks off, and of kind Interrupted where ctx ends.
func Do(ctx context.Context, r Request, opts Options) (*Answer, error) {
	client := http.Client{}
	if opts.Client != nil {
		client = *opts.Client
	} else {
		client.Transport = Transport(http.DefaultTransport.(*http.Transport))
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	pause := opts.pause
	if pause == 0 {
		pause = time.Second
	}
	begin := time.Now()
	for attempt := 1; ; attempt++ {
		answer, err := once(ctx, &client, r, opts.Timeout)
		why := ""
		switch {
		case err != nil && isUnreached(err):
			why = reason(err)
		case err == nil:
			answer.Attempts = attempt
			why = answer.notReady()
		}
		if why == "" || opts.WaitReady == 0 || ctx.Err() != nil {
			return answer, explain(ctx, r, err)
		}
		if time.Since(begin)+pause > opts.WaitReady {
			if err != nil {
				return nil, explain(ctx, r, err)
			}
			return answer, nil
		}
		if answer != nil {
			answer.Body.Close()
		}
		if opts.Waiting != nil {
			opts.Waiting(why)
		}
		select {
		case <-ctx.Done():
			return nil, explain(ctx, r, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// Transport returns a copy of t that passes bodies on as they are sent.
func Transport(t *http.Transport) *http.Transport {
	t = t.Clone()
	t.DisableCompression = true
	// How long a service takes is its own matter; the caller's ctx limits it.
	t.ResponseHeaderTimeout = 0
	return t
}

// once sends a request once.
func once(ctx context.Context, client *http.Client, r Request, timeout time.Duration) (*Answer, error) {
	cancel := context.CancelFunc(func() {})
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, timeout)
	}
	req, err := r.make(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	sent := time.Now()
	resp, err := client.Do(req) //nolint:bodyclose // whoever gets the Answer closes it
	if err != nil {
		cancel()
		return nil, err
	}
	return &Answer{
		Status: resp.Status, StatusCode: resp.StatusCode, Header: resp.Header,
		Body:      &body{resp.Body, cancel, func(err error) error { return explain(ctx, r, err) }},
		FirstByte: time.Since(sent), Sent: sent,
	}, nil
}

// body is the body of an answer. Errors of reading it are explained.
type body struct {
	io.ReadCloser
	cancel  context.CancelFunc
	explain func(error) error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.explain(err)
	}
	return n, err
}

func (b *body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// make makes the request of net/http, authorized.
func (r Request) make(ctx context.Context) (*http.Request, error) {
	method := r.Method
	if method == "" {
		method = http.MethodPost
	}
	open := r.Body
	if open == nil {
		open = Bytes(nil)
	}
	sum := ""
	if r.Auth == Signature && r.Token != "" {
		var err error
		if sum, err = contentMD5(open); err != nil {
			return nil, fault.New(fault.Usage, "the request's body: %w", err)
		}
	}
	body, size, err := open()
	if err != nil {
		return nil, fault.New(fault.Usage, "the request's body: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.URL, body)
	if err != nil {
		body.Close()
		return nil, fault.New(fault.Usage, "%w", err)
	}
	req.ContentLength = size
	if size == 0 {
		body.Close()
		req.Body = http.NoBody
	}
	for name, values := range r.Header {
		if http.CanonicalHeaderKey(name) == "Host" && len(values) > 0 {
			req.Host = values[0]
			continue
		}
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if req.Header.Get("Content-Type") == "" && (size > 0 || sum != "") {
		req.Header.Set("Content-Type", DefaultContentType)
	}
	r.authorize(req, sum, time.Now())
	if err := checkHeader(req); err != nil {
		req.Body.Close()
		return nil, err
	}
	return req, nil
}

// checkHeader refuses what cannot be in the header of a request. Values are not
// shown: they may be secret.
func checkHeader(req *http.Request) error {
	for name, values := range req.Header {
		if strings.ContainsFunc(name, isNoToken) || name == "" {
			return fault.New(fault.Usage, "%q cannot be the name of a header", name)
		}
		for _, value := range values {
			if strings.ContainsFunc(value, isControl) {
				what := "the value of the header " + name
				if name == "Authorization" {
					what = "the token"
				}
				return fault.New(fault.Usage, "%s has a line break or another control character", what)
			}
		}
	}
	if strings.ContainsFunc(req.Host, func(r rune) bool { return isControl(r) || r == ' ' }) {
		return fault.New(fault.Usage, "%q cannot be the name of a host", req.Host)
	}
	return nil
}

// isNoToken reports characters that names of headers do not have (RFC 9110,
// 5.6.2).
func isNoToken(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// contentMD5 is the checksum of a body as signatures have it.
func contentMD5(open Body) (string, error) {
	body, _, err := open()
	if err != nil {
		return "", err
	}
	defer body.Close()
	sum := md5.New()
	if _, err := io.Copy(sum, body); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// explain gives an error of net/http its kind and takes the address out of it
// where it stands twice.
func explain(ctx context.Context, r Request, err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*fault.Error](err); ours {
		return err
	}
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return fault.New(fault.Answer, "%s did not answer in time: %w", Name(r.URL), context.DeadlineExceeded)
	}
	if ctx.Err() != nil {
		return fault.New(fault.Interrupted, "call %s: %w", Name(r.URL), ctx.Err())
	}
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	if isUnreached(err) {
		return fault.New(fault.Missing, "%s cannot be reached: %w", Name(r.URL), err).
			WithHint("look at the address and at HTTP_PROXY; an intranet endpoint is reached from inside its VPC only")
	}
	return fault.New(fault.Answer, "%s broke off: %w", Name(r.URL), err)
}

// Name returns an address as it may be shown: without credentials and query.
func Name(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the service"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
