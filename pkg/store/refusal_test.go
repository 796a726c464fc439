package store

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

func TestRefusal(t *testing.T) {
	for _, tt := range []struct {
		status     int
		code       string
		cause      error
		retry      bool
		text, hint string
	}{
		{404, "NoSuchKey", ErrNotExist, false, "no such object", ""},
		{404, "", ErrNotExist, false, "404 Not Found", ""},
		{404, "NoSuchUpload", ErrNoUpload, false, "no such upload", ""},
		{400, "InvalidPart", ErrParts, false, "not these parts", ""},
		{400, "EntityTooSmall", ErrParts, false, "not these parts", ""},
		{412, "PreconditionFailed", ErrChanged, false, "has changed", ""},
		{412, "", ErrChanged, false, "has changed", ""},
		{403, "", errForbidden, false, "forbids", "right"},
		{403, "AccessDenied", errForbidden, false, "no right", "oss:PutObject"},
		{403, "InvalidAccessKeyId", errCaller, false, "not known", "eascmd config"},
		{403, "SignatureDoesNotMatch", errCaller, false, "secret", "eascmd config"},
		{403, "SecurityTokenExpired", errCaller, false, "expired", "temporary"},
		{400, "ExpiredToken", errCaller, false, "expired", "temporary"},
		{403, "RequestTimeTooSkewed", errCaller, false, "clock", "eascmd doctor"},
		{404, "NoSuchBucket", errCaller, false, "no such bucket", "`eascmd config set region REGION`"},
		{301, "PermanentRedirect", errCaller, false, "another region", "`eascmd config set region REGION`"},
		{407, "", errCaller, false, "proxy", "HTTP_PROXY"},
		{409, "BucketAlreadyExists", nil, false, "BucketAlreadyExists", ""},
		{501, "NotImplemented", nil, false, "NotImplemented", ""},
		{400, "RequestTimeout", nil, true, "RequestTimeout", "later"},
		{400, "BadDigest", nil, true, "damaged", ""},
		{408, "", nil, true, "408", "later"},
		{429, "TooManyRequests", nil, true, "TooManyRequests", "later"},
		{429, "", nil, true, "429", "later"},
		{500, "InternalError", nil, true, "InternalError", "later"},
		{502, "", nil, true, "502 Bad Gateway", "later"},
		{503, "SlowDown", nil, true, "SlowDown", "later"},
		{503, "QpsLimitExceeded", nil, true, "QpsLimitExceeded", "later"},
		{599, "Unheard", nil, true, "Unheard", "later"},
	} {
		message := ""
		if tt.code != "" {
			message = "see https://user:secret@host/?Signature=secret\x1b[31m."
		}
		err := NewRefusal(OSS, tt.status, tt.code, message, "5A7B", http.Header{"Retry-After": {"7"}}).Err()
		var retry *retryError
		if errors.As(err, &retry) != tt.retry || tt.retry && retry.after != 7*time.Second {
			t.Errorf("%d %s: worth another attempt: %v", tt.status, tt.code, retry)
		}
		if tt.cause != nil && !errors.Is(err, tt.cause) || fault.KindOf(err) != fault.Remote {
			t.Errorf("%d %s: kind %d, %v", tt.status, tt.code, fault.KindOf(err), err)
		}
		if !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), "5A7B") || !strings.Contains(fault.HintOf(err), tt.hint) {
			t.Errorf("%d %s: %v, hint %q", tt.status, tt.code, err, fault.HintOf(err))
		}
		if strings.Contains(err.Error(), "secret@") || strings.Contains(err.Error(), "=secret") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%d %s: not fit to be shown: %q", tt.status, tt.code, err)
		}
	}
}

func TestNetworkError(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NetworkError(canceled, &url.Error{Op: "Put", URL: "https://b.host/x?Signature=secret", Err: context.Canceled}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if err := NetworkError(t.Context(), errFileChanged); !errors.Is(err, errFileChanged) || fault.KindOf(err) == fault.Missing {
		t.Errorf("the file: %v", err)
	}
	for _, cause := range []error{io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, &net.OpError{Op: "dial", Err: errors.New("i/o timeout")}} {
		err := NetworkError(t.Context(), &url.Error{Op: "Put", URL: "https://b.host/x?Signature=secret", Err: cause})
		if _, ok := errors.AsType[*retryError](err); !ok || fault.KindOf(err) != fault.Missing || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: %v", cause, err)
		}
	}
}

// The pauses grow, differ, end at once when they are interrupted, and are as long
// as the store asks.
func TestRetrier(t *testing.T) {
	busy := func(after time.Duration) error {
		return &retryError{err: errors.New("busy"), after: after}
	}
	synctest.Test(t, func(t *testing.T) {
		var pauses []time.Duration
		last := time.Now()
		told := 0
		r := newRetrier(4, time.Second, func(failure) { told++ })
		err := r.do(t.Context(), func() error {
			pauses = append(pauses, time.Since(last))
			last = time.Now()
			return busy(0)
		})
		if err == nil || len(pauses) != 4 || told != 3 || r.repeated.Load() != 3 {
			t.Errorf("%d attempts, told of %d: %v", len(pauses), told, err)
		}
		for i, least := range []time.Duration{0, 500 * time.Millisecond, time.Second, 2 * time.Second} {
			if pauses[i] < least || pauses[i] > 3*least {
				t.Errorf("pause %d is %v", i, pauses[i])
			}
		}

		started := time.Now()
		n := 0
		err = newRetrier(0, 0, func(failure) {}).do(t.Context(), func() error {
			if n++; n == 1 {
				return busy(90 * time.Second)
			}
			return nil
		})
		if took := time.Since(started); err != nil || took != 90*time.Second {
			t.Errorf("asked to wait for 90 s, it took %v: %v", took, err)
		}

		n = 0
		final := errors.New("no right")
		if err := newRetrier(0, 0, func(failure) {}).do(t.Context(), func() error { n++; return final }); err != final || n != 1 {
			t.Errorf("what will not pass was tried %d times: %v", n, err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		started = time.Now()
		err = newRetrier(0, 0, func(failure) {}).do(ctx, func() error { return busy(time.Hour) })
		if took := time.Since(started); !errors.Is(err, context.DeadlineExceeded) || took != 3*time.Second {
			t.Errorf("interrupted after 3 s, it took %v: %v", took, err)
		}
	})
}
