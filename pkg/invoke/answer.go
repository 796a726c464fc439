package invoke

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// peek is how much of a body is read to see whether a service is not ready.
const peek = 4 << 10

// NotReady says why an answer means that a service is not ready yet, and
// nothing where it means something else. body is the beginning of its body.
// EAS answers so while its gateway does not know a service's instances: for a
// while even a service that is Running.
func NotReady(status int, body []byte) string {
	switch {
	case status == http.StatusServiceUnavailable && (len(body) == 0 || bytes.Contains(body, []byte("no healthy upstream"))):
		return "503, no instance is ready"
	case status == http.StatusNotFound && len(body) == 0:
		return "404, the gateway does not know the service yet"
	}
	return ""
}

// notReady looks at the beginning of the body, which stays to be read.
func (a *Answer) notReady() string {
	if a.StatusCode != http.StatusServiceUnavailable && a.StatusCode != http.StatusNotFound {
		return ""
	}
	return NotReady(a.StatusCode, a.peek())
}

// peek returns the beginning of the body, which stays to be read.
func (a *Answer) peek() []byte {
	begin, err := io.ReadAll(io.LimitReader(a.Body, peek))
	var rest io.Reader = a.Body
	if err != nil {
		rest = failing{err}
	}
	a.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(begin), rest), a.Body}
	return begin
}

// failing is the rest of a body that has broken off.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Err is nil for 200, which is what the client SDKs take for success, and for
// every other status an error of kind Answer that says what EAS means by it.
// service is for the hints and may be empty; body is whether the answer has one.
// address is whether the name was read out of an address, where it may be that
// of a group of services.
func (a *Answer) Err(service string, address, body bool) error {
	if a.StatusCode == http.StatusOK {
		return nil
	}
	meaning, hint := Meaning(a.StatusCode, body)
	if meaning != "" {
		meaning = ": " + meaning
	}
	err := fault.New(fault.Answer, "the request was answered %s%s", strings.TrimSpace(a.Status), meaning)
	if hint != "" {
		if address && strings.Contains(hint, "`eascmd") && strings.Contains(hint, "SERVICE") {
			hint += "; if SERVICE is a group, `eascmd list --group SERVICE` shows its services"
		}
		if service != "" {
			hint = strings.ReplaceAll(hint, "SERVICE", service)
		}
		err = err.WithHint("%s", hint)
	}
	return err
}

// Meaning says what EAS means by a status, and what to do. body is whether the
// answer has one: the gateway's own answers often have none.
func Meaning(status int, body bool) (meaning, hint string) {
	switch status {
	case http.StatusBadRequest:
		return "the processor refused the request or failed at it", whereItSaysWhy(body)
	case http.StatusUnauthorized:
		return "the token is missing or is not this service's", "`eascmd desc SERVICE` shows the token of a service, the console that of a group; --auth says how it is sent"
	case http.StatusForbidden:
		return "the caller is not let in", "the gateway may have a list of addresses that may call"
	case http.StatusNotFound:
		if !body {
			return "the gateway knows no such service, or not yet", "look at the name and the region with `eascmd list`; --wait-ready asks again until the service is there"
		}
		return "the service has nothing at this path", "look at the path after /api/predict/SERVICE"
	case http.StatusMethodNotAllowed:
		return "the service does not take this method", "processors take POST; see --method"
	case http.StatusRequestTimeout:
		return "processing took longer than rpc.keepalive", "raise it: `eascmd modify SERVICE -Dmetadata.rpc.keepalive=60000` (milliseconds)"
	case http.StatusRequestEntityTooLarge:
		return "the request's body is too large", ""
	case http.StatusTooManyRequests:
		return "more requests a second than rpc.rate_limit or the gateway lets through", "ask more slowly, or raise metadata.rpc.rate_limit"
	case 450:
		return "the instance's queue is full", "ask again later, or add instances: `eascmd scale SERVICE N`"
	case 499:
		return "the request was given up before it was answered", ""
	case http.StatusInternalServerError:
		return "the processor failed", whereItSaysWhy(body)
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return "no instance is ready", "`eascmd showworkers SERVICE` and `eascmd events SERVICE` say why; --wait-ready asks again until one is"
	case http.StatusGatewayTimeout:
		return "the gateway gave up waiting for the instance", ""
	}
	switch {
	case status >= 300 && status < 400:
		return "redirects are not followed", "call the address of the Location header, which -v shows"
	case status >= 500:
		return "", whereItSaysWhy(body)
	}
	return "", ""
}

func whereItSaysWhy(body bool) string {
	if body {
		return "the answer's body says why; `eascmd log SERVICE` may say more"
	}
	return "`eascmd log SERVICE` says why"
}

// isUnreached reports an error from before anything was sent: asking again can
// do no harm.
func isUnreached(err error) bool {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// reason is an error of the network without the address.
func reason(err error) string {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	return err.Error()
}
