//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

// starts are times of programs that are started anew for each, in
// milliseconds.
type starts struct {
	FirstAnswer []float64 `json:"firstAnswer"` // until the answer is on standard output
	WholeTest   []float64 `json:"wholeTest"`   // until that program has ended
	Help        []float64 `json:"help"`        // until it has ended
	Empty       []float64 `json:"empty"`       // of a C program that does nothing
}

// firstBody is the request of the first answer.
const firstBody = "hello"

func (b *bench) measureStarts(ctx context.Context) error {
	b.say("first answer, %d times", b.repeats)
	s := &starts{}
	for range b.repeats {
		answer, whole, err := b.timed(ctx, firstBody, b.testCommand("--data", firstBody)...)
		if err != nil {
			return err
		}
		s.FirstAnswer = append(s.FirstAnswer, milliseconds(answer))
		s.WholeTest = append(s.WholeTest, milliseconds(whole))
		for _, other := range []struct {
			to   *[]float64
			argv []string
		}{
			{&s.Help, []string{b.eascmd, "--help"}},
			{&s.Empty, []string{b.path("testdata", "empty")}},
		} {
			_, whole, err := b.timed(ctx, "", other.argv...)
			if err != nil {
				return err
			}
			*other.to = append(*other.to, milliseconds(whole))
		}
	}
	b.figures.Starts = s
	return nil
}

// timed runs a program and returns the times from its start until it had
// printed what is wanted, and until it had ended.
func (b *bench) timed(ctx context.Context, want string, argv ...string) (printed, ended time.Duration, err error) {
	return b.timedIn(ctx, b.environment(), want, argv...)
}

// timedIn is timed with an environment.
func (b *bench) timedIn(ctx context.Context, env []string, want string, argv ...string) (printed, ended time.Duration, err error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = b.dir, env
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endTime
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	got := make([]byte, len(want))
	_, err = io.ReadFull(out, got)
	printed = time.Since(begin)
	io.Copy(io.Discard, out)
	waitErr := cmd.Wait()
	ended = time.Since(begin)
	switch {
	case waitErr != nil:
		return 0, 0, fmt.Errorf("%s: %w", argv[0], waitErr)
	case err != nil || string(got) != want:
		return 0, 0, fmt.Errorf("%s printed %q in place of %q", argv[0], got, want)
	}
	return printed, ended, nil
}
