package controlplane

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/service"
)

// seen follows a service's state with a clock moved by hand, so that every state
// on the way is seen.
func seen(t *testing.T, s *Server, clock *handClock, name, last string) []string {
	t.Helper()
	var states []string
	eventually(t, name+" becomes "+last, func() bool {
		a := send(t, newCall(t, s, "DescribeService", "GET", at(name), "", testKey, nil))
		status := a.text("Status")
		if a.status == 404 {
			status = "gone"
		}
		if len(states) == 0 || states[len(states)-1] != status {
			states = append(states, status)
		}
		if status == last {
			return true
		}
		if clock.asleep() {
			clock.move(time.Second)
		}
		return false
	})
	return states
}

func TestStates(t *testing.T) {
	clock := newHandClock()
	s := start(t, Options{Runner: &puppets{}, Clock: clock, Delays: AllDelays(time.Second)})
	create(t, s, "echo", 1)
	steps := []struct {
		action, method, path, body string
		message                    string
		last                       string
		want                       []string
	}{
		{last: "Running", want: []string{"Creating", "Waiting", "Running"}},
		{"UpdateService", "PUT", "", `{"metadata":{"cpu":2}}`, "Succeed to update service [echo] in region [cn-shanghai]", "Running", []string{"Updating", "Waiting", "Running"}},
		{"ScaleService", "PUT", "/scale", `{"Instance":3}`, "Succeed to scale service [echo] in region [cn-shanghai]", "Running", []string{"Scaling", "Running"}},
		{"UpdateService", "PUT", "", `{"metadata":{"instance":"1"}}`, "Succeed to update service [echo] in region [cn-shanghai]", "Running", []string{"Scaling", "Running"}},
		{"UpdateServiceVersion", "PUT", "/version", `{"Version":1}`, "Service [echo] in region [cn-shanghai] is starting", "Running", []string{"Updating", "Waiting", "Running"}},
		{"RestartService", "PUT", "/restart", "", "Service is restarting", "Running", []string{"Starting", "Waiting", "Running"}},
		{"StopService", "PUT", "/stop", "", "Service [echo] in region [cn-shanghai] is stopping", "Stopped", []string{"Stopping", "Stopped"}},
		{"StartService", "PUT", "/start", "", "Service [echo] in region [cn-shanghai] is starting", "Running", []string{"Starting", "Waiting", "Running"}},
		{"DeleteService", "DELETE", "", "", "Service [echo] in region [cn-shanghai] is terminating", "gone", []string{"Deleting", "gone"}},
	}
	for _, step := range steps {
		if step.action != "" {
			a := do(t, s, 200, step.action, step.method, at("echo", step.path), step.body)
			if got := a.text("Message"); got != step.message {
				t.Errorf("%s says %q, want %q", step.action, got, step.message)
			}
		}
		if d := cmp.Diff(step.want, seen(t, s, clock, "echo", step.last)); d != "" {
			t.Errorf("states after %s (-want +got):\n%s", step.action, d)
		}
	}
}

