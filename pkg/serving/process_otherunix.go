//go:build unix && !linux

package serving

import "syscall"

func workerAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func lockThread() func() { return func() {} }

func volunteer(int) {}

// reap waits for the end of the process and ends what is left of its group.
func (p *process) reap() error {
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	killGroup(p.pid)
	return err
}

func residentMB(int) int64 { return 0 }

func (p *process) terminate() { p.cmd.Process.Signal(syscall.SIGTERM) }
