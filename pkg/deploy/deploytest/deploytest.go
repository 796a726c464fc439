// Package deploytest is the suite that every deploy.Target passes. It makes
// services, takes them through their lives and deletes them.
package deploytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
)

// Config says what is tested.
type Config struct {
	Target deploy.Target

	// Description is a description of a service of this name that comes to run,
	// with metadata.instance 1, metadata.cpu 1 and no processor_envs.
	Description func(name string) json.RawMessage

	Prefix   string        // of the names of services, which no others may have
	LogLine  string        // part of a line that every instance writes when it starts
	Many     int           // how many services to read a list of; more than a page
	Patience time.Duration // how long a service may be on its way; default 1 minute
}

// Run runs the suite.
func Run(t *testing.T, c Config) {
	if c.Patience <= 0 {
		c.Patience = time.Minute
	}
	s := &suite{Config: c}
	t.Run("where", s.where)
	t.Run("absent", s.absent)
	t.Run("life", s.life)
	t.Run("versions", s.versions)
	t.Run("instances", s.instances)
	t.Run("history", s.history)
	t.Run("release", s.release)
	t.Run("autoscaler", s.autoscaler)
	t.Run("lists", s.lists)
	t.Run("interrupted", s.interrupted)
}

type suite struct{ Config }

// create makes a service that is deleted with the test, and waits for it.
func (s *suite) create(t *testing.T, name string) string {
	t.Helper()
	name = s.Prefix + name
	created, err := s.Target.Create(t.Context(), deploy.CreateRequest{Name: name, Description: s.Description(name), Labels: map[string]string{"suite": s.Prefix}})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	t.Cleanup(func() { s.remove(t, name) })
	if created.ServiceID == "" || created.Status == "" || created.RequestID == "" || created.Region == "" {
		t.Errorf("created %+v lacks something", created)
	}
	s.await(t, name, "to run", running(1))
	return name
}

// remove deletes a service if it is there, and waits until it is gone.
func (s *suite) remove(t *testing.T, name string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // it has ended when tests clean up
	_, err := s.Target.Act(ctx, name, deploy.Delete)
	if err != nil && !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("delete: %v", err)
		return
	}
	s.poll(t, "service "+name+" to be gone", func() (bool, string) {
		service, err := s.Target.Describe(ctx, name)
		return errors.Is(err, deploy.ErrNotFound), fmt.Sprintf("%+v, error %v", service, err)
	})
}

// poll waits until ready says so, which otherwise says what there is.
func (s *suite) poll(t *testing.T, what string, ready func() (bool, string)) {
	t.Helper()
	for end := time.Now().Add(s.Patience); ; time.Sleep(20 * time.Millisecond) {
		ok, seen := ready()
		if ok {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s; there is %s", s.Patience, what, seen)
		}
	}
}

// await waits until a service is as it shall be.
func (s *suite) await(t *testing.T, name, what string, ready func(*deploy.Service) bool) *deploy.Service {
	t.Helper()
	var service *deploy.Service
	s.poll(t, "service "+name+" "+what, func() (bool, string) {
		var err error
		if service, err = s.Target.Describe(t.Context(), name); err != nil {
			t.Fatalf("describe: %v", err)
		}
		return ready(service), fmt.Sprintf("%+v", service)
	})
	return service
}

func running(instances int) func(*deploy.Service) bool {
	return func(s *deploy.Service) bool {
		return s.Status == deploy.Running && s.RunningInstances == instances && s.TotalInstances == instances
	}
}

// change merges a change, or replaces the description.
func (s *suite) change(t *testing.T, name string, description string, replace bool) {
	t.Helper()
	reply, err := s.Target.Update(t.Context(), name, deploy.UpdateRequest{Description: json.RawMessage(description), Replace: replace})
	if err != nil {
		t.Fatalf("update with %s: %v", description, err)
	}
	if reply.RequestID == "" {
		t.Errorf("reply %+v has no request id", reply)
	}
}

