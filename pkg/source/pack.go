package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/pysdk/packing"
)

// pack checks a directory and makes its package, or finds that it was made
// already.
func (p *part) pack(ctx context.Context) (made *madePackage, cached bool, err error) {
	if p.field == processorPath && !p.NoCheck {
		if err := p.checkProcessor(p.path, false); err != nil {
			return nil, false, err
		}
	}
	p.checkModelEntry()
	fingerprint, err := p.fingerprint(ctx)
	if err != nil {
		return nil, false, err
	}
	if made := p.place.packageOf(fingerprint); made != nil {
		for _, w := range p.place.state.Warnings {
			p.warn(w.Text, w.Hint)
		}
		p.step("Using the package of [" + p.path + "], which has not changed")
		return made, true, p.place.save()
	}
	first := len(p.warnings)
	p.step("Packing [" + p.path + "]")
	made = &madePackage{Of: fingerprint, File: stemOf(filepath.Base(p.path)) + packageExt}
	if p.hasEnvironment(p.path) {
		err = p.packPython(ctx, made)
	} else {
		err = p.packFiles(ctx, made)
	}
	if err != nil {
		return nil, false, err
	}
	return made, false, p.place.keep(made, slices.Clone(p.warnings[first:]))
}

// hasEnvironment reports whether a processor's directory has a Python
// environment of its own.
func (p *part) hasEnvironment(dir string) bool {
	if p.field != processorPath || p.Description.ProcessorType != python {
		return false
	}
	_, err := os.Lstat(filepath.Join(dir, pack.EnvDir))
	return err == nil
}

// packPython makes the package of a program in Python with its environment.
func (p *part) packPython(ctx context.Context, made *madePackage) error {
	var bars bars
	bars.start = p.progress
	defer bars.end()
	glibc := packing.DefaultGLIBC
	if p.Elsewhere {
		glibc = packing.AnyGLIBC
	}
	var warnings sync.Mutex
	pkg, err := packing.Make(ctx, packing.Options{
		Dir: p.path, File: filepath.Join(p.place.dir, made.File), Replace: true,
		NoCheck: p.NoCheck, GLIBC: glibc,
		Description: p.Description, Without: p.without(),
		Warn: func(text, hint string) {
			warnings.Lock()
			defer warnings.Unlock()
			p.warn(text, hint)
		},
		Progress: bars.update,
	})
	switch {
	case isFull(err): // there is no -o here that the hint could mean
		return diskError(p.place.dir, err)
	case err != nil:
		return err
	}
	made.SHA256 = pkg.SHA256
	return nil
}

// bars shows the progress of one thing after another. Its methods may be called
// from several goroutines.
type bars struct {
	start func(label string) (update func(done, total int64), done func())

	mu     sync.Mutex
	label  string
	draw   func(done, total int64)
	finish func()
}

func (b *bars) update(label string, done, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finish == nil || label != b.label {
		b.stop()
		b.label = label
		b.draw, b.finish = b.start(label)
	}
	b.draw(done, total)
}

func (b *bars) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stop()
}

func (b *bars) stop() {
	if b.finish != nil {
		b.finish()
		b.finish = nil
	}
}

