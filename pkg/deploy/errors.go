package deploy

import (
	"errors"
	"fmt"
	"strings"
)

// What an Error may have as its cause.
var (
	// ErrNotFound is the cause where what was asked for does not exist.
	ErrNotFound = errors.New("not found")
	// ErrExists is the cause where a name is taken.
	ErrExists = errors.New("exists already")
	// ErrDenied is the cause where the caller is known and may not do this.
	ErrDenied = errors.New("not allowed")
	// ErrCredentials is the cause where the caller is not believed: a wrong key,
	// an expired token, a clock that is wrong.
	ErrCredentials = errors.New("credentials refused")
	// ErrThrottled is the cause where there were too many requests.
	ErrThrottled = errors.New("too many requests")
	// ErrLocked is the cause where a service's safety lock is in the way.
	ErrLocked = errors.New("locked")
	// ErrQuota is the cause where a limit of the account is reached.
	ErrQuota = errors.New("quota exceeded")
)

// Error is a refusal of the other side, or the failure to reach it.
type Error struct {
	Operation string // as the API names it, such as CreateService
	Status    int    // of HTTP; 0 where no answer came
	Code      string // the API's, such as Throttling.User
	Message   string // the API's
	RequestID string // empty where no answer came

	// Why is what the refusal means, for a person; empty where Message says it
	// best.
	Why string

	// Unsettled is set where the request may have been carried out although it
	// failed: nothing came back, or an error from the middle of the way.
	Unsettled bool

	Err error // the cause: one of those above, or of the network
}

// Error says what was refused and why.
func (e *Error) Error() string {
	text := e.Why
	if text == "" {
		text = strings.TrimRight(e.Message, ". ")
	}
	if text == "" && e.Err != nil {
		text = e.Err.Error()
	}
	if e.Code != "" {
		text = strings.TrimSpace(fmt.Sprintf("%s (%s)", text, e.Code))
	}
	if e.RequestID != "" {
		text += ", request " + e.RequestID
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Unsettled reports whether the request that err is about may have been carried
// out all the same.
func Unsettled(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Unsettled
}

// RequestIDOf returns the id by which the other side knows the request that
// err is about, or nothing where no answer came.
func RequestIDOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RequestID
	}
	return ""
}
