package controlplane

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func (s *Server) listServiceInstances(c *call) (reply, *apiError) {
	p, refused := c.page("PageNumber", 100)
	if refused != nil {
		return nil, refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.service(c)
	if refused != nil {
		return nil, refused
	}
	all := []reply{}
	for _, in := range d.instances {
		status, _ := in.stage()
		if want := c.query("InstanceName"); want != "" && want != in.name {
			continue
		}
		if want := c.query("InstanceStatus"); want != "" && want != status {
			continue
		}
		if !strings.Contains(in.name, c.query("Filter")) {
			continue
		}
		all = append(all, instanceModel(d, in))
	}
	slices.SortFunc(all, func(a, b reply) int {
		return cmp.Compare(a["InstanceName"].(string), b["InstanceName"].(string))
	})
	return reply{"Instances": of(p, all), "PageNumber": p.number, "PageSize": p.size, "TotalCount": len(all)}, nil
}

// instanceModel is the API's model of an instance.
func instanceModel(d *deployed, in *instance) reply {
	status, reason := in.stage()
	r := reply{
		"InstanceName": in.name, "Namespace": d.Name, "Status": status, "Reason": reason,
		"CreateTime": in.created.Format(timeForm), "RestartCount": in.restarts,
		"TotalProcesses": 1, "ReadyProcesses": 0, "HostIP": localIP, "HostName": "localhost",
		"IsLatest": in.version == d.Current, "ResourceType": "PublicResource", "Role": "Standard",
		"LastState": []any{},
	}
	if !in.started.IsZero() {
		r["StartTime"], r["StartAt"] = in.started.Format(timeForm), in.started.Format(timeForm)
	}
	if in.endpoint != "" {
		r["ReadyProcesses"] = 1
		if u, err := url.Parse(in.endpoint); err == nil {
			r["InnerIP"] = u.Hostname()
			if port, err := strconv.Atoi(u.Port()); err == nil {
				r["InstancePort"] = port
			}
		}
	}
	if in.last != nil {
		r["LastState"] = []any{map[string]any{
			"exitCode": in.last.ExitCode, "reason": in.last.Reason, "message": in.last.Message,
			"startedAt": in.last.StartedAt.UTC().Format(timeForm), "finishedAt": in.last.FinishedAt.UTC().Format(timeForm),
		}}
	}
	return r
}

// localIP is the machine that everything runs on.
var localIP = net.IPv4(127, 0, 0, 1).String()

func (s *Server) deleteServiceInstances(c *call) (reply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.unlocked(c, false)
	if refused != nil {
		return nil, refused
	}
	var names []string
	var found []*instance
	for name := range strings.SplitSeq(c.query("InstanceList"), ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		i := slices.IndexFunc(d.instances, func(in *instance) bool { return in.name == name && !in.retired })
		if i < 0 {
			return nil, invalid("The instance [%s] of service [%s] does not exist", name, d.Name)
		}
		names, found = append(names, name), append(found, d.instances[i])
	}
	if len(found) == 0 {
		return nil, invalid("InstanceList is mandatory for this action")
	}
	for _, in := range found {
		s.retire(d, in)
	}
	if d.status == running || d.status == failed {
		s.operate(d, scaling)
	}
	// Two blanks, as the API has them.
	return reply{"Message": fmt.Sprintf("Instance(s) [%s]  for service [%s] in region [%s] was deleted successfully", strings.Join(names, ","), d.Name, s.opts.Region)}, nil
}
