package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/store"
)

// interrupt makes an upload end as if the user had interrupted it, at a request
// before it is sent or after it has been carried out.
func (p *place) interrupt(t *testing.T, opts store.UploadOptions, when string, op Op, number int) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hook := func(gotOp Op, n int) error {
		if gotOp == op && n == number {
			cancel()
			return context.Canceled
		}
		return nil
	}
	p.Reset()
	if when == "before" {
		p.Before = hook
	} else {
		p.After = hook
	}
	opts.Parallel = 1
	_, err := store.Upload(ctx, opts)
	p.Reset()
	if fault.KindOf(err) != fault.Interrupted {
		t.Fatalf("interrupted %s %s %d: %v", when, op, number, err)
	}
	return err
}

func testUploadResumed(t *testing.T, p *place) {
	const parts = 4
	data := Noise(1, (parts-1)*p.partSize+9)
	for i, stage := range []struct {
		when    string
		op      Op
		number  int
		sent    int  // parts that the next one sends
		skipped bool // nothing
	}{
		{"before", Stat, 0, parts, false},
		{"before", Create, 0, parts, false},
		{"after", Create, 0, parts, false},
		{"before", PutPart, 1, parts, false},
		{"after", PutPart, 1, parts, false},
		{"before", PutPart, 3, parts - 2, false},
		{"after", PutPart, 3, parts - 2, false},
		{"before", Complete, 0, 0, false},
		{"after", Complete, 0, 0, true},
	} {
		what := fmt.Sprintf("%s %s %d", stage.when, stage.op, stage.number)
		opts := p.quick(t, fmt.Sprint("x", i), file(t, data))
		err := p.interrupt(t, opts, stage.when, stage.op, stage.number)
		goesOn := stage.sent < parts || stage.op == PutPart
		if strings.Contains(fault.HintOf(err), "goes on where") != goesOn {
			t.Errorf("%s: the hint is %q", what, fault.HintOf(err))
		}
		for _, name := range checkpoints(t, opts.CacheDir) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), opts.File) || bytes.Contains(text, data[:16]) {
				t.Errorf("%s: the checkpoint has what is nobody's business:\n%s", what, text)
			}
		}
		opts.File = file(t, data) // packed once more: what counts is the content
		w := &watcher{t: t}
		opts.Progress = w.told
		done := p.upload(t, opts)
		if got := p.Count(PutPart); got != stage.sent || done.Skipped != stage.skipped {
			t.Errorf("%s: %d parts were sent instead of %d: %+v", what, got, stage.sent, done)
		}
		if resumed := min(int64(parts-stage.sent)*p.partSize, int64(len(data))); !stage.skipped && (done.Resumed != resumed || done.Sent+done.Resumed != done.Size) {
			t.Errorf("%s: resumed %d bytes instead of %d and sent %d", what, done.Resumed, resumed, done.Sent)
		}
		p.wantNoUploads(t, fmt.Sprint("x", i))
	}
}

// wantNoUploads looks for uploads of an object that nobody goes on with.
func (p *place) wantNoUploads(t *testing.T, name string) {
	t.Helper()
	if ids, err := p.Uploads(t.Context(), p.key(t, name)); err != nil || len(ids) > 0 {
		t.Errorf("uploads of %s are left: %q, %v", name, ids, err)
	}
}

// An upload that was begun, and whose beginning was not answered, is given up;
// one that has parts is another's, and so is one of another object.
func testUploadOrphaned(t *testing.T, p *place) {
	data := Noise(1, p.partSize+9)
	others := []store.Multipart{p.create(t, "x"), p.create(t, "xy")}
	putPart(t, others[0], 1, data[:p.partSize])
	lost := 2
	p.After = func(op Op, _ int) error {
		if op == Create && lost > 0 {
			lost--
			return throttled()
		}
		return nil
	}
	if done := p.upload(t, p.quick(t, "x", file(t, data))); done.Retries != 2 || lost != 0 {
		t.Errorf("uploaded %+v", done)
	}
	for i, name := range []string{"x", "xy"} {
		ids, err := p.Uploads(t.Context(), p.key(t, name))
		if err != nil || len(ids) != 1 || ids[0] != others[i].ID() {
			t.Errorf("%s: uploads %q are left, %v", name, ids, err)
		}
		if err := others[i].Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.wantNoUploads(t, name)
	}
	p.wantObject(t, "x", data)
}

