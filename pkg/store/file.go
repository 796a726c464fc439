package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// hiddenDir is beside the objects of a directory and holds what is not one:
//
//	<hash of a name>.json   what is known of an object; see fileInfo
//	new-<random>            an object or part that is being written
//	upload-<id>/            an upload in parts: upload.json, and the parts as 00001
const hiddenDir = ".eascmd"

// fileStore is a directory as a Store. An object is a file, which is there whole
// or not at all. Nothing outside of the directory is reached, whatever keys and
// links in it say.
type fileStore struct {
	dir  string // on this machine
	base string // what keys begin with: the directory's, with a slash at the end unless empty
}

// fileInfo is what is kept beside an object. It is about the file with this size
// and time; anybody may have put another one there.
type fileInfo struct {
	Size     int64     `json:"size"`
	ModTime  time.Time `json:"modTime"`
	SHA256   string    `json:"sha256"`
	Metadata Metadata  `json:"metadata,omitempty"`
}

// fileUpload is what an upload in parts was begun with.
type fileUpload struct {
	Key      string   `json:"key"`
	Metadata Metadata `json:"metadata,omitempty"`
}

// newFile returns the directory that addr names, or that the file is in. It need
// not exist before something is put into it.
func newFile(addr Address) (Store, error) {
	base := addr.Key[:strings.LastIndexByte(addr.Key, '/')+1]
	dir := filepath.FromSlash("/" + base)
	if runtime.GOOS == "windows" {
		dir = filepath.FromSlash(base)
	}
	if !filepath.IsAbs(dir) {
		return nil, fault.New(fault.Usage, "%s is no absolute path", addr).WithHint("write file:///C:/PATH")
	}
	return &fileStore{dir: dir, base: base}, nil
}

func (s *fileStore) Endpoint() string { return s.dir }
func (s *fileStore) Close() error     { return nil }

func (s *fileStore) Traits() Traits {
	return Traits{Checksum: SHA256, MinPart: 100 << 10, MaxPart: 5 << 30, MaxParts: 10_000}
}

// open opens the directory, which is made for those who write.
func (s *fileStore) open(write bool) (*os.Root, error) {
	if write {
		if err := os.MkdirAll(s.dir, 0o777); err != nil {
			return nil, fileError(err)
		}
	}
	root, err := os.OpenRoot(s.dir)
	return root, fileError(err)
}

// name returns the path below the directory that a key stands for.
func (s *fileStore) name(key string) (string, error) {
	name, ok := strings.CutPrefix(key, s.base)
	if !ok || checkKey(name) != nil || !filepath.IsLocal(filepath.FromSlash(name)) || strings.HasSuffix(name, "/") ||
		slices.Contains(strings.Split(name, "/"), hiddenDir) {
		return "", fault.New(fault.Usage, "%q cannot be the name of an object in %s", key, s.dir)
	}
	return name, nil
}

// at opens the directory and finds a key in it.
func (s *fileStore) at(key string, write bool) (*os.Root, string, error) {
	name, err := s.name(key)
	if err != nil {
		return nil, "", err
	}
	root, err := s.open(write)
	return root, name, err
}

func infoName(name string) string {
	sum := sha256.Sum256([]byte(path.Base(name)))
	return path.Join(path.Dir(name), hiddenDir, hex.EncodeToString(sum[:16])+".json")
}

// object makes what is known of a file.
func (s *fileStore) object(root *os.Root, name string, info fs.FileInfo) *Object {
	o := &Object{
		Key: s.base + name, Size: info.Size(), ModTime: info.ModTime(),
		ETag: fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()),
	}
	var known fileInfo
	if b, err := root.ReadFile(infoName(name)); err == nil && json.Unmarshal(b, &known) == nil &&
		known.Size == o.Size && known.ModTime.Equal(o.ModTime) && isSum(known.SHA256) {
		o.ETag, o.Sums.SHA256, o.Metadata = `"`+known.SHA256+`"`, known.SHA256, known.Metadata
	}
	return o
}

