package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/ui"
)

// The bounds of a weight, by the API.
const (
	minWeight = -1
	maxWeight = 1000
)

func newReleaseCommand(a *app) *cobra.Command {
	var weight int
	var traffic string
	states := []string{"standalone", "grouping"}
	cmd := &cobra.Command{
		Use:     "release SERVICE --weight N [--traffic-state STATE]",
		GroupID: groupDeploy,
		Short:   "Change a service's share of its group's requests",
		Long: `Changes which requests reach a service.

--weight is its share of the requests to its group, or to the pair of a service and
its blue-green twin: with 10 and 90 one of them gets a tenth. --traffic-state
standalone takes a service out of its group's requests, so that only its own
address reaches it, and grouping puts it in.

What it had before is printed, so that there is a way back. The original's syntax
is not known; this one is ours.`,
		Example: `  eascmd release scorer-v2 --weight 10                 # a tenth of the requests
  eascmd release scorer-v2 --traffic-state standalone  # none, but at its own address`,
		Annotations:       exits(readingKinds()...),
		Args:              needArgs("the service's name"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, name := cmd.Context(), args[0]
			var request deploy.ReleaseRequest
			if cmd.Flags().Changed("weight") {
				if weight < minWeight || weight > maxWeight {
					return fault.New(fault.Usage, "--weight %d: it is a number from %d to %d", weight, minWeight, maxWeight)
				}
				request.Weight = &weight
			}
			request.TrafficState = strings.ToLower(traffic)
			switch {
			case traffic != "" && !slices.Contains(states, request.TrafficState):
				return fault.New(fault.Usage, "--traffic-state %s: it is %s", traffic, strings.Join(states, " or "))
			case traffic == "" && request.Weight == nil:
				return fault.New(fault.Usage, "neither --weight nor --traffic-state is given").WithHint("usage: %s", cmd.UseLine())
			}
			target, err := a.target(ctx)
			if err != nil {
				return err
			}
			where := target.Where()
			a.announce(where)
			before, err := target.Describe(ctx, name)
			if err != nil {
				return err
			}
			reply, err := target.Release(ctx, name, request)
			if err != nil {
				return err
			}
			result := released{Reply: reply, Service: name, Region: where.Region,
				Before: trafficRule{before.Weight, before.TrafficState}, After: trafficRule{before.Weight, before.TrafficState}}
			if request.Weight != nil {
				result.After.Weight = *request.Weight
			}
			if request.TrafficState != "" {
				result.After.State = request.TrafficState
			}
			a.term.OK("Releasing service [%s] in region [%s]", ui.Printable(name), ui.Printable(place(where)))
			return a.print(result)
		},
	}
	cmd.Flags().IntVar(&weight, "weight", 0, "`share` of the requests, relative to that of the others")
	cmd.Flags().StringVar(&traffic, "traffic-state", "", "`state`: standalone or grouping")
	// It fails only for a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("traffic-state", completeWords(func() []string { return states }))
	return cmd
}

// released is the result of `eascmd release`.
type released struct {
	deploy.Reply
	Service string      `json:"service"`
	Region  string      `json:"region"`
	Before  trafficRule `json:"before"`
	After   trafficRule `json:"after"`
}

// trafficRule is which requests reach a service.
type trafficRule struct {
	Weight int    `json:"weight"`
	State  string `json:"trafficState,omitempty"`
}

func (r released) View() ui.View {
	list := ui.List{Header: []string{"", "Weight", "TrafficState"}, Rows: [][]any{
		{"before", r.Before.Weight, r.Before.State},
		{"after", r.After.Weight, r.After.State},
	}}
	return withRequestID(r.RequestID, list)
}
