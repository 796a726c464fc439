// Package onengine runs the instances of a control plane on an engine of this
// machine: each is a run of its own, with a workspace of its own.
package onengine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/controlplane"
	"github.com/openeas/eascmd/pkg/engine"
	"github.com/openeas/eascmd/pkg/engine/docker"
	"github.com/openeas/eascmd/pkg/engine/hosts"
	"github.com/openeas/eascmd/pkg/engine/process"
	"github.com/openeas/eascmd/pkg/localtest"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/service"
	"github.com/openeas/eascmd/pkg/serving/event"
	"github.com/openeas/eascmd/pkg/store"
)

// Options say where instances run and how their files come here. CacheDir must
// be set.
type Options struct {
	// CacheDir holds downloads and built hosts.
	CacheDir string
	CABundle string // a PEM file with certificate authorities, or empty

	// Fetch brings what lies at an address of an object store to this machine,
	// and returns the path of the file, or of the directory where the address
	// ends in a slash. It is not asked for file:// addresses.
	Fetch func(ctx context.Context, address string) (path string, err error)

	// Daemon is the Docker Engine that instances run on; nil is the process
	// engine. Base is what their image is built on, empty for the usual one.
	// Version is that of the running eascmd, which a daemon with another CPU needs
	// to know.
	Daemon  *docker.Daemon
	Base    string
	Version string

	// Executable is the program that has the command serve; empty means the
	// running one.
	Executable string
}

// New returns a runner.
func New(opts Options) controlplane.Runner { return &runner{opts} }

type runner struct{ opts Options }

var _ controlplane.Chooser = (*runner)(nil)

// Accept refuses what runs on EAS only.
func (r *runner) Accept(d *service.Description) error { return localtest.Runnable(d) }

