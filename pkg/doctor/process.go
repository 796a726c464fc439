package doctor

import (
	"context"
	"path/filepath"

	"github.com/openeas/eascmd/internal/cgroup"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/engine/process"
)

const groupProcess = "Process engine"

// processProbes look at what the process engine needs and at what makes a run
// on it like one online.
func processProbes(m *machine) []probe {
	if enginesOf(m.goos)&processEngine == 0 {
		return nil
	}
	return []probe{
		{group: groupProcess, name: "run directories", breaks: processEngine, run: runDirectories},
		{group: groupProcess, name: "workspace paths", fix: "use `eascmd test --engine docker`", run: workspacePaths},
		{group: groupProcess, name: "memory limit", run: memoryLimit},
	}
}

// runDirectories makes a directory as every run does.
func runDirectories(context.Context) []finding {
	const name = "run directories"
	var paths []string
	for _, open := range []func() (*rundir.Root, error){rundir.Runtime, rundir.Temporary} {
		path, err := tryRoot(open)
		if err != nil {
			f := warning(name, fault.HintOf(err), "%v", err)
			if f.fix == "" {
				f.fix = "set TMPDIR to a directory that you may write to"
			}
			f.breaks = processEngine
			return []finding{f}
		}
		if len(paths) == 0 || paths[0] != path {
			paths = append(paths, path)
		}
	}
	if len(paths) == 1 {
		return []finding{ok(name, "%s", paths[0])}
	}
	return []finding{ok(name, "%s for sockets, %s for workspaces", paths[0], paths[1])}
}

func tryRoot(open func() (*rundir.Root, error)) (string, error) {
	root, err := open()
	if err != nil {
		return "", err
	}
	dir, err := root.New()
	if err != nil {
		return "", err
	}
	return root.Path(), dir.Close()
}

// workspacePaths tries whether a run has the absolute workspace paths of EAS.
func workspacePaths(ctx context.Context) []finding {
	const name = "workspace paths"
	if err := process.PrivateRoot(ctx, process.Options{}); err != nil {
		if ctx.Err() != nil {
			return nil // the line of a probe without an answer says it
		}
		return []finding{warning(name,
			"reach the model by ../../model or EAS_MODEL_DIR, or use `eascmd test --engine docker`",
			"/eas/workspace and /home/admin/docker_ml/workspace do not exist in a run: %v", err)}
	}
	return []finding{ok(name, "/eas/workspace and /home/admin/docker_ml/workspace in a private view of the file system")}
}

// memoryLimit tries whether a run's memory can be limited by the kernel.
func memoryLimit(context.Context) []finding {
	const name = "memory limit"
	root, err := rundir.Runtime()
	if err != nil {
		return nil // the line about these directories says it
	}
	dir, err := root.New()
	if err != nil {
		return nil
	}
	// The group goes with the directory, even if this program is killed.
	defer dir.Close()
	const enough = 64 << 20
	if _, err := cgroup.Create("eascmd-"+filepath.Base(dir.Path()), enough, dir.NoteGroup); err != nil {
		return []finding{warning(name,
			"`systemd-run --user --scope -p Delegate=yes eascmd test service.json` has one where systemd runs",
			"it is watched from outside, too slow for a large allocation: %v", err)}
	}
	return []finding{ok(name, "by a control group")}
}
