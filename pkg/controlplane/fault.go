package controlplane

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// FaultKind is how a call fails.
type FaultKind string

// The kinds of Fault.
const (
	InternalError FaultKind = "internal-error" // answered 500, and not carried out
	Unavailable   FaultKind = "unavailable"    // answered 503, and not carried out
	Throttled     FaultKind = "throttled"      // answered 429, and not carried out
	ResetBefore   FaultKind = "reset-before"   // the connection is reset, and nothing is carried out
	ResetAfter    FaultKind = "reset-after"    // it is carried out, and the connection is reset instead of an answer
	FailedAfter   FaultKind = "failed-after"   // it is carried out, and answered 500
	Slow          FaultKind = "slow"           // it is carried out after Delay
	CreateFails   FaultKind = "create-fails"   // the service that is made fails with Reason
)

// Fault is something that is to go wrong.
type Fault struct {
	Kind   FaultKind     `json:"kind"`
	Action string        `json:"action,omitempty"` // such as CreateService; empty: any
	Times  int           `json:"times,omitempty"`  // how often; 0: once
	Delay  time.Duration `json:"delay,omitempty"`  // of Slow, in nanoseconds
	Reason string        `json:"reason,omitempty"` // of CreateFails: image-pull, oom or resources
}

// faults are the faults that were asked for and did not happen yet.
type faults struct {
	mu   sync.Mutex
	list []Fault
}

// Inject has calls fail.
func (s *Server) Inject(f Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	f.Times = cmp.Or(f.Times, 1)
	if f.Kind == CreateFails {
		f.Action = "CreateService"
	}
	s.faults.list = append(s.faults.list, f)
}

// take returns the next fault of an action.
func (f *faults) take(action string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.list, func(x Fault) bool { return x.Action == "" || x.Action == action })
	if i < 0 {
		return Fault{}, false
	}
	found := f.list[i]
	if f.list[i].Times--; f.list[i].Times == 0 {
		f.list = slices.Delete(f.list, i, i+1)
	}
	return found, true
}

// failures are what a service that is made to fail fails with.
var failures = map[string]Failure{
	"image-pull": {Reason: "IMAGE_PULL_FAILED", Message: "Failed to pull image: Back-off pulling image", Waiting: "ImagePullBackOff"},
	"oom":        {Reason: "OOM_KILLED", Message: "Instance crashed: OOMKilled", Waiting: "CrashLoopBackOff", Last: &LastState{ExitCode: 137, Reason: "OOMKilled"}},
	"resources":  {Reason: "RESOURCE_INSUFFICIENT", Message: "Insufficient resources: 0/1 nodes are available", Waiting: "Unschedulable"},
}

// injectOverHTTP is Inject for a test in another process.
func (s *Server) injectOverHTTP(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&f); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if _, known := failures[f.Reason]; f.Kind == CreateFails && !known {
		http.Error(w, "no such reason", http.StatusBadRequest)
		return
	}
	s.Inject(f)
	w.WriteHeader(http.StatusNoContent)
}

// reset ends a connection without an answer.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
