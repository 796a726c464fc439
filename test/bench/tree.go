//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// treePackages make an environment of the usual size: what many processors
// import.
var treePackages = []string{"numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "matplotlib", "fastapi"}

// treeProgram imports one module of each, with what it is usually used for.
const treeProgram = `"""Imports what a processor of some size does."""

import fastapi
import matplotlib.pyplot
import numpy
import pandas
import pyarrow
import scipy.stats
import sklearn.ensemble

import allspark


class Nothing(allspark.BaseProcessor):
    def initialize(self):
        pass

    def process(self, data):
        return data, 200


if __name__ == "__main__":
    Nothing().run()
`

// treeModules are the modules that treeProgram imports.
var treeModules = []string{"fastapi", "matplotlib.pyplot", "numpy", "pandas", "pyarrow", "scipy.stats", "sklearn.ensemble"}

// makeTree returns the project that is packed, with an environment in ENV. It is
// kept in the cache, as it takes minutes and a network to make.
func (b *bench) makeTree(ctx context.Context) (string, error) {
	key := sha256.Sum256([]byte(b.interpreter.Version + "\n" + strings.Join(treePackages, "\n")))
	dir := filepath.Join(b.cache, fmt.Sprintf("tree-python%s-%x", b.interpreter.Version, key[:4]))
	whole := dir + ".whole"
	if _, err := os.Stat(whole); err == nil {
		return dir, nil
	}
	b.say("making an environment with %s", strings.Join(treePackages, ", "))
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(b.cache, 0o755)); err != nil {
		return "", err
	}
	requirements := b.path("requirements.txt")
	if err := os.WriteFile(requirements, []byte(strings.Join(treePackages, "\n")+"\n"), 0o600); err != nil {
		return "", err
	}
	if _, err := b.pysdkInit(ctx, dir, requirements); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	if err := os.WriteFile(filepath.Join(dir, "app.py"), []byte(treeProgram), 0o644); err != nil {
		return "", err
	}
	// Bytecode of all that is imported, as it is after the first run.
	python := filepath.Join(dir, "ENV", "bin", "python")
	if _, err := output(ctx, dir, b.environment(), python, "-c", importAll); err != nil {
		return "", err
	}
	return dir, os.WriteFile(whole, nil, 0o600)
}

// linkCondaTree makes of an environment one that conda-pack takes for conda's
// own: the same files under other names, and the directory in which conda notes
// what it did. It has done nothing, so that conda-pack treats every file as one
// that pip brought, which is the least work.
func linkCondaTree(env, dir string) error {
	err := filepath.WalkDir(env, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(env, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		}
		return os.Link(path, to)
	})
	if err != nil {
		return err
	}
	meta := filepath.Join(dir, "conda-meta")
	if err := os.Mkdir(meta, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(meta, "history"), []byte("==> 2020-01-01 00:00:00 <==\n"), 0o644)
}

// treeSize is what lies in a directory.
type treeSize struct {
	Entries int   `json:"entries"`
	Bytes   int64 `json:"bytes"` // of its files' contents
}

// readTree reads all files, which brings them into the page cache, and returns
// how much that was.
func readTree(dir string) (treeSize, error) {
	var size treeSize
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		size.Entries++
		if !d.Type().IsRegular() {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := io.Copy(io.Discard, f)
		size.Bytes += n
		return err
	})
	return size, err
}
