package ossserver

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// state is what the server keeps, in memory without the bytes and in a directory
// with them:
//
//	buckets/<name>/bucket.json
//	buckets/<name>/objects/<hash of the key>.json
//	buckets/<name>/data/<id>             bytes of objects and parts
//	buckets/<name>/uploads/<id>/upload.json
//	buckets/<name>/uploads/<id>/<number>.json
//
// A file is written under another name and renamed, so that it is there whole or
// not at all whenever the server dies.
type state struct {
	dir string

	mu      sync.Mutex
	buckets map[string]*bucket
	uploads map[string]*upload
	reading map[string]int  // files of data that are being read
	doomed  map[string]bool // those that go when nobody reads them any more
}

type bucket struct {
	Name    string    `json:"name"`
	Account string    `json:"account"`
	Created time.Time `json:"created"`

	objects map[string]*object
}

// object is never changed once it is in a bucket.
type object struct {
	Key      string            `json:"key"`
	Size     int64             `json:"size"`
	ETag     string            `json:"etag"` // without quotation marks
	CRC      uint64            `json:"crc64,string"`
	Type     string            `json:"type"` // Normal or Multipart
	Modified time.Time         `json:"modified"`
	Header   map[string]string `json:"header"` // as GetObject answers it
	Data     []piece           `json:"data"`
}

// piece is a file of data.
type piece struct {
	File string `json:"file"`
	Size int64  `json:"size"`
}

type upload struct {
	ID        string            `json:"id"`
	Bucket    string            `json:"bucket"`
	Key       string            `json:"key"`
	Initiated time.Time         `json:"initiated"`
	Header    map[string]string `json:"header"`

	parts map[int]*part
}

type part struct {
	Number   int       `json:"number"`
	ETag     string    `json:"etag"` // without quotation marks
	CRC      uint64    `json:"crc64,string"`
	Modified time.Time `json:"modified"`
	Data     piece     `json:"data"`
}

