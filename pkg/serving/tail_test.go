package serving

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTailKeepsTheLastLines(t *testing.T) {
	var kept tail
	for i := range 50 {
		kept.add(fmt.Sprintf("line %d", i))
	}
	lines := kept.last()
	if len(lines) != tailLines || lines[0] != "line 30" || lines[tailLines-1] != "line 49" {
		t.Errorf("%q", lines)
	}
	kept.add(strings.Repeat("é", 1000))
	if got := kept.lastLine(); len(got) > tailLength+len("…") || !strings.HasSuffix(got, "é…") {
		t.Errorf("%q", got)
	}
	kept.add("")
	if got := kept.lastLine(); got == "" {
		t.Error("an empty line says nothing")
	}
}

func TestTailKeepsWhatPythonSaysOfACrash(t *testing.T) {
	var kept tail
	for i := range 30 {
		kept.add(fmt.Sprintf("line %d", i))
	}
	add := func(text string) {
		for line := range strings.Lines(text) {
			kept.add(strings.TrimRight(line, "\n"))
		}
	}
	add("Fatal Python error: Segmentation fault\n\n")
	for i := range 100 {
		add(fmt.Sprintf("Thread 0x%d (most recent call first):\n  File \"threading.py\", line %d in wait\n\n", i, i))
	}
	add("Current thread 0x100 (most recent call first):\n  File \"app.py\", line 7 in process\n  File \"app.py\", line 9 in <module>\n\n")
	add("Extension modules: numpy (total: 1)\n")
	want := []string{
		"Fatal Python error: Segmentation fault",
		"Current thread 0x100 (most recent call first):",
		"  File \"app.py\", line 7 in process",
		"  File \"app.py\", line 9 in <module>",
		"(201 more lines, of other threads and of the modules that are loaded)",
	}
	if d := cmp.Diff(want, kept.last()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// It was a child that died: what comes later is kept as well.
	add("the parent goes on\n  with this\n")
	if d := cmp.Diff(append(want, "the parent goes on", "  with this"), kept.last()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for i := range 30 {
		kept.add(fmt.Sprintf("line %d", i))
	}
	if lines := kept.last(); len(lines) != len(want)+tailLines || lines[len(lines)-1] != "line 29" {
		t.Errorf("%q", lines)
	}
}

// Of more than a hundred threads Python shows a hundred, and then three dots.
func TestTailOfACrashAmongTooManyThreads(t *testing.T) {
	var kept tail
	kept.add("Fatal Python error: Aborted")
	for i := range 100 {
		kept.add(fmt.Sprintf("Thread 0x%d (most recent call first):", i))
		kept.add("  File \"app.py\", line 1 in wait")
	}
	kept.add("...")
	lines := kept.last()
	if len(lines) != 2+tailLines || lines[0] != "Fatal Python error: Aborted" || lines[1] != "Thread 0x0 (most recent call first):" ||
		lines[len(lines)-1] != "(181 more lines, of other threads and of the modules that are loaded)" {
		t.Errorf("%q", lines)
	}
}

func TestLastLineOfAJVMIsItsReason(t *testing.T) {
	var kept tail
	for _, line := range []string{"Unrecognized option: -no", "Error: Could not create the Java Virtual Machine.", "Error: A fatal exception has occurred. Program will exit.", ""} {
		kept.add(line)
	}
	if got := kept.lastLine(); got != "Unrecognized option: -no" {
		t.Errorf("got %q", got)
	}
}
