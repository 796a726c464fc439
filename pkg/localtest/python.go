package localtest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/hosts"
)

// ImageEnvironment is where the data image of a service holds the Python
// environment.
const ImageEnvironment = "/data/eas/ENV"

// Python is the interpreter that runs a Python processor.
type Python struct {
	Path string // absolute

	// Own is set where it belongs to the processor: its ENV, or the one of its
	// data image. Otherwise it is whatever the machine or image has, and From
	// says where it was found.
	Own  bool
	From string
}

// Command is what makes a worker of the program entry. sdk is the directory of
// the host, as hosts.Python has written it.
func (p Python) Command(sdk, entry string) []string {
	return []string{p.Path, filepath.Join(sdk, hosts.PythonEntry), entry}
}

// FindPython returns the interpreter of the processor in dir: that of its ENV,
// in an image the one of its data image, else what this machine or image has:
// the active environment on this machine, or python3 on PATH.
func FindPython(dir string, inImage bool) (Python, error) {
	env := filepath.Join(dir, "ENV")
	own, err := interpreterIn(env)
	if err == nil {
		return Python{Path: own, Own: true, From: "ENV"}, nil
	}
	if _, statErr := os.Stat(env); statErr == nil {
		return Python{}, fault.New(fault.Processor, "the processor's environment ENV cannot be used: %w", err).
			WithHint("make it anew with `eascmd pysdk init`, or remove it to use the Python that is installed here")
	}
	if inImage {
		if path, err := interpreterIn(ImageEnvironment); err == nil {
			return Python{Path: path, Own: true, From: ImageEnvironment}, nil
		}
	} else {
		for _, name := range [...]string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
			if active := os.Getenv(name); active != "" {
				if path, err := interpreterIn(active); err == nil {
					return Python{Path: path, From: "the active environment"}, nil
				}
			}
		}
	}
	for _, name := range [...]string{"python3", "python"} {
		if path, err := exec.LookPath(name); err == nil {
			if path, err = filepath.Abs(path); err == nil {
				return Python{Path: path, From: "PATH"}, nil
			}
		}
	}
	return Python{}, fault.New(fault.Missing, "there is no Python to run the processor with: it has no ENV, and python3 is not on PATH").
		WithHint("`eascmd pysdk init` makes a project with an ENV of its own, and with --env-only one for this project")
}

// interpreterIn returns the interpreter of an environment.
func interpreterIn(env string) (string, error) {
	var failure error
	for _, name := range [...]string{"bin/python", "bin/python3", "python.exe", "Scripts/python.exe"} {
		path := filepath.Join(env, filepath.FromSlash(name))
		info, err := os.Stat(path)
		switch {
		case err == nil && info.Mode().IsRegular():
			return filepath.Abs(path)
		case err == nil:
			err = &fs.PathError{Op: "run", Path: path, Err: errors.New("is no program")}
		case errors.Is(err, fs.ErrNotExist):
			// A link whose interpreter is gone says more than a name that is not there.
			target, linkErr := os.Readlink(path)
			if linkErr != nil {
				continue
			}
			err = fault.New(fault.Processor, "%s leads to %s, which is not here", path, target)
		}
		if failure == nil {
			failure = err
		}
	}
	if failure == nil {
		failure = fault.New(fault.Processor, "%s has no bin/python", env)
	}
	return "", failure
}
