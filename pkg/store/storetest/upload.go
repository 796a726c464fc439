package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/store"
)

// throttled is what a store answers that has too much to do.
func throttled() error {
	return store.NewRefusal(store.OSS, http.StatusServiceUnavailable, "SlowDown", "please slow down", "1", nil).Err()
}

func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// upload uploads and holds what is there afterwards against the file.
func (p *place) upload(t *testing.T, opts store.UploadOptions) *store.Uploaded {
	t.Helper()
	done, err := store.Upload(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(opts.File)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.content(t.Context(), opts.To.Key)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the object has %d bytes (%v), the file %d", len(got), err, len(want))
	}
	if done.Size != int64(len(want)) || done.Sums.SHA256 != sha(want) || done.Address != opts.To || done.Endpoint != p.Endpoint() {
		t.Errorf("uploaded %+v", done)
	}
	if left := checkpoints(t, opts.CacheDir); len(left) > 0 {
		t.Errorf("checkpoints are left: %v", left)
	}
	return done
}

// checkpoints lists the files that interrupted uploads have left.
func checkpoints(t *testing.T, cache string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(cache, "uploads", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// watcher is told the progress of an upload and looks for what cannot be.
type watcher struct {
	t      *testing.T
	mu     sync.Mutex
	phases []store.Phase
	last   store.UploadProgress
}

func (w *watcher) told(p store.UploadProgress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.Done < 0 || p.Done > p.Total || p.Done < p.Resumed && p.Phase == store.Sending && w.last.Phase == store.Sending {
		w.t.Errorf("%s: %d of %d bytes, %d of them resumed", p.Phase, p.Done, p.Total, p.Resumed)
	}
	if len(w.phases) == 0 || w.phases[len(w.phases)-1] != p.Phase {
		w.phases = append(w.phases, p.Phase)
	}
	w.last = p
}

func testUpload(t *testing.T, p *place) {
	for name, size := range map[string]int64{
		"empty":                   0,
		"one byte":                1,
		"one part":                p.partSize,
		"a byte more than a part": p.partSize + 1,
		"two parts":               2 * p.partSize,
		"three parts":             2*p.partSize + 100,
	} {
		p.Reset()
		opts := p.quick(t, strings.ReplaceAll(name, " ", "-"), file(t, Noise(1, size)))
		opts.Metadata = store.Metadata{"by": "eascmd"}
		w := &watcher{t: t}
		opts.Progress = w.told
		done := p.upload(t, opts)
		parts := 0
		if size > p.partSize {
			parts = int((size-1)/p.partSize) + 1
		}
		if done.Skipped || done.Resumed != 0 || done.Sent != size || done.Parts != parts || done.Retries != 0 || done.Confirmed != p.Traits().Checksum || done.ETag == "" {
			t.Errorf("%s: uploaded %+v", name, done)
		}
		if p.Count(PutPart) != parts {
			t.Errorf("%s: %d parts were sent instead of %d", name, p.Count(PutPart), parts)
		}
		if w.last.Done != size || w.last.Total != size || !slices.Equal(w.phases, []store.Phase{store.Hashing, store.Sending}) {
			t.Errorf("%s: progress %+v through %v", name, w.last, w.phases)
		}
		o, err := p.Stat(t.Context(), opts.To.Key)
		if err != nil {
			t.Fatal(err)
		}
		if o.Metadata[store.MetadataSHA256] != done.Sums.SHA256 || o.Metadata["by"] != "eascmd" || o.ETag != done.ETag {
			t.Errorf("%s: the object is %+v", name, o)
		}
	}
}

// The same bytes are not sent twice under the same name, others are.
func testUploadSame(t *testing.T, p *place) {
	for _, size := range []int64{0, 1000, p.partSize + 1} {
		name := fmt.Sprint("x", size)
		data := Noise(1, size)
		p.upload(t, p.quick(t, name, file(t, data)))
		p.Reset()
		done := p.upload(t, p.quick(t, name, file(t, data)))
		if !done.Skipped || done.Sent != 0 || p.Count(Put)+p.Count(Create) != 0 || done.Confirmed != p.Traits().Checksum {
			t.Errorf("of %d bytes: uploaded %+v", size, done)
		}
	}
	if done := p.upload(t, p.quick(t, "x1000", file(t, Noise(2, 1000)))); done.Skipped {
		t.Error("other bytes of the same length were not sent")
	}
	// Neither are those that somebody else has sent, where the store knows them.
	data := Noise(3, 1000)
	p.put(t, "other", data)
	if done := p.upload(t, p.quick(t, "other", file(t, data))); !done.Skipped {
		t.Error("what another had sent was sent again")
	}
	// A claim is not believed against what the store knows.
	if _, err := p.Put(t.Context(), p.key(t, "liar"), body(Noise(4, 1000)), store.Metadata{store.MetadataSHA256: sha(data)}); err != nil {
		t.Fatal(err)
	}
	if done := p.upload(t, p.quick(t, "liar", file(t, data))); done.Skipped {
		t.Error("an object was taken for what its metadata claims")
	}
}

// The store gives the upload up in the middle: all is sent anew, once or twice
// and not for ever.
func testUploadGoneMeanwhile(t *testing.T, p *place) {
	data := Noise(1, 3*p.partSize+9)
	for _, times := range []int{1, 10} {
		for _, at := range []Op{PutPart, Complete} {
			opts := p.quick(t, fmt.Sprint(at, times), file(t, data))
			opts.Parallel = 1
			var m store.Multipart
			opts.Store = &remember{p.Faults, &m}
			p.Reset()
			gone := 0
			p.Before = func(op Op, number int) error {
				if op == at && (op == Complete || number == 3) && gone < times {
					gone++
					return m.(*faultyMultipart).Multipart.Abort(t.Context())
				}
				return nil
			}
			if times == 1 {
				p.upload(t, opts)
				continue
			}
			if _, err := store.Upload(t.Context(), opts); !errors.Is(err, store.ErrNoUpload) || fault.KindOf(err) != fault.Remote {
				t.Errorf("%s: %v", at, err)
			}
			if gone > 3 {
				t.Errorf("%s: it was begun %d times", at, gone)
			}
			if left := checkpoints(t, opts.CacheDir); len(left) > 0 {
				t.Errorf("%s: a checkpoint is left of what is gone", at)
			}
		}
	}
}

// What fails for reasons that pass is repeated, whether it has been carried out
// or not.
func testUploadRetried(t *testing.T, p *place) {
	for _, data := range [][]byte{Noise(1, 1000), Noise(2, 2*p.partSize+9)} {
		for _, when := range []string{"before", "after"} {
			for _, op := range []Op{Stat, Put, Create, PutPart, Complete} {
				if (op == Put) == (len(data) > 1000) && op != Stat {
					continue // a request that this size does not need
				}
				p.Reset()
				var mu sync.Mutex
				failed := map[int]bool{}
				hook := func(got Op, number int) error {
					mu.Lock()
					defer mu.Unlock()
					if got != op || failed[number] {
						return nil
					}
					failed[number] = true
					return throttled()
				}
				if when == "before" {
					p.Before = hook
				} else {
					p.After = hook
				}
				opts := p.quick(t, fmt.Sprint(when, op, len(data)), file(t, data))
				w := &watcher{t: t}
				opts.Progress = w.told
				done := p.upload(t, opts)
				if op == Stat && len(failed) == 0 {
					continue // nothing there that could be answered
				}
				// A lost answer to Complete is settled by looking.
				if len(failed) == 0 || done.Retries != len(failed) || w.last.Retries != len(failed) || w.last.Done != done.Size {
					t.Errorf("%s %s failed %v: %+v, progress %+v", when, op, failed, done, w.last)
				}
			}
		}
	}
}

// What will not pass is not repeated, and said in words.
func testUploadRefused(t *testing.T, p *place) {
	data := Noise(1, 2*p.partSize+9)
	for _, test := range []struct {
		code, text, hint string
		status           int
	}{
		{"InvalidAccessKeyId", "access key id is not known", "eascmd config", 403},
		{"SignatureDoesNotMatch", "secret", "eascmd config", 403},
		{"SecurityTokenExpired", "expired", "new temporary credentials", 403},
		{"RequestTimeTooSkewed", "clock", "eascmd doctor", 403},
		{"AccessDenied", "no right", "oss:PutObject", 403},
		{"NoSuchBucket", "no such bucket", "region", 404},
	} {
		p.Reset()
		p.Before = func(op Op, number int) error {
			if op == PutPart && number == 2 {
				return store.NewRefusal(store.OSS, test.status, test.code, "what the store says.", "5A7B", nil).Err()
			}
			return nil
		}
		opts := p.quick(t, test.code, file(t, data))
		opts.Parallel = 1
		_, err := store.Upload(t.Context(), opts)
		if fault.KindOf(err) != fault.Remote || p.Count(PutPart) != 2 {
			t.Errorf("%s: %d parts, %v", test.code, p.Count(PutPart), err)
			continue
		}
		for _, want := range []string{test.text, test.code, "5A7B", opts.File, opts.To.String()} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", test.code, err, want)
			}
		}
		if hint := fault.HintOf(err); !strings.Contains(hint, test.hint) || !strings.Contains(hint, "goes on where") {
			t.Errorf("%s: the hint is %q", test.code, hint)
		}
		p.Reset()
		if done := p.upload(t, opts); done.Resumed != p.partSize {
			t.Errorf("%s: gone on with %+v", test.code, done)
		}
	}

	// Where one may not ask, one may still be allowed to send.
	p.Reset()
	p.Before = func(op Op, _ int) error {
		if op == Stat {
			return store.NewRefusal(store.OSS, http.StatusForbidden, "", "", "", nil).Err()
		}
		return nil
	}
	p.upload(t, p.quick(t, "blind", file(t, data)))
}