// act does something to a service.
func (s *suite) act(t *testing.T, name string, action deploy.Action) {
	t.Helper()
	reply, err := s.Target.Act(t.Context(), name, action)
	if err != nil {
		t.Fatalf("%s: %v", action, err)
	}
	if reply.RequestID == "" {
		t.Errorf("reply %+v to %s has no request id", reply, action)
	}
}

func (s *suite) where(t *testing.T) {
	if w := s.Target.Where(); w.Target == "" || w.Endpoint == "" || !strings.Contains(w.Account, "****") {
		t.Errorf("where %+v lacks something, or shows the account", w)
	}
}

// absent asks all methods about a service that there is not.
func (s *suite) absent(t *testing.T) {
	ctx, target, name, weight := t.Context(), s.Target, s.Prefix+"absent", 1
	for what, do := range map[string]func() error{
		"describe":  func() error { _, err := target.Describe(ctx, name); return err },
		"update":    func() error { _, err := target.Update(ctx, name, updateOf(s.Description(name))); return err },
		"start":     func() error { _, err := target.Act(ctx, name, deploy.Start); return err },
		"stop":      func() error { _, err := target.Act(ctx, name, deploy.Stop); return err },
		"restart":   func() error { _, err := target.Act(ctx, name, deploy.Restart); return err },
		"delete":    func() error { _, err := target.Act(ctx, name, deploy.Delete); return err },
		"scale":     func() error { _, err := target.Scale(ctx, name, 2); return err },
		"release":   func() error { _, err := target.Release(ctx, name, deploy.ReleaseRequest{Weight: &weight}); return err },
		"versions":  func() error { _, _, err := target.Versions(ctx, name); return err },
		"switch":    func() error { _, err := target.SwitchVersion(ctx, name, 1); return err },
		"instances": func() error { _, _, err := target.Instances(ctx, name); return err },
		"delete instances": func() error {
			_, err := target.DeleteInstances(ctx, name, []string{name + "-1"})
			return err
		},
		"events":            func() error { _, _, err := target.Events(ctx, name, deploy.EventsRequest{}); return err },
		"logs":              func() error { _, _, err := target.Logs(ctx, name, deploy.LogsRequest{}); return err },
		"autoscaler":        func() error { _, _, err := target.Autoscaler(ctx, name); return err },
		"set autoscaler":    func() error { _, err := target.SetAutoscaler(ctx, name, rules()); return err },
		"remove autoscaler": func() error { _, err := target.RemoveAutoscaler(ctx, name); return err },
	} {
		err := do()
		if !errors.Is(err, deploy.ErrNotFound) || fault.KindOf(err) != fault.Remote || deploy.Unsettled(err) || !strings.Contains(fmt.Sprint(err), name) {
			t.Errorf("%s: error %v of kind %d, unsettled: %v", what, err, fault.KindOf(err), deploy.Unsettled(err))
		}
		if deploy.RequestIDOf(err) == "" {
			t.Errorf("%s: error %v has no request id", what, err)
		}
	}
}

func updateOf(description json.RawMessage) deploy.UpdateRequest {
	return deploy.UpdateRequest{Description: description}
}