// packFiles makes the package of any other directory.
func (p *part) packFiles(ctx context.Context, made *madePackage) (err error) {
	ignore, err := p.ignore()
	if err != nil {
		return err
	}
	entries, _, err := pack.Walk(ctx, p.path, pack.WalkOptions{Ignore: ignore})
	if err != nil {
		return fault.New(fault.KindOf(err), "%s: %w", p.field, err)
	}
	if len(entries) == 0 {
		return fault.New(fault.Description, "%s: %s holds nothing to pack", p.field, p.path)
	}
	f, err := os.CreateTemp(p.place.dir, "tmp-*")
	if err != nil {
		return diskError(p.place.dir, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	update, done := p.progress("packing " + filepath.Base(p.path))
	defer done()
	h := sha256.New()
	_, err = pack.Write(ctx, io.MultiWriter(f, h), entries, pack.WriteOptions{Progress: update})
	switch {
	case isFull(err):
		return diskError(p.place.dir, err)
	case err != nil:
		return fault.New(fault.KindOf(err), "%s: %w", p.field, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return diskError(p.place.dir, err)
	}
	if err := os.Rename(f.Name(), filepath.Join(p.place.dir, made.File)); err != nil {
		return diskError(p.place.dir, err)
	}
	made.SHA256 = hex.EncodeToString(h.Sum(nil))
	return nil
}

// without lists what the rules of packages do not leave out and this one does:
// the description, because the package must not change with it.
func (p *part) without() []string {
	if p.File == "" {
		return nil
	}
	file, err := filepath.Abs(p.File)
	if err != nil {
		return nil
	}
	rel, err := filepath.Rel(p.path, file)
	if err != nil || !filepath.IsLocal(rel) {
		return nil
	}
	return []string{filepath.ToSlash(rel)}
}

// ignore says what is left out of a package.
func (p *part) ignore() (*pack.Ignore, error) {
	ig := pack.DefaultIgnore()
	quote := strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, " ", `\ `).Replace
	for _, name := range append(p.without(), filepath.Base(p.path)+packageExt) {
		if err := ig.AddPattern("/"+quote(name), "not for a package"); err != nil {
			return nil, err
		}
	}
	name := filepath.Join(p.path, pack.IgnoreFile)
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ig, nil
	case err != nil:
		return nil, fault.New(fault.Failed, "%w", err)
	case !info.Mode().IsRegular():
		// Nobody may ever write into a FIFO, and /dev/zero does not end.
		return nil, fault.New(fault.Description, "%s is no file", name).
			WithHint("it lists patterns of what is left out of the package, a line each")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fault.New(fault.Failed, "%w", err)
	}
	defer f.Close()
	return ig, ig.Add(f, name)
}

// packRules is the version of what this package has packages made like.
const packRules = 1

// fingerprint tells a directory, and what is made of it, from any other.
func (p *part) fingerprint(ctx context.Context) (string, error) {
	d := p.Description
	h := sha256.New()
	fmt.Fprintf(h, "%d %q %q %q %q %v %v %q\n", packRules, p.Program, p.field, d.ProcessorType, path.Clean(filepath.ToSlash(d.ProcessorEntry)), d.DataImage != "", p.NoCheck, packing.DefaultGLIBC)
	fmt.Fprintf(h, "%v %q %q\n", p.Elsewhere, runtime.GOOS, runtime.GOARCH)
	ignore, err := p.ignore()
	if err != nil {
		return "", err
	}
	var except []string
	environment := p.hasEnvironment(p.path)
	if environment {
		except = []string{pack.EnvDir}
	}
	entries, _, err := pack.Walk(ctx, p.path, pack.WalkOptions{Ignore: ignore, Except: except})
	if err != nil {
		return "", fault.New(fault.KindOf(err), "%s: %w", p.field, err)
	}
	var items []item
	for _, e := range entries {
		it := item{name: e.Name, mode: e.Mode, content: e.Link}
		if e.Mode.IsRegular() {
			it.file = filepath.Join(p.path, filepath.FromSlash(e.Name))
		}
		items = append(items, it)
	}
	if environment {
		if name := filepath.Join(p.path, pack.IgnoreFile); len(entries) > 0 {
			if _, err := os.Stat(name); err == nil { // it may leave out parts of the environment
				items = append(items, item{name: pack.IgnoreFile, file: name})
			}
		}
		more, err := environmentItems(ctx, filepath.Join(p.path, pack.EnvDir))
		if err != nil {
			return "", fault.New(fault.KindOf(err), "%s: %w", p.field, err)
		}
		items = append(items, more...)
	}
	if err := p.place.read(ctx, items); err != nil {
		return "", err
	}
	for _, it := range items {
		describe(h, it.name, it.mode, it.content)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// item is something that a fingerprint is of.
type item struct {
	name    string
	mode    fs.FileMode
	content string // a link's target; read fills in the hash of a file
	file    string // of this machine
}

// environmentItems lists all that is in an environment, and the files outside
// that its links lead to: the interpreter that it is on top of.
func environmentItems(ctx context.Context, dir string) ([]item, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fault.New(fault.Processor, "the environment %s cannot be read: %w", dir, err).
			WithHint("make it anew with `eascmd pysdk init`")
	}
	var items []item
	err = filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(real, path)
		if err != nil {
			return err
		}
		it := item{name: pack.EnvDir + "/" + filepath.ToSlash(rel), mode: d.Type()}
		switch {
		case d.Type().IsRegular():
			info, err := d.Info()
			if err != nil {
				return err
			}
			it.mode, it.file = info.Mode(), path
		case d.Type()&fs.ModeSymlink != 0:
			if it.content, err = os.Readlink(path); err != nil {
				return err
			}
			target, err := filepath.EvalSymlinks(path)
			if err != nil {
				break // it leads nowhere anywhere
			}
			if rel, err := filepath.Rel(real, target); err == nil && filepath.IsLocal(rel) {
				break
			}
			if info, err := os.Stat(target); err == nil && info.Mode().IsRegular() {
				items = append(items, item{name: it.name + " leads to", mode: info.Mode(), file: target})
			}
		}
		items = append(items, it)
		return nil
	})
	if err != nil {
		return nil, fault.New(fault.Failed, "read the environment: %w", err)
	}
	return items, nil
}

// read fills in the hashes of files, and notes them in the place of those before.
func (pl *place) read(ctx context.Context, items []item) error {
	var mu sync.Mutex
	sums := make(map[string]fileSum, len(items))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range items {
		it := &items[i]
		if it.file == "" {
			continue
		}
		group.Go(func() error {
			sum, err := pl.sum(ctx, it.file)
			if err != nil {
				return err
			}
			it.content = sum.SHA256
			if sum.Stamp != "" {
				mu.Lock()
				defer mu.Unlock()
				sums[it.file] = sum
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	pl.state.Sums = sums
	return nil
}
