//go:build !unix

package process

import (
	"os"
	"os/exec"
)

const supported = false

func setSession(*exec.Cmd) {}

func terminate(p *os.Process) { p.Kill() }
