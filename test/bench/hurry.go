//go:build linux

package main

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// hurry has this program, and those that it starts, go before the usual ones of
// this machine until usual is called: on a busy machine the line, who sends and
// who receives are as fast as on an idle one. Being nice to nobody would not do,
// since on many systems that counts within a session alone. Where it is not
// allowed nothing changes.
func hurry() (usual func()) {
	// Threads that wait in the kernel have the runtime's processors for a while.
	processors := runtime.GOMAXPROCS(max(8, runtime.NumCPU()))
	schedule(unix.SCHED_RR, 1)
	return func() {
		schedule(unix.SCHED_NORMAL, 0)
		runtime.GOMAXPROCS(processors)
	}
}

// schedule sets how all threads are scheduled; those to come are as the one that
// makes them.
func schedule(policy, priority uint32) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, task := range tasks {
		if id, err := strconv.Atoi(task.Name()); err == nil {
			_ = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Priority: priority}, 0)
		}
	}
}
