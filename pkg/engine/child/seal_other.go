//go:build unix && !linux

package child

// SealDescriptors keeps what the program inherited (the plan, locks) from the
// processes that it starts.
func SealDescriptors() { sealUpTo(3, maxInherited) }
