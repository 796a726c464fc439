//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// measuredJava is a set of figures of Java with round numbers.
func measuredJava(turns func(perSecond, cpu float64) []turn, runs func(p50, p99 float64) []latencyRun) *javaFigures {
	return &javaFigures{
		Versions: map[string]string{"java": "17.0.15", "Undertow": "2.3"},
		Echo: []javaEcho{
			{Connections: 16, Body: bodySize, Servers: []javaTurns{
				{eascmdJava, turns(30000, 25)}, {httpServerPool.name, turns(12000, 50)}, {httpServerOwn.name, turns(15000, 40)},
				{undertow.name, turns(40000, 20)}, {springBoot.name, turns(10000, 100)},
			}},
			{Connections: 64, Body: bodySize, Servers: []javaTurns{
				{eascmdJava, turns(30000, 25)}, {httpServerPool.name, turns(20000, 50)}, {httpServerOwn.name, turns(15000, 40)},
			}},
		},
		Latency: &latency{RequestsPerSecond: 7500, Eascmd: runs(0.2, 1), Peer: runs(0.3, 2)},
		Memory: []javaMemory{
			{eascmdJava, resident{20e6, 70e6}}, {httpServerPool.name, resident{Front: 80e6}}, {undertow.name, resident{Front: 90e6}},
		},
		Starts: &javaStarts{
			Eascmd: []float64{200}, NoArchive: []float64{250}, Bare: []float64{50},
			Peers: []javaStart{{httpServerPool.name, []float64{150}}, {springBoot.name, []float64{2000}}},
		},
		InContainer: &containerStarts{FirstAnswer: []float64{700}, DockerRun: []float64{310}},
	}
}

func TestJavaRows(t *testing.T) {
	var got [][]string
	for _, r := range measured().rows(partJava) {
		got = append(got, r.cells())
	}
	want := [][]string{
		{"Java echo, 16 connections", "–", "30,000 req/s", "HttpServer, 5 threads: 12,000", "2.50 ×", ""},
		{"Java echo, 16 connections", "≥ 2.0 × HttpServer", "30,000 req/s", "HttpServer, 1 thread: 15,000", "2.00 ×", "met"},
		{"Java echo, 16 connections", "–", "30,000 req/s", "Undertow: 40,000", "0.75 ×", ""},
		{"Java echo, 16 connections", "–", "30,000 req/s", "Spring Boot: 10,000", "3.00 ×", ""},
		{"Java echo, 64 connections", "≥ 2.0 × HttpServer", "30,000 req/s", "HttpServer, 5 threads: 20,000", "1.50 ×", "not met"},
		{"Java echo, 64 connections", "–", "30,000 req/s", "HttpServer, 1 thread: 15,000", "2.00 ×", ""},
		{"Java echo, requests per CPU-second", "–", "40,000", "HttpServer, 1 thread: 25,000", "1.60 ×", ""},
		{"Java echo, p50 at half load (7,500 req/s)", "–", "0.20 ± 0.00 ms", "HttpServer, 1 thread: 0.30 ± 0.00 ms", "-0.10 ms", ""},
		{"Java echo, p99 at half load (7,500 req/s)", "–", "1.00 ± 12.50 ms", "HttpServer, 1 thread: 2.00 ± 12.50 ms", "-1.00 ms", ""},
		{"first answer, process engine, Java", "≤ 350 ms", "200 ms", "HttpServer, 5 threads: 150 ms, Spring Boot: 2000 ms, an empty Java program: 50 ms", "", "met"},
		{"the same without the host's class-data archive", "–", "250 ms", "with it: 200 ms", "1.25 ×", ""},
		{"first answer, Docker engine, Java", "≤ docker run + 300 ms", "700.00 ms", "docker run of an empty program: 310.00 ms", "+390.00 ms", "not met"},
		{"memory of gateway + worker, after the load", "–", "20.0 MB + 70.0 MB", "HttpServer, 5 threads: 80.0 MB, Undertow: 90.0 MB", "", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Without Maven Central the JDK's own peers are left, and the others' rows say
// what they need.
func TestJavaRowsWithoutMavenCentral(t *testing.T) {
	f := measured()
	f.Missing = []string{javaPeers}
	f.Java.Echo[0].Servers = f.Java.Echo[0].Servers[:3]
	var lacking []string
	for _, r := range f.javaRows() {
		if name, why, ok := strings.Cut(r.peer, ": not measured: "); ok {
			if r.measured != "30,000 req/s" || r.verdict != "" || why != "needs "+javaPeers {
				t.Errorf("%q", r.cells())
			}
			lacking = append(lacking, name)
		}
	}
	if diff := cmp.Diff([]string{"Undertow", "Spring Boot"}, lacking); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJavaRowsOfWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		missing []string
		java    *javaFigures
		want    string
	}{
		{[]string{javaProgram}, nil, "needs a JDK"},
		{nil, nil, "it failed"},
		{nil, &javaFigures{InContainer: &containerStarts{}}, "it failed"},
	} {
		f := measured()
		f.Missing, f.Java = tt.missing, tt.java
		for _, r := range f.rows(partJava) {
			if r.measured != "not measured: "+tt.want || r.verdict != "" {
				t.Errorf("without %v: %q, want that it %s", tt.missing, r.cells(), tt.want)
			}
		}
	}
}
