package packing

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// checkProgram tries the imports, in the package's own interpreter.
//
//go:embed check.py
var checkProgram []byte

// check unpacks the package under another path, and lets its interpreter import
// what the program imports.
func (m *maker) check(ctx context.Context, archive string, p *Package) error {
	m.Step("Checking the package")
	// It lies beside the package, since there is room there and programs may
	// be run.
	place, err := os.MkdirTemp(filepath.Dir(m.file), "."+filepath.Base(m.file)+".check-*")
	if err != nil {
		return err
	}
	defer removeAll(place)
	unpacked := filepath.Join(place, "the package") // paths with spaces have to be good too
	_, err = pack.Extract(ctx, archive, unpacked, pack.ExtractOptions{
		MaxBytes: -1, MaxEntries: -1, MaxRatio: -1,
		Progress: func(done, total int64) { m.Progress(Unpacking, done, total) },
	})
	if err != nil {
		return fault.New(fault.KindOf(err), "check the package: %w", err)
	}
	if !m.env {
		p.Checked = true
		return nil
	}
	if runtime.GOOS != "linux" {
		m.Warn("the imports are not tried, because the package is for Linux", "")
		return nil
	}
	report, err := m.runCheck(ctx, place, unpacked)
	if err != nil {
		return err
	}
	p.Python, p.Checked = report.python, true
	return m.judge(report, unpacked)
}

// removeAll removes what was unpacked, of which nothing may be in the way.
func removeAll(dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	os.RemoveAll(dir)
}

// checkLine is a line that checkProgram writes.
type checkLine struct {
	Python, Prefix, Executable string

	Module, Name string
	Line         int
	Optional     bool
	Begin, Done  bool
	Error        string
	Missing      string // the module that was not found
}

// checkReport is what checkProgram found.
type checkReport struct {
	python, prefix string
	failed         []checkLine
	during         *checkLine // the import that was being tried when it ended
	ended          error      // it did not end as it should
	stderr         string
}

// runCheck runs checkProgram in the unpacked package, with nothing of this
// machine's Python in its environment.
func (m *maker) runCheck(ctx context.Context, place, unpacked string) (*checkReport, error) {
	program, result := filepath.Join(place, "check.py"), filepath.Join(place, "result")
	home := filepath.Join(place, "home")
	if err := errors.Join(os.WriteFile(program, checkProgram, 0o600), os.Mkdir(home, 0o700)); err != nil {
		return nil, err
	}
	interpreter := filepath.Join(unpacked, pack.EnvDir, "bin", "python")
	args := []string{program, result}
	if m.entry != "" {
		args = append(args, filepath.FromSlash(m.entry))
	}
	cmd := python.Command(ctx, interpreter, args...)
	cmd.Dir = unpacked
	cmd.Env = []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "TMPDIR=" + home, "LANG=C.UTF-8",
		"PYTHONNOUSERSITE=1", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1", "PYTHONFAULTHANDLER=1",
	}
	cmd.WaitDelay = time.Second
	var stderr tail
	cmd.Stderr = &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited && !errors.Is(err, exec.ErrWaitDelay) {
		return nil, m.notRun(err)
	}
	r := &checkReport{ended: err, stderr: strings.TrimSpace(stderr.String())}
	if errors.Is(err, exec.ErrWaitDelay) {
		r.ended = nil
	}
	data, err := os.ReadFile(result)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return r, r.read(data)
}

// notRun explains an interpreter that could not be started.
func (m *maker) notRun(err error) error {
	text := "the package's interpreter cannot be started: %w"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.Processor, "the package has no interpreter %s/bin/python that can be started: %w", pack.EnvDir, plain(err)).
			WithHint("make the environment anew with `eascmd pysdk init`")
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Missing, text, plain(err)).
			WithHint("if %s does not let programs run, write the package elsewhere with -o, or leave the check out with --no-check", filepath.Dir(m.file))
	case errors.Is(err, syscall.ENOEXEC):
		return fault.New(fault.Processor, text, plain(err)).
			WithHint("the interpreter is for another CPU; make the environment anew on a machine like the one it is to run on")
	}
	return fault.New(fault.Processor, text, plain(err))
}

