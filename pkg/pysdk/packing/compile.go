package packing

import (
	"context"
	_ "embed"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/openeas/eascmd/internal/diskspace"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// compileProgram finds syntax errors.
//
//go:embed compile.py
var compileProgram string

// precheck finds what would only show when a package has been written, which may
// take minutes: a disk on which the package cannot be tried, and a program with
// a syntax error.
func (m *maker) precheck(ctx context.Context) error {
	if m.NoCheck || !m.env {
		return nil
	}
	if dir := filepath.Dir(m.file); diskspace.NoExec(dir) {
		return fault.New(fault.Missing, "the package cannot be tried in %s: the disk does not let programs run (noexec)", dir).
			WithHint("write the package elsewhere with -o, or leave the check out with --no-check")
	}
	if m.entry == "" {
		return nil
	}
	interpreter := filepath.Join(m.dir, pack.EnvDir, "bin", "python")
	cmd := python.Command(ctx, interpreter, "-I", "-S", "-B", "-W", "ignore", "-c", compileProgram, filepath.Join(m.dir, filepath.FromSlash(m.entry)))
	cmd.Env = python.Environ(os.Environ())
	var stderr tail
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fault.New(fault.Processor, "compile %s: %w\n%s", filepath.Join(m.Dir, m.entry), err, stderr.String())
	}
	if len(out) == 0 {
		return nil
	}
	var wrong struct {
		Line int
		Text string
	}
	if err := json.Unmarshal(out, &wrong); err != nil {
		return fault.New(fault.Failed, "compile %s: %w", filepath.Join(m.Dir, m.entry), err)
	}
	return fault.New(fault.Processor, "%s:%d: SyntaxError: %s", filepath.Join(m.Dir, m.entry), wrong.Line, wrong.Text)
}
