// Package python knows the Python interpreters of this machine: where they are,
// and what each says of itself. An interpreter is only ever asked, never
// guessed at from the names of its files.
package python

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/fault"
)

// OldestMinor is the oldest minor version of Python 3 that the package allspark
// supports, and NewestMinor the newest that is looked for by name.
const (
	OldestMinor = 8
	NewestMinor = 14
)

// Interpreter is what a Python says of itself. All paths are absolute and as it
// gives them, links included.
type Interpreter struct {
	Path string `json:"-"` // how it was called

	Version        string `json:"version"` // 3.11.7, 3.14.0rc2
	Major          int    `json:"major"`
	Minor          int    `json:"minor"`
	Implementation string `json:"implementation"` // cpython, pypy

	Prefix         string `json:"prefix"`      // sys.prefix: of the environment
	BasePrefix     string `json:"base_prefix"` // of the Python that the environment stands on
	ExecPrefix     string `json:"exec_prefix"`
	BaseExecPrefix string `json:"base_exec_prefix"`
	Executable     string `json:"executable"`      // sys.executable
	BaseExecutable string `json:"base_executable"` // of the Python that the environment stands on

	// The directories of its sysconfig, for packages of its own prefix.
	Stdlib     string   `json:"stdlib"`
	PlatStdlib string   `json:"platstdlib"`
	Purelib    string   `json:"purelib"`
	Platlib    string   `json:"platlib"`
	Scripts    string   `json:"scripts"`
	SysPath    []string `json:"sys_path"`  // sys.path, in its order
	WheelDir   string   `json:"wheel_dir"` // where ensurepip's wheels are, if not in ensurepip itself

	System    string `json:"system"`    // sys.platform: linux, darwin, win32
	Machine   string `json:"machine"`   // x86_64, aarch64; i686 for a 32-bit program on x86_64
	Libc      string `json:"libc"`      // "glibc 2.36", "musl"; empty where it is neither
	Multiarch string `json:"multiarch"` // x86_64-linux-gnu; may be empty
	SOABI     string `json:"soabi"`     // cpython-311-x86_64-linux-gnu; may be empty

	HasPip       bool `json:"has_pip"`
	HasEnsurepip bool `json:"has_ensurepip"`
	HasVenv      bool `json:"has_venv"`
	Conda        bool `json:"conda"`         // its prefix was made by conda or its kin
	Managed      bool `json:"managed"`       // marked EXTERNALLY-MANAGED: pip refuses to change it
	Debug        bool `json:"debug"`         // a build with Py_DEBUG
	FreeThreaded bool `json:"free_threaded"` // a build without the GIL
}

// Name returns the version as environments are named after it: 3.11.
func (i *Interpreter) Name() string { return strconv.Itoa(i.Major) + "." + strconv.Itoa(i.Minor) }

// Virtual reports whether it is an environment on top of another Python, whose
// standard library it uses.
func (i *Interpreter) Virtual() bool { return i.Prefix != i.BasePrefix }

// AskTimeout is how long an interpreter may take to answer. The first start
// from a cold disk or a network file system takes seconds.
const AskTimeout = 20 * time.Second

// ErrSilent is the cause where an interpreter gave no answer in time.
var ErrSilent = errors.New("no answer in time")

// OldError is the cause where a program is a Python 2.
type OldError struct {
	Version string // 2.7.18
}

func (e *OldError) Error() string { return "it is Python " + e.Version }

// Ask runs the interpreter at path and returns what it says of itself. It runs
// apart from the caller's settings for Python, from the user's own packages and
// from the current directory. Where path is no usable Python 3 the error is of
// kind Missing and says what it is instead.
func Ask(ctx context.Context, path string) (*Interpreter, error) {
	return AskWith(ctx, path, os.Environ())
}

// AskWith is Ask with an environment of the caller's, from which the settings
// for Python are taken out.
func AskWith(ctx context.Context, path string, env []string) (*Interpreter, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.New(fault.Failed, "python %s: %w", path, err)
	}
	i, err := ask(ctx, abs, env)
	if err != nil {
		return nil, fault.New(fault.Missing, "%s cannot be used as Python 3: %w", path, err).
			WithHint("see what `%s --version` does, or name another interpreter", path)
	}
	return i, nil
}

// answerMark stands before the answer: what else a start prints, a line of a
// .pth file for one, comes before it.
const answerMark = "\x1eeascmd:"

