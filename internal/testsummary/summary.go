package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// event is one line of `go test -json` (see `go doc test2json`), build events
// included.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build events
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string // of a package whose build failed: the ImportPath that failed
}

// test names one test of one package. An empty Name stands for the package.
type test struct{ Package, Name string }

// summary follows a test run.
type summary struct {
	out io.Writer

	output  map[test]*strings.Builder   // what each running test printed
	builds  map[string]*strings.Builder // what each build printed
	outcome map[test]string             // pass, fail or skip
	order   []test                      // of outcome

	extra   []report // failures and skips that no test stands for
	nFailed int
}

// report is one entry of the lists at the end.
type report struct {
	name, text string
	skipped    bool
}

func newSummary(out io.Writer) *summary {
	return &summary{
		out:     out,
		output:  make(map[test]*strings.Builder),
		builds:  make(map[string]*strings.Builder),
		outcome: make(map[test]string),
	}
}

// skip counts something that could not be had and is no test.
func (s *summary) skip(name, reason string) {
	s.extra = append(s.extra, report{name: name, text: reason, skipped: true})
}

// fail counts something that went wrong and is no test.
func (s *summary) fail(name, text string) {
	s.extra = append(s.extra, report{name: name, text: text})
	s.nFailed++
}

// line takes one line of `go test -json`.
func (s *summary) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		// The go command itself printed something; show it.
		fmt.Fprintf(s.out, "%s\n", line)
		return
	}
	key := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		text(s.builds, e.ImportPath).WriteString(e.Output)
	case "start", "run":
		text(s.output, key)
	case "output":
		text(s.output, key).WriteString(e.Output)
	case "pass", "fail", "skip":
		s.end(key, e)
	}
}

// end takes the end of a test or of a package.
func (s *summary) end(key test, e event) {
	if key.Name != "" {
		s.outcome[key] = e.Action
		s.order = append(s.order, key)
		if e.Action == "pass" {
			delete(s.output, key)
		}
		return
	}
	switch e.Action {
	case "pass":
		fmt.Fprintf(s.out, "ok    %s  %v\n", e.Package, seconds(e.Elapsed))
	case "skip":
		fmt.Fprintf(s.out, "-     %s  no tests\n", e.Package)
	case "fail":
		fmt.Fprintf(s.out, "FAIL  %s  %v\n", e.Package, seconds(e.Elapsed))
		s.endFailed(e)
	}
	delete(s.output, key)
}

// endFailed accounts for a package that failed. Tests that it never finished
// failed too (a panic or a time limit ended it), and a package without a
// failed test is itself what failed.
func (s *summary) endFailed(e event) {
	if e.FailedBuild != "" {
		s.fail(e.Package+" (build)", text(s.builds, e.FailedBuild).String())
		return
	}
	blamed := false
	for key, outcome := range s.outcome {
		blamed = blamed || key.Package == e.Package && outcome == "fail"
	}
	for key := range s.output {
		if _, ended := s.outcome[key]; key.Package == e.Package && key.Name != "" && !ended {
			s.outcome[key] = "fail"
			s.order = append(s.order, key)
			text(s.output, key).WriteString("(did not finish)\n")
			blamed = true
		}
	}
	if out := text(s.output, test{Package: e.Package}).String(); !blamed {
		s.fail(e.Package, out)
	} else if strings.Contains(out, "panic: ") || strings.Contains(out, "DATA RACE") {
		s.extra = append(s.extra, report{name: e.Package + " (output outside tests)", text: out})
	}
}

// failures returns how many failures were seen so far.
func (s *summary) failures() int {
	_, failed, _ := s.count()
	return failed
}

// count counts tests without subtests, and subtests. A test with subtests
// counts where it failed though none of them did.
func (s *summary) count() (passed, failed, skipped int) {
	parents := make(map[test]bool)     // have subtests
	failedBelow := make(map[test]bool) // have failed subtests
	for key, outcome := range s.outcome {
		for name := key.Name; ; {
			i := strings.LastIndexByte(name, '/')
			if i < 0 {
				break
			}
			name = name[:i]
			parent := test{key.Package, name}
			parents[parent] = true
			if outcome == "fail" {
				failedBelow[parent] = true
			}
		}
	}
	for key, outcome := range s.outcome {
		switch {
		case outcome == "fail" && !failedBelow[key]:
			failed++
		case parents[key]:
		case outcome == "pass":
			passed++
		case outcome == "skip":
			skipped++
		}
	}
	for _, r := range s.extra {
		if r.skipped {
			skipped++
		}
	}
	return passed, failed + s.nFailed, skipped
}

// close prints what failed, what was skipped and the closing line.
func (s *summary) close() {
	var failed, skipped []report
	for _, key := range s.order {
		r := report{name: key.Package + " " + key.Name}
		switch s.outcome[key] {
		case "fail":
			r.text = text(s.output, key).String()
			failed = append(failed, r)
		case "skip":
			r.text = skipReason(text(s.output, key).String())
			skipped = append(skipped, r)
		}
	}
	for _, r := range s.extra {
		if r.skipped {
			skipped = append(skipped, r)
		} else {
			failed = append(failed, r)
		}
	}
	for _, r := range failed {
		fmt.Fprintf(s.out, "\n--- failed: %s\n%s", r.name, r.text)
	}
	if len(skipped) > 0 {
		fmt.Fprintln(s.out, "\nskipped:")
		for _, r := range skipped {
			fmt.Fprintf(s.out, "  %s: %s\n", r.name, r.text)
		}
	}
	p, f, k := s.count()
	fmt.Fprintf(s.out, "\n%d passed, %d failed, %d skipped\n", p, f, k)
}

// skipReason finds the reason in the output of a skipped test: what t.Skip
// printed, without file and line.
func skipReason(output string) string {
	reason := "no reason given"
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		// file_test.go:12: reason
		if file, rest, ok := strings.Cut(line, ": "); ok && strings.Contains(file, ".go:") {
			line = rest
		}
		if line != "" {
			reason = line
		}
	}
	return reason
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Millisecond)
}

// text returns the text under key, making it where it is missing.
func text[K comparable](m map[K]*strings.Builder, key K) *strings.Builder {
	if m[key] == nil {
		m[key] = new(strings.Builder)
	}
	return m[key]
}
