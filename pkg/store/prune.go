package store

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// What is younger is left alone by PruneCache: somebody may be at it.
const (
	youngBlob = 10 * time.Minute
	youngPart = 7 * 24 * time.Hour
)

// PruneCache removes files from a cache of FetchHTTP and Fetch, those first that
// have not been fetched or used for longest, until it holds no more than
// maxBytes, and what nobody has gone on with or used for a week: interrupted
// downloads, the notes of interrupted uploads, and directories, whose files are
// links to those of the cache. It returns how many bytes it freed. A file that is open somewhere stays readable there on
// Linux and macOS.
func PruneCache(dir string, maxBytes int64) (freed int64, err error) {
	c := &cache{dir: dir}
	for _, sub := range []string{"parts", "entries", "trees", "uploads"} {
		n, err := c.pruneLeft(sub)
		freed += n
		if err != nil {
			return freed, err
		}
	}
	blobs, err := c.blobs()
	if err != nil {
		return freed, err
	}
	keys, err := c.entryKeys()
	if err != nil {
		return freed, err
	}
	var total int64
	of := map[string]*blob{} // by sum
	for i := range blobs {
		of[blobs[i].sum] = &blobs[i]
		total += blobs[i].size
	}
	for _, key := range keys {
		var e entry
		info, err := os.Stat(c.entryFile(key))
		if err != nil || readJSON(c.entryFile(key), &e) != nil {
			continue
		}
		if b := of[e.SHA256]; b != nil {
			b.keys = append(b.keys, key)
			if info.ModTime().After(b.used) {
				b.used = info.ModTime()
			}
		}
	}
	slices.SortFunc(blobs, func(a, b blob) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.sum, b.sum)) })
	for _, b := range blobs {
		if total <= maxBytes || time.Since(b.used) < youngBlob {
			break
		}
		removed, err := c.removeBlob(b)
		if err != nil {
			return freed, err
		}
		if removed {
			total -= b.size
			freed += b.size
		}
	}
	return freed, nil
}

// blob is a file of the cache.
type blob struct {
	sum  string
	size int64
	used time.Time // its last use, or when it came
	keys []string  // of the addresses where it was found
}

// removeBlob removes a file and what points to it, unless one of its addresses
// is being fetched.
func (c *cache) removeBlob(b blob) (bool, error) {
	for _, key := range b.keys {
		l := flock.New(filepath.Join(c.dir, "locks", key))
		got, err := l.TryLock()
		if err != nil {
			return false, err
		}
		if !got {
			l.Close()
			return false, nil
		}
		defer l.Close()
	}
	for _, key := range b.keys {
		os.Remove(c.entryFile(key))
	}
	return true, os.Remove(c.blob(b.sum))
}

// blobs lists the files of the cache.
func (c *cache) blobs() ([]blob, error) {
	var all []blob
	err := filepath.WalkDir(filepath.Join(c.dir, "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() || !isSum(d.Name()) {
			return nil
		}
		info, err := d.Info()
		if err == nil {
			all = append(all, blob{sum: d.Name(), size: info.Size(), used: info.ModTime()})
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return all, err
}

// entryKeys lists the keys of the addresses that are known.
func (c *cache) entryKeys() ([]string, error) {
	files, err := os.ReadDir(filepath.Join(c.dir, "entries"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var keys []string
	for _, f := range files {
		if key, ok := strings.CutSuffix(f.Name(), ".json"); ok {
			keys = append(keys, key)
		}
	}
	return keys, err
}

// pruneLeft removes from a directory of the cache what nobody went on with or
// used, and what a process was writing when it was killed.
func (c *cache) pruneLeft(sub string) (freed int64, err error) {
	files, err := os.ReadDir(filepath.Join(c.dir, sub))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for _, f := range files {
		if sub == "entries" && !strings.HasPrefix(f.Name(), newPrefix) {
			continue
		}
		info, err := f.Info()
		if err != nil || time.Since(info.ModTime()) < youngPart {
			continue
		}
		if info.IsDir() { // its files are links to blobs
			_ = os.RemoveAll(filepath.Join(c.dir, sub, f.Name()))
			continue
		}
		if os.Remove(filepath.Join(c.dir, sub, f.Name())) == nil {
			freed += info.Size()
		}
	}
	return freed, err
}
