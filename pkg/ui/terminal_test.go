package ui_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/ui"
)

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestTalkGoesToStandardError(t *testing.T) {
	term, stdout, stderr := buffers(t)
	term.OK("Serving at: [%s]", "http://127.0.0.1:80")
	term.Warn("slow")
	term.Info("two\nlines")
	term.Debug("hidden")
	term.Verbose = true
	term.Debug("shown")
	term.Error("eascmd", "it failed", "try again")
	term.Error("eascmd", "it failed", "")
	want := `[OK] Serving at: [http://127.0.0.1:80]
[WARN] slow
two
lines
[DEBUG] shown
eascmd: error: it failed
eascmd: hint: try again
eascmd: error: it failed
`
	if diff := cmp.Diff(want, stderr.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if stdout.Len() > 0 {
		t.Errorf("standard output has %q", stdout)
	}
}

func TestColour(t *testing.T) {
	tests := []struct {
		name string
		env  func(string) (string, bool)
		want bool
	}{
		{"by itself", noEnv, true},
		{"NO_COLOR", env("NO_COLOR", "1"), false},
		{"NO_COLOR with any value", env("NO_COLOR", "0"), false},
		{"empty NO_COLOR", env("NO_COLOR", ""), true},
		{"dumb terminal", env("TERM", "dumb"), false},
		{"some terminal", env("TERM", "xterm"), true},
		{"CI", env("CI", "true"), false},
		{"CI=false", env("CI", "false"), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := ui.New(nil, nil, nil, test.env).Colour; got != test.want {
				t.Errorf("Colour = %v, want %v", got, test.want)
			}
		})
	}

	term, _, stderr := buffers(t)
	term.OK("plain")
	term.ErrTTY = true
	term.OK("green")
	if got, want := stderr.String(), "[OK] plain\n\x1b[32m[OK]\x1b[0m green\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPlainProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term, _, stderr := buffers(t)
		p := term.Progress("model.tar.gz")
		const total = 100 << 20
		for done := int64(0); done <= total; done += 1 << 20 {
			p.Update(done, total)
			time.Sleep(100 * time.Millisecond)
		}
		p.Done()
		p.Done()
		p.Update(total, total)
		want := `model.tar.gz: 30%, 30.0 MiB of 100 MiB, 10.0 MiB/s, 7s left
model.tar.gz: 80%, 80.0 MiB of 100 MiB, 10.0 MiB/s, 2s left
`
		if diff := cmp.Diff(want, stderr.String()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestShortProgressIsSilent(t *testing.T) {
	for _, live := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			term, _, stderr := buffers(t)
			term.Live = live
			p := term.Progress("model.tar.gz")
			p.Update(1, 2)
			time.Sleep(300 * time.Millisecond)
			p.Update(2, 2)
			p.Done()
			if stderr.Len() > 0 {
				t.Errorf("live %v: standard error has %q", live, stderr)
			}
		})
	}
}

func TestBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term, stdout, stderr := buffers(t)
		term.Live = true
		p := term.Progress("model")
		other := term.Progress("other")
		p.Update(0, 2<<20)
		time.Sleep(time.Second)
		p.Update(1<<20, 2<<20)
		p.Update(1<<20, 2<<20) // too soon for another
		other.Update(1, 2)     // one bar at a time
		term.OK("between")
		if err := term.Print(ui.Table, viewOf{ui.Text("result")}); err != nil {
			t.Fatal(err)
		}
		p.Done()
		bar := "model [============            ] 50%, 1.00 MiB of 2.00 MiB, 1.00 MiB/s, 1s left"
		bar = bar[:79] // the terminal's last column stays free
		erase := "\r" + strings.Repeat(" ", len(bar)) + "\r"
		want := bar + erase + "[OK] between\n" + bar + erase + bar + erase
		if diff := cmp.Diff(want, stderr.String()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if got, want := stdout.String(), "result\n"; got != want {
			t.Errorf("standard output has %q, want %q", got, want)
		}
	})
}

func TestProgressOfUnknownLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term, _, stderr := buffers(t)
		p := term.Progress("model")
		p.Update(0, -1)
		time.Sleep(4 * time.Second)
		p.Update(4096, -1)
		p.Done()
		if got, want := stderr.String(), "model: 4.00 KiB, 1.00 KiB/s\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Nothing is estimated from what came in the first second, however late that
// was, nor from what was there before.
func TestNoEarlyEstimate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term, _, stderr := buffers(t)
		p := term.Progress("copying Python")
		time.Sleep(4 * time.Second)
		p.Update(10<<20, 100<<20)
		time.Sleep(5 * time.Second)
		p.Update(60<<20, 100<<20)
		p.Done()
		want := "copying Python: 10%, 10.0 MiB of 100 MiB\ncopying Python: 60%, 60.0 MiB of 100 MiB, 10.0 MiB/s, 4s left\n"
		if diff := cmp.Diff(want, stderr.String()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestBytes(t *testing.T) {
	tests := map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 10 << 10: "10.0 KiB", 100 << 10: "100 KiB",
		1<<20 - 1: "1.00 MiB", 1 << 20: "1.00 MiB", 1536 << 20: "1.50 GiB", 1 << 62: "4096 PiB",
	}
	for n, want := range tests {
		if got := ui.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}
