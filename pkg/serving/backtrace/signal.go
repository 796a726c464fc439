package backtrace

import "fmt"

// Signals that a crash comes as, by Linux's numbers on amd64 and arm64: a
// record is explained on any machine.
const (
	sigILL  = 4
	sigTRAP = 5
	sigABRT = 6
	sigBUS  = 7
	sigFPE  = 8
	sigKILL = 9
	sigSEGV = 11
	sigSYS  = 31
)

// SignalName returns the name of a Linux signal, such as "SIGSEGV", or
// "signal 70" where it has none.
func SignalName(signal int) string {
	switch signal {
	case 1:
		return "SIGHUP"
	case 2:
		return "SIGINT"
	case 3:
		return "SIGQUIT"
	case sigILL:
		return "SIGILL"
	case sigTRAP:
		return "SIGTRAP"
	case sigABRT:
		return "SIGABRT"
	case sigBUS:
		return "SIGBUS"
	case sigFPE:
		return "SIGFPE"
	case sigKILL:
		return "SIGKILL"
	case 10:
		return "SIGUSR1"
	case sigSEGV:
		return "SIGSEGV"
	case 12:
		return "SIGUSR2"
	case 13:
		return "SIGPIPE"
	case 14:
		return "SIGALRM"
	case 15:
		return "SIGTERM"
	case 16:
		return "SIGSTKFLT"
	case 24:
		return "SIGXCPU"
	case 25:
		return "SIGXFSZ"
	case sigSYS:
		return "SIGSYS"
	}
	return fmt.Sprintf("signal %d", signal)
}

// Values of si_code that mean the same for every signal.
const (
	siUser   = 0
	siQueue  = -1
	siTkill  = -6
	siKernel = 0x80
)

// cause says in words what a signal's si_code means; empty where it says
// nothing more than the signal itself.
func cause(signal, code int) string {
	switch code {
	case siUser, siQueue:
		return "sent by a process"
	case siTkill:
		if signal == sigABRT {
			return "abort was called"
		}
		return "raised by the program itself"
	}
	switch signal {
	case sigSEGV:
		switch code {
		case 1:
			return "address not mapped"
		case 2:
			return "access not permitted"
		case 3:
			return "failed address bound checks"
		case 4:
			return "access denied by a protection key"
		case siKernel:
			return "a garbage pointer" // not canonical: the CPU does not tell the address
		}
	case sigBUS:
		switch code {
		case 1:
			return "address not aligned"
		case 2:
			return "no such memory: a mapped file is shorter than its mapping, or shared memory ran out"
		case 3:
			return "hardware error of an object"
		case 4, 5:
			return "hardware memory error"
		}
	case sigILL:
		switch code {
		case 1, 2:
			return "the CPU does not know the instruction: built for a newer one (-march), perhaps"
		case 3:
			return "illegal addressing mode"
		case 4:
			return "illegal trap"
		case 5, 6:
			return "privileged instruction"
		case 7:
			return "coprocessor error"
		case 8:
			return "internal stack error"
		}
	case sigFPE:
		switch code {
		case 1:
			return "integer division by zero"
		case 2:
			return "integer overflow"
		case 3:
			return "floating-point division by zero"
		case 4:
			return "floating-point overflow"
		case 5:
			return "floating-point underflow"
		case 6:
			return "floating-point inexact result"
		case 7:
			return "invalid floating-point operation"
		case 8:
			return "subscript out of range"
		}
	case sigTRAP:
		switch code {
		case 1, siKernel:
			return "breakpoint"
		case 2:
			return "trace trap"
		}
	case sigSYS:
		if code == 1 {
			return "the system call is forbidden by a seccomp filter"
		}
	}
	return ""
}

// hasAddress says whether the record's fault address means anything for a
// signal: those that the program raises itself or is sent carry none.
func hasAddress(signal, code int) bool {
	if code <= 0 || code == siKernel {
		return false
	}
	return signal == sigSEGV || signal == sigBUS
}
