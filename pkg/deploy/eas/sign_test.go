package eas

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/openeas/eascmd/pkg/config/credentials"
)

// TestLibraryVector holds the library that signs against the vector of its
// vendor.
func TestLibraryVector(t *testing.T) {
	got := openapi.GetAuthorization(&dara.Request{
		Query:   pointers(map[string]string{"test": "ok", "empty": ""}),
		Headers: pointers(map[string]string{"x-acs-test": "http,https"}),
		Method:  dara.String(""),
	}, dara.String(algorithm), dara.String("55e12e91650d2fec56ec74e1d3e4ddbfce2ef3a65890c2a19ecf88a307e76a23"), dara.String("acesskey"), dara.String("secret"))
	want := "ACS3-HMAC-SHA256 Credential=acesskey,SignedHeaders=x-acs-test,Signature=4ab59fffe3c5738ff8a2729f90cc04fe18b02a4b15b2102cbaf92f9ff3df2ea3"
	if dara.StringValue(got) != want {
		t.Errorf("authorization\n%s\nwant\n%s", dara.StringValue(got), want)
	}
}

// roundTrip is a transport that is a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestSignature captures a request whose signature is known.
func TestSignature(t *testing.T) {
	const want = "ACS3-HMAC-SHA256 Credential=testid," +
		"SignedHeaders=content-type;host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version," +
		"Signature=8b895fb16935bed5919e137aa5354a3bd6d6a2a1d0084e368e3e1050325a4187"
	sent := 0
	target, err := New(Options{
		Endpoint:    "pai-eas.cn-shanghai.aliyuncs.com",
		Credentials: credentials.Static{AccessKeyID: "testid", AccessKeySecret: "testsecret"},
		Client: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			sent++
			if got := r.Header.Get("Authorization"); got != want {
				t.Errorf("authorization\n%s\nwant\n%s", got, want)
			}
			if got, want := r.Method+" "+r.URL.String(), "POST https://pai-eas.cn-shanghai.aliyuncs.com/api/v2/services?Develop=false&WorkspaceId=1"; got != want {
				t.Errorf("request %s, want %s", got, want)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if why := verify(&http.Request{Method: r.Method, Host: r.URL.Host, URL: r.URL, Header: r.Header}, body, "testsecret"); why != "" {
				t.Errorf("the check of the tests does not agree: %s", why)
			}
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"RequestId":"R-1"}`))}, nil
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	target.stamp = func() stamp { return stamp{"2021-07-01T00:00:00Z", "nonce1"} }
	var answer reply
	err = target.call(t.Context(), request{
		op:    createService,
		query: map[string]string{"Develop": "false", "WorkspaceId": "1", "Labels": ""},
		body:  json.RawMessage(`{"metadata":{"cpu":1,"instance":1},"name":"echo"}`),
	}, &answer)
	if err != nil || sent != 1 || answer.RequestID != "R-1" {
		t.Errorf("answer %+v after %d requests, error %v", answer, sent, err)
	}
}

// TestSignatureOfOddNames lets a server check the signature of what has to be
// encoded.
func TestSignatureOfOddNames(t *testing.T) {
	for _, name := range []string{"echo", "a b", "a+b", "a*b", "a~b", "a/b", "a%2Fb", "a?b", "a#b", "a&b=c", "服务", "..a", "'(!)'"} {
		a := newAPI(t, says(200, `{"RequestId":"R-1","ServiceName":"x"}`))
		if _, err := a.target().Describe(t.Context(), name); err != nil {
			t.Errorf("describe %q: %v", name, err)
		}
		if _, _, err := a.target().Logs(t.Context(), name, logsOf(name)); err != nil {
			t.Errorf("logs of %q: %v", name, err)
		}
		for _, r := range a.requests() {
			if want := "/api/v2/services/cn-test/" + unreserved(name); !strings.Contains(r.Line, want) {
				t.Errorf("request %s has not the path %s", r.Line, want)
			}
		}
	}
}

func TestSecurityToken(t *testing.T) {
	a := newAPI(t, says(200, `{"RequestId":"R-1","ServiceName":"x"}`))
	a.want("token-of-sts==")
	if _, err := a.target().Describe(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if got := a.got[0].header.Get("x-acs-accesskey-id"); got != testID {
		t.Errorf("x-acs-accesskey-id is %q, not %q", got, testID)
	}
}
