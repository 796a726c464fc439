package portable

import (
	"bufio"
	"context"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// Environment makes a tree of an environment in a directory, as it is on disk.
//
// One on top of another Python (venv, virtualenv, uv) becomes one that stands
// by itself: interpreter and standard library come along from the other, and
// pyvenv.cfg goes. In one of conda, what its packages noted as naming the
// environment's directory is rewritten; files that pip has replaced are taken
// as they are. Anything else with bin/python is taken whole, without what is
// only there for tests and for building Python into other programs.
func Environment(ctx context.Context, dir string, opts Options) (*Tree, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.New(fault.Failed, "environment %s: %w", dir, err)
	}
	kind, err := detect(root)
	if err != nil {
		return nil, err
	}
	i, err := python.Ask(ctx, filepath.Join(root, "bin", "python"))
	if err != nil {
		return nil, err
	}
	if kind != Venv && !same(i.Prefix, root) {
		return nil, fault.New(fault.Missing, "%s is no Python environment: its bin/python is that of %s", root, i.Prefix).
			WithHint("make one with `eascmd pysdk init` or `python3 -m venv`")
	}
	b, err := newBuilder(ctx, i, opts)
	if err != nil {
		return nil, err
	}
	b.kind, b.root = kind, root
	b.addOld(root)
	switch kind {
	case Venv:
		err = b.addVenv()
	case Conda:
		err = b.addWhole(b.keepConda)
		if err == nil {
			err = b.readConda()
		}
	default:
		err = b.addWhole(b.keepEnvironment)
	}
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "copy the environment %s: %w", dir, err)
	}
	return b.tree()
}

// detect returns what the environment in a directory is.
func detect(root string) (Kind, error) {
	exe := filepath.Join(root, "bin", "python")
	if info, err := os.Stat(exe); err != nil || !info.Mode().IsRegular() {
		if _, err := os.Lstat(exe); err == nil {
			return "", fault.New(fault.Missing, "the environment %s stands on a Python that is not there any more: %s leads nowhere", root, exe).
				WithHint("make the environment again")
		}
		if _, err := os.Stat(filepath.Join(root, "Scripts", "python.exe")); err == nil {
			return "", fault.New(fault.Missing, "the environment %s is one of Windows, and EAS runs Linux", root).
				WithHint("make it on Linux, or in a container")
		}
		return "", fault.New(fault.Missing, "%s is no Python environment: it has no bin/python", root)
	}
	if k, err := kindOfFile(exe); err == nil && k == mach {
		return "", fault.New(fault.Missing, "the environment %s is one of macOS, and EAS runs Linux", root).
			WithHint("make it on Linux, or in a container")
	}
	if _, err := os.Stat(filepath.Join(root, "pyvenv.cfg")); err == nil {
		return Venv, nil
	}
	if info, err := os.Stat(filepath.Join(root, "conda-meta")); err == nil && info.IsDir() {
		return Conda, nil
	}
	return Copy, nil
}

func kindOfFile(name string) (kind, error) {
	f, err := os.Open(name)
	if err != nil {
		return other, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return other, err
	}
	return kindOf(f, info.Size())
}

// addWhole adds an environment that has its interpreter in it.
func (b *builder) addWhole(keep keep) error {
	b.stdlib = b.nameOf(b.python.Stdlib)
	if err := b.addDir("", b.root, keep); err != nil {
		return err
	}
	program, ok := b.follow("bin/python", nil)
	if _, err := b.require(program); !ok || err != nil {
		return err
	}
	b.program = program
	b.dir(b.packages())
	return b.editStdlib()
}

// editStdlib changes what of the standard library depends on the place.
func (b *builder) editStdlib() error {
	if err := b.editSysconfigData(); err != nil {
		return err
	}
	if err := b.restoreSchemes(); err != nil {
		return err
	}
	return b.addAuthorities()
}

