package main

import (
	"context"
	"os"
	"runtime"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/pkg/engine"
	"github.com/openeas/eascmd/pkg/engine/docker"
	"github.com/openeas/eascmd/pkg/engine/gpu"
	"github.com/openeas/eascmd/pkg/engine/hosts"
	"github.com/openeas/eascmd/pkg/engine/process"
	"github.com/openeas/eascmd/pkg/localtest"
	"github.com/openeas/eascmd/pkg/runplan"
)

// chooseEngine returns the daemon of the Docker engine, and none for the
// process engine.
func (o *testOptions) chooseEngine(ctx context.Context, a *app) (*docker.Daemon, error) {
	name := o.engine
	if name == "" {
		name = "docker"
		if runtime.GOOS == "linux" {
			name = "process"
		}
	}
	if name != "process" {
		daemon, err := docker.Connect(ctx, docker.ConnectOptions{})
		switch {
		case err == nil && name == "auto":
			a.term.Info("engine: docker (%s)", daemon.Endpoint)
			return daemon, nil
		case err == nil || name == "docker" || fault.KindOf(err) != fault.Missing:
			return daemon, err
		}
		a.term.Info("engine: process (no Docker daemon answers; `eascmd doctor` says why)")
	}
	for _, flag := range []string{"image", "base-image", "writable", "copy", "detach"} {
		if o.given(flag) {
			return nil, fault.New(fault.Usage, "--%s is for the Docker engine, and this is the process engine", flag).
				WithHint("add --engine docker, or leave --%s out", flag)
		}
	}
	return nil, nil
}

// engine is where the plan is to run.
func (t *testRun) engine(ctx context.Context) engine.Engine {
	var hold []*os.File
	if t.dir != nil {
		hold = append(hold, t.dir.Lock())
	}
	if t.daemon == nil {
		return process.New(process.Options{WithoutPrivateRoot: t.withoutPrivateRoot, Hold: hold})
	}
	opts := docker.Options{
		Daemon:    t.daemon,
		Workspace: t.workspace.Dir,
		Image:     t.options.image,
		Base:      t.options.baseImage,
		CABundle:  t.caBundle,
		Version:   versionOf(buildInfo()).Version,
		CPUs:      t.description.Metadata.CPU,
		ShmSize:   int64(t.description.Metadata.SHMSize) << 30,
		GPUs:      t.gpus,
		Copy:      t.options.copyFiles,
		Keep:      t.options.keep,
		Kept:      t.options.detach,
		Log:       func(text string) { t.term.Info("%s", text) },
		Warn:      t.warnWith,
		Progress:  t.progress,
	}
	for _, m := range t.workspace.Mounts {
		opts.Mounts = append(opts.Mounts, docker.Mount(m))
	}
	switch t.plan.Language {
	case "python":
		opts.OwnEnvironment = t.python.own
		if t.options.baseImage == "" {
			opts.DataImage, opts.DataAuth = t.description.DataImage, t.description.DockerAuth
		}
		if t.python.mount.Source != "" {
			opts.Mounts = append(opts.Mounts, t.python.mount)
		}
	default:
		opts.Host = t.hostForImage(ctx)
	}
	return docker.New(opts)
}

// hostForImage returns a host of this machine, or "", for an image that may lack a
// compiler: one of the user's own or, for Java, one that is built. That there is no
// host here is for the image to say.
func (t *testRun) hostForImage(ctx context.Context) string {
	switch {
	case t.plan.Language == "java":
		return hosts.JavaForImage(ctx, hosts.Options{})
	case t.options.image != "" && runtime.GOOS == "linux" && runtime.GOARCH == t.daemon.Arch():
		// It may have this machine's C library.
		if host, err := hosts.CPP(ctx, hosts.Options{}); err == nil {
			return host
		}
	}
	return ""
}

// useGPUs gives the workers of the process engine the GPUs that were asked for.
func (t *testRun) useGPUs(ctx context.Context) error {
	if !t.gpus.Wanted() && !t.gpus.None {
		return nil
	}
	processor := gpu.Processor{}
	for _, l := range t.report.Libraries {
		processor.Libraries = append(processor.Libraries, l.Name)
	}
	processor.Visible, processor.IsSet = localtest.Variable(t.plan, "CUDA_VISIBLE_DEVICES")
	env, warnings, err := gpu.ForProcess(t.gpus, nvidia.Look(ctx, nvidia.Options{}), processor)
	for _, w := range warnings {
		t.warnWith(w.Text, w.Hint)
	}
	if err != nil {
		return err
	}
	t.addEnv(env)
	t.plan.Worker.GPUs = t.gpus.Wanted()
	return nil
}

// useCUDA lets the workers of the process engine find the libraries of the CUDA
// that the description names.
func (t *testRun) useCUDA() error {
	path, _ := localtest.Variable(t.plan, "LD_LIBRARY_PATH")
	env, err := gpu.CUDALibraries(t.gpus, path)
	if err != nil {
		return err
	}
	t.addEnv(env)
	return nil
}

// addEnv adds variables of the workers. What the user says with --env comes
// last and counts.
func (t *testRun) addEnv(env []runplan.Env) {
	given := len(t.plan.Worker.Env) - len(t.overrides.Env)
	t.plan.Worker.Env = append(t.plan.Worker.Env[:given:given], append(env, t.overrides.Env...)...)
}

// canLeave says why a service cannot go on when this program has ended.
func canLeave(run engine.Run) error {
	if r, ok := run.(*docker.Run); ok {
		return r.CanLeave()
	}
	return nil
}

// leave leaves a service to itself.
func (t *testRun) leave(run engine.Run) error {
	r, ok := run.(*docker.Run)
	if !ok {
		return nil
	}
	if err := r.Leave(t.dir); err != nil {
		return err
	}
	t.dir = nil // the service has it
	t.term.Info("end it:   eascmd test --stop %s", t.plan.Name)
	return nil
}