func openState(dir string) (*state, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	st := &state{
		dir: dir, buckets: map[string]*bucket{}, uploads: map[string]*upload{},
		reading: map[string]int{}, doomed: map[string]bool{},
	}
	if err := os.MkdirAll(filepath.Join(dir, "buckets"), 0o700); err != nil {
		return nil, err
	}
	names, err := os.ReadDir(filepath.Join(dir, "buckets"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := st.loadBucket(name.Name()); err != nil {
			return nil, fmt.Errorf("bucket %s: %w", name.Name(), err)
		}
	}
	return st, nil
}

func (st *state) path(bucket string, elem ...string) string {
	return filepath.Join(append([]string{st.dir, "buckets", bucket}, elem...)...)
}

func (st *state) objectFile(bucket, key string) string {
	h := sha256.Sum256([]byte(key))
	return st.path(bucket, "objects", hex.EncodeToString(h[:])+".json")
}

// loadBucket reads a bucket, and removes the data that nothing refers to.
func (st *state) loadBucket(name string) error {
	b := &bucket{objects: map[string]*object{}}
	if err := load(st.path(name, "bucket.json"), b); err != nil {
		return err
	}
	used := map[string]bool{}
	files, err := filepath.Glob(st.path(name, "objects", "*.json"))
	if err != nil {
		return err
	}
	for _, file := range files {
		o := &object{}
		if err := load(file, o); err != nil {
			return err
		}
		b.objects[o.Key] = o
		for _, p := range o.Data {
			used[p.File] = true
		}
	}
	uploads, err := os.ReadDir(st.path(name, "uploads"))
	if err != nil {
		return err
	}
	for _, dir := range uploads {
		u := &upload{parts: map[int]*part{}}
		err := load(st.path(name, "uploads", dir.Name(), "upload.json"), u)
		if errors.Is(err, fs.ErrNotExist) {
			// It was about to begin, or to go.
			if err := os.RemoveAll(st.path(name, "uploads", dir.Name())); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		parts, err := filepath.Glob(st.path(name, "uploads", dir.Name(), "[0-9]*.json"))
		if err != nil {
			return err
		}
		for _, file := range parts {
			p := &part{}
			if err := load(file, p); err != nil {
				return err
			}
			u.parts[p.Number] = p
			used[p.Data.File] = true
		}
		st.uploads[u.ID] = u
	}
	data, err := os.ReadDir(st.path(name, "data"))
	if err != nil {
		return err
	}
	for _, file := range data {
		if !used[file.Name()] {
			if err := os.Remove(st.path(name, "data", file.Name())); err != nil {
				return err
			}
		}
	}
	st.buckets[name] = b
	return nil
}

func load(file string, v any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func save(file string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	temporary := file + "." + newID()
	if err := os.WriteFile(temporary, b, 0o600); err != nil {
		return err
	}
	if err := os.Rename(temporary, file); err != nil {
		os.Remove(temporary)
		return err
	}
	return nil
}

// isBucket keeps the rules for names of buckets.
func isBucket(name string) bool {
	if len(name) < 3 || len(name) > 63 || strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-") {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
	})
}

func (st *state) createBucket(name, account string, now time.Time) error {
	if !isBucket(name) {
		return errInvalidBucketName.with("BucketName", name)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if b := st.buckets[name]; b != nil {
		if b.Account == account {
			return nil
		}
		return errBucketExists.with("BucketName", name)
	}
	for _, sub := range []string{"objects", "data", "uploads"} {
		if err := os.MkdirAll(st.path(name, sub), 0o700); err != nil {
			return err
		}
	}
	b := &bucket{Name: name, Account: account, Created: now.UTC().Truncate(time.Second), objects: map[string]*object{}}
	if err := save(st.path(name, "bucket.json"), b); err != nil {
		return err
	}
	st.buckets[name] = b
	return nil
}

func (st *state) deleteBucket(name string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.buckets[name].objects) > 0 {
		return errBucketNotEmpty.with("BucketName", name)
	}
	for _, u := range st.uploads {
		if u.Bucket == name {
			return errBucketNotEmpty.message("The bucket you tried to delete has unfinished uploads.").with("BucketName", name)
		}
	}
	if err := os.RemoveAll(st.path(name)); err != nil {
		return err
	}
	delete(st.buckets, name)
	return nil
}

func (st *state) accountOf(bucket string) (string, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	b, ok := st.buckets[bucket]
	if !ok {
		return "", false
	}
	return b.Account, true
}

// bucketsOf returns the buckets of an account, by name.
func (st *state) bucketsOf(account string) []bucket {
	st.mu.Lock()
	defer st.mu.Unlock()
	var all []bucket
	for _, name := range slices.Sorted(maps.Keys(st.buckets)) {
		if b := st.buckets[name]; b.Account == account {
			all = append(all, *b)
		}
	}
	return all
}

// received is what came in, on its way into an object or a part.
type received struct {
	piece
	md5 [md5.Size]byte
	crc uint64
}

// etag is how OSS makes one of bytes that came at once.
func (r *received) etag() string { return fmt.Sprintf("%X", r.md5) }

func (r *received) contentMD5() string { return base64.StdEncoding.EncodeToString(r.md5[:]) }

// receive keeps what r has in a new file of data. contentMD5, if it is not "",
// must be that of the bytes, and size, if it is not negative, their number.
func (st *state) receive(bucket string, r io.Reader, size int64, contentMD5 string) (_ *received, err error) {
	name := newID()
	f, err := os.OpenFile(st.path(bucket, "data", name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	sum, crc := md5.New(), crc64.New(crcTable())
	n, err := io.Copy(io.MultiWriter(f, sum, crc), r)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errIncompleteBody
		}
		return nil, err
	}
	if size >= 0 && n != size {
		return nil, errIncompleteBody
	}
	got := &received{piece: piece{name, n}, md5: [md5.Size]byte(sum.Sum(nil)), crc: crc.Sum64()}
	if contentMD5 != "" && contentMD5 != got.contentMD5() {
		return nil, errInvalidDigest.with("Content-MD5", contentMD5)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return got, nil
}

// remove removes data, now or when it has been read. st.mu is held.
func (st *state) remove(bucket string, data ...piece) {
	for _, p := range data {
		file := st.path(bucket, "data", p.File)
		if st.reading[file] > 0 {
			st.doomed[file] = true
		} else {
			os.Remove(file)
		}
	}
}

// object returns an object that stays readable until release is called.
func (st *state) object(bucket, key string) (o *object, release func(), err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	b := st.buckets[bucket]
	if b == nil {
		return nil, nil, errNoSuchBucket.with("BucketName", bucket)
	}
	if o = b.objects[key]; o == nil {
		return nil, nil, errNoSuchKey.with("Key", key)
	}
	for _, p := range o.Data {
		st.reading[st.path(bucket, "data", p.File)]++
	}
	return o, func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		for _, p := range o.Data {
			file := st.path(bucket, "data", p.File)
			if st.reading[file]--; st.reading[file] == 0 {
				delete(st.reading, file)
				if st.doomed[file] {
					delete(st.doomed, file)
					os.Remove(file)
				}
			}
		}
	}, nil
}

// put puts an object into its bucket in place of one of the same key. The data
// is removed where that fails.
func (st *state) put(bucket string, o *object, overwrite bool) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	err := st.putLocked(bucket, o, overwrite)
	if err != nil {
		st.remove(bucket, o.Data...)
	}
	return err
}