// A file that is written to meanwhile becomes no object.
func testUploadChanged(t *testing.T, p *place) {
	data := Noise(1, 3*p.partSize+9)
	for name, change := range map[string]func(path string) error{
		"longer": func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("more")
			return errors.Join(err, f.Close())
		},
		"shorter": func(path string) error { return os.Truncate(path, p.partSize+3) },
		"other bytes at the same time": func(path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("other"), 2*p.partSize+1)
			return errors.Join(err, f.Close(), os.Chtimes(path, info.ModTime(), info.ModTime()))
		},
	} {
		for _, at := range []Op{PutPart, Create} {
			opts := p.quick(t, fmt.Sprint("x", len(name), at), file(t, data))
			opts.Parallel = 1
			var m store.Multipart
			opts.Store = &remember{p.Faults, &m}
			p.Reset()
			p.Before = func(op Op, number int) error {
				if op == at && number < 2 {
					return change(opts.File)
				}
				return nil
			}
			_, err := store.Upload(t.Context(), opts)
			p.Reset()
			if err == nil || fault.KindOf(err) != fault.Failed || !strings.Contains(err.Error(), "the file has changed") {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := p.Stat(t.Context(), opts.To.Key); !errors.Is(err, store.ErrNotExist) {
				t.Errorf("%s: an object was made: %v", name, err)
			}
			if m == nil {
				t.Errorf("%s: nothing was begun", name)
			} else if _, err := m.Parts(t.Context()); !errors.Is(err, store.ErrNoUpload) {
				t.Errorf("%s: what was begun is still there: %v", name, err)
			}
			if left := checkpoints(t, opts.CacheDir); len(left) > 0 {
				t.Errorf("%s: a checkpoint is left", name)
			}
		}
	}
}

