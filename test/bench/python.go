//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/openeas/eascmd/pkg/runplan"
)

// pythonFigures are what was measured of Python services.
type pythonFigures struct {
	Versions map[string]string `json:"versions"`
	Echo     []pythonEcho      `json:"echo,omitempty"`
	Latency  *latency          `json:"latency,omitempty"`
	Memory   *pythonMemory     `json:"memory,omitempty"`
	Starts   *pythonStarts     `json:"starts,omitempty"`
	Projects *projects         `json:"projects,omitempty"`
}

// pythonEcho holds the turns of each server under one load.
type pythonEcho struct {
	Connections int    `json:"connections"`
	Body        int    `json:"body"`
	Eascmd      []turn `json:"eascmd"`
	OneThread   []turn `json:"oneThread,omitempty"` // a service with one worker thread
	Uvicorn     []turn `json:"uvicorn,omitempty"`
	FastAPI     []turn `json:"fastAPI,omitempty"`
}

// pythonMemory is taken after the loads.
type pythonMemory struct {
	Eascmd  resident `json:"eascmd"`
	Uvicorn resident `json:"uvicorn"`
	FastAPI resident `json:"fastAPI"`
}

// The loads under which Python services are compared.
const (
	manyConnections = 64
	bigBody         = 1 << 20
	bigConnections  = 4
)

func (b *bench) measurePython(ctx context.Context) error {
	if b.interpreter == nil {
		return nil
	}
	f := &pythonFigures{}
	var err error
	if f.Versions, err = b.peerVersions(ctx, "uvicorn", "uvloop", "httptools", "fastapi"); err != nil {
		return err
	}
	b.figures.Python = f
	err = b.measureProjects(ctx)
	if ctx.Err() == nil && b.has("wrk") {
		err = errors.Join(err, b.measurePythonServed(ctx))
	}
	return err
}

// pythonServers are those that are measured; a peer that cannot be had is nil.
type pythonServers struct {
	eascmd, oneThread, uvicorn, fastAPI *server
}

// measurePythonServed measures running services: ours, on as many threads as
// are usual and on one, and the peers, all on the same interpreter and each with
// a single process that runs Python.
func (b *bench) measurePythonServed(ctx context.Context) (err error) {
	var s pythonServers
	defer func() {
		for _, server := range []*server{s.eascmd, s.oneThread, s.uvicorn, s.fastAPI} {
			if server != nil {
				err = errors.Join(err, server.end())
			}
		}
	}()
	if err := b.startPython(ctx, &s); err != nil {
		return err
	}
	f := b.figures.Python
	for _, l := range []struct {
		what string
		closedLoad
	}{
		{"Python echo", usualLoad},
		{"Python echo, many connections", closedLoad{manyConnections, bodySize}},
		{"Python echo, big bodies", closedLoad{bigConnections, bigBody}},
	} {
		e := pythonEcho{Connections: l.connections, Body: l.body}
		entries := []contender{{s.eascmd, &e.Eascmd}}
		if l.closedLoad == usualLoad {
			entries = append(entries, contender{s.oneThread, &e.OneThread})
		}
		if s.uvicorn != nil {
			entries = append(entries, contender{s.uvicorn, &e.Uvicorn})
			entries = append(entries, contender{s.fastAPI, &e.FastAPI})
		}
		if err := b.compete(ctx, l.what, l.closedLoad, entries); err != nil {
			return err
		}
		f.Echo = append(f.Echo, e)
	}
	if f.Memory, err = s.memory(); err != nil || s.uvicorn == nil {
		return err
	}
	// Half of what the slower of the two answers at most.
	usual := f.Echo[0]
	rate := min(median(column(usual.Eascmd, perSecond)), median(column(usual.Uvicorn, perSecond))) / 2
	f.Latency, err = b.measureLatency(ctx, s.eascmd, s.uvicorn, rate)
	return err
}

func (b *bench) startPython(ctx context.Context, s *pythonServers) error {
	// Without an ENV of its own a processor runs in the active environment: the
	// peers' own, so that the interpreter is the same file.
	active := "PATH=" + filepath.Dir(b.interpreter.Path) + ":" + os.Getenv("PATH")
	if b.venv != "" {
		active = "VIRTUAL_ENV=" + b.venv
	}
	plan, err := b.planOf(ctx, b.path("testdata", "python", "app.json"), b.environment(active))
	if err != nil {
		return err
	}
	if s.eascmd, err = b.servePython(ctx, "python", *plan, 0); err != nil {
		return err
	}
	if s.oneThread, err = b.servePython(ctx, "python-one", *plan, 1); err != nil {
		return err
	}
	if b.venv == "" {
		return nil
	}
	if s.uvicorn, err = b.uvicorn(ctx, "bare"); err != nil {
		return err
	}
	s.fastAPI, err = b.uvicorn(ctx, "framework")
	return err
}

// servePython starts the gateway on the plan, with so many threads; with 0 those
// that the plan has.
func (b *bench) servePython(ctx context.Context, name string, plan runplan.Plan, threads int) (*server, error) {
	if threads > 0 {
		plan.Worker.Threads = threads
	}
	return b.servePlan(ctx, name, nil, nil, &plan)
}

