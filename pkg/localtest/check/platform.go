package check

import (
	"fmt"
	"slices"
	"strings"
)

// Platform is what is known of a system whose files are not here.
type Platform struct {
	// Versions are the highest versions of interfaces that its libraries have,
	// such as 2.36 for GLIBC_. What is not named is not checked.
	Versions map[string]string

	// Provides reports whether it has a library beside those of knownLibraries.
	// It may be nil.
	Provides func(name string) bool
}

// knownLibraries are those of the C library and the compiler, which are on
// every platform. Every symbol that they offer has a version.
var knownLibraries = [...]string{
	"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libresolv.so.2",
	"libanl.so.1", "libmvec.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1",
	"libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1",
}

func (p *Platform) knows(name string) bool { return slices.Contains(knownLibraries[:], name) }

// provided reports whether the platform, if one is set, has a library.
func (c *closure) provided(name string) bool {
	p := c.opts.Platform
	return p != nil && (p.knows(name) || p.Provides != nil && p.Provides(name))
}

// loadKnown opens this machine's own copies of knownLibraries: they have the
// names that the platform's have. Where there are none, the names of what the
// platform offers are not known.
func (c *closure) loadKnown() {
	here := &closure{opts: Options{Root: "/", WorkDir: c.opts.WorkDir, Machine: c.opts.Machine}, root: c.root,
		byName: map[string]*loaded{}, byPath: map[string]*loaded{}}
	for _, name := range knownLibraries {
		path, _ := here.find(name, nil)
		if path == "" {
			c.foreign = c.foreign || name == "libc.so.6"
			continue
		}
		if o := here.open(path); o != nil {
			c.known = append(c.known, o)
		}
	}
	c.files = append(c.files, here.files...)
}

// providedSymbol reports whether a symbol is one of a library that the platform
// has. Whether in that version is what platformVersions looks at.
func (c *closure) providedSymbol(l *loaded, u undefinedSymbol) bool {
	if c.opts.Platform == nil {
		return false
	}
	if u.version == "" {
		hash := hashGNU(u.name)
		return slices.ContainsFunc(c.known, func(o *object) bool { return o.provides(u.name, hash, "") })
	}
	for _, n := range l.needs() {
		if n.version == u.version && c.byName[n.library] == nil && c.provided(n.library) {
			return true
		}
	}
	return false
}

// platformVersions reports versions of interfaces that are newer than the
// platform's.
func (r *Report) platformVersions(c *closure) {
	type lack struct{ library, family string }
	var lacks []lack
	highest, users := map[lack]need{}, map[lack]*loaded{}
	for _, l := range c.loaded {
		for _, n := range l.needs() {
			if n.weak || n.version == "" || c.byName[n.library] != nil || !c.provided(n.library) {
				continue
			}
			k := lack{n.library, family(n.version)}
			has, known := c.opts.Platform.Versions[k.family]
			number := strings.TrimPrefix(n.version, k.family)
			if !known || !isNumber(number) || compareVersions(number, has) <= 0 {
				continue
			}
			before, found := highest[k]
			if !found {
				lacks = append(lacks, k)
			}
			if !found || compareVersions(number, strings.TrimPrefix(before.version, k.family)) > 0 {
				highest[k], users[k] = n, l
			}
		}
	}
	for _, k := range lacks {
		n, by := highest[k], users[k]
		text := fmt.Sprintf("%s needs %s of %s", by.name, n.version, k.library)
		if symbols := by.usersOf(n.index); len(symbols) > 0 {
			text += " (for " + list(symbols, 3) + ")"
		}
		text += fmt.Sprintf("; %s has %s%s", c.opts.Place, k.family, c.opts.Platform.Versions[k.family])
		r.add(Fatal, "library-version", versionHint(n.version, c.opts.Place), "%s", text)
	}
}
