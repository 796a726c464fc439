package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
)

const groupNetwork = "Network"

// proxyVariables name the proxies of the environment. Names in lower case are
// older and mean the same.
func proxyVariables() []string {
	return []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"}
}

// networkProbes look at what stands between this machine and others.
func networkProbes(m *machine, opts Options) []probe {
	return []probe{
		{group: groupNetwork, name: "proxies", fix: "unset the variables, or correct them", run: func(ctx context.Context) []finding {
			return m.proxies(ctx)
		}},
		{group: groupNetwork, name: "certificates", run: func(context.Context) []finding {
			return m.certificates(opts.CABundle)
		}},
	}
}

// proxies tries whether the proxies that are set can be reached.
func (m *machine) proxies(ctx context.Context) []finding {
	const name = "proxies"
	var variables []string
	for _, variable := range proxyVariables() {
		same := func(other string) bool { return m.env[other] == m.env[variable] }
		if m.env[variable] != "" && !slices.ContainsFunc(variables, same) {
			variables = append(variables, variable)
		}
	}
	if len(variables) == 0 {
		return []finding{ok(name, "none set")}
	}
	found := make([]finding, len(variables))
	var wg sync.WaitGroup
	for i, variable := range variables {
		wg.Go(func() { found[i] = m.proxy(ctx, variable) })
	}
	wg.Wait()
	return found
}

// proxy tries to reach one. Its password is not shown.
func (m *machine) proxy(ctx context.Context, variable string) finding {
	value := m.env[variable]
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	fix := "unset " + variable + ", or set it to a proxy that can be reached"
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" {
		return warning(variable, fix, "it is no address such as http://proxy:3128")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	shown := u.Scheme + "://" + u.Host
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	switch {
	case err != nil && ctx.Err() != nil:
		return warning(variable, fix, "%s gives no answer within %v", shown, reachTime)
	case err != nil:
		return warning(variable, fix, "%s cannot be reached: %v", shown, cause(err))
	}
	conn.Close()
	except := m.env["NO_PROXY"]
	if except == "" {
		except = m.env["no_proxy"]
	}
	if except != "" {
		return ok(variable, "%s can be reached; not for %s", shown, except)
	}
	return ok(variable, "%s can be reached", shown)
}

// certificates says whose certificates are trusted.
func (m *machine) certificates(bundle string) []finding {
	var found []finding
	if bundle != "" {
		found = append(found, readBundle("--ca-bundle", bundle))
	}
	if file := m.env["SSL_CERT_FILE"]; file != "" && m.goos == "linux" {
		found = append(found, readBundle("SSL_CERT_FILE", file))
	}
	const name = "certificates"
	pool, err := x509.SystemCertPool()
	switch {
	case err != nil:
		found = append(found, warning(name, m.install(everywhere("the system's certificates", "ca-certificates")), "those of the system cannot be read: %v", err))
	case runtime.GOOS == "linux" && pool.Equal(x509.NewCertPool()):
		found = append(found, warning(name, m.install(everywhere("the system's certificates", "ca-certificates")), "the system has none, so no server is trusted"))
	default:
		found = append(found, ok(name, "those of the system"))
	}
	return found
}

// readBundle counts the certificates in a file.
func readBundle(name, path string) finding {
	data, err := os.ReadFile(path)
	if err != nil {
		return warning(name, "name a file that can be read, or leave "+name+" out", "%v", err)
	}
	n := 0
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err == nil {
			n++
		}
	}
	if n == 0 {
		return warning(name, "name a file in PEM form, with -----BEGIN CERTIFICATE----- in it", "%s holds no certificate", path)
	}
	return ok(name, "%s: %d certificates", path, n)
}
