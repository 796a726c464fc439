//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// javaFigures are what was measured of Java services.
type javaFigures struct {
	Versions    map[string]string `json:"versions"`
	Options     []string          `json:"options"` // of all JVMs: heap and collector
	Echo        []javaEcho        `json:"echo,omitempty"`
	Latency     *latency          `json:"latency,omitempty"` // with the faster HttpServer as the peer
	Memory      []javaMemory      `json:"memory,omitempty"`  // after the loads
	Starts      *javaStarts       `json:"starts,omitempty"`
	InContainer *containerStarts  `json:"inContainer,omitempty"`
}

// javaEcho holds the turns of each server under one load.
type javaEcho struct {
	Connections int         `json:"connections"`
	Body        int         `json:"body"`
	Servers     []javaTurns `json:"servers"`
}

type javaTurns struct {
	Name  string `json:"name"`
	Turns []turn `json:"turns"`
}

type javaMemory struct {
	Name string `json:"name"`
	resident
}

// eascmdJava is what the service is called among its peers.
const eascmdJava = "eascmd"

// by are the turns of a server, if it was there.
func (e *javaEcho) by(name string) []turn {
	for _, s := range e.Servers {
		if s.Name == name {
			return s.Turns
		}
	}
	return nil
}

// fasterHTTPServer is the one of the JDK's that answered more requests.
func (e *javaEcho) fasterHTTPServer() string {
	if median(column(e.by(httpServerOwn.name), perSecond)) > median(column(e.by(httpServerPool.name), perSecond)) {
		return httpServerOwn.name
	}
	return httpServerPool.name
}

func (b *bench) measureJava(ctx context.Context) error {
	if b.java == nil {
		return nil
	}
	versions := map[string]string{"java": b.java.Version}
	for _, p := range b.javaPeers {
		if p.artifact != "" {
			versions[p.name] = p.version()
		}
	}
	f := &javaFigures{Versions: versions}
	var err error
	if f.Options, err = b.javaOptions(ctx); err != nil {
		return err
	}
	b.figures.Java = f
	var failed error
	for _, measure := range []func(context.Context) error{b.measureJavaServed, b.measureJavaStarts, b.measureJavaInContainer} {
		failed = errors.Join(failed, measure(ctx))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return failed
}

// javaDescription is the service that all of this is measured with.
func (b *bench) javaDescription() string { return b.path("testdata", "java", "app.json") }

// javaLoads are the loads under which Java services are compared, and whether all
// peers are, or only those that come with Java.
var javaLoads = []struct {
	what string
	closedLoad
	all bool
}{
	{"Java echo", usualLoad, true},
	{"Java echo, many connections", closedLoad{manyConnections, bodySize}, false},
}

// warmUpTurns is how many turns long a server is loaded before it is measured,
// so that what is hot in it has been compiled.
const warmUpTurns = 2

// javaOptions returns the options for the heap and the collector that a worker of
// `eascmd test` has: a JVM chooses them by the memory that it sees, and that is
// limited there.
func (b *bench) javaOptions(ctx context.Context) (options []string, err error) {
	s, _, err := b.test(ctx, "java-test", b.javaDescription(), b.javaEnvironment("EASCMD_TEST_ENGINE=process"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	gateways, err := childrenOf(s.child.pid())
	if err != nil || len(gateways) != 1 {
		return nil, errors.Join(err, fmt.Errorf("eascmd test has %d gateways in place of 1", len(gateways)))
	}
	workers, err := childrenOf(gateways[0])
	if err != nil || len(workers) != 1 {
		return nil, errors.Join(err, fmt.Errorf("it has %d workers in place of 1", len(workers)))
	}
	return b.jvmOptions(ctx, workers[0])
}

// measureJavaServed measures running services: ours and its peers, each one JVM
// with the same heap and the same collector.
func (b *bench) measureJavaServed(ctx context.Context) (err error) {
	if !b.has("wrk") {
		return nil
	}
	plan, err := b.planOf(ctx, b.javaDescription(), b.javaEnvironment())
	if err != nil {
		return err
	}
	f := b.figures.Java
	plan.Worker.Command = slices.Insert(plan.Worker.Command, 1, f.Options...)
	servers := make(map[string]*server)
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.end())
		}
	}()
	eascmd, err := b.servePlan(ctx, "java", nil, nil, plan)
	if err != nil {
		return err
	}
	servers[eascmdJava] = eascmd
	for _, p := range b.javaPeers {
		if servers[p.name], err = b.startJavaPeer(ctx, p, f.Options); err != nil {
			delete(servers, p.name)
			return err
		}
	}
	if err := b.warmUpJava(ctx, servers); err != nil {
		return err
	}
	for _, l := range javaLoads {
		e := javaEcho{Connections: l.connections, Body: l.body, Servers: []javaTurns{{Name: eascmdJava}}}
		for _, p := range b.javaPeers {
			if l.all || p.artifact == "" {
				e.Servers = append(e.Servers, javaTurns{Name: p.name})
			}
		}
		entries := make([]contender, len(e.Servers))
		for i := range e.Servers {
			entries[i] = contender{servers[e.Servers[i].Name], &e.Servers[i].Turns}
		}
		if err := b.compete(ctx, l.what, l.closedLoad, entries); err != nil {
			return err
		}
		f.Echo = append(f.Echo, e)
	}
	for _, s := range f.Echo[0].Servers {
		r, err := servers[s.Name].resident()
		if err != nil {
			return err
		}
		f.Memory = append(f.Memory, javaMemory{s.Name, r})
	}
	// Half of what the slower of the two answers at most.
	usual := &f.Echo[0]
	peer := usual.fasterHTTPServer()
	rate := min(median(column(usual.by(eascmdJava), perSecond)), median(column(usual.by(peer), perSecond))) / 2
	f.Latency, err = b.measureLatency(ctx, eascmd, servers[peer], rate)
	return err
}

