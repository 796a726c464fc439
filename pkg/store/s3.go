package store

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"iter"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	s3keys "github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/openeas/eascmd/internal/fault"
)

// s3Store is a bucket of Amazon S3, or of a store that speaks as it does.
type s3Store struct {
	core   s3Calls
	at     *url.URL // the endpoint
	bucket string
	keys   *s3Keys
	wire   *s3Wire
	secure bool
	old    atomic.Bool // the store refuses checksums as Amazon has them since 2022
}

const (
	amazon         = "s3.amazonaws.com"
	s3CRC          = "x-amz-checksum-crc32c"
	s3ChecksumType = "x-amz-checksum-type"
	s3FullObject   = "FULL_OBJECT"
)

// newS3 returns a bucket. Nothing is asked yet.
func newS3(addr Address, opts Options) (Store, error) {
	host, secure := cmp.Or(opts.S3Endpoint, amazon), true
	if rest, ok := strings.CutPrefix(host, "http://"); ok {
		host, secure = rest, false
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "https://"), "/")
	client := opts.Client
	if client == nil {
		var err error
		if client, err = NewClient(opts.CABundle); err != nil {
			return nil, err
		}
	}
	region := cmp.Or(opts.S3Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	if region == "" && host != amazon {
		region = "us-east-1" // which stores without regions go by; Amazon tells a bucket's own
	}
	wire := &s3Wire{next: cmp.Or[http.RoundTripper](client.Transport, http.DefaultTransport)}
	keys := &s3Keys{client: client}
	core, err := minio.NewCore(host, &minio.Options{
		Creds: s3keys.New(keys), Secure: secure, Region: region, Transport: wire,
		MaxRetries: 1, // whoever calls repeats what may be repeated
	})
	if err != nil {
		return nil, fault.New(fault.Usage, "%q cannot be an endpoint of S3: %w", host, err).
			WithHint("give HOST, HOST:PORT or http://HOST:PORT: `eascmd config set s3_endpoint HOST`")
	}
	return &s3Store{core: callsOf(core), at: core.EndpointURL(), bucket: addr.Bucket, keys: keys, wire: wire, secure: secure}, nil
}

// s3Calls are those of minio's requests that are made here. Its client itself
// is in no field: the linker would keep all its methods, for reflection might
// find them, and they are a megabyte and a half.
type s3Calls struct {
	StatObject              func(ctx context.Context, bucket, key string, opts minio.StatObjectOptions) (minio.ObjectInfo, error)
	GetObject               func(ctx context.Context, bucket, key string, opts minio.GetObjectOptions) (io.ReadCloser, minio.ObjectInfo, http.Header, error)
	PutObject               func(ctx context.Context, bucket, key string, data io.Reader, size int64, md5, sha256 string, opts minio.PutObjectOptions) (minio.UploadInfo, error)
	RemoveObject            func(ctx context.Context, bucket, key string, opts minio.RemoveObjectOptions) error
	ListObjectsIter         func(ctx context.Context, bucket string, opts minio.ListObjectsOptions) iter.Seq[minio.ObjectInfo]
	NewMultipartUpload      func(ctx context.Context, bucket, key string, opts minio.PutObjectOptions) (string, error)
	PutObjectPart           func(ctx context.Context, bucket, key, id string, number int, data io.Reader, size int64, opts minio.PutObjectPartOptions) (minio.ObjectPart, error)
	ListObjectParts         func(ctx context.Context, bucket, key, id string, after, most int) (minio.ListObjectPartsResult, error)
	CompleteMultipartUpload func(ctx context.Context, bucket, key, id string, parts []minio.CompletePart, opts minio.PutObjectOptions) (minio.UploadInfo, error)
	AbortMultipartUpload    func(ctx context.Context, bucket, key, id string) error
	ListMultipartUploads    func(ctx context.Context, bucket, prefix, afterKey, afterID, delimiter string, most int) (minio.ListMultipartUploadsResult, error)
}

func callsOf(core *minio.Core) s3Calls {
	return s3Calls{
		core.StatObject, core.GetObject, core.PutObject, core.RemoveObject, core.ListObjectsIter,
		core.NewMultipartUpload, core.PutObjectPart, core.ListObjectParts, core.CompleteMultipartUpload, core.AbortMultipartUpload,
		core.ListMultipartUploads,
	}
}

