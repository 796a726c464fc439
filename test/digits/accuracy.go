package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
)

// question is a picture of the accuracy's, and its digit.
type question struct {
	*digit
	kind
	index int // of the digit in the sheet; it is the seed, too
}

// questions are each digit as it is, each digit changed in one way, and photographs
// of some.
func questions(digits []digit, every int) []question {
	var all []question
	for i := 0; i < len(digits); i += every {
		all = append(all, question{&digits[i], kindPlain, i})
	}
	// A part has all the kinds, too.
	for n, q := range slices.Clone(all) {
		q.kind = changes[n%len(changes)]
		all = append(all, q)
		if n%len(changes) == 0 {
			q.kind = kindPhotographed
			all = append(all, q)
		}
	}
	return all
}

// score is how many answers were right.
type score struct{ right, all int }

func (s *score) add(right bool) {
	s.all++
	if right {
		s.right++
	}
}

func (s score) percent() float64 { return 100 * float64(s.right) / float64(max(s.all, 1)) }

// accuracy asks for all held-out digits.
func (e *examination) accuracy(ctx context.Context) error {
	digits, err := e.sheet()
	if err != nil {
		return err
	}
	asked := questions(digits, e.every)
	answers, err := e.askAll(ctx, len(asked), func(i int) []byte {
		return asked[i].jpeg(asked[i].kind, uint64(asked[i].index))
	})
	if err != nil {
		return err
	}
	var changed score
	scores := map[kind]*score{}
	var lines []string
	for i, q := range asked {
		got, err := answers[i].digit()
		if err != nil {
			return fmt.Errorf("digit %d, %s: %w", q.index, q.kind, err)
		}
		lines = append(lines, fmt.Sprintf("digit %d, %s: %d", q.index, q.kind, got))
		if scores[q.kind] == nil {
			scores[q.kind] = &score{}
		}
		scores[q.kind].add(got == q.label)
		if slices.Contains(changes, q.kind) {
			changed.add(got == q.label)
		}
	}
	if err := e.write(lines); err != nil {
		return err
	}

	var faults []error
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	row := func(name string, s score, least float64) {
		fmt.Fprintf(table, "%s\t%d of %d\t%.2f %%\n", name, s.right, s.all, s.percent())
		if s.percent() < least {
			faults = append(faults, fmt.Errorf("%s: %.2f %% are right, which is less than %g %%", name, s.percent(), least))
		}
	}
	row(string(kindPlain), *scores[kindPlain], e.plain)
	row("changed", changed, e.changed)
	for _, k := range changes {
		if s := scores[k]; s != nil {
			row("  "+string(k), *s, e.each)
		}
	}
	row(string(kindPhotographed), *scores[kindPhotographed], e.each)
	if err := table.Flush(); err != nil {
		return err
	}
	return errors.Join(faults...)
}

// sampled asks for the pictures that come with the example.
func (e *examination) sampled(ctx context.Context) error {
	dir := e.samples
	if dir == "" {
		dir = filepath.Join(e.example, "digits")
	}
	files, err := filepath.Glob(filepath.Join(dir, "[0-9]-*.jpg"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("there are no pictures in %s", dir)
	}
	var faults []error
	for _, path := range files {
		file, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		a, err := e.ask(ctx, file, "image/jpeg")
		if err != nil {
			return err
		}
		name := filepath.Base(path)
		fmt.Fprintf(e.out, "%s: %v\n", name, a)
		if got, err := a.digit(); err != nil || got != int(name[0]-'0') {
			faults = append(faults, fmt.Errorf("%s: %v", name, a))
		}
	}
	return errors.Join(faults...)
}
