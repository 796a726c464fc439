package store

import "time"

// MaxParallel is how many parts are sent at the same time at the most, whatever
// UploadOptions say.
const MaxParallel = 16

// UploadOptions say what Upload sends where, and how.
type UploadOptions struct {
	File string  // path of a regular file
	To   Address // of the object that is made of it; no prefix

	Store   Store   // that To is in; default: Open(ctx, To, Options), closed at the end
	Options Options // of Open

	// CacheDir is the directory, made if need be, that keeps what is needed to go
	// on with an interrupted upload: no content and no credentials. It must be set.
	CacheDir string

	Metadata  Metadata // kept with the object, beside MetadataSHA256
	LimitRate int64    // bytes a second, over all parts; 0 means no limit
	Parallel  int      // parts sent at the same time; default: what suits the size
	PartSize  int64    // bytes; default: what suits the size

	// Progress, if set, is called at the beginning of each phase and for every
	// piece, by one goroutine at a time.
	Progress func(UploadProgress)
	// Warn, if set, is called with what the user should know although the upload
	// goes on: one line, without secrets.
	Warn func(text string)

	Attempts     int           // attempts in a row at one request; default 8
	RetryDelay   time.Duration // about the pause before the second attempt, doubled each time; default 500 ms
	StallTimeout time.Duration // a request that sends nothing for so long is interrupted; default 1 minute
}

// Phase is what Upload is at.
type Phase string

// The phases of Upload, in their order.
const (
	Waiting Phase = "waiting" // for another process that sends to the same address
	Hashing Phase = "hashing" // the file is read for its checksum
	Sending Phase = "sending"
)

// UploadProgress is how far Upload is.
type UploadProgress struct {
	Phase   Phase
	Done    int64 // bytes of the phase; less than before where a part has to be sent again
	Total   int64 // size of the file
	Resumed int64 // of Done, what an earlier, interrupted upload has sent
	Retries int   // requests that had to be repeated so far
}

// Uploaded is an object that holds a file.
type Uploaded struct {
	Address  Address
	Endpoint string // of the store
	Size     int64  // bytes
	ETag     string
	Sums     Sums // SHA256, and the one that the store goes by
	// Confirmed is the checksum by which the store has confirmed that it holds the
	// file, empty where it told none.
	Confirmed Algorithm

	Skipped bool  // the object was there already, with the same content
	Resumed int64 // bytes that an earlier, interrupted upload had sent
	Sent    int64 // bytes sent by this one, those included that were sent again
	Parts   int   // 0 where it was one request
	Retries int   // requests that had to be repeated
	Took    time.Duration
}
