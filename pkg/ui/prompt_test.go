package ui_test

import (
	"context"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
)

func TestConfirmWithoutTerminal(t *testing.T) {
	term, _, stderr := buffers(t)
	if ok, err := term.Confirm(t.Context(), "Are you sure", true); !ok || err != nil {
		t.Errorf("with -y: %v, %v", ok, err)
	}
	_, err := term.Confirm(t.Context(), "Are you sure", false)
	if fault.KindOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "-y") {
		t.Errorf("without -y: %v, hint %q", err, fault.HintOf(err))
	}
	if stderr.Len() > 0 {
		t.Errorf("something was asked: %q", stderr)
	}
}

func TestConfirm(t *testing.T) {
	tests := []struct {
		input string
		want  bool
		asked int
	}{
		{"\n", true, 1},
		{"Y\n", true, 1},
		{"y\r\n", true, 1},
		{"yes\n", true, 1},
		{"n\n", false, 1},
		{"No\n", false, 1},
		{"what\nn\n", false, 2},
		{"y", true, 1}, // no newline before the end
	}
	for _, test := range tests {
		t.Run(test.input, func(t *testing.T) {
			term, stdout, stderr := buffers(t)
			term.In, term.InTTY, term.ErrTTY, term.Colour = strings.NewReader(test.input), true, true, false
			got, err := term.Confirm(t.Context(), "Are you sure to delete the service [a\x1b[2J]", false)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if n := strings.Count(stderr.String(), "Are you sure to delete the service [a]? [Y/n] "); n != test.asked {
				t.Errorf("asked %d times, want %d: %q", n, test.asked, stderr)
			}
			if stdout.Len() > 0 {
				t.Errorf("standard output has %q", stdout)
			}
		})
	}
}

func TestConfirmAtEndOfInput(t *testing.T) {
	term, _, _ := buffers(t)
	term.InTTY, term.ErrTTY = true, true
	ok, err := term.Confirm(t.Context(), "Are you sure", false)
	if ok || fault.KindOf(err) != fault.Interrupted {
		t.Errorf("got %v, %v", ok, err)
	}
}

// stuck is a terminal at which nobody types.
type stuck struct {
	reading func()
	release <-chan struct{}
}

func (s stuck) Read([]byte) (int, error) {
	s.reading()
	<-s.release
	return 0, context.Canceled
}

func TestConfirmInterrupted(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	term, _, stderr := buffers(t)
	term.In, term.InTTY, term.ErrTTY = stuck{cancel, release}, true, true
	for _, asked := range []int{1, 1} { // the second time it is too late to ask
		if ok, err := term.Confirm(ctx, "Are you sure", false); ok || fault.KindOf(err) != fault.Interrupted {
			t.Errorf("got %v, %v", ok, err)
		}
		if n := strings.Count(stderr.String(), "Are you sure"); n != asked {
			t.Errorf("asked %d times, want %d", n, asked)
		}
	}
}

func TestReadSecretFromPipe(t *testing.T) {
	term, _, _ := buffers(t)
	term.In = strings.NewReader(" first \r\nsecond\n\nlast")
	for _, want := range []string{"first", "second"} {
		if got, err := term.ReadSecret(t.Context(), "Secret"); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if _, err := term.ReadSecret(t.Context(), "Secret"); fault.KindOf(err) != fault.Usage {
		t.Errorf("empty line: %v", err)
	}
	if got, err := term.ReadSecret(t.Context(), "Secret"); err != nil || got != "last" {
		t.Errorf("no newline at the end: %q, %v", got, err)
	}
	if _, err := term.ReadSecret(t.Context(), "Secret"); fault.KindOf(err) != fault.Usage {
		t.Errorf("end of input: %v", err)
	}
}
