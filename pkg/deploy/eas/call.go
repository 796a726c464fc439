package eas

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/deploy"
)

const (
	maxAnswer = 64 << 20         // bytes; a longer one is not from this API
	maxPause  = 30 * time.Second // between attempts, whatever the server asks for
)

// request is one call of the API.
type request struct {
	op    operation
	name  string            // of the service
	query map[string]string // what has no value is left out
	body  any               // to be written as JSON; nil is no body
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call makes a request as often as it takes and as is allowed, and reads the
// answer into out.
func (t *Target) call(ctx context.Context, r request, out any) error {
	what := t.nameOf(r)
	if r.op.path != services && !isName(r.name) {
		return fault.New(fault.Usage, "%s: %q is no name of a service", what, r.name)
	}
	var body []byte
	if r.body != nil {
		var written bytes.Buffer
		encoder := json.NewEncoder(&written)
		encoder.SetEscapeHTML(false) // a description goes as it is
		if err := encoder.Encode(r.body); err != nil {
			return fault.New(fault.Description, "%s: %w", what, err)
		}
		body = bytes.TrimSpace(written.Bytes())
	}
	for name, value := range r.query {
		if value == "" {
			delete(r.query, name)
		}
	}
	doubt := false // an earlier attempt may have been carried out
	for n := 1; ; n++ {
		f, err := t.attempt(ctx, r, body, out)
		if err != nil {
			return fault.New(fault.KindOf(err), "%s: %w", what, err)
		}
		if f == nil || doubt && r.op.gone && errors.Is(f.Err, deploy.ErrNotFound) {
			return nil
		}
		if r.op.repeat == reads {
			f.Unsettled = false
		}
		again := f.transient && n < t.opts.Attempts && (r.op.repeat != once || !f.Unsettled)
		doubt = doubt || f.Unsettled
		f.Unsettled = doubt
		if !again {
			return f.fault(what)
		}
		if f.replayed && n == 1 {
			// When a connection that was used before breaks, net/http asks the same
			// question again by itself, whose nonce is used by then. That is no news:
			// with a new one it is answered.
			continue
		}
		pause := t.pause(n, f.after)
		t.warn(fmt.Sprintf("%s: %s; trying again in %v", what, f.text(), pause.Round(100*time.Millisecond)))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return interrupted(ctx, f).fault(what)
		}
	}
}

// nameOf says what a request does, for people.
func (t *Target) nameOf(r request) string {
	if r.name == "" {
		return r.op.what + " in " + t.opts.Region
	}
	return r.op.what + " " + r.name + " in " + t.opts.Region
}

// isName reports whether name can stand in a path. Which names there may be is
// the server's to say.
func isName(name string) bool { return name != "" && name != "." && name != ".." }

// pause is how long to wait after the attempt n: as long as the server asks
// for, and some jitter, so that those who were refused together do not come
// back together.
func (t *Target) pause(n int, after time.Duration) time.Duration {
	pause := t.opts.RetryDelay << min(n-1, 10)
	pause += time.Duration((rand.Float64() - 0.5) * float64(pause))
	if after > 0 {
		pause = after + pause/2
	}
	return min(pause, maxPause)
}

// attempt makes a request once. The error is about what was not even tried.
func (t *Target) attempt(ctx context.Context, r request, body []byte, out any) (*failure, error) {
	c, err := t.opts.Credentials.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	a, sent, err := t.send(ctx, r, body, c)
	switch {
	case err != nil && ctx.Err() != nil:
		f := &failure{Error: &deploy.Error{Operation: r.op.name, Unsettled: sent}}
		return interrupted(ctx, f), nil
	case err != nil:
		return t.unreachable(r.op, err, sent, c), nil
	case a.status/100 == 2:
		if err := json.Unmarshal(a.body, out); err != nil {
			return unexpected(r.op, a, err), nil
		}
		return nil, nil
	default:
		return refused(r, a, c), nil
	}
}

// send sends a request and reads the answer. It reports whether any of the
// request may have reached the server.
func (t *Target) send(ctx context.Context, r request, body []byte, c config.Credentials) (_ *answer, sent bool, _ error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var connected atomic.Bool
	watch := time.AfterFunc(t.opts.ConnectTimeout, func() {
		if connected.Load() {
			cancel(&timeoutError{"no whole answer came", t.opts.AnswerTimeout})
			return
		}
		cancel(&timeoutError{"no connection came about", t.opts.ConnectTimeout})
	})
	defer watch.Stop()
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		connected.Store(true)
		watch.Reset(t.opts.AnswerTimeout)
	}})
	req, err := t.build(traced, r, body, c)
	if err != nil {
		return nil, false, err
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, connected.Load(), causeOf(ctx, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, true, causeOf(ctx, err)
	}
	if len(data) > maxAnswer {
		return nil, true, errTooLong
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: data}, true, nil
}

// errTooLong is of an answer that cannot be from this API. Another attempt would
// only fetch as much again.
var errTooLong = fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)

// timeoutError ends an attempt that takes too long.
type timeoutError struct {
	what  string
	after time.Duration
}

func (e *timeoutError) Error() string { return fmt.Sprintf("%s within %v", e.what, e.after) }

// causeOf returns why the context ended, where it did, instead of err.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
