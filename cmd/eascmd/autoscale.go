package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/ui"
)

func newAutoscaleCommand(a *app) *cobra.Command {
	var settings []string
	var file string
	cmd := &cobra.Command{
		Use:     "autoscale [REGION/]SERVICE [-Dmin=N -Dmax=N -Dstrategies.METRIC=N | -s scaler.json]",
		GroupID: groupDeploy,
		Short:   "Scale a service by rules, or show its rules",
		Long: `Sets the rules by which the platform changes the number of a service's instances,
or shows them when none are given.

-D sets one rule and leaves the others as they are; there is no space after it:

    -Dmin=2                    never fewer instances
    -Dmax=5                    never more
    -Dstrategies.qps=10        so many that each gets at most 10 requests a second;
                               qps1k counts thousandths, cpu and gpu percents;
                               an empty value (-Dstrategies.cpu=) removes the metric
    -Dbehavior.scaleUp.stabilizationWindowSeconds=0
    -Dbehavior.scaleDown.stabilizationWindowSeconds=300

-s reads all rules from a file: {"min": 2, "max": 5, "strategies": {"qps": 10}}, or
with "scaleStrategies" and "behavior" as the API has them. -D comes on top of it.

A region before the service's name has to be the profile's. 'eascmd autoscale rm'
removes the rules; the instances stay as many as they are. Of the original's syntax
-Dmin, -Dmax and -Dstrategies are known; the rest is ours.`,
		Example: `  eascmd autoscale scorer -Dmin=2 -Dmax=5 -Dstrategies.qps=10
  eascmd autoscale cn-shanghai/scorer -s scaler.json
  eascmd autoscale scorer
  eascmd autoscale rm scorer`,
		Annotations:       exits(readingKinds()...),
		Args:              needArgs("the service's name"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			target, name, err := a.scaled(ctx, args[0])
			if err != nil {
				return err
			}
			where := target.Where()
			if len(settings) == 0 && file == "" {
				rules, reply, err := target.Autoscaler(ctx, name)
				if err != nil {
					return noRules(ctx, target, name, err)
				}
				return a.print(newScalerResult(name, where, reply, rules))
			}
			rules, reply, err := a.setRules(ctx, target, name, file, settings)
			if err != nil {
				return err
			}
			a.term.OK("Succeed to auto scale service [%s]", ui.Printable(name))
			return a.print(newScalerResult(name, where, reply, rules))
		},
	}
	cmd.Flags().StringArrayVarP(&settings, "set", "D", nil, "set one rule: `name=value`; may be repeated")
	cmd.Flags().StringVarP(&file, "scaler", "s", "", "read all rules from this JSON `file`")
	cmd.AddCommand(newAutoscaleRmCommand(a))
	return cmd
}

// setRules makes rules of a file, or of those that the service has, and of
// settings, and sets them.
func (a *app) setRules(ctx context.Context, target deploy.Target, name, file string, settings []string) (*deploy.Autoscaler, deploy.Reply, error) {
	var none deploy.Reply
	// What is wrong in the rules is told before anything is asked.
	rules := &deploy.Autoscaler{}
	if file != "" {
		text, err := readSmall(ctx, file)
		if err != nil {
			return nil, none, err
		}
		if rules, err = deploy.ParseAutoscaler(file, text); err != nil {
			return nil, none, err
		}
	}
	if err := rules.Set(settings...); err != nil {
		return nil, none, err
	}
	a.announce(target.Where())
	if file == "" {
		have, _, err := target.Autoscaler(ctx, name)
		switch {
		case err == nil:
			rules = have
		case errors.Is(err, deploy.ErrNotFound):
			rules = &deploy.Autoscaler{}
		default:
			return nil, none, err
		}
		if err := rules.Set(settings...); err != nil {
			return nil, none, err
		}
	}
	rules.Current = nil
	if err := rules.Check(); err != nil {
		return nil, none, err
	}
	reply, err := target.SetAutoscaler(ctx, name, *rules)
	return rules, reply, err
}

func newAutoscaleRmCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rm [REGION/]SERVICE",
		Short: "Remove the rules by which a service is scaled",
		Long: `Removes the rules by which a service is scaled. Its instances stay as many as they
are. It asks before it does so; -y answers yes.`,
		Example:           `  eascmd autoscale rm scorer -y`,
		Annotations:       exits(readingKinds()...),
		Args:              needArgs("the service's name"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			target, name, err := a.scaled(ctx, args[0])
			if err != nil {
				return err
			}
			where := target.Where()
			a.announce(where)
			question := "Are you sure to remove the rules by which service [" + name + "] in [" + place(where) + "] is scaled"
			if yes, err := a.term.Confirm(ctx, question, a.yes); err != nil || !yes {
				return err
			}
			reply, err := target.RemoveAutoscaler(ctx, name)
			if err != nil {
				return err
			}
			a.term.OK("Service [%s] in region [%s] is no longer scaled by rules", ui.Printable(name), ui.Printable(place(where)))
			return a.print(actedOn{Reply: reply, Service: name, Region: where.Region})
		},
	}
}

// scaled opens the target, and takes the region off the name of the service that
// is to be scaled there.
func (a *app) scaled(ctx context.Context, text string) (target deploy.Target, name string, err error) {
	if target, err = a.target(ctx); err != nil {
		return nil, "", err
	}
	name, err = inRegion(text, target.Where())
	return target, name, err
}

// inRegion takes the region off a service's name and compares it with where
// services are.
func inRegion(text string, where deploy.Where) (name string, err error) {
	region, name, ok := strings.Cut(text, "/")
	switch {
	case !ok:
		return text, nil
	case name == "":
		return "", fault.New(fault.Usage, "%s: the service's name is missing", text)
	case where.Region != "" && region != where.Region:
		return "", fault.New(fault.Usage, "%s is not in the profile's region, which is %s", text, where.Region).
			WithHint("-e pai-eas.%s.aliyuncs.com or another --profile chooses the region", region)
	}
	return name, nil
}

// noRules explains that a service has no rules, if it is that and not the
// service that is missing.
func noRules(ctx context.Context, target deploy.Target, name string, err error) error {
	if !errors.Is(err, deploy.ErrNotFound) {
		return err
	}
	if _, err := target.Describe(ctx, name); err != nil {
		return err
	}
	return fault.New(fault.KindOf(err), "service %s has no rules to be scaled by: %w", name, err).
		WithHint("`eascmd autoscale %s -Dmin=1 -Dmax=4 -Dstrategies.qps=10` makes some", name)
}

// scalerResult is the result of `eascmd autoscale`.
type scalerResult struct {
	RequestID string `json:"requestId"`
	Service   string `json:"service"`
	Region    string `json:"region"`
	deploy.Autoscaler
}

func newScalerResult(name string, where deploy.Where, reply deploy.Reply, rules *deploy.Autoscaler) scalerResult {
	r := scalerResult{reply.RequestID, name, where.Region, *rules}
	r.Strategies = append([]deploy.Strategy{}, rules.Strategies...)
	return r
}

func (r scalerResult) View() ui.View {
	details := ui.Details{{Key: "ServiceName", Value: r.Service}, {Key: "Min", Value: r.Min}, {Key: "Max", Value: r.Max}}
	for _, s := range r.Strategies {
		text := number(s.Threshold)
		for _, now := range r.Current {
			if now.Metric == s.Metric && (now.Service == s.Service || now.Service == "" || s.Service == "") {
				text += ", now " + number(now.Threshold)
			}
		}
		key := "Strategies." + s.Metric
		if s.Service != "" && s.Service != r.Service {
			key += " of " + s.Service
		}
		details = append(details, ui.Detail{Key: key, Value: text})
	}
	if r.ScaleUpDelay != nil {
		details = append(details, ui.Detail{Key: "ScaleUpDelay", Value: number(float64(*r.ScaleUpDelay)) + " s"})
	}
	if r.ScaleDownDelay != nil {
		details = append(details, ui.Detail{Key: "ScaleDownDelay", Value: number(float64(*r.ScaleDownDelay)) + " s"})
	}
	return withRequestID(r.RequestID, details)
}

// number is a number without needless digits.
func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
