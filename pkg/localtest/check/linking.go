package check

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ianlancetaylor/demangle"
)

// mostNamed is how many of a kind a message names.
const mostNamed = 10

// list joins names, and says how many were left out.
func list(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// nvidiaHint says where a library of NVIDIA's comes from, "" for all others.
func nvidiaHint(name string) string {
	base, _, _ := strings.Cut(name, ".so")
	switch base {
	case "libcuda", "libnvidia-ml", "libnvidia-ptxjitcompiler":
		return "it comes with the NVIDIA driver, and in a container with its GPU: ask for one with --gpus all or metadata.gpu"
	case "libcudart", "libcublas", "libcublasLt", "libcufft", "libcurand", "libcusolver", "libcusparse", "libnvrtc", "libnvJitLink", "libnpps":
		return `it is part of CUDA: name the directory that holds it with "cuda": "/usr/local/cuda" in the description, link it statically, or ship the file beside the processor and link that with -Wl,-rpath,'$ORIGIN'`
	}
	return ""
}

// missingLibraries reports the libraries that the loader would not find.
func (r *Report) missingLibraries(c *closure) {
	for _, m := range c.missing {
		text := fmt.Sprintf("the shared library %s, needed by %s, is not on %s", m.name, list(m.neededBy, 3), c.opts.Place)
		hint := fmt.Sprintf("install the package that holds %s, or ship the file beside the processor and link that with -Wl,-rpath,'$ORIGIN'", m.name)
		if c.opts.Platform != nil {
			hint = fmt.Sprintf("ship %s beside the processor and link that with -Wl,-rpath,'$ORIGIN', or link it statically", m.name)
		}
		if nvidia := nvidiaHint(m.name); nvidia != "" {
			hint = nvidia
		}
		dir := ""
		if !strings.Contains(m.name, "/") {
			dir = c.shipped(m.name)
		}
		switch {
		case dir != "":
			text = fmt.Sprintf("the shared library %s, needed by %s, comes with the processor (%s) but is not on the loader's search path",
				m.name, list(m.neededBy, 3), filepath.ToSlash(filepath.Join(dir, m.name)))
			origin := "$ORIGIN"
			if dir != "." {
				origin += "/" + filepath.ToSlash(dir)
			}
			hint = fmt.Sprintf("link %s with -Wl,-rpath,'%s'", m.neededBy[0], origin)
		case strings.Contains(m.name, "/"):
			text = fmt.Sprintf("%s asks for the shared library by its path %s, where it is not", list(m.neededBy, 3), m.name)
			hint = "link with -L<directory> -l<name> in place of the file's path, or give the library a soname (-Wl,-soname,<name>)"
		}
		if m.wrong != "" {
			text += ": " + m.wrong
		}
		r.add(Fatal, "missing-library", hint, "%s", text)
	}
}

// versions reports versions of a library's interface that are newer than the
// library that will be found.
func (r *Report) versions(c *closure) {
	if c.musl != "" {
		r.muslVersions(c)
		return // musl does not look at versions
	}
	if c.opts.Platform != nil {
		r.platformVersions(c)
	}
	type lack struct {
		library *object
		family  string
	}
	var order []lack
	needs := map[lack][]need{}
	users := map[lack]*loaded{}
	for _, l := range c.loaded {
		for _, n := range l.needs() {
			lib, ok := c.byName[n.library]
			if !ok || n.weak || n.version == "" || len(lib.definedVersions()) == 0 {
				continue
			}
			if defines(lib.object, n.version) {
				continue
			}
			k := lack{lib.object, family(n.version)}
			if _, ok := needs[k]; !ok {
				order = append(order, k)
				users[k] = l
			}
			if users[k] == l {
				needs[k] = append(needs[k], n)
			}
		}
	}
	for _, k := range order {
		by := users[k]
		slices.SortFunc(needs[k], func(a, b need) int {
			return -compareVersions(strings.TrimPrefix(a.version, k.family), strings.TrimPrefix(b.version, k.family))
		})
		highest := needs[k][0]
		var symbols []string
		for _, n := range needs[k] {
			symbols = append(symbols, by.usersOf(n.index)...)
		}
		text := fmt.Sprintf("%s needs %s of %s", by.name, highest.version, k.library.name)
		if len(symbols) > 0 {
			text += " (for " + list(symbols, 3) + ")"
		}
		if has := k.library.latest(k.family); has != "" {
			text += fmt.Sprintf("; %s has %s%s", c.opts.Place, k.family, has)
		} else {
			text += fmt.Sprintf("; the one that %s has lacks it", c.opts.Place)
		}
		r.add(Fatal, "library-version", versionHint(highest.version, c.opts.Place), "%s", text)
	}
}

func defines(o *object, version string) bool {
	for _, v := range o.definedVersions() {
		if v == version {
			return true
		}
	}
	return false
}

// family is the part of a version before its number: "GLIBC_" of GLIBC_2.38.
func family(version string) string {
	return version[:len(version)-len(strings.TrimLeft(version, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_+"))]
}

// usersOf names the symbols that are bound to a version, by its index.
func (o *object) usersOf(index uint16) []string {
	var names []string
	n := o.count()
	if h := o.gnuTable(); h != nil {
		n = min(h.first, maxSymbols)
	}
	for i := uint32(1); i < n; i++ {
		if o.versionIndex(i)&0x7fff != index {
			continue
		}
		if s, ok := o.entry(i); ok {
			if name := o.string(uint64(s.name)); name != "" {
				names = append(names, readable(name))
			}
		}
	}
	return names
}

// versionHint says what to do about a version that is too new.
func versionHint(version, place string) string {
	switch {
	case version == "GLIBC_ABI_DT_RELR":
		return "link it without -z pack-relative-relocs"
	case strings.HasPrefix(version, "GLIBC_"):
		return fmt.Sprintf("build it on a system whose glibc is no newer than that of %s, for instance in a container of an older distribution", place)
	case strings.HasPrefix(version, "GLIBCXX_"), strings.HasPrefix(version, "CXXABI_"):
		hint := "build it with an older GCC, link it with -static-libstdc++ -static-libgcc, or ship its libstdc++.so.6 beside the processor with -Wl,-rpath,'$ORIGIN'"
		if gcc := gccOf(version); gcc != "" {
			hint = fmt.Sprintf("it was built with GCC %s or newer: %s", gcc, hint)
		}
		return hint
	}
	return "ship the library that it was linked with beside the processor, with -Wl,-rpath,'$ORIGIN'"
}

// gccOf is the first GCC whose libstdc++ has a version of its interface.
func gccOf(version string) string {
	switch version {
	case "GLIBCXX_3.4.21", "CXXABI_1.3.9":
		return "5"
	case "GLIBCXX_3.4.22", "CXXABI_1.3.10":
		return "6"
	case "GLIBCXX_3.4.23", "GLIBCXX_3.4.24", "CXXABI_1.3.11":
		return "7"
	case "GLIBCXX_3.4.25":
		return "8"
	case "GLIBCXX_3.4.26", "GLIBCXX_3.4.27", "GLIBCXX_3.4.28", "CXXABI_1.3.12":
		return "9"
	case "GLIBCXX_3.4.29", "CXXABI_1.3.13":
		return "11"
	case "GLIBCXX_3.4.30":
		return "12"
	case "GLIBCXX_3.4.31", "GLIBCXX_3.4.32", "CXXABI_1.3.14":
		return "13"
	case "GLIBCXX_3.4.33", "CXXABI_1.3.15":
		return "14"
	case "GLIBCXX_3.4.34", "CXXABI_1.3.16":
		return "15"
	}
	return ""
}

// muslVersions reports an object that was built for glibc where musl is.
func (r *Report) muslVersions(c *closure) {
	for _, l := range c.loaded {
		for _, n := range l.needs() {
			if strings.HasPrefix(n.version, "GLIBC_") {
				r.add(Warning, "musl", "build it in a container of the same image, or use an image with glibc",
					"%s is built for glibc (%s), and %s has musl", l.name, n.version, c.opts.Place)
				return
			}
		}
	}
}

// undefinedSymbols reports symbols that nothing in the closure defines. A
// library that is missing would define some, so nothing is known then.
func (r *Report) undefinedSymbols(c *closure) {
	if len(c.missing) > 0 || c.foreign || len(c.loaded) >= maxObjects {
		return
	}
	scope := slices.Clone(c.global)
	for _, l := range c.loaded {
		if !slices.Contains(scope, l.object) {
			scope = append(scope, l.object)
		}
	}
	known := map[string]bool{}
	for _, l := range c.loaded {
		var names []string
		for _, u := range l.undefined() {
			version := u.version
			if c.musl != "" {
				version = ""
			}
			key := u.name + "@" + version
			ok, done := known[key]
			if !done {
				hash := hashGNU(u.name)
				ok = slices.ContainsFunc(scope, func(o *object) bool { return o.provides(u.name, hash, version) })
				known[key] = ok
			}
			// A version that is too new was reported as such.
			if !ok && !c.lacksVersion(l, u) && !loaderSymbol(u.name) && !c.providedSymbol(l, u) {
				names = append(names, readable(u.name))
			}
		}
		if len(names) > 0 {
			r.add(Fatal, "undefined-symbol", "link the library or object file that defines it (-l<name> after the objects that use it); linking with -Wl,-z,defs finds this at build time",
				"%s uses what no library that it is linked with defines: %s", l.name, list(names, mostNamed))
		}
	}
}

// lacksVersion says whether the library that a symbol is bound to has no such
// version at all.
func (c *closure) lacksVersion(l *loaded, u undefinedSymbol) bool {
	if u.version == "" || c.musl != "" {
		return false
	}
	for _, n := range l.needs() {
		if n.version != u.version {
			continue
		}
		if lib, ok := c.byName[n.library]; ok && len(lib.definedVersions()) > 0 && !defines(lib.object, n.version) {
			return true
		}
	}
	return false
}

// loaderSymbol says whether the dynamic loader itself provides a symbol.
func loaderSymbol(name string) bool {
	return name == "__tls_get_addr" || name == "_dl_argv" || strings.HasPrefix(name, "_rtld_") || strings.HasPrefix(name, "__rtld_")
}

// readable is a linker's name as people know it.
func readable(name string) string {
	full := demangle.Filter(name, demangle.NoClones, demangle.NoRust, demangle.MaxLength(14))
	if len(full) > 120 {
		full = demangle.Filter(name, demangle.NoClones, demangle.NoRust, demangle.NoParams, demangle.MaxLength(14))
	}
	return full
}
