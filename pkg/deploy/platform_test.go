package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openeas/eascmd/pkg/deploy"
)

// platform is a target in memory. A service goes through the states of a script,
// one with every Describe, and fails as it is told.
type platform struct {
	mu       sync.Mutex
	services map[string]*service
	faults   map[string][]error // by method: what the next calls fail with; nil lets one pass
	calls    []string           // of what changes something
	clock    time.Time

	// next are the states that a change makes a service go through, the last
	// one for good.
	next []deploy.State
	// broken makes a service fail whose description has this text.
	broken string
	// latency is how many Describes go by until a change begins to show.
	latency int
	// invisible makes Create lose its answer, and carry the request out or not.
	invisible, lost bool
	// unanswered is what Update and Act fail with after they have done their work.
	unanswered error
	// restarts are the instances from the second question for them on.
	restarts []deploy.Instance
}

type service struct {
	deploy.Service
	script    []deploy.State
	events    []deploy.Event
	versions  []deploy.Version
	instances []deploy.Instance
	logs      map[string][]string // by instance; "previous" for those of a last life
	gone      bool                // after the script
	delay     int
}

func newPlatform() *platform {
	return &platform{
		services: map[string]*service{}, faults: map[string][]error{},
		clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		next:  []deploy.State{deploy.Creating, deploy.Waiting, deploy.Waiting, deploy.Running},
	}
}

func (p *platform) now() time.Time {
	p.clock = p.clock.Add(time.Second)
	return p.clock
}

// enter begins a call.
func (p *platform) enter(method string) error {
	if queue := p.faults[method]; len(queue) > 0 {
		p.faults[method] = queue[1:]
		return queue[0]
	}
	return nil
}

func (p *platform) find(operation, name string) (*service, error) {
	s, ok := p.services[name]
	if !ok {
		return nil, &deploy.Error{Operation: operation, Status: 404, Code: "ServiceNotFound", Message: "no service " + name, Err: deploy.ErrNotFound}
	}
	return s, nil
}

// change records a call that changes a service and begins its script.
func (p *platform) change(method, name string, states ...deploy.State) (*service, error) {
	if err := p.enter(method); err != nil {
		return nil, err
	}
	s, err := p.find(method, name)
	if err != nil {
		return nil, err
	}
	p.calls = append(p.calls, method+" "+name)
	s.script, s.delay = states, p.latency
	s.UpdateTime = p.now()
	return s, nil
}

func (p *platform) reply() deploy.Reply {
	return deploy.Reply{RequestID: fmt.Sprintf("R-%d", len(p.calls))}
}

func (s *service) say(at time.Time, kind, reason, message string) {
	s.events = append(s.events, deploy.Event{Time: at, Type: kind, Reason: reason, Message: message})
}

func (p *platform) Where() deploy.Where {
	return deploy.Where{Target: "test", Region: "cn-test", Endpoint: "test.example", Profile: "default", Account: "LTAI****test"}
}

func (p *platform) Create(_ context.Context, r deploy.CreateRequest) (*deploy.Created, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enter("Create"); err != nil {
		return nil, err
	}
	p.calls = append(p.calls, "Create "+r.Name)
	broken := &deploy.Error{Operation: "CreateService", Unsettled: true, Err: errors.New("connection reset")}
	if p.lost {
		return nil, broken
	}
	if _, ok := p.services[r.Name]; ok {
		return nil, &deploy.Error{Operation: "CreateService", Status: 409, Code: "ServiceExists", Err: deploy.ErrExists}
	}
	now := p.now()
	s := &service{script: slices.Clone(p.next), Service: deploy.Service{
		Name: r.Name, ID: "eas-m-1", Region: "cn-test", Status: deploy.Creating, CreateTime: now, UpdateTime: now,
		TotalInstances: 1, LatestVersion: 1, CurrentVersion: 1, MemoryMB: 1000, Description: r.Description,
	}}
	s.versions = []deploy.Version{{ID: 1, Description: r.Description}}
	s.say(now, "Normal", "CreateGateway", "Creating api gateway")
	p.services[r.Name] = s
	if p.invisible {
		return nil, broken
	}
	return &deploy.Created{Reply: p.reply(), ServiceID: s.ID, Status: s.Status, Region: s.Region}, nil
}

func (p *platform) Update(_ context.Context, name string, r deploy.UpdateRequest) (deploy.Reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.change("Update", name, deploy.Updating, deploy.Updating, deploy.Running)
	if err != nil {
		return deploy.Reply{}, err
	}
	description := r.Description
	if !r.Replace {
		if description, err = deploy.Merge(s.Description, r.Description); err != nil {
			return deploy.Reply{}, err
		}
	}
	s.Description = description
	s.LatestVersion++
	s.CurrentVersion = s.LatestVersion
	s.versions = append(s.versions, deploy.Version{ID: s.LatestVersion, Description: description})
	if p.broken != "" && strings.Contains(string(description), p.broken) {
		s.script = []deploy.State{deploy.Updating, deploy.Failed}
	}
	return p.reply(), p.unanswered
}

