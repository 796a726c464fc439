package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/ui"
)

// differences is the result of `eascmd diff`.
type differences struct {
	Service string          `json:"service"`
	Region  string          `json:"region"`
	Exists  bool            `json:"exists"`
	Same    bool            `json:"same"`
	Changes []deploy.Change `json:"changes"` // what apply would change
}

func (r differences) View() ui.View {
	var b strings.Builder
	for _, c := range r.Changes {
		b.WriteString(ui.Printable(changeText(c)) + "\n")
	}
	if b.Len() == 0 {
		return ui.Page{}
	}
	return ui.Text(b.String())
}

func newDiffCommand(a *app) *cobra.Command {
	o := sendOptions{dryRun: true}
	cmd := &cobra.Command{
		Use:     "diff SERVICE.JSON",
		GroupID: groupDeploy,
		Short:   "Show what apply would change",
		Long: `Compares a description with that of the service and prints what ` + "`eascmd apply`" + `
would change, a line each: "~ path: old -> new", "+ path: new" for what is new and
"- path: old" for what would go. Secrets are masked; that they differ is shown.

Both descriptions are compared in their normal form, so that another spelling is
no difference, and neither is a default that is written out or what the platform
adds by itself. What the description names on this machine is checked and packed,
but not uploaded: its content is in the name that its object would have.

The exit status is 0 when they are the same, and 5 when they differ or there is no
such service. The original has no such command.`,
		Example: `  eascmd diff service.json
  eascmd diff service.json -o json | jq -r '.changes[].path'
  if eascmd diff service.json; then echo nothing to do; fi`,
		Annotations:       exits(fault.Description, fault.Processor, fault.Answer, fault.Missing, fault.Remote, fault.Interrupted),
		Args:              needDescription,
		ValidArgsFunction: completeDescription,
		RunE:              func(cmd *cobra.Command, args []string) error { return diff(cmd.Context(), a, &o, args[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.to, "to", "", "`address` that uploads would go below, such as oss://bucket/prefix (default the profile's upload_prefix)")
	flags.BoolVar(&o.noCheck, "no-check", false, "do not check the processor for the machines of EAS")
	return cmd
}

func diff(ctx context.Context, a *app, o *sendOptions, path string) error {
	target, d, err := a.targetOf(ctx, path)
	if err != nil {
		return err
	}
	w := target.Where()
	before, err := lookFor(ctx, target, d)
	if err != nil {
		return err
	}
	result := differences{Service: d.Name, Region: w.Region, Exists: before != nil, Changes: []deploy.Change{}}
	if before == nil {
		if err := a.print(result); err != nil {
			return err
		}
		return fault.New(fault.Answer, "there is no service %s in %s", d.Name, place(w)).WithHint("`eascmd apply %s` creates it", path)
	}
	published, err := o.publish(ctx, a, d, path, "")
	if err != nil {
		return err
	}
	plan, err := deploy.PlanApply(before.Service, published.Description)
	if err != nil {
		return err
	}
	result.Same = len(plan.Changes) == 0
	result.Changes = append(result.Changes, plan.Changes...)
	if err := a.print(result); err != nil {
		return err
	}
	if result.Same {
		return nil
	}
	fields := "1 field"
	if n := len(result.Changes); n > 1 {
		fields = strconv.Itoa(n) + " fields"
	}
	return fault.New(fault.Answer, "service %s in %s differs from %s in %s", d.Name, place(w), path, fields).
		WithHint("`eascmd apply %s` changes it", path)
}
