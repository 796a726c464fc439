package source

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/localtest"
	"github.com/openeas/eascmd/pkg/localtest/check"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/pysdk/packing"
)

// The languages of processors.
const (
	cpp    = "cpp"
	java   = "java"
	python = "python"
)

// eas is what messages call where a service runs.
const eas = "EAS"

// versions are what the libraries of the platform's image have: debian:12-slim,
// as for packages and for `test` in a container.
func versions() map[string]string {
	return map[string]string{"GLIBC_": packing.DefaultGLIBC, "GLIBCXX_": "3.4.30", "CXXABI_": "1.3.13"}
}

// checkFile checks a processor that is a file: a package is unpacked for that.
// One that was found good is not checked again.
func (p *part) checkFile(ctx context.Context, sum string) error {
	if p.field == modelPath && p.format == pack.None {
		p.checkModelName()
	}
	if p.field != processorPath || p.NoCheck {
		return nil
	}
	d := p.Description
	verdict := fmt.Sprintf("%d %s %s %q %q %q %v %v", packRules, sum, p.format, d.ProcessorType, d.ProcessorEntry, d.ProcessorMainClass, p.Elsewhere, d.DataImage != "" || d.Runtime.BaseImage != "")
	verdict += fmt.Sprintf(" %q %q %q", filepath.Base(p.path), d.Metadata.CUDA, d.ProcessorEnvs)
	if p.place.state.Checked == verdict {
		for _, w := range p.place.state.Warnings {
			p.warn(w.Text, w.Hint)
		}
		return nil
	}
	temp, err := p.place.temporary()
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	dir := filepath.Join(temp, "processor")
	if p.format == pack.None {
		err = p.alone(dir)
	} else {
		p.step("Checking [" + p.path + "]")
		err = p.unpack(ctx, dir)
	}
	if err != nil {
		return err
	}
	first := len(p.warnings)
	if err := p.checkProcessor(dir, true); err != nil {
		return err
	}
	p.place.state.Checked, p.place.state.Warnings = verdict, slices.Clone(p.warnings[first:])
	return nil
}

// alone makes a directory in which the processor's file is all there is, as
// where it runs.
func (p *part) alone(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return diskError(p.place.dir, err)
	}
	name := filepath.Join(dir, filepath.Base(p.path))
	err := os.Symlink(p.path, name)
	if err != nil {
		err = os.Link(p.path, name) // Windows has links for those who may
	}
	if err != nil {
		return diskError(p.place.dir, err)
	}
	return nil
}

func (p *part) unpack(ctx context.Context, dir string) error {
	update, done := p.progress("unpacking " + filepath.Base(p.path))
	defer done()
	if _, err := pack.Extract(ctx, p.path, dir, pack.ExtractOptions{Progress: update}); err != nil {
		return fault.New(fault.KindOf(err), "%s: %w", p.field, err)
	}
	return nil
}

// checkProcessor checks the processor in a directory against where it will run.
// complete says that the directory is as it will be there.
func (p *part) checkProcessor(dir string, complete bool) error {
	d := p.Description
	switch d.ProcessorType {
	case cpp, python:
		if err := localtest.EntryExists(d.ProcessorType, dir, d.ProcessorEntry); err != nil {
			return err
		}
	}
	switch d.ProcessorType {
	case cpp:
		return p.checkObject(dir)
	case python:
		return p.checkPython(dir, complete)
	case java:
		return p.checkJava(dir)
	}
	return nil
}

// checkObject checks a shared object.
func (p *part) checkObject(dir string) error {
	path := filepath.Join(dir, filepath.FromSlash(p.Description.ProcessorEntry))
	platform := &check.Platform{Versions: versions(), Provides: p.provides}
	libraryPath, all := p.libraryPath(dir)
	if !all {
		platform.Provides = func(string) bool { return true }
	}
	report, err := check.SharedObject(path, check.Options{
		WorkDir: dir, LibraryPath: libraryPath, Machine: elf.EM_X86_64, Place: eas, Platform: platform,
	})
	if err != nil {
		return err
	}
	for i := range report.Problems {
		problem := &report.Problems[i]
		if p.Elsewhere && problem.Severity == check.Fatal && ofPlatform(problem.Code) {
			problem.Severity = check.Warning
		}
		if problem.Severity == check.Warning {
			p.warn(p.Description.ProcessorEntry+": "+problem.Text, problem.Hint)
		}
	}
	return report.Err()
}

// ofPlatform reports whether a problem is one of where the object runs and not of
// the object.
func ofPlatform(code string) bool {
	switch code {
	case "cpu", "missing-library", "library-version", "executable-stack":
		return true
	}
	return false
}

