package deploy

import (
	"encoding/json"
	"time"
)

// State is the state of a service, as EAS names it. There may be others than
// those below.
type State string

// The states.
const (
	Creating     State = "Creating"
	Waiting      State = "Waiting"
	Starting     State = "Starting"
	Running      State = "Running"
	Scaling      State = "Scaling"
	Updating     State = "Updating"
	Stopping     State = "Stopping"
	Stopped      State = "Stopped"
	Failed       State = "Failed"
	Deleting     State = "Deleting"
	DeleteFailed State = "DeleteFailed"
)

// States lists the states that are known. The platform may have more.
func States() []State {
	return []State{Creating, Waiting, Starting, Running, Scaling, Updating, Stopping, Stopped, Failed, Deleting, DeleteFailed}
}

// Settled reports whether a service stays in this state until somebody changes
// something.
func (s State) Settled() bool {
	switch s {
	case Running, Stopped, Failed, DeleteFailed:
		return true
	}
	return false
}

// Service is a deployed service. Times are UTC.
type Service struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Region  string `json:"region"`
	Status  State  `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`

	CreateTime time.Time `json:"createTime,omitzero"`
	UpdateTime time.Time `json:"updateTime,omitzero"`

	TotalInstances   int `json:"totalInstances"`
	RunningInstances int `json:"runningInstances"`
	PendingInstances int `json:"pendingInstances"`

	CPU      int    `json:"cpu"` // cores of an instance
	GPU      int    `json:"gpu"`
	MemoryMB int    `json:"memoryMb"`
	Image    string `json:"image,omitempty"`

	Weight         int    `json:"weight"`
	Group          string `json:"group,omitempty"`
	TrafficState   string `json:"trafficState,omitempty"`
	LatestVersion  int    `json:"latestVersion"`
	CurrentVersion int    `json:"currentVersion"`

	InternetEndpoint string `json:"internetEndpoint,omitempty"`
	IntranetEndpoint string `json:"intranetEndpoint,omitempty"`
	AccessToken      string `json:"accessToken,omitempty"`

	Resource    string            `json:"resource,omitempty"`
	WorkspaceID string            `json:"workspaceId,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	SafetyLock  string            `json:"safetyLock,omitempty"`
	Autoscaled  bool              `json:"autoscaled"`

	// Description is the description that the service runs. It may hold the
	// service's token and passwords: show it through Masked.
	Description json.RawMessage `json:"description,omitempty"`
}

// Version is one version of a service.
type Version struct {
	ID             int             `json:"id"`
	BuildTime      time.Time       `json:"buildTime,omitzero"`
	Image          string          `json:"image,omitempty"`
	ImageAvailable bool            `json:"imageAvailable"`
	Runnable       bool            `json:"runnable"`
	Message        string          `json:"message,omitempty"`
	Description    json.RawMessage `json:"description,omitempty"` // see Service.Description
}

// Instance is one running copy of a service.
type Instance struct {
	Name           string     `json:"name"`
	InnerIP        string     `json:"innerIp"`
	HostIP         string     `json:"hostIp"`
	StartTime      time.Time  `json:"startTime,omitzero"`
	Restarts       int        `json:"restarts"`
	Status         string     `json:"status"`
	ReadyProcesses int        `json:"readyProcesses"`
	TotalProcesses int        `json:"totalProcesses"`
	Reason         string     `json:"reason,omitempty"`
	Last           *LastState `json:"lastState,omitempty"` // of its life before the last restart
}

// LastState is how a process of an instance ended.
type LastState struct {
	ExitCode   int       `json:"exitCode"`
	Reason     string    `json:"reason"` // such as Error or OOMKilled
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	Message    string    `json:"message,omitempty"`
}

// Event is something that happened to a service.
type Event struct {
	Time     time.Time `json:"time"`
	Type     string    `json:"type"` // Normal or Warning
	Reason   string    `json:"reason"`
	Resource string    `json:"resource,omitempty"` // Service or Pod
	Message  string    `json:"message"`
}

// Autoscaler is the rules by which a service is scaled.
type Autoscaler struct {
	Min        int        `json:"min"`
	Max        int        `json:"max"`
	Strategies []Strategy `json:"strategies"`

	// Delays in seconds; nil: as the target has them.
	ScaleUpDelay   *int `json:"scaleUpDelay,omitempty"`
	ScaleDownDelay *int `json:"scaleDownDelay,omitempty"`

	Current []Strategy `json:"current,omitempty"` // what is measured now, in Threshold
}

// Strategy is one metric to scale by.
type Strategy struct {
	Metric    string  `json:"metric"` // such as qps or cpu
	Service   string  `json:"service,omitempty"`
	Threshold float64 `json:"threshold"` // for one instance
}
