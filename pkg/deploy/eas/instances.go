package eas

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
)

type instancePage struct {
	paging
	Instances []instanceAnswer
}

var instanceList = lister[instancePage, instanceAnswer]{
	size: pageSize, number: "PageNumber", many: "PageSize",
	open: func(p *instancePage) page[instanceAnswer] { return page[instanceAnswer]{p.paging, p.Instances} },
	key:  func(i instanceAnswer) string { return string(i.InstanceName) },
}

type instanceAnswer struct {
	InstanceName                   text
	InnerIP, HostIP                text
	StartAt, StartTime             moment
	RestartCount                   integer
	Status, Reason                 text
	ReadyProcesses, TotalProcesses integer
	LastState                      lastStates
}

// lastStates is how the processes of an instance ended: one object, a list of
// them, or either in a string.
type lastStates []lastState

type lastState struct {
	ExitCode              integer
	Reason, Message       text
	StartedAt, FinishedAt moment
}

func (l *lastStates) UnmarshalJSON(b []byte) error {
	var d document
	if err := d.UnmarshalJSON(b); err != nil {
		return err
	}
	switch inner := bytes.TrimSpace(d); {
	case len(inner) == 0 || inner[0] == '"': // nothing, or words that are no state
		return nil
	case inner[0] == '[':
		return json.Unmarshal(inner, (*[]lastState)(l))
	default:
		*l = make(lastStates, 1)
		return json.Unmarshal(inner, &(*l)[0])
	}
}

// last returns the state that ended last, or nil where there is none.
func (l lastStates) last() *deploy.LastState {
	l = slices.DeleteFunc(slices.Clone(l), func(s lastState) bool { return s == lastState{} })
	if len(l) == 0 {
		return nil
	}
	s := slices.MaxFunc(l, func(a, b lastState) int { return a.FinishedAt.Compare(b.FinishedAt.Time) })
	return &deploy.LastState{
		ExitCode:   int(s.ExitCode),
		Reason:     string(s.Reason),
		Message:    string(s.Message),
		StartedAt:  s.StartedAt.Time,
		FinishedAt: s.FinishedAt.Time,
	}
}

// Instances returns the instances of a service, by name.
func (t *Target) Instances(ctx context.Context, name string) ([]deploy.Instance, deploy.Reply, error) {
	found, got, err := instanceList.all(ctx, t, request{op: listServiceInstances, name: name})
	if err != nil {
		return nil, got, err
	}
	list := make([]deploy.Instance, 0, len(found))
	for _, i := range found {
		started := i.StartTime
		if started.IsZero() {
			started = i.StartAt
		}
		list = append(list, deploy.Instance{
			Name:           string(i.InstanceName),
			InnerIP:        string(i.InnerIP),
			HostIP:         string(i.HostIP),
			StartTime:      started.Time,
			Restarts:       int(i.RestartCount),
			Status:         string(i.Status),
			ReadyProcesses: int(i.ReadyProcesses),
			TotalProcesses: int(i.TotalProcesses),
			Reason:         string(i.Reason),
			Last:           i.LastState.last(),
		})
	}
	slices.SortFunc(list, func(a, b deploy.Instance) int { return cmp.Compare(a.Name, b.Name) })
	return list, got, nil
}

// DeleteInstances ends instances, which new ones take the place of.
func (t *Target) DeleteInstances(ctx context.Context, name string, instances []string) (deploy.Reply, error) {
	for _, i := range instances {
		if i == "" || strings.Contains(i, ",") {
			return deploy.Reply{}, fault.New(fault.Usage, "delete instances of service %s: %q is no name of an instance", name, i)
		}
	}
	if len(instances) == 0 {
		return deploy.Reply{}, fault.New(fault.Usage, "delete instances of service %s: no instance is named", name)
	}
	return t.act(ctx, request{op: deleteServiceInstances, name: name, query: map[string]string{"InstanceList": strings.Join(instances, ",")}})
}
