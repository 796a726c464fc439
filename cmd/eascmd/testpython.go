package main

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/docker"
)

// containerPython is the environment of a Python processor for a container.
type containerPython struct {
	own bool // the processor brings one that runs there

	// mount is the processor's environment made portable, where it is not so as
	// it lies; its Source is empty otherwise.
	mount docker.Mount
}

// useEnvironment finds out whether a Python processor brings an environment that
// runs in a container, and makes it so where it depends on this machine.
func (t *testRun) useEnvironment(ctx context.Context) error {
	if t.plan.Language != "python" {
		return nil
	}
	env, path := t.environment()
	if info, err := os.Stat(env); err != nil || !info.IsDir() {
		return nil
	}
	t.python.own = true
	interpreter := filepath.Join(env, "bin", "python")
	if _, err := os.Stat(interpreter); err != nil || !dependsOnMachine(env, interpreter) {
		// Where there is none the container says so: what leads nowhere here may
		// lead to the Python of the image.
		return nil
	}
	return t.makePortable(ctx, env, path)
}

// environment is where the processor's ENV is on this machine, and its path
// below the workspace.
func (t *testRun) environment() (env, path string) {
	dir := t.workspace.ProcessorDir
	rel, err := filepath.Rel(t.workspace.Dir, dir)
	if err != nil {
		return "", ""
	}
	for _, m := range t.workspace.Mounts {
		if m.Path == filepath.ToSlash(rel) {
			dir = m.Source
		}
	}
	return filepath.Join(dir, "ENV"), filepath.ToSlash(rel) + "/ENV"
}

// dependsOnMachine reports whether an environment needs a Python that lies
// outside of it: its interpreter is a link to that, or a copy whose standard
// library is there.
func dependsOnMachine(env, interpreter string) bool {
	real, err := filepath.EvalSymlinks(env)
	if err != nil {
		return false
	}
	outside := func(path string) bool {
		path, err := filepath.EvalSymlinks(path)
		if err != nil {
			return false
		}
		rel, err := filepath.Rel(real, path)
		return err != nil || !filepath.IsLocal(rel)
	}
	if outside(interpreter) {
		return true
	}
	home := homeOf(env)
	return home != "" && outside(home)
}

// homeOf returns the directory of the Python that a virtual environment was made
// of, "" where it is none.
func homeOf(env string) string {
	f, err := os.Open(filepath.Join(env, "pyvenv.cfg"))
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), "=")
		if ok && strings.TrimSpace(name) == "home" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// makePortable makes a copy of an environment that runs in a container, and
// mounts it in its place.
func (t *testRun) makePortable(ctx context.Context, env, path string) error {
	return fault.New(fault.Missing, "the processor's environment %s uses the Python of this machine, which a container does not have", env).
		WithHint("run it with --engine process, or make one that brings its Python along: `eascmd pysdk init --backend copy`")
}
