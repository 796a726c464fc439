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
			containerStarts: containerStarts{FirstAnswer: []float64{400, 420, 440}, DockerRun: []float64{300, 310, 320}},
			Process:         turns(30000, 0), Published: turns(15000, 0), Address: turns(27000, 0),
		},
		Memory: &memoryFigures{
			Rest: resident{17e6, 2e6}, Loaded: resident{22e6, 2.5e6},
			NginxRest: resident{Front: 16e6}, NginxAfter: resident{Front: 16.5e6},
		},
		Python: &pythonFigures{
			Versions: map[string]string{"python": "3.11.7", "uvicorn": "0.54.0"},
			Echo: []pythonEcho{
				{Connections: 16, Body: bodySize, Eascmd: turns(30000, 25), OneThread: turns(27000, 25), Uvicorn: turns(20000, 50), FastAPI: turns(15000, 100)},
				{Connections: 64, Body: bodySize, Eascmd: turns(30000, 25), Uvicorn: turns(30000, 50), FastAPI: turns(10000, 100)},
				{Connections: 4, Body: 1 << 20, Eascmd: turns(200, 25), Uvicorn: turns(400, 50), FastAPI: turns(300, 100)},
			},
			Latency:  &latency{RequestsPerSecond: 10000, Eascmd: runs(0.2, 1), Peer: runs(0.3, 2)},
			Memory:   &pythonMemory{Eascmd: resident{20e6, 12e6}, Uvicorn: resident{Front: 30e6}, FastAPI: resident{Front: 50e6}},
			Starts:   &pythonStarts{Eascmd: []float64{80}, Uvicorn: []float64{160}, FastAPI: []float64{400}, Bare: []float64{40}},
			Projects: &projects{Init: []float64{2}, Venv: []float64{4}},
		},
		Java: measuredJava(turns, runs),
		Packing: &packFigures{
			Versions: map[string]string{"conda-pack": "0.9.2"},
			Tree:     treeSize{Entries: 23456, Bytes: 731e6},
			Packers: []packed{
				{Name: eascmdPack, Seconds: []float64{4, 4, 5}, CPU: []float64{7, 7, 8}, Memory: []int64{90e6, 95e6, 91e6}, Size: 180e6},
				{Name: eascmdPackChecked, Seconds: []float64{8, 8, 8}, Memory: []int64{95e6}, Size: 180e6},
				{Name: condaPackTwo, Seconds: []float64{10, 10, 10}, CPU: []float64{14, 14, 14}, Memory: []int64{300e6, 310e6}, Size: 190e6},
				{Name: condaPackOne, Seconds: []float64{16, 16, 16}, Memory: []int64{50e6}, Size: 190e6},
				{Name: tarGzip, Seconds: []float64{20, 20, 20}, Memory: []int64{5e6}, Size: 188e6},
				{Name: tarPigz, Seconds: []float64{12, 12, 12}, Memory: []int64{7e6}, Size: 189e6},
			},
			Imports: &imports{Packed: []float64{1.3, 1.3}, Compiled: []float64{3.9, 3.9}},
		},
		Uploads: measuredUploads(),
	}
}

