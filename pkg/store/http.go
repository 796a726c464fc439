package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/openeas/eascmd/internal/diskspace"
	"github.com/openeas/eascmd/internal/fault"
)

// HTTPOptions say how FetchHTTP fetches.
type HTTPOptions struct {
	// CacheDir is the directory of the cache, made if need be. It must be set.
	CacheDir string

	Client   *http.Client // default: NewClient(CABundle)
	CABundle string       // PEM file with more certificate authorities; not used with Client

	MaxBytes int64 // refuse a file larger than this; 0 means no limit
	Offline  bool  // use what the cache has, and no network

	// Progress, if set, is called for every piece that comes, with how much of
	// the file is there, and its size or -1.
	Progress func(done, total int64)
	// Warn, if set, is called with what the user should know although the fetch
	// goes on: one line, without secrets.
	Warn func(text string)

	Attempts     int           // attempts in a row without progress; default 5, with a cached copy 2
	RetryDelay   time.Duration // pause before the second attempt, doubled each time; default 500 ms
	StallTimeout time.Duration // a download without a byte for so long is interrupted; default 1 minute
}

const (
	maxRetryDelay = 30 * time.Second
	// progressed is how much one attempt must bring for the attempts to be
	// counted anew: a long download over a bad line may break many times.
	progressed = 1 << 20
)

// FetchHTTP fetches the file at an http or https address and returns where it
// lies in the cache: read-only, named by its content, and not to be changed or
// moved (NameOf has a name for it). A file that is in the cache is only fetched
// again when the server says, by ETag or Last-Modified, that it has changed.
//
// The path is sent as it is written; "models%2Fx" stays so. What comes is held
// against its length and the server's Content-MD5 or x-oss-hash-crc64ecma. An
// interrupted download is gone on with, by this call or a later one, if the
// server's ETag allows it. Network errors, 5xx, 408, 425 and 429 are retried.
// If they stay, and the cache has a copy, that is used and Warn told. When
// several processes want one address, one fetches and the others wait.
//
// Errors are of kind Missing when the network, the disk or a certificate is in
// the way, Remote when the server refuses, and never contain credentials.
func FetchHTTP(ctx context.Context, rawURL string, opts HTTPOptions) (string, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return "", err
	}
	h := &httpFetch{url: u}
	defer h.close()
	h.fetch = &fetch{
		opts:   opts,
		masked: Mask(u.String()),
		key:    cacheKey(identity(u)),
		ask:    h.ask,
	}
	e, err := h.run(ctx)
	if err == nil {
		return h.cache.blob(e.SHA256), nil
	}
	return "", h.explain(ctx, err)
}

func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// Why is not said: the text would quote the part that may be a password.
		return nil, fault.New(fault.Description, "fetch %s: it is not a valid address", outline(raw)).
			WithHint("special characters in a user name or password are written as %%XX")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fault.New(fault.Description, "fetch %s: it is not an http or https address", outline(raw))
	}
	return u, nil
}

// fetch brings one file into the cache, whatever it comes from.
type fetch struct {
	opts   HTTPOptions // those that are not about HTTP
	masked string      // the address as it may be shown
	key    string
	cache  *cache
	exact  bool // a copy of before does not do where the other side cannot be reached

	// ask asks the other side once. It returns the entry of the file that is in
	// the cache now, which may be cached, and how many bytes came.
	ask func(ctx context.Context, cached *entry) (_ *entry, came int64, _ error)
}

// explain makes the error of a fetch.
func (f *fetch) explain(ctx context.Context, err error) error {
	kind := fault.KindOf(err)
	if ctx.Err() != nil {
		kind = fault.Interrupted
	}
	return fault.New(kind, "fetch %s: %w", f.masked, err)
}

func (f *fetch) warn(format string, args ...any) {
	if f.opts.Warn != nil {
		f.opts.Warn(fmt.Sprintf(format, args...))
	}
}

