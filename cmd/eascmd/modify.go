package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/localtest"
	"github.com/openeas/eascmd/pkg/service"
	"github.com/openeas/eascmd/pkg/source"
	"github.com/openeas/eascmd/pkg/ui"
)

type modifyOptions struct {
	waitOptions
	sendOptions
	file     string
	settings []string
	rollback bool
}

func newModifyCommand(a *app) *cobra.Command {
	var o modifyOptions
	cmd := &cobra.Command{
		Use:     "modify SERVICE -s FILE | -D PATH=VALUE...",
		Aliases: []string{"update"},
		GroupID: groupDeploy,
		Short:   "Change a part of a service's description",
		Long: `Changes fields of a service's description and leaves the others as they are. A
change of what is run makes a new version, whose instances take the place of the
old ones a few at a time; a change of metadata.instance alone scales the service
without one.

Fields come from a file with a part of a description (-s), or one by one (-D), or
both, the latter counting more. A value of -D is read as JSON where it is any,
else as text. Objects are merged, everything else is replaced as a whole, lists
too. What the fields name on this machine is checked, packed and uploaded as by
` + "`eascmd create`" + `. To take fields away, change the file and use ` + "`eascmd apply`" + `.

It waits until all instances run the new version. With --rollback a service that
does not get there is brought back to the version from before; the exit status is
that of the failure.`,
		Example: `  eascmd modify echo -Dmetadata.instance=10
  eascmd modify echo -Dmetadata.cpu=5 -Dmetadata.rpc.keepalive=10000 --rollback
  eascmd modify echo -s change.json --dry-run
  eascmd modify echo -Dprocessor_path=./echo`,
		Annotations:       exits(fault.Description, fault.Processor, fault.Missing, fault.Remote, fault.Interrupted),
		Args:              needArgs("the name of the service"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cmp.Or(o.waitOptions.check(cmd.Flags().Changed), o.lineOptions.check()); err != nil {
				return err
			}
			if o.rollback && o.noWait {
				return errRollbackUnseen()
			}
			if o.file == "" && len(o.settings) == 0 {
				return fault.New(fault.Usage, "nothing says what to change").
					WithHint("give -D PATH=VALUE or -s FILE; see `%s --help`", cmd.CommandPath())
			}
			return o.run(cmd.Context(), a, args[0])
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&o.file, "service-description", "s", "", "`file` with the part of a description that changes")
	flags.StringArrayVarP(&o.settings, "define", "D", nil, "`PATH=VALUE` of a field that changes; may be given several times")
	o.waitOptions.addFlags(flags)
	flags.BoolVar(&o.rollback, "rollback", false, "bring the version from before back when the new one does not run")
	o.sendOptions.addFlags(flags)
	return cmd
}

func errRollbackUnseen() error {
	return fault.New(fault.Usage, "--rollback and --no-wait exclude each other: who does not wait sees no failure")
}

func (o *modifyOptions) run(ctx context.Context, a *app, name string) error {
	part, err := o.part(ctx)
	if err != nil {
		return err
	}
	target, err := a.target(ctx)
	if err != nil {
		return err
	}
	w := target.Where()
	if err := o.checkPart(a, part, name, w); err != nil {
		return err
	}
	a.announce(w)
	before, err := deploy.Look(ctx, target, name)
	if err != nil {
		return err
	}
	part, uploads, err := o.publishPart(ctx, a, before.Service, part)
	if err != nil {
		return err
	}
	plan, err := deploy.PlanModify(before.Service, part)
	if err != nil {
		return err
	}
	c := &change{waitOptions: o.waitOptions, rollback: o.rollback, dryRun: o.dryRun, before: before, plan: plan, uploads: uploads}
	return c.run(ctx, a, target)
}

// part is what changes, in its normal form.
func (o *modifyOptions) part(ctx context.Context) (json.RawMessage, error) {
	part := json.RawMessage(`{}`)
	if o.file != "" {
		text, err := readSmall(ctx, o.file)
		if err != nil {
			return nil, err
		}
		if part, err = deploy.ParsePart(o.file, text); err != nil {
			return nil, err
		}
	}
	settings, err := deploy.ParseSettings(o.settings)
	if err != nil {
		return nil, err
	}
	return deploy.Merge(part, settings)
}

// readSmall reads a file of JSON. It may be a FIFO, which may never have a writer.
func readSmall(ctx context.Context, path string) ([]byte, error) {
	refuse := func(err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fault.New(fault.Description, "read %s: %w", path, bare(err))
	}
	f, err := openWaiting(ctx, path)
	if err != nil {
		return nil, refuse(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, refuse(errors.New("it is a directory"))
	}
	text, err := readWaiting(ctx, io.LimitReader(f, service.MaxSize+1))
	switch {
	case err != nil:
		return nil, refuse(err)
	case len(text) > service.MaxSize:
		return nil, refuse(fmt.Errorf("it is larger than %s", ui.Bytes(service.MaxSize)))
	}
	return text, nil
}

// checkPart refuses changes of what cannot change, and shows what is noticed in
// the others, such as a name that is misspelt.
func (o *modifyOptions) checkPart(a *app, part json.RawMessage, name string, w deploy.Where) error {
	d, err := service.Options{Partial: true}.Parse("the change", part)
	if err != nil {
		return err
	}
	for _, p := range d.Warnings {
		if p.Severity == service.Warning {
			p.Line, p.Column = 0, 0 // what was parsed is put together of file and flags
			a.term.Warn("%s", ui.Printable(p.Message()))
		}
	}
	if d.Name != "" && d.Name != name {
		return fault.New(fault.Description, "the change is for service %s, not %s: a service's name cannot change", d.Name, name)
	}
	file := o.file
	if file == "" {
		file = "the change"
	}
	return checkRegion(file, d.Metadata.Region, w)
}

// publishPart uploads what a change names on this machine, and returns the
// change with the addresses.
func (o *modifyOptions) publishPart(ctx context.Context, a *app, s *deploy.Service, part json.RawMessage) (json.RawMessage, []source.Upload, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(part, &fields); err != nil {
		return nil, nil, fault.New(fault.Failed, "the change: %w", err)
	}
	var local []string
	for _, field := range []string{"processor_path", "model_path", "warm_up_data_path"} {
		var path string
		if json.Unmarshal(fields[field], &path) == nil && path != "" && localtest.IsLocal(path) {
			local = append(local, field)
		}
	}
	// What the service is to be in the end has to be right as a whole.
	merged, err := deploy.Merge(s.Description, part)
	if err != nil {
		return nil, nil, err
	}
	d, err := service.Options{ForDeploy: true, Published: true, AnyStore: true}.Parse("the changed description", merged)
	if err != nil {
		// The platform may have rules of its own; then it is the one to judge.
		if _, before := (service.Options{ForDeploy: true, AnyStore: true}).Parse("the description", s.Description); before != nil && len(local) == 0 {
			return part, nil, nil
		}
		return nil, nil, unplaced(err)
	}
	if len(local) == 0 {
		return part, nil, nil
	}
	published, err := o.publish(ctx, a, d, "", o.dir())
	if err != nil {
		return nil, nil, err
	}
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(published.Description, &sent); err != nil {
		return nil, nil, fault.New(fault.Failed, "the published description: %w", err)
	}
	for _, field := range local {
		fields[field] = sent[field]
	}
	part, err = json.Marshal(fields)
	if err != nil {
		return nil, nil, fault.New(fault.Failed, "the change: %w", err)
	}
	return part, published.Uploads, nil
}

// dir is where relative paths of the change may start.
func (o *modifyOptions) dir() string {
	if o.file == "" {
		return "."
	}
	return filepath.Dir(o.file)
}

// unplaced takes the lines and columns out of the problems of a description that
// is in no file.
func unplaced(err error) error {
	invalid, ok := errors.AsType[*service.InvalidError](err)
	if !ok {
		return err
	}
	c := *invalid
	c.Problems = nil
	for _, p := range invalid.Problems {
		if p.Severity == service.Error {
			p.Line, p.Column = 0, 0
			c.Problems = append(c.Problems, p)
		}
	}
	return &c
}

// change is a planned change of a service that is there.
type change struct {
	waitOptions
	rollback bool
	dryRun   bool
	before   *deploy.Snapshot
	plan     *deploy.Plan
	uploads  []source.Upload
}

// run carries the change out, waits for what comes of it, and goes back if it
// has to.
func (c *change) run(ctx context.Context, a *app, target deploy.Target) error {
	w := target.Where()
	s := c.before.Service
	result := &deployed{Operation: c.operation(), DryRun: c.dryRun, Service: s.Name, Region: w.Region, Changes: c.plan.Changes, Uploads: c.uploads}
	if c.plan.Scale {
		result.Instances = &c.plan.Instances
	}
	if len(c.plan.Changes) == 0 {
		return c.nothing(ctx, a, target, result)
	}
	a.sayChanges(c.plan.Changes)
	if c.dryRun {
		if !c.plan.Scale {
			result.Description = deploy.Masked(c.plan.Update.Description)
		} else {
			a.term.Info("the number of instances alone changes: the service would be scaled, without a new version")
		}
		return a.print(result)
	}
	reply, err := c.plan.Do(ctx, target, deploy.SettleOptions{})
	if err != nil {
		return err
	}
	result.RequestID = reply.RequestID
	result.take(s)
	result.Intranet, result.Internet, result.Token = "", "", "" // they stay as they are
	if a.output == ui.Table {
		if err := a.print(result); err != nil {
			return err
		}
	}
	if c.plan.Scale {
		a.term.OK("Service [%s] in region [%s] is scaling to %s, without a new version", s.Name, place(w), instancesText(c.plan.Instances))
	} else {
		a.term.OK("Service [%s] in region [%s] is updating", s.Name, place(w))
	}
	failed := c.follow(ctx, a, target, result)
	if a.output != ui.Table {
		if err := a.print(result); err != nil {
			return err
		}
	}
	return failed
}

func (c *change) operation() string {
	switch {
	case len(c.plan.Changes) == 0:
		return "nothing"
	case c.plan.Scale:
		return "scale"
	case c.plan.Update.Replace:
		return "replace"
	}
	return "update"
}

func instancesText(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return strconv.Itoa(n) + " instances"
}

// follow waits for the change.
func (c *change) follow(ctx context.Context, a *app, target deploy.Target, result *deployed) error {
	if c.noWait {
		return nil
	}
	s := c.before.Service
	if s.Status == deploy.Stopped {
		// The change is there when it is started; nothing happens before.
		a.term.Warn("service [%s] is stopped: it will run the change when it is started", s.Name)
		a.term.Hint("`eascmd start %s`", s.Name)
		return nil
	}
	after, failed := a.wait(ctx, target, s.Name, deploy.WaitOptions{Before: c.before, Timeout: c.timeout})
	if after != nil {
		result.Status, result.Version = after.Status, after.CurrentVersion
	}
	result.Failure = infoOf(failed)
	if result.Failure == nil {
		return failed
	}
	if !c.rollback {
		a.term.Hint("the version from before is %d: `eascmd version %s %d` brings it back, and --rollback does so by itself", s.CurrentVersion, s.Name, s.CurrentVersion)
		return failed
	}
	return c.back(ctx, a, target, result, failed)
}

// back brings the version from before back. The failure stays what the command
// ends with.
func (c *change) back(ctx context.Context, a *app, target deploy.Target, result *deployed, failed error) error {
	s := c.before.Service
	a.term.Warn("%s", ui.Printable(failed.Error()))
	a.term.OK("Rolling back service [%s] to version %d", s.Name, s.CurrentVersion)
	f := &follower{term: a.term}
	after, err := deploy.Rollback(ctx, target, c.before, deploy.WaitOptions{Timeout: c.timeout, Observe: f.observe})
	if after != nil {
		result.Status, result.Version = after.Status, after.CurrentVersion
	}
	if err != nil {
		if ctx.Err() != nil {
			a.tellLeft(target.Where(), s.Name, deploy.ToRun)
		}
		return fault.New(fault.KindOf(failed), "%w; rolling back failed as well: %v", failed, err).
			WithHint("`eascmd versions %s` lists what there is, `eascmd version %s NUMBER` switches", s.Name, s.Name)
	}
	result.RolledBack = true
	a.term.OK("Version %d of service [%s] runs again", after.CurrentVersion, s.Name)
	return fault.New(fault.KindOf(failed), "%w; version %d runs again", failed, after.CurrentVersion)
}

// nothing ends a change without differences. A service that is still on its way
// is waited for, so that an interrupted command can be given again; one that has
// failed is still a failure.
func (c *change) nothing(ctx context.Context, a *app, target deploy.Target, result *deployed) error {
	s := c.before.Service
	a.term.OK("Service [%s] in region [%s] is as described: there is nothing to change", s.Name, place(target.Where()))
	result.Status, result.Version = s.Status, s.CurrentVersion
	var failed error
	switch {
	case c.dryRun || c.noWait:
	case s.Status == deploy.Stopped:
		a.term.Warn("service [%s] is stopped", s.Name)
		a.term.Hint("`eascmd start %s`", s.Name)
	case s.Status == deploy.Running && s.PendingInstances == 0:
	default:
		var after *deploy.Service
		after, failed = a.wait(ctx, target, s.Name, deploy.WaitOptions{Since: s.UpdateTime, Timeout: c.timeout})
		if after != nil {
			result.Status, result.Version = after.Status, after.CurrentVersion
		}
		result.Failure = infoOf(failed)
	}
	if err := a.print(result); err != nil {
		return err
	}
	return failed
}
