package pack

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// tree makes files below one directory, and nowhere else. It holds twice: names
// are resolved here, with the symbolic links made so far, and the operations go
// through os.Root, which refuses what leads out even where the file system is
// not as believed (a disk that folds case, somebody else changing the tree).
//
// Errors that begin with "it" are about the entry at hand.
type tree struct {
	root   *os.Root
	limits *limits
	stats  Stats

	dirs  map[string]attributes // directories made, by path, and what they get at the end
	links map[string]string     // symbolic links made, by path, and where they lead

	at     string   // the directory that atRoot is open on
	atRoot *os.Root // a path's directory is mostly that of the path before

	folds *bool // whether the disk takes "a" and "A" for one name, once that was tried
}

// attributes are what of an entry's metadata is kept.
type attributes struct {
	mode  fs.FileMode // permission bits
	mtime time.Time
	set   bool // whether an entry said so; a directory may only be implied
}

func newTree(root *os.Root, l *limits) *tree {
	return &tree{
		root:   root,
		limits: l,
		dirs:   map[string]attributes{".": {}},
		links:  map[string]string{},
	}
}

func (t *tree) close() {
	if t.atRoot != nil {
		t.atRoot.Close()
		t.atRoot = nil
	}
}

// empty removes everything below the root.
func (t *tree) empty() error {
	t.close()
	d, err := t.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1000)
		for _, name := range names {
			if err := t.root.RemoveAll(name); err != nil {
				return fmt.Errorf("and what was unpacked could not be removed: %w", err)
			}
		}
		if err == io.EOF || len(names) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var (
	errLeadsOut = errors.New("leads out of the archive's directory")
	errLoop     = errors.New("leads through too many links")
)

// resolve follows path from the directory dir, through the links made so far.
// What does not exist is taken for a directory: something may still come there.
func (t *tree) resolve(dir, path string) (string, error) {
	if len(t.links) == 0 && dir == "." && !strings.Contains(path, "..") {
		return path, nil
	}
	const maxSteps = 1000
	var at []string
	if dir != "." {
		at = strings.Split(dir, "/")
	}
	todo := strings.Split(path, "/")
	for steps := 0; len(todo) > 0; steps++ {
		if steps == maxSteps {
			return "", errLoop
		}
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(at) == 0 {
				return "", errLeadsOut
			}
			at = at[:len(at)-1]
			continue
		}
		at = append(at, part)
		if len(at) > maxDepth {
			return "", errLoop
		}
		if target, ok := t.links[strings.Join(at, "/")]; ok {
			at = at[:len(at)-1]
			todo = append(strings.Split(target, "/"), todo...)
		}
	}
	if len(at) == 0 {
		return ".", nil
	}
	return strings.Join(at, "/"), nil
}

// parent makes the directory that name lies in, and returns it open together
// with name's resolved path and its last part. The result is valid until the
// next call.
func (t *tree) parent(name string) (dir *os.Root, path, base string, err error) {
	in, base := split(name)
	in, err = t.resolve(".", in)
	if err != nil {
		return nil, "", "", fmt.Errorf("its name %w", err)
	}
	if err := t.mkdirAll(in); err != nil {
		return nil, "", "", err
	}
	dir, err = t.open(in)
	return dir, join(in, base), base, err
}

// open returns a directory that was made.
func (t *tree) open(dir string) (*os.Root, error) {
	if dir == "." {
		return t.root, nil
	}
	if t.atRoot != nil && t.at == dir {
		return t.atRoot, nil
	}
	r, err := t.root.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	t.close()
	t.at, t.atRoot = dir, r
	return r, nil
}

