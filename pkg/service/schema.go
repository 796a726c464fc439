package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/invopop/jsonschema"
)

// SchemaID identifies the JSON Schema and is its address: docs/reference of
// this repository holds it. Descriptions may name it, or the path of a file with
// the schema, under $schema; the key is for editors and otherwise ignored.
const SchemaID = "https://raw.githubusercontent.com/openeas/eascmd/main/docs/reference/service.schema.json"

// JSONSchema returns the JSON Schema (2020-12) of a service description, made
// from the Go types. It accepts what Parse accepts of values: numbers and
// booleans as text, dotted keys, both places of fields that have two, unknown
// fields. Comments and trailing commas are a matter of the editor.
func JSONSchema() ([]byte, error) {
	r := jsonschema.Reflector{
		Anonymous:                  true,
		ExpandedStruct:             true,
		AllowAdditionalProperties:  true,
		RequiredFromJSONSchemaTags: true,
	}
	root := r.Reflect(&Description{})
	root.ID = SchemaID
	root.Title = "PAI-EAS service description"
	l := loosener{defs: root.Definitions, done: make(map[reflect.Type]bool)}
	l.object(root, reflect.TypeFor[Description]())
	addDotted(root)
	addRules(root)

	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("write JSON Schema: %w", err)
	}
	return out.Bytes(), nil
}

// loosener makes a schema accept the loose forms of values that decode accepts.
type loosener struct {
	defs jsonschema.Definitions
	done map[reflect.Type]bool
}

// object loosens s, the schema of struct type t, and what it refers to.
func (l loosener) object(s *jsonschema.Schema, t reflect.Type) {
	if l.done[t] {
		return
	}
	l.done[t] = true
	for i := range t.NumField() {
		f := t.Field(i)
		if p, ok := s.Properties.Get(nameOf(f)); ok {
			l.value(p, elem(f.Type), f.Tag.Get("form"))
			s.Properties.Set(nameOf(f), orNull(p))
		}
	}
}

// orNull makes the schema of a field accept null, which stands for a field that
// is not given.
func orNull(s *jsonschema.Schema) *jsonschema.Schema {
	null := &jsonschema.Schema{Type: "null"}
	switch {
	case len(s.Enum) > 0:
		s.Type, s.Enum = "", append(s.Enum, nil)
	case len(s.AnyOf) > 0:
		s.AnyOf = append(s.AnyOf, null)
	case s.Ref != "" || s.Type != "":
		value := *s
		value.Description = ""
		return &jsonschema.Schema{Description: s.Description, AnyOf: []*jsonschema.Schema{&value, null}}
	}
	return s
}

// value loosens s, the schema of a value of type t.
func (l loosener) value(s *jsonschema.Schema, t reflect.Type, form string) {
	switch shapeOf(t) {
	case object:
		l.object(l.defs[t.Name()], t)
	case list:
		l.value(s.Items, elem(t.Elem()), form)
	case table:
		l.value(s.AdditionalProperties, t.Elem(), form)
	case scalar:
		l.scalar(s, t.Kind(), form)
	}
}

func (loosener) scalar(s *jsonschema.Schema, kind reflect.Kind, form string) {
	switch {
	case form == "json":
		s.Type = ""
	case form == "quantity":
		s.Type = ""
		s.AnyOf = []*jsonschema.Schema{{Type: "integer", Minimum: "0"}, {Type: "string", Pattern: `^([0-9]{1,9}%?)?$`}}
	case len(s.Enum) > 0:
	case kind == reflect.String:
		s.Type = ""
		s.AnyOf = []*jsonschema.Schema{{Type: "string"}, {Type: "number"}}
	case kind == reflect.Bool:
		s.Type = ""
		s.AnyOf = []*jsonschema.Schema{
			{Type: "boolean"},
			{Enum: []any{0, 1}},
			{Type: "string", Pattern: `^\s*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|0|1)\s*$`},
		}
	case kind == reflect.Float64:
		s.Type = ""
		s.AnyOf = []*jsonschema.Schema{
			{Type: "number", Minimum: "0"},
			{Type: "string", Pattern: `^\s*\+?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?\s*$`},
		}
	default:
		number := &jsonschema.Schema{Type: "integer", Minimum: s.Minimum, Maximum: s.Maximum}
		if number.Minimum == "" {
			number.Minimum = "0"
		}
		s.Type, s.Minimum, s.Maximum = "", "", ""
		s.AnyOf = []*jsonschema.Schema{number, {Type: "string", Pattern: `^\s*\+?[0-9]+(\.0*)?([eE]\+?[0-9]+)?\s*$`}}
	}
}

