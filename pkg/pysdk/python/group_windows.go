package python

import "os/exec"

// ownGroup does nothing: the program alone is ended.
func ownGroup(*exec.Cmd) {}
