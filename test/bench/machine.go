//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is where it was measured, and with what.
type machine struct {
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	Memory   int64             `json:"memory"` // bytes
	System   string            `json:"system"`
	Kernel   string            `json:"kernel"`
	Versions map[string]string `json:"versions"`

	// Busy is the share of the processors, 0 to 1, that others used before
	// anything was measured.
	Busy float64 `json:"busy"`
}

func (b *bench) describeMachine(ctx context.Context) error {
	m := &b.figures.Machine
	m.Cores = runtime.NumCPU()
	m.CPU = field("/proc/cpuinfo", "model name", ":")
	m.System = strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`)
	kb, _, _ := strings.Cut(field("/proc/meminfo", "MemTotal", ":"), " ")
	if n, err := strconv.ParseInt(kb, 10, 64); err == nil {
		m.Memory = n << 10
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	m.Kernel = unix.ByteSliceToString(name.Release[:]) + " " + unix.ByteSliceToString(name.Machine[:])

	m.Versions = map[string]string{"go": strings.TrimPrefix(runtime.Version(), "go")}
	for program, args := range map[string][]string{
		compiler("CXX", "g++", "c++"): {"--version"},
		b.programs["nginx"]:           {"-v"},
		b.programs["wrk"]:             {"-v"},
		b.programs["valgrind"]:        {"--version"},
	} {
		if program == "" {
			continue
		}
		// wrk prints its version and fails; nginx prints it to standard error.
		out, _ := exec.CommandContext(ctx, program, args...).CombinedOutput()
		m.Versions[program[strings.LastIndexByte(program, '/')+1:]] = version(out)
	}

	before, err := readCPU()
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Second):
	}
	after, err := readCPU()
	if err != nil {
		return err
	}
	m.Busy = before.busyUntil(after)
	if m.Busy > 0.1 {
		b.say("warning: other programs use %.0f %% of this machine's processors; the figures will show it", 100*m.Busy)
	}
	return nil
}

// field returns the value of the first line of a file that begins with name,
// or empty.
func field(path, name, separator string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, separator); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// version finds the version number in what a program says of itself.
func version(out []byte) string {
	first, _, _ := bytes.Cut(out, []byte("\n"))
	if m := regexp.MustCompile(`\d+\.\d+(\.\d+)*`).FindAll(first, -1); len(m) > 0 {
		// "g++ (Debian 12.2.0-14) 12.2.0": the last one is the program's own.
		return string(m[len(m)-1])
	}
	return "unknown"
}

// cpuUse is the first line of /proc/stat, in ticks.
type cpuUse struct{ idle, all int64 }

func readCPU() (cpuUse, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpuUse{}, err
	}
	return parseCPU(text)
}

func parseCPU(text []byte) (cpuUse, error) {
	first, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(first)
	if len(fields) < 9 || fields[0] != "cpu" {
		return cpuUse{}, errors.New("/proc/stat does not begin with the sum of all processors")
	}
	var u cpuUse
	// user nice system idle iowait irq softirq steal; guests are in user.
	for i, f := range fields[1:9] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return cpuUse{}, fmt.Errorf("/proc/stat: %w", err)
		}
		u.all += n
		if i == 3 || i == 4 {
			u.idle += n
		}
	}
	return u, nil
}

// busyUntil is the share of time that was not idle.
func (u cpuUse) busyUntil(later cpuUse) float64 {
	all := later.all - u.all
	if all <= 0 {
		return 0
	}
	return 1 - float64(later.idle-u.idle)/float64(all)
}