// addDotted lets fields of nested objects be given by dotted keys, and fields
// that have two places by their second. In metadata, where dotted keys are
// usual, an editor offers them; at the top level it only checks them.
func addDotted(root *jsonschema.Schema) {
	metadata := root.Definitions["Metadata"]
	root.Properties.Set("$schema", &jsonschema.Schema{Type: "string", Description: "The JSON Schema that an editor checks this file with; otherwise ignored."})
	root.PatternProperties = make(map[string]*jsonschema.Schema)
	for _, a := range aliases {
		ref := refTo(a.first)
		if in, name := cutLast(a.second); in == "" {
			root.Properties.Set(name, ref)
		} else {
			root.Definitions[typeAt(in).Name()].Properties.Set(name, ref)
			root.PatternProperties["^"+regexp.QuoteMeta(a.second)+"$"] = ref
		}
	}
	walkFields(reflect.TypeFor[Description](), "", func(path string, f reflect.StructField) {
		if strings.Contains(path, "[]") || !strings.Contains(path, ".") {
			return
		}
		spellings := []string{path}
		for _, a := range aliases {
			if rest, ok := strings.CutPrefix(path, a.first+"."); ok {
				spellings = append(spellings, a.second+"."+rest)
			}
		}
		for _, s := range spellings {
			root.PatternProperties["^"+regexp.QuoteMeta(s)+"$"] = refTo(path)
		}
		if rest, ok := strings.CutPrefix(path, "metadata."); ok && strings.Contains(rest, ".") {
			if shapeOf(f.Type) == object {
				metadata.PatternProperties = setPattern(metadata.PatternProperties, rest, refTo(path))
			} else {
				metadata.Properties.Set(rest, refTo(path))
			}
		}
	})
}

func setPattern(m map[string]*jsonschema.Schema, name string, s *jsonschema.Schema) map[string]*jsonschema.Schema {
	if m == nil {
		m = make(map[string]*jsonschema.Schema)
	}
	m["^"+regexp.QuoteMeta(name)+"$"] = s
	return m
}

// refTo refers to the schema of the field at a path of the normal form.
func refTo(path string) *jsonschema.Schema {
	in, name := cutLast(path)
	if in == "" {
		return &jsonschema.Schema{Ref: "#/properties/" + name}
	}
	return &jsonschema.Schema{Ref: "#/$defs/" + typeAt(in).Name() + "/properties/" + name}
}

// addRules adds the rules that reach over more than one field.
func addRules(root *jsonschema.Schema) {
	null := &jsonschema.Schema{Type: "null"}
	with := func(s *jsonschema.Schema, name string, value *jsonschema.Schema) *jsonschema.Schema {
		if s.Properties == nil {
			s.Properties = jsonschema.NewProperties()
		}
		s.Properties.Set(name, value)
		return s
	}
	required := func(names ...string) *jsonschema.Schema {
		s := &jsonschema.Schema{Required: names}
		for _, name := range names {
			s = with(s, name, &jsonschema.Schema{Not: null})
		}
		return s
	}
	given := func(names ...string) *jsonschema.Schema {
		s := required(names...)
		for _, name := range names {
			one := uint64(1)
			s = with(s, name, &jsonschema.Schema{Not: null, MinLength: &one, MinItems: &one})
		}
		return s
	}
	needs := func(field string, languages ...any) *jsonschema.Schema {
		custom := with(given("processor_path", "processor_type"), "processor_type", &jsonschema.Schema{Enum: languages})
		return &jsonschema.Schema{If: custom, Then: required(field)}
	}
	object := func(s *jsonschema.Schema) *jsonschema.Schema {
		s.Type = "object"
		return s
	}
	root.AllOf = []*jsonschema.Schema{
		{AnyOf: []*jsonschema.Schema{
			required("name"),
			required("metadata.name"),
			with(required("metadata"), "metadata", object(required("name"))),
		}},
		{AnyOf: []*jsonschema.Schema{given("processor"), given("processor_path"), given("containers")}},
		{Not: given("processor", "processor_path")},
		{Not: given("processor", "containers")},
		{Not: given("processor_path", "containers")},
		{If: given("processor_path"), Then: required("processor_type")},
		needs("processor_entry", "cpp", "python"),
		needs("processor_mainclass", "java"),
	}
	container := root.Definitions["Container"]
	must := func(s *jsonschema.Schema, name string) {
		s.Required = []string{name}
		if p, ok := s.Properties.Get(name); ok {
			p.Not = null
		}
	}
	must(container, "image")
	container.Not = given("command", "script")
	if port, ok := container.Properties.Get("port"); ok {
		port.Not = &jsonschema.Schema{Enum: []any{8080, 9090, "8080", "9090"}}
	}
	must(root.Definitions["EnvVar"], "name")
	if name, ok := root.Properties.Get("name"); ok {
		name.Pattern = "^[" + regexp.QuoteMeta(segmentPunctuation) + "A-Za-z0-9]+$"
		name.Not = &jsonschema.Schema{Enum: []any{".", ".."}}
	}
	if token, ok := root.Properties.Get("token"); ok {
		token.Pattern = "^[!-~]*$"
	}
}
