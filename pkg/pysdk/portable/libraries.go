package portable

import (
	"cmp"
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/elfpatch"
	"github.com/openeas/eascmd/internal/ldcache"
)

// libDir is where the libraries of a tree lie that belong to no package.
const libDir = "lib"

// glibc are the libraries that a machine's loader has to bring itself: they
// belong together with it and with its files of locales and character sets.
var glibc = []string{
	"libc.so.", "libm.so.", "libdl.so.", "libpthread.so.", "librt.so.", "libutil.so.", "libresolv.so.", "libanl.so.",
	"libnsl.so.1", "libmvec.so.", "libBrokenLocale.so.", "libthread_db.so.", "libnss_", "ld-linux", "ld64.so.", "ld.so.",
	"linux-vdso.so.", "libc_malloc_debug.so.",
}

// drivers are libraries that belong to the driver of a device, and so to the
// machine.
var drivers = []string{"libcuda.so", "libnvidia-", "libnvcuvid.so", "libnvoptix.so", "libcudadebugger.so"}

func hasPrefix(list []string, name string) bool {
	return slices.ContainsFunc(list, func(p string) bool { return strings.HasPrefix(name, p) })
}

// libraries finds the shared libraries of this machine, as its loader does.
type libraries struct {
	cache map[string]string
	dirs  []string
}

func newLibraries() *libraries {
	l := &libraries{}
	if data, err := os.ReadFile("/etc/ld.so.cache"); err == nil {
		l.cache = ldcache.Parse(data)
	}
	for _, dir := range []string{"/lib", "/usr/lib"} {
		multiarch, err := filepath.Glob(dir + "/*-linux-gnu")
		if err == nil {
			l.dirs = append(l.dirs, multiarch...)
		}
	}
	l.dirs = append(l.dirs, "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
	return l
}

// find returns the file of a library for a CPU.
func (l *libraries) find(name string, machine elf.Machine, first []string) (string, bool) {
	var paths []string
	for _, dir := range first {
		paths = append(paths, filepath.Join(dir, name))
	}
	if p := l.cache[name]; p != "" {
		paths = append(paths, p)
	}
	for _, dir := range l.dirs {
		paths = append(paths, filepath.Join(dir, name))
	}
	for _, p := range paths {
		if f, err := readProgram(p); err == nil && f.Machine == machine && f.Dynamic {
			return p, true
		}
	}
	return "", false
}

func readProgram(name string) (*elfpatch.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return elfpatch.Read(f, info.Size())
}

// addLibraries brings along what the programs of the tree need and neither it
// nor glibc has.
func (b *builder) addLibraries() error {
	exe, err := b.require(b.program)
	if err != nil {
		return err
	}
	if exe.seen.elf == nil {
		return fmt.Errorf("%s is no program of Linux", origin(exe))
	}
	b.machine = exe.seen.elf.Machine
	queue := slices.Sorted(maps.Keys(b.items))
	have := b.libraryNames()
	missing := map[string][]string{}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		it := b.items[name]
		f := it.seen.elf
		if f == nil || !f.Dynamic || f.Machine != b.machine {
			continue
		}
		for _, need := range f.Needed {
			if hasPrefix(glibc, need) || b.provides(it, need) {
				continue
			}
			if hasPrefix(drivers, need) {
				b.find(Note, name, "", "needs %s, which the driver of the machine brings", need)
				continue
			}
			file, ok := b.libs.find(need, b.machine, append(b.ownDirs(it), b.ownDirs(exe)...))
			if !ok && have[need] == "" {
				missing[need] = append(missing[need], name)
			}
			// NVIDIA's packages load their libraries before others need them.
			if !ok || strings.Contains(have[need], "/nvidia/") {
				continue
			}
			added, err := b.bringAlong(need, file)
			if err != nil {
				return err
			}
			queue = append(queue, added)
		}
	}
	for _, need := range slices.Sorted(maps.Keys(missing)) {
		for _, name := range missing[need] {
			b.find(Warning, name, fmt.Sprintf("install what has %s on this machine and pack again, or see that the image has it", need),
				"needs %s, which neither the environment nor this machine has", need)
		}
	}
	return nil
}

// libraryNames returns the libraries anywhere in the tree by the names that
// they are needed by.
func (b *builder) libraryNames() map[string]string {
	names := map[string]string{}
	for name, it := range b.items {
		if strings.Contains(path.Base(name), ".so") {
			names[path.Base(name)] = name
		}
		if f := it.seen.elf; f != nil && f.Soname != "" {
			names[f.Soname] = name
		}
	}
	return names
}

// provides reports whether the loader finds a library for a file in the tree:
// where the file's search path leads, or among the libraries of all.
func (b *builder) provides(it *item, need string) bool {
	if b.items[path.Join(libDir, need)] != nil {
		return true
	}
	for _, dir := range b.searchPath(it) {
		if b.items[path.Join(dir, need)] != nil {
			return true
		}
	}
	return false
}

