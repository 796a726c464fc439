// Package pysdk makes the Python environment of a processor: an interpreter
// with pip, the package allspark and what the processor requires, in the
// directory ENV beside the processor's code.
//
// An environment is whole or not there: it is made under another name beside
// its place, and moved there when all of it has succeeded. Whatever ends the
// work before that, the directory is as it was, or the next call makes it so.
package pysdk

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"unicode/utf8"

	"github.com/openeas/eascmd/internal/diskspace"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// EnvName is the name of an environment's directory.
const EnvName = "ENV"

// Options say how an environment is made.
type Options struct {
	Dir     string  // the processor's directory; made where it is missing
	Version string  // "3.11", "3.11.7"; empty: see Default
	Backend Backend // empty: Auto

	// Requirements is a file for pip, installed into the environment; empty for
	// none.
	Requirements string
	// SDK is where the package allspark comes from. Nil: none is installed.
	SDK Source

	// CABundle is a PEM file with certificate authorities to trust beside the
	// system's, when packages are fetched; may be empty.
	CABundle string
	// Creator is written into the environment's marker: the version of eascmd.
	Creator string

	Log      io.Writer               // what pip, conda and uv print; nil: nowhere
	Step     func(text string)       // called at the begin of each part; may be nil
	Warn     func(text string)       // what goes wrong without being an error; may be nil
	Progress func(done, total int64) // of copying, in bytes; may be nil
}

// Environment is an environment that was made.
type Environment struct {
	Path        string  `json:"path"` // of ENV
	Backend     Backend `json:"backend"`
	Python      string  `json:"python"`        // version of its interpreter: 3.11.7
	SDK         string  `json:"sdk,omitempty"` // version of allspark in it; empty: none
	Pip         bool    `json:"pip"`           // pip works inside
	Interpreter string  `json:"interpreter"`   // path of its interpreter
}

// Executable returns the path of the interpreter of an environment.
func Executable(env string) string { return filepath.Join(env, "bin", "python") }

// Create makes the environment ENV in opts.Dir. One that is there already is an
// error of kind Usage, a Python or a program that is not on this machine one of
// kind Missing. When Create fails, what was in the directory before is
// unchanged and nothing else is left.
func Create(ctx context.Context, opts Options) (_ *Environment, err error) {
	if runtime.GOOS == "windows" {
		return nil, fault.New(fault.Missing, "an environment for processors cannot be made on Windows: EAS runs Linux").
			WithHint("run eascmd inside WSL or a Linux container")
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	plan, err := choose(ctx, &opts)
	if err != nil {
		return nil, err
	}
	made, err := makeDirs(opts.Dir)
	defer func() {
		if err != nil {
			removeDirs(made)
		}
	}()
	if err != nil {
		return nil, fault.New(fault.Failed, "make directory %s: %w", opts.Dir, err)
	}
	s, err := newStage(opts.Dir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if place := filepath.Dir(s.final); diskspace.NoExec(place) {
		return nil, fault.New(fault.Missing, "an environment cannot be made in %s: the disk does not let programs run (noexec)", place).
			WithHint("make the project on another disk, or mount this one with exec")
	}
	b := &builder{Options: opts, plan: plan, stage: s}
	env, err := b.build(ctx)
	if ctx.Err() != nil {
		return nil, fault.New(fault.Interrupted, "make environment %s: %w", s.final, context.Cause(ctx))
	}
	if err != nil {
		return nil, b.explain(err)
	}
	return env, nil
}

// check refuses what can be refused before anything is looked for.
func (o *Options) check() error {
	if err := checkDir(o.Dir); err != nil {
		return err
	}
	if err := python.CheckVersion(o.Version); err != nil {
		return err
	}
	if o.Backend == "" {
		o.Backend = Auto
	}
	if o.Requirements != "" {
		path, err := filepath.Abs(o.Requirements)
		if err != nil {
			return fault.New(fault.Failed, "requirements: %w", err)
		}
		if info, err := os.Stat(path); err != nil {
			return fault.New(fault.Usage, "requirements: %w", err)
		} else if info.IsDir() {
			return fault.New(fault.Usage, "requirements: %s is a directory", o.Requirements)
		} else if !info.Mode().IsRegular() {
			return fault.New(fault.Usage, "requirements: %s is a pipe or a device, which can be read only once", o.Requirements).
				WithHint("write the requirements into a file")
		}
		o.Requirements = path
	}
	if o.SDK != nil {
		if err := o.SDK.check(); err != nil {
			return err
		}
	}
	if o.CABundle != "" {
		path, err := filepath.Abs(o.CABundle)
		if err != nil {
			return fault.New(fault.Failed, "CA bundle: %w", err)
		}
		if _, err := readBundle(path); err != nil {
			return err
		}
		o.CABundle = path
	}
	if env := filepath.Join(o.Dir, EnvName); exists(env) {
		return fault.New(fault.Usage, "there is an environment already: %s", env).
			WithHint("remove it first, or install into it: `%s -m pip install ...`", Executable(env))
	}
	return nil
}

// checkDir refuses a directory whose path cannot be an environment's.
func checkDir(dir string) error {
	if dir == "" {
		return fault.New(fault.Usage, "the name of the directory is empty")
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return fault.New(fault.Failed, "%w", err)
	}
	if !utf8.ValidString(path) {
		// What an interpreter says of its paths would not be comparable.
		return fault.New(fault.Usage, "the path %q is not UTF-8", path).
			WithHint("choose another name for the directory, or move what it lies in")
	}
	return nil
}

func (o *Options) step(text string) {
	if o.Step != nil {
		o.Step(text)
	}
}

func (o *Options) warn(text string) {
	if o.Warn != nil {
		o.Warn(text)
	}
}

// makeDirs makes a directory with its parents and returns those that it made,
// the innermost first.
func makeDirs(dir string) (made []string, err error) {
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil || filepath.Dir(d) == d {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		made = append(made, d)
	}
	return made, os.MkdirAll(dir, 0o777)
}

// removeDirs removes the directories that makeDirs has made. A directory that
// something else has come into stays.
func removeDirs(dirs []string) {
	for _, d := range dirs {
		os.Remove(d)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
