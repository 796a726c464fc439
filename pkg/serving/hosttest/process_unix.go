//go:build unix

package hosttest

import (
	"errors"
	"os/exec"
	"syscall"
)

func leadGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// isReset reports whether err says that a process died with unread frames of ours.
func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
