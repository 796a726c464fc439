package serving

import (
	"strings"
	"testing"

	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

func TestPropertiesThatTheProgramSets(t *testing.T) {
	s := ready(t, func(p *runplan.Plan, _ *timings) { p.Given = []string{"rpc.max_queue_size"} })
	s.post("put rpc.keepalive=300 own.thing=7 rpc.http.default_headers=Content-Type:application/json")
	eventually(t, "they are shown", func() bool {
		text := s.do(s.request("GET", "/api/builtin/prop", "")).body
		return strings.Contains(text, `"rpc.keepalive": "300"`) && strings.Contains(text, `"own.thing": "7"`)
	})
	if a := s.post("sleep 1000"); a.status != 408 {
		t.Errorf("%+v", a)
	}
	if a := s.post("x"); a.header.Get("Content-Type") != "application/json" {
		t.Errorf("%+v", a)
	}
	for body, want := range map[string]string{
		"put rpc.keepalive=soon":         `sets rpc.keepalive to "soon", which is no number`,
		"put rpc.worker_threads=0":       "which is no number from 1",
		"put rpc.token=mine":             "a token is taken from the service description alone",
		"put rpc.max_queue_size=1":       "the service description or the command line says",
		"put rpc.rate_limit=99999999999": "which is no number",
	} {
		s.post(body)
		s.wait(body, func(e event.Event) bool { return e.Type == event.Warning && strings.Contains(e.Message, want) })
	}
	s.post("put rpc.rate_limit=1")
	eventually(t, "the rate is limited", func() bool { return s.post("x").status == 429 })
	if text := s.do(s.request("GET", "/api/builtin/prop", "")).body; strings.Contains(text, "mine") {
		t.Errorf("%s", text)
	}
}