// life makes a service, changes it, stops and starts it, and deletes it.
func (s *suite) life(t *testing.T) {
	began := time.Now().Add(-time.Minute)
	name := s.create(t, "life")
	service, err := s.Target.Describe(t.Context(), name)
	if err != nil {
		t.Fatalf("describe: %v", err)
	}
	if service.Name != name || service.ID == "" || service.Region == "" || service.AccessToken == "" || service.IntranetEndpoint == "" || service.CPU != 1 {
		t.Errorf("service %+v lacks something", service)
	}
	if service.CreateTime.Before(began) || service.CreateTime.After(time.Now().Add(time.Minute)) || service.CreateTime.Location() != time.UTC {
		t.Errorf("it was made at %v, which is not just now in UTC", service.CreateTime)
	}
	if service.LatestVersion != 1 || service.CurrentVersion != 1 {
		t.Errorf("it runs version %d of %d", service.CurrentVersion, service.LatestVersion)
	}
	if service.Labels["suite"] != s.Prefix {
		t.Errorf("its labels are %v", service.Labels)
	}
	var described struct {
		Name string `json:"name"`
		Meta struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(service.Description, &described); err != nil || described.Name != name && described.Meta.Name != name {
		t.Errorf("its description is %s, error %v", service.Description, err)
	}

	_, err = s.Target.Create(t.Context(), deploy.CreateRequest{Name: name, Description: s.Description(name)})
	if !errors.Is(err, deploy.ErrExists) || deploy.Unsettled(err) || fault.KindOf(err) != fault.Remote {
		t.Errorf("created twice: error %v", err)
	}

	s.act(t, name, deploy.Restart)
	s.await(t, name, "to run again", running(1))
	s.act(t, name, deploy.Stop)
	s.await(t, name, "to be stopped", func(s *deploy.Service) bool { return s.Status == deploy.Stopped && s.RunningInstances == 0 })
	s.act(t, name, deploy.Start)
	s.await(t, name, "to be started", running(1))

	s.act(t, name, deploy.Delete)
	s.remove(t, name)
	list, _, err := s.Target.List(t.Context(), deploy.ListRequest{Filter: name})
	if err != nil || len(list) != 0 {
		t.Errorf("after it was deleted there are %+v, error %v", list, err)
	}
}

// versions changes what a service runs, and goes back.
func (s *suite) versions(t *testing.T) {
	name := s.create(t, "versions")
	version := func(n, latest int) func(*deploy.Service) bool {
		return func(service *deploy.Service) bool {
			return running(1)(service) && service.CurrentVersion == n && service.LatestVersion == latest
		}
	}
	environment := func(service *deploy.Service) string {
		var d struct {
			Environment json.RawMessage `json:"processor_envs"`
		}
		if err := json.Unmarshal(service.Description, &d); err != nil {
			t.Errorf("description %s: %v", service.Description, err)
		}
		return string(d.Environment)
	}

	s.change(t, name, `{"processor_envs":[{"name":"A","value":"<&>"}]}`, false)
	if service := s.await(t, name, "to run version 2", version(2, 2)); environment(service) == "" || service.CPU != 1 {
		t.Errorf("the merged change left %s", service.Description)
	}
	s.change(t, name, `{"metadata":{"cpu":2}}`, false)
	if service := s.await(t, name, "to run version 3", version(3, 3)); environment(service) == "" || service.CPU != 2 {
		t.Errorf("the merged change left %s", service.Description)
	}
	s.change(t, name, string(s.Description(name)), true)
	if service := s.await(t, name, "to run version 4", version(4, 4)); environment(service) != "" || service.CPU != 1 {
		t.Errorf("what was replaced is %s", service.Description)
	}
	s.change(t, name, `{"metadata":{"instance":2}}`, false)
	s.await(t, name, "to have two instances of the same version", func(service *deploy.Service) bool {
		return running(2)(service) && service.CurrentVersion == 4 && service.LatestVersion == 4
	})
	s.change(t, name, `{"metadata":{"instance":1}}`, false)
	s.await(t, name, "to have one instance", version(4, 4))

	list, reply, err := s.Target.Versions(t.Context(), name)
	if err != nil {
		t.Fatalf("versions: %v", err)
	}
	var ids []int
	for _, v := range list {
		ids = append(ids, v.ID)
		if v.BuildTime.IsZero() || v.BuildTime.Location() != time.UTC || !v.Runnable || !v.ImageAvailable {
			t.Errorf("version %+v", v)
		}
	}
	if diff := cmp.Diff([]int{4, 3, 2, 1}, ids); diff != "" || reply.RequestID == "" {
		t.Errorf("versions of reply %+v (-want +got):\n%s", reply, diff)
	}

	if _, err := s.Target.SwitchVersion(t.Context(), name, 3); err != nil {
		t.Fatalf("switch to version 3: %v", err)
	}
	if service := s.await(t, name, "to run version 3 again", version(3, 4)); environment(service) == "" || service.CPU != 2 {
		t.Errorf("version 3 is %s", service.Description)
	}
	if _, err := s.Target.SwitchVersion(t.Context(), name, 99); err == nil || deploy.Unsettled(err) {
		t.Errorf("switched to a version that there is not: error %v", err)
	}
}

// instances scales a service and ends one of its instances.
func (s *suite) instances(t *testing.T) {
	name := s.create(t, "instances")
	if _, err := s.Target.Scale(t.Context(), name, 3); err != nil {
		t.Fatalf("scale: %v", err)
	}
	if service := s.await(t, name, "to have three instances", running(3)); service.LatestVersion != 1 {
		t.Errorf("scaling made version %d", service.LatestVersion)
	}
	names := s.names(t, name, 3)
	if !slices.IsSorted(names) {
		t.Errorf("the instances %v are in no order", names)
	}
	gone := names[:2]
	reply, err := s.Target.DeleteInstances(t.Context(), name, gone)
	if err != nil || reply.RequestID == "" {
		t.Fatalf("delete instances: reply %+v, error %v", reply, err)
	}
	s.poll(t, "others to take the place of "+strings.Join(gone, " and "), func() (bool, string) {
		list, _, err := s.Target.Instances(t.Context(), name)
		if err != nil {
			t.Fatalf("instances: %v", err)
		}
		left := slices.ContainsFunc(list, func(i deploy.Instance) bool { return slices.Contains(gone, i.Name) })
		return !left && len(list) == 3 && allReady(list), fmt.Sprintf("%+v", list)
	})
	if _, err := s.Target.Scale(t.Context(), name, 1); err != nil {
		t.Fatalf("scale: %v", err)
	}
	s.await(t, name, "to have one instance", running(1))
	s.names(t, name, 1)
}

func allReady(list []deploy.Instance) bool {
	return !slices.ContainsFunc(list, func(i deploy.Instance) bool {
		return i.Status != "Running" || i.ReadyProcesses != i.TotalProcesses || i.TotalProcesses == 0
	})
}

// names waits for so many instances that are ready and returns their names.
func (s *suite) names(t *testing.T, name string, want int) []string {
	t.Helper()
	var names []string
	s.poll(t, fmt.Sprintf("%d instances of %s to be ready", want, name), func() (bool, string) {
		list, reply, err := s.Target.Instances(t.Context(), name)
		if err != nil || reply.RequestID == "" {
			t.Fatalf("instances: reply %+v, error %v", reply, err)
		}
		names = nil
		for _, i := range list {
			names = append(names, i.Name)
			if allReady(list) && (i.StartTime.IsZero() || i.StartTime.Location() != time.UTC) {
				t.Errorf("instance %+v has no time", i)
			}
		}
		return len(list) == want && allReady(list), fmt.Sprintf("%+v", list)
	})
	return names
}

// history reads what a service wrote, and what happened to it.
func (s *suite) history(t *testing.T) {
	name := s.create(t, "history")
	instance := s.names(t, name, 1)[0]
	logs := func(r deploy.LogsRequest) []string {
		t.Helper()
		lines, reply, err := s.Target.Logs(t.Context(), name, r)
		if err != nil || reply.RequestID == "" {
			t.Fatalf("logs %+v: reply %+v, error %v", r, reply, err)
		}
		return lines
	}
	var all []string
	s.poll(t, "the line "+s.LogLine, func() (bool, string) {
		all = logs(deploy.LogsRequest{Instance: instance})
		return slices.ContainsFunc(all, func(line string) bool { return strings.Contains(line, s.LogLine) }), fmt.Sprintf("%q", all)
	})
	if last := logs(deploy.LogsRequest{Tail: 1}); len(last) != 1 {
		t.Errorf("the last line is %q", last)
	}
	if found := logs(deploy.LogsRequest{Keyword: s.LogLine}); len(found) == 0 || slices.ContainsFunc(found, func(line string) bool { return !strings.Contains(line, s.LogLine) }) {
		t.Errorf("the lines with %q are %q", s.LogLine, found)
	}
	if none := logs(deploy.LogsRequest{Until: time.Now().Add(-24 * time.Hour)}); len(none) != 0 {
		t.Errorf("the lines of yesterday are %q", none)
	}
	if _, _, err := s.Target.Logs(t.Context(), name, deploy.LogsRequest{Instance: "no-such-instance"}); err == nil {
		t.Error("the lines of an instance that there is not")
	}

	events := func(r deploy.EventsRequest) []deploy.Event {
		t.Helper()
		list, reply, err := s.Target.Events(t.Context(), name, r)
		if err != nil || reply.RequestID == "" {
			t.Fatalf("events %+v: reply %+v, error %v", r, reply, err)
		}
		return list
	}
	list := events(deploy.EventsRequest{})
	if len(list) == 0 {
		t.Fatal("nothing happened to a service that runs")
	}
	for i, e := range list {
		if e.Time.IsZero() || e.Type == "" || e.Message == "" || strings.HasPrefix(e.Message, "{") {
			t.Errorf("event %+v lacks something", e)
		}
		if i > 0 && e.Time.Before(list[i-1].Time) {
			t.Errorf("event %+v comes after %+v", e, list[i-1])
		}
	}
	for _, kind := range []string{"Normal", "Warning"} {
		for _, e := range events(deploy.EventsRequest{Type: kind}) {
			if e.Type != kind {
				t.Errorf("event %+v is not %s", e, kind)
			}
		}
	}
	if none := events(deploy.EventsRequest{Since: time.Now().Add(-48 * time.Hour), Until: time.Now().Add(-24 * time.Hour)}); len(none) != 0 {
		t.Errorf("the events of yesterday are %+v", none)
	}
}

// release changes which requests a service gets.
func (s *suite) release(t *testing.T) {
	name := s.create(t, "release")
	for _, weight := range []int{40, 0} {
		reply, err := s.Target.Release(t.Context(), name, deploy.ReleaseRequest{Weight: &weight})
		if err != nil || reply.RequestID == "" {
			t.Fatalf("release: reply %+v, error %v", reply, err)
		}
		s.await(t, name, fmt.Sprintf("to have the weight %d", weight), func(s *deploy.Service) bool { return s.Weight == weight })
	}
	s.change(t, name, fmt.Sprintf(`{"metadata":{"group":%q}}`, s.Prefix+"group"), false)
	s.await(t, name, "to be in a group", func(service *deploy.Service) bool { return service.Group == s.Prefix+"group" })
	for _, state := range []string{"standalone", "grouping"} {
		if _, err := s.Target.Release(t.Context(), name, deploy.ReleaseRequest{TrafficState: state}); err != nil {
			t.Fatalf("release: %v", err)
		}
		if service := s.await(t, name, "to be "+state, func(s *deploy.Service) bool { return s.TrafficState == state }); service.Weight != 0 {
			t.Errorf("the weight has become %d", service.Weight)
		}
	}
	list, _, err := s.Target.List(t.Context(), deploy.ListRequest{Group: s.Prefix + "group"})
	if err != nil || len(list) != 1 || list[0].Name != name {
		t.Errorf("services of the group: %+v, error %v", list, err)
	}
	tooMuch := 100_000
	if _, err := s.Target.Release(t.Context(), name, deploy.ReleaseRequest{Weight: &tooMuch}); err == nil {
		t.Errorf("a weight of %d is taken", tooMuch)
	}
}

func rules() deploy.Autoscaler {
	delay := 300
	return deploy.Autoscaler{Min: 1, Max: 3, Strategies: []deploy.Strategy{{Metric: "qps", Threshold: 10}}, ScaleDownDelay: &delay}
}

// autoscaler makes, changes and removes rules.
func (s *suite) autoscaler(t *testing.T) {
	name := s.create(t, "autoscaler")
	if _, _, err := s.Target.Autoscaler(t.Context(), name); !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("rules of a service without: error %v", err)
	}
	for _, most := range []int{3, 5} {
		want := rules()
		want.Max = most
		if _, err := s.Target.SetAutoscaler(t.Context(), name, want); err != nil {
			t.Fatalf("set: %v", err)
		}
		got, reply, err := s.Target.Autoscaler(t.Context(), name)
		if err != nil || reply.RequestID == "" {
			t.Fatalf("rules: reply %+v, error %v", reply, err)
		}
		got.Current = nil // what is measured is another matter
		for i := range got.Strategies {
			if got.Strategies[i].Service == name {
				got.Strategies[i].Service = "" // that is what it means
			}
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("rules (-want +got):\n%s", diff)
		}
		s.await(t, name, "to be scaled by rules", func(s *deploy.Service) bool { return s.Autoscaled })
	}
	wrong := rules()
	wrong.Min = wrong.Max + 1
	if _, err := s.Target.SetAutoscaler(t.Context(), name, wrong); err == nil || deploy.Unsettled(err) {
		t.Errorf("rules with more at least than at most: error %v", err)
	}
	if _, err := s.Target.RemoveAutoscaler(t.Context(), name); err != nil {
		t.Fatalf("remove: %v", err)
	}
	if _, err := s.Target.RemoveAutoscaler(t.Context(), name); !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("removed twice: error %v", err)
	}
	if _, _, err := s.Target.Autoscaler(t.Context(), name); !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("rules after they were removed: error %v", err)
	}
}

