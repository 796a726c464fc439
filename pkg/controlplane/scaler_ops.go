package controlplane

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/openeas/eascmd/pkg/service"
)

// scaler is the rules by which a service is scaled. They are kept and shown;
// nothing is scaled by them.
type scaler struct {
	Min        *number        `json:"min"`
	Max        *number        `json:"max"`
	Strategies []strategy     `json:"scaleStrategies"`
	Behavior   map[string]any `json:"behavior,omitempty"`
}

type strategy struct {
	MetricName string  `json:"metricName"`
	Service    string  `json:"service,omitempty"`
	Threshold  float64 `json:"threshold"`
}

// scalerOf makes rules of those in a description.
func scalerOf(a service.Autoscaler) *scaler {
	least, most := number(*a.Min), number(*a.Max)
	rules := &scaler{Min: &least, Max: &most, Strategies: []strategy{}}
	for _, metric := range slices.Sorted(maps.Keys(a.Strategies)) {
		rules.Strategies = append(rules.Strategies, strategy{MetricName: metric, Threshold: a.Strategies[metric]})
	}
	return rules
}

func (s *Server) createAutoScaler(c *call) (reply, *apiError) { return s.setAutoScaler(c, false) }
func (s *Server) updateAutoScaler(c *call) (reply, *apiError) { return s.setAutoScaler(c, true) }

func (s *Server) setAutoScaler(c *call, there bool) (reply, *apiError) {
	var rules scaler
	if refused := c.decode(&rules); refused != nil {
		return nil, refused
	}
	switch {
	case rules.Min == nil || rules.Max == nil:
		return nil, invalid("min and max are mandatory for this action")
	case *rules.Min < 0 || *rules.Min > *rules.Max || *rules.Max > 1000:
		return nil, invalid("min and max must be numbers from 0 to 1000, and min at most max")
	case len(rules.Strategies) == 0:
		return nil, invalid("scaleStrategies is mandatory for this action")
	}
	for _, strategy := range rules.Strategies {
		if strategy.MetricName == "" || strategy.Threshold <= 0 {
			return nil, invalid("each of scaleStrategies needs a metricName and a threshold above 0")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.unlocked(c, false)
	switch {
	case refused != nil:
		return nil, refused
	case there && d.Scaler == nil:
		return nil, noScaler(d)
	case !there && d.Scaler != nil:
		return nil, refuse(http.StatusConflict, "InvalidAutoScaler.AlreadyExists", "The service [%s] has an autoscaler already", d.Name)
	}
	d.Scaler = &rules
	s.save()
	return reply{"Message": fmt.Sprintf("Succeed to auto scale service [%s]", d.Name)}, nil
}

func noScaler(d *deployed) *apiError {
	return refuse(http.StatusNotFound, "InvalidAutoScaler.NotFound", "The service [%s] has no autoscaler", d.Name)
}

func (s *Server) describeAutoScaler(c *call) (reply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.service(c)
	if refused != nil {
		return nil, refused
	}
	if d.Scaler == nil {
		return nil, noScaler(d)
	}
	metrics := []reply{}
	for _, strategy := range d.Scaler.Strategies {
		if strategy.MetricName == "qps" && (strategy.Service == "" || strategy.Service == d.Name) {
			metrics = append(metrics, reply{
				"metricName": "qps", "service": d.Name, "value": d.traffic.perSecond(s.clock.Now()) / float64(max(d.ready(), 1)),
			})
		}
	}
	behavior := d.Scaler.Behavior
	if behavior == nil {
		behavior = map[string]any{}
	}
	return reply{
		"ServiceName": d.Name, "MinReplica": d.Scaler.Min, "MaxReplica": d.Scaler.Max,
		"ScaleStrategies": d.Scaler.Strategies, "CurrentMetrics": metrics, "Behavior": behavior,
	}, nil
}

func (s *Server) deleteAutoScaler(c *call) (reply, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.unlocked(c, false)
	if refused != nil {
		return nil, refused
	}
	if d.Scaler == nil {
		return nil, noScaler(d)
	}
	d.Scaler = nil
	s.save()
	return reply{"Message": fmt.Sprintf("Succeed to delete the autoscaler of service [%s]", d.Name)}, nil
}
