package hosttest

import "os/exec"

func leadGroup(*exec.Cmd) {}

func isReset(error) bool { return false }
