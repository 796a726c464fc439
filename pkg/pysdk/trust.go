package pysdk

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"

	"github.com/openeas/eascmd/internal/fault"
)

// trustName is the file beside the environment with the certificates to trust
// while it is made.
const trustName = ".EN.pem"

// systemBundles are where systems keep the certificates that they trust in one
// file.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
	"/opt/homebrew/etc/ca-certificates/cert.pem",
}

// trust returns a file with the system's certificates and those of the bundle:
// pip and its like take one that replaces their own.
func (b *builder) trust() (string, error) {
	path := filepath.Join(filepath.Dir(b.stage.path), trustName)
	if exists(path) {
		return path, nil // of a program before this one
	}
	bundle, err := readBundle(b.CABundle)
	if err != nil {
		return "", err
	}
	var all bytes.Buffer
	for _, name := range append([]string{os.Getenv("PIP_CERT"), os.Getenv("SSL_CERT_FILE")}, systemBundles...) {
		if data, err := os.ReadFile(name); err == nil {
			all.Write(data)
			all.WriteByte('\n')
			break
		}
	}
	all.Write(bundle)
	return path, os.WriteFile(path, all.Bytes(), 0o600)
}

// readBundle reads a file with certificates.
func readBundle(name string) ([]byte, error) {
	bundle, err := os.ReadFile(name)
	if err != nil {
		return nil, fault.New(fault.Description, "read the CA bundle: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(bundle) {
		return nil, fault.New(fault.Description, "the CA bundle %s holds no certificate", name).
			WithHint("name a file in PEM form, with -----BEGIN CERTIFICATE----- in it")
	}
	return bundle, nil
}
