package service

import (
	"reflect"
	"strconv"
	"strings"
)

// normalizer brings one object, the description or an element of a list, into
// the normal form: every known field nested and in its first place.
type normalizer struct {
	*parser
	root *node
	path string       // of root in the file; "" for the description
	typ  reflect.Type // of root
}

// normalize returns src, which is decoded as struct type t, in normal form.
func (p *parser) normalize(src *node, t reflect.Type, path string) *node {
	nz := normalizer{parser: p, path: path, typ: t, root: &node{kind: '{', off: src.off}}
	nz.place(src, nil, t)
	return nz.root
}

// place puts the members of src, an object of type t at path at, into root.
func (nz *normalizer) place(src *node, at []string, t reflect.Type) {
	for _, m := range src.members {
		if nz.path == "" && len(at) == 0 && m.name == "$schema" {
			continue // for editors
		}
		path, ft, known := nz.locate(at, t, m.name)
		if known && m.value.kind == 'n' {
			continue // null is how some writers say "not given"
		}
		sh := anything
		if known {
			sh = shapeOf(ft)
		}
		switch {
		case sh == object && m.value.kind == '{':
			if nz.put(path, m, nil) {
				nz.place(m.value, path, elem(ft))
			}
		case sh == table && m.value.kind == '{':
			if nz.put(path, m, nil) {
				for _, entry := range m.value.members {
					nz.put(append(path[:len(path):len(path)], entry.name), entry, entry.value)
				}
			}
		case sh == list && m.value.kind == '[' && elem(ft.Elem()).Kind() == reflect.Struct:
			l := &node{kind: '[', off: m.value.off, elems: make([]*node, len(m.value.elems))}
			for i, e := range m.value.elems {
				if e.kind == '{' {
					e = nz.normalize(e, elem(ft.Elem()), m.as+"["+strconv.Itoa(i)+"]")
				}
				l.elems[i] = e
			}
			nz.put(path, m, l)
		default:
			nz.put(path, m, m.value)
		}
	}
}

// locate says where the member name of an object of type t at path at belongs.
// A dotted name is followed as far as it leads through known objects; what
// remains is one name, as in "labels" whose names may hold dots, or an unknown
// field, whose name is left alone.
func (nz *normalizer) locate(at []string, t reflect.Type, name string) (path []string, ft reflect.Type, known bool) {
	const longest = 512 // more than any name has; the loop is quadratic
	for end := len(name); end > 0 && len(name) <= longest; end = strings.LastIndexByte(name[:end], '.') {
		path := append(at[:len(at):len(at)], name[:end])
		if f, ok := nz.field(t, name[:end]); ok {
			ft = f.Type
		} else if first, ok := nz.alias(path); ok {
			path, ft = strings.Split(first, "."), typeAt(first)
		} else {
			continue
		}
		if end == len(name) {
			return path, ft, true
		}
		rest := name[end+1:]
		switch shapeOf(ft) {
		case object:
			return nz.locate(path, elem(ft), rest)
		case table:
			return append(path, rest), ft.Elem(), true
		}
	}
	return append(at[:len(at):len(at)], name), nil, false
}

// alias returns the first place of a path that is a second place.
func (nz *normalizer) alias(path []string) (string, bool) {
	if nz.path != "" || len(path) > 2 {
		return "", false
	}
	return firstPlace(strings.Join(path, "."))
}

// put stores a value at a path of root, and the objects that lead to it. A nil
// value stands for an object whose members follow. Two spellings of a field
// have to agree. It reports whether the place is now an object that members
// can be put into.
func (nz *normalizer) put(path []string, m member, value *node) bool {
	if value == nil {
		value = &node{kind: '{', off: m.value.off}
	}
	n := nz.root
	for i, name := range path {
		last := i == len(path)-1
		have := n.get(name)
		if have == nil {
			v := value
			if !last {
				v = &node{kind: '{', off: m.value.off}
			}
			n.add(member{name: name, as: m.as, off: m.off, value: v})
			n = v
			continue
		}
		n = have.value
		if n.kind == '{' && (!last || value.kind == '{' && len(value.members) == 0) {
			continue
		}
		if last && same(n, value) {
			continue
		}
		if !nz.full(Error) {
			nz.conflict(path[:i+1], have, m)
		}
		return false
	}
	return n.kind == '{'
}

func (nz *normalizer) conflict(path []string, have *member, m member) {
	field := join(nz.path, strings.Join(path, "."))
	other := ""
	if have.as != m.as {
		other = "as " + strconv.Quote(clip(have.as)) + " "
	}
	if path[len(path)-1] == "token" { // a secret is not shown
		nz.add(Error, m.off, field, "keep one of them", "has another value %sat %s", other, nz.at(have.off))
		return
	}
	nz.add(Error, m.off, field, "keep one of them", "is %s here, but %s %sat %s", brief(m.value), brief(have.value), other, nz.at(have.off))
}

// brief shows a value inside a message.
func brief(n *node) string {
	if n.kind == '{' || n.kind == '[' {
		return n.what()
	}
	return clip(string(n.raw))
}
