package controlplane

import "time"

// logLine is a line that an instance wrote.
type logLine struct {
	at   time.Time
	text string
}

// Bounds of what is kept of one life of an instance.
const (
	maxLogLines = 10_000
	maxLogBytes = 4 << 20
	maxLogLine  = 16 << 10
)

// logBook holds the latest lines of an instance, of its life that goes on and of
// the one before it.
type logBook struct {
	lines, previous []logLine
	bytes           int
}

func (b *logBook) add(at time.Time, text string) {
	if len(text) > maxLogLine {
		text = text[:maxLogLine]
	}
	b.lines = append(b.lines, logLine{at, text})
	b.bytes += len(text)
	drop := 0
	for len(b.lines)-drop > maxLogLines || b.bytes > maxLogBytes {
		b.bytes -= len(b.lines[drop].text)
		drop++
	}
	b.lines = b.lines[drop:]
}

// turn begins another life.
func (b *logBook) turn() {
	b.previous, b.lines, b.bytes = b.lines, nil, 0
}
