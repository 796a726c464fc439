package invoke

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// patience bounds waits; it only ever passes in full where a test fails.
const patience = time.Minute

func TestSign(t *testing.T) {
	const date, kind, resource = "Thu, 01 Jul 2021 00:00:00 GMT", "application/octet-stream", "/api/predict/echo"
	for _, tt := range []struct{ body, sum, want string }{
		{"hello world", "5eb63bbbe01eeed093cb22bb8f5acdc3", "T2U/xCINmfZ+iTQ8y8CT+AZmi9A="},
		{"", "d41d8cd98f00b204e9800998ecf8427e", "/OeBskSCdnkxA8OfLAyP3QSkqnQ="},
	} {
		sum, err := contentMD5(Bytes([]byte(tt.body)))
		if err != nil || sum != tt.sum {
			t.Errorf("the checksum of %q is %s, %v, want %s", tt.body, sum, err, tt.sum)
		}
		if got := Sign("YjQxZDYz", "POST", sum, kind, date, resource); got != tt.want {
			t.Errorf("the signature of %q is %s, want %s", tt.body, got, tt.want)
		}
	}
}

// What is sent, by the vectors of the reference: with the date of the vector
// the request carries the vector's signature.
func TestAuthorize(t *testing.T) {
	date := time.Date(2021, 7, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		auth  Auth
		token string
		want  map[string]string
	}{
		{"", "YjQxZDYz", map[string]string{"Authorization": "YjQxZDYz"}},
		{Token, "YjQxZDYz", map[string]string{"Authorization": "YjQxZDYz"}},
		{Bearer, "YjQxZDYz", map[string]string{"Authorization": "Bearer YjQxZDYz"}},
		{Signature, "YjQxZDYz", map[string]string{
			"Authorization": "EAS T2U/xCINmfZ+iTQ8y8CT+AZmi9A=", "Date": "Thu, 01 Jul 2021 00:00:00 GMT", "Content-Md5": "5eb63bbbe01eeed093cb22bb8f5acdc3"}},
		{None, "YjQxZDYz", map[string]string{}},
		{Token, "", map[string]string{}},
		{Signature, "", map[string]string{}},
	} {
		r := Request{Auth: tt.auth, Token: tt.token}
		req := httptest.NewRequest(http.MethodPost, "http://h/api/predict/echo", nil)
		req.Header.Set("Content-Type", DefaultContentType)
		r.authorize(req, "5eb63bbbe01eeed093cb22bb8f5acdc3", date)
		got := map[string]string{}
		for name := range req.Header {
			got[name] = req.Header.Get(name)
		}
		tt.want["Content-Type"] = DefaultContentType
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q with token %q: -want +got:\n%s", tt.auth, tt.token, diff)
		}
	}
}

func TestAuthFlag(t *testing.T) {
	var a Auth
	if err := a.Set("BEARER"); err != nil || a != Bearer {
		t.Errorf("%q, %v", a, err)
	}
	if err := a.Set("basic"); err == nil || a != Bearer {
		t.Errorf("%q, %v", a, err)
	}
}

