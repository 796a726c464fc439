package store

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// quick are options under which nothing waits for long.
func quick(t testing.TB) HTTPOptions {
	return HTTPOptions{CacheDir: filepath.Join(t.TempDir(), "cache"), RetryDelay: time.Millisecond}
}

func mustFetch(t *testing.T, url string, opts HTTPOptions, want []byte) string {
	t.Helper()
	path, err := FetchHTTP(t.Context(), url, opts)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes came, and are not the %d that were served", len(got), len(want))
	}
	return path
}

// cacheFiles returns what of the kinds given is in the cache.
func cacheFiles(t testing.TB, dir string, kinds ...string) []string {
	t.Helper()
	var got []string
	for _, kind := range kinds {
		err := filepath.WalkDir(filepath.Join(dir, kind), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				got = append(got, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return got
}

func TestFetchAndRevalidate(t *testing.T) {
	for _, by := range []string{"ETag", "weak ETag", "Last-Modified", "ETag on a server without conditional requests"} {
		t.Run(by, func(t *testing.T) {
			o := newOrigin(t, 100_000)
			switch by {
			case "weak ETag":
				o.etag = `W/"v1"`
			case "Last-Modified":
				o.etag, o.modified = "", "Mon, 06 May 2024 07:08:09 GMT"
				before := func(w http.ResponseWriter, r *http.Request) bool {
					same := false
					o.set(func() { same = r.Header.Get("If-Modified-Since") == o.modified })
					if same {
						w.WriteHeader(http.StatusNotModified)
					}
					return same
				}
				o.set(func() { o.before = before })
			case "ETag on a server without conditional requests":
				o.rude = true
			}
			opts := quick(t)
			var sent int64
			opts.Progress = func(done, total int64) { sent = done }
			first := mustFetch(t, o.URL+"/m.tar.gz", opts, o.body)
			if sent != 100_000 {
				t.Errorf("progress ended at %d", sent)
			}
			sent = 0
			second := mustFetch(t, o.URL+"/m.tar.gz", opts, o.body)
			if first != second || sent != 0 {
				t.Errorf("the second fetch brought %d bytes to %s", sent, second)
			}
			if n := len(o.asked()); n != 2 {
				t.Errorf("%d requests", n)
			}

			// A new version replaces what an address stands for, and not the
			// file that somebody may be reading.
			o.set(func() {
				o.body = noise(50_000)
				if o.etag != "" {
					o.etag = strings.Replace(o.etag, "v1", "v2", 1)
				} else {
					o.modified = "Tue, 07 May 2024 07:08:09 GMT"
				}
			})
			third := mustFetch(t, o.URL+"/m.tar.gz", opts, o.body)
			if third == first {
				t.Error("the new version lies where the old one did")
			}
			if _, err := os.Stat(first); err != nil {
				t.Error(err)
			}
			if left := cacheFiles(t, opts.CacheDir, "parts"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestFetchCacheIsPrivateAndReadOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	o := newOrigin(t, 10)
	opts := quick(t)
	path := mustFetch(t, o.URL+"/x", opts, o.body)
	for name, want := range map[string]fs.FileMode{opts.CacheDir: fs.ModeDir | 0o700, path: 0o444} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s: mode %v, want %v", name, info.Mode(), want)
		}
	}
}

func TestFetchEmptyFile(t *testing.T) {
	o := newOrigin(t, 0)
	mustFetch(t, o.URL+"/x", quick(t), nil)
}

// An address is sent as it is written, and found again through redirects.
func TestFetchPathAsWritten(t *testing.T) {
	o := newOrigin(t, 10)
	for _, path := range []string{"/models%2Fx.tar.gz", "/a%2fb", "/a+b%20c", "/%E6%A8%A1", "/a;b?x=%2F&y", "//double"} {
		mustFetch(t, o.URL+path, quick(t), o.body)
		if got := o.asked()[0].RequestURI; got != path {
			t.Errorf("%s was sent as %s", path, got)
		}
	}
	r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", o.URL+"/models%2Fx.tar.gz")
		w.WriteHeader(http.StatusFound)
	}))
	defer r.Close()
	mustFetch(t, r.URL+"/moved?Signature=abc", quick(t), o.body)
	got := o.asked()[0]
	if got.RequestURI != "/models%2Fx.tar.gz" || got.Header.Get("Referer") != "" {
		t.Errorf("redirected to %s with Referer %q", got.RequestURI, got.Header.Get("Referer"))
	}
}

// A signature changes with every address that is signed; the object does not.
func TestFetchSignedAddress(t *testing.T) {
	o := newOrigin(t, 10)
	opts := quick(t)
	mustFetch(t, o.URL+"/x?versionId=1&OSSAccessKeyId=k&Expires=1&Signature=s%2F1", opts, o.body)
	if got := o.asked()[0].RequestURI; got != "/x?versionId=1&OSSAccessKeyId=k&Expires=1&Signature=s%2F1" {
		t.Errorf("sent as %s", got)
	}
	mustFetch(t, o.URL+"/x?versionId=1&OSSAccessKeyId=k&Expires=2&Signature=s2", opts, o.body)
	if got := o.asked()[0].Header.Get("If-None-Match"); got != `"v1"` {
		t.Errorf("the object was not known: If-None-Match %q", got)
	}
	mustFetch(t, o.URL+"/x?versionId=2&OSSAccessKeyId=k&Expires=2&Signature=s2", opts, o.body)
	if got := o.asked()[0].Header.Get("If-None-Match"); got != "" {
		t.Errorf("another version was taken for the same: If-None-Match %q", got)
	}
	for _, name := range cacheFiles(t, opts.CacheDir, "entries", "blobs", "locks") {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "s%2F1") || strings.Contains(string(b), "s2") || strings.Contains(string(b), "AccessKeyId=k") {
			t.Errorf("%s holds a secret: %s", name, b)
		}
	}
}

func TestFetchResumes(t *testing.T) {
	t.Run("in one call", func(t *testing.T) {
		o := newOrigin(t, 3<<20)
		o.cut = []int{1 << 19, 1 << 19}
		opts := quick(t)
		var lowest int64
		seen := false
		opts.Progress = func(done, total int64) {
			if seen && done < lowest {
				t.Errorf("progress fell from %d to %d", lowest, done)
			}
			seen, lowest = true, done
			if total != 3<<20 {
				t.Errorf("total %d", total)
			}
		}
		mustFetch(t, o.URL+"/x", opts, o.body)
		asked := o.asked()
		if len(asked) != 3 {
			t.Fatalf("%d requests", len(asked))
		}
		for i, r := range asked[1:] {
			if r.Header.Get("Range") == "" || r.Header.Get("If-Range") != `"v1"` {
				t.Errorf("attempt %d did not go on: %v", i+2, r.Header)
			}
		}
	})
	t.Run("in a later call", func(t *testing.T) {
		o := newOrigin(t, 3<<20)
		o.cut = []int{1 << 19}
		opts := quick(t)
		opts.Attempts = 1
		if _, err := FetchHTTP(t.Context(), o.URL+"/x", opts); fault.KindOf(err) != fault.Missing {
			t.Fatalf("got %v", err)
		}
		if blobs := cacheFiles(t, opts.CacheDir, "blobs", "entries"); len(blobs) > 0 {
			t.Errorf("half a file is in the cache: %v", blobs)
		}
		o.asked()
		mustFetch(t, o.URL+"/x", opts, o.body)
		if asked := o.asked(); len(asked) != 1 || asked[0].Header.Get("Range") == "" {
			t.Error("it did not go on where it stopped")
		}
	})
	t.Run("not when the file has changed", func(t *testing.T) {
		o := newOrigin(t, 3<<20)
		o.cut = []int{1 << 19}
		opts := quick(t)
		opts.Attempts = 1
		if _, err := FetchHTTP(t.Context(), o.URL+"/x", opts); err == nil {
			t.Fatal("no error")
		}
		o.set(func() { o.etag, o.body = `"v2"`, noise(3<<20+1) })
		mustFetch(t, o.URL+"/x", opts, o.body)
	})
	t.Run("not with a weak ETag", func(t *testing.T) {
		o := newOrigin(t, 3<<20)
		o.etag = `W/"v1"`
		o.cut = []int{1 << 19}
		mustFetch(t, o.URL+"/x", quick(t), o.body)
		if asked := o.asked(); len(asked) != 2 || asked[1].Header.Get("Range") != "" {
			t.Error("it went on from bytes that may differ")
		}
	})
	t.Run("not from a wrong place", func(t *testing.T) {
		o := newOrigin(t, 3<<20)
		o.cut = []int{1 << 19}
		opts := quick(t)
		wrong := 1
		before := func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") != "" && wrong > 0 {
				wrong--
				r.Header.Set("Range", "bytes=5-")
			}
			return false
		}
		o.set(func() { o.before = before })
		mustFetch(t, o.URL+"/x", opts, o.body)
	})
	t.Run("from a part that is longer than the file", func(t *testing.T) {
		o := newOrigin(t, 1000)
		opts := quick(t)
		c, err := openCache(opts.CacheDir)
		if err != nil {
			t.Fatal(err)
		}
		u, err := parseURL(o.URL + "/x")
		if err != nil {
			t.Fatal(err)
		}
		key := cacheKey(identity(u))
		if err := os.WriteFile(c.partFile(key), noise(2000), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := writeJSON(c.partInfo(key), part{ETag: o.etag}); err != nil {
			t.Fatal(err)
		}
		mustFetch(t, o.URL+"/x", opts, o.body)
	})
	t.Run("as often as it takes", func(t *testing.T) {
		o := newOrigin(t, 12<<20)
		for range 8 { // more than there are attempts
			o.cut = append(o.cut, progressed+1000)
		}
		mustFetch(t, o.URL+"/x", quick(t), o.body)
	})
}

