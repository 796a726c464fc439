package check

import (
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/ldcache"
)

// maxObjects bounds the libraries that one processor may need.
const maxObjects = 2048

// closure is the set of objects that loading the root would load, in the
// order in which the loader looks symbols up.
type closure struct {
	opts  Options
	root  *object
	files []*os.File

	loaded  []*loaded // breadth first, root first
	global  []*object // what the host has loaded before: its C library
	byName  map[string]*loaded
	byPath  map[string]*loaded
	missing []missing
	foreign bool      // the platform has a library whose symbols are not known
	known   []*object // of this machine, for the names of what a platform has

	musl  string            // path of musl's loader where that is the C library, else empty
	cache map[string]string // ld.so.cache: name -> path; nil until read
}

// loaded is an object of the closure.
type loaded struct {
	*object
	asked    string // the name that it was asked for
	neededBy *loaded
}

// missing is a library that was not found.
type missing struct {
	name     string
	neededBy []string
	wrong    string // what was found in its stead: "/usr/lib/libx.so is built for arm64"
}

// load finds everything that the root needs.
func (c *closure) load() {
	c.byName, c.byPath = map[string]*loaded{}, map[string]*loaded{}
	c.musl = c.muslLoader()

	root := &loaded{object: c.root, asked: c.root.name}
	c.enter(root, c.root.name, c.root.path)
	// The host is a C program: what its C library offers comes first.
	for _, name := range append(slices.Clone(c.opts.Preload), "libc.so.6", "libdl.so.2", "libpthread.so.0") {
		if path, _ := c.find(name, nil); path != "" {
			if o := c.open(path); o != nil {
				c.global = append(c.global, o)
			}
		}
	}
	for i := 0; i < len(c.loaded) && len(c.loaded) < maxObjects; i++ {
		by := c.loaded[i]
		for _, name := range by.needed {
			c.need(name, by)
		}
	}
	if c.opts.Platform != nil {
		c.loadKnown()
	}
}

func (c *closure) close() {
	for _, f := range c.files {
		_ = f.Close()
	}
}

// need loads one DT_NEEDED.
func (c *closure) need(name string, by *loaded) {
	if _, ok := c.byName[name]; ok {
		return
	}
	for i := range c.missing {
		if m := &c.missing[i]; m.name == name {
			m.neededBy = append(m.neededBy, by.name)
			return
		}
	}
	path, wrong := c.find(name, by)
	if path == "" && c.provided(name) {
		c.foreign = c.foreign || !c.opts.Platform.knows(name)
		return
	}
	if path == "" {
		c.missing = append(c.missing, missing{name: name, neededBy: []string{by.name}, wrong: wrong})
		return
	}
	if l, ok := c.byPath[path]; ok {
		c.byName[name] = l
		return
	}
	o := c.open(path)
	if o == nil {
		c.missing = append(c.missing, missing{name: name, neededBy: []string{by.name}, wrong: path + " is damaged"})
		return
	}
	c.enter(&loaded{object: o, asked: name, neededBy: by}, name, path)
}

func (c *closure) enter(l *loaded, name, path string) {
	c.loaded = append(c.loaded, l)
	c.byPath[path] = l
	c.byName[name] = l
	if l.soname != "" {
		if _, ok := c.byName[l.soname]; !ok {
			c.byName[l.soname] = l
		}
	}
}

func (c *closure) open(path string) *object {
	if l, ok := c.byPath[path]; ok {
		return l.object
	}
	for _, o := range c.global {
		if o.path == path {
			return o
		}
	}
	real, err := c.locate(path)
	if err != nil {
		return nil
	}
	o, f, err := open(real)
	if err != nil {
		return nil
	}
	c.files = append(c.files, f)
	o.path, o.name = path, filepath.Base(path)
	return o
}

// libraries lists the closure for the report.
func (c *closure) libraries() []Library {
	var out []Library
	for _, l := range c.loaded[1:] {
		out = append(out, Library{Name: l.asked, Path: l.path, NeededBy: l.neededBy.name})
	}
	for _, m := range c.missing {
		out = append(out, Library{Name: m.name, NeededBy: m.neededBy[0]})
	}
	return out
}

