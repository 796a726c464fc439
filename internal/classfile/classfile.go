// Package classfile reads class files of Java: which Java they need, what they
// extend, their fields and methods and the texts that their code names.
//
// It reads what any compiler for the Java virtual machine writes, that of Kotlin
// or Scala as well. Code and attributes are stepped over and not understood.
// Damaged and hostile files give errors, never a panic, and take no more memory
// than some multiple of their size.
package classfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Access says how a class, a field or a method may be used.
type Access uint16

// The flags of Access. Some numbers mean another thing for methods than for
// classes.
const (
	Public     Access = 0x0001
	Private    Access = 0x0002
	Protected  Access = 0x0004
	Static     Access = 0x0008
	Interface  Access = 0x0200
	Abstract   Access = 0x0400
	Synthetic  Access = 0x1000 // made by the compiler
	Annotation Access = 0x2000
	Enum       Access = 0x4000
	module     Access = 0x8000
)

// Class is what a class file says. Names of classes are as Class.getName has
// them: com.example.Outer$Inner.
type Class struct {
	Version    Version
	Access     Access
	Name       string
	Super      string // empty for java.lang.Object
	Interfaces []string
	Fields     []Member
	Methods    []Member
	Strings    []string // constants of the type String, in the order of the file
}

// Version is the version of the format, which says which Java reads the file.
type Version struct{ Major, Minor uint16 }

// Feature is the number of the oldest Java that reads the file: 8, 17, 21.
func (v Version) Feature() int { return int(v.Major) - 44 }

// Preview reports whether the file needs features of that very Java that were
// not final, and therefore no other.
func (v Version) Preview() bool { return v.Major >= 56 && v.Minor == 0xffff }

// Member is a field or a method. The name of a constructor is <init>.
type Member struct {
	Access     Access
	Name       string
	Descriptor string
}

// Header is how many bytes of a file ReadVersion needs.
const Header = 8

// ReadVersion reads the version out of the first bytes of a class file.
func ReadVersion(head []byte) (Version, error) {
	if len(head) < Header || binary.BigEndian.Uint32(head) != 0xcafebabe {
		return Version{}, errors.New("it is no class file")
	}
	return Version{Minor: binary.BigEndian.Uint16(head[4:]), Major: binary.BigEndian.Uint16(head[6:])}, nil
}

// Kinds of constants. Each is followed by as many bytes as constantSize says.
const (
	constUtf8   = 1
	constLong   = 5
	constDouble = 6
	constClass  = 7
	constString = 8
)

var constantSize = [...]int{3: 4, 4: 4, constLong: 8, constDouble: 8, constClass: 2, constString: 2,
	9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}

// constant is an entry of the table of constants.
type constant struct {
	kind    byte
	data    []byte
	text    string // of a Utf8 that was asked for
	decoded bool   // so that a text that is named often is decoded once
}

// reader reads a file from its front. After the first error it gives zeros.
type reader struct {
	data      []byte
	at        int
	constants []constant
	err       error
}

// Parse reads a class file.
func Parse(data []byte) (*Class, error) {
	version, err := ReadVersion(data)
	if err != nil {
		return nil, err
	}
	r := &reader{data: data, at: Header}
	r.readConstants()
	c := &Class{Version: version, Access: Access(r.u2())}
	if c.Access&module != 0 && r.err == nil {
		return nil, errors.New("it describes a module and no class")
	}
	c.Name = r.class(r.u2())
	if super := r.u2(); super != 0 {
		c.Super = r.class(super)
	}
	for range r.u2() {
		c.Interfaces = append(c.Interfaces, r.class(r.u2()))
		if r.err != nil {
			break
		}
	}
	c.Fields = r.members()
	c.Methods = r.members()
	r.skipAttributes()
	if r.err == nil && r.at < len(data) {
		r.fail("%d bytes follow its end", len(data)-r.at)
	}
	if r.err != nil {
		return nil, r.err
	}
	for i := range r.constants {
		if r.constants[i].kind == constString {
			c.Strings = append(c.Strings, r.utf8(binary.BigEndian.Uint16(r.constants[i].data)))
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// next returns the next n bytes, or nil.
func (r *reader) next(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.data)-r.at {
		r.fail("it is cut off: it has %d bytes", len(r.data))
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at]
}

func (r *reader) u1() byte {
	if b := r.next(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u2() uint16 {
	if b := r.next(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) readConstants() {
	count := int(r.u2())
	// An entry takes three bytes at least.
	r.constants = make([]constant, min(count, (len(r.data)-r.at)/3+2))
	for i := 1; i < count && r.err == nil; i++ {
		if i >= len(r.constants) {
			r.fail("it is cut off: it has %d bytes", len(r.data))
			return
		}
		kind := r.u1()
		size := 0
		switch {
		case kind == constUtf8:
			size = int(r.u2())
		case int(kind) < len(constantSize) && constantSize[kind] > 0:
			size = constantSize[kind]
		case r.err == nil:
			r.fail("it has a constant of unknown kind %d", kind)
		}
		r.constants[i] = constant{kind: kind, data: r.next(size)}
		if kind == constLong || kind == constDouble {
			i++ // they count twice
		}
	}
}

// of returns the constant with a number, which must be of a kind.
func (r *reader) of(index uint16, kind byte) *constant {
	if r.err != nil {
		return nil
	}
	if int(index) >= len(r.constants) || r.constants[index].kind != kind {
		r.fail("it refers to constant %d, which is not what it has to be", index)
		return nil
	}
	return &r.constants[index]
}

func (r *reader) utf8(index uint16) string {
	c := r.of(index, constUtf8)
	if c == nil {
		return ""
	}
	if !c.decoded {
		c.text, c.decoded = decode(c.data), true
	}
	return c.text
}

// class returns the name of a class.
func (r *reader) class(index uint16) string {
	c := r.of(index, constClass)
	if c == nil {
		return ""
	}
	return strings.ReplaceAll(r.utf8(binary.BigEndian.Uint16(c.data)), "/", ".")
}

func (r *reader) members() []Member {
	var list []Member
	for range r.u2() {
		m := Member{Access: Access(r.u2())}
		m.Name = r.utf8(r.u2())
		m.Descriptor = r.utf8(r.u2())
		r.skipAttributes()
		if r.err != nil {
			return nil
		}
		list = append(list, m)
	}
	return list
}

func (r *reader) skipAttributes() {
	for range r.u2() {
		r.u2()
		size := r.next(4)
		if size == nil {
			return
		}
		n := binary.BigEndian.Uint32(size)
		if uint64(n) > uint64(len(r.data)) {
			n = uint32(len(r.data)) // more than there is, whatever the size of int
		}
		r.next(int(n))
	}
}
