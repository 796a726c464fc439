// Package doctor looks at a machine and says what of it eascmd can use, what
// is wrong with the rest, and how to mend that.
//
// Everything is looked at at the same time, and nothing may keep the report
// waiting: a program or daemon that hangs becomes a line that says so. Nothing
// of the machine is changed but for what every run makes too: the directories
// of running services and the built host in the cache.
//
// The report is a promise to programs that read it: groups and names of checks
// stay as they are, and so do their order and the three states. New checks may
// come, and what does not apply to a machine is left out.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/engine/docker"
)

// State is how a check came out.
type State string

// The states. A failure leaves no engine that `eascmd test` could run a service
// on; whatever leaves one is a warning.
const (
	OK      State = "ok"
	Warning State = "warning"
	Failure State = "failure"
)

// Check is one line of a report.
type Check struct {
	Group string `json:"group"`
	Name  string `json:"name"`
	State State  `json:"state"`
	Found string `json:"found"`
	Fix   string `json:"fix"` // empty where the state is OK
}

// Report is what was found, in a fixed order.
type Report struct {
	Checks []Check `json:"checks"`
	OK     bool    `json:"ok"` // there is no failure
}

// Failures lists the checks that failed.
func (r Report) Failures() []Check {
	return slices.DeleteFunc(slices.Clone(r.Checks), func(c Check) bool { return c.State != Failure })
}

// Options say what is looked at beside the machine itself. The zero value is
// the usual.
type Options struct {
	// Config says which configuration file and profile are meant.
	Config config.Options

	// CABundle is a PEM file of certificates that are trusted too; may be empty.
	CABundle string

	// Docker says where a daemon is looked for.
	Docker docker.ConnectOptions

	// Limit is how long a check may take; 0 means 5 s.
	Limit time.Duration
}

// usualLimit is how long a check may take.
const usualLimit = 5 * time.Second

// early is the time that what a check waits for has, a little less than the
// check's own: it can then still say what gave no answer.
func early(limit time.Duration) time.Duration { return limit * 9 / 10 }

// slow is what to do where nothing better is known.
const slow = "run it again: this machine, or something on it, is slow"

// Make looks at this machine. It takes no longer than the limit, whatever hangs;
// its one error is that ctx has ended.
func Make(ctx context.Context, opts Options) (Report, error) {
	if opts.Limit <= 0 {
		opts.Limit = usualLimit
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return report(ctx, probes(ctx, thisMachine(), opts), opts.Limit, enginesOf(runtime.GOOS))
}

// engines is a set of engines.
type engines uint8

const (
	processEngine engines = 1 << iota
	dockerEngine
)

// enginesOf returns the engines that an operating system has for C and C++
// processors, which are Linux programs.
func enginesOf(goos string) engines {
	if goos == "linux" {
		return processEngine | dockerEngine
	}
	return dockerEngine
}

// finding is a line before it is settled whether a fault is a failure.
type finding struct {
	name  string
	state State // OK or Warning
	found string
	fix   string

	// breaks names the engines that cannot be used for this.
	breaks engines
}

func ok(name, format string, args ...any) finding {
	return finding{name: name, state: OK, found: fmt.Sprintf(format, args...)}
}

func warning(name, fix, format string, args ...any) finding {
	return finding{name: name, state: Warning, fix: fix, found: fmt.Sprintf(format, args...)}
}

// probe looks at one thing and finds a line or several, or none where it does
// not apply.
type probe struct {
	group, name string // name is that of the line if there is no answer
	breaks      engines
	fix         string // if there is no answer
	run         func(ctx context.Context) []finding
}

// report runs all probes at the same time and puts their findings in order.
func report(ctx context.Context, probes []probe, limit time.Duration, have engines) (Report, error) {
	late := time.NewTimer(limit)
	defer late.Stop()
	answers := make([]chan []finding, len(probes))
	for i, p := range probes {
		answers[i] = make(chan []finding, 1)
		go func() {
			ctx, cancel := context.WithTimeout(ctx, early(limit))
			defer cancel()
			answers[i] <- p.run(ctx)
		}()
	}
	found := make([][]finding, len(probes))
	tooLate := false
	for i, p := range probes {
		if !tooLate {
			select {
			case found[i] = <-answers[i]:
				continue
			case <-late.C:
				tooLate = true
			case <-ctx.Done():
				return Report{}, context.Cause(ctx)
			}
		}
		select {
		case found[i] = <-answers[i]:
		default:
			found[i] = []finding{{
				name: p.name, state: Warning, fix: cmp.Or(p.fix, slow), breaks: p.breaks,
				found: fmt.Sprintf("no answer within %v", limit),
			}}
		}
	}
	if ctx.Err() != nil {
		return Report{}, context.Cause(ctx)
	}
	return settle(probes, found, have), nil
}

// settle decides which faults are failures: those that leave no engine.
func settle(probes []probe, found [][]finding, have engines) Report {
	var broken engines
	for _, f := range slices.Concat(found...) {
		broken |= f.breaks
	}
	none := broken&have == have
	r := Report{Checks: []Check{}, OK: true}
	for i, p := range probes {
		for _, f := range found[i] {
			c := Check{Group: p.group, Name: f.name, State: f.state, Found: f.found, Fix: f.fix}
			if none && f.breaks&have != 0 {
				c.State, r.OK = Failure, false
			}
			r.Checks = append(r.Checks, c)
		}
	}
	return r
}

// probes lists all probes in the order of the report.
func probes(ctx context.Context, m *machine, opts Options) []probe {
	connect := connector(ctx, opts)
	return slices.Concat(
		dockerProbes(m, opts, connect),
		gpuProbes(m, opts, connect),
		buildingProbes(m),
		pythonProbes(m),
		javaProbes(m),
		processProbes(m),
		diskProbes(m),
		clockProbes(m, opts),
		networkProbes(m, opts),
		configProbes(opts),
	)
}
