package deploy

import (
	"context"
	"encoding/json"
	"time"
)

// Target is where services are deployed. Every method makes as few calls as it
// can, retries what may be done twice without harm, and returns an *Error when
// the other side refuses.
//
// Names are those of services, as their descriptions spell them. ErrNotFound is
// in the chain of the error for a name that no service has.
type Target interface {
	// Where says where the services are and who asks, for people.
	Where() Where

	// Create makes a service. It is never repeated: an error with Unsettled set
	// leaves open whether there is one now, and Describe tells.
	Create(ctx context.Context, request CreateRequest) (*Created, error)

	// Update changes the description of a service, which makes a new version
	// when it changes what is run.
	Update(ctx context.Context, name string, request UpdateRequest) (Reply, error)

	Describe(ctx context.Context, name string) (*Service, error)

	// List returns all services that match, by name.
	List(ctx context.Context, request ListRequest) ([]Service, Reply, error)

	// Act starts, stops, restarts or deletes a service. It returns when that
	// has begun.
	Act(ctx context.Context, name string, action Action) (Reply, error)

	// Scale changes the number of instances without a new version.
	Scale(ctx context.Context, name string, instances int) (Reply, error)

	// Release changes a service's share of its group's requests.
	Release(ctx context.Context, name string, request ReleaseRequest) (Reply, error)

	// Versions returns the versions of a service, the newest first.
	Versions(ctx context.Context, name string) ([]Version, Reply, error)

	// SwitchVersion makes a service run an earlier version.
	SwitchVersion(ctx context.Context, name string, version int) (Reply, error)

	// Instances returns the instances of a service, by name.
	Instances(ctx context.Context, name string) ([]Instance, Reply, error)

	// DeleteInstances ends instances, which new ones take the place of.
	DeleteInstances(ctx context.Context, name string, instances []string) (Reply, error)

	// Events returns what happened to a service, the oldest first.
	Events(ctx context.Context, name string, request EventsRequest) ([]Event, Reply, error)

	// Logs returns lines that a service's instances wrote, the oldest first.
	Logs(ctx context.Context, name string, request LogsRequest) ([]string, Reply, error)

	// Autoscaler returns the rules by which a service is scaled; ErrNotFound is
	// in the chain of the error where there are none.
	Autoscaler(ctx context.Context, name string) (*Autoscaler, Reply, error)
	SetAutoscaler(ctx context.Context, name string, rules Autoscaler) (Reply, error)
	RemoveAutoscaler(ctx context.Context, name string) (Reply, error)
}

// Where is where the services of a target are, and who asks.
type Where struct {
	Target   string `json:"target"`   // the target's name, such as eas
	Region   string `json:"region"`   // empty where the target has none
	Endpoint string `json:"endpoint"` // host, and port if there is one
	Profile  string `json:"profile"`
	Account  string `json:"account"` // the masked access key id
}

// Reply is what the other side says to a request.
type Reply struct {
	RequestID string `json:"requestId"`
	Message   string `json:"message,omitempty"`
}

// Action is what Act does.
type Action string

// The actions.
const (
	Start   Action = "start"
	Stop    Action = "stop"
	Restart Action = "restart"
	Delete  Action = "delete"
)

// CreateRequest asks for a service.
type CreateRequest struct {
	Name        string            // as the description has it
	Description json.RawMessage   // the whole of it, in its normal form
	Labels      map[string]string // of the service; may be empty
}

// Created is a service that is being made.
type Created struct {
	Reply
	ServiceID        string
	Status           State
	Region           string
	InternetEndpoint string
	IntranetEndpoint string
}

// UpdateRequest asks for a change of a service.
type UpdateRequest struct {
	// Description is what changes, or with Replace all of what the service is
	// from now on.
	Description json.RawMessage
	Replace     bool
}

// ListRequest says which services are asked for; the zero value asks for all.
type ListRequest struct {
	Filter string // part of the name
	Group  string
	Status State
	Labels map[string]string
}

// ReleaseRequest changes the traffic of a service.
type ReleaseRequest struct {
	Weight       *int   // share of the requests; nil: as it is
	TrafficState string // "standalone" or "grouping"; empty: as it is
}

// EventsRequest says which events are asked for. Zero times do not limit.
type EventsRequest struct {
	Since, Until time.Time
	Instance     string
	Type         string // "Normal" or "Warning"; empty: both
}

// LogsRequest says which lines are asked for. Zero times do not limit.
type LogsRequest struct {
	Since, Until time.Time
	Instance     string
	Container    string
	Keyword      string
	Previous     bool // of the instance's last life
	Tail         int  // the last lines only; 0: all
}
