package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
)

func compact(t *testing.T, text json.RawMessage) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return b.String()
}

func TestPlanApply(t *testing.T) {
	const deployed = `{"name":"echo","token":"t","metadata":{"cpu":1,"instance":2,"shm_size":4}}`
	tests := []struct {
		name       string
		autoscaled bool
		wanted     string
		changes    []string // paths
		scale      bool
		replace    bool
		sent       string
	}{
		{name: "nothing", wanted: `{"name":"echo","metadata":{"cpu":1,"instance":2,"shm_size":4}}`},
		{name: "instances", wanted: `{"name":"echo","metadata":{"cpu":1,"instance":3,"shm_size":4}}`, changes: []string{"metadata.instance"}, scale: true},
		{name: "instances of an autoscaler", autoscaled: true, wanted: `{"name":"echo","metadata":{"cpu":1,"instance":3,"shm_size":4}}`},
		{name: "a field", wanted: `{"name":"echo","metadata":{"cpu":2,"instance":2,"shm_size":4}}`, changes: []string{"metadata.cpu"},
			sent: `{"name":"echo","metadata":{"cpu":2,"instance":2,"shm_size":4}}`},
		{name: "a field less", wanted: `{"name":"echo","metadata":{"cpu":1,"instance":2}}`, changes: []string{"metadata.shm_size"}, replace: true,
			sent: `{"metadata":{"cpu":1,"instance":2},"name":"echo","token":"t"}`},
		{name: "a field, autoscaled", autoscaled: true, wanted: `{"name":"echo","metadata":{"cpu":2,"instance":9,"shm_size":4}}`, changes: []string{"metadata.cpu"},
			sent: `{"metadata":{"cpu":2,"instance":2,"shm_size":4},"name":"echo"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := deploy.PlanApply(&deploy.Service{Name: "echo", Description: []byte(deployed), Autoscaled: test.autoscaled}, []byte(test.wanted))
			if err != nil {
				t.Fatal(err)
			}
			var paths []string
			for _, c := range p.Changes {
				paths = append(paths, c.Path)
			}
			if diff := cmp.Diff(test.changes, paths); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if p.Scale != test.scale || p.Update.Replace != test.replace {
				t.Errorf("scale %t, replace %t", p.Scale, p.Update.Replace)
			}
			if test.sent != "" && compact(t, p.Update.Description) != test.sent {
				t.Errorf("sent %s, want %s", compact(t, p.Update.Description), test.sent)
			}
		})
	}
}

func TestPlanIsIdempotent(t *testing.T) {
	p := newPlatform()
	running(t, p)
	for _, wanted := range []string{
		`{"name":"echo","metadata":{"cpu":4,"instance":1,"rpc.keepalive":"7"}}`,
		`{"metadata":{"name":"echo","cpu":"4","instance":3,"rpc":{"keepalive":7}}}`,
		`{"name":"echo","metadata":{"cpu":4,"instance":3}}`,
	} {
		for round := range 2 {
			s, err := p.Describe(t.Context(), "echo")
			if err != nil {
				t.Fatal(err)
			}
			plan, err := deploy.PlanApply(s, []byte(wanted))
			if err != nil {
				t.Fatal(err)
			}
			if (round == 0) != (len(plan.Changes) > 0) {
				t.Errorf("round %d of %s: changes %v", round, wanted, plan.Changes)
			}
			if _, err := plan.Do(t.Context(), p, deploy.SettleOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []string{"Update echo", "Scale echo", "Update echo"}
	if diff := cmp.Diff(want, p.calls); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPlanModify(t *testing.T) {
	s := &deploy.Service{Name: "echo", Description: []byte(echo)}
	for _, test := range []struct {
		settings []string
		changes  int
		scale    bool
	}{
		{[]string{"metadata.instance=3"}, 1, true},
		{[]string{"metadata.instance=3", "metadata.cpu=2"}, 2, false},
		{[]string{"metadata.instance=1"}, 0, false},
		{[]string{"metadata.rpc.keepalive=5000"}, 0, false}, // the default
	} {
		part, err := deploy.ParseSettings(test.settings)
		if err != nil {
			t.Fatal(err)
		}
		p, err := deploy.PlanModify(s, part)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Changes) != test.changes || p.Scale != test.scale || p.Update.Replace {
			t.Errorf("%v: %+v", test.settings, p)
		}
	}
}

func TestParseSettings(t *testing.T) {
	tests := []struct {
		settings []string
		want     string
	}{
		{[]string{"metadata.instance=10", "metadata.cpu=5"}, `{"metadata":{"cpu":5,"instance":10}}`},
		{[]string{"metadata.rpc.keepalive=5000"}, `{"metadata":{"rpc":{"keepalive":5000}}}`},
		{[]string{"rpc.worker_threads=3"}, `{"metadata":{"rpc":{"worker_threads":3}}}`},
		{[]string{"metadata.cuda=11.2"}, `{"metadata":{"cuda":"11.2"}}`},
		{[]string{"processor_path=oss://b/x.tar.gz"}, `{"processor_path":"oss://b/x.tar.gz"}`},
		{[]string{`model_entry="007"`}, `{"model_entry":"007"}`},
		{[]string{"uncompress=false"}, `{"uncompress":false}`},
		{[]string{"labels.team=search=1"}, `{"labels":{"team":"search=1"}}`},
		{[]string{`processor_envs=[{"name":"A","value":"1"}]`}, `{"processor_envs":[{"name":"A","value":"1"}]}`},
		{[]string{"unheard_of=1 2"}, `{"unheard_of":"1 2"}`},
	}
	for _, test := range tests {
		got, err := deploy.ParseSettings(test.settings)
		if err != nil {
			t.Errorf("%v: %v", test.settings, err)
			continue
		}
		if compact(t, got) != test.want {
			t.Errorf("%v: %s, want %s", test.settings, compact(t, got), test.want)
		}
	}
	for _, settings := range [][]string{{"metadata.instance"}, {"=1"}, {".name=x"}, {"metadata.=1"}, {"a..b=1"}, {"processor_envs[0].value=1"}, {"metadata.cpu=1", "metadata.cpu=2"}, {"metadata.gpu=null"}, {"metadata.cpu=many"}} {
		_, err := deploy.ParseSettings(settings)
		if err == nil || fault.KindOf(err) != fault.Usage || !strings.HasPrefix(err.Error(), "-D") {
			t.Errorf("%v: %v", settings, err)
		}
	}
}

func TestUpdateWithoutAnswer(t *testing.T) {
	broken := &deploy.Error{Operation: "UpdateService", Unsettled: true, Err: errors.New("connection reset")}
	quick := deploy.SettleOptions{Interval: time.Millisecond, Patience: 50 * time.Millisecond}
	for _, test := range []struct {
		name    string
		wanted  string
		arrives bool
	}{
		{"arrived", `{"name":"echo","metadata":{"cpu":2,"instance":1}}`, true},
		{"lost", `{"name":"echo","metadata":{"cpu":2,"instance":1}}`, false},
		{"a removal that is lost", `{"name":"echo","metadata":{"instance":1}}`, false},
	} {
		runTimeless(t, test.name, func(t *testing.T) {
			p := newPlatform()
			running(t, p)
			s, err := p.Describe(t.Context(), "echo")
			if err != nil {
				t.Fatal(err)
			}
			plan, err := deploy.PlanApply(s, []byte(test.wanted))
			if err != nil {
				t.Fatal(err)
			}
			if test.arrives {
				p.unanswered = broken
			} else {
				p.faults["Update"] = []error{broken}
			}
			_, err = plan.Do(t.Context(), p, quick)
			if test.arrives != (err == nil) {
				t.Errorf("error %v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), "was not changed") || !errors.Is(err, broken)) {
				t.Errorf("error %v", err)
			}
		})
	}
}
