//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/pkg/runplan"
)

// instructions are those of one request in user space; 0 where they were not
// counted.
type instructions struct {
	Requests int     `json:"requests"` // counted over so many and twice as many
	Gateway  float64 `json:"gateway"`
	Host     float64 `json:"host"`
	Nginx    float64 `json:"nginx,omitempty"`
}

// measureInstructions has valgrind count instructions. Its tool is cachegrind
// with the simulation of caches off, which counts the same event as callgrind;
// callgrind itself stops at the first signal that a Go program handles.
func (b *bench) measureInstructions(ctx context.Context) error {
	result := &instructions{Requests: b.requests}
	counted := []struct {
		name  string
		to    *float64
		start func(name string, wrapper []string) (*server, error)
	}{
		{"gateway", &result.Gateway, func(name string, wrapper []string) (*server, error) {
			// The runtime's preemption works by signals, which valgrind delivers late.
			return b.serve(ctx, name, wrapper, []string{"GODEBUG=asyncpreemptoff=1"}, func(*runplan.Plan) {})
		}},
		{"host", &result.Host, func(name string, wrapper []string) (*server, error) {
			return b.serve(ctx, name, nil, nil, func(p *runplan.Plan) {
				p.Worker.Command = append(wrapper, p.Worker.Command...)
			})
		}},
		{"nginx", &result.Nginx, func(name string, wrapper []string) (*server, error) {
			return b.nginx(ctx, name, wrapper, 0)
		}},
	}
	for _, c := range counted {
		if c.name == "nginx" && !b.has("nginx") {
			continue
		}
		b.say("instructions: %s", c.name)
		counts := [2]int64{}
		for i := range counts {
			n, err := b.count(ctx, fmt.Sprintf("%s-under-valgrind-%d", c.name, i+1), (i+1)*b.requests, c.start)
			if err != nil {
				return err
			}
			counts[i] = n
		}
		// What start and end cost is in both.
		*c.to = float64(counts[1]-counts[0]) / float64(b.requests)
	}
	b.figures.Instructions = result
	return nil
}

// count returns the instructions of a server's whole life with so many
// requests.
func (b *bench) count(ctx context.Context, name string, requests int, start func(string, []string) (*server, error)) (int64, error) {
	profile := b.path(name + ".profile")
	s, err := start(name, []string{b.programs["valgrind"], "--tool=cachegrind", "--cache-sim=no",
		"--cachegrind-out-file=" + profile, "--log-file=" + b.path(name+".valgrind.log")})
	if err != nil {
		return 0, err
	}
	_, err = load{address: s.address, request: s.request(), answer: bodySize, connections: connections, requests: requests}.run(ctx)
	if err = errors.Join(err, s.end()); err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	text, err := os.ReadFile(profile)
	if err != nil {
		return 0, err
	}
	n, err := parseSummary(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Base(profile), err)
	}
	return n, nil
}

// parseSummary finds the sum of a profile by cachegrind.
func parseSummary(text []byte) (int64, error) {
	for line := range bytes.Lines(text) {
		if value, ok := strings.CutPrefix(string(line), "summary:"); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, errors.New("no summary in the profile")
}
