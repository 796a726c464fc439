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
	"slices"
	"time"

	"github.com/openeas/eascmd/internal/jvm"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/runplan"
)

// The parts that a run can be restricted to. Each has a table of its own on the
// page of the figures.
const (
	partCPP    = "cpp" // C++ services, and what does not depend on a language
	partPython = "python"
	partJava   = "java"
	partPack   = "pack"
	partUpload = "upload"
)

var parts = []string{partCPP, partPython, partJava, partPack, partUpload}

// bench is one run of all measurements.
type bench struct {
	options
	out, talk io.Writer

	dir      string            // of this run; removed at its end
	module   string            // directory of the sources
	programs map[string]string // peers that are there, by name
	plan     *runplan.Plan     // of the C++ processor
	figures  figures

	interpreter *interpreter // nil: there is none
	venv        string       // environment with Python's peers; empty: it cannot be had
	uploadVenv  string       // environment with the peers of uploads; empty: it cannot be had

	java      *jvm.Runtime // nil: there is no JDK
	javaPeers []javaPeer   // that can be had
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
	Python       *pythonFigures `json:"python,omitempty"`
	Java         *javaFigures   `json:"java,omitempty"`
	Packing      *packFigures   `json:"packing,omitempty"`
	Uploads      *uploadFigures `json:"uploads,omitempty"`
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
	steps := []func(context.Context) error{b.findPeers, b.build}
	if b.measures(partCPP) {
		steps = append(steps, b.buildProcessor, b.makePlan)
	}
	if b.measures(partPython) || b.measures(partPack) {
		steps = append(steps, b.findPython, b.installPythonPeers)
	}
	if b.measures(partUpload) && b.interpreter == nil {
		steps = append(steps, b.findPython)
	}
	if b.measures(partJava) {
		steps = append(steps, b.findJava, b.buildJava)
	}
	for _, step := range append(steps, b.describeMachine) {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for _, p := range peers {
		if !b.has(p.program) {
			b.figures.Missing = append(b.figures.Missing, p.program)
		}
	}
	var measurements []func(context.Context) error
	if b.measures(partCPP) {
		measurements = append(measurements, b.measureStarts, b.measureInContainer, b.measureServed)
		if b.has("valgrind") {
			measurements = append(measurements, b.measureInstructions)
		}
	}
	if b.measures(partPython) {
		measurements = append(measurements, b.measurePython)
	}
	if b.measures(partJava) {
		measurements = append(measurements, b.measureJava)
	}
	if b.measures(partPack) {
		measurements = append(measurements, b.measurePacking)
	}
	if b.measures(partUpload) {
		measurements = append(measurements, b.measureUploads)
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

func (b *bench) measures(part string) bool { return slices.Contains(b.only, part) }

// report prints the figures and writes them where they are wanted.
func (b *bench) report() error {
	var rows []row
	for _, part := range b.only {
		rows = append(rows, b.figures.rows(part)...)
	}
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
	text := string(old)
	for _, part := range b.only {
		if text, err = replaceFigures(text, part, b.figures.markdown(part)); err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
	}
	return os.WriteFile(page, []byte(text), 0o644)
}
