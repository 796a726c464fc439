// Package ossserver is an Alibaba Cloud Object Storage Service of our own to
// test against, written from the published API. It keeps buckets, objects and
// unfinished uploads in a directory, so that a restart loses nothing; it really
// verifies signatures (V1 and V4, in headers and in addresses), security tokens
// and clocks; and it fails on demand, in every way that a line or the service
// may fail. What it was asked, and how many bytes that took, can be read back.
//
// It holds no object in memory, whatever its size. It is a test double and no
// product: it has no limits of rate, no encryption and no versions of objects.
package ossserver

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DefaultRegion is the region of a server that is given none.
const DefaultRegion = "cn-shanghai"

// maxSkew is how far the clocks of the two sides may be apart.
const maxSkew = 15 * time.Minute

// Options say what a server serves.
type Options struct {
	// Dir is where the state is kept. It must be set.
	Dir string
	// Region is the region that the server is in; default DefaultRegion. V4
	// signatures are made for it, and its endpoints are
	// oss-REGION.aliyuncs.com and oss-REGION-internal.aliyuncs.com.
	Region string
	// PageSize, if it is not 0, is how much one answer lists at most, so that a
	// few objects or parts are more than a page.
	PageSize int
}

// Key is an access key.
type Key struct {
	ID      string
	Secret  string
	Token   string    // the security token of a key of STS
	Expires time.Time // of such a key; zero is never
	Account string    // whose key it is; buckets belong to accounts
	// ReadOnly keys may not change anything.
	ReadOnly bool
}

// Server is an http.Handler that speaks as OSS does. It may be used by several
// goroutines at once.
type Server struct {
	region string
	page   int // entries; 0: as many as are asked for
	state  *state
	faults faults
	log    requestLog

	mu   sync.Mutex
	keys map[string]Key
	skew time.Duration
}

// New returns a server of what is in opts.Dir.
func New(opts Options) (*Server, error) {
	if opts.Dir == "" {
		return nil, errors.New("ossserver: no directory is given")
	}
	st, err := openState(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("ossserver: %w", err)
	}
	return &Server{region: cmp.Or(opts.Region, DefaultRegion), page: opts.PageSize, state: st, keys: map[string]Key{}}, nil
}

// Region returns the region that the server is in.
func (s *Server) Region() string { return s.region }

// SetKey lets a key in, or replaces the key of the same id.
func (s *Server) SetKey(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[k.ID] = k
}

// RemoveKey forgets a key.
func (s *Server) RemoveKey(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, id)
}

func (s *Server) key(id string) (Key, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[id]
	return k, ok
}

// SetSkew sets the server's clock off by d.
func (s *Server) SetSkew(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = d
}

func (s *Server) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.skew)
}

// CreateBucket makes a bucket that belongs to an account. It is no error if the
// account has it already.
func (s *Server) CreateBucket(name, account string) error {
	return s.state.createBucket(name, account, s.now())
}

// Buckets returns the names of all buckets, sorted.
func (s *Server) Buckets() []string {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return slices.Sorted(maps.Keys(s.state.buckets))
}

// Objects returns the keys of the objects of a bucket, sorted.
func (s *Server) Objects(bucket string) []string {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	b, ok := s.state.buckets[bucket]
	if !ok {
		return nil
	}
	return slices.Sorted(maps.Keys(b.objects))
}

// Uploads returns the ids of the unfinished uploads of a bucket, sorted.
func (s *Server) Uploads(bucket string) []string { return s.state.uploadIDs(bucket) }

// ExpireUploads drops all unfinished uploads of a bucket with their parts, as a
// rule of its life cycle does.
func (s *Server) ExpireUploads(bucket string) {
	for _, id := range s.state.uploadIDs(bucket) {
		_ = s.state.dropUpload(id)
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{
		Request: &Request{},
		server:  s, w: w, r: r,
		id:    newID(),
		query: r.URL.Query(),
		body:  r.Body,
	}
	x.address()
	x.name()
	s.log.add(x.Request)

	x.fault = s.faults.take(*x.Request)
	x.header().Set("Server", "AliyunOSS")
	x.header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	x.header().Set("X-Oss-Request-Id", x.id)
	err := x.before()
	if err == nil {
		err = x.serve()
	}
	if err != nil {
		x.fail(err)
	}
}

// exchange is a request and its answer.
type exchange struct {
	*Request // as the log has it; changed by note once it is there

	server *Server
	w      http.ResponseWriter
	r      *http.Request
	id     string
	query  url.Values
	style  style
	key    Key // whose request it is, once that is known
	fault  *Fault
	body   body
	wrote  bool
}

// style is how a request names its bucket.
type style struct {
	region    string // that signatures must be made for
	elsewhere bool   // it is another one than the server's
}

// address finds the bucket and the key, by path where the host is an address or
// a bare name, else by the host's first label.
func (x *exchange) address() {
	host := strings.ToLower(x.r.Host)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	path := strings.TrimPrefix(x.r.URL.Path, "/")
	if bucket, rest, ok := strings.Cut(host, "."); ok && net.ParseIP(strings.Trim(host, "[]")) == nil && !isEndpoint(host) {
		host, x.Bucket, x.Key = rest, bucket, path
	} else {
		x.Bucket, x.Key, _ = strings.Cut(path, "/")
	}
	x.style.region = x.server.region
	if isEndpoint(host) {
		x.style.region = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "oss-"), ".aliyuncs.com"), "-internal")
	}
	x.style.elsewhere = x.style.region != x.server.region
}

