package controlplane

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/openeas/eascmd/pkg/service"
)

// The states of a service.
const (
	creating  = "Creating"
	waiting   = "Waiting"
	starting  = "Starting"
	running   = "Running"
	scaling   = "Scaling"
	updating  = "Updating"
	stopping  = "Stopping"
	stopped   = "Stopped"
	failed    = "Failed"
	deleting  = "Deleting"
	startedOK = "Service start successfully"
)

// kept is what of a service outlives the control plane.
type kept struct {
	Name    string            `json:"name"`
	ID      string            `json:"id"`
	Token   string            `json:"token"` // empty: anybody may call
	Created time.Time         `json:"created"`
	Updated time.Time         `json:"updated"`
	Labels  map[string]string `json:"labels,omitempty"`
	Lock    string            `json:"lock"` // none, dangerous or all

	Versions []version `json:"versions"` // the first is 1
	Current  int       `json:"current"`  // the version that is to run
	Count    int       `json:"count"`    // of instances that are to run
	Stopped  bool      `json:"stopped"`
	Deleting bool      `json:"deleting,omitempty"`

	Weight      int     `json:"weight"`
	Traffic     string  `json:"traffic"` // standalone or grouping
	WorkspaceID string  `json:"workspaceId,omitempty"`
	Scaler      *scaler `json:"scaler,omitempty"`
	Events      []event `json:"events,omitempty"`
}

// version is one version of what a service runs.
type version struct {
	Config json.RawMessage `json:"config"` // in the normal form
	Built  time.Time       `json:"built"`
}

// event is something that happened to a service.
type event struct {
	Time      time.Time `json:"time"`
	Type      string    `json:"type"`
	Reason    string    `json:"reason"`
	Resource  string    `json:"resource"`
	Instance  string    `json:"instance,omitempty"`
	Version   int       `json:"version"`
	Message   string    `json:"message"`
	Available int       `json:"available"`
	Missing   int       `json:"missing"`
}

// maxEvents bounds the events of a service.
const maxEvents = 2000

// deployed is a service. The server's lock guards it.
type deployed struct {
	kept

	description *service.Description // of the current version
	status      string
	reason      string
	message     string

	instances []*instance
	round     int      // raised for instances that are to be new
	next      int      // whose turn it is to get a request
	traffic   traffic  // requests of late
	doom      *Failure // what the next start is to end with

	told map[string]bool // steps that the events of this operation have: instances take the same

	// The operation that goes on, and its end.
	abandon context.CancelFunc
	settled chan struct{}

	changed chan struct{} // closed when something about an instance has changed
}

// wanted is how many instances are to run.
func (d *deployed) wanted() int {
	if d.Stopped || d.Deleting {
		return 0
	}
	return d.Count
}

func (d *deployed) version() version { return d.Versions[d.Current-1] }

// fits reports whether an instance is one of those that are to run.
func (d *deployed) fits(in *instance) bool {
	return in.version == d.Current && in.round == d.round && !in.retired
}

// ready counts the instances that answer: of those that are to run, or where
// they do not get that far of those that serve.
func (d *deployed) ready() int {
	n := 0
	for _, in := range d.instances {
		if in.endpoint != "" && !in.retired && (d.fits(in) || d.status == failed && in.serving) {
			n++
		}
	}
	return min(n, max(d.wanted(), 0))
}

// change wakes whoever waits for an instance.
func (d *deployed) change() {
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *deployed) setStatus(status, reason, message string) {
	d.status, d.reason, d.message = status, reason, message
}

// newToken makes an access token in the form that EAS has.
func newToken() string {
	var seed [20]byte
	rand.Read(seed[:])
	sum := sha1.Sum(seed[:])
	return base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(sum[:])))
}

const lowerLetters = "abcdefghijklmnopqrstuvwxyz0123456789"

func randomWord(length int) string {
	b := make([]byte, length)
	rand.Read(b)
	for i := range b {
		b[i] = lowerLetters[int(b[i])%len(lowerLetters)]
	}
	return string(b)
}

// note records an event.
func (s *Server) note(d *deployed, e event) {
	e.Time = s.clock.Now().UTC()
	e.Version = d.Current
	e.Available = d.ready()
	e.Missing = max(d.wanted()-e.Available, 0)
	d.Events = append(d.Events, e)
	if over := len(d.Events) - maxEvents; over > 0 {
		d.Events = slices.Delete(d.Events, 0, over)
	}
	s.notice(d.Name, e.Message, e.Type == "Warning")
}

func (s *Server) normal(d *deployed, reason, message string) {
	s.note(d, event{Type: "Normal", Reason: reason, Resource: "Service", Message: message})
}

func (s *Server) warning(d *deployed, in *instance, reason, message string) {
	s.note(d, event{Type: "Warning", Reason: reason, Resource: "Pod", Instance: in.name, Message: message})
}
