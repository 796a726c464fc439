package eas

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
)

// reply is what most answers consist of, and all have.
type reply struct {
	RequestID string `json:"RequestId"`
	Message   text
}

func (r reply) deploy() deploy.Reply {
	return deploy.Reply{RequestID: clean(r.RequestID), Message: string(r.Message)}
}

// act makes a request whose answer is a reply.
func (t *Target) act(ctx context.Context, r request) (deploy.Reply, error) {
	var got reply
	if err := t.call(ctx, r, &got); err != nil {
		return deploy.Reply{}, err
	}
	return got.deploy(), nil
}

// serviceAnswer is a service as answers have it.
type serviceAnswer struct {
	ServiceName, ServiceID text // ServiceId
	Region                 text
	Status, Reason         text
	Message                text
	CreateTime, UpdateTime moment

	TotalInstance, RunningInstance, PendingInstance integer

	CPU, GPU, Memory integer
	Image            text

	Weight                        integer
	ServiceGroup, TrafficState    text
	LatestVersion, CurrentVersion integer
	InternetEndpoint              text
	IntranetEndpoint              text
	AccessToken                   text
	Resource, WorkspaceID         text
	SafetyLock                    text
	AutoscalerEnabled             bool
	ServiceConfig                 document
	Labels                        []struct{ LabelKey, LabelValue text }
}

func (a serviceAnswer) deploy() deploy.Service {
	s := deploy.Service{
		Name:             string(a.ServiceName),
		ID:               string(a.ServiceID),
		Region:           string(a.Region),
		Status:           deploy.State(a.Status),
		Reason:           string(a.Reason),
		Message:          string(a.Message),
		CreateTime:       a.CreateTime.Time,
		UpdateTime:       a.UpdateTime.Time,
		TotalInstances:   int(a.TotalInstance),
		RunningInstances: int(a.RunningInstance),
		PendingInstances: int(a.PendingInstance),
		CPU:              int(a.CPU),
		GPU:              int(a.GPU),
		MemoryMB:         int(a.Memory),
		Image:            string(a.Image),
		Weight:           int(a.Weight),
		Group:            string(a.ServiceGroup),
		TrafficState:     string(a.TrafficState),
		LatestVersion:    int(a.LatestVersion),
		CurrentVersion:   int(a.CurrentVersion),
		InternetEndpoint: string(a.InternetEndpoint),
		IntranetEndpoint: string(a.IntranetEndpoint),
		AccessToken:      string(a.AccessToken),
		Resource:         string(a.Resource),
		WorkspaceID:      string(a.WorkspaceID),
		SafetyLock:       string(a.SafetyLock),
		Autoscaled:       a.AutoscalerEnabled,
		Description:      json.RawMessage(a.ServiceConfig),
	}
	for _, l := range a.Labels {
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		s.Labels[string(l.LabelKey)] = string(l.LabelValue)
	}
	return s
}

// UnmarshalJSON refuses what is no service: an answer of another kind would
// look like one without any fields.
func (a *serviceAnswer) UnmarshalJSON(b []byte) error {
	type plain serviceAnswer
	if err := json.Unmarshal(b, (*plain)(a)); err != nil {
		return err
	}
	if a.ServiceName == "" {
		return missingField("ServiceName")
	}
	return nil
}

// missingField is the error of an answer that lacks what it must have.
type missingField string

func (m missingField) Error() string { return "it has no " + string(m) }

// Create makes a service. The workspace is the one that the description names
// in metadata.workspace_id.
func (t *Target) Create(ctx context.Context, c deploy.CreateRequest) (*deploy.Created, error) {
	if !isName(c.Name) {
		return nil, fault.New(fault.Description, "create service: %q is no name of a service", c.Name)
	}
	labels, err := labelsOf(c.Labels)
	if err != nil {
		return nil, err
	}
	var got struct {
		reply
		ServiceID                          text `json:"ServiceId"`
		Status, Region                     text
		InternetEndpoint, IntranetEndpoint text
	}
	r := request{
		op:    createService,
		name:  c.Name,
		query: map[string]string{"Labels": labels, "WorkspaceId": workspaceOf(c.Description)},
		body:  c.Description,
	}
	if err := t.call(ctx, r, &got); err != nil {
		return nil, err
	}
	return &deploy.Created{
		Reply:            got.deploy(),
		ServiceID:        string(got.ServiceID),
		Status:           deploy.State(got.Status),
		Region:           cmp.Or(string(got.Region), t.opts.Region),
		InternetEndpoint: string(got.InternetEndpoint),
		IntranetEndpoint: string(got.IntranetEndpoint),
	}, nil
}

