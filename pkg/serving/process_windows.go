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

func residentMB(int) int64 { return 0 }

func killGroup(int) {}

func exitSignal(*os.ProcessState) string { return "" }

func (p *process) terminate() {}
