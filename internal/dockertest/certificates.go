package dockertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificates makes an authority, and with it the certificates of a daemon at
// an IP address and of its clients. The clients' are written to dir under the
// names that every Docker client knows; the daemon's are returned as files for
// /certs.
func certificates(dir, ip string) (map[string]string, error) {
	authority, err := issue("eascmd test authority", "", nil)
	if err != nil {
		return nil, err
	}
	daemon, err := issue("daemon", ip, authority)
	if err != nil {
		return nil, err
	}
	user, err := issue("client", "", authority)
	if err != nil {
		return nil, err
	}
	for name, text := range map[string]string{"ca.pem": authority.certPEM, "cert.pem": user.certPEM, "key.pem": user.keyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return map[string]string{
		"/certs/ca.pem": authority.certPEM, "/certs/cert.pem": daemon.certPEM, "/certs/key.pem": daemon.keyPEM,
	}, nil
}

// identity is a certificate and its key.
type identity struct {
	cert            *x509.Certificate
	key             *ecdsa.PrivateKey
	certPEM, keyPEM string
}

// issue makes an identity: an authority's own where by is nil.
func issue(name, ip string, by *identity) (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		// Clocks differ, and a test does not take a day.
		NotBefore:   time.Now().Add(-time.Hour),
		NotAfter:    time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if addr := net.ParseIP(ip); addr != nil {
		template.IPAddresses = []net.IP{addr}
	}
	parent, signer := template, key
	if by == nil {
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage |= x509.KeyUsageCertSign
	} else {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &identity{
		cert: cert, key: key,
		certPEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		keyPEM:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
	}, nil
}