func TestPythonRows(t *testing.T) {
	var got [][]string
	for _, r := range measured().rows(partPython) {
		got = append(got, r.cells())
	}
	want := [][]string{
		{"Python echo, 16 connections", "≥ 1.2 × uvicorn", "30,000 req/s", "uvicorn: 20,000", "1.50 ×", "met"},
		{"Python echo, 16 connections", "≥ 2.5 × FastAPI", "30,000 req/s", "FastAPI: 15,000", "2.00 ×", "not met"},
		{"Python echo, 16 connections, 1 worker thread", "–", "27,000 req/s", "5 threads: 30,000", "0.90 ×", ""},
		{"Python echo, requests per CPU-second", "–", "40,000", "uvicorn: 20,000", "2.00 ×", ""},
		{"Python echo, 64 connections", "≥ 1.2 × uvicorn", "30,000 req/s", "uvicorn: 30,000", "1.00 ×", "not met"},
		{"Python echo, 64 connections", "≥ 2.5 × FastAPI", "30,000 req/s", "FastAPI: 10,000", "3.00 ×", "met"},
		{"Python echo, 4 connections, 1024 KiB", "–", "200 req/s", "uvicorn: 400", "0.50 ×", ""},
		{"Python echo, 4 connections, 1024 KiB", "–", "200 req/s", "FastAPI: 300", "0.67 ×", ""},
		{"Python echo, p50 at half load (10,000 req/s)", "–", "0.20 ± 0.00 ms", "uvicorn: 0.30 ± 0.00 ms", "-0.10 ms", ""},
		{"Python echo, p99 at half load (10,000 req/s)", "–", "1.00 ± 12.50 ms", "uvicorn: 2.00 ± 12.50 ms", "-1.00 ms", ""},
		{"first answer, process engine, Python", "≤ 250 ms", "80 ms", "uvicorn: 160 ms, FastAPI: 400 ms, python -c pass: 40 ms", "0.50 ×", "met"},
		{"`pysdk init --backend copy`, offline", "–", "2.00 s", "python -m venv: 4.00 s", "0.50 ×", ""},
		{"memory of gateway + worker, after the load", "–", "20.0 MB + 12.0 MB", "uvicorn: 30.0 MB, FastAPI: 50.0 MB", "", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPackRows(t *testing.T) {
	var got [][]string
	for _, r := range measured().rows(partPack) {
		got = append(got, r.cells())
	}
	want := [][]string{
		{"packing 731 MB in 23,500 files, without the check", "≥ 2 × conda-pack -j2, no larger", "4.00 s, 180.0 MB", "conda-pack -j2: 10.00 s, 190.0 MB", "2.50 ×", "met"},
		{"the same with the check (unpacked and imported)", "–", "8.00 s, 180.0 MB", "conda-pack -j2: 10.00 s, 190.0 MB", "1.25 ×", ""},
		{"the same", "–", "4.00 s, 180.0 MB", "conda-pack -j1: 16.00 s, 190.0 MB", "4.00 ×", ""},
		{"the same", "–", "4.00 s, 180.0 MB", "tar | pigz -p2: 12.00 s, 189.0 MB", "3.00 ×", ""},
		{"the same", "–", "4.00 s, 180.0 MB", "tar | gzip: 20.00 s, 188.0 MB", "5.00 ×", ""},
		{"processor time of packing", "–", "7.00 s", "conda-pack -j2: 14.00 s", "0.50 ×", ""},
		{"memory of packing", "≤ 200 MB", "95.0 MB", "conda-pack -j2: 310.0 MB", "", "met"},
		{"imports of 7 packages out of a package", "–", "1.30 s", "without bytecode: 3.90 s", "3.00 ×", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A package that is made fast and is larger does not meet the goal, and neither
// does one that takes too much memory.
func TestPackGoals(t *testing.T) {
	f := measured()
	f.Packing.by(eascmdPack).Size = 191e6
	f.Packing.by(eascmdPack).Memory[1] = 201e6
	for i, row := range f.packRows() {
		if (i == 0 || row.what == "memory of packing") && row.verdict != notMet {
			t.Errorf("%q", row.cells())
		}
	}
}

// Without PyPI or its own interpreter, every row says what it needs.
func TestPythonRowsWithoutPeers(t *testing.T) {
	f := measured()
	f.Missing = []string{pythonPeers, "pigz"}
	f.Python.Latency, f.Python.Memory.Uvicorn, f.Python.Starts.Uvicorn = nil, resident{}, nil
	for i := range f.Python.Echo {
		f.Python.Echo[i].Uvicorn, f.Python.Echo[i].FastAPI = nil, nil
	}
	const needs = "not measured: needs " + pythonPeers
	for _, r := range f.pythonRows() {
		compared := strings.Contains(r.goal, "uvicorn") || strings.Contains(r.goal, "FastAPI")
		if compared && (r.peer != needs || r.verdict != "" || r.measured != "30,000 req/s") {
			t.Errorf("%q", r.cells())
		}
		if strings.Contains(r.what, "half load") && r.measured != needs {
			t.Errorf("%q", r.cells())
		}
	}
	f.Packing.Packers = f.Packing.Packers[:2]
	for i, r := range f.packRows() {
		want := map[int]string{0: needs, 2: needs, 3: "not measured: needs pigz"}[i]
		if want != "" && (r.peer != want || r.verdict != "") {
			t.Errorf("%q, want %q", r.cells(), want)
		}
	}
	f.Missing, f.Python, f.Packing = []string{pythonProgram, pythonPeers}, nil, nil
	for _, part := range []string{partPython, partPack} {
		for _, r := range f.rows(part) {
			if !strings.HasPrefix(r.measured, "not measured: needs "+pythonProgram) || r.verdict != "" {
				t.Errorf("without Python: %q", r.cells())
			}
		}
	}
}

func TestVersions(t *testing.T) {
	for part, want := range map[string]map[string]string{
		partCPP:    {"wrk": "4.1.0", "go": "1.26"},
		partPython: {"wrk": "4.1.0", "go": "1.26", "python": "3.11.7", "uvicorn": "0.54.0"},
		partJava:   {"wrk": "4.1.0", "go": "1.26", "java": "17.0.15", "Undertow": "2.3"},
		partPack:   {"go": "1.26", "conda-pack": "0.9.2"},
		partUpload: {"go": "1.26", "rclone": "1.75.2"},
	} {
		if diff := cmp.Diff(want, measured().versions(part)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", part, diff)
		}
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
			f.InContainer = &inContainer{containerStarts: containerStarts{FirstAnswer: tt.start, DockerRun: tt.start}}
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

// Every line of a table has as many cells as its head, whatever the peers are
// called.
func TestMarkdownPipes(t *testing.T) {
	text := measured().markdown(partPack)
	if !strings.Contains(text, `tar \| `) {
		t.Fatalf("no peer with a pipe in its name:\n%s", text)
	}
	for line := range strings.Lines(text) {
		if cells := strings.Count(line, "|") - strings.Count(line, `\|`) - 1; strings.HasPrefix(line, "|") && cells != len(header) {
			t.Errorf("%d cells: %s", cells, line)
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
