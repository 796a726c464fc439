package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/deploy/follow"
	"github.com/openeas/eascmd/pkg/ui"
)

func newEventsCommand(a *app) *cobra.Command {
	var since, instance string
	var warnings, goOn bool
	cmd := &cobra.Command{
		Use:     "events SERVICE [flags]",
		GroupID: groupDeploy,
		Short:   "Show what happened to a service",
		Long: `Shows what happened to a service and its instances, the oldest first: images that
were pulled, instances that were started, stages of an update, crashes. The
platform keeps events for about a week.

With -f it goes on until it is interrupted. With -o json the result is one object
with all events; with -f it is an object a line. The original has no such command.`,
		Example: `  eascmd events scorer --warnings
  eascmd events scorer --since 1h -f`,
		Annotations:       exits(readingKinds()...),
		Args:              needArgs("the service's name"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			request := deploy.EventsRequest{Instance: instance}
			if warnings {
				request.Type = "Warning"
			}
			if since != "" {
				var err error
				if request.Since, err = parseSince(since, time.Now()); err != nil {
					return err
				}
			}
			target, err := a.target(cmd.Context())
			if err != nil {
				return err
			}
			if goOn {
				if instance != "" { // nothing more comes of one that is gone
					if err := checkInstances(cmd.Context(), target, args[0], instance); err != nil {
						return err
					}
				}
				events := &follow.Events{
					Target: target, Service: args[0], Request: request,
					Note: func(text string) { a.term.Info("%s", ui.Printable(text)) },
				}
				return ended(events.Follow(cmd.Context(), a.printEvents))
			}
			events, reply, err := target.Events(cmd.Context(), args[0], request)
			if err != nil {
				return err
			}
			if len(events) == 0 && instance != "" { // those of one that is gone are there for a while
				if err := checkInstances(cmd.Context(), target, args[0], instance); err != nil {
					return err
				}
			}
			return a.print(eventList{reply.RequestID, args[0], append([]deploy.Event{}, events...)})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", "only what happened since then: a `time`, or for how long, such as 10m")
	flags.BoolVar(&warnings, "warnings", false, "only warnings")
	flags.StringVar(&instance, "worker", "", "only events of this `instance`")
	flags.BoolVarP(&goOn, "follow", "f", false, "go on with what happens from now on, until interrupted")
	return cmd
}

// eventList is the result of `eascmd events`.
type eventList struct {
	RequestID string         `json:"requestId"`
	Service   string         `json:"service"`
	Events    []deploy.Event `json:"events"`
}

func (l eventList) View() ui.View {
	list := ui.List{Header: []string{"Time", "Type", "Resource", "Reason", "Message"}}
	for _, e := range l.Events {
		list.Rows = append(list.Rows, []any{tableTime(e.Time), e.Type, e.Resource, e.Reason, eventText(e.Message)})
	}
	return withRequestID(l.RequestID, list)
}

// printEvents prints events as they happen, a line each.
func (a *app) printEvents(events []deploy.Event) error {
	if a.output != ui.Table {
		return printEach(a, events)
	}
	var b strings.Builder
	for _, e := range events {
		line := fmt.Sprintf("%s  %-7s  %s: %s", tableTime(e.Time), e.Type, e.Reason, eventText(e.Message))
		b.WriteString(ui.Printable(strings.ReplaceAll(line, "\n", " ")) + "\n")
	}
	return a.print(following(ui.Text(b.String())))
}

// eventText returns the text of a message, which may be an object that holds it.
func eventText(message string) string {
	var m struct {
		Message string `json:"message"`
	}
	if json.Unmarshal([]byte(message), &m) == nil && m.Message != "" {
		return m.Message
	}
	return message
}
