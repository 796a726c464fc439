package deploy

import (
	"errors"
	"fmt"
	"testing"
)

func TestError(t *testing.T) {
	for _, tt := range []struct {
		err  Error
		want string
	}{
		{Error{Message: "No such service.", Code: "NotFound", RequestID: "R-1", Err: ErrNotFound}, "No such service (NotFound), request R-1"},
		{Error{Message: "Throttled.", Why: "too many requests", Code: "Throttling"}, "too many requests (Throttling)"},
		{Error{Err: ErrNotFound}, "not found"},
		{Error{Code: "Odd"}, "(Odd)"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("error %q, want %q", got, tt.want)
		}
	}
	err := fmt.Errorf("create: %w", &Error{RequestID: "R-1", Unsettled: true, Err: ErrExists})
	if !Unsettled(err) || RequestIDOf(err) != "R-1" || !errors.Is(err, ErrExists) {
		t.Errorf("%v, unsettled: %v, request %q", err, Unsettled(err), RequestIDOf(err))
	}
	if Unsettled(ErrExists) || RequestIDOf(nil) != "" {
		t.Error("an error of another kind has what only an Error has")
	}
}
