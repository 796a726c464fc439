// Eascmd runs, checks, packs and deploys processors of Alibaba Cloud PAI-EAS.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"time"
)

func main() {
	signals, stop := signal.NotifyContext(context.Background(), endSignals()...)
	// A second signal ends the program at once, unless a command sees to it.
	context.AfterFunc(signals, func() { time.AfterFunc(sameSignal, stop) })
	ctx, gone := context.WithCancelCause(signals)
	catchBrokenPipe()
	// net/http writes what odd servers send there, and nobody else has any use
	// for it.
	log.SetOutput(io.Discard)
	os.Exit(Main(ctx, os.Args[1:], os.Stdin, &output{os.Stdout, gone}, &output{os.Stderr, gone}))
}
