package doctor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/openeas/eascmd/pkg/pysdk/python"
)

const groupPython = "Python"

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
	case i.minor < python.OldestMinor:
		lacks = fmt.Sprintf(" (older than 3.%d)", python.OldestMinor)
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
		case errors.Is(i.err, python.ErrSilent):
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
	if i.minor < python.OldestMinor {
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
	return python.Machine{GOOS: m.goos, Root: m.root, Home: m.home, Env: m.env}.Paths()
}

// python asks an interpreter what it is. Debian has venv without the pip that
// it would install.
func (m *machine) python(ctx context.Context, path string) interpreter {
	var env []string
	for name, value := range m.env {
		env = append(env, name+"="+value)
	}
	answer, err := python.AskWith(ctx, path, env)
	if err != nil {
		return interpreter{path: path, err: errors.Unwrap(err)} // the report names the path
	}
	i := interpreter{
		path: path, real: answer.Executable, version: answer.Version, minor: answer.Minor,
		venv: answer.HasVenv && answer.HasEnsurepip, pip: answer.HasPip,
	}
	if real, err := filepath.EvalSymlinks(i.real); err == nil {
		i.real = real
	}
	return i
}
