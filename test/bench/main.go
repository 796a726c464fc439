//go:build linux

// Command bench measures eascmd against its goals and its peers, all in one
// run: throughput, latency at half load, instructions of a request, the first
// answer on both engines, size and memory; Python and Java services; packing;
// uploads. docs/performance.md tells how and what it found.
//
//	go run ./test/bench [--only cpp,python,java,pack,upload] [--markdown] [--json FILE]
//
// It compiles what it needs, installs the peers of Python and Java into a cache
// of its own, starts every server on 127.0.0.1, and ends all that it started. A
// missed goal is a result, not a failure: the exit status is 0 unless something
// could not be measured that should have been.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what the command line sets.
type options struct {
	only         []string // parts to measure
	eascmd       string   // program to measure; empty: build one
	python       string   // interpreter of all Python services
	cache        string   // directory that is kept; empty: in the sources
	packs        int      // rounds of packing
	uploadRounds int
	rounds       int           // of throughput
	duration     time.Duration // of one round of one server
	runs         int           // of latency
	repeats      int           // of what is started anew each time
	requests     int           // under valgrind
	markdown     bool
	json         string
	install      bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string, out, talk io.Writer) int {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(talk)
	only := flags.String("only", strings.Join(parts, ","), "`parts` to measure")
	flags.StringVar(&o.eascmd, "eascmd", "", "measure this `program` (default: build one as releases are built)")
	flags.IntVar(&o.rounds, "rounds", 7, "rounds of throughput; every server has its turn in each")
	flags.DurationVar(&o.duration, "duration", 3*time.Second, "length of a turn, and of a run of latency")
	flags.IntVar(&o.runs, "runs", 5, "runs of latency")
	flags.IntVar(&o.repeats, "repeats", 20, "starts of a program that are timed")
	flags.IntVar(&o.requests, "requests", 8000, "requests counted under valgrind")
	flags.StringVar(&o.python, "python", "python3", "`interpreter` of all Python services")
	flags.StringVar(&o.cache, "cache", "", "`directory` in which the peers of Python and Java, and what is packed, are kept (default .cache/bench in the sources)")
	flags.IntVar(&o.packs, "packs", 3, "rounds of packing; every packer has its turn in each")
	flags.IntVar(&o.uploadRounds, "uploads", 3, "rounds of uploads; every client has its turn in each")
	flags.BoolVar(&o.markdown, "markdown", false, "write the figures into docs/performance.md")
	flags.StringVar(&o.json, "json", "", "write all that was measured to this `file`")
	flags.BoolVar(&o.install, "install", false, "install nginx, wrk, valgrind and pigz with apt-get where they are missing")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0 || o.rounds < 1 || o.packs < 1 || o.uploadRounds < 1 || o.runs < 1 || o.repeats < 1 || o.requests < 1 || o.duration < time.Second:
		fmt.Fprintln(talk, "bench: no arguments are taken, counts are at least 1 and times at least 1s")
		return 2
	}
	o.only = strings.Split(*only, ",")
	for _, part := range o.only {
		if !slices.Contains(parts, part) {
			fmt.Fprintf(talk, "bench: --only %s: there is no part %q; the parts are %s\n", *only, part, strings.Join(parts, ", "))
			return 2
		}
	}
	b := &bench{options: o, out: out, talk: talk}
	switch err := b.run(ctx); {
	case ctx.Err() != nil:
		fmt.Fprintln(talk, "bench: interrupted")
		return 130
	case err != nil:
		fmt.Fprintln(talk, "bench: error:", err)
		return 1
	}
	return 0
}
