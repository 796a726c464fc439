package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/localtest"
	"github.com/openeas/eascmd/pkg/ui"
)

// readingKinds lists how a command may fail that asks the target something.
func readingKinds(more ...fault.Kind) []fault.Kind {
	return append([]fault.Kind{fault.Description, fault.Missing, fault.Remote, fault.Interrupted}, more...)
}

// tableTime is a time as tables show it: where the reader is. A time that is not
// known is left empty.
func tableTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

func newListCommand(a *app) *cobra.Command {
	var request deploy.ListRequest
	var status string
	var labels []string
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		GroupID: groupDeploy,
		Short:   "List the services of the region",
		Long: `Lists the services of the profile's region, by name. Several filters show what
fits all of them. The filters are ours; the original lists everything.

INSTANCE is the number of instances asked for, WEIGHT the share of its group's
requests, and SERVICEPATH follows the endpoint's host, as 'eascmd desc' shows it.
With -o json there is more about each service, but for its token and its
description, which 'eascmd desc' prints.`,
		Example: `  eascmd ls
  eascmd ls --status Failed
  eascmd ls --name scorer --label team=search -o json`,
		Annotations: exits(readingKinds()...),
		Args:        noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if request.Labels, err = keyValues("--label", labels); err != nil {
				return err
			}
			var known bool
			request.Status, known = stateOf(status)
			target, err := a.target(cmd.Context())
			if err != nil {
				return err
			}
			services, reply, err := target.List(cmd.Context(), request)
			if err != nil {
				return err
			}
			if !known && len(services) == 0 {
				a.term.Warn("no service is %s; the states that are known are %s", ui.Printable(status), strings.Join(stateNames(), ", "))
			}
			return a.print(newServiceList(services, reply))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&request.Filter, "name", "", "only services with this `part` in their name")
	flags.StringVar(&request.Group, "group", "", "only services of this `group`")
	flags.StringVar(&status, "status", "", "only services in this `state`, such as Running, Stopped or Failed")
	flags.StringArrayVar(&labels, "label", nil, "only services with this `label=value`; may be repeated")
	// It fails only for a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("status", completeWords(stateNames))
	return cmd
}

// stateOf returns the state that a word stands for, in whatever case, and whether
// it is a known one or none.
func stateOf(word string) (state deploy.State, known bool) {
	for _, s := range deploy.States() {
		if strings.EqualFold(word, string(s)) {
			return s, true
		}
	}
	return deploy.State(word), word == ""
}

func stateNames() []string {
	var names []string
	for _, s := range deploy.States() {
		names = append(names, string(s))
	}
	return names
}

// keyValues reads the values of a flag that are of the form name=value.
func keyValues(flag string, pairs []string) (map[string]string, error) {
	values := map[string]string{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fault.New(fault.Usage, "%s %s: write name=value", flag, pair)
		}
		values[name] = value
	}
	return values, nil
}

// serviceList is the result of `eascmd list`.
type serviceList struct {
	RequestID string           `json:"requestId"`
	Services  []deploy.Service `json:"services"`
}

// newServiceList leaves out what must not lie about in a list of everything.
func newServiceList(services []deploy.Service, reply deploy.Reply) serviceList {
	list := serviceList{reply.RequestID, make([]deploy.Service, len(services))}
	for i, s := range services {
		s.AccessToken, s.Description = "", nil
		list.Services[i] = s
	}
	return list
}

func (l serviceList) View() ui.View {
	list := ui.List{Header: []string{"ServiceName", "Region", "Instance", "CreateTime", "UpdateTime", "Status", "Weight", "ServicePath"}}
	for _, s := range l.Services {
		list.Rows = append(list.Rows, []any{s.Name, s.Region, s.TotalInstances, tableTime(s.CreateTime), tableTime(s.UpdateTime),
			s.Status, s.Weight, localtest.PredictURL("", s.Name)})
	}
	return withRequestID(l.RequestID, list)
}
