package controlplane

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// unlocked finds the service that a call changes, if its safety lock allows
// that. dangerous are the changes after which nothing is served.
func (s *Server) unlocked(c *call, dangerous bool) (*deployed, *apiError) {
	if refused := s.stillOpen(); refused != nil {
		return nil, refused
	}
	d, refused := s.service(c)
	switch {
	case refused != nil:
		return nil, refused
	case d.Lock == "all", d.Lock == "dangerous" && dangerous:
		return nil, refuse(http.StatusForbidden, "Forbidden.SafetyLock", "The service [%s] is protected by the safety lock [%s]", d.Name, d.Lock)
	case d.Deleting:
		return nil, refuse(http.StatusConflict, "InvalidService.Deleting", "The service [%s] in region [%s] is terminating", d.Name, s.opts.Region)
	}
	return d, nil
}

func (s *Server) startService(c *call) (reply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.unlocked(c, false)
	if refused != nil {
		return nil, refused
	}
	if d.Count == 0 {
		return nil, invalid("The service [%s] has no instances: scale it", d.Name)
	}
	if d.Stopped || d.status == failed {
		d.Stopped = false
		s.operate(d, starting)
	}
	return reply{"Message": fmt.Sprintf("Service [%s] in region [%s] is starting", d.Name, s.opts.Region)}, nil
}

func (s *Server) stopService(c *call) (reply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.unlocked(c, true)
	if refused != nil {
		return nil, refused
	}
	if !d.Stopped {
		d.Stopped = true
		s.operate(d, stopping)
	}
	return reply{"Message": fmt.Sprintf("Service [%s] in region [%s] is stopping", d.Name, s.opts.Region)}, nil
}

func (s *Server) restartService(c *call) (reply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.unlocked(c, false)
	if refused != nil {
		return nil, refused
	}
	if d.Stopped || d.Count == 0 {
		return nil, invalid("The service [%s] is stopped: start it", d.Name)
	}
	d.round++
	s.operate(d, starting)
	return reply{"Message": "Service is restarting"}, nil
}

func (s *Server) deleteService(c *call) (reply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := func(name string) reply {
		return reply{"Message": fmt.Sprintf("Service [%s] in region [%s] is terminating", name, s.opts.Region)}
	}
	if d, refused := s.service(c); refused == nil && d.Deleting {
		return done(d.Name), nil
	}
	d, refused := s.unlocked(c, true)
	if refused != nil {
		return nil, refused
	}
	d.Deleting = true
	s.operate(d, deleting)
	return done(d.Name), nil
}

func (s *Server) scaleService(c *call) (reply, *apiError) {
	var body struct {
		Instance          *number
		InstancesToDelete []string
	}
	if refused := c.decode(&body); refused != nil {
		return nil, refused
	}
	if body.Instance == nil || *body.Instance < 0 || *body.Instance > 1000 {
		return nil, invalid("Instance must be a number from 0 to 1000")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.unlocked(c, *body.Instance == 0)
	if refused != nil {
		return nil, refused
	}
	n := int(*body.Instance)
	for _, in := range slices.Clone(d.instances) {
		if slices.Contains(body.InstancesToDelete, in.name) {
			s.retire(d, in)
		}
	}
	config := withInstances(d.version().Config, n)
	description, config, refused := parseConfig(config)
	if refused != nil {
		return nil, refused
	}
	changed := d.Count != n
	d.Count, d.description, d.Versions[d.Current-1].Config = n, description, config
	if !d.Stopped && (changed || d.status == failed) {
		s.scaled(d)
	}
	s.save()
	return reply{"Message": fmt.Sprintf("Succeed to scale service [%s] in region [%s]", d.Name, s.opts.Region)}, nil
}

func (s *Server) releaseService(c *call) (reply, *apiError) {
	var body struct {
		Weight       *number
		TrafficState string
	}
	if refused := c.decode(&body); refused != nil {
		return nil, refused
	}
	if w := body.Weight; w != nil && (*w < -1 || *w > 1000) {
		return nil, invalid("Weight must be a number from -1 to 1000, and is %d", *w)
	}
	switch body.TrafficState {
	case "", "standalone", "grouping":
	default:
		return nil, invalid("TrafficState must be standalone or grouping, and is %q", body.TrafficState)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.unlocked(c, false)
	if refused != nil {
		return nil, refused
	}
	if body.TrafficState == "grouping" && d.description.Metadata.Group == "" {
		return nil, invalid("The service [%s] belongs to no group", d.Name)
	}
	if body.TrafficState != "" {
		d.Traffic = body.TrafficState
	}
	if body.Weight != nil {
		d.Weight = int(*body.Weight)
	}
	message := fmt.Sprintf("Releasing service [%s] in region [%s] with weight [%d], service status: [%s]", d.Name, s.opts.Region, d.Weight, d.status)
	s.normal(d, "Releasing", message)
	d.Updated = s.clock.Now().UTC()
	s.save()
	return reply{"Message": message}, nil
}

func (s *Server) updateSafetyLock(c *call) (reply, *apiError) {
	var body struct{ Lock string }
	if refused := c.decode(&body); refused != nil {
		return nil, refused
	}
	if !slices.Contains([]string{"all", "dangerous", "none"}, body.Lock) {
		return nil, invalid("Lock must be all, dangerous or none, and is %q", body.Lock)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.service(c)
	if refused != nil {
		return nil, refused
	}
	d.Lock = body.Lock
	s.save()
	return reply{"Message": fmt.Sprintf("Succeed to set the safety lock of service [%s] to [%s]", d.Name, d.Lock)}, nil
}

func (s *Server) updateLabel(c *call) (reply, *apiError) {
	var body struct{ Labels map[string]string }
	if refused := c.decode(&body); refused != nil {
		return nil, refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.unlocked(c, false)
	if refused != nil {
		return nil, refused
	}
	if d.Labels == nil {
		d.Labels = map[string]string{}
	}
	for key, value := range body.Labels {
		d.Labels[key] = value
	}
	s.save()
	return reply{"Message": fmt.Sprintf("Succeed to update labels of service [%s]", d.Name)}, nil
}

func (s *Server) deleteLabel(c *call) (reply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.unlocked(c, false)
	if refused != nil {
		return nil, refused
	}
	for key := range strings.SplitSeq(c.query("Keys")+","+c.query("LabelKeys"), ",") {
		delete(d.Labels, strings.TrimSpace(key))
	}
	s.save()
	return reply{"Message": fmt.Sprintf("Succeed to delete labels of service [%s]", d.Name)}, nil
}
