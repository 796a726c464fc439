//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// ignoreBrokenPipe makes writing to a reader that is gone an error in place of
// sudden death. The signal is caught and not ignored: processes that are
// started would inherit the latter.
func ignoreBrokenPipe() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
