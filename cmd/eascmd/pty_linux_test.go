package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
)

// atTerminal runs the program at a pseudo-terminal and answers each prompt
// once. What the terminal showed is in stderr.
func atTerminal(ctx context.Context, t *testing.T, answers [][2]string, args ...string) outcome {
	t.Helper()
	person, program, err := pty.Open()
	if err != nil {
		t.Skip("no pseudo-terminal: ", err)
	}
	defer person.Close()
	shown := make(chan string, 1)
	go func() {
		var all strings.Builder
		var b [256]byte
		for {
			n, err := person.Read(b[:])
			all.Write(b[:n])
			for len(answers) > 0 && strings.Contains(all.String(), answers[0][0]) {
				person.WriteString(answers[0][1])
				answers = answers[1:]
			}
			if err != nil { // the program's end was closed
				shown <- all.String()
				return
			}
		}
	}()
	status := Main(ctx, args, program, program, program)
	program.Close()
	select {
	case text := <-shown:
		return outcome{"", text, status}
	case <-time.After(time.Minute):
		t.Fatal("the terminal did not end")
		return outcome{}
	}
}

func TestConfigAsks(t *testing.T) {
	home := emptyHome(t)
	t.Setenv("NO_COLOR", "1")
	got := atTerminal(t.Context(), t, [][2]string{
		{"Access key id: ", "LTAI5tabcdef1234\n"},
		{"Access key secret: ", "hush\n"},
	}, "config")
	if got.status != 0 || !strings.Contains(got.stderr, "[OK] Stored access_key_id, access_key_secret of profile [default]") {
		t.Fatalf("%+v", got)
	}
	data, err := os.ReadFile(filepath.Join(home, ".eas", "config"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("access_key_id = LTAI5tabcdef1234\naccess_key_secret = hush\n", string(data)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestInterruptedPrompt(t *testing.T) {
	emptyHome(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := atTerminal(ctx, t, nil, "config", "-i", "a")
	if got.status != 130 || !strings.Contains(got.stderr, "interrupted") {
		t.Errorf("%+v", got)
	}
}
