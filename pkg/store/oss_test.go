package store_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/store"
	"github.com/openeas/eascmd/test/ossserver"
)

var ossKey = ossserver.Key{ID: "LTAI5tExampleExample", Secret: "the-secret-of-the-key", Account: "1001"}

// ossRig is an OSS server with a bucket, and how it is reached.
type ossRig struct {
	*ossserver.Server
	*ossserver.Listener
	opts store.Options
}

// ossKeys are credentials that may change.
type ossKeys struct {
	mu  sync.Mutex
	key ossserver.Key
	err error
}

func (k *ossKeys) Credentials(context.Context) (config.Credentials, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return config.Credentials{AccessKeyID: k.key.ID, AccessKeySecret: k.key.Secret, STSToken: k.key.Token}, k.err
}

func (k *ossKeys) set(key ossserver.Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key = key
}

const ossBucket = "models"

func newOSSRig(t *testing.T) *ossRig {
	t.Helper()
	s, err := ossserver.New(ossserver.Options{Dir: t.TempDir(), PageSize: 3})
	if err != nil {
		t.Fatal(err)
	}
	s.SetKey(ossKey)
	if err := s.CreateBucket(ossBucket, ossKey.Account); err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// Every host is this machine, so that buckets can be names of hosts.
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, strings.TrimPrefix(l.URL, "http://"))
		},
		MaxIdleConnsPerHost: 4,
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		l.Close()
	})
	return &ossRig{Server: s, Listener: l, opts: store.Options{
		Credentials: &ossKeys{key: ossKey}, OSSEndpoint: l.URL, Region: ossserver.DefaultRegion, Client: &http.Client{Transport: transport},
	}}
}

func (r *ossRig) open(t *testing.T, opts store.Options) store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Address{Scheme: store.OSS, Bucket: ossBucket}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ossBody(data []byte) *store.Body {
	return store.NewBody(bytes.NewReader(data), 0, int64(len(data)))
}

func ossNoise(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i * 7 >> (i % 5))
	}
	return b
}

