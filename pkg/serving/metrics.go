package serving

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// metrics counts what the gateway does. Counting must cost next to nothing,
// so the counters are plain atomics that are read when somebody asks.
type metrics struct {
	started  time.Time
	statuses [600]atomic.Int64 // answered requests by HTTP status
	latency  histogram
	received atomic.Int64 // bytes of request bodies
	sent     atomic.Int64 // bytes of answers
	deaths   atomic.Int64 // of workers
	gpus     *gpus        // nil: there are none
	window   window

	// What is counted elsewhere; see observe.
	dispatcher *dispatcher
	budget     *budget
	workers    int
}

func newMetrics() *metrics { return &metrics{started: time.Now()} }

// answered counts a request to the processor.
func (m *metrics) answered(status int, received, sent int, start, end time.Time) {
	took := end.Sub(start)
	if status >= 0 && status < len(m.statuses) {
		m.statuses[status].Add(1)
	}
	m.received.Add(int64(received))
	m.sent.Add(int64(sent))
	m.latency.observe(took)
	m.window.add(end, took)
}

func (m *metrics) death() { m.deaths.Add(1) }

// observe adds the numbers that live elsewhere.
func (m *metrics) observe(d *dispatcher, b *budget, workers int) {
	m.dispatcher, m.budget, m.workers = d, b, workers
}

// observeGPUs adds the use of the GPUs, where there are any.
func (m *metrics) observeGPUs(g *gpus) { m.gpus = g }

// expose returns all metrics as Prometheus reads them.
func (m *metrics) expose() []byte {
	var e exposition
	e.add(m.latency.family("eascmd_request_duration_seconds", "Time from a request's last byte to its answer, of requests to the processor."))
	requests := metricFamily{name: "eascmd_requests_total", help: "Requests to the processor, by the status of their answer.", kind: "counter"}
	for status := range m.statuses {
		if n := m.statuses[status].Load(); n > 0 {
			requests.samples = append(requests.samples, sample{labels: []label{{"status", strconv.Itoa(status)}}, value: float64(n)})
		}
	}
	e.add(requests)
	e.counter("eascmd_request_bytes_total", "Bytes of request bodies.", m.received.Load())
	e.counter("eascmd_response_bytes_total", "Bytes of answers.", m.sent.Load())
	e.counter("eascmd_worker_deaths_total", "Workers that died.", m.deaths.Load())
	if m.dispatcher != nil {
		queued, inflight, ready := m.dispatcher.load()
		e.gauge("eascmd_queued_requests", "Requests that wait for a worker.", float64(queued))
		e.gauge("eascmd_inflight_requests", "Requests at workers.", float64(inflight))
		e.gauge("eascmd_ready_workers", "Workers that take requests.", float64(ready))
		e.gauge("eascmd_workers", "Workers that should take requests.", float64(m.workers))
		e.gauge("eascmd_body_memory_bytes", "Bytes of bodies held in memory.", float64(m.budget.inUse()))
	}
	if m.gpus != nil {
		m.gpus.expose(&e)
	}
	return e.text()
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
