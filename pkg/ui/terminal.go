// Package ui is the terminal as the commands see it: results on standard
// output in the format asked for, all talk on standard error, tables in the
// original's two shapes, progress, and prompts.
//
// The rules, so that every command looks the same:
//
//   - A result goes to standard output and nothing else does, so that a pipe
//     only ever reads results.
//   - Steps that are done are "[OK] text" lines, warnings are "[WARN] text";
//     both go to standard error.
//   - Colour, bars and prompts are for terminals. NO_COLOR, TERM=dumb and CI
//     are honoured.
//   - Text that is not ours (a processor's output, a server's message) passes
//     through Printable before it is shown.
package ui

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/term"
)

// Terminal is the three streams of a command and what is known about them.
// Its methods may be called from several goroutines.
type Terminal struct {
	In  io.Reader
	Out io.Writer // results
	Err io.Writer // talk

	InTTY, OutTTY, ErrTTY bool

	// Colour permits colour on the streams that are terminals.
	Colour bool
	// Live permits lines that are rewritten in place: progress bars.
	Live bool
	// Verbose shows what Debug says.
	Verbose bool

	mu  sync.Mutex
	bar *Progress // the bar that is drawn now, if any
}

// New makes a Terminal of three streams. lookupEnv is os.LookupEnv or the
// environment of a test.
func New(in io.Reader, out, err io.Writer, lookupEnv func(string) (string, bool)) *Terminal {
	t := &Terminal{In: in, Out: out, Err: err, InTTY: isTTY(in), OutTTY: isTTY(out), ErrTTY: isTTY(err)}
	set := func(name string) bool { v, ok := lookupEnv(name); return ok && v != "" && v != "false" && v != "0" }
	value, _ := lookupEnv("TERM")
	dumb := value == "dumb"
	noColour, _ := lookupEnv("NO_COLOR") // any value but the empty one counts
	ci := set("CI")
	t.Colour = noColour == "" && !dumb && !ci
	t.Live = t.ErrTTY && !dumb && !ci
	if t.ErrTTY && (t.Colour || t.Live) && !enableSequences(err) {
		t.Colour, t.Live = false, false
	}
	return t
}

// CanPrompt says whether somebody is there to answer a question.
func (t *Terminal) CanPrompt() bool { return t.InTTY && t.ErrTTY }

// OK reports a step that is done.
func (t *Terminal) OK(format string, args ...any) { t.tagged("OK", green, format, args) }

// Warn reports something that may be wrong but stops nothing.
func (t *Terminal) Warn(format string, args ...any) { t.tagged("WARN", yellow, format, args) }

// Info says something that is neither a step nor a warning.
func (t *Terminal) Info(format string, args ...any) {
	t.talk(fmt.Sprintf(format, args...))
}

// Debug says something that only --verbose shows.
func (t *Terminal) Debug(format string, args ...any) {
	if t.Verbose {
		t.tagged("DEBUG", faint, format, args)
	}
}

// Hint prints a way out below a warning or an error.
func (t *Terminal) Hint(format string, args ...any) {
	t.talk("       " + fmt.Sprintf(format, args...))
}

func (t *Terminal) tagged(tag string, style style, format string, args []any) {
	t.talk(t.paint(style, "["+tag+"]") + " " + fmt.Sprintf(format, args...))
}

// talk writes whole lines to standard error, above the bar if one is drawn.
func (t *Terminal) talk(text string) {
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bar.erase()
	io.WriteString(t.Err, text) // there is nowhere left to report a failure of standard error
	t.bar.redraw()
}

// Width returns the number of columns of standard error's terminal, and
// fallback where it is none.
func (t *Terminal) Width(fallback int) int { return streamWidth(t.Err, fallback) }

func streamWidth(stream any, fallback int) int {
	if f, ok := stream.(descriptor); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return fallback
}

func isTTY(stream any) bool {
	f, ok := stream.(descriptor)
	return ok && term.IsTerminal(int(f.Fd()))
}

// descriptor is an *os.File, or what stands for one.
type descriptor interface{ Fd() uintptr }

type style string

const (
	green  style = "32"
	yellow style = "33"
	red    style = "31"
	faint  style = "2"
	bold   style = "1"
)

// paint colours text for standard error.
func (t *Terminal) paint(s style, text string) string {
	if !t.Colour || !t.ErrTTY {
		return text
	}
	return s.around(text)
}

func (s style) around(text string) string { return "\x1b[" + string(s) + "m" + text + "\x1b[0m" }

// Error prints why the program ends, and a way out if hint is not empty.
func (t *Terminal) Error(program, text, hint string) {
	lines := t.paint(red, program+": error:") + " " + text
	if hint != "" {
		lines += "\n" + t.paint(yellow, program+": hint:") + " " + hint
	}
	t.talk(lines)
}
