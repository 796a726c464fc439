// Package docker is the engine that runs a plan in a container of a Docker
// Engine, or of what speaks its API: `eascmd serve` is the container's command,
// as it is the process engine's program, and model and processor are mounted
// where EAS has them.
//
// The daemon may be anywhere. It is never assumed that it sees this machine's
// files, has its CPU, or publishes ports on it; each is found out, and where it
// is not so the files are copied, another program is taken, and the service is
// reached through the daemon.
//
// This is the only package that imports Docker's client.
package docker

import (
	"context"
	"errors"
	"os"

	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/engine"
	"github.com/openeas/eascmd/pkg/engine/gpu"
	"github.com/openeas/eascmd/pkg/runplan"
)

// Workspace is where a service's workspace is in a container: the plan of a
// run in one is made for it. EASWorkspace is the other path that EAS has for it.
const (
	Workspace    = "/home/admin/docker_ml/workspace"
	EASWorkspace = "/eas/workspace"
)

// Options say what runs and in what. Daemon and Workspace must be set.
type Options struct {
	Daemon *Daemon

	// Workspace is the directory of this machine that holds the workspace of
	// the plan, whose paths begin with the Workspace of this package. Mounts
	// are what lies elsewhere and belongs into it.
	Workspace string
	Mounts    []Mount

	Image string // to run in; empty: one that is built
	Base  string // of the image that is built; empty: the usual one

	// DataImage is the description's data_image, which is run in where Image is
	// empty; DataAuth its dockerAuth, which it is pulled with. OwnEnvironment is
	// set where the processor brings all that it needs beside a C library: it runs
	// in the base as that is.
	DataImage, DataAuth string
	OwnEnvironment      bool

	CABundle string // a PEM file with certificate authorities, or empty

	// Executable is the program that has the command serve; empty means the
	// running one. Host is a host for this machine's CPU or, for Java, for any: an
	// image of the user's own may bring none, and one that is built for Java takes it.
	// It may be empty.
	Executable string
	Version    string // of the running one: which release fits a daemon with another CPU
	Host       string

	CPUs    int   // processors that the container may use; 0: all
	ShmSize int64 // bytes of /dev/shm; 0: the daemon's usual 64 MiB
	GPUs    gpu.Request

	// Copy has the files copied even where the daemon sees them.
	Copy bool

	// Keep leaves the volumes that files were copied to for the next run, which
	// finds them by their content.
	Keep bool

	// Kept is set where the service is to go on without this process, once Leave
	// was called.
	Kept bool

	// Hold are files that a run keeps open as long as it goes on: the locks of
	// directories that its plan names.
	Hold []*os.File

	// Log is told in one sentence what takes time, Warn what does not hold as
	// asked for, with what to do.
	Log  func(text string)
	Warn func(text, hint string)

	// Progress starts to show the progress of something long. update is told
	// bytes that are done and their total (0 or less: unknown), done its end.
	Progress func(label string) (update func(done, total int64), done func())
}

// Mount is a file or a directory of this machine that the workspace has, or
// another place of the container.
type Mount struct {
	Source   string // absolute
	Path     string // below the workspace, with slashes: "model", "predictor/echo"; or absolute
	Writable bool
}

func (o *Options) log(text string) {
	if o.Log != nil {
		o.Log(text)
	}
}

func (o *Options) warn(text, hint string) {
	if o.Warn != nil {
		o.Warn(text, hint)
	}
}

func (o *Options) progress(label string) (update func(done, total int64), done func()) {
	if o.Progress == nil {
		return func(int64, int64) {}, func() {}
	}
	return o.Progress(label)
}

// New returns the engine.
func New(opts Options) engine.Engine { return &dockerEngine{opts} }

type dockerEngine struct{ opts Options }

func (*dockerEngine) Name() string { return "docker" }

// Start starts a container with `eascmd serve` on plan.
func (e *dockerEngine) Start(ctx context.Context, plan *runplan.Plan) (engine.Run, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	root, err := rundir.Runtime()
	if err != nil {
		return nil, err
	}
	owner, err := ownerOf(root)
	if err != nil {
		return nil, err
	}
	dir, err := root.New()
	if err != nil {
		return nil, err
	}
	s := &start{Options: &e.opts, d: e.opts.Daemon, plan: plan, root: root, owner: owner, dir: dir}
	r, err := s.start(ctx)
	if err != nil {
		// The caller's context may have ended, and what was made must go all the same.
		return nil, errors.Join(err, s.undo(removeTime), dir.Close())
	}
	return r, nil
}
