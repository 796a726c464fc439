// Package check examines a processor without running any of it. Of a shared
// object: what kind of file it is, the CPU it is for, the two functions that EAS
// calls, and everything that the dynamic loader would stumble over, which it
// only reports one at a time, in its own words, after the start. Of a Java class:
// whether it is in the class path, whether the Java that will run it can read it,
// and the constructor and the methods that EAS calls.
//
// The loader's rules are followed as they are: the order of search paths,
// symbol versions, and that every symbol must be found at once (a processor is
// loaded with RTLD_NOW). A file that the package finds no fatal problem in can
// still fail to load where the loader is told things that Options do not hold.
//
// Files are read in small pieces, and damaged or hostile ones give problems,
// never a panic.
package check

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// Options say where the shared object will be loaded. The zero value is this
// machine, with the object's directory as working directory.
type Options struct {
	// WorkDir is the worker's working directory, which relative search
	// paths such as "./" start from. Empty: the object's directory.
	WorkDir string

	// LibraryPath and Preload are the directories of LD_LIBRARY_PATH and
	// the libraries of LD_PRELOAD that the worker is started with.
	LibraryPath []string
	Preload     []string

	// Root is the root directory of the file system that it will be loaded
	// in. Empty is "/"; other systems than Linux then have no libraries to
	// compare with, and libraries are not checked. WorkDir and the object
	// are always paths of this machine.
	Root string

	// Machine is the CPU, elf.EM_NONE for this machine's.
	Machine elf.Machine

	// Place names in messages where it will be loaded, such as "this
	// machine" (the default) or "the image debian:12".
	Place string

	// Platform, where it is set, is what is known of where it will be loaded,
	// whose files are not here. Root is then not used, and of this machine only
	// what lies in WorkDir or beside the object counts.
	Platform *Platform
}

// Severity says how much a problem matters.
type Severity int

// The severities. With a Fatal problem the processor cannot be loaded; a
// Warning may come to matter, a Note is worth knowing.
const (
	Note Severity = iota
	Warning
	Fatal
)

func (s Severity) String() string {
	return [...]string{"note", "warning", "fatal"}[s]
}

// Problem is something found in a processor.
type Problem struct {
	Severity Severity
	Code     string // stable name, a heading of docs/checks.md
	Text     string // what is wrong and why; lower case, no full stop
	Hint     string // what to do; may be empty
}

// Library is a shared object that the loader would load along.
type Library struct {
	Name     string // as it is asked for: "libm.so.6"
	Path     string // empty where it was not found
	NeededBy string // base name of the first object that needs it
}

// Report is what was found.
type Report struct {
	Path     string
	Problems []Problem

	// Libraries are those that the object needs, and those need, in the
	// order of loading. LibrariesChecked is false where it could not be
	// known what is there. A Java processor has none.
	Libraries        []Library
	LibrariesChecked bool
}

// Err returns nil where the processor can be loaded, and otherwise an error of
// kind Processor that names all fatal problems.
func (r *Report) Err() error {
	var texts, hints []string
	for _, p := range r.Problems {
		if p.Severity != Fatal {
			continue
		}
		texts = append(texts, p.Text)
		if p.Hint != "" && (len(hints) == 0 || hints[len(hints)-1] != p.Hint) {
			hints = append(hints, p.Hint)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	err := fault.New(fault.Processor, "%s cannot be used as a processor: %s", filepath.Base(r.Path), strings.Join(texts, "; "))
	if len(hints) == 0 {
		return err
	}
	return err.WithHint("%s", strings.Join(hints, "; "))
}

func (r *Report) add(severity Severity, code, hint, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{Severity: severity, Code: code, Text: fmt.Sprintf(format, args...), Hint: hint})
}

// SharedObject examines the shared object at path. It returns an error only
// where the file cannot be read; what is wrong with it is in the report.
func SharedObject(path string, opts Options) (report Report, err error) {
	report.Path = path
	info, err := os.Stat(path)
	if err != nil {
		return report, fault.New(fault.Processor, "cannot read the processor: %w", err).
			WithHint("processor_entry is the name of the shared object inside the processor's directory or archive")
	}
	if info.IsDir() {
		report.add(Fatal, "not-elf", "name the .so file itself", "it is a directory")
		return report, nil
	}
	if !info.Mode().IsRegular() {
		report.add(Fatal, "not-elf", "", "it is not a regular file")
		return report, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return report, fault.New(fault.Processor, "cannot read the processor: %w", err)
	}
	defer f.Close()

	// What the parsers do not expect of a damaged file must not end us.
	defer func() {
		if p := recover(); p != nil {
			report.add(Fatal, "damaged", "build or copy it again", "the file is damaged: %v", p)
			err = nil
		}
	}()

	if opts.Machine == elf.EM_NONE {
		opts.Machine = thisMachine()
	}
	if opts.Place == "" {
		opts.Place = "this machine"
	}
	if path, err = filepath.Abs(path); err != nil {
		return report, err
	}
	if opts.WorkDir == "" {
		opts.WorkDir = filepath.Dir(path)
	} else if opts.WorkDir, err = filepath.Abs(opts.WorkDir); err != nil {
		return report, err
	}

	if !report.kind(f, info.Size(), opts) {
		return report, nil
	}
	obj, err := readObject(path, f)
	if err != nil {
		report.add(Fatal, "damaged", "build or copy it again", "the file is damaged: %v", err)
		return report, nil
	}
	report.loadable(obj)

	if opts.Root == "" && runtime.GOOS == "linux" {
		opts.Root = "/"
	}
	c := &closure{opts: opts, root: obj}
	if opts.Root != "" || opts.Platform != nil {
		c.load()
		defer c.close()
		report.LibrariesChecked = true
		report.Libraries = c.libraries()
	}
	report.entryPoints(obj, c)
	if report.LibrariesChecked {
		report.missingLibraries(c)
		report.versions(c)
		report.undefinedSymbols(c)
	}
	report.executableStack(c)
	report.sanitizers(c)
	report.workspacePaths(f, obj)
	return report, nil
}

// thisMachine is the CPU that this program was built for.
func thisMachine() elf.Machine {
	switch runtime.GOARCH {
	case "arm64":
		return elf.EM_AARCH64
	default:
		return elf.EM_X86_64
	}
}

// cpu names a machine as people do.
func cpu(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "x86-64"
	case elf.EM_AARCH64:
		return "arm64"
	case elf.EM_386:
		return "32-bit x86"
	case elf.EM_ARM:
		return "32-bit arm"
	case elf.EM_RISCV:
		return "RISC-V"
	case elf.EM_PPC64:
		return "POWER"
	case elf.EM_S390:
		return "s390x"
	case elf.EM_LOONGARCH:
		return "LoongArch"
	}
	if name := m.String(); strings.HasPrefix(name, "EM_") && !strings.Contains(name, "+") {
		return strings.TrimPrefix(name, "EM_")
	}
	return fmt.Sprintf("CPU number %d", uint16(m))
}
