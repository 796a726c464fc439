// Package fault is the error type that every part of eascmd reports failures
// with: what failed, why, what to do about it, and which kind of failure it
// is. The command line turns the kind into an exit status and the hint into a
// "hint:" line; libraries only ever return the value.
package fault

import (
	"errors"
	"fmt"
)

// Kind says whose fault a failure is. Each kind has one exit status.
type Kind int

// The kinds, in the order of their exit statuses.
const (
	Failed      Kind = 1   // anything that fits no other kind
	Usage       Kind = 2   // the command line is wrong
	Description Kind = 3   // the service description or the configuration is wrong
	Processor   Kind = 4   // the processor failed to build, load or stay up
	Answer      Kind = 5   // a request or case did not get the answer asked for
	Missing     Kind = 6   // something needed is not on this machine
	Remote      Kind = 7   // the remote side refused
	Interrupted Kind = 130 // the user interrupted
)

// Error is a failure with its kind and a way out.
type Error struct {
	Kind Kind
	Text string // what failed, on which thing, and why; lower case, no full stop
	Hint string // what to do; may be empty
	Err  error  // the cause, for errors.Is and errors.As; its text is part of Text
}

func (e *Error) Error() string { return e.Text }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// WithHint returns a copy of e with a hint, so that calls can be chained.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// New makes an Error of a kind. As with fmt.Errorf, an operand of %w becomes
// the cause; when that cause carries a hint and this error gets none of its
// own, HintOf still finds it.
func New(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Text: err.Error(), Err: errors.Unwrap(err)}
}

// KindOf returns the kind of the outermost Error in err's chain, and Failed
// where there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Failed
}

// HintOf returns the outermost non-empty hint in err's chain.
func HintOf(err error) string {
	for {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
}
