package ui

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"
)

// Printable makes text that is not ours harmless for a terminal: escape
// sequences are removed, other control characters are shown as ^X, characters
// that reorder text and bytes that are no UTF-8 become U+FFFD. Tabs and
// newlines stay, and a carriage return counts as a newline, because what it
// is used for is to overwrite a line.
func Printable(text string) string { return printable(text, false) }

// Printable is the function of the same name, but lets colours through where
// standard error shows them.
func (t *Terminal) Printable(text string) string {
	return printable(text, t.Colour && t.ErrTTY)
}

func printable(text string, colour bool) string {
	if isPlain(text) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	painted := false
	for i := 0; i < len(text); {
		c, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case c == utf8.RuneError && n == 1:
			b.WriteRune(utf8.RuneError)
		case c == '\x1b' || isC1Introducer(c):
			var sequence string
			sequence, n = scanSequence(text[i:])
			if colour && isSGR(sequence) {
				b.WriteString(sequence)
				painted = true
			}
		case c == '\n' || c == '\t':
			b.WriteRune(c)
		case c == '\r':
			// The newline of "\r\n" follows by itself, and what a trailing
			// carriage return would overwrite is shown anyway.
			if rest := text[i+1:]; rest != "" && rest[0] != '\n' && rest[0] != '\r' {
				b.WriteByte('\n')
			}
		case c < ' ':
			b.WriteByte('^')
			b.WriteByte(byte(c) + '@')
		case c == 0x7f:
			b.WriteString("^?")
		case c >= 0x80 && c < 0xa0, reorders(c):
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(c)
		}
		i += n
	}
	if painted {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// isPlain is the fast path: printable ASCII, tabs and newlines.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < ' ' && c != '\n' && c != '\t') || c >= 0x7f {
			return false
		}
	}
	return true
}

// reorders reports characters that change the order in which others are shown
// or that separate lines in some terminals.
func reorders(c rune) bool {
	return unicode.Is(unicode.Bidi_Control, c) || c == '\u2028' || c == '\u2029'
}

// isC1Introducer reports the one-character forms of ESC P, X, [, ], ^ and _.
func isC1Introducer(c rune) bool {
	switch c {
	case 0x90, 0x98, 0x9b, 0x9d, 0x9e, 0x9f:
		return true
	}
	return false
}

// scanSequence returns the escape sequence at the start of text and its
// length in bytes. One that never ends is taken up to the end of its line, so
// that it cannot swallow all output that follows.
func scanSequence(text string) (sequence string, n int) {
	introducer, n := utf8.DecodeRuneInString(text)
	if introducer == '\x1b' {
		if n == len(text) {
			return text, n
		}
		introducer = rune(text[n]) + 0x40
		if text[n] >= 0x80 || text[n] < ' ' {
			return text[:n], n // ESC and something that is no part of a sequence
		}
		n++
	}
	switch {
	case introducer == 0x9b: // CSI: parameters, intermediates, one final byte
		for n < len(text) && text[n] >= ' ' && text[n] < 0x40 {
			n++
		}
		if n < len(text) && text[n] >= 0x40 && text[n] < 0x7f {
			n++
		}
	case isC1Introducer(introducer): // a string up to BEL or ST
		for n < len(text) {
			switch rest := text[n:]; {
			case rest[0] == '\n':
				return text[:n], n
			case rest[0] == '\a':
				return text[:n+1], n + 1
			case strings.HasPrefix(rest, "\x1b\\"), strings.HasPrefix(rest, "\u009c"):
				return text[:n+2], n + 2
			}
			n++
		}
	case introducer-0x40 < 0x30: // intermediates, then one final byte
		for n < len(text) && text[n] >= ' ' && text[n] < 0x30 {
			n++
		}
		if n < len(text) && text[n] >= 0x30 && text[n] < 0x7f {
			n++
		}
	}
	return text[:n], n
}

// isSGR reports a sequence that only sets colours and faces.
func isSGR(sequence string) bool {
	body, ok := strings.CutPrefix(sequence, "\x1b[")
	if !ok {
		return false
	}
	body, ok = strings.CutSuffix(body, "m")
	return ok && strings.Trim(body, "0123456789;:") == ""
}

// displayWidth returns the columns that text takes.
func displayWidth(text string) int { return displaywidth.String(text) }

// truncate cuts text to at most width columns.
func truncate(text string, width int) string {
	if displayWidth(text) <= width {
		return text
	}
	used := 0
	for i, c := range text {
		w := displaywidth.Rune(c)
		if used+w > width {
			return text[:i]
		}
		used += w
	}
	return text
}
