package dockertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// client speaks the engine's HTTP API, in the version that the daemon prefers.
type client struct {
	http *http.Client
	base string // scheme and host of every URL
	dial func(context.Context) (net.Conn, error)
}

// newClient makes a client for an address of kind unix:// or tcp://. A tcp
// one uses the certificates of DOCKER_CERT_PATH where DOCKER_TLS_VERIFY asks
// for it, as every Docker client does.
func newClient(host string) (*client, error) {
	certs := ""
	if os.Getenv("DOCKER_TLS_VERIFY") != "" {
		certs = os.Getenv("DOCKER_CERT_PATH")
	}
	return newClientTLS(host, certs)
}

// newClientTLS makes a client that uses the certificates in a directory; none
// where that is empty.
func newClientTLS(host, certs string) (*client, error) {
	kind, place, ok := strings.Cut(host, "://")
	if !ok || kind != "unix" && kind != "tcp" {
		return nil, fmt.Errorf("the tests speak to addresses unix:// and tcp://, not to %q", host)
	}
	transport := &http.Transport{}
	c := &client{http: &http.Client{Transport: transport}, base: "http://docker"}
	var d net.Dialer
	c.dial = func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, kind, place) }
	if kind == "tcp" && certs != "" {
		config, err := clientTLS(certs)
		if err != nil {
			return nil, err
		}
		secure := tls.Dialer{Config: config}
		c.dial = func(ctx context.Context) (net.Conn, error) { return secure.DialContext(ctx, kind, place) }
	}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) }
	return c, nil
}

func clientTLS(dir string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("no certificate in %s", filepath.Join(dir, "ca.pem"))
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// statusError is an answer that is no success.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

func isStatus(err error, code int) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.code == code
}

// do sends a request and decodes the answer into out, which may be nil. The
// body is sent as it is where it is a reader, else as JSON.
func (c *client) do(ctx context.Context, method, path string, query url.Values, body, out any) error {
	answer, err := c.open(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, answer)
	} else {
		err = json.NewDecoder(answer).Decode(out)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// open sends a request and returns the body of a successful answer, which the
// caller closes.
func (c *client) open(ctx context.Context, method, path string, query url.Values, body any) (io.ReadCloser, error) {
	var content io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case io.Reader:
		content, kind = b, "application/x-tar"
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	u := c.base + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, content)
	if err != nil {
		return nil, err
	}
	if content != nil {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		// The address in url.Error is made up; what is inside says what happened.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode < 400 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var problem struct{ Message string }
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if json.Unmarshal(text, &problem) != nil || problem.Message == "" {
		problem.Message = strings.TrimSpace(string(text))
	}
	return nil, &statusError{resp.StatusCode, fmt.Sprintf("%s %s: %s: %s", method, path, resp.Status, problem.Message)}
}

// progress reads the stream of messages that an image operation answers with
// until its end, and returns the error that it reports.
func progress(r io.Reader, each func(status string)) error {
	for dec := json.NewDecoder(r); ; {
		var message struct{ Status, Stream, Error string }
		if err := dec.Decode(&message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if message.Error != "" {
			return errors.New(message.Error)
		}
		if each != nil {
			each(message.Status + message.Stream)
		}
	}
}
