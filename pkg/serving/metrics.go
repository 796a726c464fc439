package serving

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the gateway does. Counting must cost next to nothing,
// so the counters are plain atomics that a collector reads when it is asked.
type metrics struct {
	started  time.Time
	registry *prometheus.Registry
	statuses [600]atomic.Int64 // answered requests by HTTP status
	latency  prometheus.Histogram
	received atomic.Int64 // bytes of request bodies
	sent     atomic.Int64 // bytes of answers
	deaths   atomic.Int64 // of workers
	gpus     *gpus        // nil: there are none
	window   window
}

func newMetrics() *metrics {
	m := &metrics{
		started:  time.Now(),
		registry: prometheus.NewRegistry(),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "eascmd_request_duration_seconds",
			Help:    "Time from a request's last byte to its answer, of requests to the processor.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 600},
		}),
	}
	m.registry.MustRegister(m.latency)
	return m
}

// answered counts a request to the processor.
func (m *metrics) answered(status int, received, sent int, start, end time.Time) {
	took := end.Sub(start)
	if status >= 0 && status < len(m.statuses) {
		m.statuses[status].Add(1)
	}
	m.received.Add(int64(received))
	m.sent.Add(int64(sent))
	m.latency.Observe(took.Seconds())
	m.window.add(end, took)
}

func (m *metrics) death() { m.deaths.Add(1) }

// observe adds the numbers that live elsewhere.
func (m *metrics) observe(d *dispatcher, b *budget, workers int) {
	m.registry.MustRegister(&collector{m, d, b, workers})
}

// observeGPUs adds the use of the GPUs, where there are any.
func (m *metrics) observeGPUs(g *gpus) {
	if g != nil {
		m.gpus = g
		m.registry.MustRegister(g)
	}
}

// The collector's metrics.
var (
	descRequests = prometheus.NewDesc("eascmd_requests_total", "Requests to the processor, by the status of their answer.", []string{"status"}, nil)
	descReceived = prometheus.NewDesc("eascmd_request_bytes_total", "Bytes of request bodies.", nil, nil)
	descSent     = prometheus.NewDesc("eascmd_response_bytes_total", "Bytes of answers.", nil, nil)
	descQueued   = prometheus.NewDesc("eascmd_queued_requests", "Requests that wait for a worker.", nil, nil)
	descInflight = prometheus.NewDesc("eascmd_inflight_requests", "Requests at workers.", nil, nil)
	descReady    = prometheus.NewDesc("eascmd_ready_workers", "Workers that take requests.", nil, nil)
	descWorkers  = prometheus.NewDesc("eascmd_workers", "Workers that should take requests.", nil, nil)
	descDeaths   = prometheus.NewDesc("eascmd_worker_deaths_total", "Workers that died.", nil, nil)
	descMemory   = prometheus.NewDesc("eascmd_body_memory_bytes", "Bytes of bodies held in memory.", nil, nil)
)

// collector turns the counters into Prometheus's metrics.
type collector struct {
	m       *metrics
	d       *dispatcher
	b       *budget
	workers int
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range [...]*prometheus.Desc{descRequests, descReceived, descSent, descQueued, descInflight, descReady, descWorkers, descDeaths, descMemory} {
		ch <- desc
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	counter := func(desc *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(desc *prometheus.Desc, n int64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n))
	}
	for status := range c.m.statuses {
		if n := c.m.statuses[status].Load(); n > 0 {
			counter(descRequests, n, strconv.Itoa(status))
		}
	}
	queued, inflight, ready := c.d.load()
	counter(descReceived, c.m.received.Load())
	counter(descSent, c.m.sent.Load())
	counter(descDeaths, c.m.deaths.Load())
	gauge(descQueued, int64(queued))
	gauge(descInflight, int64(inflight))
	gauge(descReady, int64(ready))
	gauge(descWorkers, int64(c.workers))
	gauge(descMemory, c.b.inUse())
}

// monitor is the answer of /api/builtin/monitor: counters since the start.
func (m *metrics) monitor(d *dispatcher) any {
	queued, inflight, ready := d.load()
	statuses := make(map[string]int64)
	var total int64
	for status := range m.statuses {
		if n := m.statuses[status].Load(); n > 0 {
			statuses[strconv.Itoa(status)] = n
			total += n
		}
	}
	return struct {
		UptimeSeconds float64          `json:"uptime_seconds"`
		Requests      int64            `json:"requests"`
		Statuses      map[string]int64 `json:"statuses"`
		RequestBytes  int64            `json:"request_bytes"`
		ResponseBytes int64            `json:"response_bytes"`
		Queued        int              `json:"queued"`
		Inflight      int              `json:"inflight"`
		ReadyWorkers  int              `json:"ready_workers"`
		WorkerDeaths  int64            `json:"worker_deaths"`
		GPUs          []gpuUse         `json:"gpus,omitempty"`
	}{time.Since(m.started).Seconds(), total, statuses, m.received.Load(), m.sent.Load(), queued, inflight, ready, m.deaths.Load(), m.gpus.use()}
}

// realtime is the answer of /api/builtin/realtime_metrics: the last seconds.
func (m *metrics) realtime() any {
	qps, mean := m.window.rates(time.Now())
	return struct {
		QPS    float64 `json:"qps"`
		MeanRT float64 `json:"rt_ms"`
		Over   int     `json:"window_seconds"`
	}{qps, float64(mean) / float64(time.Millisecond), windowSeconds}
}

// window counts requests and their time over the last seconds, one cell a
// second. A cell is cleared when its second comes round again; a request that
// races with that may be lost to the count, which no one can see.
type window struct {
	mu    sync.Mutex
	cells [windowSeconds + 1]struct {
		second, requests, nanoseconds atomic.Int64
	}
}

const windowSeconds = 10

func (w *window) add(at time.Time, took time.Duration) {
	now := at.Unix()
	cell := &w.cells[now%int64(len(w.cells))]
	if cell.second.Load() != now {
		w.mu.Lock()
		if cell.second.Load() != now {
			cell.requests.Store(0)
			cell.nanoseconds.Store(0)
			cell.second.Store(now)
		}
		w.mu.Unlock()
	}
	cell.requests.Add(1)
	cell.nanoseconds.Add(int64(took))
}

// rates returns the requests a second and their mean time over the whole
// seconds before now.
func (w *window) rates(now time.Time) (qps float64, mean time.Duration) {
	current := now.Unix()
	var requests, nanoseconds int64
	for i := range w.cells {
		cell := &w.cells[i]
		if second := cell.second.Load(); second < current && second >= current-windowSeconds {
			requests += cell.requests.Load()
			nanoseconds += cell.nanoseconds.Load()
		}
	}
	if requests == 0 {
		return 0, 0
	}
	return float64(requests) / windowSeconds, time.Duration(nanoseconds / requests)
}
