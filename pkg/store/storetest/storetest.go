// Package storetest is the one suite that every store passes, and through it
// what is built on stores: uploads and fetches. Faults are put between them and
// the real store, so that they happen where a test wants them.
package storetest

import (
	"bytes"
	"context"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/store"
)

// Suite is a store under test and what the suite has to know about it.
type Suite struct {
	// New returns a store and the address of a place in it that is empty and this
	// test's own: a prefix. It is called once for each test; what it opens is
	// closed by t.Cleanup.
	New func(t *testing.T) (store.Store, store.Address)

	// Many is how many objects List has to be asked more than once for; it is 20
	// where that is left out.
	Many int

	// Directories is set where a key cannot be below another key, as with files.
	Directories bool

	// Names says why the store cannot have objects with odd names here; empty
	// means that it can.
	Names string
}

// Run runs all tests of the suite.
func Run(t *testing.T, s Suite) {
	if s.Many == 0 {
		s.Many = 20
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *place)
	}{
		{"Objects", testObjects},
		{"Ranges", testRanges},
		{"Versions", testVersions},
		{"Metadata", testMetadata},
		{"Missing", testMissing},
		{"OddNames", testOddNames},
		{"Listing", testListing},
		{"Canceled", testCanceled},
		{"Multipart", testMultipart},
		{"MultipartParts", testMultipartParts},
		{"MultipartWrong", testMultipartWrong},
		{"MultipartGone", testMultipartGone},
		{"MultipartBelow", testMultipartBelow},
		{"Upload", testUpload},
		{"UploadSame", testUploadSame},
		{"UploadResumed", testUploadResumed},
		{"UploadOrphaned", testUploadOrphaned},
		{"UploadDoubt", testUploadDoubt},
		{"UploadSilent", testUploadSilent},
		{"UploadGoneMeanwhile", testUploadGoneMeanwhile},
		{"UploadRetried", testUploadRetried},
		{"UploadRefused", testUploadRefused},
		{"UploadChanged", testUploadChanged},
		{"UploadTwoAtOnce", testUploadTwoAtOnce},
		{"UploadLimited", testUploadLimited},
		{"UploadStalled", testUploadStalled},
		{"UploadDamaged", testUploadDamaged},
		{"Fetch", testFetch},
		{"FetchResumed", testFetchResumed},
		{"FetchChanged", testFetchChanged},
		{"FetchDamaged", testFetchDamaged},
		{"FetchPrefix", testFetchPrefix},
		{"FetchHostile", testFetchHostile},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			st, at := s.New(t)
			p := &place{Suite: s, Faults: &Faults{Store: st}, at: at, partSize: max(st.Traits().MinPart, 64<<10)}
			test.run(t, p)
		})
	}
}

// place is where one test may do what it wants.
type place struct {
	Suite
	*Faults
	at       store.Address
	partSize int64 // the smallest
}

