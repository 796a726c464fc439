package eas

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/config/credentials"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/store"
)

// truncates promises more than it sends.
func truncates(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	io.WriteString(w, `{"RequestId":`)
	panic(http.ErrAbortHandler)
}

// throttles refuses before anything is done.
func throttles(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "0")
	refuses(429, "Throttling.User", "Request was denied due to user flow control.")(w, r)
}

// TestRetries makes requests that fail before they work.
func TestRetries(t *testing.T) {
	failures := []struct {
		name   string
		answer http.HandlerFunc
		doubt  bool // it may have been done
	}{
		{"reset", breaks, true},
		{"truncated", truncates, true},
		{"500", refuses(500, "InternalError", "The request processing has failed."), true},
		{"503", refuses(503, "ServiceUnavailable", "try later"), true},
		{"502 of a proxy", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", 502) }, true},
		{"throttled", throttles, false},
		{"throttled with 400", refuses(400, "Throttling", "slow down"), false},
		{"408", refuses(408, "RequestTimeout", "too slow"), false},
	}
	operations := []struct {
		name string
		do   func(context.Context, *Target) error
		once bool
	}{
		{"create", func(ctx context.Context, target *Target) error {
			_, err := target.Create(ctx, deploy.CreateRequest{Name: "echo", Description: []byte(`{}`)})
			return err
		}, true},
		{"update", func(ctx context.Context, target *Target) error {
			_, err := target.Update(ctx, "echo", deploy.UpdateRequest{Description: []byte(`{}`)})
			return err
		}, true},
		{"restart", func(ctx context.Context, target *Target) error {
			_, err := target.Act(ctx, "echo", deploy.Restart)
			return err
		}, true},
		{"delete", func(ctx context.Context, target *Target) error {
			_, err := target.Act(ctx, "echo", deploy.Delete)
			return err
		}, false},
		{"scale", func(ctx context.Context, target *Target) error {
			_, err := target.Scale(ctx, "echo", 2)
			return err
		}, false},
		{"describe", func(ctx context.Context, target *Target) error {
			_, err := target.Describe(ctx, "echo")
			return err
		}, false},
	}
	for _, f := range failures {
		for _, op := range operations {
			t.Run(f.name+"/"+op.name, func(t *testing.T) {
				t.Parallel()
				// Twice it fails, then it works.
				a := newAPI(t, f.answer, f.answer, says(200, `{"RequestId":"R-3","ServiceName":"echo"}`))
				err := op.do(t.Context(), a.target())
				want := 3
				if op.once && f.doubt {
					want = 1
				}
				if n := len(a.requests()); n != want {
					t.Errorf("%d requests, want %d", n, want)
				}
				if fails := want == 1; fails != (err != nil) || fails != deploy.Unsettled(err) {
					t.Errorf("error %v, unsettled: %v", err, deploy.Unsettled(err))
				}

				// It never works.
				a = newAPI(t, f.answer)
				err = op.do(t.Context(), a.target(func(o *Options) { o.Attempts = 3 }))
				if n := len(a.requests()); n != want {
					t.Errorf("%d requests, want %d", n, want)
				}
				if err == nil || deploy.Unsettled(err) != (f.doubt && op.name != "describe") {
					t.Errorf("error %v, unsettled: %v", err, deploy.Unsettled(err))
				}
				if kind := fault.KindOf(err); kind != fault.Remote && (kind != fault.Missing || deploy.RequestIDOf(err) != "") {
					t.Errorf("error %v of kind %d", err, kind)
				}
			})
		}
	}
}

// TestDeletedBefore is about an answer that got lost: the second time there is
// nothing to delete.
func TestDeletedBefore(t *testing.T) {
	none := refuses(404, "InvalidService.NotFound", "Service [echo] is not found")
	if _, err := newAPI(t, breaks, none).target().Act(t.Context(), "echo", deploy.Delete); err != nil {
		t.Errorf("error %v for what is gone", err)
	}
	if _, err := newAPI(t, throttles, none).target().Act(t.Context(), "echo", deploy.Delete); !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("error %v for what was not there", err)
	}
	_, err := newAPI(t, breaks, refuses(409, "IncorrectStatus", "Service is starting")).target().Act(t.Context(), "echo", deploy.Start)
	if err == nil || !deploy.Unsettled(err) {
		t.Errorf("error %v after a lost answer is settled", err)
	}
}

