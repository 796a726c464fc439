package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tailscale/hujson"
)

func addSeeds(f *testing.F) {
	f.Helper()
	for _, pattern := range []string{"testdata/*.json", "testdata/samples/*.json", "testdata/faults/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds at %s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	for _, text := range []string{
		`{"name":"x","processor":"pmml","rpc":{"a":1},"metadata.rpc":{"a":1.0},"metadata":{"rpc.a":"1"}}`,
		`{"name":"x","processor":"pmml","metadata":{"name.":"y",".":1,"..":2,"rpc.":{},".rpc":[]},"":{"":0},"metadata.":3}`,
		`{"name":"x","processor":"pmml","labels.":"a","labels..":"b","labels":{"":"c"}}`,
		"\xef\xbb\xbf{\"name\":\"\\ud800\",\"processor\":\"p\\u0000\"} # \\\" /* ",
	} {
		f.Add([]byte(text))
	}
}

// FuzzParse checks that no text makes the parser panic, that every refusal is
// a report with places inside the text, and that the normal form of what is
// accepted says the same.
func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse("s.json", data)
		if err != nil {
			invalid, ok := errors.AsType[*InvalidError](err)
			if !ok || len(invalid.Problems) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			for _, p := range invalid.Problems {
				if p.Line < 1 || p.Line > 1+bytes.Count(data, []byte("\n")) || p.Column < 1 || p.Column > 1+len(data) {
					t.Fatalf("%v lies outside of the text", p)
				}
				if p.Text == "" || !utf8.ValidString(p.String()) || strings.ContainsAny(p.String(), "\x00\n\r") {
					t.Fatalf("%q cannot be printed", p.String())
				}
			}
			return
		}
		normal := d.Canonical()
		if !json.Valid(normal) {
			t.Fatalf("the normal form is not JSON: %s", normal)
		}
		again, err := Parse("normal.json", normal)
		if err != nil {
			t.Fatalf("the normal form %s is refused: %v", normal, err)
		}
		if diff := cmp.Diff(d, again, sameDescription, cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("the normal form says something else:\n%s", diff)
		}
		if again := again.Canonical(); !bytes.Equal(normal, again) {
			t.Fatalf("the normal form of %s is %s", normal, again)
		}
		if diff := cmp.Diff(d.Properties(), again.Properties()); diff != "" {
			t.Fatalf("the normal form has other properties:\n%s", diff)
		}
	})
}

// FuzzComments checks what becomes of # comments: offsets stay true, nothing
// but comments is touched, and a text with such comments at every place that
// allows one means what it means without.
func FuzzComments(f *testing.F) {
	for _, comment := range []string{"", " plain", ` "`, " }]", " */ // /*", " ä \\", "#", "\t'"} {
		f.Add([]byte(`{"a#": ["#\"", {"b": /* # */ 1}], // # x`+"\n"+`"c": "",}`), comment)
	}
	f.Fuzz(func(t *testing.T, src []byte, comment string) {
		out, _, bad := scan(src)
		if bad != nil {
			if bad.off < 0 || bad.off > len(src) {
				t.Fatalf("%+v lies outside of the text", bad)
			}
			return
		}
		if len(out) != len(src) {
			t.Fatalf("%d bytes became %d", len(src), len(out))
		}
		text := bytes.TrimPrefix(src, bom)
		if !bytes.ContainsRune(text, '#') && !bytes.Equal(out[len(src)-len(text):], text) {
			t.Fatalf("%q without a comment became %q", src, out)
		}
		for i := range src {
			if out[i] != src[i] && (out[i] != ' ' || src[i] == '\n') {
				t.Fatalf("byte %d of %q became %q", i, src, out[i])
			}
		}
		v, err := hujson.Parse(append(out, '\n'))
		if err != nil || strings.ContainsAny(comment, "\n") || !utf8.ValidString(comment) {
			return
		}
		commented := v.Clone()
		for e := range commented.All() {
			e.BeforeExtra = hujson.Extra("#" + comment + "\n")
		}
		again, _, bad := scan(commented.Pack())
		if bad != nil {
			t.Fatalf("with comments it is refused: %s", bad.text)
		}
		w, err := hujson.Parse(append(again, '\n'))
		if err != nil {
			t.Fatalf("with comments it is refused: %v in %q", err, again)
		}
		v.Minimize()
		w.Minimize()
		if !bytes.Equal(v.Pack(), w.Pack()) {
			t.Fatalf("with comments %s means %s", v.Pack(), w.Pack())
		}
	})
}