func TestFetchChecksums(t *testing.T) {
	o := newOrigin(t, 3<<20)
	sum := md5.Sum(o.body)
	crc := crc64.Checksum(o.body, crc64.MakeTable(crc64.ECMA))
	good := http.Header{}
	good.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
	good.Set("x-oss-hash-crc64ecma", strconv.FormatUint(crc, 10))
	o.header = good
	mustFetch(t, o.URL+"/good", quick(t), o.body)

	// The checksum of the whole also covers what came before an interruption.
	o.set(func() { o.cut = []int{1 << 19} })
	mustFetch(t, o.URL+"/resumed", quick(t), o.body)

	for name, value := range map[string]string{
		"Content-Md5":          base64.StdEncoding.EncodeToString(make([]byte, 16)),
		"X-Oss-Hash-Crc64ecma": "12345",
	} {
		t.Run(name, func(t *testing.T) {
			o.set(func() { o.header = http.Header{name: {value}} })
			o.asked()
			opts := quick(t)
			_, err := FetchHTTP(t.Context(), o.URL+"/bad", opts)
			if fault.KindOf(err) != fault.Remote || !strings.Contains(err.Error(), "damaged") {
				t.Fatalf("got %v", err)
			}
			if n := len(o.asked()); n != 2 {
				t.Errorf("%d attempts, want a second one and no more", n)
			}
			if left := cacheFiles(t, opts.CacheDir, "blobs", "entries", "parts"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
	// What is no checksum at all is not held against the file.
	o.set(func() { o.header = http.Header{"Content-Md5": {"?"}, "X-Oss-Hash-Crc64ecma": {"?"}} })
	mustFetch(t, o.URL+"/odd", quick(t), o.body)
}

func TestFetchRetries(t *testing.T) {
	o := newOrigin(t, 10)
	o.status = []int{503, 500, 429}
	mustFetch(t, o.URL+"/x", quick(t), o.body)
	if n := len(o.asked()); n != 4 {
		t.Errorf("%d requests", n)
	}
	o.set(func() { o.status = []int{502, 502, 502, 502, 502, 502} })
	_, err := FetchHTTP(t.Context(), o.URL+"/y", quick(t))
	if fault.KindOf(err) != fault.Remote || !strings.Contains(err.Error(), "502") {
		t.Errorf("got %v", err)
	}
	if n := len(o.asked()); n != 5 {
		t.Errorf("%d requests", n)
	}
}

func TestFetchRefused(t *testing.T) {
	for _, status := range []int{401, 403, 404, 410, 400, 501, 204} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			o := newOrigin(t, 10)
			opts := quick(t)
			mustFetch(t, o.URL+"/a%2Fb?Signature=s3cret", opts, o.body)
			o.asked()
			o.set(func() { o.status = []int{status} })
			// What the server refuses is not taken from the cache.
			_, err := FetchHTTP(t.Context(), o.URL+"/a%2Fb?Signature=s3cret", opts)
			if fault.KindOf(err) != fault.Remote {
				t.Fatalf("got %v", err)
			}
			text := err.Error()
			if !strings.Contains(text, strconv.Itoa(status)) || !strings.Contains(text, o.URL+"/a%2Fb?Signature=***") {
				t.Errorf("the error does not name status and address: %v", err)
			}
			if strings.Contains(text, "s3cret") || strings.Contains(text, "LTAIsecret") {
				t.Errorf("the error gives a secret away: %v", err)
			}
			if status != 204 && !strings.Contains(text, "AccessDenied, You have no right") {
				t.Errorf("the error does not say the server's reason: %v", err)
			}
			if (status == 401 || status == 403 || status == 404) && fault.HintOf(err) == "" {
				t.Error("no hint")
			}
			if n := len(o.asked()); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

func TestFetchWithoutNetwork(t *testing.T) {
	o := newOrigin(t, 10)
	opts := quick(t)
	var w warnings
	opts.Warn = w.add
	mustFetch(t, o.URL+"/x", opts, o.body)
	o.set(func() { o.status = []int{503, 503} })
	mustFetch(t, o.URL+"/x", opts, o.body)
	if !strings.Contains(w.String(), "503") || !strings.Contains(w.String(), "using the copy") {
		t.Errorf("warnings: %s", w.String())
	}
	o.Close()
	mustFetch(t, o.URL+"/x", opts, o.body)
	if n := strings.Count(w.String(), "using the copy"); n != 2 {
		t.Errorf("warnings: %s", w.String())
	}
	_, err := FetchHTTP(t.Context(), o.URL+"/y?sig=s3cret", opts)
	if fault.KindOf(err) != fault.Missing || strings.Contains(err.Error(), "s3cret") || fault.HintOf(err) == "" {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}

	opts.Offline = true
	mustFetch(t, o.URL+"/x", opts, o.body)
	if _, err := FetchHTTP(t.Context(), o.URL+"/y", opts); fault.KindOf(err) != fault.Missing {
		t.Errorf("got %v", err)
	}
}

func TestFetchUnknownHost(t *testing.T) {
	_, err := FetchHTTP(t.Context(), "http://user:s3cret@no-such-host.invalid/x", quick(t))
	if fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), "no-such-host.invalid") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}

func TestFetchMaxBytes(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked %v", chunked), func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"v"`)
				if chunked {
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = w.Write(noise(100_000))
			}))
			defer s.Close()
			opts := quick(t)
			opts.MaxBytes = 99_999
			_, err := FetchHTTP(t.Context(), s.URL, opts)
			if err == nil || !strings.Contains(err.Error(), "limit of 99999 bytes") {
				t.Errorf("got %v", err)
			}
			if left := cacheFiles(t, opts.CacheDir, "blobs", "entries", "parts"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			opts.MaxBytes = 100_000
			mustFetch(t, s.URL, opts, noise(100_000))
		})
	}
}

