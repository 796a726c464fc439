//go:build !windows

package ui

// enableSequences reports whether the terminal understands escape sequences.
func enableSequences(any) bool { return true }
