//go:build linux

package main

import (
	"math"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	const numbers = " S 41 7 7 0 -1 4194560 1 2 3 4 250 37 8 9 20 0 5 0 1000 2 3"
	for _, tt := range []struct {
		text  string
		want  procStat
		fails bool
	}{
		{text: "42 (eascmd)" + numbers, want: procStat{41, 287}},
		{text: "42 (a) b (c)" + numbers, want: procStat{41, 287}},
		{text: "42 (eascmd) S 41", fails: true},
		{text: "42 (eascmd) S x 7 7 0 -1 4194560 1 2 3 4 250 37 8", fails: true},
		{text: "42 (eascmd) S 41 7 7 0 -1 4194560 1 2 3 4 250 y 8", fails: true},
		{text: "", fails: true},
	} {
		got, err := parseStat([]byte(tt.text))
		if (err != nil) != tt.fails || got != tt.want {
			t.Errorf("%q: %+v, %v; want %+v, error %v", tt.text, got, err, tt.want, tt.fails)
		}
	}
}

// What is read of this very process is plausible.
func TestReadProc(t *testing.T) {
	s, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if s.parent != os.Getppid() {
		t.Errorf("parent %d, want %d", s.parent, os.Getppid())
	}
	before, err := cpuTime([]int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		for range 1 << 20 {
			math.Sqrt(before.Seconds())
		}
		after, err := cpuTime([]int{os.Getpid()})
		if err != nil {
			t.Fatal(err)
		}
		if after > before {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a busy process needs no processor time")
		}
	}
	if n, err := memory(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("memory %d, %v", n, err)
	}
	if _, err := memory(-1); err == nil {
		t.Error("memory of no process")
	}
}

func TestParseRSS(t *testing.T) {
	n, err := parseRSS([]byte("Name:\tx\nVmHWM:\t    9 kB\nVmRSS:\t    1234 kB\nRssAnon:\t 3 kB\n"))
	if err != nil || n != 1234<<10 {
		t.Errorf("%d, %v; want %d", n, err, 1234<<10)
	}
	if _, err := parseRSS([]byte("Name:\tkthreadd\n")); err == nil {
		t.Error("memory where there is none")
	}
}

func TestParseWrk(t *testing.T) {
	const noise = "Running 3s test\n  16 connections\nresultless\n"
	for _, tt := range []struct {
		name, out string
		want      *wrkResult
	}{
		{"good", noise + `result {"requests": 300, "microseconds": 1500000, "connect": 0, "read": 0, "write": 0, "status": 0, "timeout": 0}` + "\n",
			&wrkResult{Requests: 300, Microseconds: 1500000}},
		{"refused", noise + `result {"requests": 300, "microseconds": 1500000, "status": 1}` + "\n", nil},
		{"broken off", noise + `result {"requests": 300, "microseconds": 1500000, "read": 1}` + "\n", nil},
		{"none answered", noise + `result {"requests": 0, "microseconds": 1500000}` + "\n", nil},
		{"not JSON", noise + "result 300\n", nil},
		{"no result", noise, nil},
	} {
		got, err := parseWrk([]byte(tt.out))
		if (err != nil) != (tt.want == nil) {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestParseSummary(t *testing.T) {
	n, err := parseSummary([]byte("cmd: x\nevents: Ir\nfn=main\n3 4\nsummary: 819616261\n"))
	if err != nil || n != 819616261 {
		t.Errorf("%d, %v", n, err)
	}
	for _, text := range []string{"", "events: Ir\n", "summary: many\n"} {
		if _, err := parseSummary([]byte(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestVersion(t *testing.T) {
	for out, want := range map[string]string{
		"g++ (Debian 12.2.0-14) 12.2.0\nCopyright (C) 2022\n":                  "12.2.0",
		"wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer\nUsage:": "4.1.0",
		"nginx version: nginx/1.22.1\n":                                        "1.22.1",
		"valgrind-3.19.0":                                                      "3.19.0",
		"":                                                                     "unknown",
	} {
		if got := version([]byte(out)); got != want {
			t.Errorf("%q: %q, want %q", out, got, want)
		}
	}
}

func TestCPUUse(t *testing.T) {
	before, err := parseCPU([]byte("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1 2 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	after, err := parseCPU([]byte("cpu  20 0 15 120 20 0 0 25 0 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := before.busyUntil(after); got != 0.4 {
		t.Errorf("busy %v, want 0.4", got)
	}
	if got := before.busyUntil(before); got != 0 {
		t.Errorf("busy %v of no time", got)
	}
	for _, text := range []string{"", "intr 1 2 3 4 5 6 7 8 9\n", "cpu 1 2 3\n", "cpu 1 2 3 4 5 6 7 x\n"} {
		if _, err := parseCPU([]byte(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}