func TestFetchTLS(t *testing.T) {
	o := newOrigin(t, 1000)
	s := httptest.NewUnstartedServer(o)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the client that does not trust it
	s.StartTLS()
	defer s.Close()
	opts := quick(t)

	_, err := FetchHTTP(t.Context(), s.URL+"/x", opts)
	if fault.KindOf(err) != fault.Missing || !strings.Contains(fault.HintOf(err), "--ca-bundle") {
		t.Errorf("unknown authority: %v, hint %q", err, fault.HintOf(err))
	}

	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	opts.CABundle = bundle
	mustFetch(t, s.URL+"/x", opts, o.body)

	opts = quick(t)
	opts.Client = s.Client()
	mustFetch(t, s.URL+"/x", opts, o.body)
	s.Client().CloseIdleConnections()

	for name, content := range map[string]string{"empty": "", "no PEM": "hello"} {
		opts := quick(t)
		opts.CABundle = filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(opts.CABundle, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := FetchHTTP(t.Context(), s.URL+"/x", opts); fault.KindOf(err) != fault.Description {
			t.Errorf("%s bundle: %v", name, err)
		}
	}
	opts = quick(t)
	opts.CABundle = filepath.Join(t.TempDir(), "missing")
	if _, err := FetchHTTP(t.Context(), s.URL+"/x", opts); fault.KindOf(err) != fault.Description {
		t.Errorf("missing bundle: %v", err)
	}
}

func TestFetchRedirects(t *testing.T) {
	plain := newOrigin(t, 10)
	var self string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := plain.URL + "/x"
		if n, ok := strings.CutPrefix(r.URL.Path, "/hop/"); ok {
			i, _ := strconv.Atoi(n)
			if i > 0 {
				to = fmt.Sprintf("%s/hop/%d", self, i-1)
			}
		}
		http.Redirect(w, r, to, http.StatusFound)
	})
	s := httptest.NewServer(h)
	defer s.Close()
	self = s.URL
	mustFetch(t, s.URL+"/hop/9", quick(t), plain.body)
	if _, err := FetchHTTP(t.Context(), s.URL+"/hop/10", quick(t)); fault.KindOf(err) != fault.Remote || !strings.Contains(err.Error(), "too often") {
		t.Errorf("eleven redirects: %v", err)
	}

	secure := httptest.NewTLSServer(h)
	defer secure.Close()
	opts := quick(t)
	opts.Client = secure.Client()
	plain.asked()
	_, err := FetchHTTP(t.Context(), secure.URL+"/x?token=s3cret", opts)
	if fault.KindOf(err) != fault.Remote || !strings.Contains(err.Error(), "https to http") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("downgrade: %v", err)
	}
	if len(plain.asked()) > 0 {
		t.Error("the downgrade was followed")
	}
	secure.Client().CloseIdleConnections()

	for _, to := range []string{"file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "http:///x"} {
		asked := 0
		odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}))
		_, err := FetchHTTP(t.Context(), odd.URL+"/x", quick(t))
		odd.Close()
		if fault.KindOf(err) != fault.Remote || !strings.Contains(err.Error(), "no http or https address") || asked != 1 {
			t.Errorf("redirect to %s, asked %d times: %v", to, asked, err)
		}
	}

	plain.set(func() { plain.status = []int{404} })
	_, err = FetchHTTP(t.Context(), s.URL+"/hop/0", quick(t))
	if err == nil || !strings.Contains(err.Error(), "redirected to "+plain.URL+"/x") {
		t.Errorf("it does not say where it was redirected to: %v", err)
	}
}