// find looks for a library as the loader does, and returns its path as the
// loader would spell it. wrong says what was found but does not fit.
func (c *closure) find(name string, by *loaded) (path, wrong string) {
	if strings.Contains(name, "/") {
		name = c.expand(name, by)
		path = c.absolute(name)
		if ok, why := c.fits(path); ok {
			return path, ""
		} else {
			return "", why
		}
	}
	if c.musl != "" && muslOwn(name) {
		return c.musl, ""
	}
	for _, dir := range c.searchPath(by) {
		candidate := filepath.Join(dir, name)
		ok, why := c.fits(candidate)
		if ok {
			return candidate, ""
		}
		if wrong == "" {
			wrong = why
		}
	}
	if c.musl == "" && (by == nil || by.flags1&df1NoDefaultLib == 0) {
		if cached := c.cached(name); cached != "" {
			ok, why := c.fits(cached)
			if ok {
				return cached, ""
			}
			if wrong == "" {
				wrong = why
			}
		}
	}
	if by == nil || by.flags1&df1NoDefaultLib == 0 {
		for _, dir := range c.defaultDirs() {
			candidate := filepath.Join(dir, name)
			ok, why := c.fits(candidate)
			if ok {
				return candidate, ""
			}
			if wrong == "" {
				wrong = why
			}
		}
	}
	return "", wrong
}

const df1NoDefaultLib = 0x800

// searchPath is the list of directories that come before the default ones.
func (c *closure) searchPath(by *loaded) []string {
	var dirs []string
	// DT_RPATH counts where the object that asks has no DT_RUNPATH, and is
	// inherited from those that asked for it.
	if by != nil && by.runpath == "" {
		for l := by; l != nil; l = l.neededBy {
			if l.runpath == "" {
				dirs = append(dirs, c.split(l.rpath, l)...)
			}
		}
	}
	for _, dir := range c.opts.LibraryPath {
		// An empty entry is the working directory.
		dirs = append(dirs, c.absolute(c.expand(dir, nil)))
	}
	if by != nil {
		dirs = append(dirs, c.split(by.runpath, by)...)
	}
	return dirs
}

func (c *closure) split(path string, by *loaded) []string {
	if path == "" {
		return nil
	}
	var dirs []string
	for dir := range strings.SplitSeq(path, ":") {
		dirs = append(dirs, c.absolute(c.expand(dir, by)))
	}
	return dirs
}

// absolute makes a path one that does not depend on the working directory.
func (c *closure) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.opts.WorkDir, path)
}

// expand replaces the loader's variables.
func (c *closure) expand(path string, by *loaded) string {
	if !strings.Contains(path, "$") {
		return path
	}
	origin := c.opts.WorkDir
	if by != nil {
		origin = filepath.Dir(by.path)
	}
	lib, platform := "lib64", "x86_64"
	if c.opts.Machine == elf.EM_AARCH64 {
		platform = "aarch64"
	}
	if multiarch := "lib/" + platform + "-linux-gnu"; c.isDir("/" + multiarch) {
		lib = multiarch
	}
	return strings.NewReplacer("${ORIGIN}", origin, "$ORIGIN", origin, "${LIB}", lib, "$LIB", lib,
		"${PLATFORM}", platform, "$PLATFORM", platform).Replace(path)
}

func (c *closure) defaultDirs() []string {
	platform := "x86_64-linux-gnu"
	if c.opts.Machine == elf.EM_AARCH64 {
		platform = "aarch64-linux-gnu"
	}
	if c.musl != "" {
		name := strings.TrimSuffix(filepath.Base(c.musl), ".so.1") + ".path"
		if data := c.readFile(filepath.Join("/etc", name), 64<<10); data != nil {
			return strings.FieldsFunc(string(data), func(r rune) bool { return r == ':' || r == '\n' })
		}
		return []string{"/lib", "/usr/local/lib", "/usr/lib"}
	}
	return []string{"/lib/" + platform, "/usr/lib/" + platform, "/lib64", "/usr/lib64", "/lib", "/usr/lib"}
}

// fits says whether there is a shared object for the CPU at path; if there is
// something else, why it does not fit.
func (c *closure) fits(path string) (bool, string) {
	if _, ok := c.byPath[path]; ok {
		return true, ""
	}
	real, err := c.locate(path)
	if err != nil {
		return false, ""
	}
	f, err := os.Open(real)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return false, path + " may not be read"
		}
		return false, ""
	}
	defer f.Close()
	head := make([]byte, 64)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return false, "" // a directory
	}
	head = head[:n]
	if n < 64 || !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		what, _ := identify(head)
		if n == 0 {
			what = "an empty file"
		}
		return false, path + " is " + what
	}
	machine := elf.Machine(order.Uint16(head[18:]))
	if machine != c.opts.Machine || elf.Class(head[elf.EI_CLASS]) != elf.ELFCLASS64 {
		return false, path + " is built for " + cpu(machine)
	}
	return true, ""
}

