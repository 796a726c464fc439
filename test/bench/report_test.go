//go:build linux

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// measured is a whole set of figures with round numbers.
func measured() *figures {
	turns := func(persecond, cpu float64) []turn {
		return []turn{{persecond / 2, cpu, 1}, {persecond, cpu, 1}, {persecond * 2, cpu, 1}}
	}
	runs := func(p50, p99 float64) []latencyRun {
		return []latencyRun{{P50: p50, P99: p99}, {P50: p50, P99: p99}, {P50: p50, P99: p99 + 50}}
	}
	return &figures{
		Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Machine: machine{
			CPU: "Some CPU", Cores: 2, Memory: 25e9, System: "Debian", Kernel: "6.1 x86_64",
			Versions: map[string]string{"wrk": "4.1.0", "go": "1.26"}, Busy: 0.031,
		},
		ProgramBytes: 20_156_578,
		Throughput:   &throughput{Five: turns(30000, 20), One: turns(33000, 18), Nginx: turns(50000, 10)},
		Latency:      &latency{RequestsPerSecond: 15000, Eascmd: runs(0.3, 1.5), Peer: runs(0.1, 1)},
		Instructions: &instructions{Requests: 10, Gateway: 20000, Host: 800, Nginx: 8000},
		Starts:       &starts{FirstAnswer: []float64{70}, WholeTest: []float64{90}, Help: []float64{7}, Empty: []float64{1}},
		InContainer: &inContainer{
			FirstAnswer: []float64{400, 420, 440}, DockerRun: []float64{300, 310, 320},
			Process: turns(30000, 0), Published: turns(15000, 0), Address: turns(27000, 0),
		},
		Memory: &memoryFigures{
			Rest: resident{17e6, 2e6}, Loaded: resident{22e6, 2.5e6},
			NginxRest: resident{Front: 16e6}, NginxAfter: resident{Front: 16.5e6},
		},
	}
}

