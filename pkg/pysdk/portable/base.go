package portable

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// addBase adds the interpreter that the environment stands on, with its
// standard library.
func (b *builder) addBase() error {
	i := b.python
	exe := i.BaseExecutable
	if exe == "" {
		exe = i.Executable
	}
	exe, err := filepath.EvalSymlinks(exe)
	if err != nil {
		return err
	}
	info, err := os.Stat(exe)
	if err != nil {
		return err
	}
	program := "bin/python" + i.Name()
	if i.FreeThreaded {
		program += "t"
	}
	b.file(program, exe, info)
	for _, name := range []string{"bin/python", "bin/python3", "bin/python" + i.Name()} {
		if name != program {
			b.link(name, path.Base(program))
		}
	}
	b.program = program

	stdlib := filepath.Clean(i.Stdlib)
	// Fedora has lib64/python3.11; the interpreter knows it by that name.
	b.stdlib = path.Join(filepath.Base(filepath.Dir(stdlib)), filepath.Base(stdlib))
	if err := b.addDir(b.stdlib, stdlib, b.keepStdlib); err != nil {
		return err
	}
	if err := b.addPlatStdlib(stdlib); err != nil {
		return err
	}
	b.dir(b.packages()) // pip installs into it, and Debian's site looks for it
	if err := b.addHeaders(); err != nil {
		return err
	}
	return b.editStdlib()
}

// addPlatStdlib adds the part of the standard library that depends on the CPU,
// where it has a directory of its own.
func (b *builder) addPlatStdlib(stdlib string) error {
	i := b.python
	rel, ok := below(stdlib, filepath.Clean(i.BasePrefix))
	if !ok {
		return nil
	}
	for _, lib := range []string{rel, strings.Replace(rel, "lib/", "lib64/", 1)} {
		dir := filepath.Join(i.BaseExecPrefix, lib)
		modules := filepath.Join(dir, "lib-dynload")
		if info, err := os.Stat(modules); err != nil || !info.IsDir() {
			continue
		}
		if same(dir, stdlib) {
			return nil
		}
		return b.addDir(path.Join(b.stdlib, "lib-dynload"), modules, b.keepStdlib)
	}
	return nil
}

// same reports whether two paths lead to one file.
func same(a, c string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(c)
	return err == nil && os.SameFile(x, y)
}

// What of a standard library stays behind, by its path.
var stdlibLeftOut = map[string]string{
	"test":                     tests,
	"idlelib":                  graphical,
	"turtledemo":               graphical,
	"tkinter":                  graphical,
	"turtle.py":                graphical,
	"site-packages":            quiet, // what is installed, which the caller sees to
	"dist-packages":            quiet,
	"EXTERNALLY-MANAGED":       "belongs to the distribution, and keeps pip from installing",
	"_distutils_system_mod.py": distribution,
	"sitecustomize.py":         distribution,
}

// The reasons.
const (
	tests        = "tests of Python itself"
	graphical    = "for graphical programs"
	distribution = "belongs to the distribution that the interpreter is from"
	embedding    = "for building Python into other programs"
)

// keepStdlib says what of a standard library comes along.
func (b *builder) keepStdlib(rel string, d fs.DirEntry) string {
	if why := stdlibLeftOut[rel]; why != "" {
		return why
	}
	dir, name := path.Split(rel)
	switch {
	case strings.HasPrefix(rel, "config-") && dir == "", name == "libpython"+b.python.Name()+".a":
		return embedding
	case d.IsDir() && slices.Contains([]string{"test", "tests", "idle_test"}, name) && dir != "":
		return tests
	case strings.HasSuffix(name, ".so") && (strings.HasPrefix(name, "_test") || strings.HasPrefix(name, "_ctypes_test") || strings.HasPrefix(name, "_xxtest") || strings.HasPrefix(name, "xxlimited")):
		return tests
	case strings.HasPrefix(name, "_tkinter."):
		return graphical
	}
	return keepBytecode(name)
}

// keepBytecode leaves bytecode for -O out.
func keepBytecode(name string) string {
	if strings.HasSuffix(name, ".opt-1.pyc") || strings.HasSuffix(name, ".opt-2.pyc") {
		return quiet
	}
	return ""
}

// addHeaders adds what extension modules are built with, where it is installed.
func (b *builder) addHeaders() error {
	i := b.python
	dir := "include/python" + i.Name()
	if i.FreeThreaded {
		dir += "t"
	}
	source := filepath.Join(i.BasePrefix, dir)
	if _, err := os.Stat(filepath.Join(source, "Python.h")); err != nil {
		return nil
	}
	if err := b.addDir(dir, source, func(string, fs.DirEntry) string { return "" }); err != nil {
		return err
	}
	// Debian has one for each CPU, and a file that chooses.
	own := filepath.Join(i.BasePrefix, "include", i.Multiarch, path.Base(dir), "pyconfig.h")
	if info, err := os.Stat(own); err == nil && i.Multiarch != "" {
		b.file(dir+"/pyconfig.h", own, info)
	}
	return nil
}

// require returns a file of the tree that it cannot be without.
func (b *builder) require(name string) (*item, error) {
	it := b.items[name]
	if it == nil {
		return nil, fmt.Errorf("the interpreter has no %s", name)
	}
	return it, nil
}