func (s *s3Store) Endpoint() string { return s.at.String() }

func (s *s3Store) Traits() Traits {
	return Traits{Checksum: CRC32C, MinPart: 5 << 20, MaxPart: 5 << 30, MaxParts: 10_000}
}

func (s *s3Store) Close() error {
	if c, ok := s.wire.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
	return nil
}

func (s *s3Store) Stat(ctx context.Context, key string) (*Object, error) {
	ctx, seen := watched(ctx)
	info, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{Checksum: true})
	if err != nil {
		return nil, s.fail(ctx, seen, err)
	}
	return s3Object(key, info), nil
}

func (s *s3Store) Open(ctx context.Context, key, etag string, offset int64) (io.ReadCloser, *Object, error) {
	var opts minio.GetObjectOptions
	opts.Set("x-amz-checksum-mode", "ENABLED")
	if etag != "" {
		opts.Set("If-Match", etag)
	}
	if offset > 0 {
		opts.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	ctx, seen := watched(ctx)
	body, info, header, err := s.core.GetObject(ctx, s.bucket, key, opts)
	if err != nil {
		return nil, nil, s.fail(ctx, seen, err)
	}
	o := s3Object(key, info)
	if offset > 0 {
		size, err := sizeOfRange(header.Get("Content-Range"), offset)
		if err != nil {
			body.Close()
			return nil, nil, err
		}
		o.Size = size
	}
	return &s3Body{ReadCloser: body, ctx: ctx}, o, nil
}

// sizeOfRange returns the size of the object that an answer is the end of.
func sizeOfRange(contentRange string, offset int64) (int64, error) {
	var first, last, size int64
	if _, err := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &first, &last, &size); err != nil || first != offset || last != size-1 {
		return 0, fault.New(fault.Remote, "the store answers with another part of the object than was asked for")
	}
	return size, nil
}

// s3Body explains why reading an object ended early.
type s3Body struct {
	io.ReadCloser
	ctx context.Context
}

func (b *s3Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = NetworkError(b.ctx, err)
	}
	return n, err
}

func (s *s3Store) Put(ctx context.Context, key string, body *Body, metadata Metadata) (*Object, error) {
	ctx, seen := watched(ctx)
	var info minio.UploadInfo
	err := s.summed(func(old bool) error {
		sums, err := s.sumsAhead(ctx, body, old)
		if err != nil {
			return err
		}
		headers := s3Headers(metadata)
		if !old {
			headers[s3CRC] = sums.crc32c
		}
		info, err = s.core.PutObject(ctx, s.bucket, key, body.Reader(ctx), body.Size(), sums.md5, sums.sha256,
			minio.PutObjectOptions{UserMetadata: headers, DisableContentSha256: true})
		return err
	})
	if err != nil {
		return nil, s.fail(ctx, seen, err)
	}
	return &Object{Key: key, Size: body.Size(), ETag: quoted(info.ETag), Sums: s3Sums(info.ChecksumCRC32C, info.ChecksumMode)}, nil
}

// summed makes a request with checksums. Stores that do not know them either
// ignore them or refuse the request, which has changed nothing then; those get
// it once more without, and all that follow.
func (s *s3Store) summed(request func(old bool) error) error {
	if s.old.Load() {
		return request(true)
	}
	err := request(false)
	refusal, ok := errors.AsType[minio.ErrorResponse](err)
	if !ok || refusal.Code != "NotImplemented" && (refusal.StatusCode != http.StatusBadRequest || !strings.Contains(refusal.Message, "x-amz-checksum")) {
		return err
	}
	s.old.Store(true)
	return request(true)
}

// s3Headers returns what is kept with an object as minio takes it.
func s3Headers(metadata Metadata) map[string]string {
	headers := map[string]string{}
	for name, value := range metadata {
		headers["x-amz-meta-"+name] = value
	}
	return headers
}

// sumsAhead are the checksums that go before what they are of. Those that are
// not needed are empty.
type sumsAhead struct {
	crc32c string // base64
	md5    string // base64; for stores that do not know the other
	sha256 string // hexadecimal; where nothing else keeps the connection's content from being changed
}

