package docker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/sockets"

	"github.com/openeas/eascmd/internal/fault"
)

// troubleKind is what keeps a daemon from us. The first is the one that most
// likely is to be mended where several places have trouble.
type troubleKind int

const (
	badChoice   troubleKind = iota // what the user chose cannot be tried
	denied                         // it is there, but not for this user
	hangs                          // it is there, but does not answer
	tooOld                         // its API, or the one asked for, is too old
	tooNew                         // it no longer speaks our API
	tlsWrong                       // certificates, or TLS where there is none
	sshFailed                      // ssh did not lead to a daemon
	refuses                        // it answers with an error
	stranger                       // something else answers
	unreachable                    // the network does not lead there
	deaf                           // nobody listens
	absent                         // there is no such socket
)

// trouble is why a place has no daemon for us, in plain words.
type trouble struct {
	kind  troubleKind
	words string
	hint  string
	err   error
}

func (t *trouble) Error() string { return t.words }
func (t *trouble) Unwrap() error { return t.err }

// classify makes plain words of an error while connecting or greeting.
func (p *place) classify(m *machine, err error) *trouble {
	if t, ok := errors.AsType[*trouble](err); ok {
		return t
	}
	keeper := m.keeper(p)
	path, isSocket := p.socket()
	t := &trouble{err: err}
	say := func(kind troubleKind, hint, words string, args ...any) *trouble {
		t.kind, t.hint, t.words = kind, hint, fmt.Sprintf(words, args...)
		return t
	}
	text := strings.TrimPrefix(err.Error(), "Error response from daemon: ")
	switch {
	case errors.Is(err, context.Canceled):
		return say(unreachable, "", "interrupted")
	case isSocket && isDirectory(path):
		return say(stranger, fmt.Sprintf("a container mounted what did not exist, and so made the directory: `sudo rmdir %s`, then %s", path, keeper.start),
			"is a directory, not a socket")
	case errors.Is(err, fs.ErrNotExist):
		words := "does not exist"
		if target, linkErr := os.Readlink(path); linkErr == nil {
			words = fmt.Sprintf("is a link to %s, which does not exist", target)
		}
		return say(absent, keeper.starts(), "%s", words)
	case errors.Is(err, fs.ErrPermission):
		words, hint := m.deniedWhy(path)
		return say(denied, hint, "permission denied%s", words)
	case errors.Is(err, syscall.ENOTSOCK), errors.Is(err, syscall.EPROTOTYPE):
		return say(stranger, "", "is not a socket that daemons listen on")
	case isSocket && errors.Is(err, syscall.ECONNREFUSED):
		return say(deaf, keeper.starts(), "nobody listens: the daemon has ended")
	case errors.Is(err, syscall.ECONNREFUSED):
		return say(deaf, keeper.starts(), "nobody listens there")
	case errors.Is(err, syscall.EAGAIN):
		return say(hangs, keeper.hangs(), "accepts no more connections")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return say(hangs, keeper.hangs(), "no answer in time")
	case errors.Is(err, exec.ErrNotFound):
		return say(sshFailed, "install an ssh client, such as OpenSSH's", "there is no program ssh on PATH")
	case errors.Is(err, sockets.ErrProtocolNotAvailable):
		return say(badChoice, "an address here is unix:///path, tcp://host:port or ssh://user@host", "named pipes are Windows' own")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return say(unreachable, "look at the network, the firewall and the address", "the host cannot be reached")
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return say(unreachable, "look at the address: a host of this name is not known here", "the name %s cannot be resolved", dns.Name)
	}
	if words, hint := tlsWords(err); words != "" {
		return say(tlsWrong, hint, "%s", words)
	}
	switch {
	case strings.Contains(text, "client version") && strings.Contains(text, "too new"):
		return say(tooOld, "`unset "+client.EnvOverrideAPIVersion+"`: the version is negotiated with the daemon", "%s", text)
	case strings.Contains(text, "client version") && strings.Contains(text, "too old"):
		return say(tooNew, "update eascmd: this daemon no longer speaks its API", "%s", text)
	case strings.Contains(text, "malformed HTTP"):
		return notDocker()
	case errdefs.IsPermissionDenied(err), errdefs.IsUnauthorized(err):
		return forbids(text)
	case connectionLost(err):
		return say(deaf, keeper.ended(), "closes the connection without an answer")
	case errdefs.IsInternal(err):
		return say(refuses, keeper.hangs(), "answers with an error: %s", text)
	}
	return say(refuses, "", "%s", innermost(err))
}

