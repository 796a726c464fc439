package portable

import (
	"bytes"
	"os"
)

// authorities is where the certificate authorities lie in a tree.
const authorities = "ssl/cert.pem"

// machineAuthorities are where Linux systems keep theirs.
var machineAuthorities = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine, Arch
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora and its kin
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem", // SUSE
	"/etc/ssl/cert.pem",
}

// sslModule is the end of the ssl module. Where OpenSSL looks for authorities
// is compiled into it, and means nothing elsewhere.
const sslModule = `

def _authorities():
    # The file of authorities to use where OpenSSL's own places have none: the
    # machine's, or else the one that lies beside this Python.
    import glob
    import os
    import sys
    file_variable, file, directory_variable, directory = _ssl.get_default_verify_paths()
    if os.environ.get(file_variable) or os.environ.get(directory_variable):
        return None
    if os.path.isfile(file) or glob.glob(os.path.join(glob.escape(directory), "*.[0-9]")):
        return None
    for name in (
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
        os.path.join(sys.base_prefix, "ssl", "cert.pem"),
    ):
        if os.path.isfile(name):
            return name
    return None


def _set_default_verify_paths(self):
    super(SSLContext, self).set_default_verify_paths()
    file = _authorities()
    if file is not None:
        self.load_verify_locations(file)


_set_default_verify_paths.__name__ = "set_default_verify_paths"
SSLContext.set_default_verify_paths = _set_default_verify_paths
_verify_paths = get_default_verify_paths


def get_default_verify_paths():
    """Return paths to default cafile and capath.
    """
    paths = _verify_paths()
    file = _authorities()
    return paths if file is None else paths._replace(cafile=file)
`

// addAuthorities adds certificate authorities, and makes the ssl module find
// them where the machine has none of its own.
func (b *builder) addAuthorities() error {
	it := b.items[b.stdlib+"/ssl.py"]
	if it == nil {
		return nil // an interpreter without TLS
	}
	text, err := it.content()
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte("\ndef _authorities():")) {
		it.setData(append(bytes.TrimRight(text, "\n"), sslModule...))
	}
	if b.items[authorities] != nil {
		return nil
	}
	files := machineAuthorities
	if b.opts.Authorities != "" {
		files = []string{b.opts.Authorities}
	}
	for _, name := range files {
		pem, err := os.ReadFile(name)
		if err == nil && bytes.Contains(pem, []byte("-----BEGIN CERTIFICATE-----")) {
			b.put(authorities, 0o644, pem)
			return nil
		}
		if b.opts.Authorities != "" && err != nil {
			return err
		}
	}
	b.find(Warning, "", "install ca-certificates and pack again", "this machine has no certificate authorities to bring along: where there are none either, no TLS server can be verified")
	return nil
}
