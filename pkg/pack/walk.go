package pack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/openeas/eascmd/internal/fault"
)

// WalkOptions say what Walk leaves out.
type WalkOptions struct {
	// Ignore says what is left out; nil means nothing is.
	Ignore *Ignore
	// Except are directories at the root that somebody else looks after.
	Except []string
}

// LeftOut is something that is not packed.
type LeftOut struct {
	Name string `json:"name"` // as in the archive; of a directory, with a slash at its end
	Why  string `json:"why"`
}

// Walk finds what goes into a package: all that is below the directory root,
// sorted by path. Sockets, FIFOs and devices are left out.
//
// A symbolic link stays one where it leads to somewhere below root; an absolute
// one then becomes relative. Links that lead elsewhere are an error, which names
// them, and so is what cannot be read: whatever fails, fails before anything
// is written.
func Walk(ctx context.Context, root string, o WalkOptions) ([]Entry, []LeftOut, error) {
	real, err := filepath.EvalSymlinks(root)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return nil, nil, fault.New(fault.Failed, "read the directory %s: %w", root, err)
	}
	w := &walk{root: root, real: real, ignore: o.Ignore, except: o.Except}
	if w.ignore == nil {
		w.ignore = &Ignore{}
	}
	w.group, w.ctx = errgroup.WithContext(ctx)
	w.group.SetLimit(2 * runtime.GOMAXPROCS(0))
	w.group.Go(func() error { return w.directory(".", verdict{rule: -1}) })
	if err := w.group.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, nil, fault.New(fault.Interrupted, "%w", ctx.Err())
		}
		return nil, nil, err
	}
	if len(w.outside) > 0 {
		return nil, nil, w.leadOut()
	}
	slices.SortFunc(w.entries, func(a, b Entry) int { return comparePaths(a.Name, b.Name) })
	slices.SortFunc(w.left, func(a, b LeftOut) int { return cmp.Compare(a.Name, b.Name) })
	return w.entries, w.left, nil
}

type walk struct {
	ctx        context.Context
	root, real string // as it was given, and without links
	ignore     *Ignore
	except     []string
	group      *errgroup.Group

	mu      sync.Mutex
	entries []Entry
	left    []LeftOut
	outside []string // links that lead out, with their targets
}

// found is what one directory holds.
type found struct {
	entries []Entry
	left    []LeftOut
	outside []string
}

// directory walks a directory; v is what the rules say of it.
func (w *walk) directory(name string, v verdict) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	list, err := os.ReadDir(w.path(name))
	if err != nil {
		return fault.New(fault.Failed, "pack %s: %w", w.path(name), plain(err)).WithHint(unreadable)
	}
	var f found
	for _, d := range list {
		if err := w.item(&f, join(name, d.Name()), d, v); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries = append(w.entries, f.entries...)
	w.left = append(w.left, f.left...)
	w.outside = append(w.outside, f.outside...)
	return nil
}

// plain drops the path that an error of the system carries.
func plain(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

const unreadable = "make it readable, or leave it out in " + IgnoreFile

func (w *walk) path(name string) string { return filepath.Join(w.root, filepath.FromSlash(name)) }

// item deals with one thing in a directory.
func (w *walk) item(f *found, name string, d fs.DirEntry, parent verdict) error {
	if slices.Contains(w.except, name) {
		return nil
	}
	v := w.ignore.below(parent, name, d.IsDir())
	if v.out {
		if !parent.out {
			f.leave(name, d, v.why)
		}
		if d.IsDir() && w.ignore.mayTakeBack(v, name) {
			return w.descend(name, v)
		}
		return nil
	}
	switch {
	case d.IsDir():
		f.entries = append(f.entries, Entry{Name: name, Mode: fs.ModeDir | 0o755})
		return w.descend(name, v)
	case d.Type()&fs.ModeSymlink != 0:
		return w.link(f, name)
	case !d.Type().IsRegular():
		f.leave(name, d, "it is "+kindOf(d.Type()))
		return nil
	}
	info, err := d.Info()
	if err == nil {
		err = readable(w.path(name))
	}
	if err != nil {
		return fault.New(fault.Failed, "pack %s: %w", w.path(name), plain(err)).WithHint(unreadable)
	}
	e := FileEntry(name, w.path(name), info)
	e.Same = sameFile(info)
	f.entries = append(f.entries, e)
	return nil
}

func (f *found) leave(name string, d fs.DirEntry, why string) {
	if d.IsDir() {
		name += "/"
	}
	f.left = append(f.left, LeftOut{Name: name, Why: why})
}

// descend walks a directory at once, or lets another goroutine do it.
func (w *walk) descend(name string, v verdict) error {
	if w.group.TryGo(func() error { return w.directory(name, v) }) {
		return nil
	}
	return w.directory(name, v)
}

// link takes a symbolic link, in a form that is good anywhere.
func (w *walk) link(f *found, name string) error {
	target, err := os.Readlink(w.path(name))
	if err != nil {
		return fault.New(fault.Failed, "pack %s: %w", w.path(name), plain(err))
	}
	to := filepath.ToSlash(target)
	if filepath.IsAbs(target) {
		rel, ok := w.within(target)
		if !ok {
			f.outside = append(f.outside, name+" -> "+target)
			return nil
		}
		if to, err = relative(path.Dir(name), rel); err != nil {
			return err
		}
	}
	if leadsOut(name, to) || w.reallyLeadsOut(name) {
		f.outside = append(f.outside, name+" -> "+target)
		return nil
	}
	f.entries = append(f.entries, Entry{Name: name, Mode: fs.ModeSymlink | 0o777, Link: to})
	return nil
}

// within returns where an absolute path lies below the root.
func (w *walk) within(target string) (string, bool) {
	abs, err := filepath.Abs(w.root)
	if err != nil {
		return "", false
	}
	for _, root := range []string{abs, w.real} {
		if rel, err := filepath.Rel(root, target); err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel), true
		}
	}
	return "", false
}

// reallyLeadsOut asks the system where a link leads, which may be by way of
// other links. One that leads nowhere leads nowhere anywhere.
func (w *walk) reallyLeadsOut(name string) bool {
	to, err := filepath.EvalSymlinks(w.path(name))
	if err != nil {
		return false
	}
	if to, err = filepath.Abs(to); err != nil {
		return false
	}
	rel, err := filepath.Rel(w.real, to)
	return err != nil || !filepath.IsLocal(rel)
}

// relative returns how a name is reached from a directory, both below the root.
func relative(dir, name string) (string, error) {
	rel, err := filepath.Rel(filepath.FromSlash(dir), filepath.FromSlash(name))
	return filepath.ToSlash(rel), err
}

func (w *walk) leadOut() error {
	const shown = 5
	slices.Sort(w.outside)
	var list strings.Builder
	for _, link := range w.outside[:min(shown, len(w.outside))] {
		fmt.Fprintf(&list, "\n  %s", link)
	}
	if more := len(w.outside) - shown; more > 0 {
		fmt.Fprintf(&list, "\n  and %d more", more)
	}
	name, _, _ := strings.Cut(w.outside[0], " -> ")
	return fault.New(fault.Failed, "links in %s lead out of it, to what will not be there when the package is unpacked:%s", w.root, list.String()).
		WithHint("put a copy in the link's place, or leave it out: add /%s to %s", name, IgnoreFile)
}
