package store

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]Address{
		"oss://bucket/a/b.tar.gz":                 {OSS, "bucket", "a/b.tar.gz"},
		"oss://bucket":                            {OSS, "bucket", ""},
		"oss://bucket/":                           {OSS, "bucket", ""},
		"s3://my.bucket-1/模型/a b%20+":             {S3, "my.bucket-1", "模型/a b%20+"},
		"s3://abc/dir/":                           {S3, "abc", "dir/"},
		"s3://abc/a?versionId=1#x":                {S3, "abc", "a?versionId=1#x"},
		"file:///srv/models/x.tar.gz":             {File, "", "srv/models/x.tar.gz"},
		"file:///srv/../models/./x":               {File, "", "models/x"},
		"file:///srv/dir/":                        {File, "", "srv/dir/"},
		"file:///":                                {File, "", ""},
		"oss://bucket/..a/b..c/...":               {OSS, "bucket", "..a/b..c/..."},
		"oss://bucket/a\\b":                       {OSS, "bucket", "a\\b"},
		"oss://" + strings.Repeat("b", 63) + "/k": {OSS, strings.Repeat("b", 63), "k"},
	} {
		got, err := ParseAddress(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		if again, err := ParseAddress(got.String()); err != nil || again != got {
			t.Errorf("%s is written as %s, which is %+v, %v", text, got, again, err)
		}
		if !IsAddress(text) || got.IsPrefix() != (got.Key == "" || strings.HasSuffix(got.Key, "/")) {
			t.Errorf("%s: address %v, prefix %v", text, IsAddress(text), got.IsPrefix())
		}
	}
}

func TestParseAddressWrong(t *testing.T) {
	for text, why := range map[string]string{
		"":                           "no ://",
		"models/x":                   "no ://",
		"http://host/x":              "stores are",
		"OSS://bucket/x":             "stores are",
		"oss://":                     "bucket's name",
		"oss:///x":                   "bucket's name",
		"oss://ab/x":                 "bucket's name",
		"oss://Bucket/x":             "bucket's name",
		"oss://-bucket/x":            "bucket's name",
		"oss://bucket-/x":            "bucket's name",
		"oss://b_cket/x":             "bucket's name",
		"oss://user:secret@bucket/x": "bucket's name",
		"oss://bucket//x":            "begins with a slash",
		"oss://bucket/a//b":          `"" cannot be`,
		"oss://bucket/a/../b":        `".." cannot be`,
		"oss://bucket/..":            `".." cannot be`,
		"oss://bucket/./a":           `"." cannot be`,
		"oss://bucket/\\a":           "begins with a slash",
		"oss://bucket/a\nb":          "control character",
		"oss://bucket/a\tb":          "control character",
		"oss://bucket/\xff":          "not UTF-8",
		"file://host/x":              "not absolute",
		"file://x":                   "not absolute",
		"file:///a\x00b":             "control character",
		"oss://bucket/" + strings.Repeat("k", 1024): "longer than 1023",
		"oss://" + strings.Repeat("b", 64):          "bucket's name",
	} {
		got, err := ParseAddress(text)
		if err == nil {
			t.Errorf("%q is %+v", text, got)
			continue
		}
		if !strings.Contains(err.Error(), why) || fault.KindOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%q: %v, hint %q", text, err, fault.HintOf(err))
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error has the password: %v", err)
		}
	}
}

func TestIsAddress(t *testing.T) {
	for text, want := range map[string]bool{
		"oss://b/k": true, "s3://": true, "file:///x": true,
		"http://h/x": false, "./oss": false, "oss:/x": false, "": false, "C:\\x": false,
	} {
		if IsAddress(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestJoin(t *testing.T) {
	for _, tt := range []struct{ base, name, want string }{
		{"oss://bucket", "x", "oss://bucket/x"},
		{"oss://bucket/p", "x/y", "oss://bucket/p/x/y"},
		{"oss://bucket/p/", "x", "oss://bucket/p/x"},
		{"file:///srv", "x", "file:///srv/x"},
		{"oss://bucket/p/", "", ""},
		{"oss://bucket/p/", "../x", ""},
		{"oss://bucket/p/", "a/../../x", ""},
		{"oss://bucket/p/", "/x", ""},
		{"oss://bucket/p/", "a//x", ""},
		{"file:///srv/", "..", ""},
		{"oss://bucket/" + strings.Repeat("p", 1000), strings.Repeat("x", 100), ""},
	} {
		base, err := ParseAddress(tt.base)
		if err != nil {
			t.Fatal(err)
		}
		got, err := base.Join(tt.name)
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("%s and %q are %s", tt.base, tt.name, got)
		case tt.want != "" && (err != nil || got.String() != tt.want):
			t.Errorf("%s and %q are %s, %v", tt.base, tt.name, got, err)
		}
	}
}

// What is accepted says the same when it is written and read again, and nothing
// in it leads out of where it is.
func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{"oss://bucket/a/b.tar.gz", "s3://abc/dir/", "file:///srv/../x/", "file:///", "oss://bucket//x", "oss://b/%2e%2e/", "s3://abc/é\\..\\x", "file:///C:/x"} {
		f.Add(text, "name")
	}
	f.Add("oss://bucket/p", "../x")
	f.Fuzz(func(t *testing.T, text, name string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		again, err := ParseAddress(a.String())
		if err != nil || again != a {
			t.Fatalf("%q is %+v, written %q, which is %+v, %v", text, a, a.String(), again, err)
		}
		if strings.ContainsAny(a.Bucket, `/\@:`) || path.Clean("/"+a.Key) != strings.TrimSuffix("/"+a.Key, "/") && a.Key != "" {
			t.Fatalf("%q is %+v", text, a)
		}
		if a.Scheme == File {
			if _, err := newFile(a); err != nil {
				t.Skip("missing: such paths here")
			}
		}
		below, err := a.Join(name)
		if err != nil {
			return
		}
		prefix := strings.TrimSuffix(a.Key, "/")
		if prefix != "" {
			prefix += "/"
		}
		if rest, ok := strings.CutPrefix(below.Key, prefix); !ok || rest == "" || path.Clean("/"+below.Key) != strings.TrimSuffix("/"+below.Key, "/") {
			t.Fatalf("%q and %q are %+v", text, name, below)
		}
	})
}