// workspaceOf returns the workspace that a description names, if it names one:
// the API wants it in the query.
func workspaceOf(description json.RawMessage) string {
	var d struct {
		Metadata struct {
			WorkspaceID text `json:"workspace_id"`
		} `json:"metadata"`
	}
	if json.Unmarshal(description, &d) != nil {
		return ""
	}
	return string(d.Metadata.WorkspaceID)
}

// labelsOf writes labels as one parameter of a query.
func labelsOf(labels map[string]string) (string, error) {
	if len(labels) == 0 {
		return "", nil
	}
	b, err := json.Marshal(labels)
	return string(b), err
}

// Update changes the description of a service.
func (t *Target) Update(ctx context.Context, name string, u deploy.UpdateRequest) (deploy.Reply, error) {
	kind := "merge"
	if u.Replace {
		kind = "replace"
	}
	return t.act(ctx, request{op: updateService, name: name, query: map[string]string{"UpdateType": kind}, body: u.Description})
}

// Describe returns a service.
func (t *Target) Describe(ctx context.Context, name string) (*deploy.Service, error) {
	var got serviceAnswer
	if err := t.call(ctx, request{op: describeService, name: name}, &got); err != nil {
		return nil, err
	}
	s := got.deploy()
	s.Region = cmp.Or(s.Region, t.opts.Region)
	return &s, nil
}

// List returns the services that match, by name.
func (t *Target) List(ctx context.Context, l deploy.ListRequest) ([]deploy.Service, deploy.Reply, error) {
	labels, err := labelsOf(l.Labels)
	if err != nil {
		return nil, deploy.Reply{}, err
	}
	query := map[string]string{
		"Filter":        l.Filter,
		"GroupName":     l.Group,
		"ServiceStatus": string(l.Status),
		"Label":         labels,
	}
	found, got, err := serviceList.all(ctx, t, request{op: listServices, query: query})
	if err != nil {
		return nil, got, err
	}
	list := make([]deploy.Service, 0, len(found))
	for _, a := range found {
		s := a.deploy()
		s.Region = cmp.Or(s.Region, t.opts.Region)
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b deploy.Service) int { return cmp.Compare(a.Name, b.Name) })
	return list, got, nil
}

type servicePage struct {
	paging
	Services []serviceAnswer
}

var serviceList = lister[servicePage, serviceAnswer]{
	size: pageSize, number: "PageNumber", many: "PageSize",
	open: func(p *servicePage) page[serviceAnswer] { return page[serviceAnswer]{p.paging, p.Services} },
	key:  func(s serviceAnswer) string { return string(s.ServiceName) },
}

// Act starts, stops, restarts or deletes a service.
func (t *Target) Act(ctx context.Context, name string, action deploy.Action) (deploy.Reply, error) {
	op, ok := map[deploy.Action]operation{
		deploy.Start:   startService,
		deploy.Stop:    stopService,
		deploy.Restart: restartService,
		deploy.Delete:  deleteService,
	}[action]
	if !ok {
		return deploy.Reply{}, fault.New(fault.Usage, "%q is nothing that can be done to a service", string(action))
	}
	return t.act(ctx, request{op: op, name: name})
}

// Scale changes the number of instances.
func (t *Target) Scale(ctx context.Context, name string, instances int) (deploy.Reply, error) {
	return t.act(ctx, request{op: scaleService, name: name, body: map[string]int{"Instance": instances}})
}

// Release changes a service's share of its group's requests.
func (t *Target) Release(ctx context.Context, name string, r deploy.ReleaseRequest) (deploy.Reply, error) {
	return t.act(ctx, request{op: releaseService, name: name, body: struct {
		Weight       *int   `json:",omitempty"`
		TrafficState string `json:",omitempty"`
	}{r.Weight, r.TrafficState}})
}
