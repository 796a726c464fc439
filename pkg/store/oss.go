package store

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aliyun/aliyun-oss-go-sdk/oss"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
)

// ossStore is a bucket of Alibaba Cloud's Object Storage Service.
type ossStore struct {
	bucket   *oss.Bucket
	endpoint string
	region   string // that requests are signed for
	source   Credentials
	keys     *ossKeys
	wire     *ossWire
}

// newOSS returns a bucket. Nothing is asked yet.
func newOSS(addr Address, opts Options) (Store, error) {
	endpoint, region, err := ossEndpoint(addr.Bucket, opts)
	if err != nil {
		return nil, err
	}
	if opts.Credentials == nil {
		return nil, fault.New(fault.Description, "%s: %w", addr, config.ErrNoAccessKey)
	}
	client := opts.Client
	if client == nil {
		if client, err = NewClient(opts.CABundle); err != nil {
			return nil, err
		}
	}
	s := &ossStore{
		endpoint: endpoint, region: region, source: opts.Credentials, keys: &ossKeys{},
		wire: &ossWire{next: cmp.Or[http.RoundTripper](client.Transport, http.DefaultTransport)},
	}
	sdk, err := oss.New(endpoint, "", "",
		oss.AuthVersion(oss.AuthV4), oss.Region(region), oss.SetCredentialsProvider(s.keys),
		oss.HTTPClient(&http.Client{Transport: s.wire, Timeout: client.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a signature is good for one host
		}}),
		// A host without a dot has no names of buckets below it.
		oss.ForcePathStyle(!strings.Contains(endpoint, ".")),
		oss.UserAgent("eascmd"), oss.SetLogLevel(oss.LogOff), oss.SetLogger(nil),
	)
	if err == nil {
		s.bucket, err = sdk.Bucket(addr.Bucket)
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "%s: %w", addr, err)
	}
	return s, nil
}

// ossEndpoint returns where a bucket is reached, with the scheme, and the region
// that requests are signed for.
func ossEndpoint(bucket string, opts Options) (endpoint, region string, err error) {
	if opts.OSSEndpoint == "" {
		if opts.Region == "" {
			return "", "", fault.New(fault.Description, "the region of the bucket %s is not known", bucket).
				WithHint("%s", hintRegion(OSS))
		}
		inner := ""
		if opts.Inner {
			inner = "-internal"
		}
		return "https://oss-" + opts.Region + inner + ".aliyuncs.com", opts.Region, nil
	}
	endpoint = strings.TrimSuffix(opts.OSSEndpoint, "/")
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Path+u.RawQuery+u.Fragment != "" {
		return "", "", fault.New(fault.Description, "%q cannot be an endpoint of OSS", outline(opts.OSSEndpoint)).
			WithHint("give HOST, HOST:PORT or http://HOST:PORT: `eascmd config set oss_endpoint oss-REGION.aliyuncs.com`")
	}
	host := strings.ToLower(u.Host)
	if rest, ok := strings.CutPrefix(host, bucket+"."); ok && regionOfOSS(rest) != "" {
		host = rest // as consoles show it, with the bucket
	}
	region = cmp.Or(regionOfOSS(host), opts.Region)
	if region == "" {
		return "", "", fault.New(fault.Description, "the region of the endpoint %s is not known", host).
			WithHint("give the region: `eascmd config set region REGION`")
	}
	return u.Scheme + "://" + host, region, nil
}

// regionOfOSS returns the region in the name of an endpoint of Alibaba Cloud
// (oss-REGION.aliyuncs.com and oss-REGION-internal.aliyuncs.com), and nothing for
// other names. That of the acceleration of transfers belongs to all regions.
func regionOfOSS(host string) string {
	name, _, _ := strings.Cut(host, ":")
	name, ok := strings.CutPrefix(name, "oss-")
	region, ok2 := strings.CutSuffix(name, ".aliyuncs.com")
	if !ok || !ok2 || strings.Contains(region, ".") || strings.HasPrefix(region, "accelerate") {
		return ""
	}
	return strings.TrimSuffix(region, "-internal")
}

func (s *ossStore) Endpoint() string { return s.endpoint }

func (s *ossStore) Traits() Traits {
	return Traits{Checksum: CRC64, MinPart: 100 << 10, MaxPart: 5 << 30, MaxParts: 10_000}
}

func (s *ossStore) Close() error {
	if c, ok := s.wire.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
	return nil
}

const ossCRC = "X-Oss-Hash-Crc64ecma"

