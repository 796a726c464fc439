package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/ui"
)

func newShowWorkersCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "showworkers SERVICE",
		Aliases: []string{"w"},
		GroupID: groupDeploy,
		Short:   "List the instances of a service",
		Long: `Lists the instances of a service.

STATUS Pending means that there are no resources for it yet. READY counts its
processes that answer, of all: with [0/1] it is starting, or its health check
fails. RESTARTS that grow mean that it crashes, and LASTSTATE says how its last
life ended: the reason OOMKilled is more memory than metadata.memory allows.`,
		Example: `  eascmd w scorer
  eascmd log scorer --worker scorer-69cf5dd6c7-5abcd --previous   # why it crashed`,
		Annotations:       exits(readingKinds()...),
		Args:              needArgs("the service's name"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := a.target(cmd.Context())
			if err != nil {
				return err
			}
			instances, reply, err := target.Instances(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(instanceList{reply.RequestID, args[0], append([]deploy.Instance{}, instances...)})
		},
	}
}

// instanceList is the result of `eascmd showworkers`.
type instanceList struct {
	RequestID string            `json:"requestId"`
	Service   string            `json:"service"`
	Instances []deploy.Instance `json:"instances"`
}

// lastState is how an instance's last life ended, with its fields in the order
// of the original's column.
type lastState struct {
	ExitCode   int       `json:"exitCode"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	Message    string    `json:"message,omitempty"`
	Reason     string    `json:"reason"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
}

func (l instanceList) View() ui.View {
	list := ui.List{Header: []string{"InstanceName", "InnerIP", "HostIP", "StartAt", "Restarts", "Status", "Ready", "Reason", "LastState"}}
	for _, in := range l.Instances {
		last := ""
		if l := in.Last; l != nil {
			// Numbers, texts and times can be encoded.
			text, _ := json.Marshal(lastState{l.ExitCode, l.FinishedAt.UTC(), l.Message, l.Reason, l.StartedAt.UTC()})
			last = string(text)
		}
		list.Rows = append(list.Rows, []any{in.Name, in.InnerIP, in.HostIP, tableTime(in.StartTime), in.Restarts, in.Status,
			fmt.Sprintf("[%d/%d]", in.ReadyProcesses, in.TotalProcesses), in.Reason, last})
	}
	return withRequestID(l.RequestID, list)
}

func newDeleteWorkersCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "deleteworkers SERVICE INSTANCE[,INSTANCE...]",
		Aliases: []string{"dw"},
		GroupID: groupDeploy,
		Short:   "Delete instances of a service; new ones take their place",
		Long: `Deletes instances of a service. New ones take their place, so it restarts them,
one after the other or all at once, as you like. Requests that they are answering
are lost when they take too long to end.

It asks before it does so; -y answers yes.`,
		Example: `  eascmd dw scorer scorer-69cf5dd6c7-5abcd
  eascmd dw scorer scorer-69cf5dd6c7-5abcd,scorer-69cf5dd6c7-9xyzw -y`,
		Annotations:       exits(readingKinds()...),
		Args:              needArgs("the service's name", "the list of instances"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			service, instances := args[0], commaList(args[1])
			if len(instances) == 0 {
				return fault.New(fault.Usage, "the list of instances is empty").WithHint("`eascmd showworkers %s` lists them", service)
			}
			target, err := a.target(cmd.Context())
			if err != nil {
				return err
			}
			where := target.Where()
			a.announce(where)
			if err := checkInstances(cmd.Context(), target, service, instances...); err != nil {
				return err
			}
			question := fmt.Sprintf("Are you sure to delete the instances [%s] of service [%s] in [%s]", strings.Join(instances, ","), service, place(where))
			if yes, err := a.term.Confirm(cmd.Context(), question, a.yes); err != nil || !yes {
				return err
			}
			reply, err := target.DeleteInstances(cmd.Context(), service, instances)
			if err != nil {
				return err
			}
			a.term.OK("Instance(s) [%s] for service [%s] in region [%s] was deleted successfully",
				ui.Printable(strings.Join(instances, ",")), ui.Printable(service), place(where))
			return a.print(deletedInstances{reply.RequestID, service, where.Region, instances})
		},
	}
}

// checkInstances tells of a name that is none of those of a service's instances.
func checkInstances(ctx context.Context, target deploy.Target, service string, names ...string) error {
	instances, _, err := target.Instances(ctx, service)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := deploy.CheckInstance(service, name, instances); err != nil {
			return err
		}
	}
	return nil
}

// commaList splits a list with commas and leaves empty elements out.
func commaList(text string) []string {
	var list []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			list = append(list, word)
		}
	}
	return list
}

// deletedInstances is the result of `eascmd deleteworkers`.
type deletedInstances struct {
	RequestID string   `json:"requestId"`
	Service   string   `json:"service"`
	Region    string   `json:"region"`
	Instances []string `json:"instances"`
}

func (d deletedInstances) View() ui.View { return withRequestID(d.RequestID) }
