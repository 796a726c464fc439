package service

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Canonical returns the description as indented JSON in its normal form: what
// concerns the processor at the top level (name, model_path, processor_path …)
// as processors and the older half of all descriptions have it, resources and
// settings nested under metadata, and every dotted key of a known object
// spelled out. Unknown fields stay where they are, values keep their text,
// members their order. Comments, $schema and nulls of known fields are gone.
//
// The token is in it: never print it unmasked.
func (d *Description) Canonical() []byte {
	var out bytes.Buffer
	// The text comes from a parsed tree, so it indents without an error.
	_ = json.Indent(&out, d.root.appendJSON(nil), "", "  ")
	out.WriteByte('\n')
	return out.Bytes()
}

// Has reports whether the description gives a field, by its path in the normal
// form, such as "metadata.rpc.keepalive".
func (d *Description) Has(path string) bool { return d.root.find(path) != nil }

// find returns the member at a dotted path of objects, or nil.
func (n *node) find(path string) *member {
	var m *member
	for name := range strings.SplitSeq(path, ".") {
		if n.kind != '{' {
			return nil
		}
		if m = n.get(name); m == nil {
			return nil
		}
		n = m.value
	}
	return m
}

// Properties returns the settings that a running service lists at
// /api/builtin/prop, as text under dotted keys: all of metadata.rpc as rpc.*
// and all of metadata.eas as eas.*, unknown ones included. Only what the
// description gives is in it, and no token.
func (d *Description) Properties() map[string]string {
	props := make(map[string]string)
	for _, section := range [...]string{"rpc", "eas"} {
		if m := d.root.find("metadata." + section); m != nil && m.value.kind == '{' {
			flatten(m.value, section, props)
		}
	}
	delete(props, "rpc.token")
	return props
}

func flatten(n *node, path string, into map[string]string) {
	for _, m := range n.members {
		at := join(path, m.name)
		switch m.value.kind {
		case '{':
			flatten(m.value, at, into)
		case '[':
			into[at] = string(m.value.appendJSON(nil))
		case 'n':
		default:
			into[at] = m.value.text()
		}
	}
}