// serve answers requests with handler and returns the address.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// direct is a client of a test's own, without a proxy.
func direct(t *testing.T) *http.Client {
	transport := Transport(http.DefaultTransport.(*http.Transport))
	transport.Proxy = nil
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestWhatIsSent(t *testing.T) {
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %q %d type=%q accept-encoding=%q host=%s x=%q", r.Method, r.RequestURI, body, r.ContentLength,
			r.Header.Get("Content-Type"), r.Header.Get("Accept-Encoding"), r.Host, r.Header["X-A"])
	})
	host := strings.TrimPrefix(url, "http://")
	for _, tt := range []struct {
		name string
		r    Request
		want string
	}{
		{"nothing", Request{}, `POST / "" 0 type="" accept-encoding="" host=` + host + ` x=[]`},
		{"bytes", Request{Body: Bytes([]byte("hi"))}, `POST / "hi" 2 type="application/octet-stream" accept-encoding="" host=` + host + ` x=[]`},
		{"a file", Request{Body: File(file)}, `POST / "from a file" 11 type="application/octet-stream" accept-encoding="" host=` + host + ` x=[]`},
		{"headers", Request{Body: Bytes([]byte("{}")), Header: http.Header{"content-type": {"application/json"}, "Host": {"other"}, "X-a": {"1", "2"}}},
			`POST / "{}" 2 type="application/json" accept-encoding="" host=other x=["1" "2"]`},
		{"a method", Request{Method: "GET"}, `GET / "" 0 type="" accept-encoding="" host=` + host + ` x=[]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.r.URL = url
			answer, err := Do(t.Context(), tt.r, Options{Client: direct(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			got, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// What cannot be sent is told before anything is, and without the value.
func TestUnsendable(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	for want, r := range map[string]Request{
		"the value of the header X-A has a line break":       {Header: http.Header{"x-a": {"secret\nc: d"}}},
		`"a b" cannot be the name of a header`:               {Header: http.Header{"a b": {"secret"}}},
		"the token has a line break":                         {Token: "secret\n"},
		`"a\nb" cannot be the name of a host`:                {Header: http.Header{"host": {"a\nb"}}},
		"the value of the header X-B has a line break or an": {Header: http.Header{"X-B": {"secret\x7f"}}},
	} {
		r.URL = url
		answer, err := Do(t.Context(), r, Options{Client: direct(t)})
		if err == nil {
			answer.Body.Close()
		}
		if fault.KindOf(err) != fault.Usage || !strings.HasPrefix(fmt.Sprint(err), want) || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A body goes untouched in both directions, and a token does not follow a
// redirect.
func TestNothingIsFollowedOrUnpacked(t *testing.T) {
	zipped := "\x1f\x8b not really gzip"
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, zipped)
	})
	answer, err := Do(t.Context(), Request{URL: url}, Options{Client: direct(t)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || string(got) != zipped {
		t.Errorf("%q, %v", got, err)
	}
	answer, err = Do(t.Context(), Request{URL: url + "/redirect", Token: "secret"}, Options{Client: direct(t)})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("the redirect was answered %s", answer.Status)
	}
	if err := answer.Err("", false, false); fault.KindOf(err) != fault.Answer || !strings.Contains(fault.HintOf(err), "Location") {
		t.Errorf("%v; %s", err, fault.HintOf(err))
	}
}

func TestWaitReady(t *testing.T) {
	var calls atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch calls.Add(1) {
		case 1:
			w.WriteHeader(404)
		case 2:
			w.WriteHeader(503)
		case 3:
			w.WriteHeader(503)
			io.WriteString(w, "no healthy upstream")
		default:
			w.WriteHeader(503)
			io.WriteString(w, "the processor says no to "+string(body))
		}
	})
	var why []string
	opts := Options{Client: direct(t), WaitReady: patience, pause: time.Millisecond, Waiting: func(text string) { why = append(why, text) }}
	answer, err := Do(t.Context(), Request{URL: url, Body: Bytes([]byte("body"))}, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(body), "the processor says no to body"; got != want {
		t.Errorf("the body is %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"404, the gateway does not know the service yet", "503, no instance is ready", "503, no instance is ready"}, why); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if answer.Attempts != 4 {
		t.Errorf("%d attempts", answer.Attempts)
	}

	// Not asked to wait, or not for long enough: the answer is passed on.
	for _, wait := range []time.Duration{0, time.Nanosecond} {
		calls.Store(2)
		answer, err := Do(t.Context(), Request{URL: url}, Options{Client: direct(t), WaitReady: wait})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || string(body) != "no healthy upstream" || calls.Load() != 3 {
			t.Errorf("%q, %v after %d calls", body, err, calls.Load()-2)
		}
	}
}

// A service that is not there yet is waited for too.
func TestWaitForTheServer(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	var started atomic.Bool
	client := direct(t)
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if !started.Load() {
			address = "127.0.0.1:1" // where nobody listens
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	r := Request{URL: url + "/api/predict/x?key=secret"}
	_, err := Do(t.Context(), r, Options{Client: client})
	if fault.KindOf(err) != fault.Missing || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), url+"/api/predict/x cannot be reached") {
		t.Errorf("%v of kind %d", err, fault.KindOf(err))
	}

	answer, err := Do(t.Context(), r, Options{Client: client, WaitReady: patience, pause: time.Millisecond, Waiting: func(string) { started.Store(true) }})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.Attempts < 2 {
		t.Errorf("%d attempts", answer.Attempts)
	}
}

func TestErrors(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-release
		}
		panic(http.ErrAbortHandler)
	})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancelLate()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		r    Request
		kind fault.Kind
		text string
	}{
		{"broken off", t.Context(), Request{URL: url + "/x?q=1"}, fault.Answer, url + "/x broke off: EOF"},
		{"interrupted", cancelled, Request{URL: url}, fault.Interrupted, "context canceled"},
		{"too late", late, Request{URL: url + "/hang"}, fault.Answer, url + "/hang did not answer in time"},
		{"no file", t.Context(), Request{URL: url, Body: File(filepath.Join(t.TempDir(), "none"))}, fault.Usage, "the request's body: open "},
		{"a directory", t.Context(), Request{URL: url, Body: File(t.TempDir()), Auth: Signature, Token: "t"}, fault.Usage, "it is no regular file"},
		{"no address", t.Context(), Request{URL: "http://[::1"}, fault.Usage, "missing ']'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Do(tt.ctx, tt.r, Options{Client: direct(t)})
			if err == nil || fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v of kind %d, want %q of kind %d", err, fault.KindOf(err), tt.text, tt.kind)
			}
		})
	}
}

// The limit is of one attempt, and of the whole answer.
func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow-body" {
			io.WriteString(w, "begun")
			http.NewResponseController(w).Flush()
		}
		<-release
	})
	_, err := Do(t.Context(), Request{URL: url}, Options{Client: direct(t), Timeout: time.Millisecond})
	if fault.KindOf(err) != fault.Answer || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	answer, err := Do(t.Context(), Request{URL: url + "/slow-body"}, Options{Client: direct(t), Timeout: 300 * time.Millisecond})
	if err != nil {
		return // a machine that is as slow as that
	}
	defer answer.Body.Close()
	if _, err := io.ReadAll(answer.Body); fault.KindOf(err) != fault.Answer || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// An answer that ends in its middle ends so for the reader too, also where its
// beginning was looked at.
func TestBrokenAnswer(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(503)
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	answer, err := Do(t.Context(), Request{URL: url}, Options{Client: direct(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got, err := io.ReadAll(answer.Body); string(got) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestMeaning(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   bool
		text   string
		hint   string
	}{
		{401, false, "the token is missing or is not this service's", "eascmd desc"},
		{404, false, "the gateway knows no such service", "--wait-ready"},
		{404, true, "nothing at this path", "path"},
		{408, true, "rpc.keepalive", "-Dmetadata.rpc.keepalive"},
		{429, false, "rpc.rate_limit", "slowly"},
		{450, false, "queue is full", "eascmd scale"},
		{503, true, "no instance is ready", "--wait-ready"},
		{400, true, "the processor", "the answer's body says why"},
		{500, false, "the processor failed", "`eascmd log SERVICE` says why"},
		{201, false, "was answered 201", ""},
		{599, false, "was answered 599", "eascmd log"},
	} {
		answer := Answer{Status: fmt.Sprint(tt.status), StatusCode: tt.status}
		err := answer.Err("", false, tt.body)
		if fault.KindOf(err) != fault.Answer || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.HintOf(err), tt.hint) || (tt.hint == "") != (fault.HintOf(err) == "") {
			t.Errorf("%d: %v; hint %q", tt.status, err, fault.HintOf(err))
		}
	}
	if err := (&Answer{StatusCode: 450}).Err("scorer", false, false); !strings.Contains(fault.HintOf(err), "`eascmd scale scorer N`") {
		t.Errorf("%s", fault.HintOf(err))
	}
	// What an address calls may be a group, which most commands do not know.
	const group = "; if scorer is a group, `eascmd list --group scorer` shows its services"
	for status, want := range map[int]bool{401: true, 450: true, 500: true, 503: true, 404: false, 413: false} {
		if hint := fault.HintOf((&Answer{StatusCode: status}).Err("scorer", true, false)); strings.HasSuffix(hint, group) != want {
			t.Errorf("%d: %s", status, hint)
		}
	}
	if err := (&Answer{Status: "200 OK", StatusCode: 200}).Err("", false, false); err != nil {
		t.Error(err)
	}
}