// lists reads a list of more than one page, and parts of it.
func (s *suite) lists(t *testing.T) {
	var want []string
	t.Cleanup(func() {
		for _, name := range want {
			s.remove(t, name)
		}
	})
	for i := range s.Many {
		name := fmt.Sprintf("%slist%03d", s.Prefix, i)
		request := deploy.CreateRequest{Name: name, Description: s.Description(name), Labels: map[string]string{"third": fmt.Sprint(i % 3)}}
		if _, err := s.Target.Create(t.Context(), request); err != nil {
			t.Fatalf("create: %v", err)
		}
		want = append(want, name)
	}
	list := func(r deploy.ListRequest) []string {
		t.Helper()
		services, reply, err := s.Target.List(t.Context(), r)
		if err != nil || reply.RequestID == "" {
			t.Fatalf("list %+v: reply %+v, error %v", r, reply, err)
		}
		names := make([]string, len(services))
		for i, service := range services {
			names[i] = service.Name
			if service.Status == "" || service.CreateTime.IsZero() || service.Region == "" {
				t.Errorf("service %+v lacks something", service)
			}
		}
		return names
	}
	if diff := cmp.Diff(want, list(deploy.ListRequest{Filter: s.Prefix + "list"})); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	var third []string
	for i := 1; i < s.Many; i += 3 {
		third = append(third, want[i])
	}
	if diff := cmp.Diff(third, list(deploy.ListRequest{Filter: s.Prefix + "list", Labels: map[string]string{"third": "1"}})); diff != "" {
		t.Errorf("list by label (-want +got):\n%s", diff)
	}
	if got := list(deploy.ListRequest{Filter: s.Prefix + "list", Status: deploy.Stopped}); len(got) != 0 {
		t.Errorf("stopped are %v", got)
	}
	if got := list(deploy.ListRequest{Filter: s.Prefix + "nothing"}); len(got) != 0 {
		t.Errorf("a filter that nothing matches lets %v through", got)
	}
}

// interrupted calls with a context that has ended.
func (s *suite) interrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	name := s.Prefix + "interrupted"
	_, err := s.Target.Create(ctx, deploy.CreateRequest{Name: name, Description: s.Description(name)})
	if !errors.Is(err, context.Canceled) || fault.KindOf(err) != fault.Interrupted {
		t.Errorf("create: error %v of kind %d", err, fault.KindOf(err))
	}
	if _, err := s.Target.Describe(t.Context(), name); !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("describe: error %v", err)
		s.remove(t, name)
	}
}
