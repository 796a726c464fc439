//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/openeas/eascmd/pkg/runplan"
)

// turn is one server's turn in a round.
type turn struct {
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	CPUMicroseconds   float64 `json:"cpuMicroseconds"` // of all its processes, of a request
	HostMicroseconds  float64 `json:"hostMicroseconds,omitempty"`
}

// throughput holds the turns of each server, in the order of the rounds.
type throughput struct {
	Five  []turn `json:"fiveThreads"`
	One   []turn `json:"oneThread"`
	Nginx []turn `json:"nginx,omitempty"`
}

// column takes one value of each turn.
func column[T any](turns []T, value func(T) float64) []float64 {
	result := make([]float64, len(turns))
	for i, t := range turns {
		result[i] = value(t)
	}
	return result
}

func perSecond(t turn) float64    { return t.RequestsPerSecond }
func perCPUSecond(t turn) float64 { return 1e6 / t.CPUMicroseconds }

// resident is the memory of a server's processes, in bytes.
type resident struct {
	Front int64 `json:"front"` // the gateway, or all of nginx
	Host  int64 `json:"host,omitempty"`
}

func (s *server) resident() (resident, error) {
	front, err := memory(s.front...)
	host, hostErr := memory(s.host...)
	return resident{front, host}, errors.Join(err, hostErr)
}

// memoryFigures are taken before the first request of a load and after the
// last.
type memoryFigures struct {
	Rest       resident `json:"rest"`
	Loaded     resident `json:"loaded"`
	NginxRest  resident `json:"nginxRest"`
	NginxAfter resident `json:"nginxLoaded"`
}

// measureServed measures what needs running servers: throughput, memory, then
// latency at half of that throughput.
func (b *bench) measureServed(ctx context.Context) (err error) {
	end := func(s *server) { err = errors.Join(err, s.end()) }
	five, err := b.serve(ctx, "five", nil, nil, func(p *runplan.Plan) { p.Worker.Threads = 5 })
	if err != nil {
		return err
	}
	defer end(five)
	one, err := b.serve(ctx, "one", nil, nil, func(p *runplan.Plan) { p.Worker.Threads = 1 })
	if err != nil {
		return err
	}
	defer end(one)
	var nginx *server
	if b.has("nginx") {
		if nginx, err = b.nginx(ctx, "nginx", nil, 2); err != nil {
			return err
		}
		defer end(nginx)
	}
	m := &memoryFigures{}
	take := func(ours, theirs *resident) error {
		var err, nginxErr error
		*ours, err = five.resident()
		if nginx != nil {
			*theirs, nginxErr = nginx.resident()
		}
		return errors.Join(err, nginxErr)
	}
	if err := take(&m.Rest, &m.NginxRest); err != nil {
		return err
	}
	if !b.has("wrk") {
		return nil
	}
	if err := b.measureThroughput(ctx, five, one, nginx); err != nil {
		return err
	}
	if err := take(&m.Loaded, &m.NginxAfter); err != nil {
		return err
	}
	b.figures.Memory = m
	if nginx == nil {
		return nil
	}
	// Half of the most that has just been seen of it.
	rate := median(column(b.figures.Throughput.Five, perSecond)) / 2
	b.figures.Latency, err = b.measureLatency(ctx, five, nginx, rate)
	return err
}

func (b *bench) measureThroughput(ctx context.Context, five, one, nginx *server) error {
	t := &throughput{}
	entries := []contender{{five, &t.Five}, {one, &t.One}}
	if nginx != nil {
		entries = append(entries, contender{nginx, &t.Nginx})
	}
	if err := b.compete(ctx, "throughput", usualLoad, entries); err != nil {
		return err
	}
	b.figures.Throughput = t
	return nil
}

// closedLoad is what wrk does: on each connection the next request follows the
// answer.
type closedLoad struct {
	connections int
	body        int // length of a request's body, and of its answer's
}

var usualLoad = closedLoad{connections, bodySize}

// contender is a server and where its turns go.
type contender struct {
	server *server
	turns  *[]turn
}

// compete lets all servers have their turns, round by round.
func (b *bench) compete(ctx context.Context, what string, l closedLoad, entries []contender) error {
	for _, e := range entries { // connections, buffers and caches are made outside the rounds
		if _, err := b.wrk(ctx, e.server, l, time.Second); err != nil {
			return err
		}
	}
	for round := range b.rounds {
		b.say("%s: round %d of %d", what, round+1, b.rounds)
		for i := range entries { // nobody is always the first
			e := entries[(round+i)%len(entries)]
			turn, err := b.takeTurn(ctx, e.server, l)
			if err != nil {
				return err
			}
			*e.turns = append(*e.turns, turn)
		}
	}
	return nil
}

func (b *bench) takeTurn(ctx context.Context, s *server, l closedLoad) (turn, error) {
	measure := func() (all, host time.Duration, err error) {
		all, err = cpuTime(s.pids())
		host, hostErr := cpuTime(s.host)
		return all, host, errors.Join(err, hostErr)
	}
	all, host, err := measure()
	if err != nil {
		return turn{}, err
	}
	result, err := b.wrk(ctx, s, l, b.duration)
	if err != nil {
		return turn{}, err
	}
	allAfter, hostAfter, err := measure()
	if err != nil {
		return turn{}, err
	}
	n := float64(result.Requests)
	return turn{
		RequestsPerSecond: n / result.seconds(),
		CPUMicroseconds:   float64((allAfter - all).Microseconds()) / n,
		HostMicroseconds:  float64((hostAfter - host).Microseconds()) / n,
	}, nil
}

// wrkResult is the line that testdata/wrk.lua prints.
type wrkResult struct {
	Requests     int64 `json:"requests"`
	Bytes        int64 `json:"bytes"` // that were read, heads included
	Microseconds int64 `json:"microseconds"`
	Connect      int   `json:"connect"` // the errors, by where they happened
	Read         int   `json:"read"`
	Write        int   `json:"write"`
	Status       int   `json:"status"`
	Timeout      int   `json:"timeout"`
}

func (r *wrkResult) seconds() float64 { return float64(r.Microseconds) / 1e6 }

// parseWrk finds the result in wrk's output. A result with errors is none:
// refused requests are answered fast.
func parseWrk(out []byte) (*wrkResult, error) {
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		text, ok := bytes.CutPrefix(lines.Bytes(), []byte("result "))
		if !ok {
			continue
		}
		var r wrkResult
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("wrk: %w", err)
		}
		if r.Requests == 0 || r.Microseconds == 0 || r.Connect+r.Read+r.Write+r.Status+r.Timeout > 0 {
			return nil, fmt.Errorf("wrk: requests failed: %s", text)
		}
		return &r, nil
	}
	return nil, errors.New("wrk printed no result")
}

func (b *bench) wrk(ctx context.Context, s *server, l closedLoad, duration time.Duration) (*wrkResult, error) {
	out, err := output(ctx, b.dir, nil, b.programs["wrk"], "-t1", "-c", strconv.Itoa(l.connections), "-d", strconv.Itoa(int(duration.Seconds())),
		"-s", b.path("testdata", "wrk.lua"), s.url(), "--", token, strconv.Itoa(l.body))
	if err != nil {
		return nil, err
	}
	result, err := parseWrk(out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	if result.Bytes < result.Requests*int64(l.body) {
		return nil, fmt.Errorf("%s: %d answers have %d bytes; their bodies alone are to have %d each", s.name, result.Requests, result.Bytes, l.body)
	}
	return result, nil
}