func (st *state) putLocked(bucket string, o *object, overwrite bool) error {
	b := st.buckets[bucket]
	if b == nil {
		return errNoSuchBucket.with("BucketName", bucket)
	}
	old := b.objects[o.Key]
	if old != nil && !overwrite {
		return errFileExists.with("Key", o.Key)
	}
	if err := save(st.objectFile(bucket, o.Key), o); err != nil {
		return err
	}
	b.objects[o.Key] = o
	if old != nil {
		st.remove(bucket, old.Data...)
	}
	return nil
}

func (st *state) deleteObject(bucket, key string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	b := st.buckets[bucket]
	if b == nil || b.objects[key] == nil {
		return nil // as OSS has it
	}
	if err := os.Remove(st.objectFile(bucket, key)); err != nil {
		return err
	}
	st.remove(bucket, b.objects[key].Data...)
	delete(b.objects, key)
	return nil
}

// objectsAfter returns the objects of a bucket behind a key, sorted.
func (st *state) objectsAfter(bucket, prefix, after string) []*object {
	st.mu.Lock()
	defer st.mu.Unlock()
	var all []*object
	for key, o := range st.buckets[bucket].objects {
		if strings.HasPrefix(key, prefix) && key > after {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b *object) int { return strings.Compare(a.Key, b.Key) })
	return all
}

// reader reads n bytes of an object from an offset on, a file at a time.
func (st *state) reader(bucket string, o *object, offset, n int64) io.Reader {
	return &objectReader{st: st, bucket: bucket, data: o.Data, offset: offset, left: n}
}

type objectReader struct {
	st     *state
	bucket string
	data   []piece
	offset int64 // in the first of data
	left   int64
}

func (r *objectReader) Read([]byte) (int, error) {
	return 0, errors.New("read with WriteTo")
}

// WriteTo writes all of it.
func (r *objectReader) WriteTo(w io.Writer) (written int64, err error) {
	for _, p := range r.data {
		if r.offset >= p.Size {
			r.offset -= p.Size
			continue
		}
		if r.left == 0 {
			break
		}
		n, err := r.writePiece(w, p)
		written += n
		if err != nil {
			return written, err
		}
		r.left -= n
		r.offset = 0
	}
	return written, nil
}

