package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// NewClient returns a client that goes through the proxies of the environment
// (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) and trusts, beside the system's
// certificate authorities, those in the PEM file caBundle, if that is not "".
// It limits the time until an answer begins, not that of the answer.
func NewClient(caBundle string) (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	t.TLSHandshakeTimeout = 15 * time.Second
	t.ResponseHeaderTimeout = time.Minute
	t.MaxIdleConnsPerHost = MaxParallel // else most parts would have to connect anew
	t.WriteBufferSize = bodyPiece
	if caBundle != "" {
		pem, err := os.ReadFile(caBundle)
		if err != nil {
			return nil, fault.New(fault.Description, "read the CA bundle: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fault.New(fault.Description, "the CA bundle %s holds no certificate", caBundle).
				WithHint("name a file in PEM form, with -----BEGIN CERTIFICATE----- in it")
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &http.Client{Transport: t}, nil
}

const maxRedirects = 10

var (
	errDowngrade = errors.New("it redirects from https to http, which would give up the protection")
	errRedirects = errors.New("it redirects too often")
	errElsewhere = errors.New("it redirects to something that is no http or https address")
)

// checkRedirect bounds redirects and keeps them from giving secrets away.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errRedirects
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" || req.URL.Hostname() == "" {
		return errElsewhere
	}
	if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errDowngrade
	}
	// It would hold the signature of the address that redirected.
	req.Header.Del("Referer")
	return nil
}
