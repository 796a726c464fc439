package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openeas/eascmd/internal/fault"
)

// tree is what was found below a prefix. Its files are links to the blobs of the
// cache, where the disk has links.
type tree struct {
	Version int        `json:"version"`
	URL     string     `json:"url"`
	Dir     string     `json:"dir"` // below trees/, named by its content
	Files   []treeFile `json:"files"`
	Fetched time.Time  `json:"fetched"`
}

type treeFile struct {
	Name    string    `json:"name"` // with slashes
	SHA256  string    `json:"sha256"`
	Size    int64     `json:"size"`
	ModTime time.Time `json:"modTime"`
}

const (
	treeVersion = 1
	// maxTree bounds how many files a prefix may have: more are no model, but the
	// prefix of all of them.
	maxTree       = 100_000
	fetchParallel = 4
)

var errNotCached = errors.New("it is not in the cache, and the network is not to be used")

func (c *cache) treeFile(key string) string { return filepath.Join(c.dir, "trees", key+".json") }
func (c *cache) treeDir(name string) string { return filepath.Join(c.dir, "trees", name) }

// treeFetch is the fetch of all objects below a prefix.
type treeFetch struct {
	opts  FetchOptions
	addr  Address
	key   string
	cache *cache

	mu    sync.Mutex
	done  map[string]int64 // by key of the object
	total int64
}

func fetchTree(ctx context.Context, addr Address, opts FetchOptions) (string, error) {
	f := &treeFetch{opts: opts, addr: addr, key: storeKey(opts.Store, addr), done: map[string]int64{}}
	dir, err := f.run(ctx)
	if err == nil {
		return dir, nil
	}
	kind := fault.KindOf(err)
	if ctx.Err() != nil {
		kind = fault.Interrupted
	}
	return "", fault.New(kind, "fetch %s: %w", addr, err)
}

func (f *treeFetch) warn(format string, args ...any) {
	if f.opts.Warn != nil {
		f.opts.Warn(fmt.Sprintf(format, args...))
	}
}

