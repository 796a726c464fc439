package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/ui"
)

func newScaleCommand(a *app) *cobra.Command {
	o := &waitOptions{}
	cmd := &cobra.Command{
		Use:     "scale SERVICE N [flags]",
		GroupID: groupDeploy,
		Short:   "Change the number of instances of a service",
		Long: `Changes the number of instances of a service, and waits until all of them run.
No new version is made, and no instance that stays is restarted; it is what
'eascmd modify SERVICE -Dmetadata.instance=N' does.

A service that is scaled by rules goes back to their numbers; see
'eascmd autoscale'. The original's syntax is not known; this one is ours.`,
		Example: `  eascmd scale scorer 4
  eascmd scale scorer 4 --no-wait`,
		Annotations:       exits(readingKinds(fault.Processor)...),
		Args:              needArgs("the service's name", "the number of instances"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, name := cmd.Context(), args[0]
			if err := o.check(cmd.Flags().Changed); err != nil {
				return err
			}
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 0 {
				return fault.New(fault.Usage, "%q is no number of instances", args[1]).WithHint("usage: eascmd scale SERVICE N")
			}
			target, err := a.target(ctx)
			if err != nil {
				return err
			}
			where := target.Where()
			a.announce(where)
			before, err := deploy.Look(ctx, target, name)
			if err != nil {
				return err
			}
			if before.Service.Autoscaled {
				a.term.Warn("service [%s] is scaled by rules, which change the number again", ui.Printable(name))
				a.term.Hint("`eascmd autoscale %s` shows them, `eascmd autoscale rm %s` removes them", ui.Printable(name), ui.Printable(name))
			}
			reply, err := target.Scale(ctx, name, n)
			if err != nil {
				return err
			}
			result := actedOn{Reply: reply, Service: name, Region: where.Region}
			return a.finishAct(ctx, target, *o, &result, deploy.WaitOptions{Goal: deploy.ToRun, Before: before},
				"is scaled to "+instancesText(n), nil)
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}
