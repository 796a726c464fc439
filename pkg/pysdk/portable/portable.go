// Package portable turns a Python environment into one that runs from any path
// on a Linux machine without any Python: interpreter, standard library,
// packages and the shared libraries that they need beyond glibc's.
//
// Nothing in the environment itself is changed. What comes out is a [Tree] of
// archive entries, whose content is read, and rewritten where it has to be,
// only when it is asked for; [Materialize] writes one to a directory.
//
// Three things make a tree independent of its path. The executable gets a
// library search path relative to itself (an old-style DT_RPATH, which all that
// it loads inherits), so that no variable has to be set. Python finds its
// library by where its executable is. And what names the old place in text
// (scripts, links, sysconfig's data, files of conda packages) is written anew.
package portable

import (
	"context"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// Tree is an environment that runs from any path. The names of its entries are
// relative to its root and sorted, so that a directory stands before what it holds.
type Tree struct {
	Kind     Kind
	Entries  []pack.Entry
	LeftOut  []LeftOut // sorted by path
	Findings []Finding // the severest first, then by path
	Built    []Built   // sorted by path
}

// Kind is what an environment is on this machine.
type Kind string

// The kinds.
const (
	Copy  Kind = "copy"  // an interpreter with its library in one directory
	Venv  Kind = "venv"  // an environment on top of another Python: venv, virtualenv, uv
	Conda Kind = "conda" // made by conda or its kin
)

// LeftOut is a file or directory of the environment that is not in the tree.
type LeftOut struct {
	Path string // in the tree, had it been taken
	Why  string
}

// Severity says how bad a finding is.
type Severity int

// The severities.
const (
	Note    Severity = iota // worth knowing
	Warning                 // something may not work elsewhere
	Error                   // something does not work elsewhere
)

func (s Severity) String() string { return [...]string{"note", "warning", "error"}[s] }

// Finding is something about an environment that matters where it is to run.
type Finding struct {
	Severity Severity
	Path     string // in the tree; empty where it is about all of it
	Text     string // lower case, no full stop
	Hint     string // what to do; may be empty
}

// Built is a directory of this machine that is compiled into a program or
// library of the interpreter, where it does no harm: the interpreter looks
// there after it has found its own.
type Built struct {
	Path  string // of the file, in the tree
	Text  string // the directory
	Count int    // how often
}

// Options say what a tree is for.
type Options struct {
	// Name is a directory that stands before the names of all entries, such as
	// ENV; empty for none. Links stay inside it.
	Name string
	// GLIBC is the version of the GNU C library where the tree is to run, such as
	// 2.36; empty where it is not known. What needs a newer one is an error.
	GLIBC string
	// Authorities is the file of certificate authorities that comes along; empty
	// for this machine's.
	Authorities string
	// Prefix is where the tree is going to lie, where that is known. It takes the
	// place of the old directory where nothing can be computed: in what is
	// compiled into conda's libraries, and in files of settings. Where it is not
	// known, a directory that exists nowhere does.
	Prefix string
	// NoPip leaves pip out of the tree of an interpreter.
	NoPip bool
}

// Interpreter makes a tree of an interpreter alone, without the packages that
// are installed for it: for an environment on top of another Python, of that
// one. pip comes along, from the wheels that the interpreter has for new
// environments or, where it has none, from its packages.
func Interpreter(ctx context.Context, i *python.Interpreter, opts Options) (*Tree, error) {
	b, err := newBuilder(ctx, i, opts)
	if err != nil {
		return nil, err
	}
	b.kind = Copy
	if err := b.addBase(); err != nil {
		return nil, fault.New(fault.Failed, "copy Python %s of %s: %w", i.Version, i.BasePrefix, err)
	}
	if !opts.NoPip {
		if err := b.addPip(); err != nil {
			return nil, fault.New(fault.Failed, "copy pip of %s: %w", i.BasePrefix, err)
		}
	}
	return b.tree()
}