func (s *ossStore) Stat(ctx context.Context, key string) (*Object, error) {
	answer, err := s.ask(ctx, func(with oss.Option) error {
		_, err := s.bucket.GetObjectDetailedMeta(key, with)
		return err
	})
	if err != nil {
		return nil, err
	}
	return ossObject(key, answer.header)
}

func (s *ossStore) Open(ctx context.Context, key, etag string, offset int64) (io.ReadCloser, *Object, error) {
	// A store that compressed on the way would neither know the length nor where
	// the offset is.
	options := []oss.Option{oss.AcceptEncoding("identity")}
	if etag != "" {
		options = append(options, oss.IfMatch(etag))
	}
	if offset > 0 {
		// Without the second a range that cannot be met is as good as none.
		options = append(options, oss.NormalizedRange(strconv.FormatInt(offset, 10)+"-"), oss.RangeBehavior("standard"))
	}
	var body io.ReadCloser
	answer, err := s.ask(ctx, func(with oss.Option) (err error) {
		body, err = s.bucket.GetObject(key, append(options, with)...)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	o, err := ossObject(key, answer.header)
	if err == nil && offset > 0 {
		o.Size, err = sizeOfRange(answer.header.Get("Content-Range"), offset)
	}
	if err != nil {
		body.Close()
		return nil, nil, err
	}
	return &ossBody{ReadCloser: body, ctx: ctx}, o, nil
}

// ossBody explains why reading an object ended early.
type ossBody struct {
	io.ReadCloser
	ctx context.Context
}

func (b *ossBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = NetworkError(b.ctx, err)
	}
	return n, err
}

func (s *ossStore) Put(ctx context.Context, key string, body *Body, metadata Metadata) (*Object, error) {
	sending := newOSSSending(ctx, body)
	defer sending.Close()
	answer, err := s.ask(ctx, func(with oss.Option) error {
		return s.bucket.PutObject(key, io.LimitReader(sending, body.Size()), append(ossMetadata(metadata), with)...)
	})
	if err != nil {
		return nil, err
	}
	return &Object{
		Key: key, Size: body.Size(), ETag: answer.header.Get("ETag"), Sums: Sums{CRC64: answer.header.Get(ossCRC)},
	}, nil
}

func ossMetadata(metadata Metadata) []oss.Option {
	var options []oss.Option
	for name, value := range metadata {
		options = append(options, oss.Meta(name, value))
	}
	return options
}

// ossSending is the body of a request. When it is closed nobody reads it any
// more: net/http may go on sending for a while after it has given up.
type ossSending struct {
	mu     sync.Mutex
	reader io.Reader
	closed bool
}

func newOSSSending(ctx context.Context, body *Body) *ossSending {
	return &ossSending{reader: body.Reader(ctx)}
}

func (r *ossSending) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return r.reader.Read(p)
}

func (r *ossSending) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

func (s *ossStore) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		options := []oss.Option{oss.Prefix(prefix), oss.MaxKeys(1000)}
		for {
			var page oss.ListObjectsResultV2
			_, err := s.ask(ctx, func(with oss.Option) (err error) {
				page, err = s.bucket.ListObjectsV2(append(options, with)...)
				return err
			})
			if err != nil {
				yield(Object{}, err)
				return
			}
			for _, o := range page.Objects {
				if strings.HasSuffix(o.Key, "/") {
					continue // a directory, as some programs leave it
				}
				if !yield(Object{Key: o.Key, Size: o.Size, ETag: o.ETag, ModTime: o.LastModified}, nil) {
					return
				}
			}
			if !page.IsTruncated || page.NextContinuationToken == "" {
				return
			}
			options = []oss.Option{oss.Prefix(prefix), oss.MaxKeys(1000), oss.ContinuationToken(page.NextContinuationToken)}
		}
	}
}

