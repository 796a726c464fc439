package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/docker"
	"github.com/openeas/eascmd/pkg/engine/hosts"
	"github.com/openeas/eascmd/pkg/localtest"
	"github.com/openeas/eascmd/pkg/localtest/check"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// imageRun is a run in an image, before it serves: what can only be done where
// the processor will run.
type imageRun struct {
	plan     *runplan.Plan
	place    string // the image, in messages
	cacheDir string // of hosts that the image lacks
	emit     func(event.Event)
}

func (r *imageRun) say(kind event.Type, message, hint string) {
	r.emit(event.Event{Type: kind, Time: time.Now(), Message: message, Hint: hint})
}

// prepare checks the processor against what the image has, and has the plan run
// the host that suits the image.
func (r *imageRun) prepare(ctx context.Context) error {
	var java localtest.Java
	if r.plan.Language == "java" {
		// Which classes there are and may be depends on it.
		var err error
		if java, err = r.findJava(ctx); err != nil {
			return err
		}
	}
	report, err := localtest.Check(ctx, r.plan, r.place)
	name := r.processor()
	for _, p := range report.Problems {
		if p.Severity == check.Warning {
			r.say(event.Warning, name+": "+p.Text, p.Hint)
		}
	}
	if err != nil {
		return err
	}
	r.say(event.Checked, name, "")
	if len(r.plan.Worker.Command) > 0 {
		return nil
	}
	switch r.plan.Language {
	case "java":
		return r.useJava(ctx, &java)
	case "python":
		return r.usePython()
	}
	return r.useCPP(ctx)
}

// processor is what messages call the processor: its entry, as in the
// description, or its class.
func (r *imageRun) processor() string {
	p := &r.plan.Processor
	if p.MainClass != "" {
		return p.MainClass
	}
	entry, err := filepath.Rel(p.Dir, p.Entry)
	if err != nil {
		return p.Entry
	}
	return entry
}

// hostOptions say where the image and this program have hosts.
func (r *imageRun) hostOptions() hosts.Options {
	return hosts.Options{
		Dirs:     []string{docker.HostsDir},
		CacheDir: r.cacheDir,
		Fleeting: true,
		Log:      func(text string) { r.say(event.Log, text, "") },
	}
}

func (r *imageRun) useCPP(ctx context.Context) error {
	host, err := hosts.CPP(ctx, r.hostOptions())
	if err != nil {
		return err
	}
	r.plan.Worker.Command = []string{host}
	return nil
}

// findJava returns the Java that the image has.
func (r *imageRun) findJava(ctx context.Context) (localtest.Java, error) {
	java, err := localtest.FindJava(ctx)
	if fault.KindOf(err) == fault.Missing {
		err = fault.New(fault.Missing, "%s has no Java to run the processor with: %w", r.place, err).WithHint(
			"name it with --base-image instead of --image, so that an image is built on it that has a Java, or name one with a Java, such as eclipse-temurin:17-jre")
	}
	return java, err
}

// useJava has the plan run the processor with a Java of the image.
func (r *imageRun) useJava(ctx context.Context, java *localtest.Java) error {
	err := localtest.UseJava(ctx, r.plan, java, r.hostOptions())
	for _, note := range java.Notes {
		r.say(event.Warning, note.Text, note.Hint)
	}
	if fault.KindOf(err) == fault.Missing {
		return fault.New(fault.Missing, "%s has no host for Java processors, and none was built in it: %w", r.place, err).
			WithHint("name it with --base-image instead of --image, so that an image is built on it that has one, or install a JDK on this machine or in the image")
	}
	if err != nil {
		return err
	}
	r.say(event.Log, "java "+java.String(), "")
	// A JVM goes by the system's list of users, which knows nothing of this one or
	// names a home that cannot be written to.
	own := []string{"-Duser.home=" + os.Getenv("HOME"), "-Duser.name=" + os.Getenv("USER")}
	r.plan.Worker.Command = slices.Insert(r.plan.Worker.Command, 1, own...)
	return nil
}

// usePython has the plan run the processor with its interpreter, or the one that
// the image has.
func (r *imageRun) usePython() error {
	python, err := localtest.FindPython(r.plan.Processor.Dir, true)
	if err != nil {
		return fault.New(fault.KindOf(err), "%s: %w", r.place, err).WithHint("%s", fault.HintOf(err))
	}
	if !python.Own {
		r.say(event.Warning, "the processor has no ENV: it is run with the Python of "+r.place+", "+python.Path,
			"`eascmd pysdk init` makes a project with an ENV that goes into its package; `eascmd image build` puts one into an image")
	}
	libraryPath, _ := localtest.Variable(r.plan, "LD_LIBRARY_PATH")
	if err := check.Interpreter(python.Path, check.Options{
		WorkDir: r.plan.Processor.Dir, LibraryPath: filepath.SplitList(libraryPath), Place: r.place,
	}); err != nil {
		return err
	}
	sdk, err := hosts.Python(r.hostOptions())
	if err != nil {
		return err
	}
	r.plan.Worker.Command = python.Command(sdk, r.plan.Processor.Entry)
	// What is compiled here goes with the container, or would lie among the
	// user's own files.
	r.plan.Worker.Env = append([]runplan.Env{{Name: "PYTHONDONTWRITEBYTECODE", Value: "1"}}, r.plan.Worker.Env...)
	return nil
}