// Run prepares a workspace, starts an engine on it and follows that.
func (r *runner) Run(ctx context.Context, spec controlplane.Spec, report func(controlplane.Report)) error {
	in := &instance{runner: r, spec: spec, report: report}
	err := in.run(ctx)
	if in.dir != nil {
		if closeErr := in.dir.Close(); closeErr != nil && err == nil {
			err = closeErr
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// instance is one run.
type instance struct {
	*runner
	spec   controlplane.Spec
	report func(controlplane.Report)
	dir    *rundir.Dir
	work   *localtest.Prepared
	plan   *runplan.Plan
	last   *controlplane.LastState // how the latest worker ended
	begun  time.Time               // of the worker that goes on
}

func (in *instance) run(ctx context.Context) error {
	if err := in.prepare(ctx); err != nil {
		return in.unprepared(err)
	}
	e, err := in.engine(ctx)
	if err != nil {
		return in.unprepared(err)
	}
	in.begun = time.Now()
	run, err := e.Start(ctx, in.plan)
	if err != nil {
		return in.unprepared(err)
	}
	err = in.follow(ctx, run)
	if closeErr := run.Close(); err == nil && closeErr != nil {
		err = closeErr
	}
	return err
}

func (in *instance) step(text string) {
	in.report(controlplane.Report{Kind: controlplane.Step, Text: text})
}

func (in *instance) line(text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		in.report(controlplane.Report{Kind: controlplane.Line, Text: line})
	}
}

// unprepared is the failure of an instance that never ran. Why is in its log
// too, where it is looked for.
func (in *instance) unprepared(err error) error {
	if already, ok := errors.AsType[*controlplane.Failure](err); ok {
		in.line("[ERROR] " + already.Message)
		return already
	}
	in.line("[ERROR] " + err.Error())
	f := &controlplane.Failure{Reason: "PROCESSOR_INVALID", Waiting: "CreateContainerError", Message: err.Error(), Final: true}
	if fault.KindOf(err) == fault.Missing {
		f.Reason = "RESOURCE_INSUFFICIENT"
	}
	return f
}

// prepare makes the workspace and the plan.
func (in *instance) prepare(ctx context.Context) error {
	root, err := rundir.Temporary()
	if err != nil {
		return err
	}
	if in.dir, err = root.New(); err != nil {
		return err
	}
	description, err := in.fetch(ctx)
	if err != nil {
		return &controlplane.Failure{
			Reason: "DOWNLOAD_FAILED", Waiting: "ArtifactDownloadFailed", Final: true,
			Message: "Failed to download artifacts: " + err.Error(),
		}
	}
	in.work, err = localtest.Prepare(ctx, description, localtest.Options{
		Dir:       in.dir.Path(),
		CacheDir:  filepath.Join(in.opts.CacheDir, "downloads"),
		CABundle:  in.opts.CABundle,
		Container: in.opts.Daemon != nil,
		Step:      in.prepared,
		Warn:      func(text, _ string) { in.line("[WARN] " + text) },
	})
	if err != nil {
		return err
	}
	container := ""
	if in.opts.Daemon != nil {
		container = docker.Workspace
	}
	if in.plan, err = in.work.Plan(description, container, runplan.Overrides{}); err != nil {
		return err
	}
	in.plan.Gateway.Instance = in.spec.Instance
	if in.opts.Daemon != nil {
		return nil
	}
	if _, err := localtest.Check(ctx, in.plan, ""); err != nil {
		return err
	}
	_, err = localtest.FindHost(ctx, in.plan, hosts.Options{CacheDir: in.opts.CacheDir, Log: in.step})
	return err
}

// prepared passes on what the workspace's making tells, but for paths of this
// machine, which stand for the addresses that fetch told.
func (in *instance) prepared(text string) {
	if !strings.HasPrefix(text, "Fetching ") {
		in.step(text)
	}
}

// fetch brings the files of the description here, and returns one that names
// them by their paths.
func (in *instance) fetch(ctx context.Context) (*service.Description, error) {
	d := *in.spec.Description
	d.Token, d.GenerateToken = in.spec.Token, false
	for _, field := range []struct {
		what string
		path *string
	}{{"model", &d.ModelPath}, {"processor", &d.ProcessorPath}, {"warm-up data", &d.WarmUpDataPath}} {
		if *field.path == "" {
			continue
		}
		in.step("Fetching " + field.what + " from [" + store.Mask(*field.path) + "]")
		path, err := in.fetchOne(ctx, *field.path)
		if err != nil {
			return nil, err
		}
		*field.path = path
	}
	in.step("Successfully downloaded all artifacts")
	return &d, nil
}

func (in *instance) fetchOne(ctx context.Context, address string) (string, error) {
	scheme, rest, _ := strings.Cut(address, "://")
	switch scheme {
	case "http", "https":
		// Into the cache, so that a file that is not there is known as that.
		path, err := store.FetchHTTP(ctx, address, store.HTTPOptions{
			CacheDir: filepath.Join(in.opts.CacheDir, "downloads"), CABundle: in.opts.CABundle,
		})
		if err != nil {
			return "", err
		}
		return in.named(path, store.NameOf(address))
	case store.File:
		path := filepath.FromSlash(rest)
		if _, err := os.Stat(path); err != nil {
			return "", err
		}
		return path, nil
	}
	if in.opts.Fetch == nil {
		return "", fault.New(fault.Missing, "%s cannot be read: this control plane has no store for it", store.Mask(address))
	}
	path, err := in.opts.Fetch(ctx, address)
	if err != nil || strings.HasSuffix(address, "/") {
		return path, err
	}
	return in.named(path, store.NameOf(address))
}

// named gives a file of the cache, which is called by its content, its own name:
// a processor that is one file is looked for by it.
func (in *instance) named(path, name string) (string, error) {
	dir, err := os.MkdirTemp(in.dir.Path(), "fetched-")
	if err != nil {
		return "", err
	}
	link := filepath.Join(dir, name)
	return link, os.Symlink(path, link)
}

func (in *instance) engine(ctx context.Context) (engine.Engine, error) {
	hold := []*os.File{in.dir.Lock()}
	if in.opts.Daemon == nil {
		return process.New(process.Options{Executable: in.opts.Executable, Hold: hold}), ctx.Err()
	}
	d := in.spec.Description
	opts := docker.Options{
		Daemon:     in.opts.Daemon,
		Workspace:  in.work.Dir,
		Base:       in.opts.Base,
		CABundle:   in.opts.CABundle,
		Executable: in.opts.Executable,
		Version:    in.opts.Version,
		CPUs:       d.Metadata.CPU,
		ShmSize:    int64(d.Metadata.SHMSize) << 30,
		Hold:       hold,
		Log:        in.step,
		Warn:       func(text, _ string) { in.line("[WARN] " + text) },
	}
	for _, m := range in.work.Mounts {
		opts.Mounts = append(opts.Mounts, docker.Mount(m))
	}
	switch in.plan.Language {
	case "java":
		opts.Host = hosts.JavaForImage(ctx, hosts.Options{CacheDir: in.opts.CacheDir})
	case "python":
		info, err := os.Stat(filepath.Join(in.work.ProcessorDir, "ENV"))
		opts.OwnEnvironment = err == nil && info.IsDir()
		opts.DataImage, opts.DataAuth = d.DataImage, d.DockerAuth
	}
	return docker.New(opts), ctx.Err()
}

// stopMargin is what a drain may take beside its grace time.
const stopMargin = 5 * time.Second

// follow tells what happens in a run until it has ended, and drains it when ctx
// ends.
func (in *instance) follow(ctx context.Context, run engine.Run) error {
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		grace := time.Duration(in.plan.Worker.GraceMS)*time.Millisecond + stopMargin
		limit, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		_ = run.Stop(limit) // Wait tells how the run ended
	})
	for e := range run.Events() {
		in.tell(run, e)
	}
	err := run.Wait()
	if !stop() {
		<-drained
		return nil
	}
	return in.ended(err)
}

