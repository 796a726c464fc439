package localtest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
)

func TestPost(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path != "/api/predict/svc" || r.Method != http.MethodPost:
			w.WriteHeader(http.StatusNotFound)
		case r.Header.Get("Authorization") != "secret" && len(body) > 0:
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasPrefix(string(body), "status "):
			w.WriteHeader(http.StatusTeapot)
			w.Write(body[len("status "):])
		default:
			w.Write(body)
		}
	}))
	defer server.Close()
	url := PredictURL(server.URL, "svc")
	binary := "\x00\xff no newline at the end"
	tests := []struct {
		name, token, body string
		want              string
		failure           string // in the error, empty on success
	}{
		{"binary", "secret", binary, binary, ""},
		{"empty, without token", "", "", "", ""},
		{"wrong token", "other", "x", "", "401 Unauthorized"},
		{"processor's refusal", "secret", "status no tea\n", "no tea\n", "418 I'm a teapot"},
		{"binary refusal", "secret", "status \x00\xff", "\x00\xff", "418 I'm a teapot"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			err := Post(t.Context(), url, tt.token, strings.NewReader(tt.body), int64(len(tt.body)), &out)
			if out.String() != tt.want {
				t.Errorf("the answer is %q, want %q", out.String(), tt.want)
			}
			if tt.failure == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if fault.KindOf(err) != fault.Answer || err.Error() != "the request was answered "+tt.failure {
				t.Errorf("kind %v of %v", fault.KindOf(err), err)
			}
		})
	}
	var out bytes.Buffer
	if err := Post(t.Context(), url, "secret", strings.NewReader("unknown length"), -1, &out); err != nil || out.String() != "unknown length" {
		t.Errorf("a body of unknown length: %q, %v", out.String(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Post(ctx, url, "", strings.NewReader(""), 0, io.Discard); fault.KindOf(err) != fault.Interrupted {
		t.Errorf("interrupted: %v", err)
	}
	server.Close()
	if err := Post(t.Context(), url, "", strings.NewReader(""), 0, io.Discard); fault.KindOf(err) != fault.Answer {
		t.Errorf("nobody there: %v", err)
	}
}

// A hint is given where it fits: it points to no body that is not there.
func TestStatusHint(t *testing.T) {
	for _, tt := range []struct {
		status     int
		body, want string
	}{
		{400, "expected numbers", "if process did not return 400 itself: an exception in Java or Python, or a return value that is no HTTP status, is answered 400"},
		{408, "", "a request that takes longer than rpc.keepalive is answered 408; --timeout raises it"},
		{413, "", "a body longer than --body-limit is answered 413"},
		{429, "", "more requests a second than rpc.rate_limit are answered 429"},
		{500, "why", "the body of the answer says why"},
		{500, "", ""},
		{503, "why", "the body of the answer says why"},
		{201, "made", ""},
		{404, "no such row", ""},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.body)
		}))
		err := Post(t.Context(), server.URL, "", strings.NewReader(""), 0, io.Discard)
		server.Close()
		if got := fault.HintOf(err); err == nil || got != tt.want {
			t.Errorf("%d %q: hint %q of %v, want %q", tt.status, tt.body, got, err, tt.want)
		}
	}
}
