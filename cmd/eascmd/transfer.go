package main

import (
	"encoding/json"
	"path/filepath"
	"time"

	"github.com/openeas/eascmd/pkg/ui"
)

// transfer shows how far a transfer is: as a bar or lines for people, as objects
// on standard error with -o json. Its methods are called by one goroutine at a
// time.
type transfer struct {
	app   *app
	label string
	bars  partBar // not used with -o json

	began, told time.Time // of the first Sending, of the last object
	before      int64     // bytes that were done at the first Sending
	last        transferEvent
	ended       bool
}

// transferEvent is one of these objects.
type transferEvent struct {
	Event string  `json:"event"` // "progress"
	File  string  `json:"file"`
	Done  int64   `json:"done"`  // bytes, of all files
	Total int64   `json:"total"` // bytes
	Rate  int64   `json:"rate"`  // bytes a second; 0: not known
	Left  float64 `json:"left"`  // seconds that it still takes; 0: not known
}

// tellEvery is how often an object is written.
const tellEvery = time.Second

func (a *app) transfer(label string) *transfer {
	return &transfer{app: a, label: label, bars: partBar{term: a.term}}
}

// longReading is the size from which it takes a while to read a file.
const longReading = 64 << 20

// Reading tells how many bytes of a file have been read for its checksum.
func (t *transfer) Reading(file string, done, total int64) {
	if t.app.output != ui.JSON && total >= longReading {
		t.bars.update("reading "+filepath.Base(file), done, total)
	}
}

// Sending tells how many of total bytes are done, and of which file the last were.
func (t *transfer) Sending(file string, done, total int64) {
	if t.app.output != ui.JSON {
		t.bars.update(t.label, done, total)
		return
	}
	now := time.Now()
	if t.began.IsZero() {
		t.began, t.before = now, done
	}
	t.last = transferEvent{Event: "progress", File: file, Done: done, Total: total}
	if elapsed := now.Sub(t.began); elapsed >= tellEvery && done > t.before {
		rate := float64(done-t.before) / elapsed.Seconds()
		t.last.Rate, t.last.Left = int64(rate), float64(total-done)/rate
	}
	if now.Sub(t.told) >= tellEvery {
		t.tell(now)
	}
}

// Done ends it. It may be called more than once.
func (t *transfer) Done() {
	t.bars.done()
	if !t.ended && t.last.Event != "" {
		t.last.Left = 0
		t.tell(time.Now())
	}
	t.ended = true
}

func (t *transfer) tell(now time.Time) {
	t.told = now
	// What is made of numbers and a text is encoded without an error.
	line, _ := json.Marshal(t.last)
	t.app.term.Info("%s", line)
}
