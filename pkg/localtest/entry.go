package localtest

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/localtest/check"
	"github.com/openeas/eascmd/pkg/runplan"
)

// Check examines the processor of a plan without running it. It fails where
// the processor cannot be loaded here; what else was noticed is in the report.
// place is what messages call here, empty for this machine.
//
// Of a Python program it is only looked at whether it is there, and which paths
// it names: its syntax is for the interpreter that will run it. Of a processor in
// Java it is noted in the plan where its classes are.
func Check(ctx context.Context, plan *runplan.Plan, place string) (check.Report, error) {
	if plan.Language == "java" {
		return checkJava(ctx, plan, place)
	}
	if err := entryExists(plan.Language, plan.Processor); err != nil {
		return check.Report{}, err
	}
	if plan.Language == "python" {
		return check.PythonSources(plan.Processor.Dir), nil
	}
	if err := executable(plan.Processor); err != nil {
		return check.Report{}, err
	}
	libraryPath, _ := Variable(plan, "LD_LIBRARY_PATH")
	preload, _ := Variable(plan, "LD_PRELOAD")
	report, err := check.SharedObject(plan.Processor.Entry, check.Options{
		WorkDir:     plan.Processor.Dir,
		LibraryPath: words(libraryPath, ":;"),
		Preload:     words(preload, ": "),
		Place:       place,
	})
	if err != nil {
		return report, err
	}
	return report, report.Err()
}

// checkEntry looks for the processor of a plan for a container among the files
// of this machine, since that takes no time and a container does.
func checkEntry(w *Prepared, plan *runplan.Plan) error {
	dir := w.ProcessorDir
	for _, m := range w.Mounts {
		place := filepath.Join(w.Dir, filepath.FromSlash(m.Path))
		if plan.Language == "java" && filepath.Dir(place) == w.ProcessorDir {
			return nil // of a jar by itself only its name is here
		}
		if place == dir {
			dir = m.Source
		}
	}
	processor := runplan.Processor{Dir: dir, MainClass: plan.Processor.MainClass}
	if plan.Processor.Entry != "" {
		rel, err := filepath.Rel(plan.Processor.Dir, plan.Processor.Entry)
		if err != nil {
			return fault.New(fault.Failed, "find the processor: %w", err)
		}
		processor.Entry = filepath.Join(dir, rel)
	}
	if plan.Language == "java" {
		report, _, err := check.Java(javaProcessor(processor), check.JavaOptions{})
		if err != nil {
			return err
		}
		return report.Err()
	}
	return entryExists(plan.Language, processor)
}

// EntryExists reports whether a processor's main file is in its directory, and
// explains by what is there why it is not.
func EntryExists(language, dir, entry string) error {
	return entryExists(language, runplan.Processor{Dir: dir, Entry: filepath.Join(dir, filepath.FromSlash(entry))})
}

// entryExists explains a processor_entry that is not in the processor by what
// is there in its place.
func entryExists(language string, p runplan.Processor) error {
	isEntry, what := isSharedObject, "build the processor first; no shared object is there"
	if language == "python" {
		isEntry, what = isPythonProgram, "no Python program is there"
	}
	info, err := os.Stat(p.Entry)
	if err == nil && !info.IsDir() {
		return nil
	}
	rel, relErr := filepath.Rel(p.Dir, p.Entry)
	if relErr != nil {
		rel = p.Entry
	}
	var found []string
	entries, _ := os.ReadDir(p.Dir)
	for _, e := range entries {
		name := e.Name()
		if isEntry(name) {
			found = append(found, name)
			continue
		}
		// One level deeper: the archive of a directory, not of its content.
		below, _ := os.ReadDir(filepath.Join(p.Dir, name))
		for _, e := range below {
			if isEntry(e.Name()) {
				found = append(found, name+"/"+e.Name())
			}
		}
	}
	problem := fault.New(fault.Description, "processor_entry: the processor holds no file %s", rel)
	switch {
	case err == nil:
		problem.Text = "processor_entry: " + rel + " is a directory"
	case !os.IsNotExist(err):
		problem.Text = "processor_entry: " + err.Error()
	}
	const most = 5
	switch {
	case len(found) == 0 && len(entries) == 0:
		return problem.WithHint("the processor is empty; build it first")
	case len(found) == 0:
		return problem.WithHint("%s", what)
	case len(found) > most:
		return problem.WithHint("there are %s and %d more", strings.Join(found[:most], ", "), len(found)-most)
	default:
		return problem.WithHint("did you mean %s?", strings.Join(found, " or "))
	}
}

func isSharedObject(name string) bool {
	return strings.HasSuffix(name, ".so") || strings.Contains(name, ".so.")
}

func isPythonProgram(name string) bool { return strings.HasSuffix(name, ".py") }

// Variable returns the value that a variable has in the workers of a plan that
// runs on this machine, and whether it is set at all.
func Variable(plan *runplan.Plan, name string) (value string, set bool) {
	value, set = os.LookupEnv(name)
	for _, v := range plan.Worker.Env {
		if v.Name == name {
			value, set = v.Value, true
		}
	}
	return value, set
}

func words(list, separators string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(separators, r) })
}
