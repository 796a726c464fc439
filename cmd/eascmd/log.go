package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/deploy/follow"
	"github.com/openeas/eascmd/pkg/ui"
)

// usualTail is how many lines of an instance are shown where nothing says how
// many, or since when.
const usualTail = 200

func newLogCommand(a *app) *cobra.Command {
	o := logOptions{}
	cmd := &cobra.Command{
		Use:     "log SERVICE [flags]",
		Aliases: []string{"logs"},
		GroupID: groupDeploy,
		Short:   "Print what a service's instances write",
		Long: `Prints the lines that the instances of a service wrote, the oldest first: the last
200 of each, unless --since or --tail says otherwise. Where there are several
instances each line begins with its instance's name in brackets.

With -f it goes on until it is interrupted, over restarts of the service and of
instances, and over failures to reach the API; an instance that crashes is heard
to its last line, and then how it ended is said. The API has no stream: it is asked
every two seconds, and a line appears as soon as the platform has it.

--previous prints what an instance wrote before its last restart, which is where
the reason of a crash is found.

With -o json the result is one object with all lines; with -f it is an object a
line: {"instance":"...","text":"..."}. The original's syntax is not known; this one
is ours.`,
		Example: `  eascmd log scorer -f
  eascmd log scorer --since 10m --keyword ERROR
  eascmd log scorer --worker scorer-69cf5dd6c7-5abcd --previous
  eascmd log scorer --since "2026-03-01 12:00:00" --tail 0 > scorer.log`,
		Annotations:       exits(readingKinds()...),
		Args:              needArgs("the service's name"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := o.request(cmd.Flags().Changed, time.Now())
			if err != nil {
				return err
			}
			target, err := a.target(cmd.Context())
			if err != nil {
				return err
			}
			logs := &follow.Logs{
				Target: target, Service: args[0], Request: request,
				Note: func(text string) { a.term.Info("%s", ui.Printable(text)) },
			}
			if o.follow {
				return a.followLog(cmd.Context(), logs)
			}
			lines, reply, err := logs.Read(cmd.Context())
			if err != nil {
				return err
			}
			if len(lines) == 0 && a.output == ui.Table {
				a.term.Info("there are no such lines")
			}
			return a.print(logLines{reply.RequestID, args[0], lines})
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.follow, "follow", "f", false, "go on with what is written from now on, until interrupted")
	flags.StringVar(&o.worker, "worker", "", "only this `instance`, as `eascmd showworkers` lists it")
	flags.StringVar(&o.container, "container", "", "only this `container` of the instances, such as worker0")
	flags.BoolVar(&o.previous, "previous", false, "of the life before the last restart")
	flags.StringVar(&o.since, "since", "", "only what was written since then: a `time`, or for how long, such as 10m")
	flags.IntVar(&o.tail, "tail", usualTail, "only the last `lines` of each instance; 0: all")
	flags.StringVar(&o.keyword, "keyword", "", "only lines with this `text`")
	return cmd
}

// logOptions are the flags of `eascmd log`.
type logOptions struct {
	follow, previous                  bool
	worker, container, since, keyword string
	tail                              int
}

// request makes a request of the flags.
func (o logOptions) request(given func(flag string) bool, now time.Time) (deploy.LogsRequest, error) {
	r := deploy.LogsRequest{Instance: o.worker, Container: o.container, Keyword: o.keyword, Previous: o.previous, Tail: o.tail}
	switch {
	case o.tail < 0:
		return r, fault.New(fault.Usage, "--tail %d: it cannot be negative", o.tail).WithHint("--tail 0 prints all")
	case o.follow && o.previous:
		return r, fault.New(fault.Usage, "-f and --previous exclude each other: nothing more comes of a life that has ended")
	}
	if o.since != "" {
		since, err := parseSince(o.since, now)
		if err != nil {
			return r, err
		}
		r.Since = since
		if !given("tail") {
			r.Tail = 0
		}
	}
	return r, nil
}

// parseSince reads the value of --since: for how long, or a time, which is local
// where it does not say otherwise.
func parseSince(text string, now time.Time) (time.Time, error) {
	future := fault.New(fault.Usage, "--since %s: that is in the future", text)
	if d, err := time.ParseDuration(text); err == nil {
		if d < 0 {
			return time.Time{}, future.WithHint("10m stands for ten minutes ago")
		}
		return now.Add(-d).UTC(), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			if t.After(now) {
				return time.Time{}, future.WithHint("it is %s now", now.Format(time.RFC3339))
			}
			return t.UTC(), nil
		}
	}
	return time.Time{}, fault.New(fault.Usage, "--since %s: that is no time", text).
		WithHint(`write for how long, such as 30s, 10m or 24h, or a time such as "2026-03-01 12:00:00" or 2026-03-01T12:00:00Z`)
}

// logLines is the result of `eascmd log`.
type logLines struct {
	RequestID string        `json:"requestId"`
	Service   string        `json:"service"`
	Lines     []follow.Line `json:"lines"`
}

// View is the lines alone, so that they can be piped on.
func (l logLines) View() ui.View {
	several := false
	for _, line := range l.Lines {
		several = several || line.Instance != l.Lines[0].Instance
	}
	return lineView(l.Lines, several)
}

// lineView shows lines, with their instance's name where there are several.
func lineView(lines []follow.Line, several bool) ui.View {
	page := make(ui.Page, len(lines))
	for i, line := range lines {
		text := ui.Printable(strings.TrimSuffix(line.Text, "\n"))
		if several {
			text = "[" + ui.Printable(line.Instance) + "] " + text
		}
		page[i] = ui.Text(text)
	}
	return page
}

// followLog prints lines until ctx ends. That is how it is meant to end, so it
// is no error.
func (a *app) followLog(ctx context.Context, logs *follow.Logs) error {
	instances := map[string]bool{}
	return ended(logs.Follow(ctx, func(lines []follow.Line) error {
		for _, line := range lines {
			instances[line.Instance] = true
		}
		if a.output != ui.Table {
			return printEach(a, lines)
		}
		return a.print(following(lineView(lines, len(instances) > 1)))
	}))
}

// ended leaves out that nobody reads any more, which `output` deals with.
func ended(err error) error {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// following is a piece of a result that goes on.
func following(view ui.View) ui.Result { return piece{view} }

type piece struct{ view ui.View }

func (p piece) View() ui.View { return p.view }

// printEach prints the items of a result that goes on: each a line of JSON, or
// an item of a list in YAML.
func printEach[T any](a *app, items []T) error {
	if a.output == ui.YAML {
		return a.print(yamlItems[T](items))
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, item := range items {
		if err := e.Encode(item); err != nil {
			return fmt.Errorf("encode a result: %w", err)
		}
	}
	return a.term.Print(ui.Table, piece{ui.Text(ui.HarmlessJSON(b.String()))})
}

// yamlItems are items of a list that goes on.
type yamlItems[T any] []T

// View is not used: the items of a table are shown otherwise.
func (yamlItems[T]) View() ui.View { return ui.Page{} }