// mkdirAll makes a directory, given by its resolved path, and those above it.
func (t *tree) mkdirAll(path string) error {
	if _, ok := t.dirs[path]; ok {
		return nil
	}
	in, base := split(path)
	if err := t.mkdirAll(in); err != nil {
		return err
	}
	dir, err := t.open(in)
	if err != nil {
		return err
	}
	if err := t.limits.entry(); err != nil {
		return err
	}
	err = dir.Mkdir(base, 0o755)
	if errors.Is(err, fs.ErrExist) {
		if err := t.collision(dir, base); err != nil {
			return err
		}
		return fmt.Errorf("it lies in %q, which is not a directory", path)
	}
	if err != nil {
		return err
	}
	t.dirs[path] = attributes{}
	t.stats.Dirs++
	return nil
}

// directory makes a directory that the archive lists.
func (t *tree) directory(name string, a attributes) error {
	if name == "." {
		return nil // whoever made the destination has decided who may enter it
	}
	a.set = true
	dir, path, base, err := t.parent(name)
	if err != nil {
		return err
	}
	if _, ok := t.dirs[path]; !ok {
		if err := t.clear(dir, path, base); err != nil {
			return err
		}
		if err := t.mkdirAll(path); err != nil {
			return err
		}
	}
	t.dirs[path] = a
	return nil
}

// file makes a regular file and has write fill it.
func (t *tree) file(name string, a attributes, write func(f *os.File) error) (err error) {
	dir, path, base, err := t.parent(name)
	if err != nil {
		return err
	}
	if err := t.limits.entry(); err != nil {
		return err
	}
	f, err := dir.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if err := t.clear(dir, path, base); err != nil {
			return err
		}
		f, err = dir.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	}
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		// After closing: Windows sets the time of the last write then. A time
		// that the disk cannot hold is no reason to fail.
		if err == nil && !a.mtime.IsZero() {
			dir.Chtimes(base, a.mtime, a.mtime)
		}
	}()
	t.stats.Files++
	if err := write(f); err != nil {
		return err
	}
	return f.Chmod(a.mode&0o777 | 0o600)
}

