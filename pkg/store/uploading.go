package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openeas/eascmd/internal/fault"
)

// What suits most lines and files.
const (
	smallFile      = 32 << 20 // no parts up to here: one request, from memory, is through before several connections have found their pace
	usualPart      = 2 << 20
	endShare       = 4    // parts at the end are smaller by this
	fewParts       = 1000 // parts grow where there would be more of the usual size
	usualParallel  = 8    // a connection sends nothing while it waits for the answer to its part
	restarts       = 2    // of an upload whose parts the store has lost
	leastPiece     = 1 << 10
	defaultStalled = time.Minute
)

// Upload makes an object of a file and returns it. An object that is there under
// the name with the same size and checksum is not sent again.
//
// A file of more than 32 MiB goes in parts, several at a time. What fails for
// reasons that pass is repeated, part by part. When the upload ends before its
// time, by an error, by ctx or by the end of the process or the machine, another
// call with the same CacheDir, file and address goes on with it: it asks the
// store which parts it has, and sends the others. Where there is any doubt about
// them all is sent anew, and the parts of before are given up. Of calls that
// want the same address at the same time, in this process or others, one sends
// and the others wait.
//
// The object is there once it is whole. What the store says about its checksum
// is held against that of the file. A file that changes meanwhile is an error.
//
// Errors are of kind Missing when the network or the disk is in the way, Remote
// when the store refuses, Interrupted when ctx has ended, and never contain
// credentials.
func Upload(ctx context.Context, opts UploadOptions) (*Uploaded, error) {
	u := &upload{opts: opts, started: time.Now()}
	done, err := u.run(ctx)
	if err == nil {
		done.Took = time.Since(u.started)
		return done, nil
	}
	return nil, u.explain(ctx, err)
}

// upload is one run of Upload.
type upload struct {
	opts    UploadOptions
	started time.Time

	store   Store
	cache   *cache
	key     string // of the checkpoint and its lock
	file    *os.File
	info    fs.FileInfo // of the file at the beginning
	content *content
	retry   *retrier
	meter   *meter
	begun   bool // parts are there that can be gone on with

	warning sync.Mutex
	warned  time.Time // of requests that fail
}

// explain makes the error of Upload.
func (u *upload) explain(ctx context.Context, err error) error {
	kind := fault.KindOf(err)
	if errors.Is(err, errFileChanged) {
		return fault.New(fault.Failed, "upload %s to %s: %w", u.opts.File, u.opts.To, err).
			WithHint("upload it when nothing writes to it any more")
	}
	if ctx.Err() != nil {
		kind, err = fault.Interrupted, context.Cause(ctx)
	}
	var more string
	hint := fault.HintOf(err)
	if u.begun {
		held, total := u.meter.held()
		more = fmt.Sprintf("; %d of %d bytes are there", held, total)
		if hint == "" {
			hint = "the same command goes on where this one stopped"
		} else {
			hint += "; then the same command goes on where this one stopped"
		}
	}
	f := fault.New(kind, "upload %s to %s: %w%s", u.opts.File, u.opts.To, err, more)
	f.Hint = hint
	return f
}

func (u *upload) warn(format string, args ...any) {
	if u.opts.Warn != nil {
		u.opts.Warn(fmt.Sprintf(format, args...))
	}
}

// betweenWarnings is how long nothing more is said of requests that fail.
const betweenWarnings = 10 * time.Second

// repeated counts a request that is tried again. Of a single failure nobody need
// know; of a store that goes on failing they would otherwise learn at the end.
func (u *upload) repeated(f failure) {
	u.meter.repeated()
	if f.attempt < 2 {
		return
	}
	u.warning.Lock()
	defer u.warning.Unlock()
	if u.warned.IsZero() || time.Since(u.warned) > betweenWarnings {
		u.warned = time.Now()
		u.warn("%d attempts have failed, the next is in %s: %v", f.attempt, f.wait.Round(100*time.Millisecond), f.err)
	}
}

func (u *upload) run(ctx context.Context) (*Uploaded, error) {
	if u.opts.To.IsPrefix() {
		return nil, fault.New(fault.Usage, "the address is that of several objects, not of one").
			WithHint("write the object's name at its end")
	}
	if err := u.openFile(); err != nil {
		return nil, err
	}
	defer u.file.Close()
	var err error
	if u.cache, err = openCache(u.opts.CacheDir); err != nil {
		return nil, err
	}
	if u.store = u.opts.Store; u.store == nil {
		if u.store, err = Open(ctx, u.opts.To, u.opts.Options); err != nil {
			return nil, err
		}
		defer u.store.Close()
	}
	u.key = cacheKey("upload\n" + u.store.Endpoint() + "\n" + u.opts.To.String())
	u.meter = newMeter(u.opts, u.info.Size())
	u.retry = newRetrier(u.opts.Attempts, u.opts.RetryDelay, u.repeated)

	parts, err := u.parts()
	if err != nil {
		return nil, err
	}
	unlock, _, err := u.cache.lock(ctx, u.key, func() {
		u.meter.phase(Waiting)
		u.warn("another eascmd is uploading to %s; waiting for it", u.opts.To)
	})
	if err != nil {
		return nil, err
	}
	defer unlock()
	there, err := u.prepare(ctx, parts)
	if err != nil {
		return nil, err
	}
	if done := u.skip(ctx, there); done != nil {
		return done, nil
	}
	u.meter.phase(Sending)
	if u.content.size <= smallFile && parts.count() == 1 {
		return u.whole(ctx)
	}
	return u.inParts(ctx, parts)
}

