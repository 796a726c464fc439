package ui_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.uber.org/goleak"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/ui"
)

// openPTY returns the two ends of a pseudo-terminal: the person's and the
// program's.
func openPTY(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, program, err := pty.Open()
	if err != nil {
		t.Skip("no pseudo-terminal: ", err)
	}
	t.Cleanup(func() { person.Close(); program.Close() })
	return person, program
}

// expect reads from the person's end until text was seen.
func expect(t *testing.T, person *os.File, text string) string {
	t.Helper()
	seen := make(chan string, 1)
	go func() {
		var all []byte
		var b [256]byte
		for !strings.Contains(string(all), text) {
			n, err := person.Read(b[:])
			all = append(all, b[:n]...)
			if err != nil {
				break
			}
		}
		seen <- string(all)
	}()
	select {
	case all := <-seen:
		if !strings.Contains(all, text) {
			t.Fatalf("the terminal ended with %q, want %q in it", all, text)
		}
		return all
	case <-time.After(time.Minute):
		t.Fatalf("%q did not appear", text)
		return ""
	}
}

func TestSecretIsNotEchoed(t *testing.T) {
	person, program := openPTY(t)
	terminal := ui.New(program, program, program, noEnv)
	if !terminal.CanPrompt() || !terminal.Live || !terminal.Colour {
		t.Fatalf("the terminal was not recognised: %v", terminal.CanPrompt())
	}
	type reply struct {
		text string
		err  error
	}
	done := make(chan reply, 1)
	go func() {
		text, err := terminal.Secret(context.Background(), "Access key secret", "")
		if err == nil {
			terminal.Info("end")
		}
		done <- reply{text, err}
	}()
	seen := expect(t, person, "Access key secret: ")
	waitForEcho(t, program, false)
	if _, err := person.WriteString("hush\n"); err != nil {
		t.Fatal(err)
	}
	r := <-done
	if r.err != nil || r.text != "hush" {
		t.Errorf("got %q, %v", r.text, r.err)
	}
	if seen += expect(t, person, "end"); strings.Contains(seen, "hush") {
		t.Errorf("the secret was shown: %q", seen)
	}
	waitForEcho(t, program, true)
}

func TestInterruptedSecretRestoresEcho(t *testing.T) {
	person, program := openPTY(t)
	terminal := ui.New(program, program, program, noEnv)
	ctx, cancel := context.WithCancel(t.Context())
	goroutines := goleak.IgnoreCurrent()
	done := make(chan error, 1)
	go func() {
		_, err := terminal.Secret(ctx, "Access key secret", "")
		done <- err
	}()
	expect(t, person, "Access key secret: ")
	waitForEcho(t, program, false)
	cancel()
	if err := <-done; fault.KindOf(err) != fault.Interrupted {
		t.Errorf("got %v", err)
	}
	waitForEcho(t, program, true)
	if _, err := person.WriteString("\n"); err != nil { // ends the read that was left behind
		t.Fatal(err)
	}
	goleak.VerifyNone(t, goroutines)
}

func TestConfirmOnTerminal(t *testing.T) {
	person, program := openPTY(t)
	terminal := ui.New(program, program, program, noEnv)
	done := make(chan bool, 1)
	go func() {
		ok, err := terminal.Confirm(context.Background(), "Are you sure", false)
		done <- ok && err == nil
	}()
	expect(t, person, "Are you sure? [Y/n] ")
	if _, err := person.WriteString("y\n"); err != nil {
		t.Fatal(err)
	}
	if !<-done {
		t.Error("yes was not taken")
	}
}

func TestTableFitsTerminal(t *testing.T) {
	person, program := openPTY(t)
	if err := pty.Setsize(program, &pty.Winsize{Rows: 24, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	terminal := ui.New(program, program, program, noEnv)
	details := ui.Details{{Key: "Message", Value: strings.Repeat("word ", 30)}, {Key: "End", Value: "."}}
	if err := terminal.Print(ui.Table, viewOf{details}); err != nil { // fits the terminal's buffer
		t.Fatal(err)
	}
	lines := strings.Split(expect(t, person, "| ."), "\r\n")
	if len(lines) < 5 {
		t.Errorf("the long value was not wrapped: %q", lines)
	}
	for _, line := range lines {
		if len(line) > 60 {
			t.Errorf("a line of %d columns: %q", len(line), line)
		}
	}
}
