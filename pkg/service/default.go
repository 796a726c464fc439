package service

import (
	"reflect"
	"strings"
)

// Field is what is known of a field of descriptions.
type Field struct {
	Default string // the value where none is given; "" for none, zero or not said
	Text    bool   // its value is text, even where it looks like a number
}

// Fields returns every field that has a place of its own, by its path in the
// normal form. Elements of lists are not among them.
func Fields() map[string]Field {
	fields := make(map[string]Field)
	walkFields(reflect.TypeFor[Description](), "", func(path string, f reflect.StructField) {
		if strings.Contains(path, "[]") {
			return
		}
		value, _ := rule(f, "default")
		fields[path] = Field{Default: value, Text: elem(f.Type).Kind() == reflect.String}
	})
	return fields
}
