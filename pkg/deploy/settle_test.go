package deploy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/deploy"
)

// A restart whose answer is lost is found out about, and never asked for twice.
func TestRestartWithoutAnswer(t *testing.T) {
	broken := &deploy.Error{Operation: "RestartService", Unsettled: true, Err: errors.New("connection reset")}
	refused := &deploy.Error{Operation: "RestartService", Status: 403, Err: deploy.ErrDenied}
	instance := deploy.Instance{Name: "echo-1", StartTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	again := instance
	again.Restarts++
	for _, test := range []struct {
		name  string
		spoil func(*platform)
		want  string // of the error; empty: none
		calls int
	}{
		{"answered", func(*platform) {}, "", 1},
		{"arrived", func(p *platform) { p.unanswered = broken }, "", 1},
		{"arrived, and shows by an instance", func(p *platform) {
			p.faults["restart"] = []error{broken}
			p.restarts = []deploy.Instance{again}
		}, "", 0},
		{"lost", func(p *platform) { p.faults["restart"] = []error{broken} }, "service echo was not restarted: connection reset", 0},
		{"refused", func(p *platform) { p.faults["restart"] = []error{refused} }, "not allowed", 0},
	} {
		runTimeless(t, test.name, func(t *testing.T) {
			p := newPlatform()
			running(t, p)
			p.services["echo"].instances = []deploy.Instance{instance}
			before, err := p.Describe(t.Context(), "echo")
			if err != nil {
				t.Fatal(err)
			}
			test.spoil(p)
			_, err = deploy.RestartService(t.Context(), p, before, deploy.SettleOptions{Interval: time.Millisecond, Patience: 50 * time.Millisecond})
			switch {
			case test.want == "" && err != nil, test.want != "" && err == nil:
				t.Errorf("error %v, want %q", err, test.want)
			case err != nil && !strings.HasPrefix(err.Error(), test.want):
				t.Errorf("error %v, want %q", err, test.want)
			}
			if n := len(slices.DeleteFunc(p.calls, func(call string) bool { return call != "restart echo" })); n != test.calls {
				t.Errorf("it was restarted %d times, want %d", n, test.calls)
			}
		})
	}
}