func testUploadTwoAtOnce(t *testing.T, p *place) {
	for _, size := range []int64{1000, 2*p.partSize + 9} {
		p.Reset()
		data := Noise(1, size)
		opts := p.quick(t, fmt.Sprint("x", size), file(t, data))
		waiting := make(chan struct{})
		var once sync.Once
		opts.Progress = func(u store.UploadProgress) {
			if u.Phase == store.Waiting {
				once.Do(func() { close(waiting) })
			}
		}
		p.Before = func(op Op, _ int) error {
			if op == Put || op == Complete { // the first is not done before the second waits
				select {
				case <-waiting:
				case <-time.After(time.Minute):
					return errors.New("the second did not wait")
				}
			}
			return nil
		}
		var both sync.WaitGroup
		var done [2]*store.Uploaded
		var errs [2]error
		for i := range 2 {
			both.Go(func() { done[i], errs[i] = store.Upload(t.Context(), opts) })
		}
		both.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		if done[0].Skipped == done[1].Skipped || done[0].Sent+done[1].Sent != size {
			t.Errorf("one sent and one waited: %+v, %+v", done[0], done[1])
		}
		p.wantObject(t, fmt.Sprint("x", size), data)
	}
}

// The rate is that of all parts together. A machine that is busy makes it less.
func testUploadLimited(t *testing.T, p *place) {
	data := Noise(1, 2*p.partSize+p.partSize/2)
	opts := p.quick(t, "x", file(t, data))
	opts.LimitRate = int64(len(data)) * 2
	opts.Parallel = 3
	opts.StallTimeout = time.Minute
	started := time.Now()
	p.upload(t, opts)
	// What may go out at once is less than a tenth of a second's.
	if took := time.Since(started); took < 400*time.Millisecond {
		t.Errorf("half a second's worth took %v", took)
	}
}

