package deploy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

func TestParseAutoscaler(t *testing.T) {
	up, down := 0, 300
	for _, tt := range []struct {
		text string
		want *Autoscaler
		err  string
	}{
		{text: `{"min":2,"max":5,"strategies":{"qps":10,"cpu":50.5}}`,
			want: &Autoscaler{Min: 2, Max: 5, Strategies: []Strategy{{Metric: "cpu", Threshold: 50.5}, {Metric: "qps", Threshold: 10}}}},
		{text: `{"min":2,"max":5,"scaleStrategies":[{"metricName":"qps","service":"other","threshold":10}],
		         "behavior":{"scaleUp":{"stabilizationWindowSeconds":0},"scaleDown":{"stabilizationWindowSeconds":300}}}`,
			want: &Autoscaler{Min: 2, Max: 5, Strategies: []Strategy{{Metric: "qps", Service: "other", Threshold: 10}}, ScaleUpDelay: &up, ScaleDownDelay: &down}},
		{text: `{"minimum":2}`, err: `f.json: json: unknown field "minimum"`},
		{text: `{"min":"2"}`, err: "f.json: "},
		{text: `{} {}`, err: "f.json: there is something after"},
		{text: ``, err: "f.json: EOF"},
	} {
		got, err := ParseAutoscaler("f.json", []byte(tt.text))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || fault.KindOf(err) != fault.Description {
				t.Errorf("%s: %v, want %q", tt.text, err, tt.err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got:\n%s", tt.text, err, diff)
		}
	}
}

func TestAutoscalerSet(t *testing.T) {
	ten := 10
	for _, tt := range []struct {
		settings string
		want     Autoscaler
		err      string
	}{
		{"min=2 max=6 strategies.qps=20",
			Autoscaler{Min: 2, Max: 6, Strategies: []Strategy{{Metric: "qps", Threshold: 20}, {Metric: "cpu", Threshold: 50}}}, ""},
		{"strategies.cpu= strategies.gpu[util]=0.5",
			Autoscaler{Min: 1, Max: 4, Strategies: []Strategy{{Metric: "qps", Threshold: 10}, {Metric: "gpu[util]", Threshold: 0.5}}}, ""},
		{"behavior.scaleUp.stabilizationWindowSeconds=10",
			Autoscaler{Min: 1, Max: 4, Strategies: []Strategy{{Metric: "qps", Threshold: 10}, {Metric: "cpu", Threshold: 50}}, ScaleUpDelay: &ten}, ""},
		{"strategies.none=", Autoscaler{Min: 1, Max: 4, Strategies: []Strategy{{Metric: "qps", Threshold: 10}, {Metric: "cpu", Threshold: 50}}}, ""},
		{"min", Autoscaler{}, "-Dmin: write -Dname=value"},
		{"min=x", Autoscaler{}, "-Dmin=x: a whole number is needed"},
		{"min=-1", Autoscaler{}, "-Dmin=-1: a whole number is needed"},
		{"strategies.=1", Autoscaler{}, `there is no rule "strategies."`},
		{"strategies.qps=0", Autoscaler{}, "a number above 0"},
		{"strategies.qps=NaN", Autoscaler{}, "a number above 0"},
		{"instances=1", Autoscaler{}, `there is no rule "instances"`},
	} {
		got := Autoscaler{Min: 1, Max: 4, Strategies: []Strategy{{Metric: "qps", Threshold: 10}, {Metric: "cpu", Threshold: 50}}}
		err := got.Set(strings.Fields(tt.settings)...)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || fault.KindOf(err) != fault.Usage {
				t.Errorf("%s: %v, want %q", tt.settings, err, tt.err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got:\n%s", tt.settings, err, diff)
		}
	}
}

func TestAutoscalerCheck(t *testing.T) {
	qps := []Strategy{{Metric: "qps", Threshold: 1}}
	for _, tt := range []struct {
		rules Autoscaler
		want  string
	}{
		{Autoscaler{Min: 0, Max: 1, Strategies: qps}, ""},
		{Autoscaler{Min: 3, Strategies: qps}, "largest number"},
		{Autoscaler{Min: 3, Max: 2, Strategies: qps}, "min is 3 and max 2"},
		{Autoscaler{Max: 1001, Strategies: qps}, "1000 at most"},
		{Autoscaler{Max: 2}, "no metric"},
		{Autoscaler{Max: 2, Strategies: []Strategy{{Metric: "qps"}}}, "above 0"},
	} {
		err := tt.rules.Check()
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || fault.KindOf(err) != fault.Usage) {
			t.Errorf("%+v: %v, want %q", tt.rules, err, tt.want)
		}
	}
}
