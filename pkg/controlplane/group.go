package controlplane

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// group is services that share the requests to one address, by their weights.
// It exists as long as a service belongs to it.
type group struct {
	Name    string    `json:"name"`
	Token   string    `json:"token"`
	Created time.Time `json:"created"`
	turn    map[string]int
}

func (s *Server) joinGroup(name string) {
	if _, ok := s.groups[name]; !ok && name != "" {
		s.groups[name] = &group{Name: name, Token: newToken(), Created: s.clock.Now().UTC(), turn: map[string]int{}}
	}
}

// dropGroup removes a group that no service belongs to.
func (s *Server) dropGroup(name string) {
	if len(s.members(name)) == 0 {
		delete(s.groups, name)
	}
}

// regroup moves a service, whose description still names its old group, to
// another one.
func (s *Server) regroup(d *deployed, name string) {
	old := d.description.Metadata.Group
	if old == name {
		return
	}
	moved := *d.description // what runs keeps its own
	moved.Metadata.Group = name
	d.description = &moved
	d.Traffic = "standalone"
	if name != "" {
		d.Traffic = "grouping"
	}
	s.joinGroup(name)
	s.dropGroup(old)
}

// members lists the services of a group, by name.
func (s *Server) members(name string) []*deployed {
	var list []*deployed
	for _, d := range s.services {
		if name != "" && d.description.Metadata.Group == name {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b *deployed) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// choose returns the member whose turn it is: smooth weighted round robin, so
// that shares are kept over few requests too.
func (g *group) choose(members []*deployed) *deployed {
	var best *deployed
	total := 0
	for _, d := range members {
		if d.Traffic != "grouping" || d.Weight <= 0 || !d.serves() {
			delete(g.turn, d.Name)
			continue
		}
		total += d.Weight
		g.turn[d.Name] += d.Weight
		if best == nil || g.turn[d.Name] > g.turn[best.Name] {
			best = d
		}
	}
	if best != nil {
		g.turn[best.Name] -= total
	}
	return best
}

func (s *Server) listGroups(c *call) (reply, *apiError) {
	p, refused := c.page("PageNumber", 100)
	if refused != nil {
		return nil, refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []reply{}
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		if strings.Contains(name, c.query("Filter")) {
			all = append(all, s.groupModel(s.groups[name]))
		}
	}
	return reply{"Groups": of(p, all), "PageNumber": p.number, "PageSize": p.size, "TotalCount": len(all)}, nil
}

func (s *Server) groupModel(g *group) reply {
	return reply{
		"Name": g.Name, "ClusterId": s.opts.Region, "AccessToken": g.Token, "TrafficMode": "customized",
		"CreateTime": g.Created.Format(timeForm), "UpdateTime": g.Created.Format(timeForm), "CallerUid": callerUID, "ParentUid": callerUID,
		"InternetEndpoint": s.predictURL(g.Name), "IntranetEndpoint": s.predictURL(g.Name),
	}
}

func (s *Server) group(c *call) (*group, *apiError) {
	name := c.PathValue("group")
	g, ok := s.groups[name]
	if !ok {
		return nil, refuse(http.StatusNotFound, "InvalidGroup.NotFound", "The group [%s] in region [%s] does not exist", name, s.opts.Region)
	}
	return g, nil
}

func (s *Server) describeGroup(c *call) (reply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, refused := s.group(c)
	if refused != nil {
		return nil, refused
	}
	return s.groupModel(g), nil
}

func (s *Server) describeGroupEndpoints(c *call) (reply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, refused := s.group(c)
	if refused != nil {
		return nil, refused
	}
	return s.endpoints(g.Name, g.Token), nil
}
