package check

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// Interpreter says why the Python interpreter at path does not run where opts
// says, nil if nothing keeps it from running: the CPU, the dynamic loader, the
// libraries that it needs, and their versions, a newer glibc above all. The
// system names them one at a time, and the first two not at all: it says that
// there is no such file, of one that is there.
//
// A script that stands for it is not looked at.
func Interpreter(path string, opts Options) (err error) {
	shown := path
	// The loader takes $ORIGIN from the file itself, not from a link to it.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return fault.New(fault.Processor, "read the interpreter: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return fault.New(fault.Processor, "read the interpreter: %w", err)
	}
	defer f.Close()
	if opts.Machine == elf.EM_NONE {
		opts.Machine = thisMachine()
	}
	if opts.Place == "" {
		opts.Place = "this machine"
	}
	if opts.Root == "" && runtime.GOOS == "linux" {
		opts.Root = "/"
	}
	if opts.WorkDir == "" {
		opts.WorkDir = filepath.Dir(path)
	}
	fails := func(hint, format string, args ...any) error {
		return fault.New(fault.Processor, "the interpreter %s does not run on %s: %s", shown, opts.Place, fmt.Sprintf(format, args...)).WithHint("%s", hint)
	}
	// What the parsers do not expect of a damaged file must not end us.
	defer func() {
		if p := recover(); p != nil {
			err = fails(remake, "the file is damaged: %v", p)
		}
	}()

	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fault.New(fault.Processor, "read the interpreter: %w", err)
	}
	if head = head[:n]; bytes.HasPrefix(head, []byte("#!")) {
		return nil
	}
	if !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		what, _ := identify(head)
		return fails("make the environment on Linux, or in a container: `eascmd image build --dev` makes an image for that", "it is %s", what)
	}
	machine, loader, err := program(f)
	if err != nil {
		return fails(remake, "the file is damaged: %v", err)
	}
	if machine != opts.Machine {
		return fails("make the environment on a machine with this CPU, or take an image for that one",
			"it is built for %s, and the CPU is %s", cpu(machine), cpu(opts.Machine))
	}
	if opts.Root == "" && opts.Platform == nil || loader == "" {
		return nil // nothing to compare with, or linked statically
	}
	obj, err := readObject(path, f)
	if err != nil {
		return fails(remake, "the file is damaged: %v", err)
	}
	c := &closure{opts: opts, root: obj}
	if _, err := c.locate(loader); err != nil && opts.Platform == nil {
		why := "it lacks the dynamic loader " + loader
		if c.muslLoader() != "" {
			why = "it is built for glibc, whose loader " + loader + " is missing: there is musl in its place"
		}
		return fails("take an image with glibc, such as debian:12-slim (--base-image)", "%s", why)
	}
	c.load()
	defer c.close()
	var r Report
	r.missingLibraries(c)
	r.versions(c)
	var texts []string
	hint := "`eascmd pysdk init --backend copy` makes an environment that brings its libraries along; or take an image that has them"
	for _, p := range r.Problems {
		if p.Severity != Fatal {
			continue
		}
		texts = append(texts, p.Text)
		if p.Code == "library-version" {
			hint = "take an image whose distribution is as new as the machine that the environment was made on (--base-image, such as debian:13-slim or ubuntu:24.04), or make the environment on an older one"
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return fails(hint, "%s", strings.Join(texts, "; "))
}

const remake = "make the environment anew"

// program reads of an ELF file the CPU that it is for and the dynamic loader that
// it asks for, "" where it asks for none.
func program(f io.ReaderAt) (machine elf.Machine, loader string, err error) {
	e, err := elf.NewFile(f)
	if err != nil {
		return 0, "", err
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			text, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			if err != nil {
				return 0, "", err
			}
			loader = strings.TrimRight(string(text), "\x00")
		}
	}
	return e.Machine, loader, nil
}
