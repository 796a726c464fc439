package localtest

import (
	"context"

	"github.com/openeas/eascmd/pkg/engine/hosts"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/service"
)

// Plan makes the run plan of the description that the workspace was prepared
// for, and puts into the workspace what the platform leaves there. container is
// where a container has the workspace, empty where it is used as it lies. Of a
// container no more is known here than whether the entry is there, which is
// checked.
func (p *Prepared) Plan(d *service.Description, container string, overrides runplan.Overrides) (*runplan.Plan, error) {
	w := p.Workspace
	if container != "" {
		w = p.At(container)
	}
	plan, err := runplan.Make(d, w, nil, overrides)
	if err != nil {
		return nil, err
	}
	if err := writeConfig(p.Dir, plan); err != nil {
		return nil, err
	}
	if container != "" {
		if err := checkEntry(p, plan); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

// FindHost finds what makes a worker of a plan's processor on this machine, and
// has the plan run it. Of a processor in Python it returns the interpreter, else
// nil.
func FindHost(ctx context.Context, plan *runplan.Plan, opts hosts.Options) (*Python, error) {
	if plan.Language != "python" {
		host, err := hosts.CPP(ctx, opts)
		if err != nil {
			return nil, err
		}
		plan.Worker.Command = []string{host}
		return nil, nil
	}
	python, err := FindPython(plan.Processor.Dir, false)
	if err != nil {
		return nil, err
	}
	sdk, err := hosts.Python(opts)
	if err != nil {
		return nil, err
	}
	plan.Worker.Command = python.Command(sdk, plan.Processor.Entry)
	return &python, nil
}
