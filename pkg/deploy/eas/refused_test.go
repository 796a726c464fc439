package eas

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config/credentials"
	"github.com/openeas/eascmd/pkg/deploy"
)

var staticKey = credentials.Static{AccessKeyID: testID, AccessKeySecret: testSecret}

func response(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// TestRefusals says in words what a refusal means.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		text   string // of the error, after what failed
		hint   string // part of it
		cause  error
	}{
		{
			"key id", refuses(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."),
			"there is no access key LTAI****stab (InvalidAccessKeyId.NotFound), request R-1", "eascmd config", deploy.ErrCredentials,
		},
		{
			"disabled key", refuses(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled."),
			"the access key LTAI****stab is disabled (InvalidAccessKeyId.Inactive), request R-1", "enabled", deploy.ErrCredentials,
		},
		{
			"secret", refuses(400, "SignatureDoesNotMatch", "Specified signature does not match our calculation. server string to sign is: GET..."),
			"the access key secret does not belong to the access key LTAI****stab (SignatureDoesNotMatch), request R-1", "eascmd config -i", deploy.ErrCredentials,
		},
		{
			"expired token", refuses(403, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired."),
			"the security token (STS) has expired (InvalidSecurityToken.Expired), request R-1", "new one", deploy.ErrCredentials,
		},
		{
			"malformed token", refuses(403, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed."),
			"the security token (STS) is refused (InvalidSecurityToken.Malformed), request R-1", "new one", deploy.ErrCredentials,
		},
		{
			"permission, with details", says(403, `{"RequestId":"R-1","Code":"NoPermission","Message":"You are not authorized to do this action.",
				"AccessDeniedDetail":{"AuthAction":"eas:CreateService","AuthPrincipalDisplayName":"ann","AuthPrincipalType":"SubUser"}}`),
			"ann may not do eas:CreateService (NoPermission), request R-1", "grant eas:CreateService in RAM", deploy.ErrDenied,
		},
		{
			"permission, in the message", refuses(403, "Forbidden.RAM", "User not authorized. Action: eas:ListServices, resource acs:eas:cn-test:1:*"),
			"the access key LTAI****stab may not do eas:ListServices (Forbidden.RAM), request R-1", "grant eas:ListServices", deploy.ErrDenied,
		},
		{
			"permission, bare", refuses(403, "Forbidden", ""),
			"the access key LTAI****stab may not do eas:DescribeService (Forbidden), request R-1", "grant eas:DescribeService", deploy.ErrDenied,
		},
		{
			"role", refuses(400, "RoleNotExist", "The role AliyunPAIAccessingOSSRole does not exist"),
			"The role AliyunPAIAccessingOSSRole does not exist (RoleNotExist), request R-1", "grant the role that the message names", deploy.ErrDenied,
		},
		{
			"service", refuses(404, "InvalidService.NotFound", "Service [echo] is not found."),
			"Service [echo] is not found (InvalidService.NotFound), request R-1", "eascmd list", deploy.ErrNotFound,
		},
		{
			"service, with another status", refuses(400, "ServiceNotExist", "no such service"),
			"no such service (ServiceNotExist), request R-1", "eascmd list", deploy.ErrNotFound,
		},
		{
			"the gateway knows no such operation", refuses(404, "InvalidAction.NotFound", "Specified api is not found"),
			"Specified api is not found (InvalidAction.NotFound), request R-1", "", nil,
		},
		{
			"name", refuses(409, "ServiceAlreadyExists", "Service [echo] already exists in region [cn-test]"),
			"Service [echo] already exists in region [cn-test] (ServiceAlreadyExists), request R-1", "", deploy.ErrExists,
		},
		{
			"lock", refuses(400, "OperationForbidden", "The safety lock [dangerous] of the service is set"),
			"the safety lock of the service forbids it (OperationForbidden), request R-1", "take the lock off", deploy.ErrLocked,
		},
		{
			"quota", refuses(403, "QuotaExceeded.CPU", "The quota of CPU is 10"),
			"The quota of CPU is 10 (QuotaExceeded.CPU), request R-1", "eascmd list", deploy.ErrQuota,
		},
		{
			"something else", refuses(400, "InvalidParameter", "metadata.cpu is\n missing."),
			"metadata.cpu is missing (InvalidParameter), request R-1", "", nil,
		},
		{
			"without a code", says(400, `{"requestId":"r-2","message":"bad"}`),
			"bad, request r-2", "", nil,
		},
		{
			"credentials in the answer", refuses(400, "InvalidParameter", "you sent "+testID+" and "+testSecret),
			"you sent LTAI****stab and *** (InvalidParameter), request R-1", "", nil,
		},
		{
			"no body", says(404, ""),
			"the answer is not what the API of EAS promises: Not Found with application/json, without a body", "check that the endpoint", nil,
		},
		{
			"page of a proxy", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				w.WriteHeader(404)
				io.WriteString(w, "<html>\n<b>lost\x1b[31m</b>")
			},
			"the answer is not what the API of EAS promises: Not Found with text/html, that begins with <html> <b>lost [31m</b>", "check that the endpoint", nil,
		},
		{
			"redirect", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://elsewhere.invalid/")
				w.WriteHeader(302)
			},
			"the answer is not what the API of EAS promises: Found with no content type, without a body", "check that the endpoint", nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, tt.answer)
			_, err := a.target().Describe(t.Context(), "echo")
			if err == nil {
				t.Fatal("no error")
			}
			if want := "describe service echo in cn-test: " + tt.text; err.Error() != want {
				t.Errorf("error\n%s\nwant\n%s", err, want)
			}
			if hint := fault.HintOf(err); tt.hint == "" && hint != "" || !strings.Contains(hint, tt.hint) {
				t.Errorf("hint %q without %q", hint, tt.hint)
			}
			if kind := fault.KindOf(err); kind != fault.Remote {
				t.Errorf("kind %d, want Remote", kind)
			}
			for _, cause := range []error{deploy.ErrCredentials, deploy.ErrDenied, deploy.ErrExists, deploy.ErrLocked, deploy.ErrNotFound, deploy.ErrQuota, deploy.ErrThrottled} {
				if got := errors.Is(err, cause); got != (cause == tt.cause) {
					t.Errorf("errors.Is(err, %q) is %v", cause, got)
				}
			}
			if n := len(a.requests()); n != 1 {
				t.Errorf("%d requests for what will not change", n)
			}
			e, ok := errors.AsType[*deploy.Error](err)
			if !ok || e.Operation != "DescribeService" || e.Unsettled {
				t.Errorf("error %+v", e)
			}
		})
	}
}