func (s *ossStore) Delete(ctx context.Context, key string) error {
	_, err := s.ask(ctx, func(with oss.Option) error { return s.bucket.DeleteObject(key, with) })
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

func (s *ossStore) CreateMultipart(ctx context.Context, key string, metadata Metadata) (Multipart, error) {
	var upload oss.InitiateMultipartUploadResult
	_, err := s.ask(ctx, func(with oss.Option) (err error) {
		upload, err = s.bucket.InitiateMultipartUpload(key, append(ossMetadata(metadata), with)...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.ResumeMultipart(key, upload.UploadID), nil
}

func (s *ossStore) ResumeMultipart(key, id string) Multipart {
	return &ossMultipart{store: s, upload: oss.InitiateMultipartUploadResult{Bucket: s.bucket.BucketName, Key: key, UploadID: id}}
}

func (s *ossStore) Uploads(ctx context.Context, key string) ([]string, error) {
	return uploadsOf(key, s.UploadsBelow(ctx, key))
}

func (s *ossStore) UploadsBelow(ctx context.Context, prefix string) iter.Seq2[Begun, error] {
	return func(yield func(Begun, error) bool) {
		options := []oss.Option{oss.Prefix(prefix), oss.MaxUploads(1000)}
		for {
			var page oss.ListMultipartUploadResult
			_, err := s.ask(ctx, func(with oss.Option) (err error) {
				page, err = s.bucket.ListMultipartUploads(append(options, with)...)
				return err
			})
			if err != nil {
				yield(Begun{}, err)
				return
			}
			for _, u := range page.Uploads {
				if !yield(Begun{u.Key, u.UploadID}, nil) {
					return
				}
			}
			if !page.IsTruncated || page.NextKeyMarker == "" {
				return
			}
			options = []oss.Option{oss.Prefix(prefix), oss.MaxUploads(1000), oss.KeyMarker(page.NextKeyMarker), oss.UploadIDMarker(page.NextUploadIDMarker)}
		}
	}
}

// ossMultipart is an upload in parts to OSS.
type ossMultipart struct {
	store  *ossStore
	upload oss.InitiateMultipartUploadResult
}

func (m *ossMultipart) ID() string { return m.upload.UploadID }

func (m *ossMultipart) PutPart(ctx context.Context, number int, body *Body) (Part, error) {
	sending := newOSSSending(ctx, body)
	defer sending.Close()
	var sent oss.UploadPart
	answer, err := m.store.ask(ctx, func(with oss.Option) (err error) {
		sent, err = m.store.bucket.UploadPart(m.upload, sending, body.Size(), number, with)
		return err
	})
	if err != nil {
		return Part{}, err
	}
	return Part{Number: number, Size: body.Size(), ETag: sent.ETag, Checksum: answer.header.Get(ossCRC)}, nil
}

func (m *ossMultipart) Parts(ctx context.Context) ([]Part, error) {
	var parts []Part
	for after := 0; ; {
		var page oss.ListUploadedPartsResult
		_, err := m.store.ask(ctx, func(with oss.Option) (err error) {
			page, err = m.store.bucket.ListUploadedParts(m.upload, oss.MaxParts(1000), oss.PartNumberMarker(after), with)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, p := range page.UploadedParts {
			parts = append(parts, Part{Number: p.PartNumber, Size: int64(p.Size), ETag: p.ETag})
		}
		next, err := strconv.Atoi(page.NextPartNumberMarker)
		if !page.IsTruncated || err != nil || next <= after {
			return parts, nil
		}
		after = next
	}
}

func (m *ossMultipart) Complete(ctx context.Context, parts []Part) (*Object, error) {
	var size int64
	named := make([]oss.UploadPart, len(parts))
	for i, p := range parts {
		named[i] = oss.UploadPart{PartNumber: p.Number, ETag: p.ETag}
		size += p.Size
	}
	var made oss.CompleteMultipartUploadResult
	answer, err := m.store.ask(ctx, func(with oss.Option) (err error) {
		made, err = m.store.bucket.CompleteMultipartUpload(m.upload, named, with)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Object{Key: m.upload.Key, Size: size, ETag: made.ETag, Sums: Sums{CRC64: answer.header.Get(ossCRC)}}, nil
}

func (m *ossMultipart) Abort(ctx context.Context) error {
	_, err := m.store.ask(ctx, func(with oss.Option) error { return m.store.bucket.AbortMultipartUpload(m.upload, with) })
	if errors.Is(err, ErrNoUpload) || errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

// ossObject reads what a header tells of an object.
func ossObject(key string, h http.Header) (*Object, error) {
	size, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil {
		return nil, &retryError{err: fault.New(fault.Remote, "the store does not tell the object's size"), once: true}
	}
	o := &Object{Key: key, Size: size, ETag: h.Get("ETag"), Sums: Sums{CRC64: h.Get(ossCRC)}, Metadata: Metadata{}}
	o.ModTime, _ = http.ParseTime(h.Get("Last-Modified")) // zero where it does not say
	for name := range h {
		if rest, ok := strings.CutPrefix(name, oss.HTTPHeaderOssMetaPrefix); ok {
			o.Metadata[strings.ToLower(rest)] = h.Get(name)
		}
	}
	return o, nil
}

// ossKeys hands the credentials to the SDK that were asked for last: always all
// of one set, and never older than the request that they sign.
type ossKeys struct {
	last atomic.Pointer[config.Credentials]
}

// ossKey is a set of credentials as the SDK wants it.
type ossKey struct{ config.Credentials }

func (k *ossKeys) GetCredentials() oss.Credentials { return ossKey{*k.last.Load()} }

func (k ossKey) GetAccessKeyID() string     { return k.AccessKeyID }
func (k ossKey) GetAccessKeySecret() string { return k.AccessKeySecret }
func (k ossKey) GetSecurityToken() string   { return k.STSToken }

// ossAnswer is the answer to one request.
type ossAnswer struct {
	asked  bool // a request went out
	status int  // 0 where no answer came
	header http.Header
}

type ossAnswerKey struct{}

// ossWire notes of the answers what the SDK does not hand on.
type ossWire struct{ next http.RoundTripper }

func (w *ossWire) RoundTrip(req *http.Request) (*http.Response, error) {
	answer, ok := req.Context().Value(ossAnswerKey{}).(*ossAnswer)
	if ok {
		answer.asked = true
	}
	resp, err := w.next.RoundTrip(req)
	if ok && resp != nil {
		answer.status, answer.header = resp.StatusCode, resp.Header
	}
	return resp, err
}

// ask makes one request, with an option that do must hand to the SDK.
func (s *ossStore) ask(ctx context.Context, do func(with oss.Option) error) (*ossAnswer, error) {
	keys, err := s.source.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	s.keys.last.Store(&keys)
	answer := &ossAnswer{}
	if err := do(oss.WithContext(context.WithValue(ctx, ossAnswerKey{}, answer))); err != nil {
		return nil, s.fail(ctx, answer, err)
	}
	return answer, nil
}

// fail makes the error of a method of the SDK.
func (s *ossStore) fail(ctx context.Context, answer *ossAnswer, err error) error {
	if ctx.Err() != nil {
		return NetworkError(ctx, err)
	}
	if refusal, ok := errors.AsType[oss.ServiceError](err); ok {
		return s.refused(refusal, answer.header)
	}
	if _, ok := errors.AsType[oss.CRCCheckError](err); ok {
		return &retryError{err: fault.New(fault.Remote, "what arrived is damaged: its CRC-64 is not that of what was sent")}
	}
	switch {
	case !answer.asked: // a name that the SDK does not let through
		return fault.New(fault.Usage, "%w", err)
	case answer.status >= 300: // of something between us and the store
		return NewRefusal(OSS, answer.status, "", "", answer.header.Get("X-Oss-Request-Id"), answer.header).Err()
	case isXML(err):
		return &retryError{err: fault.New(fault.Remote, "the answer is none of an object store: %w", err), once: true}
	}
	return NetworkError(ctx, err)
}

// isXML reports whether an answer could not be read as XML.
func isXML(err error) bool {
	if _, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return true
	}
	_, ok := errors.AsType[xml.UnmarshalError](err)
	return ok
}

// refused makes the error of a refusal, and adds what its XML says besides.
func (s *ossStore) refused(e oss.ServiceError, header http.Header) error {
	message, hint := e.Message, ""
	switch {
	case e.Code == "RequestTimeTooSkewed":
		var more struct{ ServerTime string }
		_ = xml.Unmarshal([]byte(e.RawMessage), &more) // the header says it too
		theirs, err := time.Parse(time.RFC3339, more.ServerTime)
		if err != nil {
			theirs, err = http.ParseTime(header.Get("Date"))
		}
		if err == nil {
			message = fmt.Sprintf("here it is %s, at the store %s (UTC)", time.Now().UTC().Format(time.DateTime), theirs.UTC().Format(time.DateTime))
		}
	case e.Code == "AccessDenied" && e.Endpoint != "":
		message = fmt.Sprintf("its endpoint is %s, not %s", e.Endpoint, s.endpoint)
		hint = fmt.Sprintf("`eascmd config set oss_endpoint %s`", clean(e.Endpoint))
	case e.Code == "InvalidArgument" && strings.Contains(e.Message, "signing region"):
		message = fmt.Sprintf("%s is not the region of %s", s.region, s.endpoint)
		hint = "give the region of the bucket: `eascmd config set region REGION`"
	}
	err := NewRefusal(OSS, e.StatusCode, e.Code, message, e.RequestID, header).Err()
	if f, ok := errors.AsType[*fault.Error](err); ok && hint != "" {
		return f.WithHint("%s", hint)
	}
	return err
}
