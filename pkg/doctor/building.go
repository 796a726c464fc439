package doctor

import (
	"context"
	"debug/elf"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/hosts"
)

const groupBuilding = "Building"

// buildingProbes look at what builds processors in C and C++, and the host that
// runs them. Elsewhere than on Linux that is a container's matter.
func buildingProbes(m *machine) []probe {
	if m.goos != "linux" {
		return nil
	}
	compilers := func(name string, t thing, programs ...string) probe {
		return probe{group: groupBuilding, name: name, run: func(ctx context.Context) []finding {
			return []finding{m.tools(ctx, name, t, programs...)}
		}}
	}
	return []probe{
		compilers("C compiler", thing{what: "a C compiler", apt: "gcc libc6-dev", dnf: "gcc", apk: "gcc musl-dev linux-headers", pacman: "gcc", zypper: "gcc"}, m.cc()...),
		compilers("C++ compiler", thing{what: "a C++ compiler", apt: "g++", dnf: "gcc-c++", apk: "g++", pacman: "gcc", zypper: "gcc-c++"}, "g++", "clang++"),
		compilers("make", everywhere("make", "make"), "make"),
		compilers("cmake", everywhere("CMake", "cmake"), "cmake"),
		{group: groupBuilding, name: "C library", run: func(context.Context) []finding { return []finding{m.libc()} }},
		{group: groupBuilding, name: "host", breaks: processEngine, fix: "try again when the machine is less busy", run: func(ctx context.Context) []finding {
			return []finding{m.cppHost(ctx, hosts.Options{})}
		}},
	}
}

// cc lists the C compilers in the order in which the host's is chosen.
func (m *machine) cc() []string {
	programs := []string{"cc", "gcc", "clang"}
	if command := strings.Fields(m.env["CC"]); len(command) > 0 {
		programs = slices.Insert(programs, 0, command[0])
	}
	return programs
}

// tools says which of some programs are there, and in which version. One is
// enough.
func (m *machine) tools(ctx context.Context, name string, t thing, programs ...string) finding {
	var there, broken []string
	seen := map[string]bool{}
	for _, program := range programs {
		path := program
		if !filepath.IsAbs(path) {
			path = m.look(program)
		}
		real, err := filepath.EvalSymlinks(path)
		if path == "" || err != nil || seen[real] {
			continue // cc is a link to the one or the other
		}
		seen[real] = true
		text, err := m.run(ctx, path, "--version")
		if err != nil {
			broken = append(broken, fmt.Sprintf("%s: %v", path, err))
			continue
		}
		there = append(there, fmt.Sprintf("%s %s", path, versionIn(text)))
	}
	switch {
	case len(broken) > 0 && len(there) > 0:
		return ok(name, "%s (cannot be used: %s)", strings.Join(there, ", "), strings.Join(broken, ", "))
	case len(broken) > 0:
		return warning(name, "see what `"+strings.SplitN(broken[0], ":", 2)[0]+" --version` does, or "+m.install(t), "cannot be used: %s", strings.Join(broken, ", "))
	case len(there) > 0:
		return ok(name, "%s", strings.Join(there, ", "))
	}
	return warning(name, m.install(t), "none found")
}

// versionIn finds the version in what a program says of itself: the last word
// of the first line that begins with a digit and has a point, without what
// stands in brackets, where a distribution names its own.
func versionIn(text string) string {
	line := firstLine(text)
	for {
		open, end := strings.IndexByte(line, '('), strings.IndexByte(line, ')')
		if open < 0 || end < open {
			break
		}
		line = line[:open] + " " + line[end+1:]
	}
	words := strings.Fields(line)
	for _, word := range slices.Backward(words) {
		word = strings.Trim(word, `",;`)
		if word != "" && word[0] >= '0' && word[0] <= '9' && strings.Contains(word, ".") {
			return word
		}
	}
	return "of unknown version"
}

// libc says which C library programs of this machine run with: a processor
// needs one that is not older than where it was built.
func (m *machine) libc() finding {
	const name = "C library"
	for _, pattern := range []string{
		"/lib/*-linux-gnu*/libc.so.6", "/usr/lib/*-linux-gnu*/libc.so.6",
		"/lib64/libc.so.6", "/usr/lib64/libc.so.6", "/usr/lib/libc.so.6", "/lib/libc.so.6",
	} {
		for _, path := range m.glob(pattern) {
			if version := glibcVersion(path); version != "" {
				return ok(name, "glibc %s", version)
			}
		}
	}
	if loaders := m.glob("/lib/ld-musl-*.so.1"); len(loaders) > 0 {
		return warning(name, "use `eascmd test --engine docker`, or a machine with glibc",
			"musl; online a processor runs with glibc, so one that is built here does not run there")
	}
	return warning(name, "use `eascmd test --engine docker`", "no glibc found, which processors in C and C++ need")
}

// glibcVersion reads the version of a glibc out of the file: the highest that
// it defines symbols of.
func glibcVersion(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	versions, err := f.DynamicVersions()
	if err != nil {
		return ""
	}
	major, minor := 0, 0
	for _, v := range versions {
		number, isGlibc := strings.CutPrefix(v.Name, "GLIBC_")
		first, second, _ := strings.Cut(number, ".")
		second, _, _ = strings.Cut(second, ".")
		a, err1 := strconv.Atoi(first)
		b, err2 := strconv.Atoi(second)
		if isGlibc && err1 == nil && err2 == nil && (a > major || a == major && b > minor) {
			major, minor = a, b
		}
	}
	if major == 0 {
		return ""
	}
	return fmt.Sprintf("%d.%d", major, minor)
}

// cppHost finds or builds the host of C and C++ processors and runs it.
func (m *machine) cppHost(ctx context.Context, opts hosts.Options) finding {
	const name = "host"
	built := false
	opts.Log = func(string) { built = true }
	path, err := hosts.CPP(ctx, opts)
	if err != nil {
		fix := fault.HintOf(err)
		if ctx.Err() != nil {
			fix = "try again when the machine is less busy, or set CC to another compiler"
		}
		f := warning(name, fix, "%s", firstLine(err.Error()))
		f.breaks = processEngine
		return f
	}
	if _, err := m.run(ctx, path, "--version"); err != nil {
		f := warning(name, "remove the file and try again", "%s does not run: %v", m.tilde(path), err)
		f.breaks = processEngine
		return f
	}
	if built {
		return ok(name, "%s, built just now", m.tilde(path))
	}
	return ok(name, "%s", m.tilde(path))
}