// address returns the address of an object of the place.
func (p *place) address(t *testing.T, name string) store.Address {
	t.Helper()
	addr, err := p.at.Join(name)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func (p *place) key(t *testing.T, name string) string { return p.address(t, name).Key }

// put makes an object.
func (p *place) put(t *testing.T, name string, data []byte) *store.Object {
	t.Helper()
	o, err := p.Faults.Store.Put(t.Context(), p.key(t, name), body(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// wantObject holds an object against what it is to be.
func (p *place) wantObject(t *testing.T, name string, want []byte) {
	t.Helper()
	got, err := p.content(t.Context(), p.key(t, name))
	if err != nil {
		t.Errorf("%s: %v", name, err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes that are not the %d of the file", name, len(got), len(want))
	}
}

func (p *place) content(ctx context.Context, key string) ([]byte, error) {
	r, _, err := p.Faults.Store.Open(ctx, key, "", 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func body(data []byte) *store.Body {
	return store.NewBody(bytes.NewReader(data), 0, int64(len(data)))
}

// Noise returns bytes that are the same every time, and others for each seed.
func Noise(seed byte, size int64) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // it never fails
	return b
}

// file writes a file and returns its path.
func file(t *testing.T, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "package.tar.gz")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Op is a request to a store.
type Op string

// The requests.
const (
	Stat     Op = "stat"
	OpenOp   Op = "open"
	Put      Op = "put"
	List     Op = "list"
	Delete   Op = "delete"
	Create   Op = "create"
	PutPart  Op = "put part"
	Parts    Op = "parts"
	Complete Op = "complete"
	Abort    Op = "abort"
)

// Faults is a store between whose requests and their answers something may
// happen. It counts the requests.
type Faults struct {
	store.Store

	// Before is called before a request, and After after one that the store has
	// carried out; an error is the answer. number is that of the part, or 0.
	Before, After func(op Op, number int) error
	// Answer may change what the store says about an object.
	Answer func(op Op, o *store.Object)
	// Read may change what is read of an object.
	Read func(r io.ReadCloser) io.ReadCloser
	// Listed may change the keys that are listed.
	Listed func(key string) string

	mu    sync.Mutex
	count map[Op]int
}

// Count returns how many requests there were, carried out or not.
func (f *Faults) Count(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count[op]
}

// Reset forgets the faults and the counts.
func (f *Faults) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Before, f.After, f.Answer, f.Read, f.Listed, f.count = nil, nil, nil, nil, nil, nil
}

func (f *Faults) before(op Op, number int) error {
	f.mu.Lock()
	if f.count == nil {
		f.count = map[Op]int{}
	}
	f.count[op]++
	hook := f.Before
	f.mu.Unlock()
	if hook != nil {
		return hook(op, number)
	}
	return nil
}

func (f *Faults) after(op Op, number int, o *store.Object, err error) error {
	f.mu.Lock()
	hook, answer := f.After, f.Answer
	f.mu.Unlock()
	if err == nil && o != nil && answer != nil {
		answer(op, o)
	}
	if err == nil && hook != nil {
		err = hook(op, number)
	}
	return err
}

// Stat is of Store.
func (f *Faults) Stat(ctx context.Context, key string) (*store.Object, error) {
	if err := f.before(Stat, 0); err != nil {
		return nil, err
	}
	o, err := f.Store.Stat(ctx, key)
	return o, f.after(Stat, 0, o, err)
}

// Open is of Store.
func (f *Faults) Open(ctx context.Context, key, etag string, offset int64) (io.ReadCloser, *store.Object, error) {
	if err := f.before(OpenOp, 0); err != nil {
		return nil, nil, err
	}
	r, o, err := f.Store.Open(ctx, key, etag, offset)
	if err = f.after(OpenOp, 0, o, err); err == nil && f.Read != nil {
		r = f.Read(r)
	}
	return r, o, err
}

// Put is of Store.
func (f *Faults) Put(ctx context.Context, key string, body *store.Body, metadata store.Metadata) (*store.Object, error) {
	if err := f.before(Put, 0); err != nil {
		return nil, err
	}
	o, err := f.Store.Put(ctx, key, body, metadata)
	return o, f.after(Put, 0, o, err)
}

// List is of Store.
func (f *Faults) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		if err := f.before(List, 0); err != nil {
			yield(store.Object{}, err)
			return
		}
		for o, err := range f.Store.List(ctx, prefix) {
			if f.Listed != nil {
				o.Key = f.Listed(o.Key)
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// Delete is of Store.
func (f *Faults) Delete(ctx context.Context, key string) error {
	if err := f.before(Delete, 0); err != nil {
		return err
	}
	return f.after(Delete, 0, nil, f.Store.Delete(ctx, key))
}

// CreateMultipart is of Store.
func (f *Faults) CreateMultipart(ctx context.Context, key string, metadata store.Metadata) (store.Multipart, error) {
	if err := f.before(Create, 0); err != nil {
		return nil, err
	}
	m, err := f.Store.CreateMultipart(ctx, key, metadata)
	if err = f.after(Create, 0, nil, err); err != nil {
		return nil, err
	}
	return &faultyMultipart{m, f}, nil
}

// ResumeMultipart is of Store.
func (f *Faults) ResumeMultipart(key, id string) store.Multipart {
	return &faultyMultipart{f.Store.ResumeMultipart(key, id), f}
}

type faultyMultipart struct {
	store.Multipart
	faults *Faults
}

func (m *faultyMultipart) PutPart(ctx context.Context, number int, body *store.Body) (store.Part, error) {
	if err := m.faults.before(PutPart, number); err != nil {
		return store.Part{}, err
	}
	p, err := m.Multipart.PutPart(ctx, number, body)
	return p, m.faults.after(PutPart, number, nil, err)
}

func (m *faultyMultipart) Parts(ctx context.Context) ([]store.Part, error) {
	if err := m.faults.before(Parts, 0); err != nil {
		return nil, err
	}
	p, err := m.Multipart.Parts(ctx)
	return p, m.faults.after(Parts, 0, nil, err)
}

func (m *faultyMultipart) Complete(ctx context.Context, parts []store.Part) (*store.Object, error) {
	if err := m.faults.before(Complete, 0); err != nil {
		return nil, err
	}
	o, err := m.Multipart.Complete(ctx, parts)
	return o, m.faults.after(Complete, 0, o, err)
}

func (m *faultyMultipart) Abort(ctx context.Context) error {
	if err := m.faults.before(Abort, 0); err != nil {
		return err
	}
	return m.faults.after(Abort, 0, nil, m.Multipart.Abort(ctx))
}

// quick are the options of an upload that does not wait long before it repeats a
// request.
func (p *place) quick(t *testing.T, name, file string) store.UploadOptions {
	return store.UploadOptions{
		File: file, To: p.address(t, name), Store: p.Faults, CacheDir: t.TempDir(),
		PartSize: p.partSize, RetryDelay: time.Millisecond,
	}
}
