// Eascmd runs, checks, packs and deploys processors of Alibaba Cloud PAI-EAS.
package main

import (
	"context"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), endSignals()...)
	// A second signal ends the program at once; one that comes with the first,
	// as to a process and its group, does not count.
	context.AfterFunc(ctx, func() { time.AfterFunc(300*time.Millisecond, stop) })
	os.Exit(Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