func TestClockSkew(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ date, want string }{
		{"Sun, 01 Mar 2026 11:30:00 GMT", "the clock of this machine is 30m0s ahead: it says 2026-03-01 12:00:00 UTC, the server's 2026-03-01 11:30:00 UTC"},
		{"Sun, 01 Mar 2026 13:00:01 GMT", "the clock of this machine is 1h0m1s behind: it says 2026-03-01 12:00:00 UTC, the server's 2026-03-01 13:00:01 UTC"},
		{"", "the clock of this machine, at 2026-03-01 12:00:00 UTC, is too far from the server's"},
	} {
		if got := skew(now, http.Header{"Date": {tt.date}}); got != tt.want {
			t.Errorf("skew with %q is\n%s\nwant\n%s", tt.date, got, tt.want)
		}
	}
	a := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", "Sun, 01 Mar 2020 11:30:00 GMT")
		refuses(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")(w, r)
	})
	_, err := a.target().Describe(t.Context(), "echo")
	if !errors.Is(err, deploy.ErrCredentials) || !strings.Contains(err.Error(), " ahead: it says ") || !strings.Contains(err.Error(), "the server's 2020-03-01 11:30:00 UTC") {
		t.Errorf("error %v", err)
	}
	if hint := fault.HintOf(err); !strings.Contains(hint, "set the clock") {
		t.Errorf("hint %q", hint)
	}
}

// TestProxyPassword is about a proxy that wants to know who asks.
func TestProxyPassword(t *testing.T) {
	a := newAPI(t, says(407, ""))
	_, err := a.target().Describe(t.Context(), "echo")
	if fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), "the proxy wants a user name") {
		t.Errorf("error %v of kind %d", err, fault.KindOf(err))
	}
}