// notDocker is the trouble with something else that listens.
func notDocker() *trouble {
	return &trouble{kind: stranger, words: "something answers, but not as a Docker daemon does",
		hint: "look at what listens there"}
}

// wantsTLS is the trouble with a daemon that is spoken to without TLS.
func wantsTLS() *trouble {
	return &trouble{kind: tlsWrong, words: "the daemon wants TLS",
		hint: fmt.Sprintf("set %s=1, and %s to the directory of ca.pem, cert.pem and key.pem", client.EnvTLSVerify, client.EnvOverrideCertPath)}
}

// forbids is the trouble with a daemon, or what stands before it, that refuses.
func forbids(said string) *trouble {
	return &trouble{kind: refuses, words: "answers, but refuses: " + said,
		hint: "an authorization plugin or a proxy of the socket forbids the call: it must allow /info, /containers, /images, /volumes and /build, and to change them"}
}

// tlsWords says what is wrong with TLS, if that is what an error is about.
func tlsWords(err error) (words, hint string) {
	const files = "ca.pem must be of the authority that signed the daemon's certificate"
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the daemon's certificate is signed by an authority that is not trusted", files
	}
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the daemon's certificate is not for %s", wrong.Host), "use a name that is in the certificate"
	}
	if wrong, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if wrong.Reason == x509.Expired {
			return "the daemon's certificate is not valid now: " + wrong.Detail, "renew the certificate, or set the clock"
		}
		return "the daemon's certificate is not valid: " + wrong.Error(), files
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the daemon does not speak TLS", "`unset " + client.EnvTLSVerify + "`, or use the port where it does: usually 2376"
	}
	if strings.Contains(err.Error(), "remote error: tls:") {
		_, said, _ := strings.Cut(err.Error(), "remote error: tls: ")
		return "the daemon does not accept our certificate: " + said, "cert.pem and key.pem must be signed by the authority that the daemon trusts (--tlscacert)"
	}
	return "", ""
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// noDaemon is the error where nothing answers: all that was tried, a line each.
func (m *machine) noDaemon(tried []Candidate) error {
	if len(tried) == 1 {
		c := tried[0]
		where := c.Source
		if c.Address != "" {
			where = c.Address + " (" + c.Source + ")"
		}
		err := fault.New(fault.Missing, "no Docker daemon answers: %s: %w", where, c.err)
		return err.WithHint("%s", m.remedy(tried))
	}
	var wide int
	for _, c := range tried {
		wide = max(wide, len(m.short(c)))
	}
	var text strings.Builder
	errs := make([]error, len(tried))
	for i, c := range tried {
		fmt.Fprintf(&text, "\n  %-*s  %s", wide, m.short(c), c.Outcome)
		errs[i] = c.err
	}
	return &fault.Error{Kind: fault.Missing, Text: "no Docker daemon answers:" + text.String(), Hint: m.remedy(tried), Err: errors.Join(errs...)}
}

// short is how a list names a place: the path of a socket, with the home
// directory as people write it, and whose it is.
func (m *machine) short(c Candidate) string {
	address, isSocket := strings.CutPrefix(c.Address, "unix://")
	if isSocket {
		if rest, ok := strings.CutPrefix(address, m.home+string(filepath.Separator)); ok {
			address = filepath.Join("~", rest)
		}
	}
	if address == "" {
		return c.Source
	}
	return address + " (" + c.Source + ")"
}

// pathless is what happened to a file that the message names already.
func pathless(err error) string {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err.Error()
	}
	return err.Error()
}
