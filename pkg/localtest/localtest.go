// Package localtest prepares a service to be run on this machine: it brings
// model and processor together in a workspace, as they lie on EAS, and answers
// the questions that are asked before and after a run. Running is the engines'
// part.
//
// A local directory is never copied: the workspace links to it.
package localtest

import (
	"context"
	"os"
	"path/filepath"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/service"
	"github.com/openeas/eascmd/pkg/store"
)

// Options say how a workspace is prepared. Only Dir must be set.
type Options struct {
	// Dir is where the workspace is made: an existing directory, into which
	// only this package writes.
	Dir string

	// DescriptionDir is the directory of the description. A relative path in
	// it is looked for in the current directory first and here second.
	DescriptionDir string

	// Container is set where the workspace is for a container, in which what
	// lies elsewhere is mounted and not linked; Writable lets the processor
	// write to the user's own directory.
	Container bool
	Writable  bool

	CacheDir string // of downloads
	CABundle string // a PEM file with certificate authorities, or empty

	// Store says how stores are reached. It is asked when there is something to
	// fetch from one; nil stands for a store that lets everybody in.
	Store func() (store.Options, error)

	// Step is told, in one sentence, what is about to be done; Warn is told what
	// the user should know although it goes on.
	Step func(text string)
	Warn func(text, hint string)

	// Progress starts to show the progress of something long. update is told
	// bytes that are done and their total (0 or less: unknown), done its end.
	Progress func(label string) (update func(done, total int64), done func())
}

func (o *Options) step(text string) {
	if o.Step != nil {
		o.Step(text)
	}
}

func (o *Options) warn(text, hint string) {
	if o.Warn != nil {
		o.Warn(text, hint)
	}
}

func (o *Options) progress(label string) (update func(done, total int64), done func()) {
	if o.Progress == nil {
		return nil, func() {}
	}
	return o.Progress(label)
}

// Prepared is a workspace on this machine.
type Prepared struct {
	runplan.Workspace

	// Mounts are, where the workspace is for a container, what it has to have
	// mounted.
	Mounts []Mount
}

// Mount is a file or a directory that belongs into the workspace of a
// container. There is a directory or an empty file in its place.
type Mount struct {
	Source   string // absolute
	Path     string // below the workspace, with slashes
	Writable bool
}

// At returns the workspace as it is when it lies at dir.
func (p *Prepared) At(dir string) runplan.Workspace {
	move := func(path string) string {
		rel, err := filepath.Rel(p.Dir, path)
		if err != nil {
			return path
		}
		return dir + "/" + filepath.ToSlash(rel)
	}
	w := runplan.Workspace{Dir: dir, ProcessorDir: move(p.ProcessorDir), ModelFile: p.ModelFile}
	for _, file := range p.WarmUp {
		w.WarmUp = append(w.WarmUp, move(file))
	}
	return w
}

// Prepare makes the workspace of a service below opts.Dir: the model in model/,
// the processor in predictor/<service>/, from where ../../model leads to the
// model as it does on EAS.
func Prepare(ctx context.Context, d *service.Description, opts Options) (*Prepared, error) {
	if err := Runnable(d); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Join(opts.Dir, "workspace"))
	if err != nil {
		return nil, fault.New(fault.Failed, "make the workspace: %w", err)
	}
	w := &Prepared{Workspace: runplan.Workspace{Dir: dir, ProcessorDir: filepath.Join(dir, "predictor", d.Name)}}
	for _, path := range []string{filepath.Join(dir, "config"), filepath.Dir(w.ProcessorDir)} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, fault.New(fault.Failed, "make the workspace: %w", err)
		}
	}
	p := preparation{ctx: ctx, d: d, opts: &opts, dir: dir}
	if w.ModelFile, err = p.model(filepath.Join(dir, "model")); err != nil {
		return nil, err
	}
	if err := p.processor(w.ProcessorDir); err != nil {
		return nil, err
	}
	if w.WarmUp, err = p.warmUp(filepath.Join(dir, "warmup")); err != nil {
		return nil, err
	}
	w.Mounts = p.mounts
	return w, nil
}

// writeConfig writes what the platform leaves in the workspace of a service,
// which lies at dir: its properties.
func writeConfig(dir string, plan *runplan.Plan) error {
	path := filepath.Join(dir, "config", "config.json")
	if err := os.WriteFile(path, append(plan.ServiceConfig(), '\n'), 0o644); err != nil {
		return fault.New(fault.Failed, "write the service's properties: %w", err)
	}
	return nil
}

// Runnable says why a service cannot be run on this machine, nil if it can.
func Runnable(d *service.Description) error {
	switch {
	case len(d.Containers) > 0:
		return fault.New(fault.Missing, "services made of containers are not supported by this version yet; it runs processors in C, C++, Java and Python").
			WithHint("run the image itself with docker run")
	case d.Processor != "":
		return fault.New(fault.Missing, "the built-in processor %s runs on EAS only", d.Processor).
			WithHint("to test your own logic here, give processor_path, processor_entry and processor_type")
	}
	switch d.ProcessorType {
	case "cpp", "java", "python":
		return nil
	default:
		return fault.New(fault.Missing, "%s processors are not supported by this version yet; it runs processors in C, C++, Java and Python", d.ProcessorType).
			WithHint("set processor_type to cpp for a shared object, to java for a class, to python for a program in Python")
	}
}
