// Package rundir makes the directories that hold what exists only while a run
// goes on: sockets, unpacked archives, notes for whoever cleans up.
//
// Every directory is held by a lock that the kernel drops with its holder,
// however that one ended. So each start can remove what dead runs left behind,
// and never what a live one needs.
package rundir

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/openeas/eascmd/internal/cgroup"
	"github.com/openeas/eascmd/internal/fault"
)

const (
	runPrefix  = "run-"
	keptPrefix = "kept-"
	lockSuffix = ".lock"
	groupNote  = "cgroup" // holds the path of the run's control group
	leftNote   = "left"   // says what the directory was left to
)

// Root is a directory of run directories, private to this user.
type Root struct {
	path string
}

// Runtime opens the root for small things with short paths, such as sockets:
// $XDG_RUNTIME_DIR/eascmd, or eascmd-<uid> in /tmp.
func Runtime() (*Root, error) {
	return Open(runtimePath())
}

// Temporary opens the root for things of any size: eascmd-<uid> in the
// directory that TMPDIR names.
func Temporary() (*Root, error) {
	return Open(filepath.Join(os.TempDir(), perUser()))
}

// Open opens the root at path, makes it where it is missing, and removes what
// dead runs left in it. It refuses a directory that somebody else could have
// prepared.
func Open(path string) (*Root, error) {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fault.New(fault.Failed, "make the directory for running services: %w", err).
			WithHint("set TMPDIR to a directory that you may write to")
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fault.New(fault.Failed, "open the directory for running services: %w", err)
	}
	if !info.IsDir() {
		return nil, fault.New(fault.Failed, "%s is not a directory", path).WithHint("remove it")
	}
	if !ownedByUs(info) {
		return nil, fault.New(fault.Failed, "directory %s belongs to somebody else", path).
			WithHint("remove it, or set TMPDIR to a directory of your own")
	}
	if info.Mode().Perm()&0o077 != 0 && checksModes {
		if err := os.Chmod(path, 0o700); err != nil {
			return nil, fault.New(fault.Failed, "make directory %s private: %w", path, err)
		}
	}
	r := &Root{path: path}
	r.sweep()
	return r, nil
}

// Path is the root's own path.
func (r *Root) Path() string { return r.path }

// New makes a run directory that lives until Close, or until this process and
// all that inherited its lock are gone.
func (r *Root) New() (*Dir, error) {
	for {
		name := runPrefix + randomName()
		lockPath := filepath.Join(r.path, name+lockSuffix)
		lock, err := os.OpenFile(lockPath, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fault.New(fault.Failed, "make a run directory: %w", err)
		}
		// Another start may have taken the file for a dead run's before the
		// lock was on it; then it is gone, or about to be.
		if held, err := tryLock(lock); err != nil || !held || !same(lock, lockPath) {
			lock.Close()
			if err != nil {
				os.Remove(lockPath)
				return nil, fault.New(fault.Failed, "lock the run directory %s: %w", lockPath, err)
			}
			continue
		}
		d := &Dir{path: filepath.Join(r.path, name), lock: lock}
		if err := os.Mkdir(d.path, 0o700); err != nil {
			d.Close()
			return nil, fault.New(fault.Failed, "make a run directory: %w", err)
		}
		return d, nil
	}
}

// Alive reports whether the run whose directory is called name goes on: whether
// somebody holds its lock.
func (r *Root) Alive(name string) bool {
	lockPath := filepath.Join(r.path, name+lockSuffix)
	lock, err := os.OpenFile(lockPath, os.O_RDWR, 0)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) // what cannot be known is left alone
	}
	defer lock.Close()
	held, err := tryLock(lock)
	return err != nil || !held
}

// Lock takes a lock by a name, which all processes with this root share. It
// waits until nobody else has it, and calls waiting before it does.
func (r *Root) Lock(ctx context.Context, name string, waiting func()) (unlock func(), err error) {
	// A file that is left is swept as that of a dead run.
	path := filepath.Join(r.path, runPrefix+name+lockSuffix)
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fault.New(fault.Failed, "make a lock: %w", err)
		}
		held, err := tryLock(f)
		if held && same(f, path) {
			return func() { os.Remove(path); f.Close() }, nil
		}
		f.Close()
		if err != nil {
			return nil, fault.New(fault.Failed, "lock %s: %w", path, err)
		}
		if held {
			continue // somebody removed it before it was locked
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockInterval):
		}
	}
}

// lockInterval is how often a lock is tried that somebody else has.
const lockInterval = 50 * time.Millisecond

// NewKept makes a directory that nothing here ever removes.
func (r *Root) NewKept() (string, error) {
	path := filepath.Join(r.path, keptPrefix+randomName())
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", fault.New(fault.Failed, "make a directory to keep: %w", err)
	}
	return path, nil
}

// Left is a directory that was left to something which goes on without the
// process that made it.
type Left struct {
	Path string
	Note []byte // says to what
}

