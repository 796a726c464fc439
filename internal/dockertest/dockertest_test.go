package dockertest

import (
	"os/exec"
	"testing"
)

func TestProgramIsStatic(t *testing.T) {
	out, err := exec.Command(Program(t), "version").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s %s", Program(t), out)
}

func TestBase(t *testing.T) { t.Log(Host(t), Base(t)) }
