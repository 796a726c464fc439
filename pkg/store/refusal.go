package store

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// The causes that callers of a Store tell apart.
var (
	ErrNotExist = errors.New("there is no such object")
	ErrNoUpload = errors.New("there is no such upload")
	ErrParts    = errors.New("the store has not these parts")
	ErrChanged  = errors.New("the object has changed")

	// errForbidden: these credentials have no right to it, or it is a HEAD that is
	// refused, whose answer cannot say why.
	errForbidden = errors.New("the store forbids it")

	// errCaller: it is refused whatever was asked, because of who asks where.
	errCaller = errors.New("the store lets nobody in like this")

	// errFileChanged: what is being sent is written to.
	errFileChanged = errors.New("the file has changed while it was being sent")
)

// Refusal is the answer of a store that did not do what it was asked.
type Refusal struct {
	Store     string // OSS, S3 or File
	Status    int    // of HTTP
	Code      string // the store's, such as NoSuchKey; empty where there is none, as with HEAD
	Message   string // the store's
	RequestID string
	After     time.Duration // as Retry-After asks
}

// NewRefusal makes a Refusal of the parts of an answer; header may be nil.
func NewRefusal(scheme string, status int, code, message, requestID string, header http.Header) *Refusal {
	return &Refusal{
		Store: scheme, Status: status, Code: clean(code), Message: clean(Mask(message)), RequestID: clean(requestID),
		After: retryAfter(header),
	}
}

func (r *Refusal) text() string {
	var b strings.Builder
	switch {
	case r.Message != "":
		b.WriteString(r.Message)
	case r.Code != "":
		b.WriteString("the store refuses")
	default:
		b.WriteString("the store answers " + statusText(r.Status))
	}
	if r.Code != "" {
		b.WriteString(" (" + r.Code + ")")
	}
	if r.RequestID != "" {
		b.WriteString(", request " + r.RequestID)
	}
	return b.String()
}

// refusalClass is what follows from a code.
type refusalClass struct {
	cause error  // one of the causes above
	retry bool   // it may be gone the next time
	why   string // in words, before the store's own
	hint  string
}

const (
	hintKeys  = "check the access key: `eascmd config -i ID -k -` stores another"
	hintToken = "get new temporary credentials and store or export them with their token"
	hintRight = "the account or role of the access key needs the right to do this to the bucket (%s)"
	hintClock = "set this machine's clock; `eascmd doctor` tells how far it is off"
	hintLater = "try again later"
)

// hintRegion says how to set where the buckets of a kind of store are.
func hintRegion(store string) string {
	if store == S3 {
		return "give its region, `eascmd config set s3_region REGION`, or its endpoint, `eascmd config set s3_endpoint HOST`"
	}
	return "give its region, `eascmd config set region REGION`, or its endpoint, `eascmd config set oss_endpoint oss-REGION.aliyuncs.com`"
}

// class tells what a refusal means. Codes are those of OSS and S3, which share
// most of them.
func (r *Refusal) class() refusalClass {
	switch r.Code {
	case "NoSuchKey", "NoSuchObject":
		return refusalClass{cause: ErrNotExist}
	case "NoSuchUpload":
		return refusalClass{cause: ErrNoUpload}
	case "InvalidPart", "InvalidPartOrder", "EntityTooSmall":
		return refusalClass{cause: ErrParts}
	case "PreconditionFailed":
		return refusalClass{cause: ErrChanged}
	case "NoSuchBucket":
		return refusalClass{cause: errCaller, why: "there is no such bucket", hint: "check the bucket's name; a bucket is found at the endpoint of its own region only: " + hintRegion(r.Store)}
	case "InvalidBucketName":
		return refusalClass{cause: errCaller, why: "the bucket's name is wrong"}
	case "InvalidAccessKeyId", "InvalidAccessKeyID":
		return refusalClass{cause: errCaller, why: "the access key id is not known", hint: hintKeys}
	case "SignatureDoesNotMatch":
		return refusalClass{cause: errCaller, why: "the signature is wrong, so the access key secret is not the one of this id", hint: hintKeys}
	case "SecurityTokenExpired", "ExpiredToken", "TokenRefreshRequired":
		return refusalClass{cause: errCaller, why: "the temporary credentials have expired", hint: hintToken}
	case "InvalidSecurityToken", "InvalidToken", "SecurityTokenNotSupported":
		return refusalClass{cause: errCaller, why: "the security token is not valid", hint: hintToken}
	case "RequestTimeTooSkewed", "RequestExpired":
		return refusalClass{cause: errCaller, why: "this machine's clock is wrong", hint: hintClock}
	case "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return refusalClass{cause: errCaller, why: "the bucket is in another region", hint: hintRegion(r.Store)}
	case "UserDisable", "AccountProblem":
		return refusalClass{cause: errCaller}
	case "BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "InvalidDigest", "IncompleteBody":
		return refusalClass{retry: true, why: "what arrived is damaged"}
	case "RequestTimeout", "SlowDown", "TooManyRequests", "Throttling", "ServiceUnavailable", "ServiceBusy", "InternalError",
		"QpsLimitExceeded", "TotalQpsLimitExceeded", "UploadTrafficRateLimitExceeded", "DownloadTrafficRateLimitExceeded", "TrafficRateLimitExceeded",
		"OperationAborted", "RequestLimitExceeded", "BandwidthLimitExceeded":
		return refusalClass{retry: true, hint: hintLater}
	case "AccessDenied":
		if strings.Contains(r.Message, "endpoint") { // OSS, of a bucket elsewhere
			return refusalClass{cause: errCaller, why: "the bucket is in another region", hint: hintRegion(r.Store)}
		}
	}
	switch s := r.Status; {
	case s == http.StatusNotFound && r.Code == "":
		return refusalClass{cause: ErrNotExist}
	case s == http.StatusPreconditionFailed && r.Code == "":
		return refusalClass{cause: ErrChanged}
	case (s == http.StatusUnauthorized || s == http.StatusForbidden) && r.Code == "":
		return refusalClass{cause: errForbidden, hint: strings.Replace(hintRight, "%s", rights(r.Store), 1)}
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return refusalClass{cause: errForbidden, why: "the access key has no right to this", hint: strings.Replace(hintRight, "%s", rights(r.Store), 1)}
	case s == http.StatusProxyAuthRequired:
		return refusalClass{cause: errCaller, why: "the proxy wants to be logged in to", hint: "put the proxy's user name and password into HTTP_PROXY or HTTPS_PROXY"}
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests,
		s >= 500 && s != http.StatusNotImplemented && s != http.StatusHTTPVersionNotSupported:
		return refusalClass{retry: true, hint: hintLater}
	}
	return refusalClass{}
}

// rights names the rights that an upload and a fetch need.
func rights(scheme string) string {
	if scheme == OSS {
		return "oss:GetObject, oss:PutObject, oss:ListObjects, oss:AbortMultipartUpload, oss:ListParts, oss:ListMultipartUploads"
	}
	return "s3:GetObject, s3:PutObject, s3:ListBucket, s3:AbortMultipartUpload, s3:ListMultipartUploadParts, s3:ListBucketMultipartUploads"
}

// Err makes the error that a method of Store returns: of kind Remote, with the
// cause in its chain, with a hint, and known to be worth another attempt or not.
func (r *Refusal) Err() error {
	c := r.class()
	var err *fault.Error
	switch {
	case c.why != "":
		err = fault.New(fault.Remote, "%s: %s", c.why, r.text())
	case c.cause == nil || c.cause == errCaller:
		err = fault.New(fault.Remote, "%s", r.text())
	case r.RequestID != "":
		err = fault.New(fault.Remote, "%w (%s, request %s)", c.cause, codeOrStatus(r), r.RequestID)
	default:
		err = fault.New(fault.Remote, "%w (%s)", c.cause, codeOrStatus(r))
	}
	err.Err = c.cause
	err.Hint = c.hint
	if c.retry {
		return &retryError{err: err, after: r.After}
	}
	return err
}

func codeOrStatus(r *Refusal) string {
	if r.Code != "" {
		return r.Code
	}
	return statusText(r.Status)
}

// NetworkError makes the error that a method of Store returns where no answer
// came: of kind Missing, with a hint, and mostly worth another attempt. It
// returns the context's own error where that has ended.
func NetworkError(ctx context.Context, err error) error {
	if errors.Is(err, errFileChanged) {
		return err
	}
	return networkError(ctx, err)
}
