package classfile

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decode reads the UTF-8 of class files: zero takes two bytes, and characters
// beyond the first 65536 are two surrogates of three bytes each. What is
// malformed becomes U+FFFD.
func decode(data []byte) string {
	plain := true
	for _, b := range data {
		if b >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		return string(data)
	}
	var b strings.Builder
	b.Grow(len(data))
	for len(data) > 0 {
		c, n := unit(data)
		data = data[n:]
		if utf16.IsSurrogate(c) {
			low, m := rune(0), 0
			if len(data) > 0 {
				low, m = unit(data)
			}
			if c = utf16.DecodeRune(c, low); c != utf8.RuneError {
				data = data[m:]
			}
		}
		b.WriteRune(c)
	}
	return b.String()
}

// unit reads one UTF-16 unit, and says how many bytes it takes.
func unit(data []byte) (rune, int) {
	follows := func(i int) bool { return i < len(data) && data[i]&0xc0 == 0x80 }
	switch c := rune(data[0]); {
	case c < 0x80:
		return c, 1
	case c&0xe0 == 0xc0 && follows(1):
		return c&0x1f<<6 | rune(data[1]&0x3f), 2
	case c&0xf0 == 0xe0 && follows(1) && follows(2):
		return c&0xf<<12 | rune(data[1]&0x3f)<<6 | rune(data[2]&0x3f), 3
	}
	return utf8.RuneError, 1
}

// Types returns what a method takes and returns, in the words of a Java
// program: byte[], String, com.example.Request. ok is false where the
// descriptor is malformed.
func (m Member) Types() (parameters []string, result string, ok bool) {
	rest, ok := strings.CutPrefix(m.Descriptor, "(")
	if !ok {
		return nil, "", false
	}
	const most = 255 // of the format
	for !strings.HasPrefix(rest, ")") {
		var t string
		if t, rest, ok = typeName(rest); !ok || t == "void" || len(parameters) == most {
			return nil, "", false
		}
		parameters = append(parameters, t)
	}
	result, rest, ok = typeName(rest[1:])
	return parameters, result, ok && rest == ""
}

// typeName reads the type that a descriptor begins with.
func typeName(d string) (name, rest string, ok bool) {
	elements := strings.TrimLeft(d, "[")
	dimensions := len(d) - len(elements)
	if elements == "" || dimensions > 255 {
		return "", "", false
	}
	rest = elements[1:]
	switch elements[0] {
	case 'B':
		name = "byte"
	case 'C':
		name = "char"
	case 'D':
		name = "double"
	case 'F':
		name = "float"
	case 'I':
		name = "int"
	case 'J':
		name = "long"
	case 'S':
		name = "short"
	case 'Z':
		name = "boolean"
	case 'V':
		name = "void"
	case 'L':
		class, after, found := strings.Cut(rest, ";")
		if !found || class == "" {
			return "", "", false
		}
		name, rest = Source(strings.ReplaceAll(class, "/", ".")), after
	default:
		return "", "", false
	}
	return name + strings.Repeat("[]", dimensions), rest, true
}

// Source is the name of a class as a program writes it: those of the JDK
// without their package, nested ones with a dot.
func Source(class string) string {
	if strings.HasPrefix(class, "java.") {
		class = class[strings.LastIndexByte(class, '.')+1:]
	}
	// A $ at the beginning or the end is a part of the name.
	b := []byte(class)
	for i := 1; i < len(b)-1; i++ {
		if b[i] == '$' && b[i-1] != '.' && b[i-1] != '$' {
			b[i] = '.'
		}
	}
	return string(b)
}