// ended is why a run ended that nobody asked to.
func (in *instance) ended(err error) error {
	f := &controlplane.Failure{
		Reason: "INSTANCE_CRASHED", Waiting: "CrashLoopBackOff",
		Message: "Instance crashed, please inspect instance log.", Last: in.last,
		Final: in.plan.Worker.NoRestart,
	}
	switch {
	case in.last != nil && in.last.Reason == oomKilled:
		f.Reason, f.Message = "OOM_KILLED", "Instance crashed: "+oomKilled
	case err != nil:
		f.Message = "Instance crashed, please inspect instance log. " + firstLine(err.Error())
	}
	if f.Last == nil {
		f.Last = &controlplane.LastState{ExitCode: 1, Reason: "Error", StartedAt: in.begun, FinishedAt: time.Now()}
	}
	return f
}

const oomKilled = "OOMKilled"

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// tell passes an event of a run on.
func (in *instance) tell(run engine.Run, e event.Event) {
	switch e.Type {
	case event.Ready, event.Restarted:
		in.report(controlplane.Report{Kind: controlplane.Ready, Endpoint: run.Endpoint()})
	case event.Log:
		in.line(e.Message)
	case event.Warning:
		in.line("[WARN] " + e.Message)
	case event.Failed:
		in.line("[ERROR] " + e.Message)
	case event.WorkerExit:
		in.line("[ERROR] " + e.Message)
		last := &controlplane.LastState{ExitCode: e.Code, Reason: "Error", Message: firstLine(e.Message), StartedAt: in.begun, FinishedAt: e.Time}
		switch {
		case e.OOM:
			last.Reason = oomKilled
		case e.Code == 0:
			last.Reason = "Completed"
		}
		in.last = last
	case event.Restarting:
		in.begun = e.Time
		in.report(controlplane.Report{Kind: controlplane.Down, Last: in.last})
	}
}