// symlink makes a symbolic link.
func (t *tree) symlink(name, target string) error {
	if target == "" || strings.ContainsRune(target, 0) || len(target) > maxPath {
		return errors.New("it is a link without a possible target")
	}
	if isAbsolute(target) {
		return fmt.Errorf("it is a link to %q, which %w", target, errLeadsOut)
	}
	if os.PathSeparator == '\\' {
		// The system would take it for a separator, which resolve does not.
		if strings.Contains(target, `\`) {
			return fmt.Errorf("it is a link to %q, which is not possible on this system", target)
		}
	}
	dir, path, base, err := t.parent(name)
	if err != nil {
		return err
	}
	if err := t.limits.entry(); err != nil {
		return err
	}
	if err := t.clear(dir, path, base); err != nil {
		return err
	}
	if err := t.inside(path, target); err != nil {
		return err
	}
	if err := dir.Symlink(target, base); err != nil {
		return err
	}
	t.links[path] = target
	t.stats.Links++
	return nil
}

// inside refuses a link at path that leads out, taken by itself or with the
// links there are.
func (t *tree) inside(path, target string) error {
	dir, _ := split(path)
	level := 0
	if dir != "." {
		level = strings.Count(dir, "/") + 1
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			level--
		default:
			level++
		}
		if level < 0 {
			return fmt.Errorf("it is a link to %q, which %w", target, errLeadsOut)
		}
	}
	if _, err := t.resolve(dir, target); err != nil && !errors.Is(err, errLoop) {
		return fmt.Errorf("it is a link to %q, which %w", target, err)
	}
	return nil
}

// hardlink gives a file that was unpacked a second name.
func (t *tree) hardlink(name, target string, copy func(to *os.File, from *os.File) error) error {
	target, err := cleanName(target)
	if err != nil {
		return fmt.Errorf("it is a hard link whose target is refused: %w", err)
	}
	in, last := split(target)
	in, err = t.resolve(".", in)
	if err != nil {
		return fmt.Errorf("it is a hard link to %q, which %w", target, err)
	}
	target = join(in, last)
	// A link to a symbolic link is that link once more. From another directory
	// it leads elsewhere, so that it is checked anew.
	if to, ok := t.links[target]; ok {
		return t.symlink(name, to)
	}
	info, err := t.root.Lstat(target)
	if err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("it is a hard link to %q, which is no file that comes before it in the archive", target)
	}
	dir, path, base, err := t.parent(name)
	if err != nil {
		return err
	}
	if path == target {
		return nil
	}
	if err := t.limits.entry(); err != nil {
		return err
	}
	if err := t.clear(dir, path, base); err != nil {
		return err
	}
	t.stats.Files++
	err = t.root.Link(target, path)
	if err == nil || copy == nil {
		return err
	}
	return t.duplicate(target, dir, base, info, copy, err)
}

// duplicate copies a file where the disk has no hard links.
func (t *tree) duplicate(target string, dir *os.Root, base string, info fs.FileInfo, copy func(to, from *os.File) error, cause error) error {
	if !errors.Is(cause, errors.ErrUnsupported) && !errors.Is(cause, fs.ErrPermission) {
		return cause
	}
	from, err := t.root.Open(target)
	if err != nil {
		return err
	}
	defer from.Close()
	a := attributes{mode: info.Mode().Perm(), mtime: info.ModTime()}
	to, err := dir.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(copy(to, from), to.Chmod(a.mode|0o600), to.Close())
	if err == nil {
		dir.Chtimes(base, a.mtime, a.mtime)
	}
	return err
}

// clear makes way for an entry whose name has come before. Of files and links
// the later one wins, as with GNU tar; a directory goes only if it is empty.
func (t *tree) clear(dir *os.Root, path, base string) error {
	if _, err := dir.Lstat(base); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := t.collision(dir, base); err != nil {
		return err
	}
	if t.at == path && t.atRoot != nil {
		t.close()
	}
	if err := dir.Remove(base); err != nil {
		if _, ok := t.dirs[path]; ok {
			return errors.New("it comes twice, as a directory with files in it and as something else")
		}
		return err
	}
	delete(t.dirs, path)
	delete(t.links, path)
	return nil
}

// collision tells a name that came before from another name that this disk
// takes for the same one.
func (t *tree) collision(dir *os.Root, base string) error {
	folds, err := t.foldsCase()
	if err != nil || !folds {
		return err
	}
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	if slices.Contains(names, base) {
		return nil
	}
	other := base
	for _, name := range names {
		if strings.EqualFold(name, base) {
			other = name
		}
	}
	return fmt.Errorf("its name and %q are the same on this disk, which does not tell upper from lower case", other)
}

// foldsCase tries whether the disk tells upper from lower case.
func (t *tree) foldsCase() (bool, error) {
	if t.folds != nil {
		return *t.folds, nil
	}
	const probe = ".eascmd-case-probe"
	f, err := t.root.OpenFile(probe, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return false, err
	}
	f.Close()
	_, err = t.root.Lstat(strings.ToUpper(probe))
	folds := err == nil
	t.folds = &folds
	return folds, t.root.Remove(probe)
}

// finish checks the links once more, since each may lead elsewhere through
// those that came after it, and gives directories their modes and times, which
// would have been in the way before.
func (t *tree) finish() error {
	t.close()
	for path, target := range t.links {
		err := t.inside(path, target)
		if err == nil {
			err = t.realTarget(path)
		}
		if err != nil {
			return inEntry(path, err)
		}
	}
	for path, a := range t.dirs {
		if !a.set {
			continue
		}
		if err := t.root.Chmod(path, a.mode&0o777|0o700); err != nil {
			return inEntry(path, err)
		}
		if !a.mtime.IsZero() {
			t.root.Chtimes(path, a.mtime, a.mtime)
		}
	}
	return nil
}

// realTarget asks the system where a link leads. That it leads nowhere, or
// round in circles, is the archive's own affair.
func (t *tree) realTarget(path string) error {
	_, err := t.root.Stat(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return fmt.Errorf("it is a link which cannot be followed: %w", err)
}
