package ui

import (
	"fmt"
	"strings"
	"time"
)

// When progress is shown: nothing for what is short, then a bar that is
// redrawn a few times a second, or a line now and then where there is no
// terminal.
const (
	barDelay      = 400 * time.Millisecond
	barInterval   = 100 * time.Millisecond
	plainDelay    = 3 * time.Second
	plainInterval = 5 * time.Second
	estimateDelay = time.Second // before a speed is named
)

// Progress shows how far a transfer is. Its methods may be called from
// several goroutines.
type Progress struct {
	t     *Terminal
	label string
	start time.Time

	shown       time.Time // when the last bar or line was shown; zero before the first
	done, total int64
	began       time.Time // of the first Update, with the bytes done then
	before      int64
	ended       bool
	drawn       int // columns that the bar takes on the screen now
}

// Progress starts to show the progress of what label names. Call Done at its
// end.
func (t *Terminal) Progress(label string) *Progress {
	return &Progress{t: t, label: Printable(label), start: time.Now()}
}

// Update tells how many of total bytes are done; total is 0 or less where it
// is unknown. It is cheap enough to be called for every block.
func (p *Progress) Update(done, total int64) {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	if p.ended {
		return
	}
	p.done, p.total = done, total
	now := time.Now()
	if p.began.IsZero() {
		p.began, p.before = now, done
	}
	delay, interval := plainDelay, plainInterval
	if p.t.Live {
		delay, interval = barDelay, barInterval
	}
	if now.Sub(p.start) < delay || (!p.shown.IsZero() && now.Sub(p.shown) < interval) {
		return
	}
	if !p.t.Live {
		p.shown = now
		fmt.Fprintf(p.t.Err, "%s: %s\n", p.label, p.numbers(now))
		return
	}
	if p.t.bar != nil && p.t.bar != p {
		return // one bar at a time; the other one was first
	}
	p.shown = now
	p.t.bar = p
	p.draw(now)
}

// Done ends the progress and removes the bar. It may be called more than once.
func (p *Progress) Done() {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	p.ended = true
	if p.t.bar == p {
		p.erase()
		p.t.bar = nil
	}
}

// erase takes the bar off the screen. Like redraw it does nothing without one.
func (p *Progress) erase() {
	if p == nil || p.drawn == 0 {
		return
	}
	fmt.Fprintf(p.t.Err, "\r%s\r", strings.Repeat(" ", p.drawn))
	p.drawn = 0
}

func (p *Progress) redraw() {
	if p == nil {
		return
	}
	p.draw(time.Now())
}

func (p *Progress) draw(now time.Time) {
	const barWidth = 24
	line := p.label + " "
	if p.total > 0 {
		full := int(min(p.done, p.total) * barWidth / p.total)
		line += "[" + strings.Repeat("=", full) + strings.Repeat(" ", barWidth-full) + "] "
	}
	line += p.numbers(now)
	// A bar wider than the terminal would wrap and could not be rewritten.
	line = truncate(line, p.t.Width(80)-1)
	p.erase()
	fmt.Fprint(p.t.Err, line)
	p.drawn = displayWidth(line)
}

// numbers is the part that bar and plain line share: how much, how fast, how
// long it still takes.
func (p *Progress) numbers(now time.Time) string {
	var b strings.Builder
	if p.total > 0 {
		fmt.Fprintf(&b, "%d%%, %s of %s", min(p.done, p.total)*100/p.total, Bytes(p.done), Bytes(p.total))
	} else {
		b.WriteString(Bytes(p.done))
	}
	// Whatever took its time before the first byte says nothing of the rest, nor
	// do the first few bytes.
	elapsed := now.Sub(p.began)
	if elapsed < estimateDelay || p.done <= p.before {
		return b.String()
	}
	rate := float64(p.done-p.before) / elapsed.Seconds()
	fmt.Fprintf(&b, ", %s/s", Bytes(int64(rate)))
	if left := p.total - p.done; left > 0 && rate >= 1 {
		eta := time.Duration(float64(left) / rate * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(&b, ", %s left", max(eta, time.Second))
	}
	return b.String()
}

// Bytes writes a number of bytes with a binary unit and three digits.
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), 0
	for value >= 1023.5 && unit < 5 {
		value /= 1024
		unit++
	}
	digits := 0
	if value < 9.995 {
		digits = 2
	} else if value < 99.95 {
		digits = 1
	}
	return fmt.Sprintf("%.*f %ciB", digits, value, "KMGTP"[unit-1])
}
