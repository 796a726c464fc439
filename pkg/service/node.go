package service

import (
	"bytes"
	"strconv"

	"github.com/tailscale/hujson"
)

// node is a JSON value that knows where it was written. Scalars keep their
// text, so that what is passed on is what the author wrote.
type node struct {
	kind    hujson.Kind // '{', '[', '"', '0' for numbers, 't', 'f', 'n'
	off     int
	raw     []byte   // scalars: the text, quotes included
	members []member // objects, in order
	elems   []*node  // arrays
	index   map[string]int
}

// member is one field of an object.
type member struct {
	name  string
	as    string // the field as the file spells it, from the root
	off   int    // of the name
	value *node
}

// smallObject is the size up to which an object is searched without an index.
const smallObject = 16

// get returns the member of that name, or nil.
func (n *node) get(name string) *member {
	if n.index != nil {
		if i, ok := n.index[name]; ok {
			return &n.members[i]
		}
		return nil
	}
	for i := range n.members {
		if n.members[i].name == name {
			return &n.members[i]
		}
	}
	return nil
}

// add appends a member whose name is not there yet.
func (n *node) add(m member) {
	n.members = append(n.members, m)
	switch {
	case n.index != nil:
		n.index[m.name] = len(n.members) - 1
	case len(n.members) > smallObject:
		n.index = make(map[string]int, 2*len(n.members))
		for i, m := range n.members {
			n.index[m.name] = i
		}
	}
}

// text returns a scalar's text, without quotes and escapes where it is a
// string.
func (n *node) text() string {
	if n.kind == '"' {
		return unquote(n.raw)
	}
	return string(n.raw)
}

func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	return hujson.Literal(raw).String()
}

// what names the value's kind for a message.
func (n *node) what() string {
	switch n.kind {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "text"
	case '0':
		return "a number"
	case 'n':
		return "null"
	default:
		return "a boolean"
	}
}

// shown names the value's kind and shows scalars.
func (n *node) shown() string {
	if n.kind == '{' || n.kind == '[' || n.kind == 'n' {
		return n.what()
	}
	return n.what() + " (" + brief(n) + ")"
}

// appendJSON appends the value as compact JSON: order of members and text of
// scalars as they were written.
func (n *node) appendJSON(b []byte) []byte {
	switch n.kind {
	case '{':
		b = append(b, '{')
		for i, m := range n.members {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, m.name)
			b = append(b, ':')
			b = m.value.appendJSON(b)
		}
		return append(b, '}')
	case '[':
		b = append(b, '[')
		for i, e := range n.elems {
			if i > 0 {
				b = append(b, ',')
			}
			b = e.appendJSON(b)
		}
		return append(b, ']')
	default:
		return append(b, n.raw...)
	}
}

// appendString appends s as a JSON string without HTML escapes.
func appendString(b []byte, s string) []byte {
	return append(b, hujson.String(s)...)
}

// build turns a parsed value into nodes. A name that an object has twice is a
// fault unless both values are the same; readers of JSON differ in which of
// the two they take.
func (p *parser) build(v hujson.Value, path string) *node {
	n := &node{kind: v.Value.Kind(), off: v.StartOffset}
	switch t := v.Value.(type) {
	case hujson.Literal:
		n.raw = t
	case *hujson.Array:
		n.elems = make([]*node, len(t.Elements))
		for i, e := range t.Elements {
			n.elems[i] = p.build(e, path+"["+strconv.Itoa(i)+"]")
		}
	case *hujson.Object:
		n.members = make([]member, 0, len(t.Members))
		for _, om := range t.Members {
			m := member{name: unquote(om.Name.Value.(hujson.Literal)), off: om.Name.StartOffset}
			m.as = join(path, m.name)
			m.value = p.build(om.Value, m.as)
			first := n.get(m.name)
			if first == nil {
				n.add(m)
				continue
			}
			sev, fix, text := Error, "keep one of them", "is given twice with different values, first at %s"
			if same(first.value, m.value) {
				sev, fix, text = Warning, "remove one of them", "is given twice, first at %s"
			}
			if !p.full(sev) {
				p.add(sev, m.off, m.as, fix, text, p.at(first.off))
			}
		}
	}
	return n
}

// join appends a field's name to the path of its object.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// same reports whether two values mean the same, as lenient readers see it:
// "5", 5 and 5.0 do.
func same(a, b *node) bool {
	if a.kind == '{' || a.kind == '[' || b.kind == '{' || b.kind == '[' {
		if a.kind != b.kind || len(a.members) != len(b.members) || len(a.elems) != len(b.elems) {
			return false
		}
		for i := range a.elems {
			if !same(a.elems[i], b.elems[i]) {
				return false
			}
		}
		for _, m := range a.members {
			if other := b.get(m.name); other == nil || !same(m.value, other.value) {
				return false
			}
		}
		return true
	}
	s, t := a.text(), b.text()
	if s == t {
		return (a.kind == 'n') == (b.kind == 'n')
	}
	if len(s) > 15 || len(t) > 15 { // beyond the exact range of a float64
		return false
	}
	x, errX := strconv.ParseFloat(s, 64)
	y, errY := strconv.ParseFloat(t, 64)
	return errX == nil && errY == nil && x == y
}
