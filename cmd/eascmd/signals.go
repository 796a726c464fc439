package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameSignal is for how long a second signal counts as the first one that
// reached us twice, as to a process and to its group.
const sameSignal = 300 * time.Millisecond

// endSignals lists the signals that ask the program to end. A hang-up that
// nohup made harmless stays harmless.
func endSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// cutOff is what a second signal does.
const cutOff = "ended at once; requests in flight were cut off"

// again tells of a second signal, after the one that has just come. Whoever
// asks for it has to end the program when it comes, and calls stop in the end.
// From then on signals do nothing: what is left is to clean up, which takes a
// moment and must not be broken off by a third one.
func again() (second <-chan os.Signal, stop func()) {
	all, later := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(all, endSignals()...)
	done := make(chan struct{})
	first := time.Now()
	go func() {
		for {
			select {
			case s := <-all:
				if time.Since(first) < sameSignal {
					continue
				}
				select {
				case later <- s:
				default:
				}
			case <-done:
				return
			}
		}
	}()
	return later, func() { close(done) }
}
