package store

import "time"

// FetchOptions say how Fetch fetches.
type FetchOptions struct {
	Store   Store   // that the address is in; default: Open(ctx, addr, Options), closed at the end
	Options Options // of Open

	// CacheDir is the directory of the cache, made if need be. It must be set.
	CacheDir string

	MaxBytes int64 // refuse more than this, over all objects; 0 means no limit
	Offline  bool  // use what the cache has, and no network

	// Progress, if set, is called for every piece that comes, with how much is
	// there, and the size of all that is fetched.
	Progress func(done, total int64)
	// Warn, if set, is called with what the user should know although the fetch
	// goes on: one line, without secrets.
	Warn func(text string)

	Attempts     int           // attempts in a row without progress; default 5, with a cached copy 2
	RetryDelay   time.Duration // pause before the second attempt, doubled each time; default 500 ms
	StallTimeout time.Duration // a download without a byte for so long is interrupted; default 1 minute
}
