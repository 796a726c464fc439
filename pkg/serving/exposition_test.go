package serving

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// TestExposition reads the page with Prometheus's own parser.
func TestExposition(t *testing.T) {
	m := newMetrics()
	now := time.Now()
	for _, took := range []time.Duration{0, 100 * time.Microsecond, 101 * time.Microsecond, 3 * time.Second, time.Hour} {
		m.answered(200, 10, 20, now, now.Add(took))
	}
	m.answered(450, 1, 0, now, now.Add(time.Millisecond))
	m.death()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(m.expose()))
	if err != nil {
		t.Fatalf("%v\n%s", err, m.expose())
	}
	counter := func(name, status string) float64 {
		for _, metric := range families[name].GetMetric() {
			if len(metric.Label) == 0 && status == "" || len(metric.Label) == 1 && metric.Label[0].GetName() == "status" && metric.Label[0].GetValue() == status {
				return metric.Counter.GetValue()
			}
		}
		t.Errorf("no %s of status %q", name, status)
		return math.NaN()
	}
	got := []float64{
		counter("eascmd_requests_total", "200"), counter("eascmd_requests_total", "450"),
		counter("eascmd_request_bytes_total", ""), counter("eascmd_response_bytes_total", ""), counter("eascmd_worker_deaths_total", ""),
	}
	if diff := cmp.Diff([]float64{5, 1, 51, 100, 1}, got); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
	latency := families["eascmd_request_duration_seconds"].GetMetric()[0].Histogram
	buckets := map[float64]uint64{}
	for _, b := range latency.Bucket {
		buckets[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	for bound, want := range map[float64]uint64{.0001: 2, .00025: 3, .001: 4, 2.5: 4, 5: 5, 600: 5, math.Inf(1): 6} {
		if buckets[bound] != want {
			t.Errorf("%d requests took up to %g s, want %d", buckets[bound], bound, want)
		}
	}
	if got := latency.GetSampleSum(); latency.GetSampleCount() != 6 || math.Abs(got-3603.001201) > 1e-9 {
		t.Errorf("%d requests took %v s", latency.GetSampleCount(), got)
	}
}

// TestExpositionText: names of GPUs are not ours and are kept apart from the
// page's own marks.
func TestExpositionText(t *testing.T) {
	var e exposition
	e.gauge("b", "two\nlines \\", 1.5, label{"name", "a \"b\"\\\n"}, label{"uuid", ""})
	e.add(metricFamily{name: "never", kind: "counter"})
	e.gauge("b", "two\nlines \\", 1e21)
	e.counter("a", "first", 1<<53)
	want := strings.Join([]string{
		"# HELP a first", "# TYPE a counter", "a 9.007199254740992e+15",
		`# HELP b two\nlines \\`, "# TYPE b gauge", `b{name="a \"b\"\\\n",uuid=""} 1.5`, "b 1e+21", "",
	}, "\n")
	if diff := cmp.Diff(want, string(e.text())); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	if _, err := parser.TextToMetricFamilies(strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
