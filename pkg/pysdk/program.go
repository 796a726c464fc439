package pysdk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// pipeDelay is how long the output may stay open of a program that has ended,
// should it have left something behind that holds it.
const pipeDelay = 2 * time.Second

// run runs a program, whose output goes to the log. what says in an error what
// it was there for.
func (b *builder) run(ctx context.Context, what, program string, args ...string) error {
	return b.runWith(ctx, nil, what, program, args...)
}

func (b *builder) runWith(ctx context.Context, env []string, what, program string, args ...string) error {
	settings, err := b.environ()
	if err != nil {
		return err
	}
	cmd := python.Command(ctx, program, args...)
	cmd.Env = append(settings, env...)
	cmd.WaitDelay = pipeDelay
	// As long as the program or one of its children is there, be it without this
	// process, nobody else begins to work in the directory.
	cmd.ExtraFiles = []*os.File{b.stage.lock}
	b.output.reset()
	out := io.Writer(&b.output)
	if b.Log != nil {
		out = io.MultiWriter(finalNames{b.Log}, &b.output)
	}
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	switch exit, exited := errors.AsType[*exec.ExitError](err); {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case exited && b.Log == nil && b.output.last() != "":
		return fault.New(fault.Failed, "%s: %w: %s", what, exit, b.output.last())
	case exited:
		return fault.New(fault.Failed, "%s: %w", what, exit).
			WithHint("%s says above why", programName(program, args))
	default:
		return fault.New(fault.Failed, "%s: %w", what, err)
	}
}

// finalNames writes what programs say of the environment's path as it is going
// to be.
type finalNames struct{ w io.Writer }

func (f finalNames) Write(p []byte) (int, error) {
	return f.w.Write(bytes.ReplaceAll(p, []byte("/"+stageName), []byte("/"+EnvName)))
}

// programName is the program that people know: pip, not the interpreter that
// runs it.
func programName(program string, args []string) string {
	if n := slices.Index(args, "-m"); n >= 0 && n+1 < len(args) {
		return args[n+1]
	}
	return program[strings.LastIndex(program, "/")+1:]
}

// misleading are the variables that would send packages elsewhere than into the
// environment, or end in a question.
var misleading = []string{
	"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "PIP_REQUIRE_VENV", "PIP_REQUIREMENT",
	"UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_TARGET", "UV_PREFIX", "UV_BREAK_SYSTEM_PACKAGES",
	"VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "CONDA_PREFIX", "CONDA_DEFAULT_ENV",
}

// environ is the environment of pip, conda and uv: that of the caller, so that
// proxies, indexes and credentials are honoured, without what misleads them.
func (b *builder) environ() ([]string, error) {
	env := slices.DeleteFunc(python.Environ(os.Environ()), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(misleading, name)
	})
	env = append(env,
		"PYTHONNOUSERSITE=1", "PYTHONUTF8=1",
		// These win over pip's configuration files, which cannot be left out:
		// they name the index.
		"PIP_USER=0", "PIP_REQUIRE_VIRTUALENV=0",
		"PIP_NO_INPUT=1", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_ROOT_USER_ACTION=ignore", "PIP_NO_WARN_SCRIPT_LOCATION=1",
	)
	if b.CABundle != "" {
		bundle, err := b.trust()
		if err != nil {
			return nil, err
		}
		for _, name := range []string{"PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CONDA_SSL_VERIFY", "MAMBA_SSL_VERIFY"} {
			env = append(env, name+"="+bundle)
		}
	}
	return env, nil
}

// tail keeps the last line that a program has printed.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailSize is how much is kept to find the last line in.
const tailSize = 4 << 10

// Write takes output; it never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = slices.Delete(t.text, 0, over)
	}
	return len(p), nil
}

func (t *tail) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = t.text[:0]
}

// last returns the last line that says something.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
