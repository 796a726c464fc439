package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/openeas/eascmd/internal/fault"
)

// cache is a directory of fetched files:
//
//	blobs/<aa>/<sha256>   the files, by content, read-only
//	entries/<key>.json    what was found at an address; see entry
//	parts/<key>           a download that was interrupted
//	parts/<key>.json      which version of the file it is a part of
//	trees/<key>.json      what was found below a prefix; see tree
//	trees/<hash>          the files below a prefix
//	uploads/<key>.json    how far an upload is; see checkpoint
//	locks/<key>           held by the process that fetches or sends
//
// A key is the hash of an address without its credentials.
type cache struct{ dir string }

// entry is what was found at an address.
type entry struct {
	Version      int       `json:"version"`
	URL          string    `json:"url"` // masked, for people who look into the cache
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"lastModified,omitempty"`
	SHA256       string    `json:"sha256"`
	Size         int64     `json:"size"`
	ModTime      time.Time `json:"modTime"` // of the blob, to see cheaply that nobody changed it
	Fetched      time.Time `json:"fetched"`
}

const entryVersion = 1

// part is what an interrupted download is a part of.
type part struct {
	ETag string `json:"etag"` // a strong one
}

func openCache(dir string) (*cache, error) {
	if dir == "" {
		return nil, errors.New("no cache directory is given")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"blobs", "entries", "parts", "locks", "trees", "uploads"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fault.New(fault.Missing, "make the cache directory: %w", err).
				WithHint("name another directory that may be written to")
		}
	}
	return &cache{dir: dir}, nil
}

// cacheKey returns the key of an address.
func cacheKey(identity string) string {
	h := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(h[:])
}

func (c *cache) blob(sum string) string      { return filepath.Join(c.dir, "blobs", sum[:2], sum) }
func (c *cache) entryFile(key string) string { return filepath.Join(c.dir, "entries", key+".json") }
func (c *cache) partFile(key string) string  { return filepath.Join(c.dir, "parts", key) }
func (c *cache) partInfo(key string) string  { return filepath.Join(c.dir, "parts", key+".json") }

// lock waits until no other process fetches key. waiting is called if that
// takes a while; waited reports whether it did.
func (c *cache) lock(ctx context.Context, key string, waiting func()) (unlock func(), waited bool, err error) {
	l := flock.New(filepath.Join(c.dir, "locks", key))
	got, err := l.TryLock()
	if err == nil && !got {
		waited = true
		waiting()
		_, err = l.TryLockContext(ctx, 50*time.Millisecond)
	}
	if err != nil {
		l.Close()
		return nil, waited, err
	}
	return func() { l.Close() }, waited, nil
}

// lookup returns the entry of key, or nil. A blob that is not what it was is
// dropped, and damaged is told its address.
func (c *cache) lookup(key string, damaged func(url string)) *entry {
	var e entry
	if readJSON(c.entryFile(key), &e) != nil || e.Version != entryVersion || !isSum(e.SHA256) {
		return nil
	}
	blob := c.blob(e.SHA256)
	info, err := os.Stat(blob)
	if err != nil {
		return nil
	}
	if info.Size() == e.Size && info.ModTime().Equal(e.ModTime) {
		return &e
	}
	// Copied, restored from a backup or tampered with: only its content tells.
	sum, err := sumFile(blob)
	if err != nil || sum != e.SHA256 {
		damaged(e.URL)
		os.Remove(blob)
		os.Remove(c.entryFile(key))
		return nil
	}
	e.ModTime = info.ModTime()
	_ = c.save(key, &e) // else it is hashed once more next time
	return &e
}

// keep moves a complete and checked part to its place, and returns that.
func (c *cache) keep(key string, e *entry) error {
	blob := c.blob(e.SHA256)
	if err := os.MkdirAll(filepath.Dir(blob), 0o700); err != nil {
		return err
	}
	part := c.partFile(key)
	if err := os.Chmod(part, 0o444); err != nil {
		return err
	}
	// A blob may be in use, so that a good one stays; a damaged one goes first,
	// since Windows does not replace a read-only file.
	if sum, err := sumFile(blob); err == nil && sum == e.SHA256 {
		os.Remove(part)
	} else {
		if err == nil {
			os.Remove(blob)
		}
		if err := os.Rename(part, blob); err != nil {
			return err
		}
	}
	syncDir(filepath.Dir(blob))
	info, err := os.Stat(blob)
	if err != nil {
		return err
	}
	e.ModTime = info.ModTime()
	os.Remove(c.partInfo(key))
	return c.save(key, e)
}

func (c *cache) save(key string, e *entry) error {
	e.Version = entryVersion
	return writeJSON(c.entryFile(key), e)
}

// touch notes that an entry was used; PruneCache goes by it.
func (c *cache) touch(key string) {
	now := time.Now()
	_ = os.Chtimes(c.entryFile(key), now, now)
}

// partOf returns how much of key has come already, and of which version; "" and
// 0 if there is nothing to go on from.
func (c *cache) partOf(key string) (etag string, size int64) {
	var p part
	if readJSON(c.partInfo(key), &p) != nil || !isStrong(p.ETag) {
		return "", 0
	}
	info, err := os.Stat(c.partFile(key))
	if err != nil || info.Size() == 0 {
		return "", 0
	}
	return p.ETag, info.Size()
}

// dropPart forgets an interrupted download.
func (c *cache) dropPart(key string) {
	os.Remove(c.partInfo(key))
	os.Remove(c.partFile(key))
}

// isStrong reports whether two files with this ETag are equal byte by byte.
func isStrong(etag string) bool {
	return len(etag) > 2 && etag[0] == '"' && strings.HasSuffix(etag, `"`)
}

func isSum(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

func sumFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func readJSON(name string, v any) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// newPrefix begins the name of a file that is being written.
const newPrefix = ".new-"

// writeJSON replaces a file as a whole, also when the machine stops meanwhile.
func writeJSON(name string, v any) (err error) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), newPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(append(b, '\n')); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	syncDir(filepath.Dir(name))
	return nil
}

// syncDir makes renames in dir last. Some file systems cannot, Windows does it
// unasked; the worst that follows is a second download.
func syncDir(dir string) {
	if runtime.GOOS == "windows" {
		return
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}
