package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/engine/child"
	"github.com/openeas/eascmd/pkg/engine/docker"
	"github.com/openeas/eascmd/pkg/engine/process"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

type serveOptions struct {
	events     string
	lifeline   bool
	planFD     int
	runtimeDir string

	privateRoot string
	image       string
	connect     string
}

func newServeCommand(a *app) *cobra.Command {
	opts := serveOptions{planFD: -1}
	cmd := &cobra.Command{
		Use:     "serve [PLAN]",
		GroupID: groupDevelop,
		Short:   "Run a service from its run plan",
		Long: `Runs a service in the foreground from a run plan: the gateway listens, the
workers load the processor, requests are answered. PLAN is a file, or - for
standard input, which is also what is read without an argument. This is what
every engine starts, and what an image of a service runs.

"eascmd test --keep --print-plan" prints a plan and keeps the workspace that it
names; its token is masked and has to be written anew, or removed.

SIGTERM and SIGINT drain the service: it takes no new requests, answers those it
has, and ends; a second one ends it at once. With --lifeline it also ends, after
a short drain, when standard input ends: whoever started it holds the other end.
A plan that comes on standard input too is then its first line.

With --events json every event is one JSON object a line on standard output;
with text, what happens is told on standard error: where it listens, when it is
ready, the processor's output.`,
		Example: `  eascmd test service.json --keep --print-plan | sed 's/\*\*\*\*/my-token/' > plan.json
  eascmd serve plan.json`,
		Annotations: exits(fault.Description, fault.Processor, fault.Interrupted),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fault.New(fault.Usage, "there is an argument too many: %q", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "-"
			if len(args) > 0 {
				path = args[0]
			}
			return opts.run(cmd.Context(), a, path)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.events, "events", "text", "how events are told: json or text")
	flags.BoolVar(&opts.lifeline, "lifeline", false, "end when standard input ends")
	flags.StringVar(&opts.runtimeDir, "runtime-dir", "", "make sockets in this `directory` (default: one of the run's own)")
	flags.IntVar(&opts.planFD, "plan-fd", -1, "read the plan from this open file `descriptor`")
	flags.StringVar(&opts.privateRoot, "private-root", "", "have the workspace at the absolute paths of EAS")
	flags.StringVar(&opts.image, "image", "", "the `name` of the image that this runs in: check the processor and find its host here")
	flags.StringVar(&opts.connect, "connect", "", "pass the connections that come through standard input and output on to this `address` of the container")
	for _, name := range []string{"plan-fd", "private-root", "image", "connect"} {
		_ = flags.MarkHidden(name)
	}
	return cmd
}

func (o *serveOptions) run(ctx context.Context, a *app, path string) error {
	if o.connect != "" {
		return docker.PassOn(ctx, o.connect, a.term.In, a.term.Out)
	}
	if o.privateRoot != "" {
		if err := process.EnterPrivateRoot(o.privateRoot, o.runtimeDir); err != nil {
			return err
		}
	}
	child.SealDescriptors()
	if o.events != "json" && o.events != "text" {
		return fault.New(fault.Usage, "--events %s: events are told as json or text", o.events)
	}
	runOptions := child.Options{RuntimeDir: o.runtimeDir}
	in := bufio.NewReader(a.term.In)
	if o.lifeline {
		runOptions.Lifeline = in
	}
	if o.image != "" {
		runOptions.Prepare = func(ctx context.Context, plan *runplan.Plan, emit func(event.Event)) error {
			r := imageRun{plan: plan, place: "the image " + o.image, cacheDir: o.runtimeDir, emit: emit}
			return r.prepare(ctx)
		}
	}
	plan, err := o.readPlan(in, path)
	if err != nil {
		return err
	}
	limitGarbage(plan)
	runOptions.Emit = child.Writer(a.term.Out)
	if o.events == "text" {
		runOptions.Emit = a.tellServed(plan.Name)
	}
	if o.runtimeDir == "" {
		// A run of its own: it cleans up after itself, and the next one cleans up
		// after it should it be killed.
		root, err := rundir.Runtime()
		if err != nil {
			return err
		}
		dir, err := root.New()
		if err != nil {
			return err
		}
		defer dir.Close()
		runOptions.RuntimeDir = dir.Path()
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Run(ctx, plan, runOptions) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	second, stop := again()
	defer stop()
	select {
	case err := <-ended:
		return err
	case <-second: // the workers end with us
		a.term.Warn(cutOff)
		return fault.New(fault.Interrupted, "interrupted")
	}
}

func (o *serveOptions) readPlan(stdin *bufio.Reader, path string) (*runplan.Plan, error) {
	explain := func(plan *runplan.Plan, err error) (*runplan.Plan, error) {
		if err != nil {
			return nil, fault.New(fault.Description, "%w", err).
				WithHint("`eascmd test service.json --print-plan` prints a plan that this version reads")
		}
		return plan, nil
	}
	var in io.Reader
	switch {
	case o.planFD >= 0:
		f := os.NewFile(uintptr(o.planFD), "run plan")
		if f == nil {
			return nil, fault.New(fault.Usage, "--plan-fd %d is no descriptor", o.planFD)
		}
		defer f.Close()
		in = f
	case path == "-" && o.lifeline:
		return explain(runplan.ReadLine(stdin))
	case path == "-":
		in = stdin
	default:
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil, fault.New(fault.Description, "read run plan: %s does not exist", path).
				WithHint("`eascmd test service.json --print-plan` prints one")
		}
		if err != nil {
			return nil, fault.New(fault.Description, "read run plan: %w", err)
		}
		defer f.Close()
		in = f
	}
	return explain(runplan.Read(in))
}

// limitGarbage has garbage collected earlier where it would otherwise make the
// program much larger than the bodies that it may hold.
func limitGarbage(plan *runplan.Plan) {
	const everythingElse = 128 << 20
	limit := plan.Gateway.BodyMemory/2*3 + everythingElse
	if plan.Worker.Cgroup == runplan.OwnCgroup {
		// The processor's memory is what counts: garbage of ours is not to take
		// more than a quarter of it.
		limit = min(limit, plan.Worker.MemoryMB<<20/4)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}
