package process

import (
	"context"
	"os"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/runplan"
)

// PrivateRoot tries whether a run here has the absolute workspace paths of EAS:
// it returns nil if so, and otherwise why not. It does what a run does, up to
// the point where the program would read its plan.
func PrivateRoot(ctx context.Context, opts Options) error {
	if !supported {
		return fault.New(fault.Missing, "the process engine does not run on this system")
	}
	executable := opts.Executable
	if executable == "" {
		var err error
		if executable, err = os.Executable(); err != nil {
			return fault.New(fault.Failed, "find the own executable: %w", err)
		}
	}
	root, err := rundir.Runtime()
	if err != nil {
		return err
	}
	dir, err := root.New()
	if err != nil {
		return err
	}
	defer dir.Close()
	plan := &runplan.Plan{Workspace: dir.Path()}
	serve := []string{"serve", "--events", "json", "--lifeline", "--runtime-dir", dir.Path(), "--plan-fd", "3"}
	c := newCommand(ctx, executable, serve, plan, []*os.File{dir.Lock()})
	defer c.abandon()
	return c.startPrivate(ctx, plan.Workspace)
}
