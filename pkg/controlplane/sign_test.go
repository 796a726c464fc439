package controlplane

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A signature that was computed from the reference, by hand.
func TestKnownSignature(t *testing.T) {
	const raw = "POST /api/v2/services?Develop=false&WorkspaceId=1 HTTP/1.1\r\nHost: pai-eas.cn-shanghai.aliyuncs.com\r\n" +
		"Content-Type: application/json; charset=utf-8\r\nX-Acs-Action: CreateService\r\nX-Acs-Version: 2021-07-01\r\n" +
		"X-Acs-Date: 2021-07-01T00:00:00Z\r\nX-Acs-Signature-Nonce: nonce1\r\n" +
		"X-Acs-Content-Sha256: 5ea28c3a3e0baf36406eb904277a680ef44d44f9ebf4072dcdd8e8fd9f9cf5b3\r\n" +
		"Authorization: ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=content-type;host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version," +
		"Signature=8b895fb16935bed5919e137aa5354a3bd6d6a2a1d0084e368e3e1050325a4187\r\n\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	v := newVerifier([]AccessKey{testKey}, newHandClock())
	id, refused := v.verify(r, []byte(`{"metadata":{"cpu":1,"instance":1},"name":"echo"}`))
	if refused != nil || id != "testid" {
		t.Errorf("verified as %q, %v", id, refused)
	}
}

func TestCanonicalQuery(t *testing.T) {
	for raw, want := range map[string]string{
		"test=ok&empty=":          "empty=&test=ok",
		"b=x+y&a=%2A~":            "a=%2A~&b=x%20y",
		"Label=%7B%22a%22%3A1%7D": "Label=%7B%22a%22%3A1%7D",
		"":                        "",
	} {
		if got := canonicalQuery(raw); got != want {
			t.Errorf("canonicalQuery(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestRefusedSignatures(t *testing.T) {
	clock := newHandClock()
	temporary := AccessKey{ID: "sts", Secret: "s", SecurityToken: "token", Expires: clock.Now().Add(time.Hour)}
	expired := AccessKey{ID: "old", Secret: "s", SecurityToken: "token", Expires: clock.Now().Add(-time.Hour)}
	s := start(t, Options{Runner: &puppets{}, Clock: clock, Keys: []AccessKey{testKey, temporary, expired}})
	date := func(d time.Duration) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("x-acs-date", clock.Now().Add(d).Format("2006-01-02T15:04:05Z"))
		}
	}
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	tests := []struct {
		name   string
		key    AccessKey
		change func(*http.Request)
		after  func(*http.Request) // of signing
		status int
		code   string
	}{
		{name: "right", key: testKey, status: 200},
		{name: "right token", key: temporary, status: 200},
		{name: "unknown key", key: AccessKey{ID: "who", Secret: "x"}, status: 404, code: "InvalidAccessKeyId.NotFound"},
		{name: "wrong secret", key: AccessKey{ID: "testid", Secret: "x"}, status: 400, code: "SignatureDoesNotMatch"},
		{name: "clock behind", key: testKey, change: date(-16 * time.Minute), status: 400, code: "InvalidTimeStamp.Expired"},
		{name: "clock ahead", key: testKey, change: date(16 * time.Minute), status: 400, code: "InvalidTimeStamp.Expired"},
		{name: "clock a little behind", key: testKey, change: date(-14 * time.Minute), status: 200},
		{name: "no date", key: testKey, change: with("x-acs-date", "yesterday"), status: 400, code: "InvalidTimeStamp.Format"},
		{name: "another version", key: testKey, change: with("x-acs-version", "2018-01-01"), status: 400, code: "InvalidVersion"},
		{name: "another action", key: testKey, change: with("x-acs-action", "CreateService"), status: 404, code: "InvalidAction.NotFound"},
		{name: "another body", key: testKey, change: with("x-acs-content-sha256", strings.Repeat("0", 64)), status: 400, code: "SignatureDoesNotMatch"},
		{name: "header added", key: testKey, after: with("x-acs-more", "1"), status: 400, code: "IncompleteSignature"},
		{name: "header changed", key: testKey, after: with("x-acs-signature-nonce", "other"), status: 400, code: "SignatureDoesNotMatch"},
		{name: "query added", key: testKey, after: func(r *http.Request) { r.URL.RawQuery = "PageSize=1" }, status: 400, code: "SignatureDoesNotMatch"},
		{name: "no signature", key: testKey, after: func(r *http.Request) { r.Header.Del("Authorization") }, status: 400, code: "MissingAuthorization"},
		{name: "older signature", key: testKey, after: with("Authorization", "acs testid:abc="), status: 400, code: "InvalidSignatureMethod"},
		{name: "half a signature", key: testKey, after: with("Authorization", "ACS3-HMAC-SHA256 Credential=testid"), status: 400, code: "IncompleteSignature"},
		{name: "token missing", key: AccessKey{ID: "sts", Secret: "s"}, status: 400, code: "MissingSecurityToken"},
		{name: "wrong token", key: AccessKey{ID: "sts", Secret: "s", SecurityToken: "x"}, status: 400, code: "InvalidSecurityToken.MismatchWithAccessKey"},
		{name: "token of a lasting key", key: AccessKey{ID: "testid", Secret: "testsecret", SecurityToken: "x"}, status: 400, code: "InvalidSecurityToken.MismatchWithAccessKey"},
		{name: "token expired", key: expired, status: 400, code: "InvalidSecurityToken.Expired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newCall(t, s, "ListServices", "GET", services, "", tt.key, tt.change)
			if tt.after != nil {
				tt.after(r)
			}
			a := send(t, r)
			if a.status != tt.status || a.text("Code") != tt.code {
				t.Errorf("answered %d %v, want %d %s", a.status, a.body, tt.status, tt.code)
			}
			if tt.status != 200 {
				for _, name := range []string{"HostId", "Message", "Recommend"} {
					if a.text(name) == "" {
						t.Errorf("the error has no %s: %v", name, a.body)
					}
				}
			}
		})
	}
}

func TestNonceIsUsedOnce(t *testing.T) {
	s := start(t, Options{Runner: &puppets{}})
	r := newCall(t, s, "ListServices", "GET", services, "", testKey, nil)
	var codes []string
	for range 2 {
		codes = append(codes, send(t, r.Clone(t.Context())).text("Code"))
	}
	if d := cmp.Diff([]string{"", "SignatureNonceUsed"}, codes); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
