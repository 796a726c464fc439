// Package packing makes the package of a Python processor: its directory with
// the environment in a form that runs anywhere, in an archive that was tried
// before it is called done.
//
// The archive is written beside its place under another name and moved there at
// the very end. Whatever ends the work before that leaves nothing behind.
package packing

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/pysdk/portable"
	"github.com/openeas/eascmd/pkg/service"
)

// DefaultGLIBC is the version of the GNU C library that a package may need: that
// of debian:12-slim, in which services run here unless another image is named.
const DefaultGLIBC = "2.36"

// AnyGLIBC stands for the version where nothing is known of it.
const AnyGLIBC = "any"

// The parts of the work that take long; see Options.Progress.
const (
	Packing   = "packing"
	Unpacking = "unpacking"
)

// Options say how a package is made.
type Options struct {
	Dir  string // the processor's directory
	File string // where the package goes; empty: beside Dir, named after it

	Replace      bool   // a package that is there
	Level        int    // of compression; 0: pack.DefaultLevel
	SingleMember bool   // see pack.WriteOptions
	NoCheck      bool   // do not try the package
	GLIBC        string // of where it is to run; empty: DefaultGLIBC; AnyGLIBC: it is not known

	// Description is the service's that the package is made for; nil: that in
	// Dir, if there is one.
	Description *service.Description
	// Without are files of Dir that are left out beside what always is, by their
	// paths below it with slashes.
	Without []string

	Step     func(text string)                    // called at the begin of each part; may be nil
	Warn     func(text, hint string)              // what goes wrong without being an error; may be nil
	Progress func(part string, done, total int64) // in bytes, from several goroutines; may be nil
}

// Package is a package that was made.
type Package struct {
	Path    string `json:"package"` // absolute
	Size    int64  `json:"size"`    // bytes
	SHA256  string `json:"sha256"`
	Content int64  `json:"content"` // bytes of all files in it
	Files   int    `json:"files"`
	Millis  int64  `json:"milliseconds"` // that it took
	Checked bool   `json:"checked"`      // it was unpacked and its imports were run
	Python  string `json:"python,omitempty"`

	// What it was made of.
	Biggest  []Directory    `json:"-"`
	LeftOut  []pack.LeftOut `json:"-"`
	Built    []Built        `json:"-"`
	Findings []Finding      `json:"-"` // those that are no errors
}

// Built is a directory of this machine that is compiled into a program or
// library of the environment, where it does no harm.
type Built struct {
	File      string `json:"file"`
	Directory string `json:"directory"`
	Times     int    `json:"times"`
}

// Finding is something in the environment that matters where it is to run.
type Finding struct {
	File     string `json:"file,omitempty"` // empty: all of it
	Severity string `json:"severity"`
	Text     string `json:"text"`
	Hint     string `json:"hint,omitempty"`
}

// Make makes a package.
//
// An error of kind Usage is one of opts, of kind Processor one of what is in
// the directory: a file in the environment that cannot run elsewhere, a program
// with a syntax error, an import that fails in the unpacked package. No room is
// of kind Missing.
func Make(ctx context.Context, opts Options) (*Package, error) {
	start := time.Now()
	m, err := newMaker(opts)
	if err != nil {
		return nil, err
	}
	p, err := m.make(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fault.New(fault.Interrupted, "%w", context.Cause(ctx))
		}
		return nil, m.explain(err)
	}
	p.Millis = time.Since(start).Milliseconds()
	return p, nil
}

// maker is one run of Make.
type maker struct {
	Options
	dir, file string // both absolute
	entry     string // the program, below dir with slashes; empty where there is none
	image     bool   // the environment comes from a data image
	env       bool   // the package has one
}

func newMaker(opts Options) (*maker, error) {
	if opts.Step == nil {
		opts.Step = func(string) {}
	}
	if opts.Warn == nil {
		opts.Warn = func(string, string) {}
	}
	if opts.Progress == nil {
		opts.Progress = func(string, int64, int64) {}
	}
	switch opts.GLIBC {
	case "":
		opts.GLIBC = DefaultGLIBC
	case AnyGLIBC:
		opts.GLIBC = ""
	}
	m := &maker{Options: opts}
	info, err := os.Stat(opts.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.Usage, "there is no directory %s", opts.Dir).
			WithHint("`eascmd pysdk init %s` makes a processor", opts.Dir)
	case err != nil:
		return nil, fault.New(fault.Usage, "%w", err)
	case !info.IsDir():
		return nil, fault.New(fault.Usage, "%s is not a directory", opts.Dir).
			WithHint("name the directory that holds app.py and ENV")
	}
	if m.dir, err = filepath.Abs(opts.Dir); err != nil {
		return nil, fault.New(fault.Failed, "%w", err)
	}
	if filepath.Dir(m.dir) == m.dir {
		return nil, fault.New(fault.Usage, "%s is the whole file system", m.dir).
			WithHint("name the directory that holds app.py and ENV")
	}
	if err := m.choosePlace(); err != nil {
		return nil, err
	}
	return m, nil
}

