// Package classtest writes class files for tests, which therefore need no
// compiler.
package classtest

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/openeas/eascmd/internal/classfile"
)

// Java8 and the others are versions of the format.
const (
	Java8  = 52
	Java17 = 61
	Java21 = 65
)

// A file's parts: the table of constants grows while the rest is written.
type writer struct {
	constants []byte
	count     uint16
	texts     map[string]uint16
	classes   map[string]uint16
}

func (w *writer) add(kind byte, data []byte) uint16 {
	w.constants = append(append(w.constants, kind), data...)
	w.count++
	return w.count
}

func (w *writer) utf8(text string) uint16 {
	n, ok := w.texts[text]
	if !ok {
		if len(text) > math.MaxUint16 {
			panic("a text of a class file has at most 65535 bytes")
		}
		n = w.add(1, append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...))
		w.texts[text] = n
	}
	return n
}

func (w *writer) class(name string) uint16 {
	n, ok := w.classes[name]
	if !ok {
		n = w.add(7, binary.BigEndian.AppendUint16(nil, w.utf8(strings.ReplaceAll(name, ".", "/"))))
		w.classes[name] = n
	}
	return n
}

func (w *writer) members(out []byte, list []classfile.Member) []byte {
	out = binary.BigEndian.AppendUint16(out, uint16(len(list)))
	for _, m := range list {
		for _, v := range [...]uint16{uint16(m.Access), w.utf8(m.Name), w.utf8(m.Descriptor), 0} {
			out = binary.BigEndian.AppendUint16(out, v)
		}
	}
	return out
}

// Bytes writes a class file. Without a version it is one of Java 8, without a
// superclass it extends java.lang.Object. Methods have no code: such a file can
// be read, and not be run.
func Bytes(c classfile.Class) []byte {
	w := &writer{texts: map[string]uint16{}, classes: map[string]uint16{}}
	if c.Version == (classfile.Version{}) {
		c.Version.Major = Java8
	}
	if c.Super == "" && c.Name != "java.lang.Object" {
		c.Super = "java.lang.Object"
	}
	var body []byte
	u2 := func(v uint16) { body = binary.BigEndian.AppendUint16(body, v) }
	u2(uint16(c.Access))
	u2(w.class(c.Name))
	if c.Super == "" {
		u2(0)
	} else {
		u2(w.class(c.Super))
	}
	u2(uint16(len(c.Interfaces)))
	for _, name := range c.Interfaces {
		u2(w.class(name))
	}
	body = w.members(body, c.Fields)
	body = w.members(body, c.Methods)
	u2(0) // attributes
	for _, s := range c.Strings {
		w.add(8, binary.BigEndian.AppendUint16(nil, w.utf8(s)))
	}

	out := []byte{0xca, 0xfe, 0xba, 0xbe}
	for _, v := range [...]uint16{c.Version.Minor, c.Version.Major, w.count + 1} {
		out = binary.BigEndian.AppendUint16(out, v)
	}
	return append(append(out, w.constants...), body...)
}