// A request that stands still is interrupted and repeated.
func testUploadStalled(t *testing.T, p *place) {
	data := Noise(1, 2*p.partSize+9)
	opts := p.quick(t, "x", file(t, data))
	opts.StallTimeout = time.Second
	opts.Store = &stalling{Faults: p.Faults}
	done := p.upload(t, opts)
	if done.Retries < 1 {
		t.Errorf("nothing was repeated: %+v", done)
	}
}

// stalling is a store that does not answer the first request for the second
// part.
type stalling struct {
	*Faults
	once sync.Once
}

func (s *stalling) CreateMultipart(ctx context.Context, key string, metadata store.Metadata) (store.Multipart, error) {
	m, err := s.Faults.CreateMultipart(ctx, key, metadata)
	return &stallingMultipart{m, s}, err
}

type stallingMultipart struct {
	store.Multipart
	store *stalling
}

func (m *stallingMultipart) PutPart(ctx context.Context, number int, body *store.Body) (store.Part, error) {
	stall := false
	if number == 2 {
		m.store.once.Do(func() { stall = true })
	}
	if stall {
		<-ctx.Done()
		return store.Part{}, store.NetworkError(ctx, ctx.Err())
	}
	return m.Multipart.PutPart(ctx, number, body)
}

// What the store holds is not what was sent.
func testUploadDamaged(t *testing.T, p *place) {
	for _, data := range [][]byte{Noise(1, 1000), Noise(2, p.partSize+9)} {
		for name, change := range map[string]func(*store.Object){
			"checksum": func(o *store.Object) { o.Sums.SHA256 = strings.Repeat("0", 64) },
			"size":     func(o *store.Object) { o.Size-- },
		} {
			p.Reset()
			p.Answer = func(op Op, o *store.Object) {
				if op == Put || op == Complete {
					change(o)
				}
			}
			key := fmt.Sprint(name, len(data))
			_, err := store.Upload(t.Context(), p.quick(t, key, file(t, data)))
			if err == nil || fault.KindOf(err) != fault.Remote || !strings.Contains(err.Error(), "the store holds") {
				t.Errorf("%s: %v", name, err)
			}
			p.Reset()
			if _, err := p.Stat(t.Context(), p.key(t, key)); !errors.Is(err, store.ErrNotExist) {
				t.Errorf("%s: what is wrong is still there: %v", name, err)
			}
		}
	}
}
