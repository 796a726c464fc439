package deploy

import (
	"errors"
	"fmt"
)

// ErrNotFound is the cause where what was asked for does not exist.
var ErrNotFound = errors.New("not found")

// ErrExists is the cause where a name is taken.
var ErrExists = errors.New("exists already")

// Error is a refusal of the other side, or the failure to reach it.
type Error struct {
	Operation string // as the API names it, such as CreateService
	Status    int    // of HTTP; 0 where no answer came
	Code      string // the API's, such as Throttling.User
	Message   string // the API's
	RequestID string // empty where no answer came

	// Unsettled is set where the request may have been carried out although it
	// failed: nothing came back, or an error from the middle of the way.
	Unsettled bool

	Err error // the cause: ErrNotFound, ErrExists or of the network
}

// Error says what was refused and why.
func (e *Error) Error() string {
	text := e.Message
	if text == "" && e.Err != nil {
		text = e.Err.Error()
	}
	if e.Code != "" {
		text += fmt.Sprintf(" (%s)", e.Code)
	}
	if e.RequestID != "" {
		text += fmt.Sprintf(", request %s", e.RequestID)
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
