package serving

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// tail keeps the last lines of a stream. Of the traceback that Python writes
// when a signal is about to end it, which goes through all threads and may be
// longer, it keeps the beginning and the thread that it is about.
type tail struct {
	mu    sync.Mutex
	lines []string
	count int // of all lines so far

	dump    []string // what is kept of the last such traceback
	others  []string // the beginning of what is left out of it
	from    int      // the number of its first line, counted from 1; 0: there was none
	to      int      // and of the last one
	inside  bool     // the traceback goes on
	current bool     // it is at the thread that it is about
	skipped int      // how many lines are left out of it
}

const (
	tailLines  = 20
	tailLength = 500 // bytes of a line that are kept
	dumpLines  = 60
)

func (t *tail) add(line string) {
	if len(line) > tailLength {
		line = strings.ToValidUTF8(line[:tailLength], "") + "…"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, line)
	t.follow(line)
}

// The lines of a traceback that Python's faulthandler writes begin with one of
// these.
var dumpPrefixes = [...]string{"  ", "Thread 0x", "Current thread", "Python runtime state", "Extension modules:", "<truncated", "..."}

const dumpStart = "Fatal Python error"

// follow keeps what counts of a traceback; t.mu is held.
func (t *tail) follow(line string) {
	if strings.HasPrefix(line, dumpStart) {
		t.dump, t.others, t.skipped = []string{line}, nil, 0
		t.from, t.to, t.inside, t.current = t.count, t.count, true, false
		return
	}
	if !t.inside {
		return
	}
	known := line == "" || slices.ContainsFunc(dumpPrefixes[:], func(p string) bool { return strings.HasPrefix(line, p) })
	if !known {
		t.inside = false
		return
	}
	t.to = t.count
	switch {
	case line == "":
		return
	case strings.HasPrefix(line, "Current thread"), strings.HasPrefix(line, "Python runtime state"):
		t.current = true
	case !strings.HasPrefix(line, "  "):
		t.current = false
	}
	if t.current && len(t.dump) < dumpLines {
		t.dump = append(t.dump, line)
		return
	}
	t.skipped++
	if len(t.others) < tailLines {
		t.others = append(t.others, line)
	}
}

// epilogue is what a JVM that did not start says after the reason.
var epilogue = [...]string{"Error: Could not create the Java Virtual Machine.", "Error: A fatal exception has occurred. Program will exit."}

// lastLine is the last line that says something.
func (t *tail) lastLine() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, line := range slices.Backward(t.lines) {
		if text := strings.TrimSpace(line); text != "" && !slices.Contains(epilogue[:], text) {
			return text
		}
	}
	return ""
}

// says reports whether a text stands in one of the last lines, in whatever case.
func (t *tail) says(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.lines, func(line string) bool { return strings.Contains(strings.ToLower(line), text) })
}

// last returns what was kept, in order.
func (t *tail) last() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.from == 0 {
		return slices.Clone(t.lines)
	}
	var before, after []string
	for i, line := range t.lines {
		switch number := t.count - len(t.lines) + 1 + i; {
		case number < t.from:
			before = append(before, line)
		case number > t.to:
			after = append(after, line)
		}
	}
	dump, skipped := slices.Clone(t.dump), t.skipped
	if len(dump) == 1 { // of many threads Python shows a hundred, which may be the others
		dump = append(dump, t.others...)
		skipped -= len(t.others)
	}
	if skipped > 0 {
		dump = append(dump, fmt.Sprintf("(%d more lines, of other threads and of the modules that are loaded)", skipped))
	}
	return slices.Concat(before, dump, after)
}