func TestDescribe(t *testing.T) {
	s := start(t, Options{Runner: &puppets{}})
	// Loose as descriptions are: dotted keys, numbers and booleans as text.
	created := do(t, s, 200, "CreateService", "POST", services+`?Labels=%7B%22team%22%3A%22a%22%7D&WorkspaceId=7`,
		`{"metadata.name":"echo","processor_path":"file:///p.tar.gz","processor_entry":"libecho.so","processor_type":"cpp",`+
			`"metadata":{"instance":"2","cpu":1,"memory":500,"rpc.keepalive":"9000"}}`)
	if created.text("ServiceName") != "echo" || created.text("Status") != "Creating" || created.text("Region") != "cn-shanghai" ||
		!regexp.MustCompile(`^eas-m-\w+$`).MatchString(created.text("ServiceId")) {
		t.Errorf("created: %v", created.body)
	}
	a := becomes(t, s, "echo", "Running")
	got := map[string]any{}
	for _, name := range []string{"Reason", "Message", "TotalInstance", "RunningInstance", "PendingInstance", "Cpu", "Memory", "LatestVersion", "CurrentVersion",
		"Weight", "TrafficState", "SafetyLock", "WorkspaceId", "ServiceConfig", "Labels", "IntranetEndpoint"} {
		got[name] = a.body[name]
	}
	want := map[string]any{
		"Reason": "RUNNING", "Message": "Service start successfully", "TotalInstance": 2.0, "RunningInstance": 2.0, "PendingInstance": 0.0,
		"Cpu": 1.0, "Memory": 500.0, "LatestVersion": 1.0, "CurrentVersion": 1.0, "Weight": 100.0, "TrafficState": "standalone",
		"SafetyLock": "none", "WorkspaceId": "7", "IntranetEndpoint": s.PredictEndpoint() + "/api/predict/echo",
		"ServiceConfig": `{"name":"echo","processor_path":"file:///p.tar.gz","processor_entry":"libecho.so","processor_type":"cpp",` +
			`"metadata":{"instance":"2","cpu":1,"memory":500,"rpc":{"keepalive":"9000"}}}`,
		"Labels": []any{map[string]any{"LabelKey": "team", "LabelValue": "a"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("described (-want +got):\n%s", d)
	}
	token, err := base64.StdEncoding.DecodeString(a.text("AccessToken"))
	if err != nil || !regexp.MustCompile(`^[0-9a-f]{40}$`).Match(token) {
		t.Errorf("token %q", a.text("AccessToken"))
	}
}

func TestRefusedCalls(t *testing.T) {
	s := start(t, Options{Runner: &puppets{}})
	create(t, s, "echo", 1)
	becomes(t, s, "echo", "Running")
	tests := []struct {
		action, method, path, body string
		status                     int
		code, message              string
	}{
		{"CreateService", "POST", services, description("echo", 1, ""), 409, "InvalidService.AlreadyExists", "already exists"},
		{"CreateService", "POST", services, `{"name":"x"`, 400, "InvalidParameter", "service configuration"},
		{"CreateService", "POST", services, `{"name":"x","processor_path":"./local","processor_entry":"a.so","processor_type":"cpp","metadata":{"instance":1}}`, 400, "InvalidParameter", "local path"},
		{"CreateService", "POST", services, `{"name":"x","processor":"pmml","model_path":"oss://b/m.pmml","metadata":{}}`, 400, "InvalidParameter", "metadata.instance"},
		{"DescribeService", "GET", at("other"), "", 404, "InvalidService.NotFound", "[other]"},
		{"DescribeService", "GET", services + "/cn-beijing/echo", "", 400, "InvalidRegionId", "cn-beijing"},
		{"UpdateService", "PUT", at("echo"), `{"name":"other"}`, 400, "InvalidParameter", "cannot be changed"},
		{"UpdateService", "PUT", at("echo"), `[]`, 400, "InvalidParameter", ""},
		{"UpdateService", "PUT", at("echo") + "?UpdateType=patch", `{}`, 400, "InvalidParameter", "patch"},
		{"UpdateServiceVersion", "PUT", at("echo", "/version"), `{"Version":2}`, 400, "InvalidParameter", "1 to 1"},
		{"UpdateServiceVersion", "PUT", at("echo", "/version"), `{"Version":1}`, 400, "InvalidParameter", "already"},
		{"ScaleService", "PUT", at("echo", "/scale"), `{}`, 400, "InvalidParameter", "Instance"},
		{"ReleaseService", "PUT", at("echo", "/release"), `{"Weight":1001}`, 400, "InvalidParameter", "1001"},
		{"ReleaseService", "PUT", at("echo", "/release"), `{"TrafficState":"grouping"}`, 400, "InvalidParameter", "no group"},
		{"DeleteServiceInstances", "DELETE", at("echo", "/instances") + "?InstanceList=x", "", 400, "InvalidParameter", "[x]"},
		{"DescribeServiceLog", "GET", at("echo", "/logs") + "?StartTime=now", "", 400, "InvalidParameter", "StartTime"},
		{"DescribeServiceLog", "GET", at("echo", "/logs") + "?PageNum=0", "", 400, "InvalidParameter", "PageNum"},
		{"DescribeServiceAutoScaler", "GET", at("echo", "/autoscaler"), "", 404, "InvalidAutoScaler.NotFound", "echo"},
		{"CreateServiceAutoScaler", "POST", at("echo", "/autoscaler"), `{"min":3,"max":2,"scaleStrategies":[{"metricName":"qps","threshold":1}]}`, 400, "InvalidParameter", "min"},
		{"UpdateServiceSafetyLock", "PUT", at("echo", "/lock"), `{"Lock":"some"}`, 400, "InvalidParameter", "some"},
		{"DescribeGroup", "GET", "/api/v2/groups/cn-shanghai/g", "", 404, "InvalidGroup.NotFound", "[g]"},
		{"CloneService", "POST", at("echo", "/clone"), `{}`, 404, "InvalidAction.NotFound", "not found"},
	}
	for _, tt := range tests {
		a := do(t, s, tt.status, tt.action, tt.method, tt.path, tt.body)
		if a.text("Code") != tt.code || !strings.Contains(a.text("Message"), tt.message) {
			t.Errorf("%s %s: %v", tt.action, tt.body, a.body)
		}
	}
}

// picky is a runner that does not run everything.
type picky struct{ puppets }

func (*picky) Accept(d *service.Description) error {
	if len(d.Containers) > 0 {
		return errors.New("no containers")
	}
	return nil
}

func TestRefusedByTheRunner(t *testing.T) {
	s := start(t, Options{Runner: &picky{}})
	create(t, s, "echo", 1)
	becomes(t, s, "echo", "Running")
	for _, tt := range []struct{ action, method, path, body string }{
		{"CreateService", "POST", services, `{"name":"x","containers":[{"image":"r/i:1","port":80}],"metadata":{"instance":1}}`},
		{"UpdateService", "PUT", at("echo") + "?UpdateType=replace", `{"name":"echo","containers":[{"image":"r/i:1","port":80}],"metadata":{"instance":1}}`},
	} {
		a := do(t, s, 400, tt.action, tt.method, tt.path, tt.body)
		if a.text("Code") != "InvalidParameter" || !strings.HasSuffix(a.text("Message"), "cannot run on this control plane: no containers") {
			t.Errorf("%s: %v", tt.action, a.body)
		}
	}
	if got := do(t, s, 200, "DescribeService", "GET", at("echo"), ""); got.text("Status") != "Running" {
		t.Errorf("after an update that was refused: %v", got.body)
	}
}

// An update that fails leaves what served before, and the way back is open.
func TestFailedUpdate(t *testing.T) {
	p := &puppets{}
	s := start(t, Options{Runner: p})
	create(t, s, "echo", 2)
	token := becomes(t, s, "echo", "Running").text("AccessToken")
	p.set(func(spec Spec, report func(Report)) error {
		report(Report{Kind: Line, Text: "no such symbol"})
		return &Failure{Reason: "PROCESSOR_INVALID", Waiting: "CreateContainerError", Message: "the processor is broken", Final: true}
	})
	do(t, s, 200, "UpdateService", "PUT", at("echo"), `{"processor_entry":"libother.so"}`)
	a := becomes(t, s, "echo", "Failed")
	if a.text("Reason") != "PROCESSOR_INVALID" || !strings.Contains(a.text("Message"), "the processor is broken") ||
		a.int("CurrentVersion") != 2 || a.int("LatestVersion") != 2 || a.int("RunningInstance") != 2 {
		t.Errorf("after the failed update: %v", a.body)
	}
	if status, body := post(t, s, "echo", token, "x"); status != 200 || !strings.Contains(body, " v1 ") {
		t.Errorf("the version before does not serve: %d %s", status, body)
	}
	logs := do(t, s, 200, "DescribeServiceLog", "GET", at("echo", "/logs")+"?Keyword=symbol", "")
	if logs.int("TotalCount") == 0 {
		t.Error("what the broken instance wrote is lost")
	}
	p.set(nil)
	before := p.up()
	do(t, s, 200, "UpdateServiceVersion", "PUT", at("echo", "/version"), `{"Version":"1"}`)
	a = becomes(t, s, "echo", "Running")
	if a.int("CurrentVersion") != 1 || a.int("LatestVersion") != 2 {
		t.Errorf("after going back: %v", a.body)
	}
	if d := cmp.Diff(namesOf(before), namesOf(p.up())); d != "" {
		t.Errorf("going back to what runs starts nothing anew (-before +after):\n%s", d)
	}
}

func namesOf(list []*puppet) []string {
	var names []string
	for _, p := range list {
		names = append(names, p.spec.Instance)
	}
	return names
}

// The version before serves until the new one is ready.
func TestUpdateKeepsServing(t *testing.T) {
	p := &puppets{}
	s := start(t, Options{Runner: p})
	create(t, s, "echo", 1)
	token := becomes(t, s, "echo", "Running").text("AccessToken")
	hold, reached := make(chan struct{}), make(chan struct{})
	p.set(func(Spec, func(Report)) error { close(reached); <-hold; return nil })
	do(t, s, 200, "UpdateService", "PUT", at("echo"), `{"model_config":"x"}`)
	<-reached
	becomes(t, s, "echo", "Waiting")
	if _, body := post(t, s, "echo", token, "x"); !strings.Contains(body, " v1 ") {
		t.Errorf("while the new version starts: %s", body)
	}
	close(hold)
	becomes(t, s, "echo", "Running")
	if _, body := post(t, s, "echo", token, "x"); !strings.Contains(body, " v2 ") {
		t.Errorf("afterwards: %s", body)
	}
	eventually(t, "the old instance ends", func() bool { return len(p.up()) == 1 })
}

func TestVersions(t *testing.T) {
	s := start(t, Options{Runner: &puppets{}})
	create(t, s, "echo", 1)
	becomes(t, s, "echo", "Running")
	for _, body := range []string{
		`{"metadata":{"cpu":2}}`, `{"metadata":{"instance":2}}`, `{"labels":{"a":"b"}}`, `{"metadata":{"cpu":2}}`,
		`{"rpc.keepalive":7000}`,
	} {
		do(t, s, 200, "UpdateService", "PUT", at("echo"), body)
		becomes(t, s, "echo", "Running")
	}
	a := do(t, s, 200, "ListServiceVersions", "GET", at("echo", "/versions"), "")
	var ids []float64
	for _, v := range a.list("Versions") {
		ids = append(ids, v["ImageId"].(float64))
	}
	if d := cmp.Diff([]float64{3, 2, 1}, ids); d != "" {
		t.Errorf("versions (-want +got):\n%s", d)
	}
	if config := a.list("Versions")[0]["ServiceConfig"].(string); !strings.Contains(config, `"rpc":{"keepalive":7000}`) || !strings.Contains(config, `"cpu":2`) {
		t.Errorf("the merged configuration: %s", config)
	}
	a = do(t, s, 200, "ListServiceVersions", "GET", at("echo", "/versions")+"?PageNumber=2&PageSize=2", "")
	if got := a.list("Versions"); len(got) != 1 || a.int("TotalCount") != 3 {
		t.Errorf("the second page: %v", a.body)
	}
	do(t, s, 200, "UpdateService", "PUT", at("echo")+"?UpdateType=replace", description("echo", 1, ""))
	if a := becomes(t, s, "echo", "Running"); a.int("CurrentVersion") != 4 || a.int("Cpu") != 1 {
		t.Errorf("replaced: %v", a.body)
	}
}

func TestCrashes(t *testing.T) {
	clock := newHandClock()
	p := &puppets{}
	s := start(t, Options{Runner: p, Clock: clock})
	create(t, s, "echo", 1)
	becomes(t, s, "echo", "Running")
	one := p.up()[0]
	one.report(Report{Kind: Line, Text: "before the crash"})
	one.report(Report{Kind: Down, Last: &LastState{ExitCode: 139, Reason: "Error"}})
	if a := describe(t, s, "echo"); a.int("RunningInstance") != 0 {
		t.Errorf("while it is down: %v", a.body)
	}
	if status, body := post(t, s, "echo", one.spec.Token, ""); status != 503 || body != "no healthy upstream" {
		t.Errorf("a request meanwhile: %d %q", status, body)
	}
	one.report(Report{Kind: Ready, Endpoint: one.server.URL})
	one.end <- &Failure{Reason: "OOM_KILLED", Message: "gone", Last: &LastState{ExitCode: 137, Reason: "OOMKilled"}}
	var in map[string]any
	eventually(t, "it runs again", func() bool {
		if clock.asleep() {
			clock.move(time.Second)
		}
		in = do(t, s, 200, "ListServiceInstances", "GET", at("echo", "/instances"), "").list("Instances")[0]
		return in["ReadyProcesses"].(float64) == 1 && in["RestartCount"].(float64) == 2
	})
	last := in["LastState"].([]any)[0].(map[string]any)
	if last["exitCode"].(float64) != 137 || last["reason"] != "OOMKilled" {
		t.Errorf("last state: %v", last)
	}
	for query, want := range map[string][]string{
		"":               {"started " + one.spec.Instance},
		"?Previous=true": nil, // the life before wrote nothing
	} {
		var got []string
		for _, line := range do(t, s, 200, "DescribeServiceLog", "GET", at("echo", "/logs")+query, "").body["Logs"].([]any) {
			got = append(got, line.(string))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("logs %s (-want +got):\n%s", query, d)
		}
	}
	a := do(t, s, 200, "DescribeServiceEvent", "GET", at("echo", "/events")+"?EventType=Warning", "")
	if a.int("TotalCount") != 2 || !strings.Contains(a.list("Events")[0]["Message"].(string), "Instance crashed, please inspect instance log.") {
		t.Errorf("events: %v", a.body)
	}
}

func TestCreateFails(t *testing.T) {
	s := start(t, Options{Runner: &puppets{}})
	for reason, want := range map[string]struct{ service, instance, last string }{
		"oom":        {"OOM_KILLED", "CrashLoopBackOff", "OOMKilled"},
		"image-pull": {"IMAGE_PULL_FAILED", "ImagePullBackOff", ""},
		"resources":  {"RESOURCE_INSUFFICIENT", "Unschedulable", ""},
	} {
		s.Inject(Fault{Kind: CreateFails, Reason: reason})
		name := "f" + strings.ReplaceAll(reason, "-", "")
		create(t, s, name, 1)
		a := becomes(t, s, name, "Failed")
		in := do(t, s, 200, "ListServiceInstances", "GET", at(name, "/instances"), "").list("Instances")[0]
		last := ""
		if states := in["LastState"].([]any); len(states) > 0 {
			last = states[0].(map[string]any)["reason"].(string)
		}
		if a.text("Reason") != want.service || in["Reason"] != want.instance || last != want.last {
			t.Errorf("%s: service %s, instance %v, last %s", reason, a.text("Reason"), in["Reason"], last)
		}
		do(t, s, 200, "StartService", "PUT", at(name, "/start"), "")
		becomes(t, s, name, "Running")
	}
}

func TestFaults(t *testing.T) {
	s := start(t, Options{Runner: &puppets{}})
	for _, tt := range []struct {
		kind   FaultKind
		status int // -1: no answer
		code   string
		made   bool
	}{
		{InternalError, 500, "InternalError", false},
		{Unavailable, 503, "ServiceUnavailable", false},
		{Throttled, 429, "Throttling.User", false},
		{ResetBefore, -1, "", false},
		{ResetAfter, -1, "", true},
		{FailedAfter, 500, "InternalError", true},
		{Slow, 200, "", true},
	} {
		name := "s_" + strings.ReplaceAll(string(tt.kind), "-", "_")
		s.Inject(Fault{Kind: tt.kind, Action: "CreateService", Delay: time.Millisecond})
		a := send(t, newCall(t, s, "CreateService", "POST", services, description(name, 0, ""), testKey, nil))
		if a.status != tt.status || a.text("Code") != tt.code {
			t.Errorf("%s: answered %d %v", tt.kind, a.status, a.body)
		}
		there := send(t, newCall(t, s, "DescribeService", "GET", at(name), "", testKey, nil)).status == 200
		if there != tt.made {
			t.Errorf("%s: made %v, want %v", tt.kind, there, tt.made)
		}
	}
}

func TestFaultsOverHTTP(t *testing.T) {
	for _, open := range []bool{false, true} {
		s := start(t, Options{Runner: &puppets{}, Faults: open})
		resp, err := http.Post(s.Endpoint()+"/faults", "application/json", strings.NewReader(`{"kind":"unavailable"}`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if (resp.StatusCode == http.StatusNoContent) != open {
			t.Errorf("open %v: %s", open, resp.Status)
		}
		want := 200
		if open {
			want = 503
		}
		do(t, s, want, "ListServices", "GET", services, "")
		do(t, s, 200, "ListServices", "GET", services, "")
	}
}

func TestThrottling(t *testing.T) {
	clock := newHandClock()
	s := start(t, Options{Runner: &puppets{}, Clock: clock, Rate: 1, Burst: 2})
	var got []int
	for i := range 5 {
		if i == 4 {
			clock.move(time.Second)
		}
		got = append(got, send(t, newCall(t, s, "ListServices", "GET", services, "", testKey, nil)).status)
	}
	if d := cmp.Diff([]int{200, 200, 429, 429, 200}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestSafetyLock(t *testing.T) {
	s := start(t, Options{Runner: &puppets{}})
	create(t, s, "echo", 1)
	becomes(t, s, "echo", "Running")
	lock := func(level string) {
		do(t, s, 200, "UpdateServiceSafetyLock", "PUT", at("echo", "/lock"), `{"Lock":"`+level+`"}`)
	}
	lock("dangerous")
	do(t, s, 403, "DeleteService", "DELETE", at("echo"), "")
	do(t, s, 403, "StopService", "PUT", at("echo", "/stop"), "")
	do(t, s, 200, "UpdateServiceLabel", "PUT", at("echo", "/label"), `{"Labels":{"a":"1","b":"2"}}`)
	lock("all")
	do(t, s, 403, "UpdateService", "PUT", at("echo"), `{}`)
	lock("none")
	do(t, s, 200, "DeleteServiceLabel", "DELETE", at("echo", "/label")+"?Keys=a", "")
	if d := cmp.Diff([]any{map[string]any{"LabelKey": "b", "LabelValue": "2"}}, describe(t, s, "echo").body["Labels"]); d != "" {
		t.Errorf("labels (-want +got):\n%s", d)
	}
	do(t, s, 200, "DeleteService", "DELETE", at("echo"), "")
	gone(t, s, "echo")
}

func TestList(t *testing.T) {
	clock := newHandClock()
	s := start(t, Options{Runner: &puppets{}, Clock: clock})
	for i := range 5 {
		name := fmt.Sprintf("echo_%d", i)
		label := "odd"
		if i%2 == 0 {
			label = "even"
		}
		do(t, s, 200, "CreateService", "POST", services, description(name, 1, `,"labels":{"kind":"`+label+`"}`))
		becomes(t, s, name, "Running")
		clock.move(time.Second)
	}
	do(t, s, 200, "StopService", "PUT", at("echo_3", "/stop"), "")
	becomes(t, s, "echo_3", "Stopped")
	for query, want := range map[string][]string{
		"":                                    {"echo_4", "echo_3", "echo_2", "echo_1", "echo_0"},
		"?Order=asc":                          {"echo_0", "echo_1", "echo_2", "echo_3", "echo_4"},
		"?Sort=ServiceName&Order=desc":        {"echo_4", "echo_3", "echo_2", "echo_1", "echo_0"},
		"?PageNumber=2&PageSize=2":            {"echo_2", "echo_1"},
		"?PageNumber=9":                       nil,
		"?Filter=_1":                          {"echo_1"},
		"?ServiceName=echo":                   nil,
		"?ServiceStatus=Stopped":              {"echo_3"},
		"?Label=%7B%22kind%22%3A%22odd%22%7D": {"echo_3", "echo_1"},
	} {
		var got []string
		for _, d := range do(t, s, 200, "ListServices", "GET", services+query, "").list("Services") {
			got = append(got, d["ServiceName"].(string))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", query, d)
		}
	}
}

func TestDeleteInstances(t *testing.T) {
	p := &puppets{}
	s := start(t, Options{Runner: p})
	create(t, s, "echo", 2)
	becomes(t, s, "echo", "Running")
	before := namesOf(p.up())
	a := do(t, s, 200, "DeleteServiceInstances", "DELETE", at("echo", "/instances")+"?InstanceList="+before[0], "")
	if want := "Instance(s) [" + before[0] + "]  for service [echo] in region [cn-shanghai] was deleted successfully"; a.text("Message") != want {
		t.Errorf("says %q, want %q", a.text("Message"), want)
	}
	eventually(t, "another takes its place", func() bool {
		now := namesOf(p.up())
		return len(now) == 2 && slices.Contains(now, before[1]) && !slices.Contains(now, before[0])
	})
	becomes(t, s, "echo", "Running")
}

func TestAutoScaler(t *testing.T) {
	s := start(t, Options{Runner: &puppets{}})
	create(t, s, "echo", 1)
	becomes(t, s, "echo", "Running")
	path := at("echo", "/autoscaler")
	do(t, s, 404, "UpdateServiceAutoScaler", "PUT", path, `{"min":1,"max":2,"scaleStrategies":[{"metricName":"qps","threshold":10}]}`)
	a := do(t, s, 200, "CreateServiceAutoScaler", "POST", path, `{"min":1,"max":2,"scaleStrategies":[{"metricName":"qps","threshold":10}],"behavior":{"scaleDown":{"stabilizationWindowSeconds":300}}}`)
	if a.text("Message") != "Succeed to auto scale service [echo]" {
		t.Errorf("says %q", a.text("Message"))
	}
	do(t, s, 409, "CreateServiceAutoScaler", "POST", path, `{"min":1,"max":2,"scaleStrategies":[{"metricName":"qps","threshold":10}]}`)
	do(t, s, 200, "UpdateServiceAutoScaler", "PUT", path, `{"min":2,"max":5,"scaleStrategies":[{"metricName":"cpu","threshold":60}]}`)
	a = do(t, s, 200, "DescribeServiceAutoScaler", "GET", path, "")
	delete(a.body, "RequestId")
	want := map[string]any{
		"ServiceName": "echo", "MinReplica": 2.0, "MaxReplica": 5.0, "Behavior": map[string]any{}, "CurrentMetrics": []any{},
		"ScaleStrategies": []any{map[string]any{"metricName": "cpu", "threshold": 60.0}},
	}
	if d := cmp.Diff(want, a.body); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !describe(t, s, "echo").body["AutoscalerEnabled"].(bool) {
		t.Error("the service does not say that it is scaled")
	}
	do(t, s, 200, "DeleteServiceAutoScaler", "DELETE", path, "")
	do(t, s, 404, "DescribeServiceAutoScaler", "GET", path, "")
}

func TestLogsAndEvents(t *testing.T) {
	clock := newHandClock()
	p := &puppets{}
	s := start(t, Options{Runner: p, Clock: clock})
	create(t, s, "echo", 1)
	becomes(t, s, "echo", "Running")
	one := p.up()[0]
	clock.move(time.Hour)
	for i := range 5 {
		one.report(Report{Kind: Line, Text: fmt.Sprintf("line %d", i)})
		clock.move(time.Second)
	}
	for query, want := range map[string][]string{
		"?StartTime=2021-07-01%2001:00:01&EndTime=2021-07-01%2001:00:03": {"line 1", "line 2", "line 3"},
		"?Keyword=line&PageSize=2&PageNum=2":                             {"line 2", "line 3"},
		"?Keyword=line&PageSize=2&PageNum=4":                             nil,
		"?Keyword=line%204&InstanceName=" + one.spec.Instance:            {"line 4"},
		"?ContainerName=other":                                           nil,
	} {
		a := do(t, s, 200, "DescribeServiceLog", "GET", at("echo", "/logs")+query, "")
		var got []string
		for _, line := range a.body["Logs"].([]any) {
			got = append(got, line.(string))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", query, d)
		}
	}
	a := do(t, s, 200, "DescribeServiceEvent", "GET", at("echo", "/events"), "")
	first := a.list("Events")[0]
	want := map[string]any{
		"Time": "2021-07-01 00:00:00", "Type": "Normal", "Reason": "Creating", "Resource": "Service",
		"Message": `{"versionId":1,"message":"Service is now creating","availableInstance":0,"unavailableInstance":1}`,
	}
	if d := cmp.Diff(want, first); d != "" {
		t.Errorf("the first event (-want +got):\n%s", d)
	}
	all := a.int("TotalCount")
	a = do(t, s, 200, "DescribeServiceEvent", "GET", at("echo", "/events")+"?PageNum=2&PageSize=2", "")
	if len(a.list("Events")) != 2 || a.int("TotalCount") != all || a.int("TotalPageNum") != (all+1)/2 {
		t.Errorf("the second page: %v", a.body)
	}
	if a := do(t, s, 200, "DescribeServiceEvent", "GET", at("echo", "/events")+"?EndTime=2021-06-30%2000:00:00", ""); a.int("TotalCount") != 0 {
		t.Errorf("before there was anything: %v", a.body)
	}
}

func TestStateIsKept(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Runner: &puppets{}, StateDir: dir})
	create(t, s, "echo", 1)
	token := becomes(t, s, "echo", "Running").text("AccessToken")
	do(t, s, 200, "UpdateService", "PUT", at("echo"), `{"metadata":{"cpu":2}}`)
	becomes(t, s, "echo", "Running")
	create(t, s, "idle", 1)
	becomes(t, s, "idle", "Running")
	do(t, s, 200, "StopService", "PUT", at("idle", "/stop"), "")
	becomes(t, s, "idle", "Stopped")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = start(t, Options{Runner: &puppets{}, StateDir: dir})
	a := becomes(t, s, "echo", "Running")
	if a.text("AccessToken") != token || a.int("CurrentVersion") != 2 {
		t.Errorf("after a restart: %v", a.body)
	}
	if got := describe(t, s, "idle").text("Status"); got != "Stopped" {
		t.Errorf("what was stopped is %s", got)
	}
}

// post calls a service and returns its answer.
func post(t *testing.T, s *Server, path, token, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.PredictEndpoint()+"/api/predict/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func TestPrediction(t *testing.T) {
	p := &puppets{}
	s := start(t, Options{Runner: p})
	if status, body := post(t, s, "echo", "", ""); status != 404 || body != "" {
		t.Errorf("no service: %d %q", status, body)
	}
	create(t, s, "echo", 3)
	token := becomes(t, s, "echo", "Running").text("AccessToken")
	if status, _ := post(t, s, "echo", "wrong", ""); status != 401 {
		t.Errorf("wrong token: %d", status)
	}
	counts := map[string]int{}
	for range 9 {
		status, body := post(t, s, "echo/sub%2Fpath?x=1", token, "hello")
		name, rest, _ := strings.Cut(body, " ")
		if status != 200 || rest != "v1 /api/predict/echo/sub/path hello" {
			t.Fatalf("answered %d %q", status, body)
		}
		counts[name]++
	}
	for name, n := range counts {
		if n != 3 {
			t.Errorf("%s got %d requests of 9: %v", name, n, counts)
		}
	}
	do(t, s, 200, "StopService", "PUT", at("echo", "/stop"), "")
	becomes(t, s, "echo", "Stopped")
	if status, body := post(t, s, "echo", token, ""); status != 503 || body != "no healthy upstream" {
		t.Errorf("stopped: %d %q", status, body)
	}
}

func TestGroup(t *testing.T) {
	s := start(t, Options{Runner: &puppets{}})
	for _, name := range []string{"blue", "green"} {
		do(t, s, 200, "CreateService", "POST", services, description(name, 1, `,"metadata.group":"shop"`))
		becomes(t, s, name, "Running")
	}
	release := func(name, body string) {
		t.Helper()
		do(t, s, 200, "ReleaseService", "PUT", at(name, "/release"), body)
	}
	a := do(t, s, 200, "ReleaseService", "PUT", at("blue", "/release"), `{"Weight":75}`)
	if want := "Releasing service [blue] in region [cn-shanghai] with weight [75], service status: [Running]"; a.text("Message") != want {
		t.Errorf("says %q, want %q", a.text("Message"), want)
	}
	release("green", `{"Weight":25}`)
	token := do(t, s, 200, "DescribeGroup", "GET", "/api/v2/groups/cn-shanghai/shop", "").text("AccessToken")
	share := func() map[string]int {
		counts := map[string]int{}
		for range 20 {
			status, body := post(t, s, "shop", token, "x")
			if status != 200 {
				t.Fatalf("answered %d %q", status, body)
			}
			counts[strings.SplitN(body, "-", 2)[0]]++
		}
		return counts
	}
	if d := cmp.Diff(map[string]int{"blue": 15, "green": 5}, share()); d != "" {
		t.Errorf("by weight (-want +got):\n%s", d)
	}
	release("blue", `{"TrafficState":"standalone"}`)
	if d := cmp.Diff(map[string]int{"green": 20}, share()); d != "" {
		t.Errorf("with one of its own (-want +got):\n%s", d)
	}
	if status, _ := post(t, s, "shop", "wrong", ""); status != 401 {
		t.Errorf("wrong token: %d", status)
	}
	for _, name := range []string{"blue", "green"} {
		do(t, s, 200, "DeleteService", "DELETE", at(name), "")
		gone(t, s, name)
	}
	do(t, s, 404, "DescribeGroup", "GET", "/api/v2/groups/cn-shanghai/shop", "")
}