// endpoint returns the name of a region's endpoint, for the world or for the
// machines of the region.
func endpoint(region string, internal bool) string {
	if internal {
		return "oss-" + region + "-internal.aliyuncs.com"
	}
	return "oss-" + region + ".aliyuncs.com"
}

func isEndpoint(host string) bool {
	return strings.HasPrefix(host, "oss-") && strings.HasSuffix(host, ".aliyuncs.com")
}

// name finds which operation is asked for.
func (x *exchange) name() {
	has := func(param string) bool { return x.query.Has(param) }
	x.Operation = "Unknown"
	switch m := x.r.Method; {
	case x.Bucket == "":
		if m == http.MethodGet {
			x.Operation = ListBuckets
		}
	case x.Key == "":
		switch {
		case m == http.MethodPut:
			x.Operation = PutBucket
		case m == http.MethodDelete:
			x.Operation = DeleteBucket
		case m == http.MethodGet && has("location"):
			x.Operation = GetBucketLocation
		case m == http.MethodGet && has("bucketInfo"):
			x.Operation = GetBucketInfo
		case m == http.MethodGet && has("uploads"):
			x.Operation = ListMultipartUploads
		case m == http.MethodGet && x.query.Get("list-type") == "2":
			x.Operation = ListObjectsV2
		case m == http.MethodGet:
			x.Operation = ListObjects
		case m == http.MethodPost && has("delete"):
			x.Operation = DeleteMultipleObjects
		}
	case has("uploadId"):
		x.UploadID = x.query.Get("uploadId")
		switch m {
		case http.MethodPut:
			x.Part, _ = strconv.Atoi(x.query.Get("partNumber"))
			x.Operation = UploadPart
			if x.r.Header.Get("X-Oss-Copy-Source") != "" {
				x.Operation = UploadPartCopy
			}
		case http.MethodGet:
			x.Operation = ListParts
		case http.MethodPost:
			x.Operation = CompleteMultipartUpload
		case http.MethodDelete:
			x.Operation = AbortMultipartUpload
		}
	case m == http.MethodPost && has("uploads"):
		x.Operation = InitiateMultipartUpload
	case m == http.MethodHead && has("objectMeta"), m == http.MethodGet && has("objectMeta"):
		x.Operation = GetObjectMeta
	case m == http.MethodHead:
		x.Operation = HeadObject
	case m == http.MethodGet:
		x.Operation = GetObject
	case m == http.MethodDelete:
		x.Operation = DeleteObject
	case m == http.MethodPut && x.r.Header.Get("X-Oss-Copy-Source") != "":
		x.Operation = CopyObject
	case m == http.MethodPut:
		x.Operation = PutObject
	}
}

// operations are what the server can do; those of writes change something.
var operations = map[string]struct {
	serve func(*exchange) error
	write bool
}{
	ListBuckets:             {serve: (*exchange).listBuckets},
	PutBucket:               {serve: (*exchange).putBucket, write: true},
	DeleteBucket:            {serve: (*exchange).deleteBucket, write: true},
	GetBucketLocation:       {serve: (*exchange).getBucketLocation},
	GetBucketInfo:           {serve: (*exchange).getBucketInfo},
	ListObjects:             {serve: (*exchange).listObjects},
	ListObjectsV2:           {serve: (*exchange).listObjectsV2},
	DeleteMultipleObjects:   {serve: (*exchange).deleteMultipleObjects, write: true},
	PutObject:               {serve: (*exchange).putObject, write: true},
	CopyObject:              {serve: (*exchange).copyObject, write: true},
	GetObject:               {serve: (*exchange).getObject},
	HeadObject:              {serve: (*exchange).getObject},
	GetObjectMeta:           {serve: (*exchange).getObjectMeta},
	DeleteObject:            {serve: (*exchange).deleteObject, write: true},
	InitiateMultipartUpload: {serve: (*exchange).initiateMultipartUpload, write: true},
	UploadPart:              {serve: (*exchange).uploadPart, write: true},
	UploadPartCopy:          {serve: (*exchange).uploadPartCopy, write: true},
	ListParts:               {serve: (*exchange).listParts},
	ListMultipartUploads:    {serve: (*exchange).listMultipartUploads},
	CompleteMultipartUpload: {serve: (*exchange).completeMultipartUpload, write: true},
	AbortMultipartUpload:    {serve: (*exchange).abortMultipartUpload, write: true},
}

// serve lets the caller in and does what is asked for.
func (x *exchange) serve() error {
	key, err := x.authenticate()
	if err != nil {
		return err
	}
	x.key = key
	op, ok := operations[x.Operation]
	if !ok {
		return errNotImplemented
	}
	if x.Bucket != "" && x.Operation != PutBucket {
		if err := x.admit(x.Bucket, op.write); err != nil {
			return err
		}
	}
	return op.serve(x)
}

// admit checks that the caller may use a bucket.
func (x *exchange) admit(bucket string, write bool) error {
	account, ok := x.server.state.accountOf(bucket)
	switch {
	case !ok:
		return errNoSuchBucket.with("BucketName", bucket)
	case account != x.key.Account:
		return errAccessDenied.message("The bucket you access does not belong to you.")
	case x.style.elsewhere:
		return errAccessDenied.message("The bucket you are attempting to access must be addressed using the specified endpoint. "+
			"Please send all future requests to this endpoint.").
			with("Bucket", bucket).with("Endpoint", endpoint(x.server.region, false))
	case write && x.key.ReadOnly:
		return errAccessDenied.message("You have no right to access this object because of bucket acl.")
	}
	return nil
}

// newID returns a request's or an upload's id.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToUpper(hex.EncodeToString(b[:]))
}