func (f *treeFetch) run(ctx context.Context) (string, error) {
	var err error
	if f.cache, err = openCache(f.opts.CacheDir); err != nil {
		return "", err
	}
	unlock, _, err := f.cache.lock(ctx, f.key, func() {
		f.warn("another eascmd is fetching %s; waiting for it", f.addr)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	last := f.cached()
	if f.opts.Offline {
		if last == nil {
			return "", fault.New(fault.Missing, "%w", errNotCached)
		}
		return f.use(last)
	}
	now, err := f.now(ctx)
	if _, ok := errors.AsType[*retryError](err); ok && last != nil && ctx.Err() == nil {
		f.warn("%s cannot be fetched (%v); using the copy of %s", f.addr, err, last.Fetched.Local().Format(time.DateTime))
		return f.use(last) // all of it: new and old files are no model
	}
	if err != nil {
		return "", err
	}
	dir, err := f.use(now)
	if err != nil {
		return "", err
	}
	return dir, writeJSON(f.cache.treeFile(f.key), now)
}

// cached returns what was found the last time, or nil.
func (f *treeFetch) cached() *tree {
	var t tree
	if readJSON(f.cache.treeFile(f.key), &t) != nil || t.Version != treeVersion || t.Dir != nameOfTree(t.Files) {
		return nil
	}
	for _, file := range t.Files {
		if checkTreeName(file.Name) != nil || !isSum(file.SHA256) {
			return nil
		}
	}
	return &t
}

// nameOfTree names a directory by what is in it.
func nameOfTree(files []treeFile) string {
	h := sha256.New()
	for _, file := range files {
		fmt.Fprintf(h, "%s %d %q\n", file.SHA256, file.Size, file.Name)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// checkTreeName refuses names that would lead out of the directory, here or on
// another machine.
func checkTreeName(name string) error {
	if err := checkKey(name); err != nil {
		return err
	}
	if name == "" || strings.HasSuffix(name, "/") || strings.Contains(name, `\`) || !filepath.IsLocal(filepath.FromSlash(name)) {
		return errors.New("it is no name of a file")
	}
	return nil
}

// list returns the objects below the prefix.
func (f *treeFetch) list(ctx context.Context) (objects []Object, err error) {
	retry := newRetrier(f.opts.Attempts, f.opts.RetryDelay, func(failure) {})
	err = retry.do(ctx, func() error {
		objects = objects[:0]
		for o, err := range f.opts.Store.List(ctx, f.addr.Key) {
			if err != nil {
				return err
			}
			if strings.HasSuffix(o.Key, "/") && o.Size == 0 {
				continue // stands for a directory, as consoles make them
			}
			if objects = append(objects, o); len(objects) > maxTree {
				return fault.New(fault.Failed, "there are more than %d objects below it", maxTree).WithHint("name a longer prefix")
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(objects) == 0 {
		return nil, fault.New(fault.Remote, "%w, and none below it", ErrNotExist)
	}
	return objects, f.check(objects)
}

// check refuses what cannot be a directory, or is too much.
func (f *treeFetch) check(objects []Object) error {
	files := map[string]bool{}
	for _, o := range objects {
		name, below := strings.CutPrefix(o.Key, f.addr.Key)
		err := checkTreeName(name)
		if !below {
			err = errors.New("it is not below the prefix")
		}
		if err != nil {
			return fault.New(fault.Remote, "the object %q cannot be a file of the directory: %w", o.Key, err)
		}
		files[name] = true
		f.total += o.Size
	}
	for name := range files {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if files[dir] {
				return fault.New(fault.Remote, "%q is an object, and %q is below it, which files and directories cannot be", dir, name)
			}
		}
	}
	if f.opts.MaxBytes > 0 && f.total > f.opts.MaxBytes {
		return tooLarge(f.opts.MaxBytes)
	}
	return nil
}

// now brings what is below the prefix into the cache.
func (f *treeFetch) now(ctx context.Context) (*tree, error) {
	objects, err := f.list(ctx)
	if err != nil {
		return nil, err
	}
	return f.fetch(ctx, objects)
}

// fetch brings objects into the cache.
func (f *treeFetch) fetch(ctx context.Context, objects []Object) (*tree, error) {
	files := make([]treeFile, len(objects))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(fetchParallel)
	for i, o := range objects {
		group.Go(func() error {
			if err := groupCtx.Err(); err != nil {
				return err
			}
			name := strings.TrimPrefix(o.Key, f.addr.Key)
			addr := f.addr
			addr.Key = o.Key
			opts := f.opts
			opts.Progress = func(done, _ int64) { f.progress(o.Key, done) }
			s := newStoreFetch(addr, o.ETag, opts)
			e, err := s.run(groupCtx)
			if err != nil {
				return fault.New(fault.KindOf(err), "%s: %w", name, err)
			}
			f.progress(o.Key, e.Size)
			files[i] = treeFile{Name: name, SHA256: e.SHA256, Size: e.Size, ModTime: e.ModTime}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return &tree{Version: treeVersion, URL: f.addr.String(), Dir: nameOfTree(files), Files: files, Fetched: time.Now()}, nil
}

func (f *treeFetch) progress(key string, done int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done[key] = done
	if f.opts.Progress == nil {
		return
	}
	var sum int64
	for _, n := range f.done {
		sum += n
	}
	f.opts.Progress(sum, f.total)
}

// use returns the directory of a tree, which is made anew where it is not as it
// was.
func (f *treeFetch) use(t *tree) (string, error) {
	dir := f.cache.treeDir(t.Dir)
	if !intact(dir, t.Files) {
		if err := f.build(dir, t.Files); err != nil {
			return "", diskError(err)
		}
	}
	now := time.Now()
	_ = os.Chtimes(dir, now, now) // PruneCache goes by it
	return dir, nil
}

// intact reports whether a directory has the files, as far as can be seen from
// outside.
func intact(dir string, files []treeFile) bool {
	for _, file := range files {
		info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(file.Name)))
		if err != nil || !info.Mode().IsRegular() || info.Size() != file.Size || !info.ModTime().Equal(file.ModTime) {
			return false
		}
	}
	return true
}

// build makes a directory of blobs, as a whole.
func (f *treeFetch) build(dir string, files []treeFile) (err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), newPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	for _, file := range files {
		to := filepath.Join(temp, filepath.FromSlash(file.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := linkOrCopy(f.cache.blob(file.SHA256), to); err != nil {
			return err
		}
		info, err := os.Stat(to)
		if err != nil {
			return err
		}
		if info.Size() != file.Size || !info.ModTime().Equal(file.ModTime) {
			return fmt.Errorf("%s has been changed in the cache", file.Name)
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Rename(temp, dir); err != nil && !intact(dir, files) { // made by another meanwhile?
		return err
	}
	return nil
}

// linkOrCopy puts a file where another name for it is wanted.
func linkOrCopy(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), os.Chtimes(to, info.ModTime(), info.ModTime()))
}
