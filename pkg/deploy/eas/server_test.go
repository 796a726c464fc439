package eas

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/config/credentials"
)

const (
	testID     = "LTAI5tTestTestTestab"
	testSecret = "secret-of-the-test-key"
	testRegion = "cn-test"
)

// api is a server that checks what every request must have and answers from a
// list.
type api struct {
	*httptest.Server
	t       *testing.T
	mu      sync.Mutex
	sts     string             // the token that requests must carry
	answers []http.HandlerFunc // the last one stays
	got     []got
}

// got is a request that came.
type got struct {
	Line   string // method, path and query as they were on the wire
	Body   string
	Action string
	header http.Header
}

func newAPI(t *testing.T, answers ...http.HandlerFunc) *api {
	t.Helper()
	a := &api{t: t, answers: answers}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if why := verify(r, body, testSecret); why != "" {
		a.t.Errorf("%s %s: %s", r.Method, r.RequestURI, why)
	}
	a.mu.Lock()
	if id := r.Header.Get("x-acs-security-token"); id != a.sts {
		a.t.Errorf("%s %s: the security token is %q, not %q", r.Method, r.RequestURI, id, a.sts)
	}
	a.got = append(a.got, got{r.Method + " " + r.RequestURI, string(body), r.Header.Get("x-acs-action"), r.Header})
	answer := a.answers[0]
	if len(a.answers) > 1 {
		a.answers = a.answers[1:]
	}
	a.mu.Unlock()
	answer(w, r)
}

// want sets the security token that requests must carry.
func (a *api) want(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sts = token
}

// requests returns the requests that came, without headers.
func (a *api) requests() []got {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := slices.Clone(a.got)
	for i := range list {
		list[i].header = nil
	}
	return list
}

// target returns a target that calls the server, with pauses that no test waits
// for.
func (a *api) target(change ...func(*Options)) *Target {
	a.t.Helper()
	opts := Options{
		Endpoint:    strings.TrimPrefix(a.URL, "http://"),
		Scheme:      "http",
		Region:      testRegion,
		Credentials: credentials.Static{AccessKeyID: testID, AccessKeySecret: testSecret, STSToken: a.sts},
		Client:      &http.Client{Transport: &http.Transport{}},
		RetryDelay:  time.Millisecond,
	}
	for _, c := range change {
		c(&opts)
	}
	target, err := New(opts)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(opts.Client.CloseIdleConnections)
	return target
}

// says answers with a body of JSON.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json;charset=utf-8")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// refuses answers with an error of the API.
func refuses(status int, code, message string) http.HandlerFunc {
	return says(status, fmt.Sprintf(`{"RequestId":"R-1","HostId":"pai-eas.cn-test.aliyuncs.com","Code":%q,"Message":%q}`, code, message))
}

// breaks closes the connection without an answer.
func breaks(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// verify checks a signature by what the reference says of it, and nothing of
// the library. It returns what is wrong.
func verify(r *http.Request, body []byte, secret string) string {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme != "ACS3-HMAC-SHA256" {
		return "the authorization is of the kind " + scheme
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(part, "=")
		parts[key] = value
	}
	hash := sha256.Sum256(body)
	if r.Header.Get("x-acs-content-sha256") != hex.EncodeToString(hash[:]) {
		return "x-acs-content-sha256 is not that of the body"
	}
	signed := strings.Split(parts["SignedHeaders"], ";")
	var headers string
	for _, name := range signed {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		headers += name + ":" + strings.TrimSpace(value) + "\n"
	}
	must := []string{"host"}
	for name := range r.Header {
		if name := strings.ToLower(name); strings.HasPrefix(name, "x-acs-") || name == "content-type" {
			must = append(must, name)
		}
	}
	slices.Sort(must)
	if !slices.Equal(must, signed) {
		return fmt.Sprintf("signed are %v, not %v", signed, must)
	}
	for _, name := range []string{"x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce"} {
		if r.Header.Get(name) == "" {
			return "there is no " + name
		}
	}
	var pairs []string
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err.Error()
	}
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for key := range query {
			if !yield(key) {
				return
			}
		}
	}) {
		pairs = append(pairs, unreserved(key)+"="+unreserved(query.Get(key)))
	}
	canonical := strings.Join([]string{r.Method, r.URL.EscapedPath(), strings.Join(pairs, "&"), headers, strings.Join(signed, ";"), hex.EncodeToString(hash[:])}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("ACS3-HMAC-SHA256\n" + hex.EncodeToString(sum[:])))
	if parts["Signature"] != hex.EncodeToString(mac.Sum(nil)) {
		return "the signature is not that of\n" + canonical
	}
	return ""
}

// unreserved encodes a text as RFC 3986 has it.
func unreserved(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
