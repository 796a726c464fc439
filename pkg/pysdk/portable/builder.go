package portable

import (
	"cmp"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// builder collects the files of a tree. Names are relative to its root.
type builder struct {
	ctx    context.Context
	python *python.Interpreter
	opts   Options

	// old are the directories that the tree is to be independent of, the longest
	// first: the environment's and its interpreter's. Those of a whole system,
	// such as /usr, are not among them: they are named everywhere.
	old []string

	kind    Kind
	root    string // the environment's directory on this machine
	program string // the interpreter, bin/python3.11
	stdlib  string // the standard library, lib/python3.11
	items   map[string]*item
	left    map[string]string
	finds   []Finding
	built   []Built

	recorded map[string]recorded // conda's files that name the environment's directory

	machine elf.Machine // the interpreter's CPU
	libs    *libraries
}

// item is a file of a tree.
type item struct {
	pack.Entry
	source string // the file of this machine that it comes from; may be empty
	data   []byte // its content, where it is not as in source
	redone bool   // what Open yields is not as in source
	seen   inspection
}

func newBuilder(ctx context.Context, i *python.Interpreter, opts Options) (*builder, error) {
	if i.System != "linux" {
		return nil, fault.New(fault.Missing, "the Python %s is for %s, and only Linux's can be copied", i.Executable, i.System).
			WithHint("make the environment on Linux, or in a container")
	}
	if i.Libc == "musl" {
		return nil, fault.New(fault.Missing, "the Python %s is built for musl, and where services run there is the GNU C library", i.Executable).
			WithHint("make the environment on a Linux with the GNU C library, such as Debian")
	}
	if i.Implementation != "cpython" {
		return nil, fault.New(fault.Missing, "the Python %s is %s, and only CPython can be copied", i.Executable, i.Implementation)
	}
	b := &builder{
		ctx: ctx, python: i, opts: opts,
		items: map[string]*item{}, left: map[string]string{},
		libs: newLibraries(),
	}
	b.addOld(i.BasePrefix)
	return b, nil
}

// systemPrefixes are directories that a Python may be installed in and that
// other things are installed in too.
var systemPrefixes = []string{"/", "/usr", "/usr/local", "/opt", "/opt/local"}

// addOld adds a directory that the tree is to be independent of, and the one
// that it is a link to.
func (b *builder) addOld(dir string) {
	dirs := []string{filepath.Clean(dir)}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dirs = append(dirs, resolved)
	}
	for _, d := range dirs {
		if !slices.Contains(systemPrefixes, d) && !slices.Contains(b.old, d) {
			b.old = append(b.old, d)
		}
	}
	slices.SortFunc(b.old, func(a, c string) int { return cmp.Compare(len(c), len(a)) })
}

// leave notes that a file is not in the tree.
func (b *builder) leave(name, why string) { b.left[name] = why }

func (b *builder) find(s Severity, name, hint, format string, args ...any) {
	b.finds = append(b.finds, Finding{s, name, fmt.Sprintf(format, args...), hint})
}

// put adds a file with a content of its own.
func (b *builder) put(name string, mode fs.FileMode, data []byte) *item {
	it := &item{Entry: pack.DataEntry(name, mode, data), data: data}
	b.items[name] = it
	return it
}

// link adds a symbolic link.
func (b *builder) link(name, target string) {
	b.items[name] = &item{Entry: pack.Entry{Name: name, Mode: fs.ModeSymlink | 0o777, Link: target}}
}

// dir adds a directory that may have nothing in it.
func (b *builder) dir(name string) {
	b.items[name] = &item{Entry: pack.Entry{Name: name, Mode: fs.ModeDir | 0o755}}
}

// setData replaces the content of a file.
func (it *item) setData(data []byte) {
	it.data = data
	it.Entry = pack.DataEntry(it.Name, it.Mode, data)
}

// edited reports whether a file has another content than it had.
func (it *item) edited() bool { return it.data != nil || it.redone }

// content returns the content of a file, which is to be a small one.
func (it *item) content() ([]byte, error) {
	if it.data != nil || it.source == "" {
		return it.data, nil
	}
	return os.ReadFile(it.source)
}