// run returns the entry of the file, which is in the cache then.
func (f *fetch) run(ctx context.Context) (*entry, error) {
	var err error
	if f.cache, err = openCache(f.opts.CacheDir); err != nil {
		return nil, err
	}
	started := time.Now()
	unlock, waited, err := f.cache.lock(ctx, f.key, func() {
		f.warn("another eascmd is fetching %s; waiting for it", f.masked)
	})
	if err != nil {
		return nil, err
	}
	defer unlock()

	cached := f.cache.lookup(f.key, func(url string) {
		f.warn("the cached copy of %s was damaged and is fetched again", url)
	})
	if f.opts.Offline {
		if cached == nil {
			return nil, fault.New(fault.Missing, "%w", errNotCached)
		}
		return f.use(cached), nil
	}
	if waited && cached != nil && cached.Fetched.After(started) {
		return f.use(cached), nil // the other process has just asked
	}

	e, err := f.attempts(ctx, cached)
	if err == nil {
		return f.use(e), nil
	}
	if _, ok := errors.AsType[*retryError](err); ok && cached != nil && !f.exact && ctx.Err() == nil {
		f.warn("%s cannot be fetched (%v); using the copy of %s", f.masked, err, cached.Fetched.Local().Format(time.DateTime))
		return f.use(cached), nil
	}
	return nil, err
}

// use notes that an entry was of use.
func (f *fetch) use(e *entry) *entry {
	f.cache.touch(f.key)
	return e
}

