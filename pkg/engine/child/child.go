// Package child is the far side of an engine: the program that an engine
// starts, `eascmd serve`, runs a plan with it. The package adds to serving what
// a program needs that somebody else started: the plan comes in and events go
// out as text, every failure becomes an event, and the program ends when
// whoever started it is gone.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// Options are what a run needs beside its plan.
type Options struct {
	// Emit is told what happens, one call at a time.
	Emit func(event.Event)

	// Lifeline, if set, is read until its end, which means that whoever
	// started the run is gone: then the service drains quickly and ends. A line
	// that is Release says that it is to go on instead.
	Lifeline io.Reader

	// RuntimeDir is where sockets are made; see serving.Options.
	RuntimeDir string

	// Prepare, if set, is called before the plan is served, and may complete
	// it. What it says with emit goes the way of all events.
	Prepare func(ctx context.Context, plan *runplan.Plan, emit func(event.Event)) error
}

// Release is the line of a lifeline with which whoever holds it lets go of the
// run, which then goes on alone. A Released event answers it.
const Release = "release\n"

// orphanGrace is how long a run goes on whose parent is gone: enough for short
// requests, too short to be in anybody's way.
const orphanGrace = 2 * time.Second

// Run serves plan until ctx ends, then drains. Whatever makes it fail is told
// as a Failed event too.
func Run(ctx context.Context, plan *runplan.Plan, opts Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	told := false
	var one sync.Mutex
	emit := func(e event.Event) {
		one.Lock()
		defer one.Unlock()
		if e.Type == event.Failed {
			told = true
		}
		if opts.Emit != nil {
			opts.Emit(e)
		}
	}
	orphaned := make(chan struct{})
	if opts.Lifeline != nil {
		go func() {
			if released(opts.Lifeline) {
				emit(event.Event{Type: event.Released, Time: time.Now()})
				return
			}
			close(orphaned)
		}()
	}
	ended := make(chan error, 1)
	go func() {
		var err error
		if opts.Prepare != nil {
			err = opts.Prepare(ctx, plan, emit)
		}
		if err == nil {
			err = serving.Run(ctx, plan, serving.Options{Emit: emit, RuntimeDir: opts.RuntimeDir})
		}
		if err != nil && !told {
			emit(failed(err))
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-orphaned:
	}
	cancel()
	select {
	case err := <-ended:
		return err
	case <-time.After(orphanGrace):
		return fault.New(fault.Interrupted, "the program that started this service is gone")
	}
}

// released reads a lifeline, and reports whether it let go of the run or has
// ended.
func released(lifeline io.Reader) bool {
	lines := bufio.NewReader(lifeline)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case string(line) == Release:
			return true
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return false
		}
	}
}

func failed(err error) event.Event {
	return event.Event{
		Type: event.Failed, Time: time.Now(),
		Message: err.Error(), Hint: fault.HintOf(err), Exit: int(fault.KindOf(err)),
	}
}

// Writer returns an Emit function that writes events to w as JSON, one a line.
// What cannot be written is dropped: a run does not end because nobody listens.
func Writer(w io.Writer) func(event.Event) {
	return func(e event.Event) {
		line, err := json.Marshal(e)
		if err != nil {
			return // an event holds nothing that cannot be encoded
		}
		w.Write(append(line, '\n'))
	}
}

// maxLine bounds one event. The longest by far is a worker's explanation or a
// line of its output.
const maxLine = 16 << 20

// Read reads the events that a Writer wrote and hands them on until the
// stream ends. It returns nil at the end of the stream.
func Read(r io.Reader, next func(event.Event)) error {
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(br)
		if len(line) > 0 {
			var e event.Event
			if err := json.Unmarshal(line, &e); err != nil {
				return fmt.Errorf("read events: %w in %q", err, line[:min(len(line), 200)])
			}
			next(e)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
}

// readLine reads up to the end of a line. It returns what there is before an
// error: a program that was killed may have written half a line, which is no
// event and is dropped.
func readLine(br *bufio.Reader) ([]byte, error) {
	var long []byte
	for {
		part, err := br.ReadSlice('\n')
		if err == nil {
			if long == nil {
				return part, nil
			}
			return append(long, part...), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if len(long)+len(part) > maxLine {
			return nil, fmt.Errorf("an event is longer than %d bytes", maxLine)
		}
		long = append(long, part...)
	}
}
