package store_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/store"
	"github.com/openeas/eascmd/pkg/store/storetest"
	"github.com/openeas/eascmd/test/s3server"
)

// TestS3 holds the store against a real S3 server.
func TestS3(t *testing.T) {
	server := s3server.Start(t)
	server.SetEnv(t)
	var places atomic.Int64
	// The suite's tests are parallel; the server ends after all of them.
	t.Run("Suite", func(t *testing.T) {
		storetest.Run(t, storetest.Suite{
			New: func(t *testing.T) (store.Store, store.Address) {
				at := fmt.Sprintf("s3://%s/place%d/", server.Bucket, places.Add(1))
				return openS3(t, at, store.Options{S3Endpoint: server.URL}), address(t, at)
			},
			Many:        1001,
			Directories: true, // the server keeps objects as files
		})
	})
}

func address(t *testing.T, text string) store.Address {
	t.Helper()
	addr, err := store.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func openS3(t *testing.T, at string, opts store.Options) store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), address(t, at), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func body(data []byte) *store.Body {
	return store.NewBody(bytes.NewReader(data), 0, int64(len(data)))
}

// before puts something in front of a server that may change requests.
func before(t *testing.T, server *s3server.Server, change func(*http.Request)) *httptest.Server {
	t.Helper()
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			to, err := url.Parse(server.URL)
			if err != nil {
				panic(err) // the server's own address
			}
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
			change(r.Out)
		},
	})
	t.Cleanup(front.Close)
	return front
}

// Over TLS the store verifies a checksum instead of a signature of the content,
// and either way nothing that was damaged becomes an object.
func TestS3Damaged(t *testing.T) {
	server := s3server.Start(t)
	server.SetEnv(t)
	var damage atomic.Bool
	var signed atomic.Value
	change := func(r *http.Request) {
		if r.Method != http.MethodPut {
			return
		}
		signed.Store(r.Header.Get("X-Amz-Content-Sha256"))
		if damage.Load() {
			r.Body = &damaged{ReadCloser: r.Body}
		}
	}
	plain, secure := before(t, server, change), before(t, server, change)
	plain.Start()
	secure.StartTLS()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(bundle, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	data := storetest.Noise(1, 1<<20)
	for _, front := range []*httptest.Server{plain, secure} {
		t.Run(front.URL[:5], func(t *testing.T) {
			damage.Store(false)
			s := openS3(t, "s3://"+server.Bucket, store.Options{S3Endpoint: front.URL, CABundle: bundle})
			whole, err := s.Put(t.Context(), "good", body(data), nil)
			if err != nil {
				t.Fatal(err)
			}
			if unsigned := signed.Load() == "UNSIGNED-PAYLOAD"; unsigned != (front == secure) {
				t.Errorf("the content's signature is %q", signed.Load())
			}
			m, err := s.CreateMultipart(t.Context(), "parts", nil)
			if err != nil {
				t.Fatal(err)
			}
			part, err := m.PutPart(t.Context(), 1, body(data))
			if err != nil {
				t.Fatal(err)
			}
			damage.Store(true)
			const words = "what arrived is damaged"
			if _, err := s.Put(t.Context(), "bad", body(data), nil); err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("Put: %v", err)
			}
			if _, err := m.PutPart(t.Context(), 2, body(data)); err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("PutPart: %v", err)
			}
			if _, err := s.Stat(t.Context(), "bad"); !errors.Is(err, store.ErrNotExist) {
				t.Errorf("the damaged object: %v", err)
			}
			made, err := m.Complete(t.Context(), []store.Part{part})
			if err != nil {
				t.Fatal(err)
			}
			// The same bytes have the same checksum, in parts or not.
			if whole.Sums.CRC32C == "" || made.Sums != whole.Sums {
				t.Errorf("the checksums are %+v and %+v", whole.Sums, made.Sums)
			}
		})
	}
}

// A store that knows nothing of these checksums and refuses them is used
// without: what is damaged on its way is refused by an older one.
func TestS3OldStore(t *testing.T) {
	server := s3server.Start(t)
	server.SetEnv(t)
	var damage atomic.Bool
	var refused, verified atomic.Int64
	proxy := before(t, server, func(r *http.Request) {
		if r.Header.Get("Content-Md5") != "" {
			verified.Add(1)
		}
		if damage.Load() {
			r.Body = &damaged{ReadCloser: r.Body}
		}
	})
	inner := proxy.Config.Handler
	proxy.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Amz-Checksum-") && name != "X-Amz-Checksum-Mode" {
				refused.Add(1)
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprintf(w, "<Error><Code>InvalidArgument</Code><Message>Unsupported header '%s' received for this API call.</Message></Error>", strings.ToLower(name))
				return
			}
		}
		inner.ServeHTTP(w, r)
	})
	proxy.StartTLS()
	s := openS3(t, "s3://"+server.Bucket, store.Options{S3Endpoint: proxy.URL, Client: proxy.Client()})
	data := storetest.Noise(1, 12<<20)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := store.Upload(t.Context(), store.UploadOptions{File: file, To: address(t, "s3://"+server.Bucket+"/x"), Store: s, CacheDir: t.TempDir(), PartSize: 5 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if done.Confirmed != "" || done.Parts != 3 || done.Retries != 0 || refused.Load() != 1 || verified.Load() != int64(done.Parts) {
		t.Errorf("%+v; %d refused, %d verified", done, refused.Load(), verified.Load())
	}
	r, _, err := s.Open(t.Context(), "x", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); !bytes.Equal(got, data) || err != nil {
		t.Errorf("%d bytes that are not the file's, %v", len(got), err)
	}
	damage.Store(true)
	if _, err := s.Put(t.Context(), "bad", body(data[:1000]), nil); err == nil || !strings.Contains(err.Error(), "what arrived is damaged") {
		t.Errorf("damaged: %v", err)
	}
}

// damaged changes one byte of what is read.
type damaged struct {
	io.ReadCloser
	done bool
}

func (d *damaged) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if n > 0 && !d.done {
		p[n/2] ^= 1
		d.done = true
	}
	return n, err
}