// sumsAhead reads what is to be sent. The store computes them too and refuses
// what has been damaged on its way.
func (s *s3Store) sumsAhead(ctx context.Context, body *Body, old bool) (sums sumsAhead, err error) {
	var sum, sha hash.Hash = crc32.New(crc32.MakeTable(crc32.Castagnoli)), nil
	if old {
		sum = md5.New()
	}
	w := io.Writer(sum)
	if !s.secure {
		sha = sha256.New()
		w = io.MultiWriter(sum, sha)
	}
	section := io.NewSectionReader(body.SectionReader, 0, body.Size())
	for {
		if err := ctx.Err(); err != nil {
			return sums, context.Cause(ctx)
		}
		n, err := io.CopyN(w, section, 4<<20)
		if err != nil && err != io.EOF {
			return sums, err
		}
		if n == 0 || err == io.EOF {
			break
		}
	}
	if text := base64.StdEncoding.EncodeToString(sum.Sum(nil)); old {
		sums.md5 = text
	} else {
		sums.crc32c = text
	}
	if sha != nil {
		sums.sha256 = hex.EncodeToString(sha.Sum(nil))
	}
	return sums, nil
}

func (s *s3Store) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		// minio's iterator goes on in a goroutine that only this ends.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		ctx, seen := watched(ctx)
		owner := false
		for info := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, FetchOwner: &owner}) {
			if info.Err != nil {
				yield(Object{}, s.fail(ctx, seen, info.Err))
				return
			}
			if strings.HasSuffix(info.Key, "/") {
				continue // a directory, as some programs leave it
			}
			if !yield(Object{Key: info.Key, Size: info.Size, ETag: quoted(info.ETag), ModTime: info.LastModified}, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Object{}, context.Cause(ctx))
		}
	}
}

func (s *s3Store) Delete(ctx context.Context, key string) error {
	ctx, seen := watched(ctx)
	err := s.fail(ctx, seen, s.core.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{}))
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

func (s *s3Store) CreateMultipart(ctx context.Context, key string, metadata Metadata) (Multipart, error) {
	// The whole object gets a checksum that the parts' add up to, instead of one
	// of their checksums, which nothing but the same parts could be held against.
	ctx, seen := watched(ctx)
	var id string
	err := s.summed(func(old bool) (err error) {
		headers := s3Headers(metadata)
		if !old {
			headers["x-amz-checksum-algorithm"], headers[s3ChecksumType] = "CRC32C", s3FullObject
		}
		id, err = s.core.NewMultipartUpload(ctx, s.bucket, key, minio.PutObjectOptions{UserMetadata: headers})
		return err
	})
	if err != nil {
		return nil, s.fail(ctx, seen, err)
	}
	return &s3Multipart{store: s, key: key, id: id}, nil
}

func (s *s3Store) ResumeMultipart(key, id string) Multipart {
	return &s3Multipart{store: s, key: key, id: id}
}

func (s *s3Store) Uploads(ctx context.Context, key string) ([]string, error) {
	return uploadsOf(key, s.UploadsBelow(ctx, key))
}