// prepare reads the file for its checksums and asks the store for the object, at
// the same time: either takes a while, and what the store refuses need not wait.
func (u *upload) prepare(ctx context.Context, parts layout) (there *Object, err error) {
	u.meter.phase(Hashing)
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		there, err = u.stat(ctx)
		return err
	})
	both.Go(func() (err error) {
		u.content, err = readContent(ctx, u.file, parts, u.store.Traits().Checksum, u.meter.read)
		return err
	})
	return there, both.Wait()
}

func (u *upload) openFile() error {
	// A pipe would block when it is opened.
	info, err := os.Stat(u.opts.File)
	switch {
	case err != nil:
		return fault.New(fault.Usage, "%w", err)
	case info.IsDir():
		return fault.New(fault.Usage, "it is a directory").WithHint("pack it first: `eascmd pysdk pack DIR`")
	case !info.Mode().IsRegular():
		return fault.New(fault.Usage, "it is no regular file")
	}
	if u.file, err = os.Open(u.opts.File); err != nil {
		return fault.New(fault.Usage, "%w", err)
	}
	if u.info, err = u.file.Stat(); err != nil {
		u.file.Close()
		return err
	}
	return nil
}

// unchanged looks whether the file is what it was at the beginning, as far as
// that can be seen from outside.
func (u *upload) unchanged() error {
	info, err := u.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() != u.info.Size() || !info.ModTime().Equal(u.info.ModTime()) {
		return errFileChanged
	}
	return nil
}

// parts cuts the file, which depends on nothing but its size and the options, so
// that an interrupted upload can be gone on with.
func (u *upload) parts() (layout, error) {
	t, size := u.store.Traits(), u.info.Size()
	if size <= smallFile && (u.opts.PartSize <= 0 || size <= u.opts.PartSize) {
		return layout{size, smallFile, smallFile}, nil
	}
	part := u.opts.PartSize
	if part <= 0 {
		part = usualPart
		for part < size/fewParts {
			part *= 2
		}
	}
	part = min(max(part, t.MinPart, size/int64(t.MaxParts)+1), t.MaxPart)
	parts := layout{size, part, part}
	if parts.count() > t.MaxParts {
		return parts, fault.New(fault.Failed, "it is larger than the store allows: %d parts of %d bytes", t.MaxParts, t.MaxPart)
	}
	if u.opts.PartSize <= 0 {
		tapered := layout{size, part, min(part, max(part/endShare, t.MinPart))}
		if tapered.count() <= t.MaxParts {
			return tapered, nil
		}
	}
	return parts, nil
}

func (u *upload) parallel() int {
	if u.opts.Parallel > 0 {
		return min(u.opts.Parallel, MaxParallel)
	}
	return usualParallel
}

// there returns the object, if it is there already.
func (u *upload) there(ctx context.Context) (*Uploaded, error) {
	o, err := u.stat(ctx)
	if err != nil {
		return nil, err
	}
	return u.skip(ctx, o), nil
}

// skip returns the object that the store has, if it is the file. What was begun
// for it is given up then. o is nil where it has none.
func (u *upload) skip(ctx context.Context, o *Object) *Uploaded {
	if o == nil {
		return nil
	}
	verdict, by := u.content.sums.holds(u.content.size, o)
	if verdict != same {
		return nil
	}
	u.forget(ctx)
	done := u.uploaded(o, by)
	done.Skipped = true
	return done
}

// stat returns the object, or nil if there is none or one may not ask.
func (u *upload) stat(ctx context.Context) (o *Object, err error) {
	err = u.retry.do(ctx, func() error {
		return u.watch(ctx, func(ctx context.Context, _ *watchdog) error {
			o, err = u.store.Stat(ctx, u.opts.To.Key)
			return err
		})
	})
	if errors.Is(err, ErrNotExist) || errors.Is(err, errForbidden) {
		return nil, nil
	}
	return o, err
}

