package python

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/openeas/eascmd/internal/fault"
)

// Machine is where interpreters are looked for.
type Machine struct {
	GOOS string
	Root string            // stands before absolute paths that are not the user's; empty for this machine
	Home string            // the user's home directory; may be empty
	Env  map[string]string // the environment
}

// ThisMachine is the machine that the program runs on.
func ThisMachine() Machine {
	m := Machine{GOOS: runtime.GOOS, Env: map[string]string{}}
	m.Home, _ = os.UserHomeDir()
	for _, v := range os.Environ() {
		if name, value, ok := strings.Cut(v, "="); ok {
			m.Env[name] = value
		}
	}
	return m
}

// Look finds all programs of a name on PATH, the one that is run first. Unlike
// [exec.LookPath] it goes by the machine's PATH.
func (m Machine) Look(name string) iter.Seq[string] {
	if m.GOOS == "windows" {
		name += ".exe"
	}
	return func(yield func(string) bool) {
		for _, dir := range filepath.SplitList(m.Env["PATH"]) {
			// What a relative directory holds depends on where one stands.
			path := filepath.Join(dir, name)
			if filepath.IsAbs(dir) && m.isProgram(path) && !yield(path) {
				return
			}
		}
	}
}

func (m Machine) isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && (m.GOOS == "windows" || info.Mode()&0o111 != 0)
}

// Paths lists where interpreters are, each once: those of PATH in its order,
// then those of pyenv, conda, uv and the usual directories. None of them has
// been run.
func (m Machine) Paths() []string {
	var paths []string
	add := func(path string) {
		if !slices.Contains(paths, path) && m.isProgram(path) {
			paths = append(paths, path)
		}
	}
	if m.GOOS == "windows" {
		for path := range m.Look("python") {
			add(path)
		}
		return paths
	}
	pyenv := m.Env["PYENV_ROOT"]
	if pyenv == "" && m.Home != "" {
		pyenv = filepath.Join(m.Home, ".pyenv")
	}
	for path := range m.Look("python3") {
		add(path)
	}
	for minor := NewestMinor; minor >= OldestMinor; minor-- {
		for path := range m.Look("python3." + strconv.Itoa(minor)) {
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
	below(m.Env["CONDA_PREFIX"], "bin/python3")
	for _, env := range m.condaEnvironments() {
		below(env, "bin/python3")
	}
	uv := m.Env["UV_PYTHON_INSTALL_DIR"]
	if uv == "" && m.Env["XDG_DATA_HOME"] != "" {
		uv = filepath.Join(m.Env["XDG_DATA_HOME"], "uv", "python")
	}
	if uv == "" && m.Home != "" {
		uv = filepath.Join(m.Home, ".local/share/uv/python")
	}
	below(uv, "*/bin/python3")
	for _, dir := range []string{"/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"} {
		below(m.Root+dir, "python3")
		below(m.Root+dir, "python3.[0-9]")
		below(m.Root+dir, "python3.[0-9][0-9]")
	}
	below(m.Root+"/opt", "python*/bin/python3")
	return paths
}

// condaEnvironments lists the directories that conda and its kin have made
// environments in, as they note it.
func (m Machine) condaEnvironments() []string {
	var dirs []string
	names := []string{"miniconda3", "anaconda3", "miniforge3", "mambaforge"}
	if m.Home != "" {
		for _, name := range names {
			dirs = append(dirs, filepath.Join(m.Home, name))
		}
	}
	dirs = append(dirs, m.Root+"/opt/conda")
	if m.Home == "" {
		return dirs
	}
	for _, parent := range slices.Clone(dirs) {
		envs, err := filepath.Glob(filepath.Join(parent, "envs", "*"))
		if err == nil {
			dirs = append(dirs, envs...)
		}
	}
	list, err := os.ReadFile(filepath.Join(m.Home, ".conda", "environments.txt"))
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

// FindOptions say which interpreters are looked for.
type FindOptions struct {
	Version string  // "3.11", "3.11.7" or "3"; empty: any from 3.8 on
	Machine Machine // zero: this one
}

// Find asks every interpreter of the machine and returns those of the version,
// the preferred one first: python3 on PATH, then the newest. An environment on
// top of another Python stands behind all others of its version. What does not
// answer is left out; no interpreter at all is no error.
func Find(ctx context.Context, opts FindOptions) ([]*Interpreter, error) {
	if err := CheckVersion(opts.Version); err != nil {
		return nil, err
	}
	m := opts.Machine
	if m.GOOS == "" {
		m = ThisMachine()
	}
	all := askAll(ctx, likely(m.Paths(), opts.Version), m.environ())
	if ctx.Err() != nil {
		return nil, fault.New(fault.Interrupted, "look for interpreters: %w", context.Cause(ctx))
	}
	var list []*Interpreter
	seen := map[string]bool{}
	for _, i := range all {
		if i == nil || !i.matches(opts.Version) {
			continue
		}
		if file := i.Prefix + "\x00" + real(i.Executable); !seen[file] {
			seen[file] = true
			list = append(list, i)
		}
	}
	first := ""
	for path := range m.Look("python3") {
		first = path
		break
	}
	slices.SortStableFunc(list, func(a, b *Interpreter) int {
		return cmp.Or(
			-compareBool(a.Path == first && !a.Virtual(), b.Path == first && !b.Virtual()),
			-cmp.Compare(a.Minor, b.Minor),
			compareBool(a.Virtual(), b.Virtual()),
			-cmp.Compare(micro(a.Version), micro(b.Version)),
		)
	})
	return list, nil
}

// Preferred returns the interpreter that Find would have first among those that
// usable accepts, and nil where there is none. It mostly asks one alone, which
// Find takes a second for on a machine with many.
func Preferred(ctx context.Context, opts FindOptions, usable func(*Interpreter) bool) (*Interpreter, error) {
	if err := CheckVersion(opts.Version); err != nil {
		return nil, err
	}
	if opts.Machine.GOOS == "" {
		opts.Machine = ThisMachine()
	}
	for path := range opts.Machine.Look("python3") {
		i, err := AskWith(ctx, path, opts.Machine.environ())
		if err == nil && !i.Virtual() && i.matches(opts.Version) && usable(i) {
			return i, nil
		}
		break
	}
	list, err := Find(ctx, opts)
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if usable(i) {
			return i, nil
		}
	}
	return nil, nil
}

// askAll asks the interpreters at paths, a few at a time; nil is for one that
// has no usable answer.
func askAll(ctx context.Context, paths []string, env []string) []*Interpreter {
	all := make([]*Interpreter, len(paths))
	slots := make(chan struct{}, max(2, runtime.NumCPU()))
	var wg sync.WaitGroup
	for n, path := range paths {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if i, err := ask(ctx, path, env); err == nil {
				all[n] = i
			}
		})
	}
	wg.Wait()
	return all
}