func (r *objectReader) writePiece(w io.Writer, p piece) (int64, error) {
	f, err := os.Open(r.st.path(r.bucket, "data", p.File))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Seek(r.offset, io.SeekStart); err != nil {
		return 0, err
	}
	return io.CopyN(w, f, min(r.left, p.Size-r.offset))
}

func (st *state) uploadIDs(bucket string) []string {
	st.mu.Lock()
	defer st.mu.Unlock()
	ids := []string{}
	for id, u := range st.uploads {
		if u.Bucket == bucket {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (st *state) createUpload(u *upload) error {
	if err := os.MkdirAll(st.path(u.Bucket, "uploads", u.ID), 0o700); err != nil {
		return err
	}
	if err := save(st.path(u.Bucket, "uploads", u.ID, "upload.json"), u); err != nil {
		return err
	}
	u.parts = map[int]*part{}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.uploads[u.ID] = u
	return nil
}

// upload returns an upload without its parts, and those by number.
func (st *state) upload(bucket, key, id string) (upload, []part, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	u, err := st.uploadLocked(bucket, key, id)
	if err != nil {
		return upload{}, nil, err
	}
	var parts []part
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		parts = append(parts, *u.parts[n])
	}
	return upload{ID: u.ID, Bucket: u.Bucket, Key: u.Key, Initiated: u.Initiated, Header: u.Header}, parts, nil
}

func (st *state) uploadLocked(bucket, key, id string) (*upload, error) {
	u := st.uploads[id]
	if u == nil || u.Bucket != bucket || u.Key != key {
		return nil, errNoSuchUpload.with("UploadId", id)
	}
	return u, nil
}

// putPart puts a part into its upload in place of one of the same number. The
// data is removed where that fails.
func (st *state) putPart(bucket, key, id string, p *part) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	u, err := st.uploadLocked(bucket, key, id)
	if err == nil {
		err = save(st.path(bucket, "uploads", id, strconv.Itoa(p.Number)+".json"), p)
	}
	if err != nil {
		st.remove(bucket, p.Data)
		return err
	}
	if old := u.parts[p.Number]; old != nil {
		st.remove(bucket, old.Data)
	}
	u.parts[p.Number] = p
	return nil
}

// completeUpload makes an object of an upload: build gets the parts by number
// and returns the object and the parts that are not in it.
func (st *state) completeUpload(bucket, key, id string, overwrite bool, build func(map[int]*part) (*object, []piece, error)) (*object, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	u, err := st.uploadLocked(bucket, key, id)
	if err != nil {
		return nil, err
	}
	o, unused, err := build(u.parts)
	if err != nil {
		return nil, err
	}
	o.Header = u.Header
	if err := st.putLocked(bucket, o, overwrite); err != nil {
		return nil, err
	}
	delete(st.uploads, id)
	st.remove(bucket, unused...)
	return o, st.removeUploadDir(bucket, id)
}

// removeUploadDir removes what is written of an upload: at first what makes it
// one.
func (st *state) removeUploadDir(bucket, id string) error {
	if err := os.Remove(st.path(bucket, "uploads", id, "upload.json")); err != nil {
		return err
	}
	return os.RemoveAll(st.path(bucket, "uploads", id))
}

// dropUpload gives an upload up with its parts.
func (st *state) dropUpload(id string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	u := st.uploads[id]
	if u == nil {
		return errNoSuchUpload.with("UploadId", id)
	}
	delete(st.uploads, id)
	for _, p := range u.parts {
		st.remove(u.Bucket, p.Data)
	}
	return st.removeUploadDir(u.Bucket, id)
}

// uploadsOf returns the unfinished uploads of a bucket, by key and id.
func (st *state) uploadsOf(bucket string) []upload {
	st.mu.Lock()
	defer st.mu.Unlock()
	var all []upload
	for _, u := range st.uploads {
		if u.Bucket == bucket {
			all = append(all, upload{ID: u.ID, Key: u.Key, Initiated: u.Initiated})
		}
	}
	slices.SortFunc(all, func(a, b upload) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all
}
