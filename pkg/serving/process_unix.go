//go:build unix

package serving

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// killGroup ends what is left of a worker's process group.
func killGroup(pid int) { syscall.Kill(-pid, syscall.SIGKILL) }

// endedByTerm reports whether SIGTERM ended a process, by its default or by
// what a program makes of it.
func endedByTerm(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && (status.Signaled() && status.Signal() == syscall.SIGTERM || status.ExitStatus() == 128+int(syscall.SIGTERM))
}

// exitSignal names the signal that ended a process, empty where none did.
func exitSignal(state *os.ProcessState) string {
	if state == nil {
		return ""
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return ""
	}
	return fmt.Sprintf("%d (%s)", status.Signal(), unix.SignalName(status.Signal()))
}
