package child

import (
	"math"

	"golang.org/x/sys/unix"
)

// SealDescriptors keeps what the program inherited (the plan, locks) from the
// processes that it starts.
func SealDescriptors() {
	const first = 3 // after standard error
	if unix.CloseRange(first, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	sealUpTo(first, maxInherited) // Linux before 5.11
}
