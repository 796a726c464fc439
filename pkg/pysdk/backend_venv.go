package pysdk

import (
	"context"
	"path/filepath"

	"github.com/openeas/eascmd/internal/fault"
)

// makeVenv makes the environment with the interpreter's module venv. pip comes
// later: distributions ship venv without it.
func (b *builder) makeVenv(ctx context.Context) error {
	if !b.interpreter.HasVenv {
		return fault.New(fault.Missing, "%s has no module venv", b.interpreter.Executable).
			WithHint("install it (Debian and Ubuntu: `apt-get install python%s-venv`), or use another back end: --backend copy", b.interpreter.Name())
	}
	b.step("Making a virtual environment of " + b.interpreter.Executable)
	return b.run(ctx, "make a virtual environment", b.interpreter.Executable, "-I", "-m", "venv", "--without-pip", b.stage.path)
}

// makeUV makes the environment with uv, which fetches an interpreter where none
// of the version is here.
func (b *builder) makeUV(ctx context.Context) error {
	from := b.version
	if b.interpreter != nil {
		from = b.interpreter.Executable
	}
	b.step("Making a virtual environment of Python " + b.version + " with uv")
	return b.run(ctx, "make a virtual environment with uv", b.program, "venv", "--no-project", "--python", from, b.stage.path)
}

// makeConda makes the environment with conda or one of its kin, which fetches
// everything that is not in its cache.
func (b *builder) makeConda(ctx context.Context) error {
	name := filepath.Base(b.program)
	b.step("Making an environment of Python " + b.version + " with " + name)
	args := []string{"create", "-y", "-p", b.stage.path}
	if name == "micromamba" {
		args = append(args, "-c", "conda-forge") // it knows no channel by itself
	}
	return b.run(ctx, "make an environment with "+name, b.program, append(args, "python="+b.version, "pip")...)
}
