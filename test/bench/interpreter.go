//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// interpreter is the Python that all Python services run on.
type interpreter struct {
	Path    string // the program itself, no script that looks for one
	Version string
	Minor   string // such as 3.11
}

// askInterpreter prints what an interpreter is, as JSON.
const askInterpreter = `import json, sys
v = sys.version_info
print(json.dumps({"Path": sys.executable, "Version": "%d.%d.%d" % v[:3], "Minor": "%d.%d" % v[:2]}))`

// What is missing without an interpreter, and without its peers.
const (
	pythonProgram = "a Python"
	pythonPeers   = "uvicorn, FastAPI and conda-pack of PyPI"
)

func (b *bench) findPython(ctx context.Context) error {
	text, err := output(ctx, b.dir, b.environment(), b.python, "-c", askInterpreter)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.lack(pythonProgram, err)
		return nil
	}
	var i interpreter
	if err := json.Unmarshal(text, &i); err != nil {
		return fmt.Errorf("%s: %w", b.python, err)
	}
	b.interpreter = &i
	return nil
}

// peerPackages are installed in their newest versions.
var peerPackages = []string{"uvicorn", "uvloop", "httptools", "fastapi", "conda-pack"}

// installPythonPeers makes an environment with Python's peers.
func (b *bench) installPythonPeers(ctx context.Context) (err error) {
	if b.interpreter == nil {
		b.figures.Missing = append(b.figures.Missing, pythonPeers)
		return nil
	}
	b.venv, err = b.installVenv(ctx, "peers", pythonPeers, peerPackages)
	return err
}

// installVenv makes an environment with packages in the cache, or brings the one
// that is there up to date. One that cannot be brought up to date, for want of a
// network, is good enough. It returns none where there is none, and notes that
// what is missing.
func (b *bench) installVenv(ctx context.Context, name, what string, packages []string) (string, error) {
	venv := filepath.Join(b.cache, name+"-python"+b.interpreter.Version)
	whole := filepath.Join(venv, "whole")
	_, statErr := os.Stat(whole)
	b.say("installing %s", strings.Join(packages, ", "))
	if err := b.installInto(ctx, venv, statErr != nil, packages); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if statErr != nil {
			b.lack(what, err)
			return "", os.RemoveAll(venv)
		}
		b.say("what is in the cache has to do: %v", err)
	}
	return venv, os.WriteFile(whole, nil, 0o600)
}

// installInto installs packages into an environment, which is made first where
// that is asked for. It runs with the user's own environment: whatever leads to
// PyPI here is in it.
func (b *bench) installInto(ctx context.Context, venv string, anew bool, packages []string) error {
	if anew {
		if err := os.MkdirAll(filepath.Dir(venv), 0o755); err != nil {
			return err
		}
		if _, err := output(ctx, b.dir, nil, b.interpreter.Path, "-m", "venv", "--clear", venv); err != nil {
			return err
		}
	}
	install := []string{venvProgram(venv, "python"), "-m", "pip", "install", "--quiet", "--upgrade"}
	_, err := output(ctx, b.dir, nil, append(install, packages...)...)
	return err
}

func venvProgram(venv, name string) string { return filepath.Join(venv, "bin", name) }

// peerVersions are the versions of what is installed for Python, and of Python.
func (b *bench) peerVersions(ctx context.Context, packages ...string) (map[string]string, error) {
	versions := map[string]string{"python": b.interpreter.Version}
	if b.venv == "" {
		return versions, nil
	}
	const ask = `import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))`
	text, err := output(ctx, b.dir, b.environment(), append([]string{venvProgram(b.venv, "python"), "-c", ask}, packages...)...)
	if err != nil {
		return nil, err
	}
	return versions, json.Unmarshal(text, &versions)
}
