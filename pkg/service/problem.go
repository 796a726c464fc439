package service

import (
	"bytes"
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/openeas/eascmd/internal/fault"
)

// Severity says how bad a Problem is.
type Severity int

// The severities.
const (
	Error   Severity = iota // the description is refused
	Warning                 // very likely a mistake
	Note                    // worth knowing
)

func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	default:
		return "note"
	}
}

// Problem is one thing that is wrong with a description, or noteworthy.
type Problem struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`   // from 1; 0 where the problem has no place, such as a file that cannot be read
	Column   int      `json:"column"` // from 1, in characters
	Field    string   `json:"field,omitempty"`
	Text     string   `json:"text"`
	Fix      string   `json:"fix,omitempty"`
	Severity Severity `json:"severity"`
}

// String returns the problem as one line: file:line:column: field: text; fix,
// and where it is no error its severity after the place.
func (p Problem) String() string { return p.line(p.Severity != Error) }

// Message is String without the severity, for where that is shown otherwise.
func (p Problem) Message() string { return p.line(false) }

func (p Problem) line(severity bool) string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if severity {
		b.WriteString(p.Severity.String() + ": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Text)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}

// MarshalText makes a severity readable in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// InvalidError says everything that is wrong with a description. Its fault
// kind is fault.Description.
type InvalidError struct {
	File     string
	Problems []Problem // errors and warnings by position
	More     bool      // there are more than the 100 errors in Problems
}

func (e *InvalidError) Error() string {
	errors := 0
	for _, p := range e.Problems {
		if p.Severity == Error {
			errors++
		}
	}
	if len(e.Problems) == 1 {
		return e.Problems[0].String()
	}
	var b strings.Builder
	switch {
	case e.More:
		fmt.Fprintf(&b, "%s has more than %d problems", filepath.Base(e.File), errors)
	case errors == 1:
		fmt.Fprintf(&b, "%s has 1 problem", filepath.Base(e.File))
	default:
		fmt.Fprintf(&b, "%s has %d problems", filepath.Base(e.File), errors)
	}
	for _, p := range e.Problems {
		b.WriteString("\n" + p.String())
	}
	return b.String()
}

// Unwrap gives the error its kind and its hint.
func (e *InvalidError) Unwrap() error {
	return fault.New(fault.Description, "%s", e.Error()).
		WithHint("`eascmd schema` prints every field with its meaning")
}

// maxProblems bounds the report on a file that is wrong everywhere.
const maxProblems = 100

// problems collects what is found in one file. Offsets become lines and
// columns once, at the end.
type problems struct {
	file  string
	data  []byte
	lines []int // offset of each line's start; made on first use
	found []found
	count [Note + 1]int
	more  bool // an error was dropped or not looked for
}

type found struct {
	off int
	Problem
}

// clip makes the author's text fit into a message: short, on one line, and
// without characters that a terminal would obey.
func clip(s string) string { return clipTo(s, 60) }

func clipTo(s string, most int) string {
	if len(s) > most {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s = s[:most] + "…"
	}
	if strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isControl(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isControl(r rune) bool { return !unicode.IsPrint(r) }

// add records a problem at an offset, as long as there is room.
func (ps *problems) add(sev Severity, off int, field, fix, format string, args ...any) {
	if ps.full(sev) {
		return
	}
	ps.count[sev]++
	ps.found = append(ps.found, found{off, Problem{
		File: ps.file, Field: clipTo(field, 200), Text: fmt.Sprintf(format, args...), Fix: fix, Severity: sev,
	}})
}

// full reports whether there is no room for another problem of this severity,
// so that looking for it, or work on its text, can be saved.
func (ps *problems) full(sev Severity) bool {
	if ps.count[sev] < maxProblems {
		return false
	}
	ps.more = ps.more || sev == Error
	return true
}

// position returns the line and the column of an offset, the column in
// characters. A byte order mark takes no column: editors do not show it.
func (ps *problems) position(off int) (line, column int) {
	if ps.lines == nil {
		ps.lines = append(ps.lines, 0)
		for i, c := range ps.data {
			if c == '\n' {
				ps.lines = append(ps.lines, i+1)
			}
		}
	}
	off = min(off, len(ps.data))
	line = sort.SearchInts(ps.lines, off+1)
	text := ps.data[ps.lines[line-1]:off]
	if line == 1 {
		text = bytes.TrimPrefix(text, bom)
	}
	return line, utf8.RuneCount(text) + 1
}

// at names a position for use inside a message.
func (ps *problems) at(off int) string {
	line, column := ps.position(off)
	return fmt.Sprintf("%d:%d", line, column)
}

// list returns what was found, by position.
func (ps *problems) list() []Problem {
	slices.SortStableFunc(ps.found, func(a, b found) int { return cmp.Compare(a.off, b.off) })
	out := make([]Problem, len(ps.found))
	for i, f := range ps.found {
		f.Line, f.Column = ps.position(f.off)
		out[i] = f.Problem
	}
	return out
}

// err returns the InvalidError of what was found, notes left out, or nil when
// nothing of it is an error.
func (ps *problems) err() error {
	if ps.count[Error] == 0 {
		return nil
	}
	list := slices.DeleteFunc(ps.list(), func(p Problem) bool { return p.Severity == Note })
	return &InvalidError{File: ps.file, Problems: list, More: ps.more}
}
