package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// Fetch fetches the object at an address, or all objects below a prefix, and
// returns where that lies in the cache: a read-only file named by its content, or
// a directory with the objects as files in it. Neither is to be changed or moved.
// An address that is no object's but has objects below it is taken for a prefix.
//
// What is in the cache is only fetched again when the store has another version.
// What comes is held against its length and the checksums that the store or
// Upload has noted with the object. Interruptions, errors, copies that are there
// and several processes at once are dealt with as FetchHTTP does.
//
// Objects whose names would lead out of the directory are refused, and with them
// the prefix.
func Fetch(ctx context.Context, addr Address, opts FetchOptions) (string, error) {
	if opts.Store == nil {
		st, err := Open(ctx, addr, opts.Options)
		if err != nil {
			return "", err
		}
		defer st.Close()
		opts.Store = st
	}
	var path string
	var err error
	if addr.IsPrefix() {
		path, err = fetchTree(ctx, addr, opts)
	} else {
		path, err = fetchFile(ctx, addr, opts)
		if errors.Is(err, ErrNotExist) || errors.Is(err, errNotCached) {
			below := addr
			below.Key += "/"
			if dir, treeErr := fetchTree(ctx, below, opts); !errors.Is(treeErr, ErrNotExist) && !errors.Is(treeErr, errNotCached) {
				path, err = dir, treeErr
			}
		}
	}
	if errors.Is(err, ErrNotExist) && fault.HintOf(err) == "" {
		return "", fault.New(fault.KindOf(err), "%w", err).WithHint("check the address; upper and lower case count")
	}
	return path, err
}

func fetchFile(ctx context.Context, addr Address, opts FetchOptions) (string, error) {
	f := newStoreFetch(addr, "", opts)
	e, err := f.run(ctx)
	if err != nil {
		return "", f.explain(ctx, err)
	}
	return f.cache.blob(e.SHA256), nil
}

// storeKey returns the key that the cache knows an address of a store by.
func storeKey(st Store, addr Address) string {
	return cacheKey("store\n" + st.Endpoint() + "\n" + addr.String())
}

// storeFetch fetches one object.
type storeFetch struct {
	*fetch
	store  Store
	object string // its key
	etag   string // as it was listed; empty: nobody has asked yet
}

func newStoreFetch(addr Address, etag string, opts FetchOptions) *storeFetch {
	s := &storeFetch{store: opts.Store, object: addr.Key, etag: etag}
	s.fetch = &fetch{
		opts: HTTPOptions{
			CacheDir: opts.CacheDir, MaxBytes: opts.MaxBytes, Offline: opts.Offline,
			Progress: opts.Progress, Warn: opts.Warn,
			Attempts: opts.Attempts, RetryDelay: opts.RetryDelay, StallTimeout: opts.StallTimeout,
		},
		masked: addr.String(),
		key:    storeKey(opts.Store, addr),
		exact:  etag != "",
		ask:    s.ask,
	}
	return s
}

// ask asks the store once.
func (s *storeFetch) ask(ctx context.Context, cached *entry) (_ *entry, came int64, _ error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if cached != nil && cached.ETag != "" {
		etag := s.etag
		if etag == "" {
			o, err := s.store.Stat(ctx, s.object)
			if err != nil {
				return nil, 0, err
			}
			etag = o.ETag
		}
		if etag == cached.ETag {
			s.cache.dropPart(s.key)
			return cached, 0, nil
		}
	}
	etag, have := s.cache.partOf(s.key)
	body, o, err := s.store.Open(ctx, s.object, etag, have)
	if err != nil {
		if _, ok := errors.AsType[*retryError](err); !ok && have > 0 && ctx.Err() == nil {
			// It is another one by now, or what is there is all of it.
			s.cache.dropPart(s.key)
			return nil, 0, &retryError{err: err, once: true}
		}
		return nil, 0, err
	}
	defer body.Close()
	return s.receive(ctx, cancel, incoming{
		body: body, have: have, total: o.Size, etag: o.ETag, lastModified: o.ModTime.UTC().Format(time.RFC3339), sums: newObjectSums(o),
	})
}

// objectSums holds what comes against what is known of an object.
type objectSums struct {
	*hashes
	known   Sums
	claimed string // SHA-256, by the metadata
}

func newObjectSums(o *Object) *objectSums {
	var with []Algorithm
	if o.Sums.CRC64 != "" {
		with = append(with, CRC64)
	}
	if o.Sums.CRC32C != "" {
		with = append(with, CRC32C)
	}
	return &objectSums{hashes: newHashes(with...), known: o.Sums, claimed: o.Metadata[MetadataSHA256]}
}

func (s *objectSums) writer() io.Writer { return s.hashes }
func (s *objectSums) sum() string       { return s.sums().SHA256 }

func (s *objectSums) check() error {
	got := s.sums()
	if verdict, by := got.compare(s.known); verdict == different {
		return fmt.Errorf("its %s is not that of the object", by)
	}
	if s.claimed != "" && !strings.EqualFold(s.claimed, got.SHA256) {
		return fmt.Errorf("its SHA-256 is %s, that of the file that was uploaded %s", got.SHA256, clean(s.claimed))
	}
	return nil
}
