package main

import (
	"context"
	"path/filepath"
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
	if r.plan.Language == "python" {
		return r.usePython()
	}
	return r.useCPP(ctx)
}

// processor is what messages call the processor: its entry, as in the
// description.
func (r *imageRun) processor() string {
	p := &r.plan.Processor
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