// provides reports whether a library comes from elsewhere than the image that
// processors run in: the GPU's driver, CUDA, or an image of the user's.
func (p *part) provides(name string) bool {
	base, _, _ := strings.Cut(name, ".so")
	switch {
	case p.Description.Runtime.BaseImage != "", base == "libcuda", strings.HasPrefix(base, "libnvidia-"):
		return true
	case p.Description.Metadata.CUDA == "":
		return false
	}
	for _, cuda := range [...]string{"libcu", "libnv", "libnpp"} {
		if strings.HasPrefix(base, cuda) {
			return true
		}
	}
	return false
}

// libraryPath is the LD_LIBRARY_PATH of the description, in terms of dir. all is
// false where there are directories in it of which nothing is known.
func (p *part) libraryPath(dir string) (list []string, all bool) {
	all = true
	for _, v := range p.Description.ProcessorEnvs {
		if v.Name != "LD_LIBRARY_PATH" {
			continue
		}
		for _, d := range strings.FieldsFunc(v.Value, func(r rune) bool { return r == ':' || r == ';' }) {
			for _, workspace := range [...]string{"/eas/workspace", "/home/admin/docker_ml/workspace"} {
				if rest, ok := strings.CutPrefix(d, workspace+"/predictor/"+p.Description.Name); ok {
					d = filepath.Join(dir, filepath.FromSlash(rest))
					break
				}
			}
			if rel, err := filepath.Rel(dir, d); filepath.IsAbs(d) && (err != nil || !filepath.IsLocal(rel)) {
				all = false
			}
			list = append(list, d)
		}
	}
	return list, all
}

// checkPython checks that there is a Python that runs the program.
func (p *part) checkPython(dir string, complete bool) error {
	d := p.Description
	if _, err := os.Lstat(filepath.Join(dir, pack.EnvDir)); errors.Is(err, fs.ErrNotExist) {
		if d.DataImage != "" || d.Runtime.BaseImage != "" {
			return nil
		}
		return p.lacks(fault.New(fault.Processor, "the processor has no %s, and the description names no data_image: there is no Python on EAS to run it with", pack.EnvDir).
			WithHint("`eascmd pysdk init --env-only` makes an %s for this project", pack.EnvDir))
	}
	interpreter, err := localtest.FindPython(dir, true)
	if err != nil {
		return err
	}
	// What an environment is completed with when it is packed is looked at there.
	platform := &check.Platform{Provides: func(string) bool { return true }}
	if complete {
		platform = &check.Platform{Versions: versions(), Provides: p.provides}
	}
	err = check.Interpreter(interpreter.Path, check.Options{WorkDir: dir, Machine: elf.EM_X86_64, Place: eas, Platform: platform})
	if err != nil {
		return p.lacks(err)
	}
	return nil
}

// lacks makes a warning of what is wrong on EAS alone, for a target of one's own.
func (p *part) lacks(err error) error {
	if !p.Elsewhere {
		return err
	}
	p.warn(err.Error(), fault.HintOf(err))
	return nil
}

// checkJava checks a processor in Java. Which Java runs it on EAS is not known.
func (p *part) checkJava(dir string) error {
	d := p.Description
	if d.ProcessorMainClass == "" {
		return nil
	}
	processor := check.JavaProcessor{Dir: dir, MainClass: d.ProcessorMainClass}
	if d.ProcessorEntry != "" {
		processor.Entry = filepath.Join(dir, filepath.FromSlash(d.ProcessorEntry))
	}
	report, _, err := check.Java(processor, check.JavaOptions{Place: eas})
	if err != nil {
		return err
	}
	for _, problem := range report.Problems {
		if problem.Severity == check.Warning {
			p.warn(d.ProcessorMainClass+": "+problem.Text, problem.Hint)
		}
	}
	return report.Err()
}

// checkModelEntry warns of a model_entry that the model does not have. It is no
// error: a processor may take the text for something else.
func (p *part) checkModelEntry() {
	entry := p.Description.ModelEntry
	if p.field != modelPath || entry == "" {
		return
	}
	if _, err := os.Stat(filepath.Join(p.path, filepath.FromSlash(entry))); errors.Is(err, fs.ErrNotExist) {
		p.warn("model_entry ["+entry+"] is not in the model: "+p.path, "")
	}
}

// checkModelName is checkModelEntry for a model that is one file.
func (p *part) checkModelName() {
	entry := p.Description.ModelEntry
	if entry != "" && filepath.Clean(entry) != filepath.Base(p.path) && filepath.Clean(entry) != "." {
		p.warn("model_entry ["+entry+"] is not the model's file: "+p.path, "")
	}
}
