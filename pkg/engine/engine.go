// Package engine says what an engine is: a place where a run plan runs. The
// engines themselves are the packages below it; each passes the suite in
// enginetest.
//
// Every engine does the same: it starts `eascmd serve` on the plan, follows its
// events, and removes what it made when the run is closed.
package engine

import (
	"context"

	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// Engine runs plans.
type Engine interface {
	// Name is the word that --engine takes.
	Name() string

	// Start starts plan and returns once its program runs; the service is
	// ready when the run's events say so. Cancelling ctx after Start has
	// returned does not end the run: Stop does.
	Start(ctx context.Context, plan *runplan.Plan) (Run, error)
}

// Run is a plan that was started.
type Run interface {
	// Events delivers what happens, in order, and is closed after the last
	// event of a run that ended. The caller reads it until then.
	Events() <-chan event.Event

	// Endpoint is the base URL of the service (scheme, host and port) as this
	// machine reaches it. It is empty before the Listening event.
	Endpoint() string

	// Stop drains the service: it takes no new requests, answers those in
	// flight within the plan's grace time, and ends. When ctx ends first, what
	// is left is ended at once. Stop returns when the run has ended.
	Stop(ctx context.Context) error

	// Wait returns when the run has ended: nil if it was asked to, otherwise
	// why it ended, with the kind of the failure.
	Wait() error

	// Close ends the run if it still goes on and removes everything that the
	// engine made for it. It may be called more than once.
	Close() error
}
