package pysdk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// Backend is what makes the environment's interpreter.
type Backend string

// The backends. Auto takes Copy where an interpreter of the version is here
// that can be copied, else Conda, else UV, which both can fetch one, and at
// last Venv.
const (
	Auto  Backend = "auto"
	Copy  Backend = "copy"  // a private copy of an interpreter of this machine
	Conda Backend = "conda" // conda, mamba or micromamba
	UV    Backend = "uv"    // uv
	Venv  Backend = "venv"  // the interpreter's own module venv
)

// Backends lists what a user may choose.
func Backends() []string { return []string{"auto", "copy", "conda", "uv", "venv"} }

// Set takes the name of a backend.
func (b *Backend) Set(name string) error {
	if !slices.Contains(Backends(), name) {
		return fmt.Errorf("the back ends are %s", strings.Join(Backends(), ", "))
	}
	*b = Backend(name)
	return nil
}

// String is the name.
func (b *Backend) String() string { return string(*b) }

// Type is the word for the value in the help.
func (b *Backend) Type() string { return "backend" }

// fallbackVersion is the Python that is fetched where none is asked for and
// none is here.
const fallbackVersion = "3.11"

// tooOld reports whether a version is below what the package allspark supports.
func tooOld(i *python.Interpreter) bool { return i.Major == 3 && i.Minor < python.OldestMinor }

// usable reports whether an interpreter serves without having been asked for.
func usable(i *python.Interpreter) bool {
	return i.Implementation == "cpython" && !tooOld(i) && !i.Debug && !i.FreeThreaded
}

// Default returns the version that is taken where none is asked for: that of
// python3 on PATH, else the newest that is here, else 3.11.
func Default(ctx context.Context) (string, error) {
	i, err := python.Preferred(ctx, python.FindOptions{}, usable)
	if err != nil || i == nil {
		return fallbackVersion, err
	}
	return i.Name(), nil
}

// plan is what an environment is made with.
type plan struct {
	backend     Backend
	version     string              // what was asked for, or the default
	interpreter *python.Interpreter // the one copied, or below; nil: the program fetches one
	program     string              // conda's or uv's; else empty
}

// choose finds what the environment can be made with.
func choose(ctx context.Context, opts *Options) (plan, error) {
	p := plan{backend: opts.Backend, version: opts.Version}
	if p.version == "" {
		var err error
		if p.version, err = Default(ctx); err != nil {
			return plan{}, err
		}
	}
	if opts.SDK != nil && opts.SDK.needs() != "" && older(p.version, opts.SDK.needs()) {
		return plan{}, fault.New(fault.Usage, "the package allspark needs Python %s or newer, not %s", opts.SDK.needs(), p.version).
			WithHint("choose another version with --python, or bring a package for it with --sdk")
	}
	var err error
	p.interpreter, err = python.Preferred(ctx, python.FindOptions{Version: p.version}, func(i *python.Interpreter) bool { return i.Implementation == "cpython" })
	if err != nil {
		return plan{}, err
	}
	conda, uv := condaProgram(), program("uv")
	switch opts.Backend {
	case Auto:
		switch {
		case p.interpreter != nil && canCopy(p.interpreter) == nil:
			p.backend = Copy
		case conda != "":
			p.backend, p.program = Conda, conda
		case uv != "":
			p.backend, p.program = UV, uv
		case p.interpreter != nil:
			p.backend = Venv
		default:
			return plan{}, noInterpreter(ctx, p.version)
		}
	case Conda:
		if p.program = conda; conda == "" {
			return plan{}, fault.New(fault.Missing, "there is no conda, mamba or micromamba on PATH").
				WithHint("install Miniforge, or use another back end: --backend copy")
		}
	case UV:
		if p.program = uv; uv == "" {
			return plan{}, fault.New(fault.Missing, "there is no uv on PATH").
				WithHint("install it with `pipx install uv`, or use another back end: --backend copy")
		}
	case Copy, Venv:
		if p.interpreter == nil {
			return plan{}, noInterpreter(ctx, p.version)
		}
		if p.backend == Copy {
			if err := canCopy(p.interpreter); err != nil {
				return plan{}, err
			}
		}
	default:
		return plan{}, fault.New(fault.Usage, "there is no back end %q", opts.Backend).WithHint("the back ends are %s", strings.Join(Backends(), ", "))
	}
	return p, nil
}

// canCopy says why an interpreter cannot be copied.
func canCopy(i *python.Interpreter) error {
	if runtime.GOOS != "linux" {
		return fault.New(fault.Missing, "a Python of %s cannot be copied for EAS, which runs Linux", runtime.GOOS).
			WithHint("for tests on this machine use --backend venv, or uv or conda")
	}
	return nil
}

// noInterpreter says which interpreters are here instead.
func noInterpreter(ctx context.Context, version string) error {
	found, err := python.Find(ctx, python.FindOptions{})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fault.New(fault.Missing, "there is no Python %s on this machine, nor another Python 3", version).
			WithHint("install python%s, or conda or uv, which can fetch it", version)
	}
	var here []string
	for _, i := range found {
		here = append(here, i.Version+" ("+i.Executable+")")
	}
	return fault.New(fault.Missing, "there is no Python %s on this machine; found: %s", version, strings.Join(here, ", ")).
		WithHint("choose one of these with --python %s, or install conda or uv, which can fetch another", found[0].Name())
}

// older reports whether version a is before b; both begin with major and minor
// numbers.
func older(a, b string) bool {
	minor := func(v string) (n int) {
		parts := strings.Split(v, ".")
		if len(parts) < 2 {
			return 1 << 30 // "3" is any
		}
		fmt.Sscan(parts[1], &n)
		return n
	}
	return minor(a) < minor(b)
}

// program finds a program on PATH.
func program(name string) string {
	for path := range python.ThisMachine().Look(name) {
		return path
	}
	return ""
}

// condaProgram finds conda or one of its kin: on PATH, or where a shell set up
// for it says.
func condaProgram() string {
	for _, name := range []string{"conda", "mamba", "micromamba"} {
		if path := program(name); path != "" {
			return path
		}
	}
	for _, name := range []string{"CONDA_EXE", "MAMBA_EXE"} {
		if path := os.Getenv(name); filepath.IsAbs(path) && exists(path) {
			return path
		}
	}
	return ""
}
