//go:build unix

package child

import "syscall"

// maxInherited is above every descriptor that an engine hands on.
const maxInherited = 32

func sealUpTo(first, last int) {
	for fd := first; fd <= last; fd++ {
		syscall.CloseOnExec(fd)
	}
}
