package controlplane

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/openeas/eascmd/pkg/service"
)

func (s *Server) createService(c *call) (reply, *apiError) {
	description, config, refused := parseConfig(c.body)
	if refused != nil {
		return nil, refused
	}
	if region := description.Metadata.Region; region != "" && region != s.opts.Region {
		return nil, invalid("metadata.region [%s] is not the region of the endpoint [%s]", region, s.opts.Region)
	}
	labels := maps.Clone(description.Labels)
	if text := c.query("Labels"); text != "" {
		var more map[string]string
		if err := json.Unmarshal([]byte(text), &more); err != nil {
			return nil, invalid("Labels is not valid: %s", err)
		}
		if labels == nil {
			labels = map[string]string{}
		}
		maps.Copy(labels, more)
	}
	if develop := c.query("Develop"); develop != "" && develop != "false" {
		return nil, invalid("Develop is not supported")
	}
	if refused := s.accept(description); refused != nil {
		return nil, refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused := s.stillOpen(); refused != nil {
		return nil, refused
	}
	if _, taken := s.services[description.Name]; taken {
		return nil, refuse(http.StatusConflict, "InvalidService.AlreadyExists", "The service [%s] in region [%s] already exists", description.Name, s.opts.Region)
	}
	now := s.clock.Now().UTC()
	d := &deployed{
		kept: kept{
			Name: description.Name, ID: "eas-m-" + randomWord(10),
			Token: description.Token, Labels: labels, Lock: "none",
			Created: now, Updated: now,
			Versions: []version{{config, now}}, Current: 1, Count: *description.Metadata.Instance,
			Weight: 100, Traffic: "standalone",
			WorkspaceID: cmp.Or(c.query("WorkspaceId"), description.Metadata.WorkspaceID),
		},
		description: description,
		changed:     make(chan struct{}),
	}
	if d.Token == "" && description.GenerateToken {
		d.Token = newToken()
	}
	if group := description.Metadata.Group; group != "" {
		d.Traffic = "grouping"
		s.joinGroup(group)
	}
	if a := description.Autoscaler; a.Min != nil && a.Max != nil {
		d.Scaler = scalerOf(a)
	}
	for _, f := range c.faults {
		why := failures[f.Reason]
		d.doom = &why
	}
	s.services[d.Name] = d
	s.operate(d, creating)
	return reply{
		"ServiceId": d.ID, "ServiceName": d.Name, "Status": d.status, "Region": s.opts.Region,
		"InternetEndpoint": s.predictURL(d.Name), "IntranetEndpoint": s.predictURL(d.Name),
	}, nil
}

// accept refuses what the runner does not run.
func (s *Server) accept(d *service.Description) *apiError {
	chooser, ok := s.opts.Runner.(Chooser)
	if !ok {
		return nil
	}
	if err := chooser.Accept(d); err != nil {
		return invalid("The service [%s] cannot run on this control plane: %s", d.Name, err)
	}
	return nil
}

func (s *Server) updateService(c *call) (reply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.unlocked(c, false)
	if refused != nil {
		return nil, refused
	}
	body := c.body
	switch kind := c.query("UpdateType"); strings.ToLower(kind) {
	case "", "merge":
		if body, refused = mergeConfig(d.version().Config, c.body); refused != nil {
			return nil, refused
		}
	case "replace":
	default:
		return nil, invalid("UpdateType must be merge or replace, and is %q", kind)
	}
	description, config, refused := parseConfig(body)
	if refused != nil {
		return nil, refused
	}
	if description.Name != d.Name {
		return nil, invalid("The name of a service cannot be changed: it is [%s], not [%s]", d.Name, description.Name)
	}
	if refused := s.accept(description); refused != nil {
		return nil, refused
	}
	done := reply{"Message": fmt.Sprintf("Succeed to update service [%s] in region [%s]", d.Name, s.opts.Region)}
	before, count := d.version().Config, d.Count
	alike := runsAlike(before, config)
	s.regroup(d, description.Metadata.Group)
	d.Count = *description.Metadata.Instance
	if description.Labels != nil {
		d.Labels = maps.Clone(description.Labels)
	}
	d.Updated = s.clock.Now().UTC()
	if alike {
		d.Versions[d.Current-1].Config = config
	} else {
		d.Versions = append(d.Versions, version{config, d.Updated})
		d.Current = len(d.Versions)
		d.Token = cmp.Or(description.Token, d.Token)
		if !description.GenerateToken && description.Token == "" {
			d.Token = ""
		} else if d.Token == "" {
			d.Token = newToken()
		}
	}
	d.description = description
	switch {
	case d.Stopped:
		s.save()
	case !alike:
		s.operate(d, updating)
	case d.Count != count:
		s.scaled(d)
	case d.status == failed:
		s.operate(d, updating)
	default:
		s.save()
	}
	return done, nil
}

// scaled begins to bring a service to its number of instances.
func (s *Server) scaled(d *deployed) {
	if d.Count == 0 {
		s.operate(d, stopping)
		return
	}
	s.operate(d, scaling)
}

func (s *Server) describeService(c *call) (reply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.service(c)
	if refused != nil {
		return nil, refused
	}
	r := s.describe(d)
	r["InternetEndpoint"] = s.predictURL(d.Name)
	r["IntranetEndpoint"] = s.predictURL(d.Name)
	return r, nil
}

// describe is the API's model of a service.
func (s *Server) describe(d *deployed) reply {
	m := &d.description.Metadata
	total := d.Count
	ready := d.ready()
	labels := []map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(d.Labels)) {
		labels = append(labels, map[string]string{"LabelKey": key, "LabelValue": d.Labels[key]})
	}
	image := ""
	if len(d.description.Containers) > 0 {
		image = d.description.Containers[0].Image
	}
	r := reply{
		"ServiceName": d.Name, "ServiceId": d.ID, "ServiceUid": d.ID, "Region": s.opts.Region, "Namespace": d.Name,
		"Status": d.status, "Reason": d.reason, "Message": d.message,
		"CreateTime": d.Created.Format(timeForm), "UpdateTime": d.Updated.Format(timeForm),
		"TotalInstance": total, "RunningInstance": ready, "PendingInstance": max(d.wanted()-ready, 0),
		"Cpu": m.CPU, "Gpu": m.GPU, "Memory": m.Memory, "Image": image,
		"Weight": d.Weight, "TrafficState": d.Traffic, "ServiceGroup": m.Group,
		"LatestVersion": len(d.Versions), "CurrentVersion": d.Current,
		"AccessToken": d.Token, "Labels": labels, "SafetyLock": d.Lock,
		"AutoscalerEnabled": d.Scaler != nil, "CronscalerEnabled": false,
		"Resource": m.Resource, "WorkspaceId": d.WorkspaceID, "Source": d.description.Source,
		"CallerUid": callerUID, "ParentUid": callerUID,
		"ServiceConfig": string(d.version().Config),
	}
	return r
}