// TestUnexpected is about answers that say that all is well and cannot be read.
func TestUnexpected(t *testing.T) {
	for _, tt := range []struct {
		name, body, want string
	}{
		{"garbage", "\x00\x01 garbage", "that begins with garbage (invalid character"},
		{"page", "<html>log in</html>", "that begins with <html>log in</html> (invalid character"},
		{"cut", `{"RequestId":"R-1","ServiceName":`, `(unexpected end of JSON input)`},
		{"empty", "", "without a body (unexpected end"},
		{"list", `[]`, "(json: cannot unmarshal array"},
		{"type", `{"ServiceName":"echo","Cpu":"many"}`, "(many is no whole number)"},
		{"other", `{"RequestId":"R-1"}`, "(it has no ServiceName)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAPI(t, says(200, tt.body))
			_, err := a.target().Describe(t.Context(), "echo")
			if err == nil || !strings.Contains(err.Error(), "the answer is not what the API of EAS promises: OK with application/json") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v", err)
			}
			if fault.KindOf(err) != fault.Remote || errors.Is(err, deploy.ErrNotFound) || len(a.requests()) != 1 {
				t.Errorf("error %v of kind %d after %d requests", err, fault.KindOf(err), len(a.requests()))
			}
		})
	}
	_, err := newAPI(t, says(200, "garbage")).target().Create(t.Context(), deploy.CreateRequest{Name: "echo", Description: []byte(`{}`)})
	if !deploy.Unsettled(err) {
		t.Errorf("error %v leaves nothing open", err)
	}
}

// TestTooLong is about an answer that does not end: once is enough.
func TestTooLong(t *testing.T) {
	a := newAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		text := make([]byte, 1<<20)
		for range maxAnswer/len(text) + 1 {
			if _, err := w.Write(text); err != nil {
				return
			}
		}
	})
	_, err := a.target().Describe(t.Context(), "echo")
	if fault.KindOf(err) != fault.Remote || !errors.Is(err, errTooLong) || len(a.requests()) != 1 {
		t.Errorf("error %v of kind %d after %d requests", err, fault.KindOf(err), len(a.requests()))
	}
}

// TestRetryAfter waits as long as it is told to, within reason.
func TestRetryAfter(t *testing.T) {
	target, err := New(Options{Endpoint: "pai-eas.cn-test.aliyuncs.com", Credentials: staticKey, RetryDelay: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		header, value string
		attempt       int
		least, most   time.Duration
	}{
		{"", "", 1, 500 * time.Millisecond, 1500 * time.Millisecond},
		{"", "", 3, 2 * time.Second, 6 * time.Second},
		{"", "", 100, 30 * time.Second, 30 * time.Second},
		{"Retry-After", "7", 1, 7 * time.Second, 8 * time.Second},
		{"Retry-After", "1000", 1, 30 * time.Second, 30 * time.Second},
		{"Retry-After", "soon", 1, 500 * time.Millisecond, 1500 * time.Millisecond},
		{"X-RateLimit-User-API", "Remain:0,Limit:10,Time:MINUTE,TimeLeft:4000", 1, 4 * time.Second, 5 * time.Second},
		{"X-RateLimit-User", "Remain:0,TimeLeft:4000", 1, 4 * time.Second, 5 * time.Second},
	} {
		h := http.Header{}
		h.Set(tt.header, tt.value)
		for range 50 {
			if got := target.pause(tt.attempt, retryAfter(h)); got < tt.least || got > tt.most {
				t.Errorf("%s: %s, attempt %d: pause of %v, not of %v to %v", tt.header, tt.value, tt.attempt, got, tt.least, tt.most)
				break
			}
		}
	}
	if got := retryAfter(http.Header{"Retry-After": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}); got < 50*time.Minute || got > time.Hour {
		t.Errorf("a time an hour away is %v away", got)
	}
}

// TestWarnings tells who waits why.
func TestWarnings(t *testing.T) {
	var mu sync.Mutex
	var said []string
	a := newAPI(t, throttles, says(200, `{"ServiceName":"echo"}`))
	target := a.target(func(o *Options) {
		o.Warn = func(text string) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, text)
		}
	})
	if _, err := target.Describe(t.Context(), "echo"); err != nil {
		t.Fatal(err)
	}
	if len(said) != 1 || !strings.HasPrefix(said[0], "describe service echo in cn-test: too many requests (Throttling.User), request R-1; trying again in ") {
		t.Errorf("said %q", said)
	}
}

