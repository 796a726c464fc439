//go:build unix && !linux

package serving

import "syscall"

func workerAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func lockThread() func() { return func() {} }

func volunteer(int) {}

func residentMB(int) int64 { return 0 }

func (p *process) terminate() { p.cmd.Process.Signal(syscall.SIGTERM) }