func TestS3RefusalsInWords(t *testing.T) {
	server := s3server.Start(t)
	shifted := before(t, server, func(r *http.Request) {
		// An hour off, on the day of the signature.
		now := time.Now().UTC()
		by := time.Hour
		if now.Hour() >= 12 {
			by = -time.Hour
		}
		r.Header.Set("X-Amz-Date", now.Add(by).Format("20060102T150405Z"))
	})
	shifted.Start()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	files := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(files, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good", fmt.Sprintf("[default]\naws_access_key_id = x\naws_secret_access_key = y\n[team]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
		server.AccessKeyID, server.AccessKeySecret))
	noKeys := map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
	with := func(more map[string]string) map[string]string {
		env := map[string]string{}
		for _, m := range []map[string]string{noKeys, more} {
			for name, value := range m {
				env[name] = value
			}
		}
		return env
	}
	const bucket = "s3://packages/"
	tests := []struct {
		name string
		at   string // default: bucket
		opts store.Options
		env  map[string]string
		kind fault.Kind // 0: no error
		want string
		hint string
	}{
		{name: "right"},
		{name: "keys of a file", env: with(map[string]string{"AWS_SHARED_CREDENTIALS_FILE": good, "AWS_PROFILE": "team"})},
		{name: "no keys", env: noKeys, kind: fault.Remote, want: "there is no access key for S3", hint: "AWS_ACCESS_KEY_ID"},
		{name: "half a key", env: with(map[string]string{"AWS_ACCESS_KEY_ID": "x"}), kind: fault.Description, want: "one is set without the other", hint: "set both"},
		{name: "no such profile", env: with(map[string]string{"AWS_SHARED_CREDENTIALS_FILE": good, "AWS_PROFILE": "nosuch"}), kind: fault.Description, want: `AWS_PROFILE names "nosuch"`, hint: "unset"},
		{name: "an unknown key", env: map[string]string{"AWS_ACCESS_KEY_ID": "AKIDUNKNOWN"}, kind: fault.Remote, want: "the access key id is not known"},
		{name: "a wrong secret", env: map[string]string{"AWS_SECRET_ACCESS_KEY": "hush"}, kind: fault.Remote, want: "the signature is wrong"},
		{name: "a missing bucket", at: "s3://no-such-bucket/", kind: fault.Remote, want: "there is no such bucket", hint: "bucket's name"},
		{name: "another region", opts: store.Options{S3Region: "eu-west-9"}, kind: fault.Remote, want: "another region", hint: "region"},
		{name: "a wrong clock", opts: store.Options{S3Endpoint: shifted.URL}, kind: fault.Remote, want: "this machine's clock is wrong", hint: "doctor"},
		{name: "nobody there", opts: store.Options{S3Endpoint: gone.URL}, kind: fault.Missing, want: "refused", hint: "port"},
		{name: "no TLS there", opts: store.Options{S3Endpoint: strings.TrimPrefix(server.URL, "http://")}, kind: fault.Missing, want: "does not speak TLS", hint: "http://"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server.SetEnv(t)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			if test.opts.S3Endpoint == "" {
				test.opts.S3Endpoint = server.URL
			}
			if test.at == "" {
				test.at = bucket
			}
			s := openS3(t, test.at, test.opts)
			calls := map[string]func() error{
				"Put":             func() error { _, err := s.Put(t.Context(), "x", body([]byte("x")), nil); return err },
				"CreateMultipart": func() error { _, err := s.CreateMultipart(t.Context(), "x", nil); return err },
				"List": func() error {
					for _, err := range s.List(t.Context(), "none/") {
						return err
					}
					return nil
				},
			}
			for call, do := range calls {
				err := do()
				if test.kind == 0 {
					if err != nil {
						t.Errorf("%s: %v", call, err)
					}
					continue
				}
				if err == nil || fault.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.want) || !strings.Contains(fault.HintOf(err), test.hint) {
					t.Errorf("%s: %v of kind %d, hint %q; want %q of kind %d, hint %q", call, err, fault.KindOf(err), fault.HintOf(err), test.want, test.kind, test.hint)
					continue
				}
				for _, secret := range []string{server.AccessKeySecret, "hush"} {
					if strings.Contains(fmt.Sprintf("%+v", err), secret) {
						t.Errorf("%s: the secret is told: %v", call, err)
					}
				}
			}
		})
	}
}

