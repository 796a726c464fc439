//go:build !linux

package localtest

import "syscall"

// addressInUse is WSAEADDRINUSE, which Windows says for EADDRINUSE.
var addressInUse error = syscall.Errno(10048)

// portHolder cannot tell here.
func portHolder(int) (string, bool) { return "", false }
