package storetest

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openeas/eascmd/pkg/store"
)

// threeParts returns what three parts have, the last of them short.
func (p *place) threeParts() [][]byte {
	return [][]byte{Noise(1, p.partSize), Noise(2, p.partSize+17), Noise(3, 5)}
}

func join(parts [][]byte) (all []byte) {
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

func (p *place) create(t *testing.T, name string) store.Multipart {
	t.Helper()
	m, err := p.CreateMultipart(t.Context(), p.key(t, name), nil)
	if err != nil {
		t.Fatal(err)
	}
	if m.ID() == "" {
		t.Fatal("the upload has no id")
	}
	return m
}

func putPart(t *testing.T, m store.Multipart, number int, data []byte) store.Part {
	t.Helper()
	part, err := m.PutPart(t.Context(), number, body(data))
	if err != nil {
		t.Fatal(err)
	}
	if part.Number != number || part.Size != int64(len(data)) || part.ETag == "" {
		t.Errorf("part %d is %+v", number, part)
	}
	return part
}

// In any order, gone on with by another, and not there before it is complete.
func testMultipart(t *testing.T, p *place) {
	parts := p.threeParts()
	p.put(t, "x", []byte("before"))
	m := p.create(t, "x")
	sent := make([]store.Part, 3)
	for _, i := range []int{2, 0} {
		sent[i] = putPart(t, m, i+1, parts[i])
	}
	m = p.ResumeMultipart(p.key(t, "x"), m.ID())
	sent[1] = putPart(t, m, 2, parts[1])
	there, err := m.Parts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A store need not repeat the checksums.
	if diff := gocmp.Diff(sent, there, cmpopts.IgnoreFields(store.Part{}, "Checksum")); diff != "" {
		t.Error(diff)
	}
	p.wantObject(t, "x", []byte("before"))
	made, err := m.Complete(t.Context(), sent)
	if err != nil {
		t.Fatal(err)
	}
	want := join(parts)
	p.wantObject(t, "x", want)
	o, err := p.Stat(t.Context(), p.key(t, "x"))
	if err != nil {
		t.Fatal(err)
	}
	if made.Key != o.Key || made.Size != int64(len(want)) || made.ETag != o.ETag || o.Size != made.Size {
		t.Errorf("Complete returns %+v, Stat %+v", made, o)
	}
}

// A part may be replaced, be left out of the end, and an upload may be of one.
func testMultipartParts(t *testing.T, p *place) {
	parts := p.threeParts()
	m := p.create(t, "x")
	putPart(t, m, 1, parts[1])
	first := putPart(t, m, 1, parts[0])
	last := putPart(t, m, 2, parts[2])
	putPart(t, m, 3, parts[2])
	there, err := m.Parts(t.Context())
	if err != nil || len(there) != 3 || there[0].Size != p.partSize || there[0].ETag != first.ETag {
		t.Errorf("parts %+v, %v", there, err)
	}
	if _, err := m.Complete(t.Context(), []store.Part{first, last}); err != nil {
		t.Fatal(err)
	}
	p.wantObject(t, "x", join([][]byte{parts[0], parts[2]}))

	m = p.create(t, "y")
	if there, err := m.Parts(t.Context()); err != nil || len(there) != 0 {
		t.Errorf("parts of a new upload: %+v, %v", there, err)
	}
	if _, err := m.Complete(t.Context(), []store.Part{putPart(t, m, 1, parts[2])}); err != nil {
		t.Fatal(err)
	}
	p.wantObject(t, "y", parts[2])
}

func testMultipartWrong(t *testing.T, p *place) {
	parts := p.threeParts()
	m := p.create(t, "x")
	first, second := putPart(t, m, 1, parts[0]), putPart(t, m, 2, parts[2])
	other := first
	other.ETag = second.ETag
	missing := first
	missing.Number = 3
	for name, list := range map[string][]store.Part{
		"missing":   {first, second, missing},
		"another's": {other, second},
	} {
		if _, err := m.Complete(t.Context(), list); !errors.Is(err, store.ErrParts) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if third := putPart(t, m, 3, parts[0]); p.Traits().MinPart > 0 {
		if _, err := m.Complete(t.Context(), []store.Part{first, second, third}); !errors.Is(err, store.ErrParts) {
			t.Errorf("a small one in between: %v", err)
		}
	}
	if _, err := p.Stat(t.Context(), p.key(t, "x")); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("an object was made of wrong parts: %v", err)
	}
	if _, err := m.Complete(t.Context(), []store.Part{first, second}); err != nil {
		t.Errorf("after what was wrong: %v", err)
	}
}

func testMultipartGone(t *testing.T, p *place) {
	data := p.threeParts()[2]
	aborted := p.create(t, "x")
	part := putPart(t, aborted, 1, data)
	for range 2 {
		if err := aborted.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	completed := p.create(t, "y")
	if _, err := completed.Complete(t.Context(), []store.Part{putPart(t, completed, 1, data)}); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]store.Multipart{
		"aborted":   aborted,
		"completed": completed,
		"another's": p.ResumeMultipart(p.key(t, "z"), completed.ID()),
	} {
		if _, err := m.PutPart(t.Context(), 1, body(data)); !errors.Is(err, store.ErrNoUpload) {
			t.Errorf("%s: PutPart: %v", name, err)
		}
		if _, err := m.Parts(t.Context()); !errors.Is(err, store.ErrNoUpload) {
			t.Errorf("%s: Parts: %v", name, err)
		}
		if name == "completed" {
			continue // some stores say of a repeated one that it is done
		}
		if _, err := m.Complete(t.Context(), []store.Part{part}); !errors.Is(err, store.ErrNoUpload) {
			t.Errorf("%s: Complete: %v", name, err)
		}
	}
	for o := range p.List(t.Context(), p.at.Key) {
		if o.Key != p.key(t, "y") {
			t.Errorf("%s is listed", o.Key)
		}
	}
}

// Uploads that were begun are found by what their keys begin with.
func testMultipartBelow(t *testing.T, p *place) {
	below := func(name string) []store.Begun {
		t.Helper()
		var found []store.Begun
		for b, err := range p.UploadsBelow(t.Context(), p.key(t, name)+"/") {
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, b)
		}
		slices.SortFunc(found, func(a, b store.Begun) int { return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.ID, b.ID)) })
		return found
	}
	if found := below("a"); len(found) > 0 {
		t.Errorf("of none there are %v", found)
	}
	var want []store.Begun
	for _, name := range []string{"a/x", "a/x", "a/y/z z", "ab", "b/x"} {
		m := p.create(t, name)
		putPart(t, m, 1, Noise(1, p.partSize))
		if strings.HasPrefix(name, "a/") {
			want = append(want, store.Begun{Key: p.key(t, name), ID: m.ID()})
		}
	}
	done := p.create(t, "a/done")
	if _, err := done.Complete(t.Context(), []store.Part{putPart(t, done, 1, Noise(1, 5))}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(want, func(a, b store.Begun) int { return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.ID, b.ID)) })
	if diff := gocmp.Diff(want, below("a")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, b := range below("a") {
		if err := p.ResumeMultipart(b.Key, b.ID).Abort(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if found := below("a"); len(found) > 0 {
		t.Errorf("given up, and still there: %v", found)
	}
	if found := below("b"); len(found) != 1 {
		t.Errorf("what others have begun: %v", found)
	}
}
