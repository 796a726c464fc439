package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/ui"
)

// actedOn is the result of a command that acts on a service.
type actedOn struct {
	deploy.Reply
	Service string       `json:"service"`
	Region  string       `json:"region"`
	Status  deploy.State `json:"status,omitempty"`  // in the end; empty where it was not waited for or is gone
	Version int          `json:"version,omitempty"` // that runs in the end
	Deleted bool         `json:"deleted,omitempty"`
	Purged  []string     `json:"purged,omitempty"`  // addresses of objects that were removed
	GivenUp []string     `json:"givenUp,omitempty"` // addresses of objects whose unfinished uploads were removed

	Failure *failureInfo `json:"failure,omitempty"`
}

func (r actedOn) View() ui.View { return withRequestID(r.RequestID) }

// act is one command that acts on a service.
type act struct {
	waitOptions
	action  deploy.Action
	goal    deploy.Goal
	asks    bool // before it is done
	message string
	purge   bool
}

func newStartCommand(a *app) *cobra.Command {
	return newActCommand(a, &act{action: deploy.Start, message: "is starting"}, &cobra.Command{
		Short: "Start a service that is stopped",
		Long: `Starts a service that is stopped, and waits until it runs. When it does not get
there, the reason is looked for and printed.`,
		Example: "  eascmd start echo\n  eascmd start echo --timeout 10m",
	})
}

func newStopCommand(a *app) *cobra.Command {
	return newActCommand(a, &act{action: deploy.Stop, goal: deploy.ToStop, asks: true, message: "is stopping"}, &cobra.Command{
		Short: "Stop a service",
		Long: `Stops a service: its instances end, and are not paid for any more; its
description, versions, address and token stay, and ` + "`eascmd start`" + ` brings it back.
Asks before it does so; without a terminal, -y is needed.`,
		Example: "  eascmd stop echo\n  eascmd stop echo -y --no-wait",
	})
}

func newRestartCommand(a *app) *cobra.Command {
	return newActCommand(a, &act{action: deploy.Restart, message: "is restarting"}, &cobra.Command{
		Short: "Restart all instances of a service",
		Long: `Restarts the instances of a service, a few at a time as in an update, and waits
until all of them run. The original has no such command.`,
		Example: "  eascmd restart echo",
	})
}

func newDeleteCommand(a *app) *cobra.Command {
	o := &act{action: deploy.Delete, goal: deploy.ToDelete, asks: true, message: "is terminating"}
	cmd := newActCommand(a, o, &cobra.Command{
		Short: "Delete a service",
		Long: `Deletes a service with all its versions, its address and its token. Asks before
it does so; without a terminal, -y is needed.

What was uploaded for it stays, unless --purge removes it too: all objects below
SERVICE/ in the profile's upload prefix and all uploads to there that came to no
end, and no others. With --purge the service need not exist: what an interrupted
'create' has left is removed the same way.`,
		Example: "  eascmd delete echo\n  eascmd delete echo -y --purge",
	})
	cmd.Flags().BoolVar(&o.purge, "purge", false, "remove what was uploaded for the service, too")
	return cmd
}

// newActCommand completes a command that acts on a service.
func newActCommand(a *app, o *act, cmd *cobra.Command) *cobra.Command {
	cmd.Use = string(o.action) + " SERVICE"
	cmd.GroupID = groupDeploy
	kinds := []fault.Kind{fault.Description, fault.Missing, fault.Remote, fault.Interrupted}
	if o.goal == deploy.ToRun {
		kinds = append(kinds, fault.Processor)
	}
	cmd.Annotations = exits(kinds...)
	cmd.Args = needArgs("the name of the service")
	cmd.ValidArgsFunction = a.completeServices
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := o.check(cmd.Flags().Changed); err != nil {
			return err
		}
		return o.run(cmd.Context(), a, args[0])
	}
	cmd.Flags().SortFlags = false
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *act) run(ctx context.Context, a *app, name string) error {
	target, err := a.target(ctx)
	if err != nil {
		return err
	}
	w := target.Where()
	a.announce(w)
	var trash *trash
	if o.purge {
		if o.noWait {
			return fault.New(fault.Usage, "--purge and --no-wait exclude each other: objects are removed once no instance needs them")
		}
		if trash, err = a.findTrash(ctx, name); err != nil {
			return err
		}
		defer trash.close()
	}
	// Also, a name that does not exist is told before a question is asked.
	before, err := deploy.Look(ctx, target, name)
	if trash != nil && errors.Is(err, deploy.ErrNotFound) {
		return a.purgeOnly(ctx, w, name, trash, err)
	}
	if err != nil {
		return err
	}
	if o.asks {
		question := "Are you sure to " + string(o.action) + " the service [" + name + "] in [" + place(w) + "]"
		if trash != nil {
			question = "Are you sure to delete the service [" + name + "] in [" + place(w) + "] and what is below " + trash.addr.String()
		}
		yes, err := a.term.Confirm(ctx, question, a.yes)
		if err != nil {
			return err
		}
		if !yes {
			a.term.Info("service [%s] is left as it is", ui.Printable(name))
			return nil
		}
	}
	var reply deploy.Reply
	if o.action == deploy.Restart {
		reply, err = deploy.RestartService(ctx, target, before.Service, deploy.SettleOptions{})
	} else {
		reply, err = target.Act(ctx, name, o.action)
	}
	if err != nil {
		return err
	}
	result := actedOn{Reply: reply, Service: name, Region: w.Region}
	return a.finishAct(ctx, target, o.waitOptions, &result, deploy.WaitOptions{Goal: o.goal, Before: before}, o.message, trash)
}

// finishAct shows that something was begun, and waits for what comes of it.
func (a *app) finishAct(ctx context.Context, target deploy.Target, o waitOptions, result *actedOn, opts deploy.WaitOptions, message string, trash *trash) error {
	if a.output == ui.Table {
		if err := a.print(result); err != nil {
			return err
		}
	}
	if message != "" {
		a.term.OK("Service [%s] in region [%s] %s", ui.Printable(result.Service), ui.Printable(place(target.Where())), message)
	}
	var failed error
	if !o.noWait {
		opts.Timeout = o.timeout
		var service *deploy.Service
		service, failed = a.wait(ctx, target, result.Service, opts)
		if service != nil {
			result.Status, result.Version = service.Status, service.CurrentVersion
		}
		result.Deleted = failed == nil && opts.Goal == deploy.ToDelete
		result.Failure = infoOf(failed)
	}
	if failed == nil && trash != nil {
		failed = a.purge(ctx, trash, result)
	}
	if a.output != ui.Table {
		if err := a.print(result); err != nil {
			return err
		}
	}
	return failed
}