// UploadsBelow of MinIO's server has only those whose key is the prefix.
func (s *s3Store) UploadsBelow(ctx context.Context, prefix string) iter.Seq2[Begun, error] {
	return func(yield func(Begun, error) bool) {
		ctx, seen := watched(ctx)
		for afterKey, afterID := "", ""; ; {
			page, err := s.core.ListMultipartUploads(ctx, s.bucket, prefix, afterKey, afterID, "", 1000)
			if err != nil {
				yield(Begun{}, s.fail(ctx, seen, err))
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
			afterKey, afterID = page.NextKeyMarker, page.NextUploadIDMarker
		}
	}
}

type s3Multipart struct {
	store *s3Store
	key   string
	id    string
}

func (m *s3Multipart) ID() string { return m.id }

func (m *s3Multipart) PutPart(ctx context.Context, number int, body *Body) (Part, error) {
	s := m.store
	ctx, seen := watched(ctx)
	var part minio.ObjectPart
	err := s.summed(func(old bool) error {
		sums, err := s.sumsAhead(ctx, body, old)
		if err != nil {
			return err
		}
		header := http.Header{}
		if !old {
			header.Set(s3CRC, sums.crc32c)
		}
		part, err = s.core.PutObjectPart(ctx, s.bucket, m.key, m.id, number, body.Reader(ctx), body.Size(), minio.PutObjectPartOptions{
			Md5Base64: sums.md5, Sha256Hex: sums.sha256, DisableContentSha256: true, CustomHeader: header,
		})
		return err
	})
	if err != nil {
		return Part{}, s.fail(ctx, seen, err)
	}
	return s3Part(part), nil
}

func s3Part(p minio.ObjectPart) Part {
	return Part{Number: p.PartNumber, Size: p.Size, ETag: quoted(p.ETag), Checksum: p.ChecksumCRC32C}
}

func (m *s3Multipart) Parts(ctx context.Context) ([]Part, error) {
	s := m.store
	var parts []Part
	for after := 0; ; {
		ctx, seen := watched(ctx)
		page, err := s.core.ListObjectParts(ctx, s.bucket, m.key, m.id, after, 1000)
		if err != nil {
			return nil, s.fail(ctx, seen, err)
		}
		for _, p := range page.ObjectParts {
			parts = append(parts, s3Part(p))
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= after {
			return parts, nil
		}
		after = page.NextPartNumberMarker
	}
}

func (m *s3Multipart) Complete(ctx context.Context, parts []Part) (*Object, error) {
	s := m.store
	complete := make([]minio.CompletePart, len(parts))
	summed := len(parts) > 0
	var size int64
	for i, p := range parts {
		complete[i] = minio.CompletePart{PartNumber: p.Number, ETag: strings.Trim(p.ETag, `"`), ChecksumCRC32C: p.Checksum}
		summed = summed && p.Checksum != ""
		size += p.Size
	}
	headers := map[string]string{}
	if summed {
		headers[s3ChecksumType] = s3FullObject
	}
	ctx, seen := watched(ctx)
	info, err := s.core.CompleteMultipartUpload(ctx, s.bucket, m.key, m.id, complete, minio.PutObjectOptions{UserMetadata: headers})
	if err != nil {
		return nil, s.fail(ctx, seen, err)
	}
	return &Object{Key: m.key, Size: size, ETag: quoted(info.ETag), Sums: s3Sums(info.ChecksumCRC32C, info.ChecksumMode)}, nil
}

func (m *s3Multipart) Abort(ctx context.Context) error {
	s := m.store
	ctx, seen := watched(ctx)
	err := s.fail(ctx, seen, s.core.AbortMultipartUpload(ctx, s.bucket, m.key, m.id))
	if errors.Is(err, ErrNoUpload) || errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

func s3Object(key string, info minio.ObjectInfo) *Object {
	o := &Object{Key: key, Size: info.Size, ETag: quoted(info.ETag), ModTime: info.LastModified, Metadata: Metadata{}}
	for name, value := range info.UserMetadata {
		o.Metadata[strings.ToLower(name)] = value
	}
	o.Sums = s3Sums(info.ChecksumCRC32C, info.ChecksumMode)
	return o
}

// s3Sums returns the checksum of a whole object. One of the checksums of parts
// has their number behind it, or says so.
func s3Sums(crc32c, kind string) Sums {
	if strings.Contains(crc32c, "-") || kind != "" && kind != s3FullObject {
		return Sums{}
	}
	return Sums{CRC32C: crc32c}
}

// quoted returns an ETag as it is written in headers; minio takes the
// quotation marks off.
func quoted(etag string) string {
	if etag == "" {
		return ""
	}
	return `"` + strings.Trim(etag, `"`) + `"`
}

// s3Wire lets minio's requests through and keeps what it does not hand on: the
// headers of refusals, and why a connection failed.
type s3Wire struct{ next http.RoundTripper }

// s3Seen is the last answer to a request.
type s3Seen struct {
	mu     sync.Mutex
	method string
	header http.Header
	err    error
}

type s3SeenKey struct{}

// watched returns a context whose requests leave their answers behind.
func watched(ctx context.Context) (context.Context, *s3Seen) {
	seen := &s3Seen{}
	return context.WithValue(ctx, s3SeenKey{}, seen), seen
}

func (w *s3Wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Accept-Encoding") == "" {
		// An object that is kept compressed is fetched as it is.
		req = req.Clone(req.Context())
		req.Header.Set("Accept-Encoding", "identity")
	}
	resp, err := w.next.RoundTrip(req)
	if seen, ok := req.Context().Value(s3SeenKey{}).(*s3Seen); ok {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		seen.method, seen.header, seen.err = req.Method, nil, err
		if resp != nil {
			seen.header = resp.Header
		}
	}
	return resp, err
}

// fail makes the error of a method of minio's.
func (s *s3Store) fail(ctx context.Context, seen *s3Seen, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return NetworkError(ctx, err)
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if _, ok := errors.AsType[tls.RecordHeaderError](seen.err); ok {
		return fault.New(fault.Missing, "%s does not speak TLS", s.at.Host).
			WithHint("if it is meant to speak plain HTTP, give the endpoint as http://%s", s.at.Host)
	}
	if seen.err != nil {
		return NetworkError(ctx, seen.err)
	}
	refusal, refused := errors.AsType[minio.ErrorResponse](err)
	switch {
	case refused && seen.header == nil: // nothing was asked
		return fault.New(fault.Usage, "%s", Mask(refusal.Message))
	case refused:
	case seen.header == nil:
		return err // of the credentials
	default:
		return NetworkError(ctx, err) // while the answer was read
	}
	code, message := refusal.Code, refusal.Message
	if seen.method == http.MethodHead && seen.header.Get("x-minio-error-code") == "" || strings.Contains(code, " ") {
		// What minio makes of an answer without a body, and of one that is no XML.
		code, message = "", ""
	}
	e := NewRefusal(S3, refusal.StatusCode, code, message, refusal.RequestID, seen.header).Err()
	if s.keys.none() && (refusal.StatusCode == http.StatusForbidden || refusal.StatusCode == http.StatusUnauthorized) {
		return fault.New(fault.Remote, "there is no access key for S3, and without one %w", e).
			WithHint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws/credentials (AWS_PROFILE chooses from it)")
	}
	return e
}

// s3Keys finds access keys where Amazon's own programs do, in their order. Where
// there are none requests are not signed, as public buckets want it.
type s3Keys struct {
	client *http.Client

	mu    sync.Mutex
	from  s3keys.Provider // where they were found
	empty bool            // nowhere
}

// none reports whether there are no keys.
func (k *s3Keys) none() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.empty
}

// IsExpired is of s3keys.Provider.
func (k *s3Keys) IsExpired() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.empty && (k.from == nil || k.from.IsExpired())
}

