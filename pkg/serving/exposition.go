package serving

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// exposition is a page of metrics in the text format of Prometheus, version
// 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/). It is
// written here because Prometheus's library for programs brings protocol buffers,
// which look methods up by name, so that the linker keeps every method of every
// type: the program was half as large again.
type exposition struct{ families []metricFamily }

// expositionType is the media type of an exposition.
const expositionType = "text/plain; version=0.0.4; charset=utf-8"

// metricFamily is a metric with all its samples.
type metricFamily struct {
	name, help, kind string
	samples          []sample
}

// sample is one line of a family.
type sample struct {
	suffix string // of the name, such as _bucket
	labels []label
	value  float64
}

// label is a name and a value that tell samples of one family apart.
type label struct{ name, value string }

func (e *exposition) counter(name, help string, value int64) {
	e.add(metricFamily{name, help, "counter", []sample{{value: float64(value)}}})
}

func (e *exposition) gauge(name, help string, value float64, labels ...label) {
	e.add(metricFamily{name, help, "gauge", []sample{{labels: labels, value: value}}})
}

// add adds a family, or the samples of one that is there. One without samples is
// left out.
func (e *exposition) add(f metricFamily) {
	if len(f.samples) == 0 {
		return
	}
	if i := slices.IndexFunc(e.families, func(have metricFamily) bool { return have.name == f.name }); i >= 0 {
		e.families[i].samples = append(e.families[i].samples, f.samples...)
		return
	}
	e.families = append(e.families, f)
}

// text writes the page, families by name.
func (e *exposition) text() []byte {
	slices.SortFunc(e.families, func(a, b metricFamily) int { return strings.Compare(a.name, b.name) })
	var b []byte
	for _, f := range e.families {
		b = append(b, "# HELP "+f.name+" "+helpText.Replace(f.help)+"\n# TYPE "+f.name+" "+f.kind+"\n"...)
		for _, s := range f.samples {
			b = append(b, f.name+s.suffix...)
			for i, l := range s.labels {
				b = append(b, "{,"[min(i, 1)])
				b = append(b, l.name+`="`+labelText.Replace(l.value)+`"`...)
			}
			if len(s.labels) > 0 {
				b = append(b, '}')
			}
			b = append(b, ' ')
			b = strconv.AppendFloat(b, s.value, 'g', -1, 64)
			b = append(b, '\n')
		}
	}
	return b
}

var (
	helpText  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelText = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// latencyBounds are the upper bounds of a histogram's buckets; a last bucket
// holds what took longer.
var latencyBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute,
}

// histogram counts times by their length.
type histogram struct {
	counts [len(latencyBounds) + 1]atomic.Int64
	sum    atomic.Int64 // nanoseconds
}

func (h *histogram) observe(took time.Duration) {
	i, _ := slices.BinarySearch(latencyBounds[:], took)
	h.counts[i].Add(1)
	h.sum.Add(int64(took))
}

// family is the histogram as a metric. The count is that of the buckets, so that
// they agree while others count.
func (h *histogram) family(name, help string) metricFamily {
	f := metricFamily{name: name, help: help, kind: "histogram"}
	sum := time.Duration(h.sum.Load())
	var total int64
	for i := range h.counts {
		total += h.counts[i].Load()
		bound := "+Inf"
		if i < len(latencyBounds) {
			bound = strconv.FormatFloat(latencyBounds[i].Seconds(), 'g', -1, 64)
		}
		f.samples = append(f.samples, sample{"_bucket", []label{{"le", bound}}, float64(total)})
	}
	f.samples = append(f.samples, sample{suffix: "_sum", value: sum.Seconds()}, sample{suffix: "_count", value: float64(total)})
	return f
}