func TestFetchUserinfo(t *testing.T) {
	o := newOrigin(t, 10)
	opts := quick(t)
	mustFetch(t, strings.Replace(o.URL, "http://", "http://user:pa%40ss@", 1)+"/x", opts, o.body)
	user, pass, _ := o.asked()[0].BasicAuth()
	if user != "user" || pass != "pa@ss" {
		t.Errorf("sent as %q %q", user, pass)
	}
}

func TestFetchCancelled(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v"`)
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write(make([]byte, 50))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	opts := quick(t)
	opts.Progress = func(done, total int64) {
		if done == 50 {
			cancel()
		}
	}
	_, err := FetchHTTP(ctx, s.URL, opts)
	if fault.KindOf(err) != fault.Interrupted || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFetchStalled(t *testing.T) {
	body := noise(1000)
	stalls := 1
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		stall := stalls > 0
		stalls--
		mu.Unlock()
		w.Header().Set("ETag", `"v"`)
		if !stall {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
			return
		}
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(body[:500])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	opts := quick(t)
	opts.StallTimeout = 50 * time.Millisecond
	mustFetch(t, s.URL, opts, body)
}

// An answer that ends with the connection instead of its length is cut off.
func TestFetchShortAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
			c.Close()
		}
	})
	opts := quick(t)
	_, err = FetchHTTP(t.Context(), "http://"+l.Addr().String()+"/x", opts)
	if fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), "ended before the file did") {
		t.Errorf("got %v", err)
	}
	l.Close()
	wg.Wait()
}

