//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// packFigures are what was measured of packing one environment.
type packFigures struct {
	Versions map[string]string `json:"versions"`
	Tree     treeSize          `json:"tree"`
	Packers  []packed          `json:"packers"`
	Imports  *imports          `json:"imports,omitempty"`
}

// packed is what one packer did.
type packed struct {
	Name    string    `json:"name"`
	Seconds []float64 `json:"seconds"`
	CPU     []float64 `json:"cpu"`               // seconds of all its processes, user and system
	Memory  []int64   `json:"memory"`            // the most that its processes had in memory, in bytes
	Size    int64     `json:"size"`              // of the package
	Content *treeSize `json:"content,omitempty"` // that is in it
}

// imports are times of a Python that imports treeModules and ends, in seconds,
// out of an unpacked package.
type imports struct {
	Packed   []float64 `json:"packed"`
	Compiled []float64 `json:"compiled"` // with all bytecode out of reach
}

// The names of the packers.
const (
	eascmdPack        = "eascmd, without the check"
	eascmdPackChecked = "eascmd"
	condaPackTwo      = "conda-pack -j2"
	condaPackOne      = "conda-pack -j1"
	tarGzip           = "tar | gzip"
	tarPigz           = "tar | pigz -p2"
)

// packer is a way to make a package: programs of which each writes into the
// next. Those that do not write the file themselves write it to their standard
// output.
type packer struct {
	name     string
	programs [][]string
	toFile   bool // the last program's standard output is the package
	read     bool // what is in the package is counted
}

func (b *bench) measurePacking(ctx context.Context) error {
	if b.interpreter == nil {
		return nil
	}
	f := &packFigures{}
	var err error
	if f.Versions, err = b.packVersions(ctx); err != nil {
		return err
	}
	project, err := b.makeTree(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.lack(packedTree, err)
		return nil
	}
	// Where the tree is, so that nothing is written to another, slower disk.
	dir, err := os.MkdirTemp(b.cache, "packing-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.figures.Packing = f
	if err := b.pack(ctx, project, dir); err != nil {
		return err
	}
	return b.measureImports(ctx, dir)
}

// packedTree is missing where the environment that is packed cannot be made.
const packedTree = "packages of PyPI to be packed"

// packers are all that are there. The package is written to the file out.
func (b *bench) packers(project, condaTree, out string) []packer {
	ours := []string{b.eascmd, "pysdk", "pack", project, "-o", out}
	packers := []packer{
		{name: eascmdPack, programs: [][]string{append(ours, "--no-check")}, read: true},
		{name: eascmdPackChecked, programs: [][]string{ours}},
	}
	if b.venv != "" {
		conda := []string{venvProgram(b.venv, "conda-pack"), "--quiet", "--prefix", condaTree, "--output", out, "--n-threads"}
		packers = append(packers,
			packer{name: condaPackTwo, programs: [][]string{append(conda[:len(conda):len(conda)], "2")}, read: true},
			packer{name: condaPackOne, programs: [][]string{append(conda[:len(conda):len(conda)], "1")}})
	}
	archive := []string{"tar", "-C", project, "-cf", "-", "."}
	packers = append(packers, packer{name: tarGzip, programs: [][]string{archive, {"gzip"}}, toFile: true, read: true})
	if b.has("pigz") {
		packers = append(packers, packer{name: tarPigz, programs: [][]string{archive, {b.programs["pigz"], "-p2"}}, toFile: true})
	}
	return packers
}

// pack lets every packer pack the project, round by round.
func (b *bench) pack(ctx context.Context, project, dir string) error {
	condaTree := filepath.Join(dir, "conda")
	if err := linkCondaTree(filepath.Join(project, "ENV"), condaTree); err != nil {
		return err
	}
	f := b.figures.Packing
	var err error
	if f.Tree, err = readTree(project); err != nil {
		return err
	}
	out := filepath.Join(dir, "package.tar.gz")
	packers := b.packers(project, condaTree, out)
	results := make([]packed, len(packers))
	for round := range b.packs {
		for i := range packers {
			i = (round + i) % len(packers) // nobody is always the first
			p := packers[i]
			b.say("packing %.0f MB, round %d of %d: %s", float64(f.Tree.Bytes)/1e6, round+1, b.packs, p.name)
			use, err := b.runPacker(ctx, p, out)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			r := &results[i]
			r.Name = p.name
			r.Seconds = append(r.Seconds, use.took.Seconds())
			r.CPU = append(r.CPU, use.cpu.Seconds())
			r.Memory = append(r.Memory, use.memory)
			info, err := os.Stat(out)
			if err != nil {
				return err
			}
			r.Size = info.Size()
			if round == 0 && p.read {
				content, err := readPackage(out)
				if err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				r.Content = &content
			}
			keep := filepath.Join(dir, "ours.tar.gz")
			if p.name == eascmdPack {
				err = os.Rename(out, keep)
			} else {
				err = os.Remove(out)
			}
			if err != nil {
				return err
			}
		}
	}
	f.Packers = results
	return nil
}

// packerUse is what a packer needed.
type packerUse struct {
	took   time.Duration
	cpu    time.Duration
	memory int64 // bytes
}

// runPacker runs the programs of a packer at the same time and returns what they
// needed, all together. The memory of a program's own children counts in place
// of the program's where it was more. Linux counts to a new process what the one
// had that started it, so that no program has less than this one, some 20 MB.
func (b *bench) runPacker(ctx context.Context, p packer, out string) (use packerUse, err error) {
	var input *os.File
	commands := make([]*exec.Cmd, len(p.programs))
	talk := make([]bytes.Buffer, len(p.programs))
	var ours []*os.File // to be closed here once the programs have them
	closeOurs := func() {
		for _, f := range ours {
			f.Close()
		}
		ours = nil
	}
	defer closeOurs()
	for i, argv := range p.programs {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = b.dir, b.environment()
		cmd.Stderr = &talk[i]
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = endTime
		if input != nil {
			cmd.Stdin = input
		}
		switch {
		case i < len(p.programs)-1:
			r, w, err := os.Pipe()
			if err != nil {
				return use, err
			}
			ours = append(ours, r, w)
			cmd.Stdout, input = w, r
		case p.toFile:
			file, err := os.Create(out)
			if err != nil {
				return use, err
			}
			ours = append(ours, file)
			cmd.Stdout = file
		}
		commands[i] = cmd
	}
	begin := time.Now()
	for i, cmd := range commands {
		if err := cmd.Start(); err != nil {
			closeOurs() // those that have begun see the end of their input
			for _, begun := range commands[:i] {
				begun.Wait()
			}
			return use, err
		}
	}
	closeOurs()
	for i, cmd := range commands {
		if waitErr := cmd.Wait(); waitErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), waitErr, bytes.TrimSpace(talk[i].Bytes())))
			continue
		}
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			use.memory += usage.Maxrss << 10
		}
		use.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	use.took = time.Since(begin)
	return use, err
}

