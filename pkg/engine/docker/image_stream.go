package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

// message is one of those that the daemon sends while it builds or pulls.
type message struct {
	Stream   string `json:"stream"` // of a build: what the builder prints, in pieces
	Status   string `json:"status"` // of a pull
	ID       string `json:"id"`     // of the layer that status is about
	Progress struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`

	Aux struct {
		Digest string `json:"Digest"` // of a push: what the registry calls the image
	} `json:"aux"`

	// How it failed; both say the same.
	Error  string `json:"error"`
	Detail struct {
		Message string `json:"message"`
	} `json:"errorDetail"`
}

// failure is what the message says went wrong, or "".
func (m *message) failure() string {
	if m.Detail.Message != "" {
		return m.Detail.Message
	}
	return m.Error
}

// streamError is a failure that the daemon reports in the stream of its answer.
type streamError string

func (e streamError) Error() string { return string(e) }

// quietError is the cause of a context that a watch has ended.
type quietError struct{ quiet time.Duration }

func (e *quietError) Error() string { return fmt.Sprintf("the daemon said nothing for %v", e.quiet) }

// watch ends a context when nothing happens for some time.
type watch struct {
	timer *time.Timer
	quiet atomic.Int64 // a time.Duration; the timer reads it too
}

// newWatch returns a context that ends quiet after the watch was last told that
// something happens. stop is to be called in any case.
func newWatch(parent context.Context, quiet time.Duration) (ctx context.Context, w *watch, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	w = new(watch)
	w.quiet.Store(int64(quiet))
	w.timer = time.AfterFunc(quiet, func() { cancel(&quietError{time.Duration(w.quiet.Load())}) })
	return ctx, w, func() {
		w.timer.Stop()
		cancel(nil)
	}
}

func (w *watch) happens() { w.timer.Reset(time.Duration(w.quiet.Load())) }

// hurry makes the time shorter for which nothing may happen.
func (w *watch) hurry(quiet time.Duration) {
	w.quiet.Store(min(w.quiet.Load(), int64(quiet)))
	w.happens()
}

// readMessages reads a stream of messages to its end and gives each to handle.
// A message that reports a failure ends it with a streamError.
func readMessages(ctx context.Context, r io.Reader, w *watch, handle func(*message)) error {
	for dec := json.NewDecoder(r); ; {
		var m message
		err := dec.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
		w.happens()
		if text := m.failure(); text != "" {
			return streamError(text)
		}
		handle(&m)
	}
}

// tailLines is how much of a builder's output is shown when it fails.
const tailLines = 20

// output follows what a builder prints.
type output struct {
	line func(string) // told every line that has something in it
	part string       // the line that has not ended yet
	tail []string     // the last lines
	all  strings.Builder
}

// maxOutput is how much of the output is looked at for what went wrong.
const maxOutput = 1 << 20

// noise matches what the builder says of its own doings between the steps.
var noise = regexp.MustCompile(`^( ?--->? |Removing intermediate container |Successfully )`)

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

func (o *output) write(text string) {
	text = o.part + text
	for {
		line, rest, more := strings.Cut(text, "\n")
		if !more {
			o.part = line
			return
		}
		o.add(line)
		text = rest
	}
}

func (o *output) end() {
	o.add(o.part)
	o.part = ""
}

func (o *output) add(line string) {
	line = strings.TrimRight(escapes.ReplaceAllString(line, ""), " \t\r")
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:] // of a line that is written over itself, the last state
	}
	if line == "" {
		return
	}
	if o.all.Len()+len(line) < maxOutput {
		o.all.WriteString(line + "\n")
	}
	if noise.MatchString(line) {
		return
	}
	o.tail = append(o.tail, line)
	if len(o.tail) > tailLines {
		o.tail = o.tail[len(o.tail)-tailLines:]
	}
	if o.line != nil {
		o.line(line)
	}
}