func (s *fileStore) Stat(ctx context.Context, key string) (*Object, error) {
	root, name, err := s.at(key, false)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return nil, fileError(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fileRefusal("NoSuchKey")
	}
	return s.object(root, name, info), nil
}

func (s *fileStore) Open(ctx context.Context, key, etag string, offset int64) (_ io.ReadCloser, _ *Object, err error) {
	root, name, err := s.at(key, false)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	if info, err := root.Stat(name); err != nil {
		return nil, nil, fileError(err)
	} else if !info.Mode().IsRegular() { // a pipe would block
		return nil, nil, fileRefusal("NoSuchKey")
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, nil, fileError(err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fileError(err)
	}
	o := s.object(root, name, info)
	switch {
	case etag != "" && etag != o.ETag:
		return nil, nil, fileRefusal("PreconditionFailed")
	case offset < 0 || offset > 0 && offset >= o.Size:
		return nil, nil, NewRefusal(File, http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "the object has no bytes there", "", nil).Err()
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, nil, fileError(err)
	}
	return &contextFile{File: f, ctx: ctx}, o, nil
}

// contextFile is read until its context ends.
type contextFile struct {
	*os.File
	ctx context.Context
}

func (f *contextFile) Read(p []byte) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (s *fileStore) Put(ctx context.Context, key string, body *Body, metadata Metadata) (*Object, error) {
	root, name, err := s.at(key, true)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := newIn(root, path.Dir(name))
	if err != nil {
		return nil, err
	}
	defer f.discard()
	if err := f.copy(body.Reader(ctx)); err != nil {
		return nil, err
	}
	return s.finish(root, f, name, metadata)
}

// finish makes a file that has been written the object called name.
func (s *fileStore) finish(root *os.Root, f *newFileIn, name string, metadata Metadata) (*Object, error) {
	info, err := f.complete()
	if err != nil {
		return nil, err
	}
	sum := hex.EncodeToString(f.sum.Sum(nil))
	// It is there before what it is about: until then it fits no file.
	b, err := json.Marshal(fileInfo{Size: info.Size(), ModTime: info.ModTime(), SHA256: sum, Metadata: metadata})
	if err != nil {
		return nil, err
	}
	known, err := newIn(root, path.Dir(name))
	if err != nil {
		return nil, err
	}
	defer known.discard()
	if err := known.copy(strings.NewReader(string(b))); err != nil {
		return nil, err
	}
	if _, err := known.complete(); err != nil {
		return nil, err
	}
	if err := known.rename(infoName(name)); err != nil {
		return nil, err
	}
	if err := f.rename(name); err != nil {
		return nil, err
	}
	syncIn(root, path.Dir(name))
	sweep(root, path.Join(path.Dir(name), hiddenDir))
	return &Object{Key: s.base + name, Size: info.Size(), ETag: `"` + sum + `"`, ModTime: info.ModTime(), Sums: Sums{SHA256: sum}}, nil
}

func (s *fileStore) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		below, ok := strings.CutPrefix(prefix, s.base)
		if !ok {
			yield(Object{}, fault.New(fault.Usage, "%q is not in %s", prefix, s.dir))
			return
		}
		root, err := s.open(false)
		if errors.Is(err, ErrNotExist) {
			return
		}
		if err != nil {
			yield(Object{}, err)
			return
		}
		defer root.Close()
		names, err := namesBelow(ctx, root, below)
		if err != nil {
			yield(Object{}, fileError(err))
			return
		}
		for _, name := range names {
			info, err := root.Stat(name)
			if err != nil || !info.Mode().IsRegular() {
				continue // gone meanwhile, or a link that leads out
			}
			if !yield(*s.object(root, name, info), nil) {
				return
			}
		}
	}
}