// What is in doubt is sent anew, and what was begun is given up.
func testUploadDoubt(t *testing.T, p *place) {
	data := Noise(1, 2*p.partSize+9)
	rewrite := func(change func([]byte) []byte) func(*testing.T, *store.UploadOptions) {
		return func(t *testing.T, opts *store.UploadOptions) {
			name := checkpoints(t, opts.CacheDir)[0]
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, change(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, doubt := range map[string]func(*testing.T, *store.UploadOptions){
		"truncated": rewrite(func(b []byte) []byte { return b[:len(b)/2] }),
		"garbage":   rewrite(func(b []byte) []byte { return Noise(5, 1000) }),
		"empty":     rewrite(func(b []byte) []byte { return nil }),
		"another version": rewrite(func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"version": 2`), []byte(`"version": 1`), 1)
		}),
		"tampered with": rewrite(func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"number": 2`), []byte(`"number": 3`), 1)
		}),
		"the file has changed": func(t *testing.T, opts *store.UploadOptions) {
			changed := bytes.Clone(data)
			changed[0]++
			opts.File = file(t, changed)
		},
		"other parts": func(t *testing.T, opts *store.UploadOptions) { opts.PartSize += 4 },
		"the upload is gone": func(t *testing.T, opts *store.UploadOptions) {
			p.abort(t, *opts)
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := p.quick(t, strings.ReplaceAll(name, " ", "-"), file(t, data))
			var m store.Multipart
			opts.Store = &remember{p.Faults, &m}
			p.interrupt(t, opts, "before", PutPart, 3)
			doubt(t, &opts)
			var warned []string
			opts.Warn = func(text string) { warned = append(warned, text) }
			opts.Store = p.Faults
			done := p.upload(t, opts)
			if done.Resumed != 0 || p.Count(PutPart) != 3 {
				t.Errorf("%d parts were sent: %+v", p.Count(PutPart), done)
			}
			if len(warned) != 1 || !strings.Contains(warned[0], "is not gone on with") {
				t.Errorf("the warnings are %q", warned)
			}
			// Of an unreadable checkpoint nobody knows which upload it was.
			readable := !slices.Contains([]string{"truncated", "garbage", "empty"}, name)
			if _, err := m.Parts(t.Context()); readable && !errors.Is(err, store.ErrNoUpload) {
				t.Errorf("what was begun is still there: %v", err)
			}
		})
	}
}

// A store that does not tell which parts it has is no reason to stop, unless it
// tells nobody anything.
func testUploadSilent(t *testing.T, p *place) {
	data := Noise(1, 2*p.partSize+9)
	refuse := func(code string, status int) func(Op, int) error {
		return func(op Op, _ int) error {
			if op == Parts {
				return store.NewRefusal(store.OSS, status, code, "no", "1", nil).Err()
			}
			return nil
		}
	}
	for code, status := range map[string]int{"AccessDenied": 403, "InvalidArgument": 400} {
		opts := p.quick(t, code, file(t, data))
		p.interrupt(t, opts, "before", PutPart, 3)
		p.Before = refuse(code, status)
		if done := p.upload(t, opts); done.Resumed != 0 {
			t.Errorf("%s: %+v", code, done)
		}
	}
	for code, status := range map[string]int{"InvalidAccessKeyId": 403, "SlowDown": 503} {
		opts := p.quick(t, code, file(t, data))
		opts.Attempts = 2
		p.interrupt(t, opts, "before", PutPart, 3)
		p.Before = refuse(code, status)
		if _, err := store.Upload(t.Context(), opts); err == nil {
			t.Errorf("%s: no error", code)
		}
		p.Reset()
		if done := p.upload(t, opts); done.Resumed != 2*p.partSize {
			t.Errorf("%s: what was there is forgotten: %+v", code, done)
		}
	}
}

// remember remembers the last upload in parts that was begun.
type remember struct {
	*Faults
	last *store.Multipart
}

func (r *remember) CreateMultipart(ctx context.Context, key string, metadata store.Metadata) (store.Multipart, error) {
	m, err := r.Faults.CreateMultipart(ctx, key, metadata)
	*r.last = m
	return m, err
}

// abort gives up what the checkpoint of an upload names, as a store does after
// some days.
func (p *place) abort(t *testing.T, opts store.UploadOptions) {
	t.Helper()
	r, ok := opts.Store.(*remember)
	if !ok {
		t.Fatal("nothing has been remembered")
	}
	if err := (*r.last).Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
}
