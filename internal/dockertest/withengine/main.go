// Command withengine runs a command, the tests, with a Docker Engine for them.
//
// Where an engine answers, the tests use that. Where none does, root on Linux
// starts one for as long as the command takes; on Debian what is needed for it
// is installed first. Its images are kept for the next time. Where no engine
// can be had, the command runs all the same, and tests that need one are
// skipped with the reason.
//
// The daemon ends with this command on every way out. If this command is
// killed, the kernel tells the daemon to end.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/openeas/eascmd/internal/dockertest"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: withengine COMMAND [ARG]...")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	status, err := run(ctx, os.Args[1:], os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "withengine:", err)
	}
	stop()
	os.Exit(status)
}

// grace is how long the command may take to end after it was interrupted.
const grace = 30 * time.Second

// run provides an engine, runs a command and returns its exit status.
func run(ctx context.Context, args []string, log io.Writer) (status int, err error) {
	env, end, missing := provide(ctx, log)
	defer func() {
		if e := end(); e != nil {
			status, err = max(status, 1), errors.Join(err, e)
		}
	}()
	if missing != nil {
		fmt.Fprintf(log, "no Docker Engine for the tests: %v\n", missing)
		env = append(env, dockertest.EnvMissing+"="+missing.Error())
	}
	if ctx.Err() != nil {
		return 130, errors.New("interrupted")
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		// It has said itself what went wrong.
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// provide finds or starts an engine and sees to its base image. It returns the
// variables that lead to it and what ends it, which is never nil, or why there
// is none.
func provide(ctx context.Context, log io.Writer) (env []string, end func() error, missing error) {
	end = func() error { return nil }
	host, err := dockertest.Find(ctx)
	if err != nil {
		if os.Getenv("DOCKER_HOST") != "" {
			return nil, end, err // a wish that cannot be met by another
		}
		var started error
		if host, end, started = start(ctx, log); started != nil {
			return nil, end, fmt.Errorf("%w; none can be started: %w", err, started)
		}
		env = []string{"DOCKER_HOST=" + host, dockertest.EnvHost + "=" + host}
	}
	fmt.Fprintf(log, "the tests use the Docker Engine at %s\n", host)
	if err := dockertest.EnsureBase(ctx, host, log); err != nil {
		// Each test that needs the image says so too.
		fmt.Fprintf(log, "the image %s: %v\n", dockertest.BaseImage, err)
	}
	return env, end, nil
}
