package pysdk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/openeas/eascmd/internal/fault"
)

// An environment is made in the directory stageName, which is as long a name as
// EnvName: paths that its files have of themselves, be it inside of programs,
// are set right after it has been moved without a byte of the rest changing.
//
// Who works in it holds the lock. It is dropped with its holder, however that
// one ended, so a lock that can be had means that what is there is left over.
const (
	stageName = ".EN"
	lockName  = ".EN.lock"
)

// IsLeftover reports whether a name in a processor's directory is one that an
// environment has only while it is made. Create removes what a killed call has
// left under it.
func IsLeftover(name string) bool {
	return name == stageName || name == lockName || name == trustName
}

// stage is an environment that is being made.
type stage struct {
	path  string // where it is made
	final string // where it will be
	lock  *os.File
	done  bool
}

// newStage takes the lock and removes what another call has left. The stage
// itself is not made: that is its backend's work.
func newStage(dir string) (*stage, error) {
	// The paths are written into files of the environment, and some tools
	// resolve links in them.
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, fault.New(fault.Failed, "make an environment: %w", err)
	}
	lock, err := takeLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fault.New(fault.Failed, "make an environment in %s: %w", dir, err)
	}
	if lock == nil {
		return nil, fault.New(fault.Usage, "an environment is being made in %s already", dir).
			WithHint("wait until that has finished, or end it")
	}
	s := &stage{path: filepath.Join(dir, stageName), final: filepath.Join(dir, EnvName), lock: lock}
	_ = os.Remove(filepath.Join(dir, trustName)) // else it is written again
	if err := removeAll(s.path); err != nil {
		s.Close()
		return nil, fault.New(fault.Failed, "remove what an interrupted run has left: %w", err)
	}
	return s, nil
}

// takeLock returns the lock file, or nil where somebody else has it.
func takeLock(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		held, err := tryLock(f)
		if err != nil || !held {
			f.Close()
			return nil, err
		}
		// Its holder may have removed it before it was locked.
		ours, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if there, err := os.Lstat(path); err == nil && os.SameFile(ours, there) {
			return f, nil
		}
		f.Close()
	}
}

// commit moves the environment to its place.
func (s *stage) commit() error {
	if exists(s.final) {
		return fault.New(fault.Failed, "%s has appeared meanwhile", s.final)
	}
	if err := os.Rename(s.path, s.final); err != nil {
		return fault.New(fault.Failed, "move the environment to its place: %w", err)
	}
	s.done = true
	return nil
}

// Close removes what was not committed, and the lock.
func (s *stage) Close() {
	if !s.done {
		// What cannot be removed now is by the next call.
		_ = removeAll(s.path)
	}
	_ = os.Remove(filepath.Join(filepath.Dir(s.path), trustName))
	_ = os.Remove(s.lock.Name())
	_ = s.lock.Close()
}

// removeAll removes a tree, directories without write permission included:
// package caches of conda have such ones.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(p, 0o700)
			if err != nil {
				return nil
			}
		}
		return nil
	})
	return os.RemoveAll(path)
}
