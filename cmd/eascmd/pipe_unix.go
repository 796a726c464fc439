//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// catchBrokenPipe makes writing to a reader that is gone an error in place of
// sudden death. The signal is caught and not ignored: processes that are
// started would inherit the latter.
func catchBrokenPipe() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
