package eas

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/openeas/eascmd/pkg/deploy"
)

type eventPage struct {
	paging
	Events []eventAnswer
}

var eventList = lister[eventPage, eventAnswer]{
	size: pageSize, number: "PageNum", many: "PageSize",
	open: func(p *eventPage) page[eventAnswer] { return page[eventAnswer]{p.paging, p.Events} },
}

type eventAnswer struct {
	Time                   moment
	Type, Reason, Resource text
	Message                eventText
}

// eventText is the message of an event. Much of it is JSON around a text.
type eventText string

func (m *eventText) UnmarshalJSON(b []byte) error {
	var s text
	if err := s.UnmarshalJSON(b); err != nil {
		return err
	}
	*m = eventText(s)
	var inner struct{ Message text }
	if strings.HasPrefix(strings.TrimSpace(string(s)), "{") && json.Unmarshal([]byte(s), &inner) == nil && inner.Message != "" {
		*m = eventText(inner.Message)
	}
	return nil
}

// Events returns what happened to a service, the oldest first. Without Since
// the API goes back seven days.
func (t *Target) Events(ctx context.Context, name string, e deploy.EventsRequest) ([]deploy.Event, deploy.Reply, error) {
	query := map[string]string{
		"StartTime":    timeOf(e.Since),
		"EndTime":      timeOf(e.Until),
		"InstanceName": e.Instance,
		"EventType":    e.Type,
	}
	found, got, err := eventList.all(ctx, t, request{op: describeServiceEvent, name: name, query: query})
	if err != nil {
		return nil, got, err
	}
	list := make([]deploy.Event, 0, len(found))
	for _, e := range found {
		list = append(list, deploy.Event{
			Time:     e.Time.Time,
			Type:     string(e.Type),
			Reason:   string(e.Reason),
			Resource: string(e.Resource),
			Message:  string(e.Message),
		})
	}
	// The API does not say in which order they come. Those of one second are to
	// keep theirs, so a list that runs backwards is turned before it is sorted.
	if len(list) > 0 && list[0].Time.After(list[len(list)-1].Time) {
		slices.Reverse(list)
	}
	slices.SortStableFunc(list, func(a, b deploy.Event) int { return a.Time.Compare(b.Time) })
	return list, got, nil
}

type logPage struct {
	paging
	Logs []text
}

var logList = lister[logPage, text]{
	size: 500, number: "PageNum", many: "PageSize",
	open: func(p *logPage) page[text] { return page[text]{p.paging, p.Logs} },
}

// Logs returns lines that a service's instances wrote, the oldest first. With
// Tail only the last pages are asked for.
func (t *Target) Logs(ctx context.Context, name string, l deploy.LogsRequest) ([]string, deploy.Reply, error) {
	query := map[string]string{
		"StartTime":     timeOf(l.Since),
		"EndTime":       timeOf(l.Until),
		"InstanceName":  l.Instance,
		"ContainerName": l.Container,
		"Keyword":       l.Keyword,
	}
	if l.Previous {
		query["Previous"] = "true"
	}
	r := request{op: describeServiceLog, name: name, query: query}
	if l.Tail > 0 {
		return t.tail(ctx, r, l.Tail)
	}
	return lines(logList.all(ctx, t, r))
}

// tail returns the last lines: the first page tells which page is the last, and
// from there it goes backwards.
func (t *Target) tail(ctx context.Context, r request, want int) ([]string, deploy.Reply, error) {
	first, err := logList.one(ctx, t, r, 1)
	if err != nil {
		return nil, deploy.Reply{}, err
	}
	got := first.deploy()
	last := int(first.TotalPageNum)
	if last == 0 {
		last = (int(first.TotalCount) + logList.size - 1) / logList.size
	}
	var found []text
	for n := last; n > 1 && len(found) < want; n-- {
		p, err := logList.one(ctx, t, r, n)
		if err != nil {
			return nil, got, err
		}
		found = append(p.entries, found...)
	}
	if len(found) < want {
		found = append(first.entries, found...)
	}
	return lines(found[max(0, len(found)-want):], got, nil)
}

// lines makes lines of what the API sends.
func lines(found []text, got deploy.Reply, err error) ([]string, deploy.Reply, error) {
	list := make([]string, 0, len(found))
	for _, line := range found {
		list = append(list, strings.TrimRight(string(line), "\r\n"))
	}
	return list, got, err
}