func TestOSSEndpoints(t *testing.T) {
	r := newOSSRig(t)
	tests := []struct {
		name            string
		endpoint        string
		region          string
		inner           bool
		want            string // the store's endpoint
		wrong           string // the error
		onlyTheEndpoint bool   // no request is made: the other end speaks no TLS
	}{
		{name: "of the region", region: "cn-shanghai", want: "https://oss-cn-shanghai.aliyuncs.com", onlyTheEndpoint: true},
		{name: "inside of the region", region: "cn-shanghai", inner: true, want: "https://oss-cn-shanghai-internal.aliyuncs.com", onlyTheEndpoint: true},
		{name: "host alone", endpoint: "oss-cn-beijing.aliyuncs.com", region: "cn-shanghai", want: "https://oss-cn-beijing.aliyuncs.com", onlyTheEndpoint: true},
		{name: "by its name", endpoint: "http://oss-cn-shanghai.aliyuncs.com/", region: "cn-hangzhou", want: "http://oss-cn-shanghai.aliyuncs.com"},
		{name: "internal", endpoint: "http://oss-cn-shanghai-internal.aliyuncs.com", want: "http://oss-cn-shanghai-internal.aliyuncs.com"},
		{name: "with the bucket", endpoint: "http://models.oss-cn-shanghai.aliyuncs.com", want: "http://oss-cn-shanghai.aliyuncs.com"},
		{name: "of one's own", endpoint: "http://objects.example.com:8080", region: "cn-shanghai", want: "http://objects.example.com:8080"},
		{name: "a bare name", endpoint: "http://localhost:1234", region: "cn-shanghai", want: "http://localhost:1234"},
		{name: "an address", endpoint: r.URL, region: "cn-shanghai", inner: true, want: r.URL},
		{name: "nothing is known", wrong: "the region of the bucket models is not known"},
		{name: "no region", endpoint: "http://127.0.0.1:1", wrong: "the region of the endpoint 127.0.0.1:1 is not known"},
		{name: "acceleration has no region", endpoint: "oss-accelerate.aliyuncs.com", wrong: "the region of the endpoint oss-accelerate.aliyuncs.com is not known"},
		{name: "with a path", endpoint: "http://example.com/x", region: "cn-shanghai", wrong: `"http://example.com/x" cannot be an endpoint of OSS`},
		{name: "with a password", endpoint: "http://me:hidden@example.com", region: "cn-shanghai", wrong: `"http://***@example.com" cannot be an endpoint of OSS`},
		{name: "with another scheme", endpoint: "ftp://example.com", region: "cn-shanghai", wrong: `"ftp://example.com" cannot be an endpoint of OSS`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := r.opts
			opts.OSSEndpoint, opts.Region, opts.Inner = test.endpoint, test.region, test.inner
			s, err := store.Open(t.Context(), store.Address{Scheme: store.OSS, Bucket: ossBucket}, opts)
			if test.wrong != "" {
				if err == nil || err.Error() != test.wrong || fault.HintOf(err) == "" {
					t.Errorf("got %v (hint: %s), want %s", err, fault.HintOf(err), test.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.Endpoint() != test.want {
				t.Errorf("got %s, want %s", s.Endpoint(), test.want)
			}
			if test.onlyTheEndpoint {
				return
			}
			if _, err := s.Put(t.Context(), "a b/ä+%2F&=?#~", ossBody([]byte("x")), nil); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("a bucket that cannot be", func(t *testing.T) {
		if _, err := store.Open(t.Context(), store.Address{Scheme: store.OSS, Bucket: "a.bucket"}, r.opts); fault.KindOf(err) != fault.Usage {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no credentials", func(t *testing.T) {
		opts := r.opts
		opts.Credentials = nil
		if _, err := store.Open(t.Context(), store.Address{Scheme: store.OSS, Bucket: ossBucket}, opts); !errors.Is(err, config.ErrNoAccessKey) {
			t.Errorf("got %v", err)
		}
	})
}

// What is wrong with keys, clocks, buckets and regions is said in words, and
// without secrets.
func TestOSSRefused(t *testing.T) {
	r := newOSSRig(t)
	sts := ossserver.Key{ID: "STS.example", Secret: "secret-of-sts", Token: "token-of-sts", Account: ossKey.Account}
	old := ossserver.Key{ID: "STS.old", Secret: "secret-of-old", Token: "token-of-old", Account: ossKey.Account, Expires: time.Now().Add(-time.Minute)}
	stranger := ossserver.Key{ID: "stranger", Secret: "secret-of-stranger", Account: "1002"}
	reader := ossserver.Key{ID: "reader", Secret: "secret-of-reader", Account: ossKey.Account, ReadOnly: true}
	for _, k := range []ossserver.Key{sts, old, stranger, reader} {
		r.SetKey(k)
	}
	with := func(k ossserver.Key, change func(*ossserver.Key)) ossserver.Key {
		change(&k)
		return k
	}
	tests := []struct {
		name   string
		key    ossserver.Key
		change func(*store.Options)
		bucket string
		skew   time.Duration
		want   string // in the error
		hint   string // in the hint
	}{
		{name: "unknown id", key: with(ossKey, func(k *ossserver.Key) { k.ID = "nobody" }), want: "the access key id is not known", hint: "eascmd config"},
		{name: "wrong secret", key: with(ossKey, func(k *ossserver.Key) { k.Secret = "another-secret" }), want: "the access key secret is not the one of this id", hint: "eascmd config"},
		{name: "wrong token", key: with(sts, func(k *ossserver.Key) { k.Token = "another-token" }), want: "the security token is not valid", hint: "temporary credentials"},
		{name: "expired token", key: old, want: "the temporary credentials have expired", hint: "temporary credentials"},
		{name: "clock", key: ossKey, skew: 20 * time.Minute, want: "this machine's clock is wrong: here it is ", hint: "set this machine's clock"},
		{name: "another account's bucket", key: stranger, want: "the access key has no right to this", hint: "oss:PutObject"},
		{name: "no right to write", key: reader, want: "the access key has no right to this", hint: "oss:PutObject"},
		{name: "no such bucket", key: ossKey, bucket: "missing", want: "there is no such bucket", hint: "region"},
		{
			name: "another region's endpoint", key: ossKey, change: func(o *store.Options) { o.OSSEndpoint = "http://oss-cn-hangzhou.aliyuncs.com" },
			want: "its endpoint is oss-cn-shanghai.aliyuncs.com, not http://oss-cn-hangzhou.aliyuncs.com", hint: "oss_endpoint oss-cn-shanghai.aliyuncs.com",
		},
		{
			name: "another region's signature", key: ossKey, change: func(o *store.Options) { o.Region = "cn-hangzhou" },
			want: "cn-hangzhou is not the region of http://127.0.0.1:", hint: "region",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r.SetSkew(test.skew)
			defer r.SetSkew(0)
			opts := r.opts
			opts.Credentials = &ossKeys{key: test.key}
			if test.change != nil {
				test.change(&opts)
			}
			bucket := test.bucket
			if bucket == "" {
				bucket = ossBucket
			}
			s, err := store.Open(t.Context(), store.Address{Scheme: store.OSS, Bucket: bucket}, opts)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Put(t.Context(), "x", ossBody([]byte("x")), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(fault.HintOf(err), test.hint) {
				t.Errorf("got %v (hint: %s), want %s (hint: %s)", err, fault.HintOf(err), test.want, test.hint)
			}
			if fault.KindOf(err) != fault.Remote {
				t.Errorf("its kind is %d", fault.KindOf(err))
			}
			noSecrets(t, err, test.key, ossKey)
			if test.name == "no right to write" {
				return
			}
			// HEAD has no body, and says the same.
			if _, head := s.Stat(t.Context(), "x"); head == nil || !strings.Contains(head.Error(), test.want) {
				t.Errorf("Stat: got %v, want %s", head, test.want)
			} else {
				noSecrets(t, head, test.key, ossKey)
			}
		})
	}
}

// noSecrets looks for secrets in an error, its causes included.
func noSecrets(t *testing.T, err error, keys ...ossserver.Key) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		text := fmt.Sprintf("%v %+v %#v", e, e, e) + fault.HintOf(e)
		for _, k := range keys {
			if strings.Contains(text, k.Secret) || k.Token != "" && strings.Contains(text, k.Token) {
				t.Errorf("a secret is in %s", text)
			}
		}
		if strings.Contains(text, "Signature=") || strings.Contains(text, "Authorization") {
			t.Errorf("a signature is in %s", text)
		}
	}
}

// Temporary credentials that are replaced while a store is open are used with
// the next request.
func TestOSSCredentialsRefresh(t *testing.T) {
	r := newOSSRig(t)
	keys := &ossKeys{}
	opts := r.opts
	opts.Credentials = keys
	s := r.open(t, opts)
	for i := range 3 {
		k := ossserver.Key{ID: fmt.Sprintf("STS.%d", i), Secret: fmt.Sprintf("secret-%d", i), Token: fmt.Sprintf("token-%d", i), Account: ossKey.Account}
		r.SetKey(k)
		keys.set(k)
		if _, err := s.Put(t.Context(), "x", ossBody([]byte("x")), nil); err != nil {
			t.Error(err)
		}
		r.RemoveKey(k.ID)
	}
	keys.err = fault.New(fault.Missing, "the role cannot be taken")
	if _, err := s.Stat(t.Context(), "x"); !errors.Is(err, keys.err) {
		t.Errorf("got %v", err)
	}
}

func TestOSSCABundle(t *testing.T) {
	r := newOSSRig(t)
	secure := httptest.NewUnstartedServer(r.Server)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // that somebody does not trust it
	secure.StartTLS()
	defer secure.Close()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(bundle, text, 0o600); err != nil {
		t.Fatal(err)
	}
	opts := r.opts
	opts.Client, opts.OSSEndpoint = nil, secure.URL
	_, err := r.open(t, opts).Put(t.Context(), "x", ossBody([]byte("x")), nil)
	if fault.KindOf(err) != fault.Missing || !strings.Contains(fault.HintOf(err), "--ca-bundle") {
		t.Errorf("got %v (hint: %s)", err, fault.HintOf(err))
	}
	opts.CABundle = bundle
	if _, err := r.open(t, opts).Put(t.Context(), "x", ossBody([]byte("x")), nil); err != nil {
		t.Error(err)
	}
}

// Whatever happens to a request, its method says that it failed, and once it is
// gone the same works.
func TestOSSFaults(t *testing.T) {
	r := newOSSRig(t)
	s := r.open(t, r.opts)
	data := ossNoise(300 << 10)
	if _, err := s.Put(t.Context(), "there", ossBody(data), store.Metadata{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	read := func(offset int64) error {
		body, o, err := s.Open(t.Context(), "there", "", offset)
		if err != nil {
			return err
		}
		defer body.Close()
		got, err := io.ReadAll(body)
		if err == nil && (!bytes.Equal(got, data[offset:]) || o.Size != int64(len(data))) {
			t.Errorf("%d bytes came, of an object of %d", len(got), o.Size)
		}
		return err
	}
	operations := map[string]func() error{
		ossserver.HeadObject: func() error { _, err := s.Stat(t.Context(), "there"); return err },
		ossserver.GetObject:  func() error { return errors.Join(read(0), read(1234)) },
		ossserver.PutObject:  func() error { _, err := s.Put(t.Context(), "x", ossBody(data), nil); return err },
		ossserver.ListObjectsV2: func() error {
			for _, err := range s.List(t.Context(), "") {
				if err != nil {
					return err
				}
			}
			return nil
		},
		ossserver.DeleteObject:            func() error { return s.Delete(t.Context(), "x") },
		ossserver.InitiateMultipartUpload: func() error { _, err := s.CreateMultipart(t.Context(), "y", nil); return err },
	}
	faults := []struct {
		name string
		ossserver.Fault
		only string // this operation
		want string // in the error
	}{
		{name: "request cut", Fault: ossserver.Fault{Action: ossserver.DropRequest, Bytes: 100_000}, want: ""},
		{name: "answer lost", Fault: ossserver.Fault{Action: ossserver.DropAnswer}, want: ""},
		{name: "500", Fault: ossserver.Fault{Action: ossserver.Fail}, want: "InternalError"},
		{name: "503", Fault: ossserver.Fault{Action: ossserver.Fail, Status: 503, Code: "QpsLimitExceeded", RetryAfter: 3}, want: "QpsLimitExceeded"},
		{name: "answer cut", Fault: ossserver.Fault{Action: ossserver.DropAnswer, Bytes: 70_000}, only: ossserver.GetObject, want: "the connection ended before the file did"},
		{name: "bytes changed", Fault: ossserver.Fault{Action: ossserver.CorruptRequest}, only: ossserver.PutObject, want: "what arrived is damaged"},
		{name: "CRC changed", Fault: ossserver.Fault{Action: ossserver.WrongCRC}, only: ossserver.PutObject, want: "what arrived is damaged"},
	}
	for _, f := range faults {
		for operation, do := range operations {
			if f.only != "" && f.only != operation {
				continue
			}
			t.Run(f.name+"/"+operation, func(t *testing.T) {
				f.Operation, f.Times = operation, -1 // net/http repeats what has no body by itself
				r.Inject(f.Fault)
				err := do()
				r.ClearFaults()
				if err == nil || !strings.Contains(err.Error(), f.want) {
					t.Errorf("got %v, want %s", err, f.want)
				}
				noSecrets(t, err, ossKey)
				if err := do(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestOSSMultipart(t *testing.T) {
	r := newOSSRig(t)
	s := r.open(t, r.opts)
	part := int(s.Traits().MinPart)
	data := ossNoise(6*part + 5)
	m, err := s.CreateMultipart(t.Context(), "big", store.Metadata{store.MetadataSHA256: "abc"})
	if err != nil {
		t.Fatal(err)
	}
	m = s.ResumeMultipart("big", m.ID())
	section := func(i int) *store.Body {
		return store.NewBody(bytes.NewReader(data), int64(i*part), int64(min(part, len(data)-i*part)))
	}
	var sent []store.Part
	for i := range 7 {
		p, err := m.PutPart(t.Context(), i+1, section(i))
		if err != nil {
			t.Fatal(err)
		}
		p.Checksum = ""
		sent = append(sent, p)
	}
	have, err := m.Parts(t.Context()) // three a page
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, have); diff != "" {
		t.Error(diff)
	}

	r.Inject(ossserver.Fault{Operation: ossserver.UploadPart, Action: ossserver.CorruptRequest})
	if _, err := m.PutPart(t.Context(), 2, section(1)); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
	if _, err := m.Complete(t.Context(), sent); !errors.Is(err, store.ErrParts) {
		t.Errorf("got %v", err)
	}
	if _, err := m.PutPart(t.Context(), 2, section(1)); err != nil {
		t.Error(err)
	}
	r.Inject(ossserver.Fault{Operation: ossserver.CompleteMultipartUpload, Action: ossserver.DropAnswer})
	if _, err := m.Complete(t.Context(), sent); err == nil {
		t.Error("there was an answer")
	}
	if _, err := m.Complete(t.Context(), sent); !errors.Is(err, store.ErrNoUpload) {
		t.Errorf("got %v", err)
	}
	if err := m.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	o, err := s.Stat(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	if o.Size != int64(len(data)) || o.Sums.CRC64 == "" || o.Metadata[store.MetadataSHA256] != "abc" || !strings.HasSuffix(o.ETag, `-7"`) {
		t.Errorf("%+v", o)
	}
	body, _, err := s.Open(t.Context(), "big", o.ETag, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, data[1:]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, _, err := s.Open(t.Context(), "big", `"other"`, 0); !errors.Is(err, store.ErrChanged) {
		t.Errorf("got %v", err)
	}
	if _, _, err := s.Open(t.Context(), "big", "", o.Size); err == nil {
		t.Error("there is something behind the end")
	}
}

// An answer that comes from something between us and the store is told as one.
func TestOSSBetween(t *testing.T) {
	r := newOSSRig(t)
	for _, test := range []struct {
		status int
		text   string
		want   string
	}{
		{http.StatusBadGateway, "<html>bad gateway", "502 Bad Gateway"},
		{http.StatusOK, "<html><body>Please log in</body></html>", "the answer is none of an object store"},
		{http.StatusFound, "", "302 Found"},
		{http.StatusProxyAuthRequired, "who are you?", "the proxy wants to be logged in to"},
	} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.text)
		}))
		opts := r.opts
		opts.OSSEndpoint, opts.Client = web.URL, web.Client()
		s := r.open(t, opts)
		_, err := s.CreateMultipart(t.Context(), "x", nil)
		if err == nil || !strings.Contains(err.Error(), test.want) || fault.KindOf(err) != fault.Remote {
			t.Errorf("%d: got %v, want %s", test.status, err, test.want)
		}
		web.Close()
	}
	opts := r.opts
	opts.OSSEndpoint, opts.Client = "http://127.0.0.1:1", nil
	if _, err := r.open(t, opts).Stat(t.Context(), "x"); fault.KindOf(err) != fault.Missing || fault.HintOf(err) == "" {
		t.Errorf("got %v (hint: %s)", err, fault.HintOf(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.open(t, r.opts).Stat(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
