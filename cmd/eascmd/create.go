package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/ui"
)

type createOptions struct {
	waitOptions
	sendOptions
	labels []string
}

func newCreateCommand(a *app) *cobra.Command {
	var o createOptions
	cmd := &cobra.Command{
		Use:     "create SERVICE.JSON",
		GroupID: groupDeploy,
		Short:   "Deploy a service",
		Long: `Makes the service that a description describes, waits until it runs, and prints
its address and its token. When it does not get there, its events, the state of
its worst instance and the last lines of that one's log are printed, and what to
do about it.

What the description names on this machine, as processor_path, model_path or
warm_up_data_path, is checked as ` + "`eascmd test`" + ` checks it, but against the machines
of EAS, packed and uploaded below the profile's upload prefix first; the
description that is sent has the addresses. An object is named by its content, so
that nothing is sent twice and that earlier versions keep their files.

The request to create is sent once. When its answer is lost, the service is asked
for until it is known whether there is one. Ctrl-C ends the waiting and not what
was begun. A name that is taken is refused: ` + "`eascmd apply`" + ` changes a service that
is there.

The endpoints and the token are printed on standard output before the waiting
begins, or with -o json in one object at its end; the [OK] lines go to standard
error.`,
		Example: `  eascmd create service.json
  eascmd create service.json --timeout 15m -o json
  eascmd create service.json --dry-run
  eascmd create service.json --no-wait --label team=search`,
		Annotations:       exits(fault.Description, fault.Processor, fault.Missing, fault.Remote, fault.Interrupted),
		Args:              needDescription,
		ValidArgsFunction: completeDescription,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cmp.Or(o.waitOptions.check(cmd.Flags().Changed), o.lineOptions.check()); err != nil {
				return err
			}
			return o.run(cmd.Context(), a, args[0])
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	o.waitOptions.addFlags(flags)
	o.sendOptions.addFlags(flags)
	flags.StringArrayVar(&o.labels, "label", nil, "`NAME=VALUE` to find the service by; may be given several times")
	return cmd
}

// completeDescription completes the name of a description.
func completeDescription(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"json"}, cobra.ShellCompDirectiveFilterFileExt
}

func (o *createOptions) run(ctx context.Context, a *app, path string) error {
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
	if !o.dryRun {
		// Before gigabytes are uploaded. It also lets a lost answer be settled.
		switch _, err := target.Describe(ctx, d.Name); {
		case err == nil:
			return fault.New(fault.Remote, "service %s: %w in %s", d.Name, deploy.ErrExists, place(w)).
				WithHint("`eascmd apply %s` changes it, `eascmd diff %s` shows what would change", path, path)
		case !isAbsent(err):
			return err
		}
	}
	published, err := o.publish(ctx, a, d, path, "")
	if err != nil {
		return err
	}
	result := &deployed{Operation: "create", Service: d.Name, Region: w.Region, Uploads: published.Uploads}
	if o.dryRun {
		result.DryRun, result.Description = true, deploy.Masked(published.Description)
		return a.print(result)
	}
	return a.create(ctx, target, deploy.CreateRequest{Name: d.Name, Description: published.Description, Labels: labels}, result, o.waitOptions)
}

// create makes a service, shows its address, and waits until it runs.
func (a *app) create(ctx context.Context, target deploy.Target, request deploy.CreateRequest, result *deployed, o waitOptions) error {
	created, err := target.Create(ctx, request)
	if deploy.Unsettled(err) {
		if ctx.Err() != nil {
			a.term.Warn("whether service [%s] is being created in [%s] is not known", request.Name, place(target.Where()))
			a.term.Hint("`eascmd desc %s` tells", request.Name)
			return err
		}
		a.term.Warn("whether the service is being created is not known, so it is asked for: %s", ui.Printable(err.Error()))
		created, err = deploy.Settle(ctx, target, request, err, deploy.SettleOptions{})
	}
	if err != nil {
		return err
	}
	result.RequestID, result.ID, result.Status = created.RequestID, created.ServiceID, created.Status
	result.Internet, result.Intranet = created.InternetEndpoint, created.IntranetEndpoint
	// The answer does not have the token. What cannot be described yet is shown
	// without it.
	if s, err := target.Describe(ctx, request.Name); err == nil {
		result.take(s)
	}
	if a.output == ui.Table {
		if err := a.print(result); err != nil {
			return err
		}
	}
	var failed error
	if !o.noWait {
		var s *deploy.Service
		s, failed = a.wait(ctx, target, request.Name, deploy.WaitOptions{Timeout: o.timeout})
		result.take(s)
		result.Failure = infoOf(failed)
	}
	if a.output != ui.Table {
		if err := a.print(result); err != nil {
			return err
		}
	}
	return failed
}

// parseLabels reads NAME=VALUE.
func parseLabels(list []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fault.New(fault.Usage, "--label %s: it is no NAME=VALUE", text)
		}
		if have, twice := labels[name]; twice && have != value {
			return nil, fault.New(fault.Usage, "--label %s is given twice", name)
		}
		labels[name] = value
	}
	return labels, nil
}