// plain drops the path that an error of the system carries.
func plain(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

func (r *checkReport) read(data []byte) error {
	for line := range bytes.Lines(data) {
		var l checkLine
		if err := json.Unmarshal(line, &l); err != nil {
			return fault.New(fault.Failed, "the check's result cannot be read: %w", err)
		}
		r.during = nil
		switch {
		case l.Python != "":
			r.python, r.prefix = l.Python, l.Prefix
		case l.Begin:
			r.during = &l
		case l.Error != "":
			r.failed = append(r.failed, l)
		}
	}
	return nil
}

// judge decides what a report means.
func (m *maker) judge(r *checkReport, unpacked string) error {
	if r.python == "" {
		return fault.New(fault.Processor, "the package's interpreter does not work: %s", r.lastWords())
	}
	if want, err := filepath.EvalSymlinks(filepath.Join(unpacked, pack.EnvDir)); err == nil && !samePath(r.prefix, want) {
		return fault.New(fault.Processor, "the package's interpreter takes %s for its environment, and not its own", r.prefix).
			WithHint("make the environment anew with `eascmd pysdk init`")
	}
	if r.during != nil {
		return fault.New(fault.Processor, "the package's interpreter ended at %s: %s", m.importOf(*r.during), r.lastWords()).
			WithHint("if it cannot be imported on this machine but where it is to run, leave the check out with --no-check")
	}
	var failed []checkLine
	for _, l := range r.failed {
		switch {
		case !l.Optional:
			failed = append(failed, l)
		case l.Line > 0:
			m.Warn(fmt.Sprintf("%s failed in the package: %s", m.importOf(l), l.Error), "")
		case l.Missing != l.Module:
			failed = append(failed, l) // an SDK that is there must work
		}
	}
	if len(failed) == 0 {
		return nil
	}
	var text strings.Builder
	for _, l := range failed {
		fmt.Fprintf(&text, "\n  %s: %s", m.importOf(l), l.Error)
	}
	interpreter := filepath.Join(m.Dir, pack.EnvDir, "bin", "python")
	err := fault.New(fault.Processor, "imports fail in the unpacked package:%s", text.String())
	switch {
	case slices.ContainsFunc(failed, func(l checkLine) bool { return l.Missing == "allspark" }):
		// What has this name in the index is another project.
		return err.WithHint("install allspark with `%s -m pip install \"$(eascmd pysdk wheel -o /tmp)\"`", interpreter)
	case failed[0].Missing != "":
		return err.WithHint("install it with `%s -m pip install ...`", interpreter)
	}
	return err.WithHint("see whether `%s -c 'import %s'` works; --no-check packs it all the same", interpreter, failed[0].Module)
}

// importOf names an import and where it stands.
func (m *maker) importOf(l checkLine) string {
	what := "import " + l.Module
	if l.Name != "" {
		what = "from " + l.Module + " import " + l.Name
	}
	if l.Line == 0 {
		return what
	}
	return fmt.Sprintf("%s:%d: %s", filepath.Join(m.Dir, m.entry), l.Line, what)
}

// lastWords is why the interpreter ended.
func (r *checkReport) lastWords() string {
	why := "it ended early"
	if r.ended != nil {
		why = r.ended.Error()
	}
	if r.stderr != "" {
		why += "\n" + r.stderr
	}
	return why
}

func samePath(a, b string) bool {
	if real, err := filepath.EvalSymlinks(a); err == nil {
		a = real
	}
	return filepath.Clean(a) == filepath.Clean(b)
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	const kept = 4 << 10
	t.b = append(t.b, p...)
	if extra := len(t.b) - kept; extra > 0 {
		t.b = append(t.b[:0], t.b[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.b) }
