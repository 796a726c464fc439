package doctor

import "golang.org/x/sys/unix"

// clockSynchronised says whether the kernel's clock is kept right.
func clockSynchronised() (synchronised, known bool) {
	var t unix.Timex
	const timeError = 5 // TIME_ERROR: not synchronised
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, false // a sandbox may forbid it
	}
	return state != timeError && t.Status&unix.STA_UNSYNC == 0, true
}