// Left lists the directories that were left to something, as far as they can be
// read.
func (r *Root) Left() []Left {
	entries, err := os.ReadDir(r.path)
	if err != nil {
		return nil
	}
	var list []Left
	for _, e := range entries {
		if l, ok := LeftAt(filepath.Join(r.path, e.Name())); ok {
			list = append(list, l)
		}
	}
	return list
}

// LeftAt looks for a directory of this user's that was left to something.
func LeftAt(path string) (Left, bool) {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() || !ownedByUs(info) || !strings.HasPrefix(filepath.Base(path), runPrefix) {
		return Left{}, false
	}
	note, err := os.ReadFile(filepath.Join(path, leftNote))
	return Left{path, note}, err == nil
}

// Remove removes the directory, unless the process that made it still has it.
func (l Left) Remove() error {
	lock, err := os.OpenFile(l.Path+lockSuffix, os.O_RDWR, 0)
	switch {
	case err == nil:
		defer lock.Close()
		if held, err := tryLock(lock); err != nil || !held {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := removeAll(l.Path); err != nil {
		return err
	}
	if err := os.Remove(l.Path + lockSuffix); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sweep removes what dead runs left. What cannot be removed is left for the
// next start: it must not keep this one from running.
func (r *Root) sweep() {
	entries, err := os.ReadDir(r.path)
	if err != nil {
		return
	}
	locked := make(map[string]bool)
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), lockSuffix); ok {
			locked[name] = true
		}
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, runPrefix) {
			continue
		}
		if base, ok := strings.CutSuffix(name, lockSuffix); ok {
			r.sweepLocked(base)
		} else if !locked[name] && !exists(filepath.Join(r.path, name+lockSuffix)) && !exists(filepath.Join(r.path, name, leftNote)) {
			// A directory is only ever made under its lock.
			removeAll(filepath.Join(r.path, name))
		}
	}
}

func (r *Root) sweepLocked(name string) {
	lockPath := filepath.Join(r.path, name+lockSuffix)
	lock, err := os.OpenFile(lockPath, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer lock.Close()
	if held, err := tryLock(lock); err != nil || !held || !same(lock, lockPath) {
		return
	}
	dir := filepath.Join(r.path, name)
	if exists(filepath.Join(dir, leftNote)) {
		return
	}
	if note, err := os.ReadFile(filepath.Join(dir, groupNote)); err == nil {
		if cgroup.Remove(string(note)) != nil {
			return
		}
	}
	if removeAll(dir) == nil {
		os.Remove(lockPath)
	}
}

// Dir is the directory of one run.
type Dir struct {
	path  string
	lock  *os.File
	group string // the run's control group, if it has one

	closing sync.Once
	err     error
}

// Path is the directory's absolute path.
func (d *Dir) Path() string { return d.path }

// Lock is the open file whose lock holds the directory. A child that inherits
// it keeps the directory until it has ended too.
func (d *Dir) Lock() *os.File { return d.lock }

// NoteGroup records that the run is about to make a control group, so that it
// is removed with the directory, whoever removes that.
func (d *Dir) NoteGroup(group string) error {
	d.group = group
	return os.WriteFile(filepath.Join(d.path, groupNote), []byte(group), 0o600)
}

// Leave writes down what the directory is left to, which goes on without this
// process. From then on Left finds it, and it outlives its lock; Close removes
// it all the same.
func (d *Dir) Leave(note []byte) error {
	if err := os.WriteFile(filepath.Join(d.path, leftNote), note, 0o600); err != nil {
		return fault.New(fault.Failed, "leave a run directory: %w", err)
	}
	return nil
}

// Drop gives up a directory that was left, without removing it.
func (d *Dir) Drop() error {
	d.closing.Do(func() { d.err = d.lock.Close() })
	return d.err
}

// Close removes the directory and the run's control group. It is no fault if
// somebody else has removed the directory before, a processor or whatever
// cleans up old temporary files.
func (d *Dir) Close() error {
	d.closing.Do(func() {
		defer d.lock.Close()
		if d.group != "" {
			if d.err = cgroup.Remove(d.group); d.err != nil {
				return
			}
		}
		if d.err = removeAll(d.path); d.err != nil {
			return
		}
		if err := os.Remove(d.path + lockSuffix); !errors.Is(err, fs.ErrNotExist) {
			d.err = err
		}
	})
	return d.err
}

// removeAll removes a tree, directories without write permission included:
// archives hold such ones.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if e != nil && e.IsDir() {
			os.Chmod(p, 0o700)
			if err != nil {
				return nil
			}
		}
		return nil
	})
	return os.RemoveAll(path)
}

// same reports whether the open file is still the one at path.
func same(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func randomName() string {
	var b [6]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func perUser() string {
	if uid := os.Getuid(); uid >= 0 {
		return fmt.Sprintf("eascmd-%d", uid)
	}
	return "eascmd" // Windows: the temporary directory is the user's own
}
