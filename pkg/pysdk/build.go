package pysdk

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/openeas/eascmd/internal/diskspace"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// builder makes one environment.
type builder struct {
	Options
	plan
	stage *stage

	output tail // the end of what the programs print
}

func (b *builder) build(ctx context.Context) (*Environment, error) {
	var err error
	switch b.backend {
	case Copy:
		err = b.makeCopy(ctx)
	case Venv:
		err = b.makeVenv(ctx)
	case UV:
		err = b.makeUV(ctx)
	case Conda:
		err = b.makeConda(ctx)
	}
	if err != nil {
		return nil, err
	}
	i, err := b.ask(ctx)
	if err != nil {
		return nil, err
	}
	place := filepath.Join(b.Dir, EnvName) // as the caller calls it
	env := &Environment{Path: place, Backend: b.backend, Python: i.Version, Interpreter: Executable(place)}
	if env.Pip, err = b.addPip(ctx, i); err != nil {
		return nil, err
	}
	// Before the requirements: pip leaves an allspark alone that is there, and
	// what has this name in the index is another project.
	if b.SDK != nil {
		if env.SDK, err = b.SDK.install(ctx, b, i); err != nil {
			return nil, err
		}
	}
	if err := b.installRequirements(ctx, i); err != nil {
		return nil, err
	}
	if err := (Marker{Backend: b.backend, Python: i.Version, SDK: env.SDK, Creator: b.Creator}).write(b.stage.path); err != nil {
		return nil, err
	}
	if err := relocate(ctx, b.stage.path, b.stage.path, b.stage.final); err != nil {
		return nil, fault.New(fault.Failed, "set the paths in %s right: %w", b.stage.final, err)
	}
	return env, b.stage.commit()
}

// ask asks the environment's interpreter, which has to be the environment's own:
// what is installed with it must not go elsewhere.
func (b *builder) ask(ctx context.Context) (*python.Interpreter, error) {
	i, err := python.Ask(ctx, Executable(b.stage.path))
	if err != nil {
		return nil, fault.New(fault.Failed, "the environment that %s has made is broken: %w", b.backend, err).
			WithHint("choose another Python with --python, or another back end with --backend")
	}
	for _, dir := range []string{i.Prefix, i.Purelib, i.Platlib} {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		if dir != b.stage.path && !strings.HasPrefix(dir, b.stage.path+string(filepath.Separator)) {
			return nil, fault.New(fault.Failed, "the environment that %s has made is no environment of its own: it uses %s", b.backend, dir)
		}
	}
	return i, nil
}

// enoughSpace is the room below which a failure is put down to a full disk.
const enoughSpace = 1 << 20

// explain adds to an error what the disk has to do with it.
func (b *builder) explain(err error) error {
	space, statErr := diskspace.Of(filepath.Dir(b.stage.path))
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || statErr == nil && space.Free < enoughSpace
	if !full {
		return err
	}
	return fault.New(fault.Missing, "no space left for environment %s: %w", b.stage.final, err).
		WithHint("free some space, or make the project on another disk; nothing of the environment was kept")
}
