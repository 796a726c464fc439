package main

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/docker"
	"github.com/openeas/eascmd/pkg/pysdk/portable"
	"github.com/openeas/eascmd/pkg/ui"
)

// containerPython is the environment of a Python processor for a container.
type containerPython struct {
	own bool // the processor brings one that runs there

	// mount is the environment where it cannot be used as it lies: made portable,
	// or reached by a link that leads nowhere in a container. Its Source is empty
	// otherwise.
	mount docker.Mount
}

// useEnvironment finds out whether a Python processor brings an environment that
// runs in a container, and makes it so where it depends on this machine.
func (t *testRun) useEnvironment(ctx context.Context) error {
	if t.plan.Language != "python" {
		return nil
	}
	env, path := t.environment()
	if !isDir(env) {
		return nil
	}
	t.python.own = true
	if info, err := os.Lstat(env); err == nil && info.Mode()&os.ModeSymlink != 0 {
		// Nothing can be mounted on a link; where data images have it is next in line.
		path = docker.EnvironmentDir
		if env, err = filepath.EvalSymlinks(env); err != nil {
			return fault.New(fault.Processor, "find the processor's environment: %w", err)
		}
		t.python.mount = docker.Mount{Source: env, Path: path}
	}
	interpreter := filepath.Join(env, "bin", "python")
	if _, err := os.Stat(interpreter); err != nil || !dependsOnMachine(env, interpreter) {
		// Where there is none the container says so: what leads nowhere here may
		// lead to the Python of the image.
		return nil
	}
	if runtime.GOOS != "linux" {
		return fault.New(fault.Missing, "the processor's environment %s is made for %s, and containers run Linux", env, runtime.GOOS).
			WithHint("make it in a container: `eascmd image build --dev` makes an image for that; or take it away and use a data_image")
	}
	// Beside the workspace, with which it goes.
	made := filepath.Join(filepath.Dir(t.workspace.Dir), "environment")
	t.term.Info("the processor's environment needs the Python of this machine; a copy that brings it along is made for the container")
	tree, err := t.portableTree(ctx, env)
	if err != nil {
		return err
	}
	update, done := t.progress("copying the environment")
	defer done()
	if err := portable.Materialize(ctx, tree, made, update); err != nil {
		return err
	}
	t.python.mount = docker.Mount{Source: made, Path: path}
	return nil
}

// portableTree makes an environment independent of this machine.
func (a *app) portableTree(ctx context.Context, env string) (*portable.Tree, error) {
	tree, err := portable.Environment(ctx, env, portable.Options{})
	if err != nil {
		return nil, err
	}
	matter := slices.DeleteFunc(slices.Clone(tree.Findings), func(f portable.Finding) bool { return f.Severity < portable.Warning })
	const most = 10
	if more := len(matter) - most; more > 0 {
		matter = matter[:most]
		defer a.term.Warn("and %d more like these: `eascmd pysdk pack --explain` lists them", more)
	}
	for _, f := range matter { // the severest come first
		text := f.Text
		if f.Path != "" {
			text = f.Path + ": " + text
		}
		a.term.Warn("%s", ui.Printable(text))
		if f.Hint != "" {
			a.term.Hint("%s", ui.Printable(f.Hint))
		}
	}
	return tree, nil
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
