package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/store"
)

func testObjects(t *testing.T, p *place) {
	ctx, key := t.Context(), p.key(t, "a/b.tar.gz")
	for _, data := range [][]byte{Noise(1, 100_000), {}, Noise(2, 1)} {
		made, err := p.Put(ctx, key, body(data), nil)
		if err != nil {
			t.Fatal(err)
		}
		if made.Key != key || made.Size != int64(len(data)) || made.ETag == "" {
			t.Errorf("Put returns %+v", made)
		}
		p.wantObject(t, "a/b.tar.gz", data)
		o, err := p.Stat(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if o.Key != key || o.Size != int64(len(data)) || o.ETag != made.ETag || o.ModTime.IsZero() {
			t.Errorf("Stat returns %+v, Put %+v", o, made)
		}
	}
	for range 2 { // the second time there is none
		if err := p.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Stat(ctx, key); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("Stat of a deleted object: %v", err)
	}
}

func testRanges(t *testing.T, p *place) {
	data := Noise(3, 50_000)
	made := p.put(t, "x", data)
	for _, offset := range []int64{0, 1, 4096, int64(len(data)) - 1} {
		r, o, err := p.Open(t.Context(), p.key(t, "x"), made.ETag, offset)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, data[offset:]) {
			t.Errorf("from %d: %d bytes (%v) of %d", offset, len(got), err, len(data))
		}
		if o.Size != int64(len(data)) || o.ETag != made.ETag || o.Key != p.key(t, "x") {
			t.Errorf("from %d it is %+v", offset, o)
		}
	}
	for _, offset := range []int64{int64(len(data)), int64(len(data)) + 10} {
		if r, _, err := p.Open(t.Context(), p.key(t, "x"), "", offset); err == nil {
			r.Close()
			t.Errorf("there is something from %d on", offset)
		}
	}
}

func testVersions(t *testing.T, p *place) {
	first := p.put(t, "x", []byte("first"))
	second := p.put(t, "x", []byte("other"))
	if first.ETag == second.ETag {
		t.Fatalf("both versions have the ETag %s", first.ETag)
	}
	if _, _, err := p.Open(t.Context(), p.key(t, "x"), first.ETag, 2); !errors.Is(err, store.ErrChanged) {
		t.Errorf("the version of before: %v", err)
	}
	r, _, err := p.Open(t.Context(), p.key(t, "x"), second.ETag, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); string(got) != "her" {
		t.Errorf("read %q, %v", got, err)
	}
}

func testMetadata(t *testing.T, p *place) {
	want := store.Metadata{store.MetadataSHA256: strings.Repeat("0af1", 16), "with-value": "a b+c%20 =x"}
	check := func(name string) {
		t.Helper()
		o, err := p.Stat(t.Context(), p.key(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, o.Metadata); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if _, err := p.Put(t.Context(), p.key(t, "x"), body([]byte("x")), want); err != nil {
		t.Fatal(err)
	}
	check("x")
	m, err := p.CreateMultipart(t.Context(), p.key(t, "y"), want)
	if err != nil {
		t.Fatal(err)
	}
	part, err := m.PutPart(t.Context(), 1, body([]byte("y")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Complete(t.Context(), []store.Part{part}); err != nil {
		t.Fatal(err)
	}
	check("y")
}

func testMissing(t *testing.T, p *place) {
	ctx, key := t.Context(), p.key(t, "none")
	if _, err := p.Stat(ctx, key); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("Stat: %v", err)
	}
	if _, _, err := p.Open(ctx, key, "", 0); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("Open: %v", err)
	}
	if err := p.Delete(ctx, key); err != nil {
		t.Errorf("Delete: %v", err)
	}
	for o, err := range p.List(ctx, p.at.Key) {
		t.Errorf("List: %+v, %v", o, err)
	}
	if p.Endpoint() == "" {
		t.Error("it has no endpoint")
	}
}

// oddNames are what people and tests of URL encoding call files.
var oddNames = []string{
	"a b", "a+b", "a%20b", "100%", "é", "模型", "😀.bin", "~tilde", "#hash", "semi;colon", "(x)[y]{z}", "it's", "a&b=c", "dir.with.dots/..name", "comma,at@", "$dollar!",
}

func testOddNames(t *testing.T, p *place) {
	if p.Names != "" {
		t.Skip("missing: " + p.Names)
	}
	for _, name := range oddNames {
		p.put(t, name, []byte(name))
		if _, err := p.Stat(t.Context(), p.key(t, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range oddNames {
		p.wantObject(t, name, []byte(name)) // and not another's
	}
	names := map[string]bool{}
	for o, err := range p.List(t.Context(), p.at.Key) {
		if err != nil {
			t.Fatal(err)
		}
		names[strings.TrimPrefix(o.Key, p.at.Key)] = true
	}
	for _, name := range oddNames {
		if !names[name] {
			t.Errorf("%s is not listed among %v", name, names)
		}
		if err := p.Delete(t.Context(), p.key(t, name)); err != nil {
			t.Error(err)
		}
	}
	for o := range p.List(t.Context(), p.at.Key) {
		t.Errorf("%s is still there", o.Key)
	}
}

func testListing(t *testing.T, p *place) {
	var want []string
	sizes := map[string]int64{}
	add := func(name string) {
		key := p.key(t, name)
		p.put(t, name, []byte(name))
		sizes[key] = int64(len(name))
	}
	// In the order of keys, where a walk through directories has another.
	for _, name := range []string{"a-b", "a.txt", "a/b", "a/c/d", "a0", "b"} {
		add(name)
		want = append(want, p.key(t, name))
	}
	list := func(prefix string) (keys []string) {
		t.Helper()
		for o, err := range p.List(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			if o.Size != sizes[o.Key] || o.ETag == "" || o.ModTime.IsZero() {
				t.Errorf("listed as %+v", o)
			}
			keys = append(keys, o.Key)
		}
		return keys
	}
	if diff := cmp.Diff(want, list(p.at.Key)); diff != "" {
		t.Error(diff)
	}
	for prefix, want := range map[string][]string{"a": want[:5], "a/": want[2:4], "a.": want[1:2], "a/c": want[3:4], "c": nil, "b/": nil} {
		if diff := cmp.Diff(want, list(p.at.Key+prefix)); diff != "" {
			t.Errorf("%s: %s", prefix, diff)
		}
	}
	want = nil
	for i := range p.Many {
		name := fmt.Sprintf("many/%05d", i)
		add(name)
		want = append(want, p.key(t, name))
	}
	if diff := cmp.Diff(want, list(p.at.Key+"many/")); diff != "" {
		t.Error(diff)
	}
	for range p.List(t.Context(), p.at.Key) {
		break // a caller may have had enough
	}
}

func testCanceled(t *testing.T, p *place) {
	p.put(t, "x", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, _, err := p.Open(ctx, p.key(t, "x"), "", 0)
	if err == nil { // of a file the reading may be what ends
		_, err = io.ReadAll(r)
		r.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Open and read: %v", err)
	}
	if _, err := p.Put(ctx, p.key(t, "y"), body([]byte("y")), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v", err)
	}
	if _, err := p.Stat(t.Context(), p.key(t, "y")); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("what was canceled is there: %v", err)
	}
}