func (p *platform) Describe(_ context.Context, name string) (*deploy.Service, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enter("Describe"); err != nil {
		return nil, err
	}
	s, err := p.find("DescribeService", name)
	if err != nil {
		return nil, err
	}
	switch {
	case s.delay > 0:
		s.delay--
	case len(s.script) > 0:
		s.Status = s.script[0]
		s.script = s.script[1:]
	case s.gone:
		delete(p.services, name)
		return nil, &deploy.Error{Operation: "DescribeService", Status: 404, Err: deploy.ErrNotFound}
	}
	s.RunningInstances, s.PendingInstances = 0, s.TotalInstances
	if s.Status == deploy.Running {
		s.RunningInstances, s.PendingInstances = s.TotalInstances, 0
	}
	copied := s.Service
	return &copied, nil
}

func (p *platform) List(context.Context, deploy.ListRequest) ([]deploy.Service, deploy.Reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []deploy.Service
	for _, s := range p.services {
		all = append(all, s.Service)
	}
	return all, p.reply(), nil
}

func (p *platform) Act(_ context.Context, name string, action deploy.Action) (deploy.Reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	states := map[deploy.Action][]deploy.State{
		deploy.Start:   {deploy.Starting, deploy.Running},
		deploy.Restart: {deploy.Updating, deploy.Running},
		deploy.Stop:    {deploy.Stopping, deploy.Stopped},
		deploy.Delete:  {deploy.Deleting, deploy.Deleting},
	}[action]
	s, err := p.change(string(action), name, states...)
	if err != nil {
		return deploy.Reply{}, err
	}
	s.gone = action == deploy.Delete
	return p.reply(), p.unanswered
}

func (p *platform) Scale(_ context.Context, name string, instances int) (deploy.Reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.change("Scale", name, deploy.Scaling, deploy.Running)
	if err != nil {
		return deploy.Reply{}, err
	}
	s.TotalInstances = instances
	s.Description, err = deploy.Merge(s.Description, fmt.Appendf(nil, `{"metadata":{"instance":%d}}`, instances))
	if err != nil {
		return deploy.Reply{}, err
	}
	return p.reply(), nil
}

func (p *platform) Release(context.Context, string, deploy.ReleaseRequest) (deploy.Reply, error) {
	return deploy.Reply{}, nil
}

func (p *platform) Versions(_ context.Context, name string) ([]deploy.Version, deploy.Reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.find("ListServiceVersions", name)
	if err != nil {
		return nil, deploy.Reply{}, err
	}
	return s.versions, p.reply(), nil
}

func (p *platform) SwitchVersion(_ context.Context, name string, version int) (deploy.Reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.change("SwitchVersion", name, deploy.Updating, deploy.Running)
	if err != nil {
		return deploy.Reply{}, err
	}
	s.CurrentVersion = version
	s.Description = s.versions[version-1].Description
	return p.reply(), nil
}

func (p *platform) Instances(_ context.Context, name string) ([]deploy.Instance, deploy.Reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.find("ListServiceInstances", name)
	if err != nil {
		return nil, deploy.Reply{}, err
	}
	has := s.instances
	if p.restarts != nil {
		s.instances = p.restarts
	}
	return has, p.reply(), nil
}

func (p *platform) DeleteInstances(context.Context, string, []string) (deploy.Reply, error) {
	return deploy.Reply{}, nil
}

func (p *platform) Events(_ context.Context, name string, r deploy.EventsRequest) ([]deploy.Event, deploy.Reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enter("Events"); err != nil {
		return nil, deploy.Reply{}, err
	}
	s, err := p.find("DescribeServiceEvent", name)
	if err != nil {
		return nil, deploy.Reply{}, err
	}
	var events []deploy.Event
	for _, e := range s.events {
		if !e.Time.Before(r.Since) {
			events = append(events, e)
		}
	}
	return events, p.reply(), nil
}

func (p *platform) Logs(_ context.Context, name string, r deploy.LogsRequest) ([]string, deploy.Reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.find("DescribeServiceLog", name)
	if err != nil {
		return nil, deploy.Reply{}, err
	}
	key := r.Instance
	if r.Previous {
		key = "previous"
	}
	lines := s.logs[key]
	if r.Tail > 0 {
		lines = lines[max(0, len(lines)-r.Tail):]
	}
	return lines, p.reply(), nil
}

func (p *platform) Autoscaler(context.Context, string) (*deploy.Autoscaler, deploy.Reply, error) {
	return nil, deploy.Reply{}, &deploy.Error{Err: deploy.ErrNotFound}
}

func (p *platform) SetAutoscaler(context.Context, string, deploy.Autoscaler) (deploy.Reply, error) {
	return deploy.Reply{}, nil
}

func (p *platform) RemoveAutoscaler(context.Context, string) (deploy.Reply, error) {
	return deploy.Reply{}, nil
}

var _ deploy.Target = (*platform)(nil)

// runTimeless runs a part of a test in which time passes only where all wait, so
// that a limit never ends sooner on a slow machine.
func runTimeless(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}
