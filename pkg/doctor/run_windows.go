package doctor

import "os/exec"

// ownGroup does nothing: the program alone is ended.
func ownGroup(*exec.Cmd) {}

// writable is not known beforehand.
func writable(string) error { return nil }
