package enginetest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/openeas/eascmd/pkg/engine/child"
	"github.com/openeas/eascmd/pkg/runplan"
)

// Serve is what `eascmd serve` is to an engine of processes. The TestMain of a
// test whose own executable is what its engine starts gives it the arguments
// after that word and process.EnterPrivateRoot, and ends with the status that it
// returns.
func Serve(args []string, enterPrivateRoot func(spec, runtimeDir string) error) int {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	flags.String("events", "", "")
	flags.Bool("lifeline", false, "")
	dir := flags.String("runtime-dir", "", "")
	fd := flags.Int("plan-fd", -1, "")
	root := flags.String("private-root", "", "")
	flags.Parse(args)
	if *root != "" {
		if err := enterPrivateRoot(*root, *dir); err != nil {
			return 1
		}
	}
	child.SealDescriptors()
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	plan, err := runplan.Read(os.NewFile(uintptr(*fd), "plan"))
	if err == nil {
		err = child.Run(ctx, plan, child.Options{Emit: child.Writer(os.Stdout), Lifeline: os.Stdin, RuntimeDir: *dir})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
