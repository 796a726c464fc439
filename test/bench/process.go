//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is a program that runs while something is measured.
type child struct {
	cmd   *exec.Cmd
	log   string // file with its standard error
	stdin io.WriteCloser
	done  chan struct{}
	err   error // how it ended, once done is closed
}

// How long a server may take to end when it is asked to, and to be ready:
// under valgrind both take a while.
const (
	endTime   = 20 * time.Second
	readyTime = 60 * time.Second
)

// start starts a program of which nobody else will take care: it ends with
// this process, however that one ends. stdout may be nil.
func start(ctx context.Context, log string, env []string, stdout io.Writer, argv ...string) (*child, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = env
	cmd.Stdout = stdout
	cmd.Stderr = file
	// Not in the terminal's foreground group: Ctrl-C reaches this process alone,
	// which then ends its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endTime
	c := &child{cmd: cmd, log: log, done: make(chan struct{})}
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.err = cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// end asks the program to end with sig, or where that is 0 by closing its
// standard input, and waits until it has.
func (c *child) end(sig syscall.Signal) error {
	if sig == 0 {
		c.stdin.Close()
	} else {
		c.cmd.Process.Signal(sig)
	}
	select {
	case <-c.done:
	case <-time.After(endTime):
		c.cmd.Process.Kill()
		<-c.done
		return fmt.Errorf("%s did not end within %v", filepath.Base(c.cmd.Path), endTime)
	}
	if status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == sig {
		return nil // some clean up and then let the signal have its usual effect
	}
	if c.err != nil {
		return c.died()
	}
	return nil
}

// died says how the program ended and what it last said.
func (c *child) died() error {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return errors.Join(c.err, err)
	}
	const most = 1 << 10
	text = bytes.TrimSpace(text[max(0, len(text)-most):])
	return fmt.Errorf("%s ended: %s\n%s", filepath.Base(c.cmd.Path), c.cmd.ProcessState, text)
}

// output runs a program to its end and returns what it printed.
func output(ctx context.Context, dir string, env []string, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// It ends together with what it has started, such as the compilers of go build.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = endTime
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// procStat is what is read of /proc/<pid>/stat.
type procStat struct {
	parent int
	ticks  int64 // of processor time, user and system
}

// ticksPerSecond is the unit of times in /proc, which is fixed for programs
// whatever the kernel's own is.
const ticksPerSecond = 100

func parseStat(text []byte) (procStat, error) {
	// The second field is the program's name in parentheses, which may itself
	// hold blanks and parentheses.
	_, rest, ok := bytes.Cut(text[max(0, bytes.LastIndexByte(text, ')')):], []byte(") "))
	fields := strings.Fields(string(rest)) // from the third on
	if !ok || len(fields) < 13 {
		return procStat{}, fmt.Errorf("not a line of /proc/<pid>/stat: %.80q", text)
	}
	var s procStat
	var user, system int64
	var err error
	for _, f := range []struct {
		to   *int64
		text string
	}{{&user, fields[11]}, {&system, fields[12]}} {
		if *f.to, err = strconv.ParseInt(f.text, 10, 64); err != nil {
			return procStat{}, err
		}
	}
	if s.parent, err = strconv.Atoi(fields[1]); err != nil {
		return procStat{}, err
	}
	s.ticks = user + system
	return s, nil
}

func readStat(pid int) (procStat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(text)
}

// cpuTime is the processor time of the processes so far, all together.
func cpuTime(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		s, err := readStat(pid)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(s.ticks) * (time.Second / ticksPerSecond)
	}
	return sum, nil
}

// childrenOf returns the processes that pid has started.
func childrenOf(pid int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// A process may be gone by now.
		if s, err := readStat(id); err == nil && s.parent == pid {
			pids = append(pids, id)
		}
	}
	return pids, nil
}

// parseRSS finds the resident memory in /proc/<pid>/status, in bytes.
func parseRSS(text []byte) (int64, error) {
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("no VmRSS in /proc/<pid>/status")
}

// memory is the resident memory of the processes in bytes, all together.
func memory(pids ...int) (int64, error) {
	var sum int64
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		n, err := parseRSS(text)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
