// Command testsummary runs `go test` with the arguments it is given and sums
// up: a line per package, the whole output of what failed, the name and
// reason of what was skipped, and a closing line
//
//	N passed, N failed, N skipped
//
// Its exit status is 0 only where nothing failed: no test, no build, no
// package that ended early.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, ".", os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		stop()
		os.Exit(1)
	}
}

// run runs go test in dir.
func run(ctx context.Context, dir string, args []string, out io.Writer) error {
	s := newSummary(out)
	if slices.Contains(args, "-race") && !haveCgo(ctx) {
		args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "-race" })
		s.skip("race detector", "needs a C compiler")
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Dir = dir
	// An interrupted go test ends its children and says so.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		s.line(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		s.fail("go test", "its output could not be read: "+err.Error()+"\n")
		io.Copy(io.Discard, pipe)
	}
	testErr := cmd.Wait()
	if testErr != nil && s.failures() == 0 {
		// Whatever it was, it must not pass for a success.
		s.fail("go test", testErr.Error()+"\n")
	}
	s.close()
	if s.failures() > 0 {
		return fmt.Errorf("%d failed", s.failures())
	}
	return nil
}

// haveCgo reports whether the race detector can be had, which needs cgo.
func haveCgo(ctx context.Context) bool {
	out, err := exec.CommandContext(ctx, "go", "env", "CGO_ENABLED").Output()
	return err == nil && string(out) == "1\n"
}
