package eas

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/utils"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/deploy"
)

// refusal is the body of an answer that is an error.
type refusal struct {
	RequestID    string `json:"RequestId"`
	Code         text
	Message      text
	AccessDenied struct {
		Action    string `json:"AuthAction"`
		Principal string `json:"AuthPrincipalDisplayName"`
	} `json:"AccessDeniedDetail"`
}

// refused says what a refusal means and what to do about it. The codes are
// those that all APIs of the cloud have in common; of those that are EAS's own,
// which are not published, the words in them are looked at.
func refused(r request, a *answer, c config.Credentials) *failure {
	var body refusal
	if err := json.Unmarshal(a.body, &body); err != nil || body.Code == "" && body.Message == "" && body.RequestID == "" {
		return refusedByOthers(r, a)
	}
	f := &failure{kind: fault.Remote, Error: &deploy.Error{
		Operation: r.op.name,
		Status:    a.status,
		Code:      clean(scrub(string(body.Code), c)),
		Message:   clean(scrub(string(body.Message), c)),
		RequestID: requestID(a, body.RequestID),
	}}
	id := config.Mask(c.AccessKeyID)
	code := strings.ToLower(f.Code)
	switch {
	case isThrottled(a.status, code):
		f.Err = deploy.ErrThrottled
		f.Why = "too many requests"
		f.hint = "try again in a while; all that use this account share the limit"
		f.transient = true
		f.after = retryAfter(a.header)
	case strings.HasPrefix(code, "invalidaccesskeyid"):
		f.Err = deploy.ErrCredentials
		f.Why = "there is no access key " + id
		if strings.Contains(code, "inactive") || strings.Contains(code, "disabled") {
			f.Why = "the access key " + id + " is disabled"
		}
		f.hint = "check the access key id with `eascmd config`, and in the console that it exists and is enabled"
	case strings.HasPrefix(code, "signaturedoesnotmatch"), strings.HasPrefix(code, "incompletesignature"), strings.HasPrefix(code, "invalidsignature"):
		f.Err = deploy.ErrCredentials
		f.Why = "the access key secret does not belong to the access key " + id
		f.hint = "store the two again with `eascmd config -i ID -k -`"
	case strings.HasPrefix(code, "invalidtimestamp"), strings.HasPrefix(code, "requesttimetooskewed"):
		f.Err = deploy.ErrCredentials
		f.Why = skew(time.Now(), a.header)
		f.hint = "set the clock of this machine"
	case strings.HasPrefix(code, "invalidregion"):
		f.hint = "choose the region's own endpoint with -e; the region of one whose name does not tell it is set by `eascmd config set region NAME`"
	case strings.HasPrefix(code, "signaturenonceused"):
		f.Err = deploy.ErrCredentials
		f.transient = true
		f.replayed = r.op.repeat == reads
	case strings.HasPrefix(code, "invalidsecuritytoken"), strings.HasPrefix(code, "missingsecuritytoken"):
		f.Err = deploy.ErrCredentials
		f.Why = "the security token (STS) is refused"
		if strings.Contains(code, "expired") {
			f.Why = "the security token (STS) has expired"
		}
		f.hint = "get a new one; a token goes with the access key id and secret that came with it"
	case strings.Contains(code, "role"):
		f.Err = deploy.ErrDenied
		f.hint = "let PAI use the role: in the console of PAI, under dependent services, grant the role that the message names"
	case strings.Contains(code, "quota"), strings.Contains(code, "limitexceed"):
		f.Err = deploy.ErrQuota
		f.hint = "delete what is not needed (`eascmd list` shows what there is), or ask for a higher quota in the console"
	case isLocked(code, f.Message):
		f.Err = deploy.ErrLocked
		f.Why = "the safety lock of the service forbids it"
		f.hint = "take the lock off in the console first"
	case isDenied(a.status, code):
		f.Err = deploy.ErrDenied
		action := actionOf(r.op, body)
		who := "the access key " + id
		if body.AccessDenied.Principal != "" {
			who = clean(scrub(body.AccessDenied.Principal, c))
		}
		f.Why = who + " may not do " + action
		f.hint = "let the owner of the account grant " + action + " in RAM"
	case isTaken(a.status, code):
		f.Err = deploy.ErrExists
		if r.op == createService {
			f.hint = "`eascmd apply` changes a service that is there"
		}
	case isAbsent(a.status, code):
		f.Err = deploy.ErrNotFound
		if r.name != "" && r.op.repeat == reads {
			f.hint = "`eascmd list` shows the services of the region"
		}
	case a.status >= 500 || isTransient(a.status):
		f.Unsettled = a.status >= 500
		f.transient = isTransient(a.status)
		f.after = retryAfter(a.header)
		f.hint = "try again later; ask the cloud's support with the request id"
	}
	return f
}