// retryError is an error that may be gone the next time.
type retryError struct {
	err   error
	after time.Duration // as the server asked
	once  bool          // a second time is enough to believe it
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// attempts tries until it works, or there is no point in trying.
func (f *fetch) attempts(ctx context.Context, cached *entry) (*entry, error) {
	most := f.opts.Attempts
	if most <= 0 {
		most = 5
		if cached != nil {
			most = 2
		}
	}
	first := f.opts.RetryDelay
	if first <= 0 {
		first = 500 * time.Millisecond
	}
	delay, twice := first, false
	for n := 1; ; n++ {
		e, came, err := f.ask(ctx, cached)
		if err == nil {
			return e, nil
		}
		retry, ok := errors.AsType[*retryError](err)
		if !ok || ctx.Err() != nil || retry.once && twice {
			return nil, err
		}
		twice = twice || retry.once
		if came >= progressed {
			n, delay = 0, first
		}
		if n >= most {
			return nil, err
		}
		wait := min(max(delay, retry.after), maxRetryDelay)
		delay *= 2
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// httpFetch is one run of FetchHTTP.
type httpFetch struct {
	*fetch
	url    *url.URL
	client *http.Client
	own    bool // the client was made for this run
}

// connect makes the client, once.
func (f *httpFetch) connect() error {
	if f.client != nil {
		return nil
	}
	if f.opts.Client != nil {
		c := *f.opts.Client
		f.client = &c
	} else {
		var err error
		if f.client, err = NewClient(f.opts.CABundle); err != nil {
			return err
		}
		f.own = true
	}
	f.client.CheckRedirect = checkRedirect
	return nil
}

func (f *httpFetch) close() {
	if f.own {
		f.client.CloseIdleConnections()
	}
}

// ask asks the server once. came is how many bytes it brought.
func (f *httpFetch) ask(ctx context.Context, cached *entry) (_ *entry, came int64, _ error) {
	if err := f.connect(); err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url.String(), nil)
	if err != nil {
		return nil, 0, errors.New(Mask(err.Error()))
	}
	req.Header.Set("User-Agent", "eascmd")
	// The file is wanted as it is stored. Left alone, net/http would unpack it.
	req.Header.Set("Accept-Encoding", "identity")
	if cached != nil && cached.ETag != "" {
		req.Header.Set("If-None-Match", cached.ETag)
	} else if cached != nil && cached.LastModified != "" {
		req.Header.Set("If-Modified-Since", cached.LastModified)
	}
	etag, have := f.cache.partOf(f.key)
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		req.Header.Set("If-Range", etag)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, 0, networkError(ctx, err)
	}
	defer resp.Body.Close()

	switch resp.StatusCode {
	case http.StatusOK, http.StatusNonAuthoritativeInfo:
		f.cache.dropPart(f.key)
		if got := resp.Header.Get("ETag"); cached != nil && isStrong(got) && got == cached.ETag {
			return cached, 0, nil // not every server knows conditional requests
		}
		return f.received(ctx, cancel, resp, 0)
	case http.StatusPartialContent:
		if have == 0 || !goesOn(resp, etag, have) {
			f.cache.dropPart(f.key)
			return nil, 0, &retryError{err: fault.New(fault.Remote, "the server sent another part of the file than was asked for"), once: true}
		}
		return f.received(ctx, cancel, resp, have)
	case http.StatusNotModified:
		if cached == nil || req.Header.Get("If-None-Match")+req.Header.Get("If-Modified-Since") == "" {
			return nil, 0, fault.New(fault.Remote, "the server said 304 Not Modified without having been asked whether it was")
		}
		f.cache.dropPart(f.key)
		return cached, 0, nil
	case http.StatusRequestedRangeNotSatisfiable:
		if have > 0 {
			f.cache.dropPart(f.key)
			return nil, 0, &retryError{err: f.refused(resp), once: true}
		}
	}
	return nil, 0, f.refused(resp)
}

// goesOn reports whether an answer begins where the part that is there ends.
func goesOn(resp *http.Response, etag string, have int64) bool {
	if got := resp.Header.Get("ETag"); got != "" && got != etag {
		return false
	}
	rest, ok := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes ")
	if !ok {
		return false
	}
	first, _, ok := strings.Cut(rest, "-")
	return ok && first == strconv.FormatInt(have, 10)
}

// totalOf returns the size of the whole file, or -1.
func totalOf(resp *http.Response, have int64) int64 {
	if resp.ContentLength < 0 {
		return -1
	}
	return have + resp.ContentLength
}

// received takes the body of an answer.
func (f *httpFetch) received(ctx context.Context, cancel context.CancelCauseFunc, resp *http.Response, have int64) (_ *entry, came int64, err error) {
	if f.opts.Warn != nil {
		if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t == "text/html" && !strings.Contains(NameOf(f.url.String()), ".htm") {
			f.warn("%s is an HTML page; a login page or a proxy's message?", f.masked)
		}
	}
	return f.receive(ctx, cancel, incoming{
		body: resp.Body, have: have, total: totalOf(resp, have),
		etag: resp.Header.Get("ETag"), lastModified: resp.Header.Get("Last-Modified"),
		sums: newChecksums(resp.Header, have == 0),
	})
}

// incoming is a file, or the rest of one, that comes.
type incoming struct {
	body         io.Reader
	have         int64 // bytes that are in the cache already
	total        int64 // of the whole file, or -1
	etag         string
	lastModified string
	sums         verifier
}

// verifier computes the checksums of a file.
type verifier interface {
	writer() io.Writer
	check() error // holds what came against what was announced
	sum() string  // SHA-256, hexadecimal
}

// receive writes what comes behind what is there, checks the whole and puts it
// into the cache. cancel ends a body that stands still.
func (f *fetch) receive(ctx context.Context, cancel context.CancelCauseFunc, in incoming) (_ *entry, came int64, err error) {
	have, total := in.have, in.total
	if err := f.fits(total, have); err != nil {
		f.cache.dropPart(f.key)
		return nil, 0, err
	}
	resumable := isStrong(in.etag)
	if have == 0 && resumable {
		if err := writeJSON(f.cache.partInfo(f.key), part{ETag: in.etag}); err != nil {
			return nil, 0, diskError(err)
		}
	}
	file, err := os.OpenFile(f.cache.partFile(f.key), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, 0, diskError(err)
	}
	keep := have > 0 || resumable
	defer func() {
		file.Close()
		if err != nil && !keep {
			f.cache.dropPart(f.key)
		}
	}()

	hashes := in.sums.writer()
	if n, err := io.Copy(hashes, file); err != nil {
		return nil, 0, diskError(err)
	} else if n != have {
		keep = false
		return nil, 0, fmt.Errorf("the part in the cache has %d bytes instead of %d", n, have)
	}

	stall := f.opts.StallTimeout
	if stall <= 0 {
		stall = time.Minute
	}
	watch := time.AfterFunc(stall, func() { cancel(&stalledError{stall, "came"}) })
	defer watch.Stop()
	f.progress(have, total)
	buf := make([]byte, 256<<10)
	for {
		n, rerr := in.body.Read(buf)
		if n > 0 {
			watch.Reset(stall)
			came += int64(n)
			if f.opts.MaxBytes > 0 && have+came > f.opts.MaxBytes {
				keep = false
				return nil, came, tooLarge(f.opts.MaxBytes)
			}
			if _, err := file.Write(buf[:n]); err != nil {
				return nil, came, diskError(err)
			}
			hashes.Write(buf[:n])
			f.progress(have+came, total)
		}
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			return nil, came, networkError(ctx, rerr)
		}
	}
	if total >= 0 && have+came != total {
		return nil, came, networkError(ctx, io.ErrUnexpectedEOF)
	}
	if err := in.sums.check(); err != nil {
		keep = false
		return nil, came, &retryError{err: fault.New(fault.Remote, "what came is damaged: %w", err), once: true}
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return nil, came, diskError(err)
	}
	e := &entry{
		URL:          f.masked,
		ETag:         in.etag,
		LastModified: in.lastModified,
		SHA256:       in.sums.sum(),
		Size:         have + came,
		Fetched:      time.Now(),
	}
	if err := f.cache.keep(f.key, e); err != nil {
		return nil, came, diskError(err)
	}
	return e, came, nil
}