// readPackage counts what is in a tar.gz.
func readPackage(path string) (treeSize, error) {
	f, err := os.Open(path)
	if err != nil {
		return treeSize{}, err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return treeSize{}, err
	}
	var size treeSize
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil {
			return treeSize{}, err
		}
		size.Entries++
		size.Bytes += h.Size
	}
}

// packVersions are the versions of the packers.
func (b *bench) packVersions(ctx context.Context) (map[string]string, error) {
	versions, err := b.peerVersions(ctx, "conda-pack")
	if err != nil {
		return nil, err
	}
	for name, program := range map[string]string{"tar": "tar", "gzip": "gzip", "pigz": b.programs["pigz"]} {
		if program == "" {
			continue
		}
		out, err := exec.CommandContext(ctx, program, "--version").CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s --version: %w", program, err)
		}
		versions[name] = version(out)
	}
	return versions, nil
}

// importsTimed is how often the packages are imported.
const importsTimed = 5

// importAll is the program that is timed.
var importAll = "import " + strings.Join(treeModules, ", ")

// measureImports unpacks our package and imports what is in it, with the
// bytecode that came along and without any.
func (b *bench) measureImports(ctx context.Context, dir string) error {
	to := filepath.Join(dir, "unpacked")
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	if _, err := output(ctx, dir, nil, "tar", "-xzf", filepath.Join(dir, "ours.tar.gz"), "-C", to); err != nil {
		return err
	}
	python := filepath.Join(to, "ENV", "bin", "python")
	// Nothing is written, so that each time is as the first.
	packed := b.environment("PYTHONNOUSERSITE=1", "PYTHONDONTWRITEBYTECODE=1", "MPLCONFIGDIR="+b.path("tmp"))
	compiled := append(packed, "PYTHONPYCACHEPREFIX="+filepath.Join(dir, "no-bytecode"))
	times := min(importsTimed, b.repeats)
	b.say("imports out of the package, %d times", times)
	i := &imports{}
	for round := range times + 1 {
		_, with, err := b.timedIn(ctx, packed, "", python, "-c", importAll)
		if err != nil {
			return err
		}
		_, without, err := b.timedIn(ctx, compiled, "", python, "-c", importAll)
		if err != nil {
			return err
		}
		if round == 0 {
			continue // the files come into the page cache
		}
		i.Packed = append(i.Packed, with.Seconds())
		i.Compiled = append(i.Compiled, without.Seconds())
	}
	b.figures.Packing.Imports = i
	return nil
}