// uvicornCommand serves an application of testdata/python with one process.
func (b *bench) uvicornCommand(module, address string) []string {
	host, port, _ := net.SplitHostPort(address)
	return []string{venvProgram(b.venv, "python"), "-m", "uvicorn", "--app-dir", b.path("testdata", "python"),
		"--host", host, "--port", port, "--workers", "1", "--loop", "uvloop", "--http", "httptools",
		"--lifespan", "off", "--ws", "none", "--no-access-log", "--log-level", "warning", module + ":app"}
}

func (b *bench) uvicorn(ctx context.Context, module string) (*server, error) {
	return b.startPeer(ctx, module, b.environment(), syscall.SIGTERM, func(address string) []string {
		return b.uvicornCommand(module, address)
	})
}

func (s *pythonServers) memory() (*pythonMemory, error) {
	m := &pythonMemory{}
	var err error
	for _, of := range []struct {
		server *server
		to     *resident
	}{{s.eascmd, &m.Eascmd}, {s.uvicorn, &m.Uvicorn}, {s.fastAPI, &m.FastAPI}} {
		if of.server != nil {
			r, e := of.server.resident()
			*of.to, err = r, errors.Join(err, e)
		}
	}
	return m, err
}

// pythonStarts are times until the first answer, in milliseconds.
type pythonStarts struct {
	Eascmd  []float64 `json:"eascmd"`  // of a project with an ENV of its own
	Uvicorn []float64 `json:"uvicorn"` // of the application without a framework
	FastAPI []float64 `json:"fastAPI"`
	Bare    []float64 `json:"bare"` // of an interpreter that does nothing, until it has ended
}

// projects are times of making a project with an environment, in seconds.
type projects struct {
	Init []float64 `json:"init"` // by eascmd, with a copy of the interpreter
	Venv []float64 `json:"venv"` // by python -m venv, which links to it
}

// projectsMade is how often one is made; each is a copy of a whole Python.
const projectsMade = 3

// measureProjects measures how long it takes to make a project, and to the first
// answer of one.
func (b *bench) measureProjects(ctx context.Context) error {
	p := &projects{}
	times := min(projectsMade, b.repeats)
	b.say("pysdk init, %d times", times)
	for i := range times {
		dir := b.path(fmt.Sprintf("project-%d", i))
		took, err := b.pysdkInit(ctx, dir, "")
		if err != nil {
			return err
		}
		p.Init = append(p.Init, took.Seconds())
		_, took, err = b.timed(ctx, "", b.interpreter.Path, "-m", "venv", b.path(fmt.Sprintf("venv-%d", i)))
		if err != nil {
			return err
		}
		p.Venv = append(p.Venv, took.Seconds())
	}
	b.figures.Python.Projects = p
	return b.measurePythonStarts(ctx, b.path("project-0"))
}

// pysdkInit makes a project whose ENV is a copy of the interpreter. Without
// requirements nothing of it may need a network: proxies lead nowhere then.
func (b *bench) pysdkInit(ctx context.Context, dir, requirements string) (time.Duration, error) {
	argv := []string{b.eascmd, "pysdk", "init", dir, "--backend", "copy", "--python", b.interpreter.Version}
	path := "PATH=" + filepath.Dir(b.interpreter.Path) + ":" + os.Getenv("PATH")
	if requirements != "" {
		argv = append(argv, "--requirements", requirements)
		begin := time.Now()
		// The user's own environment leads to PyPI.
		_, err := output(ctx, b.dir, append(os.Environ(), path), argv...)
		return time.Since(begin), err
	}
	const nowhere = "http://127.0.0.1:9"
	env := b.environment("HTTP_PROXY="+nowhere, "HTTPS_PROXY="+nowhere, "http_proxy="+nowhere, "https_proxy="+nowhere, "ALL_PROXY="+nowhere, path)
	_, took, err := b.timedIn(ctx, env, "", argv...)
	return took, err
}

func (b *bench) measurePythonStarts(ctx context.Context, project string) error {
	for _, name := range [...]string{"app.py", "app.json"} {
		text, err := testdata.ReadFile("testdata/python/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(project, name), text, 0o600); err != nil {
			return err
		}
	}
	b.say("first answer of a Python service, %d times", b.repeats)
	s := &pythonStarts{}
	for i := range b.repeats + 1 {
		answer, _, err := b.timed(ctx, firstBody, b.eascmd, "test", filepath.Join(project, "app.json"), "--data", firstBody)
		if err != nil {
			return err
		}
		_, bare, err := b.timed(ctx, "", b.interpreter.Path, "-c", "pass")
		if err != nil {
			return err
		}
		var peers [2]time.Duration
		for k, module := range [...]string{"bare", "framework"} {
			if b.venv == "" {
				continue
			}
			if peers[k], err = b.uvicornStart(ctx, module); err != nil {
				return err
			}
		}
		if i == 0 {
			continue // it writes the host and bytecode
		}
		s.Eascmd = append(s.Eascmd, milliseconds(answer))
		s.Bare = append(s.Bare, milliseconds(bare))
		if b.venv != "" {
			s.Uvicorn = append(s.Uvicorn, milliseconds(peers[0]))
			s.FastAPI = append(s.FastAPI, milliseconds(peers[1]))
		}
	}
	b.figures.Python.Starts = s
	return nil
}

// uvicornStart returns the time from the start of a peer to its first answer.
func (b *bench) uvicornStart(ctx context.Context, module string) (time.Duration, error) {
	return b.timeToAnswer(ctx, module, b.environment(), syscall.SIGTERM, func(address string) []string {
		return b.uvicornCommand(module, address)
	})
}