// muslLoader returns the path of musl's loader where there is no glibc.
func (c *closure) muslLoader() string {
	platform, glibc := "x86_64", "/lib64/ld-linux-x86-64.so.2"
	if c.opts.Machine == elf.EM_AARCH64 {
		platform, glibc = "aarch64", "/lib/ld-linux-aarch64.so.1"
	}
	if _, err := c.locate(glibc); err == nil {
		return ""
	}
	path := "/lib/ld-musl-" + platform + ".so.1"
	if _, err := c.locate(path); err != nil {
		return ""
	}
	return path
}

// muslOwn says whether musl takes a library's name for its own, which it does
// for all names of the libraries that glibc is made of.
func muslOwn(name string) bool {
	for _, own := range []string{"libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet."} {
		if strings.HasPrefix(name, own) {
			return true
		}
	}
	return strings.HasPrefix(name, "ld-musl-")
}

// locate turns a path of the place into one of this machine. Links below
// another root are followed inside it.
func (c *closure) locate(path string) (string, error) {
	inside := c.inside(path)
	if c.opts.Platform != nil && !inside {
		return "", fs.ErrNotExist
	}
	if c.opts.Root == "/" || inside {
		if _, err := os.Stat(path); err != nil {
			return "", err
		}
		return path, nil
	}
	parts := strings.Split(filepath.ToSlash(filepath.Clean(path)), "/")
	at := "/"
	for steps := 0; len(parts) > 0; steps++ {
		if steps > 255 {
			return "", errors.New("too many links")
		}
		part := parts[0]
		parts = parts[1:]
		next := filepath.Join(at, part)
		info, err := os.Lstat(filepath.Join(c.opts.Root, next))
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		link, err := os.Readlink(filepath.Join(c.opts.Root, next))
		if err != nil {
			return "", err
		}
		if filepath.IsAbs(link) {
			at = "/"
		}
		parts = append(strings.Split(filepath.ToSlash(link), "/"), parts...)
	}
	return filepath.Join(c.opts.Root, at), nil
}

// inside says whether a path is one of the processor's own, which exists on
// this machine as it is.
func (c *closure) inside(path string) bool {
	for _, dir := range []string{c.opts.WorkDir, filepath.Dir(c.root.path)} {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

func (c *closure) isDir(path string) bool {
	real, err := c.locate(path)
	if err != nil {
		return false
	}
	info, err := os.Stat(real)
	return err == nil && info.IsDir()
}

func (c *closure) readFile(path string, limit int64) []byte {
	real, err := c.locate(path)
	if err != nil {
		return nil
	}
	f, err := os.Open(real)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil
	}
	return data
}

// cached looks a name up in /etc/ld.so.cache.
func (c *closure) cached(name string) string {
	if c.cache == nil {
		c.cache = ldcache.Parse(c.readFile("/etc/ld.so.cache", 16<<20))
	}
	return c.cache[name]
}

// shipped looks for a file in the processor's directory and returns its
// directory relative to the object's, "" where it is not there.
func (c *closure) shipped(name string) string {
	base := filepath.Dir(c.root.path)
	queue := []string{c.opts.WorkDir}
	if c.opts.WorkDir != base {
		queue = append(queue, base)
	}
	for seen := 0; len(queue) > 0; {
		dir := queue[0]
		queue = queue[1:]
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if seen++; seen > 5000 {
				return ""
			}
			path := filepath.Join(dir, e.Name())
			if e.Name() == name {
				if ok, _ := c.fits(path); ok {
					if rel, err := filepath.Rel(base, dir); err == nil {
						return rel
					}
				}
			}
			// The entries of a workspace are links to the user's.
			if e.IsDir() || e.Type()&fs.ModeSymlink != 0 {
				rel, err := filepath.Rel(c.opts.WorkDir, path)
				if err == nil && strings.Count(rel, string(filepath.Separator)) < 4 {
					queue = append(queue, path)
				}
			}
		}
	}
	return ""
}
