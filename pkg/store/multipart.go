package store

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/openeas/eascmd/internal/fault"
)

// inParts sends the file in parts, and goes on with what was begun earlier.
func (u *upload) inParts(ctx context.Context, parts layout) (*Uploaded, error) {
	for n := 0; ; n++ {
		done, err := u.attemptParts(ctx, parts)
		switch {
		case err == nil:
			return done, nil
		case errors.Is(err, errFileChanged):
			u.forget(ctx)
			return nil, err
		case !errors.Is(err, ErrNoUpload) && !errors.Is(err, ErrParts):
			return nil, err
		}
		// The parts are gone, or they have become the object: an answer that was
		// lost looks like this too.
		if done, err := u.there(ctx); done != nil || err != nil {
			if done != nil {
				done.Skipped = false
			}
			return done, err
		}
		u.forget(ctx)
		if n == restarts || ctx.Err() != nil {
			return nil, err
		}
		u.warn("the store has lost what was sent of %s; all of it is sent anew", u.opts.File)
	}
}

// attemptParts sends the parts that are not there and makes the object of all.
func (u *upload) attemptParts(ctx context.Context, parts layout) (*Uploaded, error) {
	multipart, journal, err := u.begin(ctx, parts)
	if err != nil {
		return nil, err
	}
	u.begun = true
	defer func() { u.begun = fileExists(journal.path) }()

	state := journal.state
	have := map[int]bool{}
	var resumed int64
	for _, p := range state.Parts {
		have[p.Number] = true
		resumed += p.Size
	}
	u.meter.resumed(resumed)

	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(u.parallel())
	for number := 1; number <= state.count() && groupCtx.Err() == nil; number++ {
		if have[number] {
			continue
		}
		group.Go(func() error { return u.sendPart(groupCtx, multipart, journal, number) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := u.unchanged(); err != nil {
		return nil, err
	}

	var made *Object
	err = u.retry.do(ctx, func() error {
		return u.watch(ctx, func(ctx context.Context, _ *watchdog) (err error) {
			made, err = multipart.Complete(ctx, journal.parts())
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	os.Remove(journal.path)
	done, err := u.confirm(ctx, made)
	if err != nil {
		return nil, err
	}
	done.Parts, done.Resumed = state.count(), resumed
	return done, nil
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// sendPart sends one part and notes that it is there.
func (u *upload) sendPart(ctx context.Context, multipart Multipart, j *journal, number int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := u.unchanged(); err != nil {
		return err
	}
	var sent Part
	offset, size := j.state.section(number)
	err := u.send(ctx, number, u.file, offset, size, func(ctx context.Context, body *Body) (err error) {
		sent, err = multipart.PutPart(ctx, number, body)
		return err
	})
	if err != nil {
		return err
	}
	sent.Number, sent.Size = number, size
	if err := j.add(sent); err != nil && !j.silent.Swap(true) {
		u.warn("how far the upload is cannot be noted, so that it could not be gone on with: %v", err)
	}
	return nil
}

// begin returns the upload that an earlier run has begun, if there is no doubt
// about it, and else a new one.
func (u *upload) begin(ctx context.Context, parts layout) (Multipart, *journal, error) {
	if m, j, err := u.resume(ctx, parts); m != nil || err != nil {
		return m, j, err
	}
	j := &journal{path: u.checkpointFile(), state: checkpoint{
		Version: checkpointVersion, Address: u.opts.To.String(), Endpoint: u.store.Endpoint(),
		SHA256: u.content.sums.SHA256, layout: parts, Parts: []Part{},
	}}
	// Noted before as well: should this end before the store's answer is noted,
	// the next run knows that there may be an upload whose id nobody knows.
	u.note(j)
	var m Multipart
	attempts := 0
	err := u.retry.do(ctx, func() error {
		attempts++
		return u.watch(ctx, func(ctx context.Context, _ *watchdog) (err error) {
			m, err = u.store.CreateMultipart(ctx, u.opts.To.Key, u.metadata())
			return err
		})
	})
	if err != nil {
		return nil, nil, err
	}
	j.state.Upload = m.ID()
	u.note(j)
	if attempts > 1 { // of the answers before, one may have been lost
		u.sweep(ctx, m.ID())
	}
	return m, j, nil
}

// note writes a checkpoint whose upload begins.
func (u *upload) note(j *journal) {
	if err := j.write(j.state); err != nil && !j.silent.Swap(true) {
		u.warn("how far the upload is cannot be noted, so that it could not be gone on with: %v", err)
	}
}

// sweep gives up uploads of the object that were begun and never used, but for
// the one that is kept: what is left where the answer to CreateMultipart was lost,
// since parts go out only after it has been noted. Another machine that has begun
// the same upload this very moment may lose it, and begins again. What cannot be
// given up now is the store's to clear away.
func (u *upload) sweep(ctx context.Context, kept string) {
	_ = u.watch(ctx, func(ctx context.Context, dog *watchdog) error {
		ids, err := u.store.Uploads(ctx, u.opts.To.Key)
		if err != nil {
			return err
		}
		for _, id := range ids {
			dog.alive()
			m := u.store.ResumeMultipart(u.opts.To.Key, id)
			if id == kept {
				continue
			}
			if parts, err := m.Parts(ctx); err == nil && len(parts) == 0 {
				_ = m.Abort(ctx)
			}
		}
		return nil
	})
}

// resume returns the upload of the checkpoint with those of its parts that the
// store has, or nil if there is none or any doubt.
func (u *upload) resume(ctx context.Context, parts layout) (Multipart, *journal, error) {
	c, err := readCheckpoint(u.checkpointFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err == nil && c.Upload == "" { // nothing was sent
		u.forget(ctx)
		return nil, nil, nil
	}
	if err == nil {
		err = u.fits(c, parts)
	}
	if err != nil {
		u.warn("what was sent of %s earlier is not gone on with: %v", u.opts.File, err)
		u.forget(ctx)
		return nil, nil, nil
	}
	m := u.store.ResumeMultipart(u.opts.To.Key, c.Upload)
	var there []Part
	err = u.retry.do(ctx, func() error {
		return u.watch(ctx, func(ctx context.Context, _ *watchdog) (err error) {
			there, err = m.Parts(ctx)
			return err
		})
	})
	if err != nil {
		// A store that will never tell must not be in the way for ever.
		_, passes := errors.AsType[*retryError](err)
		if passes || errors.Is(err, errCaller) || fault.KindOf(err) != fault.Remote || ctx.Err() != nil {
			return nil, nil, err
		}
		if errors.Is(err, ErrNoUpload) {
			err = errors.New("the store has given it up")
		}
		u.warn("what was sent of %s earlier is not gone on with: %v", u.opts.File, err)
		u.forget(ctx)
		return nil, nil, nil
	}
	// Only what both sides know of is certain: a part that the store alone has
	// was on its way when we were interrupted.
	known := map[int]Part{}
	for _, p := range there {
		known[p.Number] = p
	}
	confirmed := []Part{}
	for _, p := range c.Parts {
		if k, ok := known[p.Number]; ok && k.ETag == p.ETag && k.Size == p.Size {
			confirmed = append(confirmed, p)
		}
	}
	c.Parts = confirmed
	return m, &journal{path: u.checkpointFile(), state: *c}, nil
}

// fits says why a checkpoint is not that of this upload.
func (u *upload) fits(c *checkpoint, parts layout) error {
	switch {
	case c.Address != u.opts.To.String() || c.Endpoint != u.store.Endpoint():
		return errors.New("it went elsewhere")
	case c.Size != u.content.size || c.SHA256 != u.content.sums.SHA256:
		return errors.New("the file has changed")
	case c.layout != parts:
		return errors.New("its parts have another size")
	}
	return nil
}

// forget gives up what an earlier run has begun, here and in the store.
func (u *upload) forget(ctx context.Context) {
	c, err := readCheckpoint(u.checkpointFile())
	if c != nil && c.Address == u.opts.To.String() && c.Endpoint == u.store.Endpoint() {
		switch {
		case c.Upload != "":
			// What cannot be given up now is the store's to clear away.
			_ = u.watch(ctx, func(ctx context.Context, _ *watchdog) error {
				return u.store.ResumeMultipart(u.opts.To.Key, c.Upload).Abort(ctx)
			})
		case err == nil:
			u.sweep(ctx, "")
		}
	}
	os.Remove(u.checkpointFile())
}