func TestS3Endpoint(t *testing.T) {
	for given, want := range map[string]string{
		"":                                "https://s3.amazonaws.com",
		"minio.example.com:9000":          "https://minio.example.com:9000",
		"http://127.0.0.1:9000":           "http://127.0.0.1:9000",
		"https://s3.example.com/":         "https://s3.example.com",
		"s3.cn-north-1.amazonaws.com.cn":  "https://s3.cn-north-1.amazonaws.com.cn",
		"s3.oss-cn-shanghai.aliyuncs.com": "https://s3.oss-cn-shanghai.aliyuncs.com",
	} {
		if got := openS3(t, "s3://bucket", store.Options{S3Endpoint: given}).Endpoint(); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
	for _, wrong := range []string{"host/path", "a b", "http://"} {
		_, err := store.Open(t.Context(), address(t, "s3://bucket"), store.Options{S3Endpoint: wrong})
		if fault.KindOf(err) != fault.Usage || err == nil {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// What servers say when they say it badly. Each request is made once: what is
// repeated is for the caller to say.
func TestS3Answers(t *testing.T) {
	complete := func(s store.Store) error {
		_, err := s.ResumeMultipart("x", "id").Complete(t.Context(), []store.Part{{Number: 1, Size: 1, ETag: `"e"`}})
		return err
	}
	open := func(s store.Store) error {
		r, _, err := s.Open(t.Context(), "x", "", 5)
		if err == nil {
			_, err = io.ReadAll(r)
			r.Close()
		}
		return err
	}
	stat := func(s store.Store) error { _, err := s.Stat(t.Context(), "x"); return err }
	const when = "Mon, 02 Jan 2006 15:04:05 GMT"
	for _, test := range []struct {
		name   string
		do     func(store.Store) error
		answer http.HandlerFunc
		kind   fault.Kind
		want   string
	}{
		{"a page of a proxy", open, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, "<html><b>busy")
		}, fault.Remote, "503 Service Unavailable"},
		{"a failure behind 200", complete, func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message><RequestId>R1</RequestId></Error>")
		}, fault.Remote, "(InternalError), request R1"},
		{"forbidden without a body", stat, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, fault.Remote, "the store forbids it"},
		{"nothing there, without a body", stat, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, fault.Remote, "there is no such object"},
		{"another range", open, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Last-Modified", when)
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "0123456789")
		}, fault.Remote, "another part of the object"},
		{"the whole instead of a range", open, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Last-Modified", when)
			io.WriteString(w, "0123456789")
		}, fault.Remote, "another part of the object"},
		{"a connection that ends early", open, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Last-Modified", when)
			w.Header().Set("Content-Range", "bytes 5-9/10")
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "56")
		}, fault.Missing, "the connection ended before the file did"},
	} {
		t.Run(test.name, func(t *testing.T) {
			(&s3server.Server{AccessKeyID: "id", AccessKeySecret: "secret"}).SetEnv(t)
			var asked atomic.Int64
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				test.answer(w, r)
			}))
			t.Cleanup(front.Close)
			err := test.do(openS3(t, "s3://bucket", store.Options{S3Endpoint: front.URL}))
			if err == nil || fault.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v of kind %d, want %q of kind %d", err, fault.KindOf(err), test.want, test.kind)
			}
			if asked.Load() != 1 {
				t.Errorf("it was asked %d times", asked.Load())
			}
		})
	}
}

// An object that is kept compressed is fetched as it is, and temporary keys go
// with their token.
func TestS3Requests(t *testing.T) {
	(&s3server.Server{AccessKeyID: "id", AccessKeySecret: "secret"}).SetEnv(t)
	t.Setenv("AWS_SESSION_TOKEN", "the-token")
	const compressed = "\x1f\x8b, as far as anybody looks"
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Security-Token") != "the-token" || !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=id/") {
			http.Error(w, "not signed", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		w.Header().Set("x-amz-checksum-crc32c", "AAAAAA==-3") // of checksums of parts
		io.WriteString(w, compressed)
	}))
	t.Cleanup(front.Close)
	r, o, err := openS3(t, "s3://bucket", store.Options{S3Endpoint: front.URL}).Open(t.Context(), "x", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); string(got) != compressed || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if o.Sums != (store.Sums{}) {
		t.Errorf("the checksums are %+v", o.Sums)
	}
}

// A request ends with its context, also while keys are looked for.
func TestS3Canceled(t *testing.T) {
	(&s3server.Server{AccessKeyID: "id", AccessKeySecret: "secret"}).SetEnv(t)
	asked, hold := make(chan struct{}, 1), make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-hold
	}))
	t.Cleanup(front.Close)
	t.Cleanup(func() { close(hold) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := openS3(t, "s3://bucket", store.Options{S3Endpoint: front.URL}).Stat(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
