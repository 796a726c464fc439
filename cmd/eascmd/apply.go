package main

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/service"
)

type applyOptions struct {
	waitOptions
	sendOptions
	rollback bool
	labels   []string
}

func newApplyCommand(a *app) *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:     "apply SERVICE.JSON",
		GroupID: groupDeploy,
		Short:   "Make a service what its description says",
		Long: `Creates the service of a description, or changes the one that is there so that it
is what the description says, and waits until it runs. Given again it does
nothing, with exit status 0, which makes it the command for scripts and CI.

What has to change is found by comparing the description with that of the
service, both in their normal form, and shown, a line each. Fields that are no
longer in the file are taken away; what the platform has added by itself, the
token above all, stays. When metadata.instance is all that changes the service is
scaled, without a new version; where an autoscaler sets it, it is left alone.

What the description names on this machine is checked, packed and uploaded as by
` + "`eascmd create`" + `. With --rollback a service that does not get to run is brought
back to the version from before; the exit status is that of the failure. A new
service has no version from before and is left as it is.

The original has no such command.`,
		Example: `  eascmd apply service.json
  eascmd apply service.json --rollback --timeout 20m -o json
  eascmd diff service.json; eascmd apply service.json --dry-run`,
		Annotations:       exits(fault.Description, fault.Processor, fault.Missing, fault.Remote, fault.Interrupted),
		Args:              needDescription,
		ValidArgsFunction: completeDescription,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cmp.Or(o.waitOptions.check(cmd.Flags().Changed), o.lineOptions.check()); err != nil {
				return err
			}
			if o.rollback && o.noWait {
				return errRollbackUnseen()
			}
			return o.run(cmd.Context(), a, args[0])
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	o.waitOptions.addFlags(flags)
	flags.BoolVar(&o.rollback, "rollback", false, "bring the version from before back when the new one does not run")
	o.sendOptions.addFlags(flags)
	flags.StringArrayVar(&o.labels, "label", nil, "`NAME=VALUE` to find the service by, where it is created; may be given several times")
	return cmd
}

func (o *applyOptions) run(ctx context.Context, a *app, path string) error {
	labels, err := parseLabels(o.labels)
	if err != nil {
		return err
	}
	target, d, err := a.targetOf(ctx, path)
	if err != nil {
		return err
	}
	w := target.Where()
	a.announce(w)
	before, err := lookFor(ctx, target, d)
	if err != nil {
		return err
	}
	published, err := o.publish(ctx, a, d, path, "")
	if err != nil {
		return err
	}
	if before == nil {
		result := &deployed{Operation: "create", Service: d.Name, Region: w.Region, Uploads: published.Uploads}
		if o.dryRun {
			result.DryRun, result.Description = true, deploy.Masked(published.Description)
			return a.print(result)
		}
		a.term.OK("Service [%s] is not there yet in region [%s]: it is created", d.Name, place(w))
		return a.create(ctx, target, deploy.CreateRequest{Name: d.Name, Description: published.Description, Labels: labels}, result, o.waitOptions)
	}
	plan, err := deploy.PlanApply(before.Service, published.Description)
	if err != nil {
		return err
	}
	c := &change{waitOptions: o.waitOptions, rollback: o.rollback, dryRun: o.dryRun, before: before, plan: plan, uploads: published.Uploads}
	return c.run(ctx, a, target)
}

// lookFor looks at the service of a description; nil where there is none.
func lookFor(ctx context.Context, target deploy.Target, d *service.Description) (*deploy.Snapshot, error) {
	before, err := deploy.Look(ctx, target, d.Name)
	if isAbsent(err) {
		return nil, nil
	}
	return before, err
}
