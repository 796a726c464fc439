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

// Host is what was found to make a worker of a processor with. Of a processor in C
// or C++ there is nothing to tell.
type Host struct {
	Python *Python
	Java   *Java
}

// FindHost finds what makes a worker of a plan's processor on this machine, and
// has the plan run it.
func FindHost(ctx context.Context, plan *runplan.Plan, opts hosts.Options) (Host, error) {
	switch plan.Language {
	case "python":
		python, err := FindPython(plan.Processor.Dir, false)
		if err != nil {
			return Host{}, err
		}
		sdk, err := hosts.Python(opts)
		if err != nil {
			return Host{}, err
		}
		plan.Worker.Command = python.Command(sdk, plan.Processor.Entry)
		return Host{Python: &python}, nil
	case "java":
		java, err := FindJava(ctx)
		if err != nil {
			return Host{}, err
		}
		return Host{Java: &java}, UseJava(ctx, plan, &java, opts)
	}
	host, err := hosts.CPP(ctx, opts)
	if err != nil {
		return Host{}, err
	}
	plan.Worker.Command = []string{host}
	return Host{}, nil
}