// file adds a regular file of this machine.
func (b *builder) file(name, source string, info fs.FileInfo) *item {
	it := &item{Entry: pack.FileEntry(name, source, info), source: source}
	it.Mode = info.Mode().Perm() | 0o400 // our own copy has to be readable
	it.Same = sameFile(info)
	b.items[name] = it
	return it
}

// keep decides about a file or directory below a directory that is added: a
// reason leaves it out.
type keep func(rel string, d fs.DirEntry) (why string)

// addDir adds a directory of this machine under a name. What a link leads to
// outside of it is taken in its place, unless it is in the tree at a place that
// is known (see [builder.place]).
func (b *builder) addDir(name, dir string, keep keep) error {
	return b.walk(name, dir, "", keep, nil)
}

// walk adds the directory rel below dir. within are the directories on the way
// whose links were followed, lest it goes round in circles.
//
// Where a file is in the tree already, it stays.
func (b *builder) walk(name, dir, rel string, keep keep, within []string) error {
	if err := b.ctx.Err(); err != nil {
		return fault.New(fault.Interrupted, "%w", context.Cause(b.ctx))
	}
	list, err := os.ReadDir(filepath.Join(dir, rel))
	if err != nil {
		return err
	}
	for _, d := range list {
		r := path.Join(rel, d.Name())
		n, source := path.Join(name, r), filepath.Join(dir, r)
		if it := b.items[n]; it != nil && !it.Mode.IsDir() {
			continue
		}
		if why := keep(r, d); why != "" {
			if why != quiet {
				b.leave(n, why)
			}
			continue
		}
		switch {
		case d.IsDir():
			if err := b.walk(name, dir, r, keep, within); err != nil {
				return err
			}
		case d.Type() == fs.ModeSymlink:
			if err := b.addLink(name, dir, r, keep, within); err != nil {
				return err
			}
		case d.Type().IsRegular():
			info, err := d.Info()
			if err != nil {
				return err
			}
			b.file(n, source, info)
		default:
			b.leave(n, "neither a file nor a directory")
		}
	}
	if len(list) == 0 && path.Join(name, rel) != "" {
		b.dir(path.Join(name, rel))
	}
	return nil
}

// quiet leaves something out that nobody misses.
const quiet = "-"

// addLink adds a link of this machine: as a relative one where it leads to
// something of the tree, and otherwise as what it leads to.
func (b *builder) addLink(name, dir, rel string, keep keep, within []string) error {
	n, source := path.Join(name, rel), filepath.Join(dir, rel)
	target, err := os.Readlink(source)
	if err != nil {
		return err
	}
	abs := target
	if !filepath.IsAbs(abs) {
		abs = filepath.Join(filepath.Dir(source), target)
	}
	if to, ok := below(abs, dir); ok && within == nil {
		b.link(n, relative(path.Dir(n), path.Join(name, to)))
		return nil
	}
	info, err := os.Stat(source)
	if err != nil {
		b.leave(n, "a link that leads nowhere ("+target+")")
		return nil
	}
	if info.IsDir() {
		resolved, err := filepath.EvalSymlinks(source)
		if err != nil {
			return err
		}
		if slices.Contains(within, resolved) {
			b.leave(n, "a link that leads to itself ("+target+")")
			return nil
		}
		b.find(Note, n, "", "the directory %s, which a link leads to, comes along", resolved)
		return b.walk(n, resolved, "", keep, append(within, resolved))
	}
	if !info.Mode().IsRegular() {
		b.leave(n, "neither a file nor a directory")
		return nil
	}
	b.file(n, source, info)
	return nil
}

// below returns the path of abs relative to dir, where it is below it.
func below(abs, dir string) (string, bool) {
	rel, err := filepath.Rel(dir, abs)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	return filepath.ToSlash(rel), true
}

// relative returns the path from the directory from to a name, both in the tree.
func relative(from, to string) string {
	rel, err := filepath.Rel("/"+from, "/"+to)
	if err != nil {
		return to // both are absolute, so that it has no reason to fail
	}
	return filepath.ToSlash(rel)
}