func TestFetchOddAnswers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"304 unasked": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(304) },
		"206 unasked": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-4/10")
			w.WriteHeader(206)
			_, _ = w.Write([]byte("hello"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(h)
			defer s.Close()
			if _, err := FetchHTTP(t.Context(), s.URL, quick(t)); fault.KindOf(err) != fault.Remote {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestFetchWarnsOfHTML(t *testing.T) {
	o := newOrigin(t, 10)
	o.header.Set("Content-Type", "text/html; charset=utf-8")
	opts := quick(t)
	var w warnings
	opts.Warn = w.add
	mustFetch(t, o.URL+"/x.tar.gz", opts, o.body)
	if !strings.Contains(w.String(), "HTML") {
		t.Errorf("warnings: %q", w.String())
	}
}

// What is stored compressed stays so: it may be a package.
func TestFetchKeepsContentEncoding(t *testing.T) {
	o := newOrigin(t, 10)
	o.body = []byte("\x1f\x8b\x08 not really gzip")
	o.header.Set("Content-Encoding", "gzip")
	mustFetch(t, o.URL+"/x.tar.gz", quick(t), o.body)
}

func TestFetchDamagedCache(t *testing.T) {
	o := newOrigin(t, 1000)
	change := map[string]func(t *testing.T, path string){
		"changed": func(t *testing.T, path string) {
			rewrite(t, path, noise(1001)[:1000])
		},
		"shortened": func(t *testing.T, path string) {
			rewrite(t, path, o.body[:10])
		},
		"gone": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range change {
		t.Run(name, func(t *testing.T) {
			opts := quick(t)
			var w warnings
			opts.Warn = w.add
			damage(t, mustFetch(t, o.URL+"/x", opts, o.body))
			mustFetch(t, o.URL+"/x", opts, o.body)
			if name != "gone" && !strings.Contains(w.String(), "damaged") {
				t.Errorf("warnings: %q", w.String())
			}
		})
	}
	t.Run("only touched", func(t *testing.T) {
		opts := quick(t)
		path := mustFetch(t, o.URL+"/x", opts, o.body)
		if err := os.Chtimes(path, time.Now(), time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
		o.asked()
		mustFetch(t, o.URL+"/x", opts, o.body)
		if got := o.asked()[0].Header.Get("If-None-Match"); got == "" {
			t.Error("a good copy was dropped")
		}
	})
	t.Run("entry is nonsense", func(t *testing.T) {
		opts := quick(t)
		mustFetch(t, o.URL+"/x", opts, o.body)
		for _, nonsense := range []string{"", "{", `{"version":1,"sha256":"../../../etc/passwd"}`, `{"version":99}`} {
			for _, name := range cacheFiles(t, opts.CacheDir, "entries") {
				rewrite(t, name, []byte(nonsense))
			}
			mustFetch(t, o.URL+"/x", opts, o.body)
		}
	})
}

// rewrite replaces a file that may be read-only.
func rewrite(t *testing.T, name string, body []byte) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFetchBadAddress(t *testing.T) {
	opts := quick(t)
	for _, url := range []string{
		"", "x", "oss://bucket/x", "file:///etc/passwd", "http://", "http:///x", "https://user:s3cret@",
		"http://user:s3 cret@host/x", "http://user:s3cret%zz@host/", "http://host:s3cret@x:y/", "http://[::1/?Signature=s3cret", "ht tp://user:s3cret@h/",
	} {
		_, err := FetchHTTP(t.Context(), url, opts)
		if fault.KindOf(err) != fault.Description {
			t.Errorf("%s: got %v", url, err)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "s3 cret")) {
			t.Errorf("%s: the error gives the secret away: %v", url, err)
		}
	}
	if _, err := FetchHTTP(t.Context(), "http://127.0.0.1:1/", HTTPOptions{}); err == nil {
		t.Error("no cache directory, and no error")
	}
}

// Several that want one file at once: one fetches it, all get it.
func TestFetchTogether(t *testing.T) {
	o := newOrigin(t, 1<<20)
	opts := quick(t)
	const n = 8
	var wg sync.WaitGroup
	errs := make([]error, n)
	paths := make([]string, n)
	for i := range n {
		wg.Go(func() { paths[i], errs[i] = FetchHTTP(t.Context(), o.URL+"/x", opts) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		if p != paths[0] {
			t.Errorf("%s and %s", p, paths[0])
		}
	}
	bodies := 0
	for _, r := range o.asked() {
		if r.Header.Get("If-None-Match") == "" {
			bodies++
		}
	}
	if bodies != 1 {
		t.Errorf("it was fetched %d times", bodies)
	}
}

const helperVariable = "EASCMD_STORE_TEST_FETCH"

// helper fetches in a process of its own: address, cache.
func helper() {
	path, err := FetchHTTP(context.Background(), os.Args[1], HTTPOptions{CacheDir: os.Args[2], RetryDelay: time.Millisecond})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(path)
}

func helperCommand(t *testing.T, url, cache string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, url, cache)
	cmd.Env = append(os.Environ(), append(env, helperVariable+"=1")...)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestFetchByProcesses(t *testing.T) {
	o := newOrigin(t, 4<<20)
	opts := quick(t)
	var wg sync.WaitGroup
	out := make([]string, 3)
	errs := make([]error, 3)
	for i := range out {
		cmd := helperCommand(t, o.URL+"/x", opts.CacheDir)
		wg.Go(func() {
			var b []byte
			b, errs[i] = cmd.Output()
			out[i] = string(b)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{out[0], out[0], out[0]}, out); diff != "" {
		t.Error(diff)
	}
	bodies := 0
	for _, r := range o.asked() {
		if r.Header.Get("If-None-Match") == "" {
			bodies++
		}
	}
	if bodies != 1 {
		t.Errorf("it was fetched %d times", bodies)
	}
}

// A process that is killed while it fetches leaves nothing that is in the way.
func TestFetchAfterKill(t *testing.T) {
	half := make(chan struct{})
	o := newOrigin(t, 4<<20)
	var once sync.Once
	before := func(w http.ResponseWriter, r *http.Request) bool {
		first := false
		once.Do(func() { first = true })
		if !first {
			return false
		}
		w.Header().Set("ETag", o.etag)
		w.Header().Set("Content-Length", strconv.Itoa(len(o.body)))
		_, _ = w.Write(o.body[:2<<20])
		_ = http.NewResponseController(w).Flush()
		close(half)
		<-r.Context().Done()
		return true
	}
	o.set(func() { o.before = before })
	opts := quick(t)
	cmd := helperCommand(t, o.URL+"/x", opts.CacheDir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-half
	o.asked()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if parts := cacheFiles(t, opts.CacheDir, "parts"); len(parts) == 2 {
			if info, err := os.Stat(parts[0]); err == nil && info.Size() > 1<<20 {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("no part appeared")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	mustFetch(t, o.URL+"/x", opts, o.body)
	if asked := o.asked(); len(asked) != 1 || asked[0].Header.Get("Range") == "" {
		t.Error("what had come was not used")
	}
}

// The proxy of the environment; net/http reads it once a process, and never
// uses it for addresses of this machine.
func TestFetchThroughProxy(t *testing.T) {
	o := newOrigin(t, 1000) // it does not mind that it is asked as a proxy
	cmd := helperCommand(t, "http://bucket.example/models%2Fx", quick(t).CacheDir,
		"HTTP_PROXY="+o.URL, "http_proxy="+o.URL, "NO_PROXY=", "no_proxy=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(string(out)); err != nil || !bytes.Equal(got, o.body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if got := o.asked()[0].RequestURI; got != "http://bucket.example/models%2Fx" {
		t.Errorf("the proxy was asked for %s", got)
	}
}
