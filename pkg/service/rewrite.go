package service

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Rewritten returns the description in its normal form, as Canonical does, with
// other texts in fields of the top level. An empty text leaves the field out; one
// that the description does not give comes last, the fields sorted by name.
//
// The token is in it: never print it unmasked.
func (d *Description) Rewritten(fields map[string]string) []byte {
	root := &node{kind: '{'}
	seen := map[string]bool{}
	text := func(name, value string) {
		if value != "" {
			root.add(member{name: name, value: &node{kind: '"', raw: appendString(nil, value)}})
		}
	}
	for _, m := range d.root.members {
		if value, ok := fields[m.name]; ok {
			seen[m.name] = true
			text(m.name, value)
			continue
		}
		root.add(m)
	}
	var more []string
	for name := range fields {
		if !seen[name] {
			more = append(more, name)
		}
	}
	slices.Sort(more)
	for _, name := range more {
		text(name, fields[name])
	}
	var out bytes.Buffer
	// The text comes from a tree, so it indents without an error.
	_ = json.Indent(&out, root.appendJSON(nil), "", "  ")
	out.WriteByte('\n')
	return out.Bytes()
}
