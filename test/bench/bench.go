//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/runplan"
)

// bench is one run of all measurements.
type bench struct {
	options
	out, talk io.Writer

	dir      string            // of this run; removed at its end
	module   string            // directory of the sources
	programs map[string]string // peers that are there, by name
	plan     *runplan.Plan     // of the processor that is measured
	figures  figures
}

// figures are what was measured. What could not be is nil.
type figures struct {
	Date         time.Time      `json:"date"`
	Machine      machine        `json:"machine"`
	Missing      []string       `json:"missing,omitempty"` // peers, or what a measurement needs
	ProgramBytes int64          `json:"programBytes"`
	Throughput   *throughput    `json:"throughput,omitempty"`
	Latency      *latency       `json:"latency,omitempty"`
	Instructions *instructions  `json:"instructions,omitempty"`
	Starts       *starts        `json:"starts,omitempty"`
	InContainer  *inContainer   `json:"inContainer,omitempty"`
	Memory       *memoryFigures `json:"memory,omitempty"`
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.talk, "bench: "+format+"\n", args...)
}

func (b *bench) has(program string) bool { return b.programs[program] != "" }

func (b *bench) run(ctx context.Context) error {
	root, err := rundir.Temporary()
	if err != nil {
		return err
	}
	dir, err := root.New()
	if err != nil {
		return err
	}
	defer dir.Close()
	b.dir = dir.Path()

	b.figures.Date = time.Now().UTC().Truncate(time.Second)
	for _, step := range []func(context.Context) error{b.findPeers, b.build, b.makePlan, b.describeMachine} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for _, p := range peers {
		if !b.has(p.program) {
			b.figures.Missing = append(b.figures.Missing, p.program)
		}
	}
	measurements := []func(context.Context) error{b.measureStarts, b.measureInContainer, b.measureServed}
	if b.has("valgrind") {
		measurements = append(measurements, b.measureInstructions)
	}
	// One that fails does not take the others' figures along.
	var failed error
	for _, measure := range measurements {
		failed = errors.Join(failed, measure(ctx))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(failed, b.report())
}

// report prints the figures and writes them where they are wanted.
func (b *bench) report() error {
	rows := b.figures.rows()
	if err := writeTable(b.out, rows); err != nil {
		return err
	}
	if b.json != "" {
		text, err := json.MarshalIndent(b.figures, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if !b.markdown {
		return nil
	}
	page := filepath.Join(b.module, "docs", "performance.md")
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	text, err := replaceFigures(string(old), b.figures.markdown())
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(text), 0o644)
}