// ownDirs returns the directories of this machine in which a file looks itself.
func (b *builder) ownDirs(it *item) []string {
	f := it.seen.elf
	var dirs []string
	for _, entry := range splitPath(f) {
		if filepath.IsAbs(entry) {
			dirs = append(dirs, entry)
		} else if rest, ok := cutOrigin(entry); ok && it.source != "" {
			dirs = append(dirs, filepath.Join(filepath.Dir(it.source), rest))
		}
	}
	return dirs
}

// splitPath returns the directories that a file is searched for in, of which
// those of DT_RUNPATH count where there are both.
func splitPath(f *elfpatch.File) []string {
	text := f.RunPath
	if text == "" {
		text = f.RPath
	}
	return slices.DeleteFunc(strings.Split(text, ":"), func(s string) bool { return s == "" })
}

// cutOrigin returns what follows $ORIGIN in a directory of a search path.
func cutOrigin(entry string) (string, bool) {
	for _, o := range []string{"$ORIGIN", "${ORIGIN}"} {
		if rest, ok := strings.CutPrefix(entry, o); ok && (rest == "" || rest[0] == '/') {
			return rest, true
		}
	}
	return "", false
}

// searchPath returns the directories of the tree that a file's own search path
// leads to.
func (b *builder) searchPath(it *item) []string {
	var dirs []string
	for _, entry := range splitPath(it.seen.elf) {
		if dir, ok := b.searchDir(it, entry); ok && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// searchDir returns the directory of the tree that an entry of a search path
// leads to, where it leads to one.
func (b *builder) searchDir(it *item, entry string) (string, bool) {
	if rest, ok := cutOrigin(entry); ok {
		dir := path.Join("/tree", path.Dir(it.Name), rest)
		rel, ok := strings.CutPrefix(dir+"/", "/tree/")
		return strings.TrimSuffix(rel, "/"), ok
	}
	for _, old := range b.old {
		if rel, ok := below(entry, old); ok {
			return path.Clean(rel), true
		}
	}
	return "", false
}

// bringAlong adds a library of this machine and returns its name in the tree.
func (b *builder) bringAlong(need, file string) (string, error) {
	resolved, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return "", err
	}
	name := path.Join(libDir, need)
	it := b.file(name, resolved, info)
	it.Mode, it.Same = 0o755, ""
	return name, b.inspectFile(it)
}

// editPrograms gives the executable its search path, and takes those away that
// would keep a file from inheriting it or lead to the old place.
func (b *builder) editPrograms() error {
	for _, name := range slices.Sorted(maps.Keys(b.items)) {
		it := b.items[name]
		if f := it.seen.elf; f == nil || !f.Dynamic || f.Machine != b.machine {
			continue
		}
		if err := b.setRPath(it, strings.Join(b.newPath(it), ":")); err != nil {
			return err
		}
	}
	return nil
}

// newPath returns the directories in which a file is to be searched for
// libraries before those that it inherits.
func (b *builder) newPath(it *item) []string {
	f := it.seen.elf
	var dirs []string
	for _, entry := range splitPath(f) {
		dir, ok := b.searchDir(it, entry)
		if !ok {
			continue // it leads out of the tree
		}
		if _, ok := cutOrigin(entry); ok {
			dirs = append(dirs, entry)
		} else if dir != libDir {
			dirs = append(dirs, fromOrigin(it.Name, dir))
		}
	}
	// Nobody loads a program, so that it has nothing to inherit from.
	needs := slices.ContainsFunc(f.Needed, func(need string) bool { return b.items[path.Join(libDir, need)] != nil })
	if it.Name == b.program || f.Interp != "" && needs {
		if have := slices.ContainsFunc(dirs, func(entry string) bool { dir, _ := b.searchDir(it, entry); return dir == libDir }); !have {
			dirs = append(dirs, fromOrigin(it.Name, libDir))
		}
	}
	return dirs
}

// fromOrigin returns a directory of the tree as an entry of a file's search path.
func fromOrigin(name, dir string) string {
	rel := relative(path.Dir(name), dir)
	if rel == "." {
		return "$ORIGIN"
	}
	return "$ORIGIN/" + rel
}

// setRPath gives a file a search path. One that cannot be edited is a finding;
// that of the interpreter itself is an error.
func (b *builder) setRPath(it *item, rpath string) error {
	if f := it.seen.elf; f.RunPath == "" && f.RPath == rpath {
		return nil
	}
	file, err := os.Open(it.source)
	if err != nil {
		return err
	}
	defer file.Close()
	fresh, err := elfpatch.Read(file, it.Size)
	if err != nil {
		return fmt.Errorf("read %s again: %w", it.source, err)
	}
	patch, err := fresh.SetRPath(rpath)
	switch {
	case err != nil && it.Name == b.program:
		return fmt.Errorf("give %s a library search path: %w", it.source, err)
	case err != nil:
		b.find(Warning, it.Name, "", "its library search path %q cannot be edited: %v", cmp.Or(fresh.RunPath, fresh.RPath), err)
	case patch != nil:
		it.patch(patch)
		if len(it.seen.hits) > 0 {
			return b.recount(it)
		}
	}
	return nil
}
