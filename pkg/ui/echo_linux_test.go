package ui_test

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// waitForEcho waits until a terminal shows what is typed, or does not.
func waitForEcho(t *testing.T, terminal *os.File, want bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		settings, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if (settings.Lflag&unix.ECHO != 0) == want {
			return
		}
	}
	t.Fatalf("echo did not become %v", want)
}
