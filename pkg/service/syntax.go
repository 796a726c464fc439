package service

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// explain reports a syntax error. hujson says where it gave up; what stands
// there and before it usually tells the mistake.
func (p *parser) explain(err error, text []byte, unclosed loose) {
	var line, column int
	if _, e := fmt.Sscanf(err.Error(), "hujson: line %d, column %d:", &line, &column); e != nil {
		p.add(Error, 0, "", "", "%v", err)
		return
	}
	off := 0
	for range line - 1 {
		off += bytes.IndexByte(text[off:], '\n') + 1
	}
	off = min(off+column-1, len(text))

	rest := text[off:]
	switch {
	case strings.Contains(err.Error(), "parsing string") && unclosed.text >= 0:
		p.badString(text, unclosed.text)
		return
	case len(bytes.TrimSpace(rest)) == 0:
		p.unexpectedEnd(text, unclosed.brackets)
		return
	}
	r, _ := utf8.DecodeRune(rest)
	where := err.Error()
	switch {
	case r == '"' && strings.Contains(where, "invalid literal"):
		p.badString(text, off)
	case bytes.HasPrefix(rest, []byte("/*")):
		p.add(Error, off, "", "add */", "the comment is never closed")
	case strings.Contains(where, "line comment"):
		p.add(Error, off, "", "remove it", "a line separator character (U+%04X) stands in a comment", r)
	case r == '\'':
		p.add(Error, off, "", "use double quotes", "text is in single quotes")
	case strings.ContainsRune("“”„‟＂«»‘’", r):
		p.add(Error, off, "", "write \"", "%q is a typographic quotation mark", r)
	case strings.ContainsRune("，：｛｝［］、；", r):
		p.add(Error, off, "", "write it in ASCII", "%q is a full-width character", r)
	case strings.Contains(where, "at start of object name") || isWord(r) && bytes.ContainsAny(text[:off], "{,") && p.nameFollows(text, off):
		if word := wordAt(rest); word != "" {
			p.add(Error, off, "", fmt.Sprintf("write %q", clip(word)), "the field name %s has no quotation marks", clip(word))
			return
		}
		p.add(Error, off, "", "write the name in double quotes", "%q stands where a field name should be", r)
	case strings.Contains(where, "after object name"):
		p.add(Error, off, "", "put a colon between name and value", "%q stands where a colon should be", r)
	case strings.Contains(where, "after object value"), strings.Contains(where, "after array value"):
		p.afterValue(text, off, r)
	case strings.Contains(where, "after top-level value"):
		p.add(Error, off, "", "remove it, or remove the } that comes too early", "%q stands after the end of the description", r)
	case strings.Contains(where, "at start of value") && (r == '}' || r == ']' || r == ','):
		if bytes.HasSuffix(bytes.TrimRight(text[:off], " \t\r\n"), []byte(":")) {
			p.add(Error, off, "", "write a value or remove the field", "%q stands where a value should be", r)
			return
		}
		p.add(Error, off, "", "remove it", "%q stands where a field or a value should be", r)
	case isWord(r):
		p.badWord(wordAt(rest), off)
	default:
		p.add(Error, off, "", "write text in double quotes, a number, true, false, {…} or […]", "%q stands where a value should be", r)
	}
}

// unexpectedEnd reports a text that ends too early.
func (p *parser) unexpectedEnd(text []byte, open []int) {
	end := len(bytes.TrimRight(text, " \t\r\n"))
	if end == 0 {
		p.add(Error, 0, "", "`eascmd init` writes one to start from", "the file is empty")
		return
	}
	if len(open) == 0 {
		p.add(Error, end, "", "", "the file ends too early")
		return
	}
	last := open[len(open)-1]
	closing := "}"
	if text[last] == '[' {
		closing = "]"
	}
	p.add(Error, end, "", "add "+closing, "the file ends, but the %c of %s is not closed", text[last], p.at(last))
}

// badString reports a string that JSON does not allow.
func (p *parser) badString(text []byte, off int) {
	for i := off + 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n' || c == '\r':
			p.add(Error, off, "", "add \" at its end, or write \\n for a line break", "the text is not closed on its line")
			return
		case c < ' ':
			p.add(Error, i, "", fmt.Sprintf("write \\u%04x", c), "a control character stands in the text")
			return
		case c == '\\':
			next, _ := utf8.DecodeRune(text[i+1:])
			if next >= ' ' && !strings.ContainsRune(`"\/bfnrtu`, next) {
				p.add(Error, i, "", `write \\ for a backslash`, `\%s is not an escape of JSON`, clip(string(next)))
				return
			}
			if next < ' ' {
				continue // the next round reports it
			}
			if i+1 < len(text) && text[i+1] == 'u' && !isHex4(text[i+2:]) {
				p.add(Error, i, "", `write four hexadecimal digits after \u`, `\u is not followed by four hexadecimal digits`)
				return
			}
			i++
		case c == '"':
			p.add(Error, off, "", "", "the text is not valid JSON")
			return
		}
	}
	p.add(Error, off, "", "add \" at its end", "the text is not closed")
}

func isHex4(b []byte) bool {
	return len(b) >= 4 && len(bytes.Trim(b[:4], "0123456789abcdefABCDEF")) == 0
}

// afterValue reports what stands where a comma or a closing bracket should.
func (p *parser) afterValue(text []byte, off int, r rune) {
	// The place to repair is the end of the value, often a line above.
	end := len(bytes.TrimRight(text[:off], " \t\r\n"))
	switch {
	case r == '"' || r == '{' || r == '[' || isWord(r):
		if bytes.ContainsRune(text[end:off], '\n') {
			p.add(Error, end, "", "add a comma", "a comma is missing after this value")
			return
		}
		p.add(Error, off, "", "add a comma before it", "a comma is missing before this")
	case r == '}' || r == ']':
		p.add(Error, off, "", "close the bracket that was opened last first", "%q closes nothing here", r)
	default:
		p.add(Error, off, "", "put a comma between values", "%q stands where a comma should be", r)
	}
}

// badWord reports a bare word that is no JSON value.
func (p *parser) badWord(word string, off int) {
	switch lower := strings.ToLower(word); lower {
	case "true", "false", "null":
		p.add(Error, off, "", "write "+lower, "%s is spelled in lower case", word)
	case "none":
		p.add(Error, off, "", "write null or remove the field", "None is not a value of JSON")
	case "yes", "on":
		p.add(Error, off, "", "write true", "%s is not a value of JSON", word)
	case "no", "off":
		p.add(Error, off, "", "write false", "%s is not a value of JSON", word)
	default:
		if strings.ContainsRune("+-.0123456789", rune(word[0])) {
			p.add(Error, off, "", "numbers look like 10, 0.5 and 1e3; anything else goes in double quotes", "%s is not a number of JSON", clip(word))
			return
		}
		p.add(Error, off, "", "write it in double quotes if it is text", "%s is not a value of JSON", clip(word))
	}
}

// nameFollows reports whether the word at off stands where a field name
// should: it is followed by a colon.
func (p *parser) nameFollows(text []byte, off int) bool {
	after := bytes.TrimLeft(text[off+len(wordAt(text[off:])):], " \t")
	return len(after) > 0 && after[0] == ':'
}

// isWord reports whether r can start a bare word or number.
func isWord(r rune) bool {
	return r == '_' || r == '-' || r == '+' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// wordAt returns the bare word that b starts with.
func wordAt(b []byte) string {
	n := bytes.IndexFunc(b, func(r rune) bool { return !isWord(r) })
	if n < 0 {
		n = len(b)
	}
	return string(b[:n])
}
