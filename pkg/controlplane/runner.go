package controlplane

import (
	"context"
	"time"

	"github.com/openeas/eascmd/pkg/service"
)

// Runner runs instances of services.
type Runner interface {
	// Run runs one instance. It returns nil when ctx has ended and the instance
	// with it, in order or at once; and earlier when the instance ends by itself,
	// with a *Failure or another error that says why. What happens meanwhile it
	// tells report, from one goroutine at a time and never after it has returned.
	Run(ctx context.Context, spec Spec, report func(Report)) error
}

// Chooser is a Runner that does not run every service. What it refuses is
// neither created nor updated to.
type Chooser interface {
	Runner

	// Accept says why instances of a service cannot be run, nil if they can.
	Accept(d *service.Description) error
}

// Spec is what an instance is made of.
type Spec struct {
	Service  string
	Instance string // its name
	Version  int

	// Description is what to run: never to be changed. Token is the access token
	// that the instance asks for, empty for none.
	Description *service.Description
	Token       string
}

// ReportKind says what a Report tells.
type ReportKind int

// The kinds of Report.
const (
	Step  ReportKind = iota // something is done on the way to ready: Text
	Ready                   // the instance answers requests at Endpoint
	Down                    // it does so no more, since its process ended: Last; it is started again
	Line                    // it wrote Text
)

// Report is something that happened to an instance.
type Report struct {
	Kind     ReportKind
	Text     string
	Endpoint string // base URL
	Last     *LastState
}

// LastState is how a process ended.
type LastState struct {
	ExitCode   int       `json:"exitCode"`
	Reason     string    `json:"reason"` // Error, Completed or OOMKilled
	Message    string    `json:"message,omitempty"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
}

// Failure is why an instance does not run.
type Failure struct {
	Reason  string     // in capitals, as a service's Reason
	Message string     // for people
	Waiting string     // as an instance's Reason, such as ImagePullBackOff
	Last    *LastState // how it ended, if it has run

	// Final is set where another start would end the same way.
	Final bool
}

func (f *Failure) Error() string { return f.Message }
