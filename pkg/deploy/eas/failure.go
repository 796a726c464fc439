package eas

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/store"
)

// failure is an attempt that failed.
type failure struct {
	*deploy.Error
	kind fault.Kind
	hint string

	transient bool          // it may work the next time
	replayed  bool          // net/http may have sent the same question before; see call
	after     time.Duration // as the server asked
}

// fault makes the error that callers see.
func (f *failure) fault(what string) error {
	err := fault.New(f.kind, "%s: %w", what, f.Error)
	if f.hint != "" {
		err = err.WithHint("%s", f.hint)
	}
	return err
}

func (f *failure) text() string { return f.Error.Error() }

// interrupted is the failure of a call that nobody waits for any longer, after
// the attempt that last failed.
func interrupted(ctx context.Context, last *failure) *failure {
	cause := context.Cause(ctx)
	f := &failure{kind: fault.Interrupted, Error: &deploy.Error{
		Operation: last.Operation,
		Unsettled: last.Unsettled,
		Err:       cause,
	}}
	switch {
	case errors.Is(cause, context.DeadlineExceeded):
		f.kind = fault.Failed
		f.Why = "it took longer than it may"
	case errors.Is(cause, context.Canceled):
		f.Why = "interrupted"
	default:
		f.Why = cause.Error()
	}
	if why := last.text(); why != "" {
		f.Why += ", after: " + why
	}
	return f
}

const hintNotEAS = "check that the endpoint is that of EAS, and that no proxy answers in its place"

// unreachable says why no answer came.
func (t *Target) unreachable(op operation, err error, sent bool, c config.Credentials) *failure {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	f := &failure{
		kind:      fault.Missing,
		hint:      "check the network and the proxy (HTTP_PROXY, HTTPS_PROXY, NO_PROXY)",
		transient: true,
		Error:     &deploy.Error{Operation: op.name, Unsettled: sent, Err: err},
	}
	where := t.opts.Endpoint
	switch {
	case isDNS(err):
		f.Why = "there is no host of the name " + dnsName(err)
		f.hint = "check the region; the endpoint is pai-eas.REGION.aliyuncs.com, and pai-eas-manage-vpc.REGION.aliyuncs.com inside a VPC"
		f.transient = false
	case isTrust(err):
		f.Why = where + ": " + err.Error()
		f.hint = "if the server's certificate comes from an authority of your own, name its file with --ca-bundle"
		f.transient = false
	case errors.Is(err, http.ErrSchemeMismatch) || isRecordHeader(err):
		f.Why = where + " speaks HTTP and not HTTPS"
		f.hint = "give the endpoint as http://" + where
		f.transient = false
	case errors.Is(err, errTooLong):
		f.Why = where + ": " + err.Error()
		f.kind, f.hint, f.transient = fault.Remote, hintNotEAS, false
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Why = where + " refuses connections"
		f.hint = "check that the server is running and that the port is right"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		f.Why = where + ": the connection ended before the answer did"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		f.Why = where + ": the connection was reset"
	default:
		f.Why = where + ": " + scrub(store.Mask(err.Error()), c)
	}
	return f
}

func isDNS(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

func dnsName(err error) string {
	dns, _ := errors.AsType[*net.DNSError](err)
	return dns.Name
}

func isRecordHeader(err error) bool {
	_, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok
}

// isTrust reports whether err is about the server's certificate.
func isTrust(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.HostnameError](err)
	return ok
}

// unexpected says that an answer is not what the API promises. Whether the
// request was carried out is then anybody's guess.
func unexpected(op operation, a *answer, err error) *failure {
	f := &failure{
		kind:  fault.Remote,
		hint:  hintNotEAS,
		Error: &deploy.Error{Operation: op.name, Status: a.status, RequestID: requestID(a, ""), Unsettled: true, Err: err},
	}
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	f.Why = "the answer is not what the API of EAS promises: " + strings.Join(strings.Fields(
		cmp.Or(http.StatusText(a.status), "status")+" with "+cmp.Or(kind, "no content type")), " ") + ", " + firstOf(a.body)
	if err != nil {
		f.Why += " (" + err.Error() + ")"
	}
	return f
}

// firstOf quotes the beginning of a body that nobody expected.
func firstOf(body []byte) string {
	if len(body) == 0 {
		return "without a body"
	}
	text := clean(string(body[:min(len(body), 400)]))
	if r := []rune(text); len(r) > 60 {
		text = string(r[:60]) + "..."
	}
	return "that begins with " + text
}

// requestID finds the id of a request in its answer.
func requestID(a *answer, inBody string) string {
	return clean(cmp.Or(inBody, a.header.Get("x-acs-request-id")))
}

// scrub takes credentials out of somebody else's text.
func scrub(text string, c config.Credentials) string {
	for secret, shown := range map[string]string{
		c.AccessKeySecret: "***",
		c.STSToken:        "***",
		c.AccessKeyID:     config.Mask(c.AccessKeyID),
	} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, shown)
		}
	}
	return text
}

// clean makes a server's text fit for one line of a terminal.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.Join(strings.Fields(s), " ")
}
