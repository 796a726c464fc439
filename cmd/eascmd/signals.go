package main

import (
	"os"
	"os/signal"
	"syscall"
)

// endSignals lists the signals that ask the program to end. A hang-up that
// nohup made harmless stays harmless.
func endSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}
