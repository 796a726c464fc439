package serving

import (
	"os"
	"syscall"
)

// On Windows a service runs in a container, where the gateway is the Linux
// one; these make the package compile.

func workerAttributes() *syscall.SysProcAttr { return nil }

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

func killGroup(int) {}

func endedByTerm(*os.ProcessState) bool { return true }

func exitSignal(*os.ProcessState) string { return "" }

func (p *process) terminate() {}