func (b *bench) warmUpJava(ctx context.Context, servers map[string]*server) error {
	for name, s := range servers {
		b.say("warming up: %s", name)
		if _, err := b.wrk(ctx, s, usualLoad, warmUpTurns*b.duration); err != nil {
			return err
		}
	}
	return nil
}

// javaStarts are times until the first answer, in milliseconds.
type javaStarts struct {
	Eascmd    []float64   `json:"eascmd"`
	NoArchive []float64   `json:"noArchive"` // without the host's class-data archive
	Bare      []float64   `json:"bare"`      // of a Java that does nothing, until it has ended
	Peers     []javaStart `json:"peers"`
}

type javaStart struct {
	Name         string    `json:"name"`
	Milliseconds []float64 `json:"milliseconds"`
}

// peerStarts is how often a peer is started; some take seconds.
const peerStarts = 5

func (b *bench) measureJavaStarts(ctx context.Context) error {
	noArchive, err := b.withoutArchive()
	if err != nil {
		return err
	}
	b.say("first answer of a Java service, %d times", b.repeats)
	s := &javaStarts{Peers: make([]javaStart, len(b.javaPeers))}
	for i := range b.repeats + 1 {
		var ours [2]time.Duration
		for k, description := range [...]string{b.javaDescription(), noArchive} {
			if ours[k], _, err = b.timedIn(ctx, b.javaEnvironment(), firstBody, b.eascmd, "test", description, "--data", firstBody); err != nil {
				return err
			}
		}
		_, bare, err := b.timedIn(ctx, b.javaEnvironment(), "", b.java.Program("java"), "-cp", b.classes("Nothing"), "Nothing")
		if err != nil {
			return err
		}
		if i == 0 {
			continue // it compiles the host and makes the archive
		}
		s.Eascmd = append(s.Eascmd, milliseconds(ours[0]))
		s.NoArchive = append(s.NoArchive, milliseconds(ours[1]))
		s.Bare = append(s.Bare, milliseconds(bare))
		if i > peerStarts {
			continue
		}
		for k, p := range b.javaPeers {
			took, err := b.timeToAnswer(ctx, p.name, b.javaEnvironment(), endOfPeer, func(address string) []string {
				return b.peerCommand(p, b.figures.Java.Options, address)
			})
			if err != nil {
				return err
			}
			s.Peers[k].Name = p.name
			s.Peers[k].Milliseconds = append(s.Peers[k].Milliseconds, milliseconds(took))
		}
	}
	b.figures.Java.Starts = s
	return nil
}

// withoutArchive writes a description of the same service whose JVM uses the
// archive that comes with Java, in place of that with the host's classes.
func (b *bench) withoutArchive() (string, error) {
	text, err := os.ReadFile(b.javaDescription())
	if err != nil {
		return "", err
	}
	var description map[string]any
	if err := json.Unmarshal(text, &description); err != nil {
		return "", err
	}
	archives, err := filepath.Glob(filepath.Join(b.java.Home, "lib", "*", "classes.jsa"))
	if err != nil {
		return "", err
	}
	if len(archives) > 0 {
		description["processor_jvm_options"] = "-XX:SharedArchiveFile=" + archives[0]
	}
	if text, err = json.Marshal(description); err != nil {
		return "", err
	}
	path := b.path("testdata", "java", "no-archive.json")
	return path, os.WriteFile(path, text, 0o600)
}

// measureJavaInContainer measures the first answer on the Docker engine, if there
// is one.
func (b *bench) measureJavaInContainer(ctx context.Context) error {
	c, err := b.findContainers(ctx, b.javaDescription(), b.javaEnvironment())
	if c == nil || err != nil {
		return err
	}
	defer c.Close()
	if err := b.buildEmpty(ctx); err != nil {
		return err
	}
	s, err := c.measureStarts(ctx)
	if err != nil {
		return err
	}
	b.figures.Java.InContainer = &s
	return nil
}
