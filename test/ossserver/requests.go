package ossserver

import (
	"slices"
	"sync"
)

// The operations, as the API names them.
const (
	ListBuckets             = "ListBuckets"
	PutBucket               = "PutBucket"
	DeleteBucket            = "DeleteBucket"
	GetBucketLocation       = "GetBucketLocation"
	GetBucketInfo           = "GetBucketInfo"
	ListObjects             = "ListObjects"
	ListObjectsV2           = "ListObjectsV2"
	DeleteMultipleObjects   = "DeleteMultipleObjects"
	PutObject               = "PutObject"
	CopyObject              = "CopyObject"
	GetObject               = "GetObject"
	HeadObject              = "HeadObject"
	GetObjectMeta           = "GetObjectMeta"
	DeleteObject            = "DeleteObject"
	InitiateMultipartUpload = "InitiateMultipartUpload"
	UploadPart              = "UploadPart"
	UploadPartCopy          = "UploadPartCopy"
	ListParts               = "ListParts"
	ListMultipartUploads    = "ListMultipartUploads"
	CompleteMultipartUpload = "CompleteMultipartUpload"
	AbortMultipartUpload    = "AbortMultipartUpload"
)

// Request is a request that the server has answered, or tries to.
type Request struct {
	Operation string `json:"operation"`
	Bucket    string `json:"bucket,omitempty"`
	Key       string `json:"key,omitempty"`
	UploadID  string `json:"uploadId,omitempty"`
	Part      int    `json:"part,omitempty"`
	Status    int    `json:"status,omitempty"` // 0: none has been answered
	Received  int64  `json:"received"`         // bytes of the request's body
	Sent      int64  `json:"sent"`             // bytes of the answer's body
}

// mostRequests bounds the log of a server that runs for long.
const mostRequests = 100_000

type requestLog struct {
	mu  sync.Mutex
	all []*Request // changed while they are answered
}

func (l *requestLog) add(r *Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) >= mostRequests {
		l.all = slices.Delete(l.all, 0, mostRequests/2)
	}
	l.all = append(l.all, r)
}

// note changes what is said of the exchange's request.
func (x *exchange) note(change func(*Request)) {
	x.server.log.mu.Lock()
	defer x.server.log.mu.Unlock()
	change(x.Request)
}

// Requests returns what was asked, in the order in which it began. What the
// other side has got is counted before it gets it.
func (s *Server) Requests() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	all := make([]Request, len(s.log.all))
	for i, r := range s.log.all {
		all[i] = *r
	}
	return all
}

// ForgetRequests begins to count anew.
func (s *Server) ForgetRequests() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.all = nil
}

// Count sums up what was asked of one operation, with bodies in bytes.
func (s *Server) Count(operation string) (requests int, received, sent int64) {
	for _, r := range s.Requests() {
		if r.Operation == operation {
			requests++
			received += r.Received
			sent += r.Sent
		}
	}
	return requests, received, sent
}

// PartsReceived returns how many bytes have come for each part of an object, by
// number, those of requests that failed included.
func (s *Server) PartsReceived(bucket, key string) map[int]int64 {
	parts := map[int]int64{}
	for _, r := range s.Requests() {
		if r.Operation == UploadPart && r.Bucket == bucket && r.Key == key {
			parts[r.Part] += r.Received
		}
	}
	return parts
}
