package controlplane

import (
	"fmt"
	"strconv"
)

func (s *Server) updateServiceVersion(c *call) (reply, *apiError) {
	var body struct{ Version *number }
	if refused := c.decode(&body); refused != nil {
		return nil, refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.unlocked(c, false)
	if refused != nil {
		return nil, refused
	}
	if body.Version == nil || *body.Version < 1 || int(*body.Version) > len(d.Versions) {
		return nil, invalid("Version must be one of 1 to %d", len(d.Versions))
	}
	if int(*body.Version) == d.Current {
		return nil, invalid("The current version of service [%s] is already [%d]", d.Name, d.Current)
	}
	// The number of instances is the service's, and stays.
	config := withInstances(d.Versions[*body.Version-1].Config, d.Count)
	description, config, refused := parseConfig(config)
	if refused != nil {
		return nil, refused
	}
	d.Current = int(*body.Version)
	s.regroup(d, description.Metadata.Group)
	d.Versions[d.Current-1].Config, d.description = config, description
	if d.Stopped {
		s.save()
	} else {
		s.operate(d, updating)
	}
	return reply{"Message": fmt.Sprintf("Service [%s] in region [%s] is starting", d.Name, s.opts.Region)}, nil
}

func (s *Server) listServiceVersions(c *call) (reply, *apiError) {
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
	for id := len(d.Versions); id >= 1; id-- {
		v := d.Versions[id-1]
		message := ""
		if id == d.Current {
			message = d.message
		}
		all = append(all, reply{
			"ImageId": id, "BuildTime": v.Built.Format(timeForm), "Message": message,
			"ImageAvailable": strconv.FormatBool(true), "ServiceRunnable": strconv.FormatBool(true),
			"ServiceConfig": string(v.Config),
		})
	}
	return reply{"Versions": of(p, all), "PageNumber": p.number, "PageSize": p.size, "TotalCount": len(all)}, nil
}
