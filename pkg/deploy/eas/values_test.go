package eas

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestValues(t *testing.T) {
	type all struct {
		Text     text
		Integer  integer
		Number   number
		No       denial
		Moment   moment
		Document document
		Event    eventText
	}
	day := time.Date(2021, 1, 29, 11, 13, 20, 0, time.UTC)
	tests := []struct {
		name, body string
		want       all
		fails      bool
	}{
		{name: "as promised", body: `{"Text":"a","Integer":1,"Number":0.5,"No":false,"Moment":"2021-01-29T11:13:20Z","Document":{"a":1},"Event":"happened"}`,
			want: all{"a", 1, 0.5, true, moment{day}, document(`{"a":1}`), "happened"}},
		{name: "in strings", body: `{"Text":"","Integer":" 1 ","Number":"0.5","No":"False","Moment":"2021-01-29 11:13:20","Document":" {\"a\":1} ","Event":"{\"message\":\"happened\"}"}`,
			want: all{"", 1, 0.5, true, moment{day}, document(`{"a":1}`), "happened"}},
		{name: "as other types", body: `{"Text":12,"Integer":2.0,"Number":3,"No":"unknown","Moment":"2021-01-29T19:13:20+08:00","Document":"not JSON","Event":"{\"other\":1}"}`,
			want: all{"12", 2, 3, false, moment{day}, document(`"not JSON"`), `{"other":1}`}},
		{name: "null", body: `{"Text":null,"Integer":null,"Number":null,"No":null,"Moment":null,"Document":null,"Event":null}`},
		{name: "empty", body: `{"Integer":"","Number":"","No":"","Moment":"","Document":"","Event":""}`},
		{name: "a time that is none", body: `{"Moment":"soon"}`},
		{name: "a number that is none", body: `{"Integer":"many"}`, fails: true},
		{name: "half a number", body: `{"Integer":1.5}`, fails: true},
		{name: "an object for a number", body: `{"Number":{}}`, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got all
			if err := json.Unmarshal([]byte(tt.body), &got); (err != nil) != tt.fails {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); !tt.fails && diff != "" {
				t.Errorf("value (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzAnswers reads what nobody promised. It is to be refused or read, and what
// is read is to be JSON again where it is shown as such.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(serviceBody))
	f.Add([]byte(`{"Instances":[{"LastState":[{"exitCode":"1"}]},{"LastState":"{}"},{"LastState":"\"x\""}]}`))
	f.Add([]byte(`{"Events":[{"Message":"{\"message\":{}}","Time":""}],"Logs":[1,null,"x\n"]}`))
	f.Add([]byte(`{"Versions":[{"ServiceConfig":"{","ImageId":"-1"}],"TotalCount":"1e9"}`))
	f.Add([]byte(`{"ScaleStrategies":[{"threshold":"x"}],"Behavior":{"scaleUp":null}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var s serviceAnswer
		if json.Unmarshal(body, &s) == nil {
			if _, err := json.Marshal(s.deploy()); err != nil {
				t.Errorf("service: %v", err)
			}
		}
		var i instancePage
		if json.Unmarshal(body, &i) == nil {
			for _, instance := range i.Instances {
				instance.LastState.last()
			}
		}
		for _, into := range []any{new(eventPage), new(logPage), new(versionPage), new(autoscalerAnswer), new(refusal)} {
			if err := json.Unmarshal(body, into); err == nil && !json.Valid(body) {
				t.Errorf("%T read what is no JSON", into)
			}
		}
	})
}
