package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// called answers with what it was asked; the body "status N" is answered N.
func called(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var status int
		if n, _ := fmt.Sscanf(string(body), "status %d", &status); n == 1 {
			w.WriteHeader(status)
			io.WriteString(w, "no\n")
			return
		}
		if string(body) == "binary" {
			w.Write([]byte{0xff, 0})
			return
		}
		fmt.Fprintf(w, "%s %s %s %s %s", r.Method, r.RequestURI, r.Header.Get("X-A"), r.Header.Get("Authorization"), body)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/api/predict/echo"
}

func TestInvokeURL(t *testing.T) {
	emptyHome(t)
	url := called(t)
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, stdin string
		args        []string
		stdout      string // or its beginning, where it ends in …
		stderr      string // a part of it
		status      int
	}{
		{"text", "", []string{url, "--data", "hi"}, "POST /api/predict/echo  the-token hi", "", 0},
		{"a file", "", []string{url, "-d", "@" + file, "--auth", "bearer"}, "POST /api/predict/echo  Bearer the-token from a file", "", 0},
		{"standard input", "from stdin\n", []string{url, "--data", "-", "--auth", "none"}, "POST /api/predict/echo   from stdin\n", "", 0},
		{"a token and standard input", "other\nbody", []string{url, "--token", "-", "--data", "-"}, "POST /api/predict/echo  other body", "", 0},
		{"a signature", "", []string{url, "--auth", "signature"}, "POST /api/predict/echo  EAS …", "", 0},
		{"path, method, header", "", []string{url, "--path", "v1?a=b", "-X", "get", "-H", "X-a: 1"}, "GET /api/predict/echo/v1?a=b 1 the-token ", "", 0},
		{"often", "", []string{url, "--repeat", "3", "-d", "x", "--auth", "none"}, strings.Repeat("POST /api/predict/echo   x", 3), "[OK] 3 requests: 3 x 200; shortest ", 0},
		{"a status", "", []string{url, "--data", "status 450"}, "no\n", "hint: ask again later, or add instances: `eascmd scale echo N`", 5},
		{"a wrong token", "", []string{url, "--data", "status 401"}, "no\n", "hint: `eascmd desc echo` shows the token", 5},
		{"often, and failing", "", []string{url, "--data", "status 408", "--repeat", "2"}, "no\nno\n", "2 of 2 requests failed; the first one: the request was answered 408", 5},
		{"binary", "", []string{url, "--data", "binary"}, "\xff\x00", "", 0},
		{"verbose", "", []string{url, "-v"}, "POST…", "[DEBUG] 200 OK after ", 0},
		{"a token that can be seen", "", []string{url, "--token", "x"}, "POST /api/predict/echo  x ", "[WARN] a token on the command line", 0},
		{"nobody there", "", []string{"http://127.0.0.1:1/api/predict/x"}, "", "http://127.0.0.1:1/api/predict/x cannot be reached", 6},
		{"no URL", "", []string{"localhost:8080/api/predict/x"}, "", "a URL begins with http://", 2},
		{"another scheme", "", []string{"ftp://h/x"}, "", "no http or https address", 2},
		{"internal", "", []string{url, "--internal"}, "", "--internal is for services that are named", 2},
		{"no file", "", []string{url, "--data", "@" + file + "x"}, "", "the request's body: open", 2},
		{"a bad header", "", []string{url, "-H", "x"}, "", "there is no colon", 2},
		{"a header of two lines", "", []string{url, "-H", "x: a\ny: b"}, "", "the value of the header X has a line break", 2},
		{"never", "", []string{url, "--repeat", "0"}, "", "--repeat 0", 2},
		{"often into a file", "", []string{url, "--repeat", "2", "-o", "./f"}, "", "exclude each other", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("EASCMD_INVOKE_TOKEN", "the-token")
			got := runMain(t, tt.stdin, append([]string{"invoke"}, tt.args...)...)
			want, cut := strings.CutSuffix(tt.stdout, "…")
			if got.status != tt.status || !strings.Contains(got.stderr, tt.stderr) || tt.stderr == "" && got.stderr != "" ||
				got.stdout != want && !(cut && strings.HasPrefix(got.stdout, want)) {
				t.Errorf("status %d, want %d\nstandard output %q\nwant %q\nstandard error %q\nwant %q", got.status, tt.status, got.stdout, tt.stdout, got.stderr, tt.stderr)
			}
			if strings.Contains(got.stderr, "the-token") {
				t.Errorf("the token is shown:\n%s", got.stderr)
			}
		})
	}
}

func TestInvokeIntoAFile(t *testing.T) {
	emptyHome(t)
	url := called(t)
	path := filepath.Join(t.TempDir(), "answer")
	if got := runMain(t, "", "invoke", url, "-d", "binary", "-o", path); got.status != 0 || got.stdout != "" {
		t.Fatalf("%+v", got)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "\xff\x00" {
		t.Fatalf("%q, %v", data, err)
	}
	// What is no answer does not take the place of one.
	if got := runMain(t, "", "invoke", url, "-d", "status 500", "-o", path); got.status != 5 || got.stdout != "no\n" {
		t.Fatalf("%+v", got)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "\xff\x00" {
		t.Fatalf("%q, %v", data, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestInvokeJSON(t *testing.T) {
	emptyHome(t)
	url := called(t)
	for _, body := range []string{"hi", "binary", "status 503"} {
		got := runMain(t, "", "invoke", url, "-d", body, "-o", "json", "--repeat", "2")
		follows(t, "invoke", got.stdout)
		if want := strings.HasPrefix(body, "status"); (got.status == 5) != want {
			t.Errorf("%s: %+v", body, got)
		}
	}
}
