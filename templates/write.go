package templates

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// write puts files into dir and returns their paths. They are written into a
// staging directory inside dir first and moved into place once all of them are
// there, so that a full disk or a directory without write permission leaves
// nothing behind. What they replace waits in the staging directory until
// everything is in place.
//
// All of it goes through an os.Root: a link inside dir that leads out of it is
// never followed.
func write(dir string, files []file, force bool) (written []string, err error) {
	made, err := makeDir(dir)
	defer func() {
		if err != nil {
			for _, d := range made {
				os.Remove(d) // fails, as it should, where something else came in
			}
		}
	}()
	if err != nil {
		return nil, fault.New(fault.Failed, "make directory %s: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.New(fault.Failed, "open directory %s: %w", dir, err)
	}
	defer root.Close()
	p := project{dir: dir, root: root}
	defer func() {
		if err != nil {
			p.undo()
		}
	}()

	if !force {
		if err := p.refuseExisting(files); err != nil {
			return nil, err
		}
	}
	if err := p.stage(files); err != nil {
		return nil, fault.New(fault.Failed, "write project in %s: %w", dir, err)
	}
	if err := p.place(files); err != nil {
		return nil, fault.New(fault.Failed, "write project in %s: %w", dir, err)
	}
	root.RemoveAll(stagingDir)
	for _, f := range files {
		written = append(written, filepath.Join(dir, filepath.FromSlash(f.path)))
	}
	return written, nil
}

// makeDir makes dir with its parents and returns those that it made, the
// innermost first.
func makeDir(dir string) (made []string, err error) {
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil || filepath.Dir(d) == d {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		made = append(made, d)
	}
	return made, os.MkdirAll(dir, 0o777)
}

// stagingDir holds new/ and old/ while a project is written.
const stagingDir = ".eascmd-init"

// project is a directory that a project is being written into, with what has
// to be taken back when that fails.
type project struct {
	dir    string
	root   *os.Root
	staged bool     // the staging directory is ours
	placed []string // files moved into place
	saved  []string // files that were moved out of their way
	dirs   []string // directories made for files, outermost first
}

// refuseExisting fails where a file of the project is there already, and
// names all of them.
func (p *project) refuseExisting(files []file) error {
	var there []string
	for _, f := range files {
		if _, err := p.root.Lstat(f.path); err == nil {
			there = append(there, f.path)
		}
	}
	if len(there) == 0 {
		return nil
	}
	return fault.New(fault.Usage, "%s is not written: it already has %s", p.dir, strings.Join(there, ", ")).
		WithHint("choose another directory, or replace these files with --force")
}

// stage writes every file into the staging directory.
func (p *project) stage(files []file) error {
	// Left by a run that was killed; nobody else uses this name.
	if err := p.root.RemoveAll(stagingDir); err != nil {
		return err
	}
	if err := p.root.Mkdir(stagingDir, 0o700); err != nil {
		return err
	}
	p.staged = true
	for _, f := range files {
		name := path.Join(stagingDir, "new", f.path)
		if err := p.root.MkdirAll(path.Dir(name), 0o777); err != nil {
			return err
		}
		if err := p.root.WriteFile(name, f.data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// place moves every staged file to its place, and what is there out of the
// way.
func (p *project) place(files []file) error {
	for _, f := range files {
		if err := p.makeParents(f.path); err != nil {
			return err
		}
		if info, err := p.root.Lstat(f.path); err == nil {
			if info.IsDir() {
				return &fs.PathError{Op: "replace", Path: f.path, Err: errors.New("is a directory")}
			}
			old := path.Join(stagingDir, "old", f.path)
			if err := p.root.MkdirAll(path.Dir(old), 0o777); err != nil {
				return err
			}
			if err := p.root.Rename(f.path, old); err != nil {
				return err
			}
			p.saved = append(p.saved, f.path)
		}
		if err := p.root.Rename(path.Join(stagingDir, "new", f.path), f.path); err != nil {
			return err
		}
		p.placed = append(p.placed, f.path)
	}
	return nil
}

// makeParents makes the directories that a file lies in.
func (p *project) makeParents(name string) error {
	dir := path.Dir(name)
	if dir == "." {
		return nil
	}
	if err := p.makeParents(dir); err != nil {
		return err
	}
	err := p.root.Mkdir(dir, 0o777)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		p.dirs = append(p.dirs, dir)
	}
	return err
}

// undo puts the directory back as it was, as far as that goes.
func (p *project) undo() {
	if !p.staged {
		return
	}
	for _, name := range p.placed {
		p.root.Remove(name)
	}
	for _, name := range p.saved {
		p.root.Rename(path.Join(stagingDir, "old", name), name)
	}
	for i := len(p.dirs) - 1; i >= 0; i-- {
		p.root.Remove(p.dirs[i])
	}
	p.root.RemoveAll(stagingDir)
}