// Retrieve is of s3keys.Provider.
func (k *s3Keys) Retrieve() (s3keys.Value, error) { return k.RetrieveWithCredContext(nil) }

// RetrieveWithCredContext is of s3keys.Provider.
func (k *s3Keys) RetrieveWithCredContext(cc *s3keys.CredContext) (s3keys.Value, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	places, err := k.places()
	if err != nil {
		return s3keys.Value{}, err
	}
	for _, place := range places {
		v, err := place.keys.RetrieveWithCredContext(cc)
		if err == nil && v.AccessKeyID != "" {
			k.from = place.keys
			return v, nil
		}
		if place.must != nil {
			return s3keys.Value{}, place.must
		}
	}
	k.empty = true
	return s3keys.Value{SignerType: s3keys.SignatureAnonymous}, nil
}

type s3KeyPlace struct {
	keys s3keys.Provider
	must error // the error where it has none: it was asked for. The library's own may hold secrets
}

func (k *s3Keys) places() ([]s3KeyPlace, error) {
	id := cmp.Or(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_ACCESS_KEY"))
	secret := cmp.Or(os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_SECRET_KEY"))
	if (id == "") != (secret == "") {
		return nil, fault.New(fault.Description, "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY one is set without the other").
			WithHint("set both, or neither")
	}
	places := []s3KeyPlace{{keys: &s3keys.EnvAWS{}}, {keys: &s3keys.FileAWSCredentials{}}}
	if profile := os.Getenv("AWS_PROFILE"); profile != "" {
		places[1].must = fault.New(fault.Description, "AWS_PROFILE names %q, and ~/.aws/credentials and ~/.aws/config have no keys for it", profile).
			WithHint("unset AWS_PROFILE, or see `aws configure list --profile %s`", profile)
	}
	for _, name := range []string{"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		if os.Getenv(name) != "" {
			return append(places, s3KeyPlace{
				keys: &s3keys.IAM{Client: k.client},
				must: fault.New(fault.Remote, "the role that %s leads to gave no keys for S3", name).
					WithHint("see whether `aws sts get-caller-identity` works here"),
			}), nil
		}
	}
	if !strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		// The machine's own metadata is one hop away or not there at all.
		client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		places = append(places, s3KeyPlace{keys: &s3keys.IAM{Client: client}})
	}
	return places, nil
}