// choosePlace finds out where the package goes.
func (m *maker) choosePlace() error {
	place := m.File
	if place == "" {
		place = m.dir + ".tar.gz"
	} else if info, err := os.Stat(place); err == nil && info.IsDir() {
		place = filepath.Join(place, filepath.Base(m.dir)+".tar.gz")
	}
	file, err := filepath.Abs(place)
	if err != nil {
		return fault.New(fault.Failed, "%w", err)
	}
	m.file = file
	if err := m.free(); err != nil {
		return err
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		return fault.New(fault.Usage, "the package cannot be written to %s: there is no directory %s", file, filepath.Dir(file)).
			WithHint("make the directory, or name another place with -o")
	}
	return nil
}

// free makes sure that nothing is in the package's place, or a package that may
// be replaced.
func (m *maker) free() error {
	info, err := os.Lstat(m.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fault.New(fault.Failed, "%w", err)
	case info.IsDir():
		return fault.New(fault.Usage, "the package cannot be written to %s: it is a directory", m.file).
			WithHint("name another place with -o")
	case !m.Replace:
		return fault.New(fault.Usage, "%s exists already", m.file).
			WithHint("replace it with --force, or name another place with -o")
	case !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0:
		// The package would be moved over it: /dev/null would be a file.
		return fault.New(fault.Usage, "the package cannot be written to %s: it is no file", m.file).
			WithHint("name another place with -o")
	}
	return nil
}

func (m *maker) make(ctx context.Context) (*Package, error) {
	c, err := m.collect(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.precheck(ctx); err != nil {
		return nil, err
	}
	m.Step("Creating package: " + m.file)
	p, temp, err := m.write(ctx, c)
	if err != nil {
		return nil, err
	}
	defer os.Remove(temp)
	if !m.NoCheck {
		if err := m.check(ctx, temp, p); err != nil {
			return nil, err
		}
	}
	if err := m.free(); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, m.file); err != nil {
		return nil, err
	}
	p.Biggest = biggest(c.entries)
	p.LeftOut, p.Built, p.Findings = c.left, c.built, c.findings
	return p, nil
}

// write writes the package under another name.
func (m *maker) write(ctx context.Context, c *content) (_ *Package, temp string, err error) {
	// os.CreateTemp would make a file that nobody else may read.
	temp = filepath.Join(filepath.Dir(m.file), "."+filepath.Base(m.file)+"."+rand.Text()[:8])
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	stats, err := pack.Write(ctx, io.MultiWriter(f, sum), c.entries, pack.WriteOptions{
		Level: m.Level, SingleMember: m.SingleMember,
		Progress: func(done, total int64) { m.Progress(Packing, done, total) },
	})
	if err != nil {
		return nil, "", err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return nil, "", err
	}
	return &Package{
		Path: m.file, Size: stats.Written, SHA256: hex.EncodeToString(sum.Sum(nil)),
		Content: stats.Bytes, Files: stats.Files,
	}, temp, nil
}

// explain says what a failure of the disk means.
func (m *maker) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.New(fault.Missing, "write %s: %w", m.file, err).
			WithHint("make room on the disk of %s, or name another place with -o", filepath.Dir(m.file))
	}
	if fault.HintOf(err) == "" && errors.Is(err, fs.ErrPermission) {
		return fault.New(fault.KindOf(err), "write %s: %w", m.file, err).
			WithHint("name a place that you may write to with -o")
	}
	return err
}

// findingsError is what keeps an environment from running elsewhere.
func findingsError(list []portable.Finding) error {
	const shown = 20
	var text strings.Builder
	for i, f := range list {
		if i == shown {
			fmt.Fprintf(&text, "\n  and %d more", len(list)-shown)
			break
		}
		text.WriteString("\n  ")
		if f.Path != "" {
			text.WriteString(f.Path + ": ")
		}
		text.WriteString(f.Text)
	}
	err := fault.New(fault.Processor, "the environment cannot run where services run:%s", text.String())
	if hint := list[0].Hint; hint != "" {
		return err.WithHint("%s", hint)
	}
	return err
}