func (u *upload) uploaded(o *Object, by Algorithm) *Uploaded {
	sums := u.content.sums
	return &Uploaded{
		Address: u.opts.To, Endpoint: u.store.Endpoint(),
		Size: u.content.size, ETag: o.ETag, Sums: sums, Confirmed: by,
		Sent: u.meter.sentBytes(), Retries: int(u.retry.repeated.Load()),
	}
}

func (u *upload) metadata() Metadata {
	m := Metadata{}
	for k, v := range u.opts.Metadata {
		m[k] = v
	}
	m[MetadataSHA256] = u.content.sums.SHA256
	return m
}

// whole sends the file in one request.
func (u *upload) whole(ctx context.Context) (*Uploaded, error) {
	u.forget(ctx) // the file was larger once
	data := make([]byte, u.content.size)
	if _, err := io.ReadFull(io.NewSectionReader(u.file, 0, u.content.size), data); err != nil && u.content.size > 0 {
		return nil, fmt.Errorf("%w: %w", errFileChanged, err)
	}
	h := newHashes()
	h.Write(data)
	if h.sums().SHA256 != u.content.sums.SHA256 {
		return nil, errFileChanged
	}
	if err := u.unchanged(); err != nil {
		return nil, err
	}
	var o *Object
	err := u.send(ctx, 1, memory(data), 0, u.content.size, func(ctx context.Context, body *Body) (err error) {
		o, err = u.store.Put(ctx, u.opts.To.Key, body, u.metadata())
		return err
	})
	if err != nil {
		return nil, err
	}
	return u.confirm(ctx, o)
}

// memory is a file that has been read.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(p, m[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// confirm holds what the store says about the object that it has just made
// against the file.
func (u *upload) confirm(ctx context.Context, made *Object) (*Uploaded, error) {
	verdict, by := u.content.sums.holds(u.content.size, made)
	if verdict == different {
		// It is ours and wrong.
		_ = u.store.Delete(ctx, u.opts.To.Key)
		return nil, u.damaged(made, by)
	}
	if by == "" { // it did not say
		o, err := u.stat(ctx)
		if err != nil {
			return nil, err
		}
		if o != nil {
			if verdict, by = u.content.sums.holds(u.content.size, o); verdict == different {
				return nil, u.damaged(o, by)
			}
			made = o
		}
	}
	return u.uploaded(made, by), nil
}

func (u *upload) damaged(o *Object, by Algorithm) error {
	what := fmt.Sprintf("an object of %d bytes instead of %d", o.Size, u.content.size)
	if o.Size == u.content.size {
		what = "an object with another checksum"
		if by != "" {
			what += fmt.Sprintf(" (%s)", by)
		}
	}
	return fault.New(fault.Remote, "the store holds %s", what).WithHint("upload it again")
}

// send sends a section of a file with a request that may be repeated.
func (u *upload) send(ctx context.Context, number int, file io.ReaderAt, offset, size int64, request func(context.Context, *Body) error) error {
	err := u.retry.do(ctx, func() error {
		return u.watch(ctx, func(ctx context.Context, dog *watchdog) error {
			body := NewBody(file, offset, size)
			body.limit = func(ctx context.Context, n int) error {
				dog.rest() // waiting for one's turn is no standstill
				defer dog.alive()
				return u.meter.wait(ctx, n)
			}
			body.sent = func(position int64) {
				dog.alive()
				u.meter.sent(number, position)
			}
			if err := request(ctx, body); err != nil {
				u.meter.lost(number)
				return err
			}
			// What was sent is what was read at first, or the file is another.
			if size > 0 && len(u.content.crcs) >= number && body.crc != u.content.crcs[number-1] {
				return errFileChanged
			}
			return nil
		})
	})
	if err == nil {
		u.meter.arrived(number, size)
	}
	return err
}

// watchdog interrupts a request that stands still.
type watchdog struct {
	timer *time.Timer
	after time.Duration
}

func (d *watchdog) alive() { d.timer.Reset(d.after) }
func (d *watchdog) rest()  { d.timer.Stop() }

// watch makes a request that is interrupted when the watchdog hears nothing of
// it.
func (u *upload) watch(ctx context.Context, request func(context.Context, *watchdog) error) error {
	after := u.opts.StallTimeout
	if after <= 0 {
		after = defaultStalled
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dog := &watchdog{after: after}
	dog.timer = time.AfterFunc(after, func() { cancel(&stalledError{after: after, what: "went out or was answered"}) })
	defer dog.timer.Stop()
	err := request(ctx, dog)
	if err != nil && isStalled(context.Cause(ctx)) {
		return networkError(ctx, err)
	}
	return err
}

// checkpointFile returns where the checkpoint is.
func (u *upload) checkpointFile() string {
	return filepath.Join(u.cache.dir, "uploads", u.key+".json")
}
