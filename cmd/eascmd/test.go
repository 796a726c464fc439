package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/engine"
	"github.com/openeas/eascmd/pkg/engine/docker"
	"github.com/openeas/eascmd/pkg/engine/gpu"
	"github.com/openeas/eascmd/pkg/engine/hosts"
	"github.com/openeas/eascmd/pkg/localtest"
	"github.com/openeas/eascmd/pkg/localtest/check"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/service"
	"github.com/openeas/eascmd/pkg/serving/event"
	"github.com/openeas/eascmd/pkg/store"
	"github.com/openeas/eascmd/pkg/ui"
)

type testOptions struct {
	engine      string
	host        string
	port        int
	workers     int
	threads     int
	timeout     time.Duration
	loadTimeout time.Duration
	env         []string
	keep        bool
	data        string
	given       func(flag string) bool // on the command line or by its variable
	bodyLimit   byteSize
	bodyMemory  byteSize
	printPlan   bool

	image     string
	baseImage string
	gpus      string
	writable  bool
	copyFiles bool
	detach    bool
	list      bool
	stopName  string
}

func newTestCommand(a *app) *cobra.Command {
	var opts testOptions
	cmd := &cobra.Command{
		Use:     "test SERVICE.JSON | --list | --stop NAME",
		GroupID: groupDevelop,
		Short:   "Run a service on this machine",
		Long: `Runs the service that a description describes on this machine: fetches model and
processor into a workspace, checks the processor, loads it as EAS does, prints
the endpoint and the token, and then shows the processor's output until Ctrl-C,
which drains the service and removes all that was started.

Relative paths in the description start at the current directory, or else at the
description's; oss://, s3:// and http(s):// addresses are fetched, with the
credentials of the profile where a store asks for them. A local directory is linked and never copied. On Linux the
workspace is also at /eas/workspace and /home/admin/docker_ml/workspace where
the system permits a private view of the file system.

The service runs in a process (--engine process) or in a container of a Docker
Engine (--engine docker), in which nothing of this machine is visible but model,
processor and workspace; --engine auto takes Docker where a daemon answers. The
container's image is built at first use, or named with --image. With --detach it
goes on when this program has ended: --list shows such services and --stop ends
them.

With --data one request is posted: the answer's body, whatever its status, and
nothing else goes to standard output.

Ctrl-C after the service was ready is its regular end, with exit status 0; a
second one cuts off the requests in flight, with exit status 130.`,
		Example: `  eascmd test service.json
  eascmd test service.json --port 8080 --env OMP_NUM_THREADS=2
  eascmd test service.json --data 'hello world'
  eascmd test service.json --data @request.json > answer.json
  eascmd test service.json --engine docker --gpus all
  eascmd test service.json --engine docker --detach && eascmd test --list`,
		Annotations: exits(fault.Failed, fault.Usage, fault.Description, fault.Processor, fault.Answer, fault.Missing, fault.Remote, fault.Interrupted),
		Args: func(cmd *cobra.Command, args []string) error {
			if opts.list || cmd.Flags().Changed("stop") {
				return noArgs(cmd, args)
			}
			return needDescription(cmd, args)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"json"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.given = cmd.Flags().Changed
			switch {
			case opts.list && opts.given("stop"):
				return fault.New(fault.Usage, "--list and --stop exclude each other")
			case opts.list:
				return listServices(cmd.Context(), a)
			case opts.given("stop"):
				return stopService(cmd.Context(), a, opts.stopName)
			}
			return opts.run(cmd.Context(), a, args[0])
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opts.data, "data", "", "post `BODY` once, print the answer and end; @FILE reads a file, - standard input")
	flags.StringVar(&opts.engine, "engine", "", "where the service runs: process, docker or auto (default process on Linux, docker elsewhere)")
	flags.StringVar(&opts.host, "host", "127.0.0.1", "`address` to listen on")
	flags.IntVar(&opts.port, "port", 0, "`port` to listen on; 0 is a free one")
	flags.IntVar(&opts.workers, "workers", 1, "worker processes, each with a model of its own")
	flags.IntVar(&opts.threads, "threads", 0, "calls of the processor at the same time in one worker (default rpc.worker_threads)")
	flags.DurationVar(&opts.timeout, "timeout", 0, "longest `time` of a request, then 408 (default rpc.keepalive)")
	flags.DurationVar(&opts.loadTimeout, "load-timeout", 0, "longest `time` of loading the model (default no limit)")
	flags.StringArrayVar(&opts.env, "env", nil, "`NAME=VALUE` for the processor; may be given several times")
	flags.Var(&opts.bodyLimit, "body-limit", "longest request body, such as 64MiB, then 413 (default 128MiB)")
	flags.Var(&opts.bodyMemory, "body-memory", "memory for the bodies of all requests, such as 1GiB (default 512MiB)")
	flags.BoolVar(&opts.keep, "keep", false, "keep the workspace")
	flags.BoolVar(&opts.printPlan, "print-plan", false, "print the run plan, with the token masked, and end; with --keep that of the process engine can be run")
	flags.StringVar(&opts.gpus, "gpus", "", "`GPUs` for the processor: all, a number, 0,1 or none (default what the description asks for)")
	flags.StringVar(&opts.image, "image", "", "run in this `image` (docker)")
	flags.StringVar(&opts.baseImage, "base-image", "", "`image` that the one to run in is built on (docker; default debian:12-slim)")
	flags.BoolVar(&opts.writable, "writable", false, "let the processor write to its own directory on this machine (docker)")
	flags.BoolVar(&opts.copyFiles, "copy", false, "copy the files to the daemon even where it sees them (docker)")
	flags.BoolVar(&opts.detach, "detach", false, "leave the service running and end (docker)")
	flags.BoolVar(&opts.list, "list", false, "list the services that run on the Docker engine")
	flags.StringVar(&opts.stopName, "stop", "", "end the service or container of this `name`")
	_ = cmd.RegisterFlagCompletionFunc("stop", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return runningNames(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.RegisterFlagCompletionFunc("gpus", completeWords(func() []string { return []string{"all", "none"} }))
	_ = cmd.RegisterFlagCompletionFunc("engine", completeWords(func() []string { return []string{"process", "docker", "auto"} }))
	return cmd
}

func (o *testOptions) run(ctx context.Context, a *app, path string) error {
	overrides, err := o.overrides()
	if err != nil {
		return err
	}
	data, err := o.openData(ctx, a)
	if err != nil {
		return err
	}
	if data != nil {
		defer data.Close()
	}
	if path == "-" {
		return fault.New(fault.Usage, "the service description is not read from standard input").
			WithHint("write it to a file: paths in it may start at its directory")
	}
	d, err := service.Load(path)
	if err != nil {
		return err
	}
	a.showProblems(d)
	o.warnAbout(a, d)
	gpus, err := gpu.Choose(o.gpus, o.given("gpus"), d)
	if err != nil {
		return err
	}
	daemon, err := o.chooseEngine(ctx, a)
	if err != nil {
		return err
	}
	if daemon != nil {
		defer daemon.Close()
	}
	// Before minutes are spent on a model.
	if daemon == nil || daemon.Local() {
		if err := localtest.CheckPort(o.host, o.port); err != nil {
			return err
		}
	}

	t := &testRun{app: a, options: o, description: d, overrides: overrides, path: path, daemon: daemon, gpus: gpus}
	defer t.close()
	if err := t.prepare(ctx); err != nil {
		return err
	}
	if o.printPlan {
		return t.plan.Masked().Write(a.term.Out)
	}
	return t.serve(ctx, data)
}

// Limits of flags. That of the threads is the description's; that of the workers
// is far above what a machine has room for and below what would bring it down;
// that of a body is what the processor's input_size, an int, can tell.
const (
	maxThreads = 4096
	maxWorkers = 256
	maxBody    = math.MaxInt32
)

func (o *testOptions) overrides() (runplan.Overrides, error) {
	usage := func(format string, args ...any) (runplan.Overrides, error) {
		return runplan.Overrides{}, fault.New(fault.Usage, format, args...)
	}
	tooSmall := func(format string, args ...any) (runplan.Overrides, error) {
		return runplan.Overrides{}, fault.New(fault.Usage, format, args...).WithHint("leave the flag out for the default")
	}
	switch o.engine {
	case "process", "docker", "auto", "":
	default:
		return usage("--engine %s: the engines are process and docker, or auto", o.engine)
	}
	switch {
	case o.detach && o.given("data"):
		return usage("--detach leaves the service running and --data ends it: give one of them")
	case o.image != "" && o.baseImage != "":
		return usage("--image is used as it is and --base-image is what one is built on: give one of them")
	case o.port < 0 || o.port > 65535:
		return usage("--port %d: a port lies between 0 and 65535", o.port)
	case o.workers < 1:
		return tooSmall("--workers %d: at least 1 is needed", o.workers)
	case o.workers > maxWorkers:
		return usage("--workers %d: at most %d, each is a process with a model of its own", o.workers, maxWorkers)
	case o.given("threads") && o.threads < 1:
		return tooSmall("--threads %d: at least 1 is needed", o.threads)
	case o.threads > maxThreads:
		return usage("--threads %d: at most %d, as for rpc.worker_threads", o.threads, maxThreads)
	case o.given("timeout") && o.timeout <= 0:
		return tooSmall("--timeout %v: it has to be longer than 0", o.timeout)
	case o.given("load-timeout") && o.loadTimeout <= 0:
		return tooSmall("--load-timeout %v: it has to be longer than 0", o.loadTimeout)
	case o.bodyLimit > maxBody:
		return usage("--body-limit %d: at most %d bytes, which is what a processor's input_size can tell", o.bodyLimit, maxBody)
	}
	result := runplan.Overrides{
		Host: o.host, Port: o.port, Workers: o.workers, Threads: o.threads,
		KeepAlive: o.timeout, LoadTimeout: o.loadTimeout,
		BodyLimit: int64(o.bodyLimit), BodyMemory: int64(o.bodyMemory),
	}
	for _, v := range o.env {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return usage("--env %s: a variable is written NAME=VALUE", v)
		}
		result.Env = append(result.Env, runplan.Env{Name: name, Value: value})
	}
	return result, nil
}

// requestBody is the body of the one request of --data.
type requestBody struct {
	io.ReadCloser
	size int64 // negative where it is not known
}

// openData opens what --data names, before anything is started for it.
func (o *testOptions) openData(ctx context.Context, a *app) (*requestBody, error) {
	switch {
	case !o.given("data"):
		return nil, nil
	case o.data == "-":
		return &requestBody{io.NopCloser(a.term.In), -1}, nil
	case strings.HasPrefix(o.data, "@"):
		return openBody(ctx, o.data[1:])
	default:
		return &requestBody{io.NopCloser(strings.NewReader(o.data)), int64(len(o.data))}, nil
	}
}

// openBody opens a file that is to be posted.
func openBody(ctx context.Context, name string) (*requestBody, error) {
	refuse := func(err error) error {
		if name == "" {
			err = errors.New("the name of the file is missing")
		}
		return fault.New(fault.Usage, "--data @%s: %w", name, err).
			WithHint("@FILE posts the content of a file; a body that begins with @ can come from standard input: --data -")
	}
	f, err := openWaiting(ctx, name)
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		return nil, refuse(bare(err))
	}
	info, err := f.Stat()
	switch {
	case err == nil && info.IsDir():
		err = errors.New("it is a directory")
		fallthrough
	case err != nil:
		f.Close()
		return nil, refuse(bare(err))
	case info.Mode().IsRegular() && info.Size() > 0: // 0 is also what /proc says
		return &requestBody{f, info.Size()}, nil
	}
	return &requestBody{f, -1}, nil
}

// openWaiting opens a file. To open a FIFO waits for its writer, which nothing
// can interrupt: when ctx ends the wait is left to itself.
func openWaiting(ctx context.Context, name string) (*os.File, error) {
	type opened struct {
		*os.File
		error
	}
	done := make(chan opened)
	go func() {
		f, err := os.Open(name)
		select {
		case done <- opened{f, err}:
		case <-ctx.Done():
			if err == nil {
				f.Close()
			}
		}
	}()
	select {
	case o := <-done:
		return o.File, o.error
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// bare takes the operation and the path off an error about a file, for a
// message that names them in its own way.
func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// needDescription accepts the one argument of test, and suggests the usual one
// where it is missing.
func needDescription(cmd *cobra.Command, args []string) error {
	err := needArgs("SERVICE.JSON")(cmd, args)
	if len(args) > 0 {
		return err
	}
	for _, name := range []string{"service.json", "app.json"} {
		if info, statErr := os.Stat(name); statErr == nil && info.Mode().IsRegular() {
			return fault.New(fault.Usage, "%w", err).WithHint("did you mean `%s %s`?", cmd.CommandPath(), name)
		}
	}
	return err
}

// warnAbout tells what of a description and its flags is dangerous.
func (o *testOptions) warnAbout(a *app, d *service.Description) {
	if ip := net.ParseIP(o.host); d.Token == "" && !d.GenerateToken && o.host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		a.term.Warn("everybody who can reach %s may call this service: it has no token", o.host)
		a.term.Hint("give it a token, or leave out generate_token: false")
	}
}

// testRun is one run of the command.
type testRun struct {
	*app
	options     *testOptions
	description *service.Description
	overrides   runplan.Overrides
	path        string
	daemon      *docker.Daemon // nil: the process engine
	gpus        gpu.Request

	dir       *rundir.Dir // nil: one that nothing removes by itself
	workspace *localtest.Prepared
	plan      *runplan.Plan
	report    check.Report
	python    containerPython
}

func (t *testRun) close() {
	if t.dir == nil {
		return
	}
	if err := t.dir.Close(); err != nil {
		t.term.Warn("the workspace could not be removed: %v", err)
	}
}

// prepare makes the workspace and the plan and, where it can be done here,
// checks the processor.
func (t *testRun) prepare(ctx context.Context) error {
	parent, err := t.makeDir()
	if err != nil {
		return err
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	t.workspace, err = localtest.Prepare(ctx, t.description, localtest.Options{
		Dir:            parent,
		DescriptionDir: filepath.Dir(t.path),
		CacheDir:       filepath.Join(cache, "downloads"),
		CABundle:       t.caBundle,
		Store:          func() (store.Options, error) { return t.storeOptions(ctx) },
		Container:      t.daemon != nil,
		Writable:       t.options.writable,
		Step:           func(text string) { t.term.OK("%s", ui.Printable(text)) },
		Warn:           t.warnWith,
		Progress:       t.progress,
	})
	if err != nil {
		return err
	}
	if t.options.keep {
		t.term.Info("the workspace is kept: %s", t.workspace.Dir)
		t.term.Hint("remove it with: rm -rf %s", filepath.Dir(t.workspace.Dir))
	}
	container := ""
	if t.daemon != nil {
		container = docker.Workspace
	}
	if t.plan, err = t.workspace.Plan(t.description, container, t.overrides); err != nil {
		return err
	}
	if t.daemon != nil {
		return t.useEnvironment(ctx)
	}
	return t.prepareProcess(ctx, cache)
}

// prepareProcess does what the process engine needs to be done here: the rest
// of the plan.
func (t *testRun) prepareProcess(ctx context.Context, cache string) error {
	if err := t.useCUDA(); err != nil {
		return err
	}
	var err error
	t.report, err = localtest.Check(ctx, t.plan, "")
	t.showReport()
	if err != nil {
		return err
	}
	t.term.OK("Checked processor [%s]", t.processorName())
	if err := t.useGPUs(ctx); err != nil {
		return err
	}
	host, err := localtest.FindHost(ctx, t.plan, hosts.Options{CacheDir: cache, Log: func(text string) { t.term.Info("%s", text) }})
	if err != nil {
		return err
	}
	switch {
	case host.Python != nil:
		t.warnOfPython(host.Python)
	case host.Java != nil:
		t.term.Info("java %s", host.Java)
		for _, note := range host.Java.Notes {
			t.warnWith(note.Text, note.Hint)
		}
	}
	return nil
}

// processorName is what the processor is called in messages: its main file, or of
// one in Java its class.
func (t *testRun) processorName() string {
	if t.description.ProcessorType == "java" {
		return t.description.ProcessorMainClass
	}
	return path.Clean(t.description.ProcessorEntry)
}

// warnOfPython warns of a Python that the processor will not have on EAS.
func (t *testRun) warnOfPython(python *localtest.Python) {
	switch image := t.description.DataImage; {
	case python.Own:
	case image != "":
		t.warnWith(fmt.Sprintf("the environment of data_image [%s] is not used by the process engine: the processor is run with the Python of this machine, %s (%s)",
			image, python.Path, python.From), "run it in the image: --engine docker")
	default:
		t.warnWith(fmt.Sprintf("the processor has no ENV: it is run with the Python of this machine, %s (%s)", python.Path, python.From),
			"`eascmd pysdk init` makes a project with an ENV that goes into its package, and with --env-only one for this project")
	}
}

func (t *testRun) warnWith(text, hint string) {
	t.term.Warn("%s", ui.Printable(text))
	if hint != "" {
		t.term.Hint("%s", ui.Printable(hint))
	}
}

func (t *testRun) progress(label string) (func(done, total int64), func()) {
	p := t.term.Progress(label)
	return p.Update, p.Done
}

// makeDir makes the directory that the workspace is made in.
func (t *testRun) makeDir() (string, error) {
	root, err := rundir.Temporary()
	if err != nil {
		return "", err
	}
	if t.options.keep {
		return root.NewKept()
	}
	if t.dir, err = root.New(); err != nil {
		return "", err
	}
	return t.dir.Path(), nil
}

// cacheDir is where downloads and built hosts are kept.
func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fault.New(fault.Missing, "no place for a cache: %w", err).WithHint("set HOME or XDG_CACHE_HOME")
	}
	// The workers are started elsewhere, and links lead there.
	if dir, err = filepath.Abs(filepath.Join(dir, "eascmd")); err != nil {
		return "", fault.New(fault.Failed, "find the cache: %w", err)
	}
	return dir, nil
}

// workspacePath is the check's code for a path that only EAS has. Where a
// private root gives the processor these paths there is nothing to say.
const workspacePath = "workspace-path"

func (t *testRun) showReport() {
	for _, p := range t.report.Problems {
		switch {
		case p.Severity == check.Warning:
			t.term.Warn("%s: %s", t.processorName(), ui.Printable(p.Text))
			if p.Hint != "" {
				t.term.Hint("%s", ui.Printable(p.Hint))
			}
		case p.Severity == check.Note && p.Code != workspacePath:
			t.term.Debug("%s: %s", t.processorName(), ui.Printable(p.Text))
		}
	}
}

// withoutPrivateRoot warns of the paths that the processor names and that do
// not exist here.
func (t *testRun) withoutPrivateRoot(reason error) {
	t.term.Debug("the workspace is not at the absolute paths of EAS: %v", reason)
	for _, p := range t.report.Problems {
		if p.Code == workspacePath {
			text := t.processorName() + ": " + p.Text
			if t.plan.Language == "python" {
				text = p.Text // it names file and line
			}
			t.term.Warn("%s", ui.Printable(text))
			t.term.Hint("%s", ui.Printable(p.Hint))
		}
	}
}

// serve runs the plan until the user ends it, or until its one request is
// answered.
func (t *testRun) serve(ctx context.Context, data *requestBody) error {
	run, err := t.engine(ctx).Start(ctx, t.plan)
	if err != nil {
		return err
	}
	var (
		ready    bool
		posted   bool // the one request has got its answer, or none
		outcome  error
		answered = make(chan error, 1)
		pending  <-chan error // answered, while the one request is under way
		ended    = ctx.Done()
		second   <-chan os.Signal
		cut      bool // by a second signal
		left     bool // to itself
		started  = time.Now()
	)
	events := run.Events()
	for events != nil {
		select {
		case e, more := <-events:
			switch {
			case !more:
				events = nil
			case e.Type == event.Ready && data != nil:
				ready = true
				pending = answered
				go func() { answered <- t.post(ctx, run, data) }()
			case e.Type == event.Ready:
				ready = true
				if t.options.detach {
					outcome = canLeave(run)
				}
				if outcome == nil {
					outcome = t.showService(run, e)
				}
				if outcome == nil && t.options.detach {
					outcome = t.leave(run)
					left = outcome == nil
				}
				if outcome != nil {
					go t.stop(run)
				}
			case data != nil && ready && e.Type != event.Log && e.Type != event.Warning:
				// The answer tells what became of the one request, a crash included.
			default:
				t.tell(e)
			}
		case outcome = <-pending:
			pending = nil
			posted = true
			go t.stop(run)
		case <-ended:
			ended = nil
			var stop func()
			second, stop = again()
			defer stop()
			go t.stop(run)
		case <-second:
			second, cut = nil, true
			go run.Close()
		}
	}
	if cut {
		t.term.Warn(cutOff)
	}
	err = run.Wait()
	if closeErr := run.Close(); err == nil {
		err = closeErr
	}
	if pending != nil && err == nil {
		// The service ended in order, with the answer on its way to us.
		select {
		case outcome = <-pending:
			posted = true
		case <-ctx.Done():
		}
	}
	switch {
	case left:
		return err
	case cut, ctx.Err() != nil && (!ready || data != nil):
		return fault.New(fault.Interrupted, "interrupted")
	case outcome != nil && err != nil && connectionFailed(outcome):
		return err // why there was no answer
	case outcome != nil:
		return outcome
	case err == nil && data != nil && !posted:
		return fault.New(fault.Answer, "the service ended before it could be asked")
	case err != nil && !ready:
		return t.notReady(err, time.Since(started))
	}
	return err
}

// connectionFailed reports whether a request failed for its connection, and not
// by an answer.
func connectionFailed(err error) bool {
	_, failed := errors.AsType[*url.Error](err)
	return failed
}

// notReady adds to why a service did not get ready, after so long, that
// somebody has limited the time for it.
func (t *testRun) notReady(err error, after time.Duration) error {
	limit := t.options.loadTimeout
	if limit == 0 || after < limit || fault.KindOf(err) != fault.Processor || fault.HintOf(err) != "" {
		return err
	}
	return fault.New(fault.Processor, "%w", err).
		WithHint("--load-timeout gives it %v to load the model; raise it, or leave it out for no limit", limit)
}

// How long a drain may take: the plan's grace time and a margin, or, when the
// one request of --data has been answered and nobody waits for anything, just
// enough for the processor to end in order.
const (
	stopMargin  = 5 * time.Second
	idleStopMax = time.Second
)

func (t *testRun) stop(run engine.Run) {
	longest := time.Duration(t.plan.Worker.GraceMS)*time.Millisecond + stopMargin
	if t.options.given("data") {
		longest = idleStopMax
	}
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	_ = run.Stop(ctx) // Wait tells how the run ended
}

// post posts the one request of --data.
func (t *testRun) post(ctx context.Context, run engine.Run, data *requestBody) error {
	url := localtest.PredictURL(run.Endpoint(), t.plan.Name)
	out := &lastByte{w: t.term.Out, last: '\n'}
	err := localtest.Post(ctx, url, t.plan.Gateway.Token, data, data.size, out)
	if t.term.OutTTY && t.term.ErrTTY && out.last != '\n' {
		fmt.Fprintln(t.term.Err) // the answer itself stays as it is
	}
	return err
}

// lastByte remembers how what was written ended.
type lastByte struct {
	w    io.Writer
	last byte
}

func (l *lastByte) Write(p []byte) (int, error) {
	n, err := l.w.Write(p)
	if n > 0 {
		l.last = p[n-1]
	}
	return n, err
}

// showService tells how the service is reached.
func (t *testRun) showService(run engine.Run, ready event.Event) error {
	endpoint := localtest.PredictURL(run.Endpoint(), t.plan.Name)
	if u, err := url.Parse(endpoint); err == nil {
		t.term.OK("Serving at: [http://%s%s]", net.JoinHostPort(localName(u.Hostname()), u.Port()), u.Path)
	}
	result := runningService{
		Endpoint: endpoint, Token: t.plan.Gateway.Token, LoadingMS: ready.ElapsedMS,
		Engine: "process", Workspace: t.workspace.Dir,
	}
	if p, ok := run.(interface{ PID() int }); ok {
		result.PID = p.PID()
	}
	if c, ok := run.(*docker.Run); ok {
		result.Engine, result.Container = "docker", c.Container()
	}
	if err := t.print(result); err != nil {
		return err
	}
	authorization := ""
	if t.plan.Gateway.Token != "" {
		authorization = " -H 'Authorization: " + t.plan.Gateway.Token + "'"
	}
	t.term.Info("call it:  curl %s%s %s", endpoint, authorization, exampleBody(t.path))
	if t.options.detach {
		return nil
	}
	t.term.Info("end it:   Ctrl-C")
	return nil
}

// exampleBody is what to send a service as curl takes it: the request.txt beside
// its description, or a request of another kind, where there is one.
func exampleBody(description string) string {
	dir := filepath.Dir(description)
	for _, name := range []string{"request.txt", "request.json", "request.jpg"} {
		request := filepath.Join(dir, name)
		if info, err := os.Stat(request); err == nil && info.Mode().IsRegular() {
			return "--data-binary @" + shellQuote(request)
		}
	}
	return "-d 'hello'"
}

// localName is the name by which the original calls this machine.
func localName(host string) string {
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return "localhost"
	}
	return host
}

// runningService is the result of test.
type runningService struct {
	Endpoint  string `json:"endpoint"`
	Token     string `json:"token"` // empty: anybody may call
	LoadingMS int64  `json:"loadingMs"`
	Engine    string `json:"engine"`
	PID       int    `json:"pid,omitempty"`       // of the process that serves
	Container string `json:"container,omitempty"` // that serves
	Workspace string `json:"workspace"`
}

func (r runningService) View() ui.View {
	token := r.Token
	if token == "" {
		token = "(none: anybody may call)"
	}
	details := ui.Details{
		{Key: "Endpoint", Value: r.Endpoint},
		{Key: "Token", Value: token},
		{Key: "Loading time", Value: shortDuration(r.LoadingMS)},
	}
	if r.Container != "" {
		details = append(details, ui.Detail{Key: "Container", Value: r.Container})
	}
	return details
}
