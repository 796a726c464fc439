//go:build linux

package main

import (
	"context"
	"time"
)

// latency is what the open load measured, one element a run; in milliseconds.
type latency struct {
	RequestsPerSecond float64      `json:"requestsPerSecond"`
	Eascmd            []latencyRun `json:"eascmd"`
	Peer              []latencyRun `json:"peer"`
}

type latencyRun struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
	Late float64 `json:"late"` // p99 of how late the load itself was
}

func p50s(runs []latencyRun) []float64 {
	return pick(runs, func(r latencyRun) float64 { return r.P50 })
}
func p99s(runs []latencyRun) []float64 {
	return pick(runs, func(r latencyRun) float64 { return r.P99 })
}

func pick(runs []latencyRun, value func(latencyRun) float64) []float64 {
	result := make([]float64, len(runs))
	for i, r := range runs {
		result[i] = value(r)
	}
	return result
}

// measureLatency sends requests to both servers at the same rate.
func (b *bench) measureLatency(ctx context.Context, eascmd, peer *server, rate float64) (*latency, error) {
	l := &latency{RequestsPerSecond: rate}
	for run := range b.runs {
		b.say("latency at %.0f requests/s: run %d of %d", rate, run+1, b.runs)
		for i := range 2 {
			s, runs := eascmd, &l.Eascmd
			if (run+i)%2 == 1 {
				s, runs = peer, &l.Peer
			}
			r, err := b.openLoad(ctx, s, rate)
			if err != nil {
				return nil, err
			}
			*runs = append(*runs, r)
		}
	}
	return l, nil
}

func (b *bench) openLoad(ctx context.Context, s *server, rate float64) (latencyRun, error) {
	r, err := load{
		address: s.address, request: s.request(), answer: bodySize, connections: connections,
		requests: max(int(rate*b.duration.Seconds()), 1),
		interval: time.Duration(float64(time.Second) / rate),
	}.run(ctx)
	if err != nil {
		return latencyRun{}, err
	}
	return latencyRun{
		P50:  milliseconds(percentile(r.latencies, 0.5)),
		P99:  milliseconds(percentile(r.latencies, 0.99)),
		Max:  milliseconds(percentile(r.latencies, 1)),
		Late: milliseconds(percentile(r.late, 0.99)),
	}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
