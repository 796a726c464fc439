//go:build unix

package hosttest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

func leadGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// isReset reports whether err says that a process died with unread frames of ours.
func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// signalNumber returns the number of the signal that ended a process, or 0.
func signalNumber(state *os.ProcessState) int {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return 0
	}
	return int(status.Signal())
}

func kill(pid int) { syscall.Kill(pid, syscall.SIGKILL) }

// alive reports whether a process runs. One that has ended and that nobody has waited
// for does not.
func alive(pid int) bool {
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		_, rest, _ := strings.Cut(string(stat), ") ")
		return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
	}
	return syscall.Kill(pid, 0) == nil
}
