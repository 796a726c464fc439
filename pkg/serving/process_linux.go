package serving

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// workerAttributes put a worker into a process group of its own, so that what
// it started can be ended with it, and let it die with the thread that starts
// it (see lockThread), so that even one that has not connected yet does not
// outlive a killed gateway.
func workerAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// lockThread keeps a goroutine on its thread: the kernel sends the
// parent-death signal when the thread ends that started the process.
func lockThread() func() {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// workerOOMScore makes a worker the kernel's choice when memory runs out, so
// that the gateway survives to explain.
const workerOOMScore = 500

// volunteer sets the score, unless it is higher already. Failing is harmless:
// the process may be gone.
func volunteer(pid int) {
	file := filepath.Join("/proc", strconv.Itoa(pid), "oom_score_adj")
	data, _ := os.ReadFile(file)
	if score, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && score < workerOOMScore {
		os.WriteFile(file, []byte(strconv.Itoa(workerOOMScore)), 0)
	}
}

// reap waits for the end of the process and ends what is left of its group.
// That happens before the process is waited for: until then its number is
// nobody else's.
func (p *process) reap() error {
	for unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	p.mu.Lock()
	p.end()
	p.ended = true
	p.mu.Unlock()
	return p.cmd.Wait()
}

// residentMB is the resident memory of a process in megabytes, 0 where it
// cannot be read.
func residentMB(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize()) >> 20
}

// terminate sends SIGTERM to a worker whose processor handles it. To one that
// does not it would be a sudden end.
func (p *process) terminate() {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(data)) {
		mask, ok := strings.CutPrefix(line, "SigCgt:")
		if !ok {
			continue
		}
		caught, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
		if err == nil && caught&(1<<(uint(syscall.SIGTERM)-1)) != 0 {
			p.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
}
