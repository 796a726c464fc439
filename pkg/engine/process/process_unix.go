//go:build unix

package process

import (
	"os"
	"os/exec"
	"syscall"
)

const supported = true

// setSession gives the program a session of its own, so that Ctrl-C in a
// terminal reaches only the program that the user started.
//
// There is no parent-death signal: it would come when the thread that started
// the program ends, not the process, and the lifeline does the same for both.
func setSession(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}

// terminate asks a process to end. One that has ended is fine.
func terminate(p *os.Process) { p.Signal(syscall.SIGTERM) }
