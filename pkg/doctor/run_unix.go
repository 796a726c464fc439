//go:build unix

package doctor

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownGroup has a program ended together with all that it has started: what
// hangs is often the child of a script.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// writable says why this user may not make files in a directory.
func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }
