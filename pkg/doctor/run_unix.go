//go:build unix

package doctor

import (
	"os/exec"
	"syscall"
)

// ownGroup has a program ended together with all that it has started: what
// hangs is often the child of a script.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