// callerUID is whom all services belong to.
const callerUID = "1000000000000001"

func (s *Server) listServices(c *call) (reply, *apiError) {
	p, refused := c.page("PageNumber", 100)
	if refused != nil {
		return nil, refused
	}
	var labels map[string]string
	if text := c.query("Label"); text != "" {
		if err := json.Unmarshal([]byte(text), &labels); err != nil {
			return nil, invalid("Label is not valid: %s", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*deployed
	for _, d := range s.services {
		if s.listed(c, d, labels) {
			found = append(found, d)
		}
	}
	order := func(a, b *deployed) int { return b.Created.Compare(a.Created) }
	switch by := c.query("Sort"); by {
	case "", "CreateTime":
	case "UpdateTime":
		order = func(a, b *deployed) int { return b.Updated.Compare(a.Updated) }
	case "ServiceName":
		order = func(a, b *deployed) int { return cmp.Compare(b.Name, a.Name) }
	default:
		return nil, invalid("Sort by %q is not supported", by)
	}
	ascending := strings.EqualFold(c.query("Order"), "asc")
	slices.SortFunc(found, func(a, b *deployed) int {
		n := order(a, b)
		if ascending {
			n = -n
		}
		return cmp.Or(n, cmp.Compare(a.Name, b.Name))
	})
	services := []reply{}
	for _, d := range of(p, found) {
		services = append(services, s.describe(d))
	}
	return reply{"Services": services, "PageNumber": p.number, "PageSize": p.size, "TotalCount": len(found)}, nil
}

// listed reports whether a service passes the filters of a call.
func (s *Server) listed(c *call, d *deployed, labels map[string]string) bool {
	for key, value := range labels {
		if d.Labels[key] != value {
			return false
		}
	}
	for _, f := range []struct{ name, have string }{
		{"ServiceName", d.Name}, {"GroupName", d.description.Metadata.Group}, {"ServiceStatus", d.status},
		{"ServiceUid", d.ID}, {"TrafficState", d.Traffic}, {"WorkspaceId", d.WorkspaceID}, {"ResourceName", d.description.Metadata.Resource},
	} {
		if want := c.query(f.name); want != "" && want != f.have {
			return false
		}
	}
	return strings.Contains(d.Name, c.query("Filter"))
}

func (s *Server) describeEndpoints(c *call) (reply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.service(c)
	if refused != nil {
		return nil, refused
	}
	return s.endpoints(d.Name, d.Token), nil
}

func (s *Server) endpoints(name, token string) reply {
	url := []string{s.predictURL(name)}
	return reply{"AccessToken": token, "Message": "", "Endpoints": []map[string]any{{
		"BackendId": "default", "EndpointType": "DefaultGateway", "PathType": "Service", "Port": 80,
		"InternetEndpoints": url, "IntranetEndpoints": url,
	}}}
}

// predictURL is the address that a service or a group is called at.
func (s *Server) predictURL(name string) string { return s.PredictEndpoint() + predictPath + name }
