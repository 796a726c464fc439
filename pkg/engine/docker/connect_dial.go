package docker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/cli/cli/connhelper"
	dockercontext "github.com/docker/cli/cli/context"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/tlsconfig"
)

// line is the way to a place: what the client dials with. It keeps what the
// client does not tell of a failure.
type line struct {
	connected atomic.Bool
	ssh       atomic.Pointer[trouble] // what ssh said when it ended
}

// client makes the client of a place; nothing is dialled yet.
func (p *place) client(m *machine) (*client.Client, *line, error) {
	transport := &http.Transport{MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second}
	settings := []client.Opt{
		client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}),
		client.WithUserAgent(userAgent),
		client.WithHTTPHeaders(p.headers),
		client.WithVersion(m.getenv(client.EnvOverrideAPIVersion)),
		client.WithAPIVersionNegotiation(),
	}
	host := p.address
	var helper *connhelper.ConnectionHelper
	if strings.HasPrefix(host, "ssh://") {
		var err error
		wait := fmt.Sprintf("-o ConnectTimeout=%d", int(m.sshTime.Seconds()))
		if helper, err = connhelper.GetConnectionHelperWithSSHOpts(host, []string{wait}); err != nil {
			return nil, nil, err
		}
		host = helper.Host
	}
	c, err := client.NewClientWithOpts(append(settings, client.WithHost(host))...)
	if err != nil {
		return nil, nil, err
	}
	// All connections, those of streams too, are dialled in one way, which has
	// the request's time limit, TLS, and an error that says what happened.
	// WithHost has set what else is needed, and a proxy that is not wanted.
	transport.Proxy = nil
	dial := transport.DialContext
	if helper != nil {
		dial = helper.Dialer
	}
	l := new(line)
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err == nil {
			l.connected.Store(true)
			switch {
			case helper != nil:
				conn = &sshConn{Conn: conn, line: l, hint: sshHint(p.address)}
			case p.tls != nil:
				conn, err = secure(ctx, conn, p.tls, addr)
			}
		}
		if err != nil {
			return nil, p.classify(m, err)
		}
		return conn, nil
	}
	return c, l, nil
}

// because returns the reason of a failed call: ssh's own words, where the
// client only knows that the connection is gone.
func (l *line) because(err error) error {
	if said := l.ssh.Load(); said != nil {
		return said
	}
	return err
}

// secure speaks TLS over conn, which it closes where that fails.
func secure(ctx context.Context, conn net.Conn, config *tls.Config, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	config = config.Clone()
	config.ServerName = host
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// newTLS makes the configuration for a daemon with TLS from PEM data. Without
// authorities of its own those of the system are trusted.
func newTLS(data *dockercontext.TLSData, skipVerify bool) (*tls.Config, error) {
	config := tlsconfig.ClientDefault()
	config.InsecureSkipVerify = skipVerify
	if data == nil {
		return config, nil
	}
	if data.CA != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data.CA) {
			return nil, errors.New("ca.pem holds no certificate")
		}
	}
	if data.Cert != nil && data.Key != nil {
		pair, err := tls.X509KeyPair(data.Cert, data.Key)
		if err != nil {
			return nil, fmt.Errorf("cert.pem and key.pem: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// sshConn is a connection through an ssh program, which is connected as soon as
// the program runs: what it says when it ends is found while reading.
type sshConn struct {
	net.Conn
	line *line
	hint string

	reading sync.Mutex // one reader at a time, so that the first failure is the one that says why
	lost    error      // how reading ended; under reading
}

// Read says why the program has ended. The first read to fail is told that, and
// waits for the program to do so; one beside it would only find its pipe closed.
func (c *sshConn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.lost != nil {
		return 0, c.lost
	}
	n, err := c.Conn.Read(p)
	if err != nil {
		c.lost = c.ended(err)
	}
	return n, c.lost
}

// Write fails when the program has ended, without saying why; reading does.
func (c *sshConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		if _, why := c.Read(make([]byte, 1)); why != nil {
			err = why
		}
	}
	return n, err
}

// CloseWrite passes on that no more is sent, which streams need.
func (c *sshConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("the connection cannot be closed for writing only")
	}
	return half.CloseWrite()
}

// ended turns the text of a program that failed into ssh's own words.
func (c *sshConn) ended(err error) error {
	if err == nil {
		return nil
	}
	_, said, ok := strings.Cut(err.Error(), "stderr=")
	if !ok {
		return err
	}
	t := &trouble{kind: sshFailed, words: "ssh ended without a word", hint: c.hint, err: err}
	if said = strings.Join(strings.Fields(said), " "); said != "" {
		t.words = "ssh says: " + said
	}
	c.line.ssh.CompareAndSwap(nil, t)
	return t
}

// sshHint is how to see for oneself what ssh makes of an address.
func sshHint(address string) string {
	return fmt.Sprintf("`docker -H %s version` or ssh itself must work without a password and with a known host key; docker must be installed there", address)
}