// question makes an interpreter describe itself. Python 2 has to understand its
// first lines too. Neither -I, which Python 2 lacks, nor -P, which is new in
// 3.11, is needed: the current directory is taken off sys.path before anything
// is imported from it.
const question = `import sys
if sys.path and sys.path[0] == "": del sys.path[0]
if sys.version_info[0] < 3 or sys.version_info < (3, 4):
    sys.stdout.write("\n\x1eeascmd:{\"version\":\"%d.%d.%d\",\"major\":%d,\"minor\":%d}\n" % (tuple(sys.version_info[:3]) + tuple(sys.version_info[:2])))
    sys.exit(0)
import os, json, sysconfig, importlib.util
paths = sysconfig.get_paths()
v = sys.version_info
def has(name):
    try:
        return importlib.util.find_spec(name) is not None
    except Exception:
        return False
def var(name):
    try:
        return sysconfig.get_config_var(name) or ""
    except Exception:
        return ""
def base():
    exe = getattr(sys, "_base_executable", None)
    if exe and (exe != sys.executable or sys.prefix == sys.base_prefix):
        return exe
    try:
        with open(os.path.join(sys.prefix, "pyvenv.cfg")) as f:
            for line in f:
                k, _, val = line.partition("=")
                if k.strip().lower() == "home":
                    for n in ("python%d.%d" % v[:2], "python3", "python"):
                        p = os.path.join(val.strip(), n)
                        if os.path.exists(p):
                            return p
    except Exception:
        pass
    return exe or sys.executable
def libc():
    if sys.platform != "linux":
        return ""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except Exception:
        pass
    return "musl" if "musl" in (var("HOST_GNU_TYPE") + (var("SOABI") or "")) else ""
machine = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")
if sys.maxsize < 2**32:
    machine = {"x86_64": "i686", "aarch64": "armv7l"}.get(machine, machine)
level = {"alpha": "a", "beta": "b", "candidate": "rc"}.get(v[3], "")
answer = {
    "version": "%d.%d.%d" % v[:3] + (level + str(v[4]) if level else ""),
    "major": v[0], "minor": v[1],
    "implementation": sys.implementation.name,
    "prefix": sys.prefix, "base_prefix": sys.base_prefix,
    "exec_prefix": sys.exec_prefix, "base_exec_prefix": sys.base_exec_prefix,
    "executable": sys.executable or "", "base_executable": base() or "",
    "stdlib": paths["stdlib"], "platstdlib": paths["platstdlib"],
    "purelib": paths["purelib"], "platlib": paths["platlib"], "scripts": paths["scripts"],
    "sys_path": sys.path, "wheel_dir": var("WHEEL_PKG_DIR"),
    "system": sys.platform, "machine": machine, "libc": libc(),
    "multiarch": getattr(sys.implementation, "_multiarch", ""), "soabi": var("SOABI"),
    "has_pip": has("pip"), "has_ensurepip": has("ensurepip"), "has_venv": has("venv"),
    "conda": os.path.isdir(os.path.join(sys.prefix, "conda-meta")),
    "managed": sys.prefix == sys.base_prefix and os.path.exists(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")),
    "debug": hasattr(sys, "gettotalrefcount"),
    "free_threaded": "t" in getattr(sys, "abiflags", ""),
}
sys.stdout.write("\n\x1eeascmd:" + json.dumps(answer) + "\n")
`

// pipeDelay is how long the output may stay open of an interpreter that has
// ended, should it have left something behind that holds it.
const pipeDelay = time.Second

func ask(ctx context.Context, path string, env []string) (*Interpreter, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, errors.Unwrap(err)
	} else if info.IsDir() {
		return nil, errors.New("it is a directory")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, AskTimeout, ErrSilent)
	defer cancel()
	cmd := Command(ctx, path, "-E", "-s", "-B", "-c", question)
	cmd.Env = append(Environ(env), "PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C")
	cmd.WaitDelay = pipeDelay
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, ErrSilent
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	_, answer, ok := bytes.Cut(stdout.Bytes(), []byte(answerMark))
	if !ok {
		return nil, noAnswer(err, stdout.String(), stderr.String())
	}
	i := &Interpreter{Path: path}
	if err := json.Unmarshal(bytes.TrimSpace(answer), i); err != nil {
		return nil, fmt.Errorf("its answer cannot be read: %w", err)
	}
	if i.Major < 3 || i.Prefix == "" {
		return nil, &OldError{i.Version}
	}
	if i.Executable == "" {
		i.Executable = path
	}
	return i, nil
}

// noAnswer says why a program gave none.
func noAnswer(err error, stdout, stderr string) error {
	said := lastLine(stderr)
	if said == "" {
		said = lastLine(stdout)
	}
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case exited && said != "":
		return fmt.Errorf("%w: %s", exit, said)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		if path, ok := errors.AsType[*os.PathError](err); ok {
			return path.Err // the caller names the program
		}
		return err
	case said != "":
		return fmt.Errorf("it is no Python: it prints %q", said)
	}
	return errors.New("it is no Python: it prints nothing")
}

// lastLine returns the last line of a text that says something: that of a
// traceback is the exception.
func lastLine(text string) string {
	last := ""
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			last = line
		}
	}
	const longest = 300
	if len(last) > longest {
		last = last[:longest] + "..."
	}
	return last
}

// Environ returns an environment without what changes what a Python imports or
// where it looks for itself: every PYTHON variable, and macOS's launcher's.
func Environ(env []string) []string {
	clean := make([]string, 0, len(env))
	for _, v := range env {
		if !strings.HasPrefix(v, "PYTHON") && !strings.HasPrefix(v, "__PYVENV_LAUNCHER__=") {
			clean = append(clean, v)
		}
	}
	return clean
}

// Command is a program that is ended together with all that it has started when
// ctx ends: pip and conda have children of their own.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	ownGroup(cmd)
	return cmd
}
