package store

import (
	"net/url"
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	for text, want := range map[string]string{
		"http://host/x":                                         "http://host/x",
		"https://u:p@host/x@y":                                  "https://***@host/x@y",
		"https://u:p@q@host/x":                                  "https://***@host/x",
		"http://h/x?a=1&Signature=b%2F+c":                       "http://h/x?a=1&Signature=***",
		"http://h/x?OSSAccessKeyId=k&Expires=1&Signature=s&v=2": "http://h/x?OSSAccessKeyId=***&Expires=***&Signature=***&v=2",
		"http://h/x?X-Amz-Signature=s&X-AMZ-CREDENTIAL=c":       "http://h/x?X-Amz-Signature=***&X-AMZ-CREDENTIAL=***",
		`Get "http://u:p@h/?sig=1": no`:                         `Get "http://***@h/?sig=***": no`,
		"http://h/?mysig=1&signature2=3":                        "http://h/?mysig=1&signature2=3",
		"no address":                                            "no address",
	} {
		if got := Mask(text); got != want {
			t.Errorf("Mask(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestNameOf(t *testing.T) {
	for address, want := range map[string]string{
		"http://h/a/b.tar.gz":                   "b.tar.gz",
		"http://h/models%2Fx.tar.gz?Signature=": "x.tar.gz",
		"http://h/":                             "download",
		"http://h":                              "download",
		"http://h/a/..":                         "download",
		"http://h/%2e%2e%2f%2e%2e":              "download",
		"http://h/..%5c..%5cevil":               "evil",
		"http://h/a%00b%0a":                     "a_b_",
		"http://h/C:":                           "C_",
		"http://h/dir/":                         "dir",
		"http://h/" + strings.Repeat("n", 300):  "download",
		"http://h/%E6%A8%A1.bin":                "模.bin",
		"://":                                   "download",
	} {
		if got := NameOf(address); got != want {
			t.Errorf("NameOf(%q) = %q, want %q", address, got, want)
		}
	}
}

func FuzzNameOf(f *testing.F) {
	f.Add("http://h/models%2Fx.tar.gz")
	f.Add("http://h/..%5c..%2f")
	f.Fuzz(func(t *testing.T, address string) {
		name := NameOf(address)
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\\x00") {
			t.Errorf("%q is no file name", name)
		}
	})
}

func FuzzMask(f *testing.F) {
	f.Add("user", "pa:ss", "k=v", "sig")
	f.Fuzz(func(t *testing.T, user, pass, path, signature string) {
		const marker = "S3CRETMARKER"
		u := url.URL{Scheme: "http", Host: "h", Path: "/" + path, User: url.UserPassword(user, pass+marker),
			RawQuery: url.Values{"a": {path}, "Signature": {signature + marker}}.Encode()}
		if strings.Contains(path, marker) {
			return
		}
		if got := Mask(u.String()); strings.Contains(got, marker) {
			t.Errorf("%s gives the secret away", got)
		}
	})
}
