// Package event holds what `eascmd serve` tells its parent: one JSON object a
// line on standard output, for whoever started it, an engine above all. It is
// the only channel between the two, so that a process and a container are
// followed in the same way.
package event

import "time"

// Type names an event.
type Type string

// The types of event. A reader skips types that it does not know.
const (
	Checked    Type = "checked"     // the processor was examined where it will run; Message is its entry
	Listening  Type = "listening"   // the gateway's socket is open; Address is set
	Hosted     Type = "hosted"      // a worker has said what hosts the processor, for the first time; Worker, PID, Message
	Loading    Type = "loading"     // every 10 s while a worker loads; Worker, ElapsedMS
	Ready      Type = "ready"       // every worker is ready for the first time; ElapsedMS is the loading time
	WarmedUp   Type = "warmed-up"   // a worker has answered its warm-up requests; Worker, Message, ElapsedMS
	Log        Type = "log"         // a line of the processor's output; Worker, Stream, Message
	Access     Type = "access"      // an answered request; Message is the line
	WorkerExit Type = "worker-exit" // a worker died; Worker, PID, Message is the whole explanation, Code, OOM
	Restarting Type = "restarting"  // a worker will be started again; Worker, ElapsedMS is the back-off
	Restarted  Type = "restarted"   // a worker that was started again is ready; Worker, ElapsedMS is its loading time
	Warning    Type = "warning"     // Message, Hint
	Draining   Type = "draining"    // no new requests are taken
	Released   Type = "released"    // the end of the lifeline will not end the run
	Failed     Type = "failed"      // the run is over; Message, Hint, Exit
	Stopped    Type = "stopped"     // the run ended as asked
)

// Event is one thing that happened in a running service. Fields that its type
// does not use are empty.
type Event struct {
	Type      Type      `json:"type"`
	Time      time.Time `json:"time"`
	Worker    int       `json:"worker,omitempty"` // counted from 1
	PID       int       `json:"pid,omitempty"`
	Stream    string    `json:"stream,omitempty"`  // stdout or stderr
	Address   string    `json:"address,omitempty"` // host:port
	ElapsedMS int64     `json:"elapsedMs,omitempty"`
	Message   string    `json:"message,omitempty"`
	Hint      string    `json:"hint,omitempty"`
	Exit      int       `json:"exit,omitempty"` // exit status of eascmd
	Code      int       `json:"code,omitempty"` // exit status of a worker, or 128 and the number of the signal that ended it
	OOM       bool      `json:"oom,omitempty"`  // it was killed for want of memory
}