func TestRows(t *testing.T) {
	var got [][]string
	for _, r := range measured().rows(partCPP) {
		got = append(got, r.cells())
	}
	want := [][]string{
		{"C++ echo, 5 worker threads", "≥ 0.5 × nginx", "30,000 req/s", "nginx: 50,000", "0.60 ×", "met"},
		{"C++ echo, 1 worker thread", "–", "33,000 req/s", "5 threads: 30,000", "1.10 ×", ""},
		{"requests per CPU-second", "–", "50,000", "nginx: 100,000", "0.50 ×", ""},
		{"instructions per request, gateway", "–", "20,000", "nginx: 8,000", "2.50 ×", ""},
		{"instructions per request, host", "–", "800", "nginx: 8,000", "0.10 ×", ""},
		{"p50 at half load (15,000 req/s)", "–", "0.30 ± 0.00 ms", "nginx: 0.10 ± 0.00 ms", "+0.20 ms", ""},
		{"p99 at half load (15,000 req/s)", "≤ nginx + 1 ms", "1.50 ± 12.50 ms", "nginx: 1.00 ± 12.50 ms", "+0.50 ms", "noise"},
		{"first answer, process engine, C++", "≤ 60 ms", "70.00 ms", "an empty C program: 1.00 ms", "", "not met"},
		{"`eascmd --help`", "≤ 20 ms", "7.00 ms", "an empty C program: 1.00 ms", "", "met"},
		{"program size", "≤ 30 MB", "20.2 MB", "", "", "met"},
		{"first answer, Docker engine, C++", "≤ docker run + 300 ms", "420.00 ms", "docker run of an empty program: 310.00 ms", "+110.00 ms", "met"},
		{"C++ echo in a container, published port", "–", "15,000 req/s", "process engine: 30,000", "0.50 ×", ""},
		{"C++ echo in a container, its own address", "–", "27,000 req/s", "process engine: 30,000", "0.90 ×", ""},
		{"memory of gateway + host, at rest", "–", "17.0 MB + 2.0 MB", "nginx: 16.0 MB", "", ""},
		{"memory of gateway + host, after the load", "–", "22.0 MB + 2.5 MB", "nginx: 16.5 MB", "", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Without the peers, every row is there and says what it needs.
func TestRowsWithoutPeers(t *testing.T) {
	f := measured()
	f.Missing = []string{"nginx", "wrk", "valgrind"}
	f.Throughput, f.Latency, f.Instructions, f.Memory = nil, nil, nil, nil
	f.InContainer.Process, f.InContainer.Published, f.InContainer.Address = nil, nil, nil
	needs := map[string]string{
		"C++ echo":     "needs wrk",
		"requests per": "needs wrk",
		"instructions": "needs valgrind",
		"p50":          "needs wrk and nginx",
		"p99":          "needs wrk and nginx",
		"memory":       "needs wrk",
	}
	for _, r := range f.rows(partCPP) {
		for prefix, text := range needs {
			if strings.HasPrefix(r.what, prefix) && (r.measured != "not measured: "+text || r.verdict != "") {
				t.Errorf("%s: %q %q, want that it %s", r.what, r.measured, r.verdict, text)
			}
		}
	}
}

func TestRowsWithoutNginx(t *testing.T) {
	f := measured()
	f.Missing = []string{"nginx"}
	f.Throughput.Nginx = nil
	f.Instructions.Nginx = 0
	f.Latency = nil
	rows := f.rows(partCPP)
	if r := rows[0]; r.measured != "30,000 req/s" || r.peer != "not measured: needs nginx" || r.verdict != "" {
		t.Errorf("throughput alone: %q", r.cells())
	}
	if r := rows[3]; r.measured != "20,000" || r.peer != "" || r.ratio != "" {
		t.Errorf("instructions alone: %q", r.cells())
	}
}

func TestRowsWithoutDocker(t *testing.T) {
	for _, tt := range []struct {
		missing []string
		start   []float64 // measured before throughput
		want    []string
	}{
		{[]string{dockerEngine}, nil, []string{"needs a Docker Engine on this machine", "needs a Docker Engine on this machine", "needs a Docker Engine on this machine"}},
		{[]string{"wrk", serviceImage}, nil, []string{"needs the image that services run in", "needs the image that services run in and wrk", "needs the image that services run in and wrk"}},
		{[]string{"wrk"}, []float64{400}, []string{"", "needs wrk", "needs wrk"}},
		{nil, nil, []string{"it failed", "it failed", "it failed"}},
	} {
		f := measured()
		f.Missing, f.InContainer = tt.missing, nil
		if tt.start != nil {
			f.InContainer = &inContainer{FirstAnswer: tt.start, DockerRun: tt.start}
		}
		for i, r := range f.containerRows() {
			if tt.want[i] == "" {
				continue
			}
			if r.measured != "not measured: "+tt.want[i] || r.verdict != "" {
				t.Errorf("without %v: %q, want that it %s", tt.missing, r.cells(), tt.want[i])
			}
		}
	}
}

func TestRowsOfWhatFailed(t *testing.T) {
	f := measured()
	f.Starts = nil
	for _, r := range f.startRows() {
		if r.what != "program size" && (r.measured != "not measured: it failed" || r.verdict != "") {
			t.Errorf("%q", r.cells())
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0", 748.1: "748", 999.6: "1,000", 1234: "1,230", 12345: "12,300", 49849: "49,800", 999999: "1,000,000", 1e6: "1,000,000",
	} {
		if got := count(n); got != want {
			t.Errorf("count(%v) = %q, want %q", n, got, want)
		}
	}
}

func TestWriteTable(t *testing.T) {
	var out bytes.Buffer
	if err := writeTable(&out, []row{{what: "`a b`", goal: "≥ 1", measured: "2", peer: "3", ratio: "4 ×", verdict: met}}); err != nil {
		t.Fatal(err)
	}
	const want = "what  goal  eascmd  peer  ratio  verdict\na b   ≥ 1   2       3     4 ×    met\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMarkdown(t *testing.T) {
	text := measured().markdown(partCPP)
	for _, want := range []string{
		"| what | goal | eascmd | peer | ratio | verdict |\n|---|---|---|---|---|---|\n",
		"| C++ echo, 5 worker threads | ≥ 0.5 × nginx | 30,000 req/s | nginx: 50,000 | 0.60 × | met |\n",
		"\nMeasured on 2026-01-02: 2 cores (Some CPU), 25 GB of memory, Debian, Linux 6.1 x86_64; go 1.26, wrk 4.1.0. Before the run others used 3 % of the processors.\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
}

func TestReplaceFigures(t *testing.T) {
	other := figuresBegin(partPack) + "of packing\n" + figuresEnd
	begin := figuresBegin(partPython)
	page := "# Performance\n" + other + begin + "old\n" + figuresEnd + "rest\n"
	once, err := replaceFigures(page, partPython, "new\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := "# Performance\n" + other + begin + "\nnew\n\n" + figuresEnd + "rest\n"; once != want {
		t.Errorf("%q, want %q", once, want)
	}
	if twice, err := replaceFigures(once, partPython, "new\n"); err != nil || twice != once {
		t.Errorf("a second time: %q, %v", twice, err)
	}
	for _, page := range []string{"", begin, figuresEnd + begin} {
		if _, err := replaceFigures(page, partPython, "new"); err == nil {
			t.Errorf("%q: no error", page)
		}
	}
}

// The page that the figures go into has a place for them.
func TestPageHasAPlace(t *testing.T) {
	page, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		if _, err := replaceFigures(string(page), part, "new"); err != nil {
			t.Error(err)
		}
	}
}
