package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const groupPython = "Python"

// oldestPython is the oldest minor version of Python 3 that is supported, and
// newestPython the newest that is looked for by name.
const (
	oldestPython = 8
	newestPython = 14
)

// interpreter is a Python that was run.
type interpreter struct {
	path    string // as it was found
	real    string // as it names itself, without links
	version string
	minor   int // of Python 3
	venv    bool
	pip     bool
	err     error
}

func (i interpreter) describe(m *machine) string {
	lacks := ""
	switch {
	case i.minor < oldestPython:
		lacks = fmt.Sprintf(" (older than 3.%d)", oldestPython)
	case !i.venv && !i.pip:
		lacks = " (without venv and pip)"
	case !i.venv:
		lacks = " (without venv)"
	case !i.pip:
		lacks = " (without pip)"
	}
	return i.version + " " + m.tilde(i.path) + lacks
}

// pythonProbes look for interpreters.
func pythonProbes(m *machine) []probe {
	return []probe{{
		group: groupPython, name: "python3", fix: "see what `python3 --version` does",
		run: func(ctx context.Context) []finding { return m.pythons(ctx) },
	}}
}

// pythons runs all interpreters that can be found. The first is the one that is
// taken where no other is asked for: python3 on PATH, or else the newest.
func (m *machine) pythons(ctx context.Context) []finding {
	const name, more = "python3", "others"
	paths := m.pythonPaths()
	all := make([]interpreter, len(paths))
	var wg sync.WaitGroup
	for i, path := range paths {
		wg.Go(func() { all[i] = m.python(ctx, path) })
	}
	wg.Wait()

	first := "" // that of PATH
	if len(paths) > 0 && (paths[0] == m.look("python3") || m.goos == "windows") {
		first = paths[0]
	}
	needs := thing{what: "Python 3", apt: "python3 python3-venv python3-pip", dnf: "python3 python3-pip", apk: "python3 py3-pip",
		pacman: "python python-pip", zypper: "python3 python3-pip", brew: "python"}
	var found []finding
	var usable []interpreter
	var silent []string
	seen := map[string]bool{}
	for _, i := range all {
		switch {
		case i.err != nil && i.path == first:
			found = append(found, warning(name, "see what `"+i.path+" --version` does", "%s cannot be used: %v", m.tilde(i.path), i.err))
		case i.err == errSilent:
			silent = append(silent, m.tilde(i.path)+": "+i.err.Error())
		case i.err == nil && !seen[i.real]:
			seen[i.real] = true
			usable = append(usable, i)
		}
	}
	slices.SortStableFunc(usable, func(a, b interpreter) int {
		switch {
		case a.path == first:
			return -1
		case b.path == first:
			return 1
		}
		return b.minor - a.minor
	})
	switch {
	case len(found) > 0:
	case len(usable) > 0:
		found = append(found, m.judgePython(name, usable[0], needs))
		usable = usable[1:]
	default:
		found = append(found, warning(name, m.install(needs), "none found, which processors in Python need"))
	}
	var others []string
	for _, i := range usable {
		others = append(others, i.describe(m))
	}
	if others = append(others, silent...); len(others) > 0 {
		found = append(found, ok(more, "%s", strings.Join(others, "\n")))
	}
	return found
}

// judgePython says whether an environment can be made with an interpreter.
func (m *machine) judgePython(name string, i interpreter, needs thing) finding {
	if i.minor < oldestPython {
		return warning(name, m.install(needs), "%s", i.describe(m))
	}
	if !i.venv || !i.pip {
		return warning(name, m.install(thing{what: "its venv and pip",
			apt: fmt.Sprintf("python3.%d-venv python3-pip", i.minor), dnf: "python3-pip", apk: "py3-pip", pacman: "python-pip", zypper: "python3-pip"}),
			"%s", i.describe(m))
	}
	return ok(name, "%s with venv and pip", i.describe(m))
}

// pythonPaths lists where interpreters are, each once, best first.
func (m *machine) pythonPaths() []string {
	var paths []string
	add := func(path string) {
		if !slices.Contains(paths, path) && isProgram(path, m.goos) {
			paths = append(paths, path)
		}
	}
	if m.goos == "windows" {
		for path := range m.lookAll("python") {
			add(path)
		}
		return paths
	}
	pyenv := m.env["PYENV_ROOT"]
	if pyenv == "" && m.home != "" {
		pyenv = filepath.Join(m.home, ".pyenv")
	}
	for path := range m.lookAll("python3") {
		add(path)
	}
	for minor := newestPython; minor >= oldestPython; minor-- {
		for path := range m.lookAll("python3." + strconv.Itoa(minor)) {
			// The shims of pyenv exist for versions that are not chosen, too.
			if filepath.Dir(path) != filepath.Join(pyenv, "shims") {
				add(path)
			}
		}
	}
	below := func(dir, pattern string) {
		if dir == "" {
			return
		}
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return
		}
		for _, name := range names {
			add(name)
		}
	}
	below(pyenv, "versions/*/bin/python3")
	below(m.env["CONDA_PREFIX"], "bin/python3")
	for _, env := range m.condaEnvironments() {
		below(env, "bin/python3")
	}
	if m.home != "" {
		below(m.home, ".local/share/uv/python/*/bin/python3")
	}
	return paths
}

// condaEnvironments lists the directories that conda and its kin have made
// environments in, as they note it.
func (m *machine) condaEnvironments() []string {
	if m.home == "" {
		return nil
	}
	var dirs []string
	for _, name := range []string{"miniconda3", "anaconda3", "miniforge3", "mambaforge"} {
		dirs = append(dirs, filepath.Join(m.home, name))
	}
	dirs = append(dirs, m.path("/opt/conda"))
	list, err := os.ReadFile(filepath.Join(m.home, ".conda", "environments.txt"))
	if err != nil {
		return dirs
	}
	for line := range strings.Lines(string(list)) {
		if dir := strings.TrimSpace(line); filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// askPython has an interpreter print its version, its own path, and whether
// environments and packages can be made with it, a line each. Debian has venv
// without the pip that it would install.
const askPython = `import sys, os, importlib.util as u
has = lambda *names: all(u.find_spec(n) for n in names)
print("%d.%d.%d" % sys.version_info[:3])
print(os.path.realpath(sys.executable))
print(has("venv", "ensurepip"))
print(has("pip"))
`

func (m *machine) python(ctx context.Context, path string) interpreter {
	i := interpreter{path: path}
	text, err := m.run(ctx, path, "-I", "-c", askPython)
	if err != nil {
		i.err = err
		return i
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var major int
	if len(lines) == 4 {
		if n, _ := fmt.Sscanf(lines[0], "%d.%d", &major, &i.minor); n == 2 && major == 3 {
			i.version, i.real = lines[0], strings.TrimSpace(lines[1])
			i.venv, i.pip = strings.TrimSpace(lines[2]) == "True", strings.TrimSpace(lines[3]) == "True"
			return i
		}
	}
	i.err = fmt.Errorf("it is no Python 3: %s", firstLine(text))
	return i
}
