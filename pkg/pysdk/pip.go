package pysdk

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// pip runs the environment's own pip, apart from the current directory: what
// lies there may have the name of a module.
func (b *builder) pip(ctx context.Context, i *python.Interpreter, what string, args ...string) error {
	return b.run(ctx, what, i.Executable, append([]string{"-I", "-m", "pip"}, args...)...)
}

// addPip sees to it that pip works in the environment. Where it cannot be had
// offline, that is an error if something needs it, and a warning otherwise.
func (b *builder) addPip(ctx context.Context, i *python.Interpreter) (bool, error) {
	err := b.installPip(ctx, i)
	if err == nil || ctx.Err() != nil {
		return err == nil, err
	}
	if b.Requirements != "" || b.SDK != nil && b.SDK.needsPip() {
		return false, err
	}
	b.warn(err.Error() + ": " + fault.HintOf(err))
	return false, nil
}

func (b *builder) installPip(ctx context.Context, i *python.Interpreter) error {
	if i.HasPip {
		return nil
	}
	b.step("Installing pip")
	// ensurepip of Debian works in virtual environments alone, so its wheels
	// are looked for first.
	wheels := pipWheels(i)
	if len(wheels) == 0 && b.interpreter != nil {
		wheels = pipWheels(b.interpreter)
	}
	if len(wheels) > 0 {
		args := append([]string{"-I", "-c", runPipFrom, wheels[0], "install", "--no-index", "--no-deps", "--no-compile", "--quiet"}, wheels...)
		return b.run(ctx, "install pip", i.Executable, args...)
	}
	if i.HasEnsurepip {
		return b.run(ctx, "install pip", i.Executable, "-I", "-m", "ensurepip", "--default-pip")
	}
	return fault.New(fault.Missing, "pip cannot be put into %s: Python %s has no ensurepip", b.stage.final, i.Version).
		WithHint("install what brings it (Debian and Ubuntu: `apt-get install python%s-venv`) and begin again", i.Name())
}

// runPipFrom runs pip out of its wheel.
const runPipFrom = `import runpy, sys; sys.path.insert(0, sys.argv[1]); sys.argv = ["pip"] + sys.argv[2:]; runpy.run_module("pip", run_name="__main__", alter_sys=True)`

// pipWheels lists the wheels that an interpreter's ensurepip installs, pip's
// own first.
func pipWheels(i *python.Interpreter) []string {
	var wheels []string
	for _, name := range []string{"pip", "setuptools"} {
		if name == "setuptools" && i.Minor >= 12 {
			continue // from 3.12 on it is no part of a new environment
		}
		for _, dir := range []string{i.WheelDir, filepath.Join(i.Stdlib, "ensurepip", "_bundled")} {
			if dir == "" {
				continue
			}
			found, err := filepath.Glob(filepath.Join(dir, name+"-*-none-any.whl"))
			if err == nil && len(found) > 0 {
				wheels = append(wheels, found[len(found)-1])
				break
			}
		}
		if len(wheels) == 0 {
			return nil // without pip the rest is of no use
		}
	}
	return wheels
}

// installRequirements installs what the processor requires.
func (b *builder) installRequirements(ctx context.Context, i *python.Interpreter) error {
	if b.Requirements == "" {
		return nil
	}
	b.step("Installing " + filepath.Base(b.Requirements))
	what := fmt.Sprintf("install the requirements of %s", b.Requirements)
	if b.backend == UV {
		return b.run(ctx, what, b.program, "pip", "install", "--python", i.Executable, "-r", b.Requirements)
	}
	return b.pip(ctx, i, what, "install", "-r", b.Requirements)
}
