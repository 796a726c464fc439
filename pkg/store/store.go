package store

import (
	"context"
	"io"
	"iter"
	"time"
)

// Store is a bucket, or for file:// a directory. Keys are those of addresses,
// the prefix included; see Address.
//
// A method makes one request (those that list as many as there are pages) and
// neither repeats it nor hides that it failed: that is for the callers, who know
// what may be repeated. Requests are bounded by their context and by the
// client's time-outs. Errors are those of this package, see Refusal and
// NetworkError, and contain no credentials. All methods may be called at the same
// time.
type Store interface {
	// Endpoint is where the store is, as people may see it:
	// http://oss-cn-shanghai.aliyuncs.com, or the path of a directory.
	Endpoint() string

	Traits() Traits

	// Stat returns what is known of an object. ErrNotExist is in the chain of
	// the error where there is none.
	Stat(ctx context.Context, key string) (*Object, error)

	// Open reads an object from an offset on, which is 0 or less than its size.
	// With an ETag that is not empty it is that version of the object, and
	// ErrChanged is in the chain of the error where the object is another one by
	// now. The object is what Stat would return.
	Open(ctx context.Context, key, etag string, offset int64) (io.ReadCloser, *Object, error)

	// Put makes an object, or replaces it, in one request.
	Put(ctx context.Context, key string, body *Body, metadata Metadata) (*Object, error)

	// List yields the objects whose keys begin with a prefix, sorted by key, byte
	// by byte, and ends after the first error. Their checksums and metadata need
	// not be known.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]

	// Delete removes an object. It is no error if there is none.
	Delete(ctx context.Context, key string) error

	// CreateMultipart begins an upload in parts. The object is there, or
	// replaced, once it is completed.
	CreateMultipart(ctx context.Context, key string, metadata Metadata) (Multipart, error)

	// ResumeMultipart returns an upload that was begun earlier, without asking
	// whether it exists.
	ResumeMultipart(key, id string) Multipart

	// Uploads returns the ids of the uploads of a key that were begun, and neither
	// completed nor given up, in any order.
	Uploads(ctx context.Context, key string) ([]string, error)

	// UploadsBelow yields those of all keys that begin with a prefix, in any
	// order, and ends after the first error.
	UploadsBelow(ctx context.Context, prefix string) iter.Seq2[Begun, error]

	// Close lets go of idle connections.
	Close() error
}

// Begun is an upload in parts that was begun; ResumeMultipart takes both.
type Begun struct{ Key, ID string }

// uploadsOf picks the ids of a key among the uploads of all keys that begin with
// it, sorted by key.
func uploadsOf(key string, below iter.Seq2[Begun, error]) ([]string, error) {
	var ids []string
	for b, err := range below {
		if err != nil {
			return nil, err
		}
		if b.Key != key {
			break
		}
		ids = append(ids, b.ID)
	}
	return ids, nil
}

// Multipart is an upload in parts. ErrNoUpload is in the chain of the errors of
// its methods where it does not exist any more.
type Multipart interface {
	// ID is what the store knows the upload by, with the key.
	ID() string

	// PutPart sends a part; numbers begin at 1. A part that is there already is
	// replaced. Parts may be sent at the same time and in any order. All but the
	// last have at least Traits.MinPart bytes.
	PutPart(ctx context.Context, number int, body *Body) (Part, error)

	// Copies of parts of objects that the store has (UploadPartCopy) belong
	// here, beside PutPart: they too end in a Part.

	// Parts returns the parts that the store has, by number.
	Parts(ctx context.Context) ([]Part, error)

	// Complete makes the object of the parts, which are sorted by number.
	// ErrParts is in the chain of the error where the store has not these.
	Complete(ctx context.Context, parts []Part) (*Object, error)

	// Abort gives the upload and its parts up. It is no error if there is none.
	Abort(ctx context.Context) error
}

// Traits are what stores differ in.
type Traits struct {
	Checksum Algorithm // of whole objects, as Stat and Complete tell it; see Sums
	MinPart  int64     // bytes of each part but the last
	MaxPart  int64     // bytes of a part, and of the object of Put
	MaxParts int
}

// Algorithm is one of the checksums of whole objects.
type Algorithm string

// The algorithms. A store that can tell several has the first of these.
const (
	SHA256 Algorithm = "sha256"
	CRC64  Algorithm = "crc64"  // ECMA, of OSS
	CRC32C Algorithm = "crc32c" // Castagnoli, of S3
)

// Sums are checksums of a whole object, each empty where it is not known.
type Sums struct {
	SHA256 string // hexadecimal
	CRC64  string // decimal, as OSS writes it in x-oss-hash-crc64ecma
	CRC32C string // base64 of the big-endian bytes, as S3 writes it in x-amz-checksum-crc32c
}

// Metadata is what is kept with an object: lower-case names, without
// x-oss-meta- or x-amz-meta- before them, and values of printable ASCII.
type Metadata map[string]string

// MetadataSHA256 is the metadata that has the SHA-256 of an object sent by
// Upload, in hexadecimal.
const MetadataSHA256 = "eascmd-sha256"

// Object is what a store knows of an object. Key and Size are always there.
type Object struct {
	Key      string
	Size     int64
	ETag     string    // with its quotation marks; changes when the content does
	ModTime  time.Time // zero after Put and Complete where the store does not say
	Sums     Sums      // as the store has computed or verified them itself
	Metadata Metadata  // nil from Put, Complete and List
}

// Part is a part that a store has.
type Part struct {
	Number int    `json:"number"`
	Size   int64  `json:"size"`
	ETag   string `json:"etag"` // as the store wants it back
	// Checksum is that of the part as the store wants it back, in its own
	// notation; empty where it wants none.
	Checksum string `json:"checksum,omitempty"`
}
