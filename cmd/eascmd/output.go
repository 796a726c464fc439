package main

import (
	"context"
	"errors"
	"os"
	"syscall"
)

// errUnread is why a program ends whose output nobody reads any more.
var errUnread = errors.New("nobody reads the output any more")

// statusUnread is the exit status of a program whose output nobody reads any
// more: the one that shells report where the broken pipe itself has ended it.
// We end by ourselves, because there are things to clean up.
const statusUnread = 128 + 13

// output is standard output or standard error. When nobody reads it any more
// it says so.
type output struct {
	file *os.File
	gone context.CancelCauseFunc
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		o.gone(errUnread)
	}
	return n, err
}

// Fd lets a terminal be known as one.
func (o *output) Fd() uintptr { return o.file.Fd() }