// tree finishes: it reads what was collected, edits it and brings the missing
// libraries along.
func (b *builder) tree() (*Tree, error) {
	b.dropBytecode()
	b.dropLinks()
	if err := b.inspect(); err != nil {
		return nil, err
	}
	if err := b.editTexts(); err != nil {
		return nil, err
	}
	if err := b.addLibraries(); err != nil {
		return nil, err
	}
	if err := b.editPrograms(); err != nil {
		return nil, err
	}
	if err := b.editRecords(); err != nil {
		return nil, err
	}
	if err := b.compile(); err != nil {
		return nil, err
	}
	b.checkFiles()
	t := &Tree{Kind: b.kind}
	for _, name := range slices.Sorted(maps.Keys(b.items)) {
		e := b.items[name].Entry
		e.Name = path.Join(b.opts.Name, e.Name)
		t.Entries = append(t.Entries, e)
	}
	entries, stale, err := pack.Bytecode(b.ctx, withDirectories(t.Entries))
	if err != nil {
		return nil, err
	}
	t.Entries = entries
	for _, name := range slices.Sorted(maps.Keys(b.left)) {
		t.LeftOut = append(t.LeftOut, LeftOut{path.Join(b.opts.Name, name), b.left[name]})
	}
	for _, l := range stale {
		t.LeftOut = append(t.LeftOut, LeftOut{l.Name, "bytecode: " + l.Why})
	}
	slices.SortFunc(t.LeftOut, func(a, c LeftOut) int { return cmp.Compare(a.Path, c.Path) })
	for _, f := range b.finds {
		if f.Path != "" {
			f.Path = path.Join(b.opts.Name, f.Path)
		}
		t.Findings = append(t.Findings, f)
	}
	slices.SortStableFunc(t.Findings, func(a, c Finding) int {
		return cmp.Or(-cmp.Compare(a.Severity, c.Severity), cmp.Compare(a.Path, c.Path), cmp.Compare(a.Text, c.Text))
	})
	for _, c := range b.built {
		c.Path = path.Join(b.opts.Name, c.Path)
		t.Built = append(t.Built, c)
	}
	slices.SortFunc(t.Built, func(a, c Built) int { return cmp.Or(cmp.Compare(a.Path, c.Path), cmp.Compare(a.Text, c.Text)) })
	return t, nil
}

// dropBytecode leaves out what another Python has compiled.
func (b *builder) dropBytecode() {
	tag := fmt.Sprintf(".%s-%d%d.", b.python.Implementation, b.python.Major, b.python.Minor)
	for name := range b.items {
		dir, base := path.Split(name)
		if path.Base(dir) == "__pycache__" && strings.HasSuffix(base, ".pyc") && !strings.Contains(base, tag) {
			delete(b.items, name)
		}
	}
}

// dropLinks leaves out links to what is not in the tree.
func (b *builder) dropLinks() {
	have := map[string]bool{".": true}
	for name := range b.items {
		for ; !have[name]; name = path.Dir(name) {
			have[name] = true
		}
	}
	for name, it := range b.items {
		if it.Mode&fs.ModeSymlink == 0 {
			continue
		}
		if _, ok := b.follow(name, have); !ok {
			delete(b.items, name)
			b.leave(name, "a link to "+it.Link+", which is not there")
		}
	}
}

// maxLinks is how many links may follow each other, as for Linux.
const maxLinks = 40

// follow returns what a name in the tree stands for after all links, those of
// its directories among them. have are all names of the tree, directories too.
func (b *builder) follow(name string, have map[string]bool) (string, bool) {
	done, rest := ".", strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		next := path.Join(done, rest[0])
		rest = rest[1:]
		if next == ".." || strings.HasPrefix(next, "../") {
			return "", false
		}
		if it := b.items[next]; it != nil && it.Mode&fs.ModeSymlink != 0 {
			if links++; links > maxLinks {
				return "", false
			}
			rest = append(strings.Split(it.Link, "/"), rest...)
			continue
		}
		if have != nil && !have[next] {
			return "", false
		}
		done = next
	}
	return done, true
}

// withDirectories adds an entry for every directory that has none.
func withDirectories(entries []pack.Entry) []pack.Entry {
	have := map[string]bool{}
	for _, e := range entries {
		have[e.Name] = true
	}
	for _, e := range entries {
		for dir := path.Dir(e.Name); dir != "." && !have[dir]; dir = path.Dir(dir) {
			have[dir] = true
			entries = append(entries, pack.Entry{Name: dir, Mode: fs.ModeDir | 0o755})
		}
	}
	slices.SortFunc(entries, func(a, c pack.Entry) int { return cmp.Compare(a.Name, c.Name) })
	return entries
}
