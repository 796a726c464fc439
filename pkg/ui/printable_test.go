package ui_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/ui"
)

func TestPrintable(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"plain", "a\tb\nc", "a\tb\nc"},
		{"empty", "", ""},
		{"UTF-8", "模型 é 🙂", "模型 é 🙂"},
		{"colour", "\x1b[1;31mred\x1b[0m", "red"},
		{"clear screen", "a\x1b[2J\x1b[Hb", "ab"},
		{"cursor up", "a\x1b[5Ab", "ab"},
		{"private mode", "a\x1b[?1049hb", "ab"},
		{"title by OSC and BEL", "a\x1b]0;title\ab", "ab"},
		{"link by OSC and ST", "a\x1b]8;;http://x\x1b\\b", "ab"},
		{"DCS", "a\x1bPq#0\x1b\\b", "ab"},
		{"OSC that never ends", "a\x1b]0;title\nb", "a\nb"},
		{"CSI that never ends", "a\x1b[12;", "a"},
		{"CSI broken by a newline", "a\x1b[12\nb", "a\nb"},
		{"lone escape", "a\x1b", "a"},
		{"escape and é", "a\x1bé", "aé"},
		{"reset", "a\x1bcb", "ab"},
		{"character set", "a\x1b(0b", "ab"},
		{"save cursor", "a\x1b7b", "ab"},
		{"8-bit CSI", "a\u009b2Jb", "ab"},
		{"8-bit OSC", "a\u009d0;t\ab", "ab"},
		{"bell and backspace", "a\a\bb", "a^G^Hb"},
		{"NUL and DEL", "\x00\x7f", "^@^?"},
		{"C1", "a\u0085b", "a\ufffdb"},
		{"no UTF-8", "a\xff\x9bb", "a\ufffd\ufffdb"},
		{"progress of a program", "10%\r20%\r30%", "10%\n20%\n30%"},
		{"CRLF", "a\r\nb\r\n", "a\nb\n"},
		{"right-to-left override", "a\u202egnp.exe", "a\ufffdgnp.exe"},
		{"line separator", "a\u2028b", "a\ufffdb"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := ui.Printable(test.text); got != test.want {
				t.Errorf("Printable(%q) = %q, want %q", test.text, got, test.want)
			}
		})
	}
}

func TestTerminalPrintableKeepsColours(t *testing.T) {
	term, _, _ := buffers(t)
	text := "\x1b[31mred\x1b[2J \x1b[38:5:1mred"
	if got, want := term.Printable(text), "red red"; got != want {
		t.Errorf("no terminal: %q, want %q", got, want)
	}
	term.Colour, term.ErrTTY = true, true
	if got, want := term.Printable(text), "\x1b[31mred \x1b[38:5:1mred\x1b[0m"; got != want {
		t.Errorf("terminal: %q, want %q", got, want)
	}
}

func FuzzPrintable(f *testing.F) {
	for _, seed := range []string{"a\x1b[31mb", "\x1b]0;x\a", "\x1b\x1b[", "\x9b2J", "\u009b", "\r\r\n", "\xff", "\x1bP\x1b\\", "\x1b(0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := ui.Printable(text)
		if !utf8.ValidString(got) {
			t.Errorf("no UTF-8: %q", got)
		}
		if i := strings.IndexFunc(got, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }); i >= 0 {
			t.Errorf("control character at byte %d of %q", i, got)
		}
		if again := ui.Printable(got); again != got {
			t.Errorf("not the same the second time: %q, %q", got, again)
		}
		if utf8.ValidString(text) && strings.IndexFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) < 0 && got != text {
			t.Errorf("harmless text was changed: %q, %q", text, got)
		}
	})
}

func TestHarmlessJSON(t *testing.T) {
	want := map[string]string{"text": "\u009b31m \u0085 \u202e \x7f \x1b 模型"}
	term, stdout, _ := buffers(t)
	if err := term.Print(ui.JSON, rawResult{want}); err != nil {
		t.Fatal(err)
	}
	if text := stdout.String(); text != ui.Printable(text) || !strings.Contains(text, "模型") {
		t.Errorf("printed %q", text)
	}
	got := map[string]string{}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
