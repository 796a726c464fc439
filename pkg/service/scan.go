package service

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

var bom = []byte("\xef\xbb\xbf")

// maxDepth bounds the nesting of objects and arrays; real descriptions need
// less than ten. It is kept before anything recursive sees the text.
const maxDepth = 100

// scanFault is why scan refuses a text.
type scanFault struct {
	off  int
	text string
	fix  string
}

// loose is where a text opens what it does not close.
type loose struct {
	brackets []int // offsets, outermost first
	text     int   // offset of the first string that ends with its line, or -1
}

// scan returns a copy of src in which # comments and a byte order mark are
// blanks, so that every offset stays true, and what is left is JSON with //
// and /* */ comments and trailing commas. It refuses text that is not UTF-8
// and text that nests too deeply.
func scan(src []byte) (out []byte, unclosed loose, bad *scanFault) {
	unclosed.text = -1
	if off := invalidUTF8(src); off >= 0 {
		return nil, unclosed, &scanFault{off, "the text is not UTF-8", "save the file as UTF-8"}
	}
	out = bytes.Clone(src)
	i := 0
	if bytes.HasPrefix(src, bom) {
		i = blank(out, 0, len(bom))
	}
	for i < len(src) {
		switch c := src[i]; c {
		case '"':
			end := stringEnd(src, i)
			if unclosed.text < 0 && (end-i < 2 || src[end-1] != '"') {
				unclosed.text = i
			}
			i = end
		case '#':
			i = blank(out, i, lineEnd(src, i))
		case '/':
			i = commentEnd(src, i)
		case '{', '[':
			if len(unclosed.brackets) == maxDepth {
				return nil, unclosed, &scanFault{i, "objects and lists are nested too deeply", "at most " + strconv.Itoa(maxDepth) + " levels are read"}
			}
			unclosed.brackets = append(unclosed.brackets, i)
			i++
		case '}', ']':
			if n := len(unclosed.brackets); n > 0 {
				unclosed.brackets = unclosed.brackets[:n-1]
			}
			i++
		default:
			i++
		}
	}
	return out, unclosed, nil
}

// stringEnd returns the offset after the string that starts at i. A string
// ends at the end of its line at the latest: JSON has no longer ones, and a
// missing quote should not swallow the rest of the file.
func stringEnd(src []byte, i int) int {
	for i++; i < len(src); i++ {
		switch src[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		case '\n':
			return i
		}
	}
	return len(src)
}

func lineEnd(src []byte, i int) int {
	if n := bytes.IndexByte(src[i:], '\n'); n >= 0 {
		return i + n
	}
	return len(src)
}

// commentEnd returns the offset after the // or /* */ comment that starts at
// i, or after the slash where it starts none.
func commentEnd(src []byte, i int) int {
	switch rest := src[i:]; {
	case bytes.HasPrefix(rest, []byte("//")):
		return lineEnd(src, i)
	case bytes.HasPrefix(rest, []byte("/*")):
		if n := bytes.Index(rest[2:], []byte("*/")); n >= 0 {
			return i + 2 + n + 2
		}
		return len(src)
	}
	return i + 1
}

// blank overwrites b[from:to] with blanks and returns to.
func blank(b []byte, from, to int) int {
	for i := from; i < to; i++ {
		b[i] = ' '
	}
	return to
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}
