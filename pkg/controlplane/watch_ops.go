package controlplane

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// window is the time that a call asks about, by the second.
type window struct{ from, to time.Time }

func (s *Server) window(c *call, usual time.Duration) (window, *apiError) {
	now := s.clock.Now().UTC()
	w := window{to: now}
	if usual > 0 {
		w.from = now.Add(-usual)
	}
	for name, at := range map[string]*time.Time{"StartTime": &w.from, "EndTime": &w.to} {
		text := c.query(name)
		if text == "" {
			continue
		}
		t, err := time.Parse(windowForm, text)
		if err != nil {
			if t, err = time.Parse(time.RFC3339, text); err != nil {
				return w, invalid("%s must be written as %q in UTC, and is %q", name, windowForm, text)
			}
		}
		*at = t
	}
	return w, nil
}

func (w window) holds(t time.Time) bool {
	t = t.Truncate(time.Second)
	return !t.Before(w.from.Truncate(time.Second)) && !t.After(w.to)
}

func (s *Server) describeServiceLog(c *call) (reply, *apiError) {
	p, refused := c.page("PageNum", 500)
	if refused != nil {
		return nil, refused
	}
	w, refused := s.window(c, 0)
	if refused != nil {
		return nil, refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.service(c)
	if refused != nil {
		return nil, refused
	}
	var lines []logLine
	known := c.query("InstanceName") == ""
	for _, in := range d.instances {
		if name := c.query("InstanceName"); name != "" && name != in.name {
			continue
		}
		known = true
		if container := c.query("ContainerName"); container != "" && container != containerName {
			continue
		}
		if ip := c.query("Ip"); ip != "" && ip != localIP {
			continue
		}
		book := in.log.lines
		if strings.EqualFold(c.query("Previous"), "true") {
			book = in.log.previous
		}
		for _, line := range book {
			if w.holds(line.at) && strings.Contains(line.text, c.query("Keyword")) {
				lines = append(lines, line)
			}
		}
	}
	if !known {
		return nil, invalid("The instance [%s] of service [%s] does not exist", c.query("InstanceName"), d.Name)
	}
	slices.SortStableFunc(lines, func(a, b logLine) int { return a.at.Compare(b.at) })
	texts := make([]string, len(lines))
	for i, line := range lines {
		texts[i] = line.text
	}
	return reply{"Logs": of(p, texts), "PageNum": p.number, "TotalCount": len(texts), "TotalPageNum": p.count(len(texts))}, nil
}

// containerName is the one container of an instance.
const containerName = "worker0"

// eventWindow is for how long back events are told where nothing else is asked for.
const eventWindow = 7 * 24 * time.Hour

func (s *Server) describeServiceEvent(c *call) (reply, *apiError) {
	p, refused := c.page("PageNum", 100)
	if refused != nil {
		return nil, refused
	}
	w, refused := s.window(c, eventWindow)
	if refused != nil {
		return nil, refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := s.service(c)
	if refused != nil {
		return nil, refused
	}
	events := []reply{}
	for _, e := range d.Events {
		if want := c.query("EventType"); want != "" && want != e.Type {
			continue
		}
		if want := c.query("InstanceName"); want != "" && want != e.Instance {
			continue
		}
		if w.holds(e.Time) {
			events = append(events, eventModel(e))
		}
	}
	return reply{"Events": of(p, events), "PageNum": p.number, "TotalCount": len(events), "TotalPageNum": p.count(len(events))}, nil
}

// eventModel is the API's model of an event, whose message is JSON in text.
func eventModel(e event) reply {
	message, _ := json.Marshal(struct { // it always has a JSON form
		VersionID   int    `json:"versionId"`
		Message     string `json:"message"`
		Available   int    `json:"availableInstance"`
		Unavailable int    `json:"unavailableInstance"`
	}{e.Version, e.Message, e.Available, e.Missing})
	return reply{
		"Time": e.Time.Format(windowForm), "Type": e.Type, "Reason": e.Reason, "Resource": e.Resource,
		"Message": string(message),
	}
}