// namesBelow returns the files whose names begin with prefix, in the order of
// keys, which is not that of a walk: a.txt comes before a/b.
func namesBelow(ctx context.Context, root *os.Root, prefix string) ([]string, error) {
	var names []string
	dir := path.Dir(prefix)
	if strings.HasSuffix(prefix, "/") {
		dir = path.Clean(prefix)
	}
	if !fs.ValidPath(dir) {
		return nil, nil
	}
	err := fs.WalkDir(root.FS(), dir, func(name string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir() && e.Name() == hiddenDir:
			return fs.SkipDir
		case !e.IsDir() && strings.HasPrefix(name, prefix):
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

func (s *fileStore) Delete(ctx context.Context, key string) error {
	root, name, err := s.at(key, false)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if info, err := root.Lstat(name); err == nil && info.IsDir() {
		return nil // no object
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError(err)
	}
	_ = root.Remove(infoName(name))
	prune(root, path.Dir(name))
	return nil
}

// sweep removes what killed processes have left in a hidden directory: files
// that were being written, and uploads that nobody has gone on with for a week.
func sweep(root *os.Root, hidden string) {
	entries, err := fs.ReadDir(root.FS(), hidden)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > youngPart && !strings.HasSuffix(e.Name(), ".json") {
			_ = root.RemoveAll(path.Join(hidden, e.Name()))
		}
	}
}

// prune removes directories that are empty now: objects are in none.
func prune(root *os.Root, dir string) {
	_ = root.Remove(path.Join(dir, hiddenDir))
	for ; dir != "."; dir = path.Dir(dir) {
		if root.Remove(dir) != nil {
			return
		}
	}
}

// newFileIn is a file that is being written under another name.
type newFileIn struct {
	*os.File
	root *os.Root
	name string
	sum  hash.Hash // SHA-256 of what has been written
	done bool
}

// newIn makes a file for what is to be in dir.
func newIn(root *os.Root, dir string) (*newFileIn, error) {
	hidden := path.Join(dir, hiddenDir)
	var err error
	for range 10 { // somebody else may be removing empty directories
		if err = root.MkdirAll(hidden, 0o777); err != nil {
			continue
		}
		var f *newFileIn
		if f, err = createIn(root, hidden); err == nil {
			return f, nil
		}
	}
	return nil, fileError(err)
}

func createIn(root *os.Root, dir string) (*newFileIn, error) {
	name := path.Join(dir, "new-"+randomName())
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, err
	}
	return &newFileIn{File: f, root: root, name: name, sum: sha256.New()}, nil
}

func (f *newFileIn) copy(r io.Reader) error {
	_, err := io.Copy(io.MultiWriter(f.File, f.sum), r)
	return fileError(err)
}

// complete makes sure that what has been written lasts.
func (f *newFileIn) complete() (fs.FileInfo, error) {
	if err := f.Sync(); err != nil {
		return nil, fileError(err)
	}
	info, err := f.Stat()
	return info, fileError(cmp.Or(err, f.Close()))
}

func (f *newFileIn) rename(name string) error {
	err := f.root.Rename(f.name, name)
	f.done = err == nil
	return fileError(err)
}

// discard removes the file unless it has got its name.
func (f *newFileIn) discard() {
	if !f.done {
		f.Close()
		_ = f.root.Remove(f.name)
	}
}

// syncIn makes renames in dir last; see syncDir.
func syncIn(root *os.Root, dir string) {
	if runtime.GOOS == "windows" {
		return
	}
	if d, err := root.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}

func fileRefusal(code string) error { return NewRefusal(File, 0, code, "", "", nil).Err() }

// fileError makes the error of a method of an operating system's. Those that are
// explained already stay.
func fileError(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errFileChanged) {
		return err
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fileRefusal("NoSuchKey")
	}
	f := fault.New(fault.Missing, "%w", err)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return f.WithHint("the directory has to be readable, and to upload writable, for this user")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return f.WithHint("make room on the disk of the directory that is written to")
	}
	return f
}

// randomName returns 32 hexadecimal digits.
func randomName() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}
