package docker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/docker/cli/cli/context/store"
	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// certAuthority signs certificates.
type certAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCertAuthority(t *testing.T) *certAuthority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &certAuthority{cert, key}
}

func (a *certAuthority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// sign makes a certificate and its key, as PEM, that is good until end.
func (a *certAuthority) sign(t *testing.T, end time.Time, hosts ...string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "somebody"},
		NotBefore: end.Add(-2 * time.Hour), NotAfter: end,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// daemon serves a fake daemon over TLS, to those who have a certificate of the
// authority, and returns its address.
func (a *certAuthority) daemon(t *testing.T, end time.Time, hosts ...string) string {
	t.Helper()
	pair, err := tls.X509KeyPair(a.sign(t, end, hosts...))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	})
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, &fakeDaemon{version: "over TLS"})
	return "tcp://" + l.Addr().String()
}

func TestTLS(t *testing.T) {
	t.Parallel()
	soon, gone := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	ours, theirs := newCertAuthority(t), newCertAuthority(t)
	cert, key := ours.sign(t, soon)
	wrongCert, wrongKey := theirs.sign(t, soon)
	good := ours.daemon(t, soon, "127.0.0.1")
	expired := ours.daemon(t, gone, "127.0.0.1")
	other := ours.daemon(t, soon, "docker.example.org")
	plainListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, plainListener, &fakeDaemon{})
	plain := "tcp://" + plainListener.Addr().String()

	files := func(ca, cert, key []byte) map[string][]byte {
		all := map[string][]byte{"ca.pem": ca, "cert.pem": cert, "key.pem": key}
		for name, data := range all {
			if data == nil {
				delete(all, name)
			}
		}
		return all
	}
	const environ, inContext = "environment", "context"
	for _, test := range []struct {
		name    string
		by      string
		environ []string
		address string
		files   map[string][]byte
		skip    bool
		want    string // version, or what went wrong
		hint    string
	}{
		{name: "context", by: inContext, address: good, files: files(ours.pem(), cert, key), want: "over TLS"},
		{name: "context over https", by: inContext, address: strings.Replace(good, "tcp:", "https:", 1), files: files(ours.pem(), cert, key), want: "over TLS"},
		{name: "context without verification", by: inContext, address: other, files: files(nil, cert, key), skip: true, want: "over TLS"},
		{name: "environment", by: environ, environ: []string{"DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH=$ROOT/certs"}, address: good,
			files: files(ours.pem(), cert, key), want: "over TLS"},
		{name: "environment without verification", by: environ, environ: []string{"DOCKER_TLS=1", "DOCKER_CERT_PATH=$ROOT/certs"}, address: expired,
			files: files(ours.pem(), cert, key), want: "over TLS"},
		{name: "wrong authority", by: inContext, address: good, files: files(theirs.pem(), cert, key),
			want: "the daemon's certificate is signed by an authority that is not trusted",
			hint: "ca.pem must be of the authority that signed the daemon's certificate"},
		{name: "no certificate of ours", by: inContext, address: good, files: files(ours.pem(), nil, nil),
			want: "the daemon does not accept our certificate: certificate required",
			hint: "cert.pem and key.pem must be signed by the authority that the daemon trusts (--tlscacert)"},
		{name: "a certificate of another authority", by: inContext, address: good, files: files(ours.pem(), wrongCert, wrongKey),
			want: "the daemon does not accept our certificate: ",
			hint: "cert.pem and key.pem must be signed by the authority that the daemon trusts (--tlscacert)"},
		{name: "expired", by: inContext, address: expired, files: files(ours.pem(), cert, key),
			want: "the daemon's certificate is not valid now: current time ",
			hint: "renew the certificate, or set the clock"},
		{name: "another name", by: inContext, address: other, files: files(ours.pem(), cert, key),
			want: "the daemon's certificate is not for 127.0.0.1",
			hint: "use a name that is in the certificate"},
		{name: "TLS to a daemon without", by: inContext, address: plain, files: files(ours.pem(), cert, key),
			want: "the daemon does not speak TLS",
			hint: "`unset DOCKER_TLS_VERIFY`, or use the port where it does: usually 2376"},
		{name: "no TLS to a daemon with", by: environ, address: good,
			want: "the daemon wants TLS",
			hint: "set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the directory of ca.pem, cert.pem and key.pem"},
		{name: "a file that is no certificate", by: environ, environ: []string{"DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH=$ROOT/certs"}, address: good,
			files: files([]byte("nothing\n"), cert, key),
			want:  "the certificates in /certs cannot be used: ca.pem holds no certificate",
			hint:  "put the daemon's ca.pem and your cert.pem and key.pem there, or set DOCKER_CERT_PATH"},
		{name: "a context's file that is no certificate", by: inContext, address: good, files: files(ours.pem(), cert, []byte("nothing\n")),
			want: "the context's certificates cannot be used: cert.pem and key.pem: ",
			hint: "`docker context ls` lists the contexts, `unset DOCKER_CONTEXT` leaves them"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			vars := test.environ
			if test.by == inContext {
				vars = append(vars, "DOCKER_CONTEXT=secure")
			} else {
				vars = append(vars, "DOCKER_HOST="+test.address)
			}
			m := fakeMachine(t, vars...)
			if test.by == inContext {
				m.addContext(t, "secure", test.address, &store.EndpointTLSData{Files: test.files}, test.skip)
			} else {
				for name, data := range test.files {
					m.write(t, "/certs/"+name, string(data))
				}
			}
			d, err := connect(t.Context(), ConnectOptions{}, m)
			if err == nil {
				defer d.Close()
				if d.Info.ServerVersion != test.want {
					t.Fatalf("connected to version %s, want %s", d.Info.ServerVersion, test.want)
				}
				echo(t, d)
				return
			}
			c := candidates(t.Context(), ConnectOptions{}, m)[0]
			if got := m.plain(c.Outcome); !strings.HasPrefix(got, test.want) || test.want == "over TLS" {
				t.Errorf("outcome %q, want %q", got, test.want)
			}
			if diff := cmp.Diff(test.hint, c.Hint()); diff != "" {
				t.Errorf("hint (-want +got):\n%s", diff)
			}
			if fault.KindOf(err) != fault.Missing {
				t.Errorf("%v is of kind %d, want Missing", err, fault.KindOf(err))
			}
		})
	}
}
