package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/pflag"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/ui"
)

// waitOptions are the flags of commands that wait for what they have begun.
type waitOptions struct {
	noWait  bool
	timeout time.Duration
}

func (o *waitOptions) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.noWait, "no-wait", false, "end when it has begun, without waiting for what comes of it")
	flags.DurationVar(&o.timeout, "timeout", 0, "longest `time` to wait (default no limit); what was begun goes on")
}

func (o *waitOptions) check(given func(flag string) bool) error {
	switch {
	case given("timeout") && o.timeout <= 0:
		return fault.New(fault.Usage, "--timeout %v: it has to be longer than 0", o.timeout).WithHint("leave the flag out for no limit")
	case given("timeout") && o.noWait:
		return fault.New(fault.Usage, "--no-wait and --timeout exclude each other")
	}
	return nil
}

// wait waits for a goal and shows what happens. A failure is diagnosed and
// shown before it is returned.
func (a *app) wait(ctx context.Context, target deploy.Target, name string, opts deploy.WaitOptions) (*deploy.Service, error) {
	f := &follower{term: a.term}
	opts.Observe = f.observe
	service, err := deploy.Wait(ctx, target, name, opts)
	switch failure, failed := errors.AsType[*deploy.Failure](err); {
	case ctx.Err() != nil:
		a.tellLeft(target.Where(), name, opts.Goal)
	case failed:
		failure = deploy.Diagnose(ctx, target, failure)
		a.show(failure)
		return service, failure
	}
	return service, err
}

// show prints what is known about a failure, but for the error itself.
func (a *app) show(failure *deploy.Failure) {
	for _, line := range failure.Lines() {
		a.term.Info("%s", ui.Printable(line))
	}
}

// tellLeft tells what goes on when nobody waits for it any longer.
func (a *app) tellLeft(w deploy.Where, name string, goal deploy.Goal) {
	what := "what was begun goes on"
	switch goal {
	case deploy.ToStop:
		what = "it goes on stopping"
	case deploy.ToDelete:
		what = "it goes on being deleted"
	}
	a.term.Warn("service [%s] is no longer waited for, but %s in [%s]", ui.Printable(name), what, ui.Printable(place(w)))
	a.term.Hint("`eascmd desc %s` shows how it stands, `eascmd events %s` what happens", ui.Printable(name), ui.Printable(name))
}

// sameLine is how long a line that says the same again is not shown.
const sameLine = 10 * time.Second

// follower shows the steps of waiting, a line each.
type follower struct {
	term  *ui.Terminal
	last  string
	shown time.Time
}

func (f *follower) observe(s deploy.Step) {
	line := ui.Printable(s.String())
	// The last event often says what the end of waiting does.
	if line == f.last && time.Since(f.shown) < sameLine {
		return
	}
	f.last, f.shown = line, time.Now()
	if s.Trouble != nil || s.Newer != 0 || s.Event != nil && s.Event.Type == "Warning" {
		f.term.Warn("%s", line)
		return
	}
	f.term.OK("%s", line)
}