// refusedByOthers is about an answer that is not from the API: a proxy or a
// balancer on the way sent it, or the endpoint is another server's.
func refusedByOthers(r request, a *answer) *failure {
	f := unexpected(r.op, a, nil)
	f.transient = isTransient(a.status)
	f.Unsettled = a.status >= 500
	f.after = retryAfter(a.header)
	switch {
	case a.status == http.StatusProxyAuthRequired:
		f.kind, f.Why = fault.Missing, "the proxy wants a user name and a password"
		f.hint = "put them into HTTP_PROXY or HTTPS_PROXY"
	case a.status == http.StatusTooManyRequests:
		f.Err = deploy.ErrThrottled
	case f.transient:
		f.hint = "try again later"
	}
	return f
}

func isThrottled(status int, code string) bool {
	return status == http.StatusTooManyRequests || strings.HasPrefix(code, "throttling")
}

// isTransient reports whether an answer of this status may be another the next
// time.
func isTransient(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func isLocked(code, message string) bool {
	return strings.Contains(code, "locked") || strings.Contains(code, "safetylock") ||
		strings.Contains(strings.ToLower(message), "safety lock")
}

func isDenied(status int, code string) bool {
	return status == http.StatusForbidden || strings.HasPrefix(code, "nopermission") || strings.HasPrefix(code, "forbidden") ||
		strings.HasPrefix(code, "unauthorized")
}

func isAbsent(status int, code string) bool {
	// The gateway before EAS says so of itself.
	if strings.HasPrefix(code, "invalidaction") || strings.HasPrefix(code, "invalidapi") || strings.HasPrefix(code, "invalidversion") ||
		strings.HasPrefix(code, "invalidproduct") || strings.HasPrefix(code, "unsupported") {
		return false
	}
	return status == http.StatusNotFound || strings.Contains(code, "notfound") || strings.Contains(code, "notexist")
}

func isTaken(status int, code string) bool {
	if strings.Contains(code, "notexist") {
		return false
	}
	return strings.Contains(code, "exist") || strings.Contains(code, "duplicate")
}

// action finds what was not permitted in the message of a refusal.
var action = regexp.MustCompile(`\b(?:eas|pai[a-z]*|ram|oss):[A-Z][A-Za-z]+\b`)

// actionOf returns the action, as policies name it, that was not permitted.
func actionOf(op operation, body refusal) string {
	if named := clean(body.AccessDenied.Action); named != "" {
		return named
	}
	if named := action.FindString(string(body.Message)); named != "" {
		return named
	}
	return "eas:" + op.name
}

// skew says how far the clocks are apart.
func skew(now time.Time, h http.Header) string {
	const layout = "2006-01-02 15:04:05"
	theirs, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return fmt.Sprintf("the clock of this machine, at %s UTC, is too far from the server's", now.UTC().Format(layout))
	}
	apart, how := now.Sub(theirs).Round(time.Second), "ahead"
	if apart < 0 {
		apart, how = -apart, "behind"
	}
	return fmt.Sprintf("the clock of this machine is %v %s: it says %s UTC, the server's %s UTC",
		apart, how, now.UTC().Format(layout), theirs.UTC().Format(layout))
}

// retryAfter reads how long the server wants to be left alone.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil && s > 0 {
		return time.Duration(min(s, 3600)) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at))
	}
	limits := map[string]string{}
	for _, name := range []string{"x-ratelimit-user-api", "x-ratelimit-user"} {
		if v := h.Get(name); v != "" {
			limits[name] = v
		}
	}
	if left := openapi.GetThrottlingTimeLeft(pointers(limits)); left != nil {
		return time.Duration(max(0, *left)) * time.Millisecond
	}
	return 0
}
