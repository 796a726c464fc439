package service

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files and the generated documentation")

const (
	referencePage = "../../docs/service-description.md"
	schemaFile    = "../../docs/reference/service.schema.json"

	beginFields = "<!-- The lines below are made from the Go types: go test ./pkg/service -update -->\n"
	endFields   = "<!-- end of the generated lines -->\n"
)

// golden compares a file with what it should be, or writes it.
func golden(t *testing.T, file string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(have)); diff != "" {
		t.Errorf("%s is not current, run `go test ./pkg/service -update` (-want +have):\n%s", file, diff)
	}
}

// TestReferencePage keeps the list of fields in the documentation current.
func TestReferencePage(t *testing.T) {
	page, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := bytes.Cut(page, []byte(beginFields))
	_, after, ok2 := bytes.Cut(rest, []byte(endFields))
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the fields", referencePage)
	}
	var want bytes.Buffer
	want.Write(before)
	want.WriteString(beginFields)
	writeFields(&want, reflect.TypeFor[Description](), "")
	want.WriteString(endFields)
	want.Write(after)
	golden(t, referencePage, want.Bytes())
}

// TestSchemaFile keeps the schema that editors fetch current.
func TestSchemaFile(t *testing.T) {
	want, err := JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, schemaFile, want)
	if !strings.HasSuffix(SchemaID, "/"+strings.TrimPrefix(schemaFile, "../../")) {
		t.Errorf("%s is not the address of %s", SchemaID, schemaFile)
	}
}

// TestEveryFieldIsDescribed checks the tags that page and schema are made of.
func TestEveryFieldIsDescribed(t *testing.T) {
	walkFields(reflect.TypeFor[Description](), "", func(path string, f reflect.StructField) {
		if text := f.Tag.Get("jsonschema_description"); !strings.HasSuffix(text, ".") || strings.Contains(text, "|") {
			t.Errorf("%s: the description %q is not a sentence that fits into a table", path, text)
		}
		if f.Type.Kind() == reflect.Bool {
			if _, ok := rule(f, "default"); !ok {
				t.Errorf("%s has no default", path)
			}
		}
	})
}

// TestDefaultsAgree checks that what the tags call the default of a field that
// is not zero by nature is what a description without it has.
func TestDefaultsAgree(t *testing.T) {
	d, err := Parse("s.json", []byte(`{"name":"x","processor":"pmml","model_path":"oss://b/m"}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, v := 0, reflect.ValueOf(*d); i < v.NumField(); i++ {
		if f := v.Type().Field(i); f.Type.Kind() == reflect.Bool {
			if want, _ := rule(f, "default"); want != fmt.Sprint(v.Field(i).Bool()) {
				t.Errorf("%s is %v, its tag says %s", nameOf(f), v.Field(i).Bool(), want)
			}
		}
	}
}

// writeFields writes the fields of struct type t as a table, then those of the
// objects in it, each under a heading.
func writeFields(w *bytes.Buffer, t reflect.Type, path string) {
	w.WriteString("\n| Field | Type | Default | Meaning |\n|---|---|---|---|\n")
	for i := range t.NumField() {
		f := t.Field(i)
		name := nameOf(f)
		if name == "" {
			continue
		}
		initial, _ := rule(f, "default")
		if initial != "" {
			initial = "`" + initial + "`"
		}
		fmt.Fprintf(w, "| `%s` | %s | %s | %s |\n", name, typeName(f), initial, f.Tag.Get("jsonschema_description")+second(join(path, name)))
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if name := nameOf(f); name != "" {
			at, ft := join(path, name), elem(f.Type)
			if ft.Kind() == reflect.Slice && shapeOf(ft) == list {
				at, ft = at+"[]", elem(ft.Elem())
			}
			if shapeOf(ft) == object && (ft != reflect.TypeFor[EnvVar]() || path == "") {
				fmt.Fprintf(w, "\n### %s\n\n%s\n", at, f.Tag.Get("jsonschema_description"))
				writeFields(w, ft, at)
			}
		}
	}
}

// second names the second place of a field that has one.
func second(path string) string {
	for _, a := range aliases {
		if a.first == path {
			return " Also `" + a.second + "`."
		}
	}
	return ""
}

func typeName(f reflect.StructField) string {
	switch f.Tag.Get("form") {
	case "json":
		return "text or object"
	case "quantity":
		return "number or percentage"
	}
	t := elem(f.Type)
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return "any"
	case t.Kind() == reflect.Slice:
		if elem(t.Elem()).Kind() == reflect.Struct {
			return "list of objects"
		}
		return "list of text"
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Float64:
		return "object of numbers"
	case t.Kind() == reflect.Map:
		return "object of text"
	case t.Kind() == reflect.Struct:
		return "object"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Float64:
		return "number"
	case t.Kind() == reflect.String:
		if values := enum(f); len(values) > 0 {
			return "`" + strings.Join(values, "`, `") + "`"
		}
		return "text"
	default:
		least, most := limits(f)
		if most == 1<<31-1 {
			if least == 0 {
				return "whole number"
			}
			return fmt.Sprintf("whole number from %d", least)
		}
		return fmt.Sprintf("whole number, %d to %d", least, most)
	}
}

// enum returns the values that a field's tag allows.
func enum(f reflect.StructField) []string {
	var values []string
	for part := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
		if v, ok := strings.CutPrefix(part, "enum="); ok {
			values = append(values, v)
		}
	}
	return values
}

// zeroFields returns the paths of the fields of d that have their zero, or the
// default that a description without them has.
func zeroFields(d *Description) []string {
	var empty []string
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name := nameOf(f)
			if name == "" {
				continue
			}
			fv, at := reflect.Indirect(v.Field(i)), join(path, name)
			switch initial, _ := rule(f, "default"); {
			case !fv.IsValid() || fv.Kind() != reflect.Bool && fv.IsZero(), fv.Kind() == reflect.Bool && initial == fmt.Sprint(fv.Bool()):
				empty = append(empty, at)
			case fv.Kind() == reflect.Struct:
				walk(fv, at)
			case fv.Kind() == reflect.Slice && fv.Type().Elem().Kind() == reflect.Struct:
				walk(fv.Index(0), at+"[0]")
			}
		}
	}
	walk(reflect.ValueOf(d).Elem(), "")
	return empty
}
