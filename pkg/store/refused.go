package store

import (
	"encoding/xml"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/openeas/eascmd/internal/fault"
)

// refused says what the server answered instead of the file, and whether to
// try again.
func (f *httpFetch) refused(resp *http.Response) error {
	text := "the server answered " + statusText(resp.StatusCode)
	if why := reason(resp); why != "" {
		text += ": " + why
	}
	if asked := resp.Request.URL; asked.Host != f.url.Host || asked.Path != f.url.Path {
		text += " (redirected to " + Mask(asked.String()) + ")"
	}
	err := fault.New(fault.Remote, "%s", text)
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return err.WithHint("check that the file is public, or that the address is signed and has not expired")
	case code == http.StatusNotFound, code == http.StatusGone:
		return err.WithHint("check the address; upper and lower case count, and so does how / is written in it (%%2F)")
	case code == http.StatusProxyAuthRequired:
		return err.WithHint("put the proxy's user name and password into HTTP_PROXY or HTTPS_PROXY")
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests,
		code >= 500 && code != http.StatusNotImplemented && code != http.StatusHTTPVersionNotSupported:
		return &retryError{err: err.WithHint("try again later"), after: retryAfter(resp.Header)}
	}
	return err
}

func statusText(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// reason returns what an object store says in its XML, or nothing. Its other
// fields, the access key among them, are not for showing.
func reason(resp *http.Response) string {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	var body struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}
	if xml.Unmarshal(b, &body) != nil || body.Code == "" {
		return ""
	}
	return clean(body.Code) + ", " + clean(Mask(body.Message))
}

// clean makes a server's text fit for one line of a terminal.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "..."
	}
	return strings.TrimRight(strings.TrimSpace(s), ".")
}

// retryAfter reads how long the server wants to be left alone.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil && s > 0 {
		return time.Duration(min(s, 3600)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}