func (f *fetch) progress(done, total int64) {
	if f.opts.Progress != nil {
		f.opts.Progress(done, total)
	}
}

// fits refuses a file before it is fetched.
func (f *fetch) fits(total, have int64) error {
	if f.opts.MaxBytes > 0 && total > f.opts.MaxBytes {
		return tooLarge(f.opts.MaxBytes)
	}
	s, err := diskspace.Of(f.cache.dir)
	if err == nil && total > have && uint64(total-have) > s.Free {
		return fault.New(fault.Missing, "it needs %d MiB, and the disk of the cache %s has %d MiB left", (total-have)>>20, f.cache.dir, s.Free>>20).
			WithHint("make room there")
	}
	return nil
}

func tooLarge(limit int64) error {
	return fault.New(fault.Failed, "it is larger than the limit of %d bytes", limit)
}

func diskError(err error) error {
	return fault.New(fault.Missing, "write to the cache: %w", err)
}

// stalledError ends what stands still.
type stalledError struct {
	after time.Duration
	what  string // did not happen
}

func (e *stalledError) Error() string { return fmt.Sprintf("nothing %s for %v", e.what, e.after) }

func isStalled(err error) bool {
	_, ok := errors.AsType[*stalledError](err)
	return ok
}

// networkError says what was wrong with the network, without the address that
// net/http puts before it, and whether to try again.
func networkError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		if err = context.Cause(ctx); !isStalled(err) {
			return err
		}
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, errDowngrade) || errors.Is(err, errRedirects) || errors.Is(err, errElsewhere) {
		return fault.New(fault.Remote, "%w", err)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return &retryError{err: fault.New(fault.Missing, "there is no host of the name %q", dns.Name).
			WithHint("check the address, the network and the proxy (HTTP_PROXY, HTTPS_PROXY, NO_PROXY)"), once: true}
	}
	if isTrust(err) {
		return fault.New(fault.Missing, "%w", err).
			WithHint("if the server's certificate comes from an authority of your own, name its file with --ca-bundle")
	}
	f := fault.New(fault.Missing, "%s", Mask(err.Error()))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		f = fault.New(fault.Missing, "the connection ended before the file did")
	case errors.Is(err, syscall.ECONNREFUSED):
		f = f.WithHint("check that the server is running and that the port is right")
	default:
		f = f.WithHint("check the network and the proxy (HTTP_PROXY, HTTPS_PROXY, NO_PROXY)")
	}
	f.Err = err
	return &retryError{err: f}
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