// matches reports whether the interpreter is of a version: "3.11", "3.11.7",
// "3", or empty for any from the oldest supported on.
func (i *Interpreter) matches(version string) bool {
	if version == "" || version == "3" {
		return i.Minor >= OldestMinor
	}
	return i.Version == version || strings.HasPrefix(i.Version, version+".") ||
		version == i.Name() // 3.14 for 3.14.0rc2
}

// versionForm is what a version may look like.
var versionForm = regexp.MustCompile(`^3(\.[0-9]{1,3}(\.[0-9]{1,3}((a|b|rc)[0-9]{1,2})?)?)?$`)

// CheckVersion refuses what is no version of Python 3 that could be asked for.
func CheckVersion(version string) error {
	if version != "" && !versionForm.MatchString(version) {
		return fault.New(fault.Usage, "%q is no version of Python 3", version).WithHint("versions look like 3.11 or 3.11.7")
	}
	return nil
}

// micro returns the third number of a version.
func micro(version string) int {
	var major, minor, n int
	fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &n)
	return n
}

// numbered finds the version in the name of a program or of pyenv's directory.
var numbered = regexp.MustCompile(`/(?:python|versions/)(3\.[0-9]+)(?:\.[0-9]+)?(?:$|/)`)

// likely leaves out the paths that name another version than the one looked
// for. What names none has to be asked.
func likely(paths []string, version string) []string {
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return paths
	}
	return slices.DeleteFunc(paths, func(path string) bool {
		m := numbered.FindStringSubmatch(path)
		return m != nil && m[1] != parts[0]+"."+parts[1]
	})
}

// environ returns the machine's environment as programs take it.
func (m Machine) environ() []string {
	var env []string
	for name, value := range m.Env {
		env = append(env, name+"="+value)
	}
	return env
}

// real resolves links as far as that goes.
func real(path string) string {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return path
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
