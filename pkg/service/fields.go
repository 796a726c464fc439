package service

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// aliases are the second places of fields that have two. The first place is
// where a field stands in Description and in the normal form.
var aliases = [...]struct{ second, first string }{
	{"metadata.name", "name"},
	{"rpc", "metadata.rpc"},
	{"metadata.autoscaler", "autoscaler"},
	{"networking.enable_grpc", "metadata.enable_grpc"},
	{"baseimage", "runtime.base_image"},
}

// firstPlace returns the first place of a field that is given by its second.
func firstPlace(path string) (string, bool) {
	for _, a := range aliases {
		if a.second == path {
			return a.first, true
		}
	}
	return "", false
}

// NormalPlace returns where the normal form has what a description gives at path:
// a field, or what lies below one.
func NormalPlace(path string) string {
	for _, a := range aliases {
		if rest, ok := strings.CutPrefix(path, a.second); ok && (rest == "" || rest[0] == '.') {
			return a.first + rest
		}
	}
	return path
}

// shape is how a field's value looks.
type shape int

const (
	scalar shape = iota
	object       // a struct with fields of its own
	table        // a map: names are the author's
	list
	anything // passed on as it is
)

func shapeOf(t reflect.Type) shape {
	if t == reflect.TypeFor[json.RawMessage]() {
		return anything
	}
	switch t.Kind() {
	case reflect.Struct:
		return object
	case reflect.Pointer:
		return shapeOf(t.Elem())
	case reflect.Map:
		return table
	case reflect.Slice:
		return list
	default:
		return scalar
	}
}

// elem returns the struct type behind a pointer.
func elem(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// fieldsOf lists the fields of struct type t by their JSON names.
func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	fields := make(map[string]reflect.StructField, t.NumField())
	for i := range t.NumField() {
		if f := t.Field(i); nameOf(f) != "" {
			fields[nameOf(f)] = f
		}
	}
	return fields
}

// nameOf returns a field's JSON name, "" for what is not part of the format.
func nameOf(f reflect.StructField) string {
	if name := f.Tag.Get("json"); name != "-" {
		return name
	}
	return ""
}

// typeAt returns the type of the field at a path in Description.
func typeAt(path string) reflect.Type {
	t := reflect.TypeFor[Description]()
	for name := range strings.SplitSeq(path, ".") {
		t = elem(fieldsOf(t)[name].Type)
	}
	return t
}

// rule returns the value of a keyword in a field's jsonschema tag, which the
// JSON Schema and the decoder share.
func rule(f reflect.StructField, keyword string) (string, bool) {
	for part := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
		if k, v, ok := strings.Cut(part, "="); ok && k == keyword {
			return v, true
		}
	}
	return "", false
}

// limits returns the range of an integer field: from 0 to the largest 32-bit
// number unless its tag says otherwise. The bound keeps every product with a
// unit (bytes in a megabyte, nanoseconds in a second) inside 64 bits.
func limits(f reflect.StructField) (least, most int64) {
	most = 1<<31 - 1
	if v, ok := rule(f, "minimum"); ok {
		least, _ = strconv.ParseInt(v, 10, 64)
	}
	if v, ok := rule(f, "maximum"); ok {
		most, _ = strconv.ParseInt(v, 10, 64)
	}
	return least, most
}

// walkFields calls visit for every field below struct type t, parents first,
// with its path; elements of lists have [] in theirs.
func walkFields(t reflect.Type, prefix string, visit func(path string, f reflect.StructField)) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := nameOf(f)
		if name == "" {
			continue
		}
		path := join(prefix, name)
		visit(path, f)
		switch ft := elem(f.Type); shapeOf(f.Type) {
		case object:
			walkFields(ft, path, visit)
		case list:
			if e := elem(ft.Elem()); e.Kind() == reflect.Struct {
				walkFields(e, path+"[]", visit)
			}
		}
	}
}