// TestTimeouts has a server that takes too long for everything.
func TestTimeouts(t *testing.T) {
	release := make(chan struct{})
	hang := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	slowBody := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"RequestId":`)
		w.(http.Flusher).Flush()
		hang(w, r)
	}
	t.Cleanup(func() { close(release) })
	for name, answer := range map[string]http.HandlerFunc{"no answer": hang, "half an answer": slowBody} {
		a := newAPI(t, answer)
		again := 0
		brief := func(o *Options) {
			o.AnswerTimeout, o.Attempts = 50*time.Millisecond, 2
			o.Warn = func(string) { again++ }
		}
		_, err := a.target(brief).Describe(t.Context(), "echo")
		if err == nil || !strings.HasSuffix(err.Error(), ": no whole answer came within 50ms") || fault.KindOf(err) != fault.Missing || again != 1 {
			t.Errorf("%s: error %v of kind %d after %d more attempts", name, err, fault.KindOf(err), again)
		}
		_, err = a.target(brief).Create(t.Context(), deploy.CreateRequest{Name: "echo", Description: []byte(`{}`)})
		if !deploy.Unsettled(err) || again != 1 {
			t.Errorf("%s: error %v, settled, after %d more attempts", name, err, again)
		}
	}

	// A connection that does not come about.
	target, err := New(Options{
		Endpoint: "pai-eas.cn-test.aliyuncs.com", Credentials: staticKey, ConnectTimeout: 50 * time.Millisecond, Attempts: 2, RetryDelay: time.Millisecond,
		Client: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = target.Create(t.Context(), deploy.CreateRequest{Name: "echo", Description: []byte(`{}`)})
	if err == nil || !strings.HasSuffix(err.Error(), ": no connection came about within 50ms") || deploy.Unsettled(err) || fault.KindOf(err) != fault.Missing {
		t.Errorf("error %v of kind %d, unsettled: %v", err, fault.KindOf(err), deploy.Unsettled(err))
	}
}

// TestInterrupted is about callers that stop to wait.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := a.target().Create(ctx, deploy.CreateRequest{Name: "echo", Description: []byte(`{}`)})
	if fault.KindOf(err) != fault.Interrupted || !errors.Is(err, context.Canceled) || !deploy.Unsettled(err) {
		t.Errorf("error %v of kind %d, unsettled: %v", err, fault.KindOf(err), deploy.Unsettled(err))
	}

	// During a pause.
	ctx, cancel = context.WithCancel(t.Context())
	target := newAPI(t, refuses(503, "Busy", "busy")).target(func(o *Options) {
		o.RetryDelay = time.Hour
		o.Warn = func(string) { cancel() }
	})
	_, err = target.Describe(ctx, "echo")
	if fault.KindOf(err) != fault.Interrupted || !strings.Contains(err.Error(), "interrupted, after: busy (Busy)") {
		t.Errorf("error %v of kind %d", err, fault.KindOf(err))
	}

	ctx, cancel = context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err = target.Describe(ctx, "echo"); fault.KindOf(err) != fault.Failed || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v of kind %d", err, fault.KindOf(err))
	}
}

// TestUnreachable is about servers that cannot be reached.
func TestUnreachable(t *testing.T) {
	const nobody = "127.0.0.1:1"
	plain := newAPI(t, says(200, `{}`))
	secure := httptest.NewUnstartedServer(says(200, `{}`))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are to fail
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for _, tt := range []struct {
		name       string
		opts       Options
		text, hint string
	}{
		{
			"nobody there", Options{Endpoint: nobody, Scheme: "http", Region: testRegion},
			nobody + " refuses connections", "server is running",
		},
		{
			"no such host", Options{
				Endpoint: "pai-eas.cn-nowhere.aliyuncs.com",
				Client: &http.Client{Transport: &http.Transport{DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
					host, _, _ := net.SplitHostPort(addr)
					return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
				}}},
			},
			"there is no host of the name pai-eas.cn-nowhere.aliyuncs.com", "pai-eas-manage-vpc.REGION", // the region may be misspelt
		},
		{
			"plain HTTP", Options{Endpoint: strings.TrimPrefix(plain.URL, "http://"), Region: testRegion},
			"speaks HTTP and not HTTPS", "http://",
		},
		{
			"unknown authority", Options{Endpoint: strings.TrimPrefix(secure.URL, "https://"), Region: testRegion},
			"certificate", "--ca-bundle",
		},
		{
			"proxy with a password", Options{
				Endpoint: "pai-eas.cn-test.aliyuncs.com",
				Client:   &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: nobody, User: url.UserPassword("u", "pass-of-proxy")})}},
			},
			"", "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.Credentials, tt.opts.RetryDelay = staticKey, time.Millisecond
			target, err := New(tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			_, err = target.Describe(t.Context(), "echo")
			if err == nil || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("error %v, hint %q", err, fault.HintOf(err))
			}
			if kind := fault.KindOf(err); kind != fault.Missing || strings.Contains(err.Error(), "pass-of-proxy") {
				t.Errorf("error %v of kind %d", err, kind)
			}
		})
	}
}

// TestOwnAuthority speaks to a server whose certificate comes from an authority
// that a file names.
func TestOwnAuthority(t *testing.T) {
	server := httptest.NewTLSServer(says(200, `{"ServiceName":"echo"}`))
	t.Cleanup(server.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := store.NewClient(bundle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	target, err := New(Options{Endpoint: strings.TrimPrefix(server.URL, "https://"), Region: testRegion, Credentials: staticKey, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.Describe(t.Context(), "echo"); err != nil {
		t.Error(err)
	}
}

// TestProxy goes through a proxy that wants a password, which the server must
// not see.
func TestProxy(t *testing.T) {
	seen := make(chan http.Header, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		says(200, `{"ServiceName":"echo"}`)(w, r)
	}))
	t.Cleanup(proxy.Close)
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword("u", "pass-of-proxy")
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(address)}}
	t.Cleanup(client.CloseIdleConnections)
	target, err := New(Options{Endpoint: "pai-eas.cn-test.aliyuncs.com", Scheme: "http", Credentials: staticKey, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.Describe(t.Context(), "echo"); err != nil {
		t.Fatal(err)
	}
	if h := <-seen; h.Get("Proxy-Authorization") == "" {
		t.Error("the proxy got no password")
	}
}

// providerFunc is a provider that is a function.
type providerFunc func(context.Context) (config.Credentials, error)

func (f providerFunc) Credentials(ctx context.Context) (config.Credentials, error) { return f(ctx) }

// TestCredentials asks for credentials before every attempt.
func TestCredentials(t *testing.T) {
	n := 0
	a := newAPI(t, breaks, says(200, `{"ServiceName":"echo"}`))
	target := a.target(func(o *Options) {
		o.Credentials = providerFunc(func(context.Context) (config.Credentials, error) {
			n++
			return config.Credentials(staticKey), nil
		})
	})
	if _, err := target.Describe(t.Context(), "echo"); err != nil || n != 2 {
		t.Errorf("error %v after credentials were asked for %d times", err, n)
	}
	refused := fault.New(fault.Description, "no access key").WithHint("store one")
	target = a.target(func(o *Options) {
		o.Credentials = providerFunc(func(context.Context) (config.Credentials, error) { return config.Credentials{}, refused })
	})
	_, err := target.Describe(t.Context(), "echo")
	if !errors.Is(err, refused) || fault.KindOf(err) != fault.Description || fault.HintOf(err) != "store one" || deploy.Unsettled(err) {
		t.Errorf("error %v of kind %d, hint %q", err, fault.KindOf(err), fault.HintOf(err))
	}
	if w := target.Where(); w.Account != "" {
		t.Errorf("account %q without credentials", w.Account)
	}
}

// TestLibraryIsSilent runs a request in a process that has the library's debug
// messages switched on, and fails it: nothing secret may come out.
func TestLibraryIsSilent(t *testing.T) {
	const child = "EAS_TEST_SILENT"
	token := "token-of-sts"
	if endpoint := os.Getenv(child); endpoint != "" {
		target, err := New(Options{
			Endpoint: endpoint, Scheme: "http", Region: testRegion, Attempts: 2, RetryDelay: time.Millisecond,
			Credentials: credentials.Static{AccessKeyID: testID, AccessKeySecret: testSecret, STSToken: token},
			Warn:        func(text string) { fmt.Println(text) },
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = target.Describe(t.Context(), "echo")
		fmt.Printf("%v\n%+v\n%#v\n", err, err, target.Where())
		return
	}
	a := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		refuses(500, "InternalError", "we got "+r.Header.Get("Authorization")+" "+r.Header.Get("x-acs-security-token")+" "+testSecret)(w, r)
	})
	a.want(token)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLibraryIsSilent$", "-test.v")
	cmd.Env = append(os.Environ(), child+"="+strings.TrimPrefix(a.URL, "http://"), "DEBUG=dara,tea,sdk,credential")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "InternalError") {
		t.Errorf("the request did not fail as it should:\n%s", out)
	}
	for _, secret := range []string{testID, testSecret, token, "> x-acs", "< HTTP"} {
		if strings.Contains(string(out), secret) {
			t.Errorf("%q is in what was printed:\n%s", secret, out)
		}
	}
}