// nameOf returns the name in the tree of a directory of the environment.
func (b *builder) nameOf(dir string) string {
	for _, old := range b.old {
		if rel, ok := below(filepath.Clean(dir), old); ok {
			return rel
		}
	}
	return path.Join(filepath.Base(filepath.Dir(dir)), filepath.Base(dir))
}

// keepEnvironment says what of an environment comes along.
func (b *builder) keepEnvironment(rel string, d fs.DirEntry) string {
	name := d.Name()
	if in, ok := strings.CutPrefix(rel, b.stdlib+"/"); ok && !strings.HasPrefix(in, "site-packages/") {
		switch {
		case in == "test", in == "idlelib/idle_test", in == "EXTERNALLY-MANAGED":
			return stdlibLeftOut[path.Base(in)]
		case strings.HasPrefix(in, "config-") && strings.HasSuffix(name, ".a"):
			return embedding
		}
	}
	if rel == libDir+"/libpython"+b.python.Name()+".a" {
		return embedding
	}
	return keepBytecode(name)
}

// keepConda is keepEnvironment for one of conda.
func (b *builder) keepConda(rel string, d fs.DirEntry) string {
	switch rel {
	case "pkgs", "envs", "conda-bld", ".condarc", "condabin":
		return "belongs to conda itself, not to the environment"
	case "conda-meta/history":
		return "how conda made the environment on this machine"
	}
	return b.keepEnvironment(rel, d)
}

// addVenv adds an environment on top of another Python, and that Python.
func (b *builder) addVenv() error {
	if err := b.addBase(); err != nil {
		return err
	}
	if err := b.addDir("", b.root, b.keepVenv); err != nil {
		return err
	}
	system, err := usesSystem(filepath.Join(b.root, "pyvenv.cfg"))
	if err != nil || !system {
		return err
	}
	// Those of the environment come first, and stay.
	for _, dir := range b.python.SysPath {
		base := filepath.Base(dir)
		if base != "site-packages" && base != "dist-packages" || b.inOwn(dir) || strings.Contains(dir, "/.local/") {
			continue
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		b.find(Note, "", "", "the packages in %s, which the environment uses, come along", dir)
		b.addOld(dir)
		if err := b.addDir(b.packages(), dir, func(_ string, d fs.DirEntry) string { return keepBytecode(d.Name()) }); err != nil {
			return err
		}
	}
	return nil
}

// inOwn reports whether a directory is in the environment itself.
func (b *builder) inOwn(dir string) bool {
	_, ok := below(dir, b.root)
	return ok
}

// keepVenv says what of an environment on top of another Python comes along.
func (b *builder) keepVenv(rel string, d fs.DirEntry) string {
	name := d.Name()
	switch dir := path.Dir(rel); {
	case rel == "pyvenv.cfg":
		return "names the Python that the environment stood on, which came along"
	case rel == "lib64" && d.Type() == fs.ModeSymlink, rel == ".gitignore", rel == "CACHEDIR.TAG", rel == ".lock":
		return quiet
	case dir == "bin" && (strings.HasPrefix(name, "python") && d.Type() == fs.ModeSymlink || isPythonName(name)):
		return quiet // the interpreter
	case dir == "bin" && (strings.HasPrefix(strings.ToLower(name), "activate") || strings.HasPrefix(name, "deactivate.") || strings.HasSuffix(name, ".bat")):
		return "for shells to use the environment in its old place; bin/python needs nothing"
	}
	return keepBytecode(name)
}

// isPythonName reports whether a file is an interpreter by its name.
func isPythonName(name string) bool {
	rest, ok := strings.CutPrefix(name, "python")
	return ok && strings.Trim(rest, "0123456789.t") == ""
}

// usesSystem reports whether an environment sees the packages of the Python
// below it.
func usesSystem(cfg string) (bool, error) {
	f, err := os.Open(cfg)
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), "=")
		if strings.EqualFold(strings.TrimSpace(key), "include-system-site-packages") {
			return strings.EqualFold(strings.TrimSpace(value), "true"), nil
		}
	}
	return false, lines.Err()
}
