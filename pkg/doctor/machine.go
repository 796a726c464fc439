package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// machine is what the probes look at. Tests make one of their own.
type machine struct {
	goos string
	root string            // stands before absolute paths; empty for this machine
	home string            // the user's home directory; may be empty
	user int               // the user's id; -1 where there are none
	env  map[string]string // the environment
}

func thisMachine() *machine {
	m := &machine{goos: runtime.GOOS, user: os.Getuid(), env: map[string]string{}}
	m.home, _ = os.UserHomeDir()
	for _, v := range os.Environ() {
		if name, value, ok := strings.Cut(v, "="); ok {
			m.env[name] = value
		}
	}
	return m
}

// path returns where an absolute path of the machine is.
func (m *machine) path(name string) string { return m.root + name }

// glob lists the paths that match a pattern, which begins at the root.
func (m *machine) glob(pattern string) []string {
	names, err := filepath.Glob(m.path(pattern))
	if err != nil {
		return nil
	}
	return names
}

// look finds a program on PATH; it returns "" where there is none. Unlike
// [exec.LookPath] it goes by the machine's PATH.
func (m *machine) look(name string) string {
	for path := range m.lookAll(name) {
		return path
	}
	return ""
}

// lookAll finds all programs of a name on PATH, the one that is run first.
func (m *machine) lookAll(name string) iter.Seq[string] {
	if m.goos == "windows" {
		name += ".exe"
	}
	return func(yield func(string) bool) {
		for _, dir := range filepath.SplitList(m.env["PATH"]) {
			// What a relative directory holds depends on where one stands.
			path := filepath.Join(dir, name)
			if filepath.IsAbs(dir) && isProgram(path, m.goos) && !yield(path) {
				return
			}
		}
	}
}

func isProgram(path, goos string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && (goos == "windows" || info.Mode()&0o111 != 0)
}

// errSilent says that a program was ended because it gave no answer.
var errSilent = errors.New("no answer in time")

// pipeDelay is how long the output may stay open of a program that has ended,
// should it have left something behind that holds it.
const pipeDelay = time.Second

// run runs a program and returns all that it prints. Its error is one line and
// names neither the program nor its arguments. When ctx ends the program is
// ended, with all that it has started.
func (m *machine) run(ctx context.Context, path string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = pipeDelay
	ownGroup(cmd)
	cmd.Env = []string{"LC_ALL=C"}
	for name, value := range m.env {
		if name != "LC_ALL" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	text := out.String()
	switch exit, isExit := errors.AsType[*exec.ExitError](err); {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return text, nil
	case ctx.Err() != nil:
		return text, errSilent
	case isExit && firstLine(text) != "":
		return text, fmt.Errorf("%w: %s", exit, firstLine(text))
	default:
		return text, bare(err)
	}
}

// firstLine returns the first line of a text that says something.
func firstLine(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return ""
}

// tilde shortens the home directory of a path to ~.
func (m *machine) tilde(path string) string {
	if rest, ok := strings.CutPrefix(path, m.home+string(filepath.Separator)); ok && m.home != "" {
		return "~" + string(filepath.Separator) + rest
	}
	return path
}

// size writes a number of bytes for people.
func size(bytes uint64) string {
	const unit = 1 << 10
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	value, names := float64(bytes)/unit, []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	for ; value >= unit && len(names) > 1; names = names[1:] {
		value /= unit
	}
	return fmt.Sprintf("%.1f %s", value, names[0])
}
