package deploy

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/service"
)

// Change is one difference between two descriptions. Secrets in it are masked.
type Change struct {
	Path string          `json:"path"`          // in the normal form, such as metadata.instance
	Old  json.RawMessage `json:"old,omitempty"` // empty: it was not there
	New  json.RawMessage `json:"new,omitempty"` // empty: it is to go
}

// Removal reports whether something goes without anything in its place, which
// merging one description into the other cannot do.
func (c Change) Removal() bool { return len(c.New) == 0 }

// Diff returns what has to change in a deployed description so that it is the
// wanted one, by path. Both are brought into their normal form first. What says
// the same is no change: a number and the same number as text, a field left out
// and its default, a list of named things in another order. Neither is what the
// platform adds to a description by itself, see Complete.
func Diff(deployed, wanted json.RawMessage) ([]Change, error) {
	old, err := normal(deployed)
	if err != nil {
		return nil, err
	}
	want, err := normal(wanted)
	if err != nil {
		return nil, err
	}
	d := differ{fields: service.Fields()}
	d.objects("", old, want, d.leaveOut)
	slices.SortFunc(d.changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return d.changes, nil
}

// Complete returns the wanted description with what the deployed one has beyond
// it and is not its author's to take away: what the platform has added. It is
// what to send where the whole description is replaced.
func Complete(deployed, wanted json.RawMessage) (json.RawMessage, error) {
	old, err := normal(deployed)
	if err != nil {
		return nil, err
	}
	want, err := normal(wanted)
	if err != nil {
		return nil, err
	}
	keep(differ{fields: service.Fields()}, "", old, want)
	return encode(want), nil
}

// Merge returns a description with a part of one put into it: objects are
// merged, everything else is replaced. It is what a target does with an update.
func Merge(description, part json.RawMessage) (json.RawMessage, error) {
	base, err := normal(description)
	if err != nil {
		return nil, err
	}
	change, err := normal(part)
	if err != nil {
		return nil, err
	}
	merge(base, change)
	return encode(base), nil
}

func merge(base, change map[string]any) {
	for name, value := range change {
		have, isObject := base[name].(map[string]any)
		if object, ok := value.(map[string]any); ok && isObject {
			merge(have, object)
			continue
		}
		base[name] = value
	}
}

func keep(d differ, at string, old, want map[string]any) {
	for name, value := range old {
		path := joinPath(at, name)
		have, ok := want[name]
		switch {
		case !ok && d.platforms(path):
			want[name] = value
		case !ok:
			// Below an object that the author does not have there may still be
			// something of the platform's.
			if object, isObject := value.(map[string]any); isObject {
				rest := map[string]any{}
				keep(d, path, object, rest)
				if len(rest) > 0 {
					want[name] = rest
				}
			}
		default:
			object, isObject := value.(map[string]any)
			wanted, isWanted := have.(map[string]any)
			if isObject && isWanted {
				keep(d, path, object, wanted)
			}
		}
	}
}

// normal decodes a description in its normal form. One that breaks the rules of
// descriptions, which the other side may have rules of its own for, is taken as
// it is.
func normal(description json.RawMessage) (map[string]any, error) {
	if parsed, err := (service.Options{Partial: true}).Parse("the description", description); err == nil {
		description = parsed.Canonical()
	}
	value, err := decode(description)
	if err != nil {
		return nil, fault.New(fault.Failed, "the description is no JSON: %w", err)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fault.New(fault.Failed, "the description is no object")
	}
	return object, nil
}

// differ collects changes.
type differ struct {
	fields  map[string]service.Field
	changes []Change
}

// objects compares two objects. gone says of what only the old one has whether
// it may be left out.
func (d *differ) objects(at string, old, want map[string]any, gone func(path string, value any) bool) {
	for name, value := range want {
		path := joinPath(at, name)
		have, ok := old[name]
		if ok {
			d.values(path, have, value, gone)
			continue
		}
		if object, isObject := value.(map[string]any); isObject && len(object) > 0 {
			d.objects(path, nil, object, gone)
			continue
		}
		if !d.isDefault(path, value) && path != regionField {
			d.add(path, name, nil, value)
		}
	}
	for name, value := range old {
		if _, ok := want[name]; ok {
			continue
		}
		path := joinPath(at, name)
		if gone(path, value) {
			continue
		}
		if object, isObject := value.(map[string]any); isObject {
			d.objects(path, object, nil, gone)
			continue
		}
		d.add(path, name, value, nil)
	}
}

func (d *differ) values(path string, old, want any, gone func(string, any) bool) {
	oldObject, isObject := old.(map[string]any)
	wantObject, alsoObject := want.(map[string]any)
	if isObject && alsoObject {
		d.objects(path, oldObject, wantObject, gone)
		return
	}
	oldList, isList := old.([]any)
	wantList, alsoList := want.([]any)
	if isList && alsoList {
		d.lists(path, oldList, wantList)
		return
	}
	if !same(old, want) {
		d.add(path, lastName(path), old, want)
	}
}

// lists compares lists: by name where all elements have one, else by place.
func (d *differ) lists(path string, old, want []any) {
	// An element of a list is replaced as a whole, so nothing in it is left
	// alone but what is empty.
	empty := func(_ string, value any) bool { return isEmpty(value) }
	oldNames, ok := byName(old)
	wantNames, alsoOK := byName(want)
	if !ok || !alsoOK {
		oldNames, wantNames = byPlace(old), byPlace(want)
	}
	for key, value := range wantNames {
		at := path + "[" + key + "]"
		if have, ok := oldNames[key]; ok {
			d.values(at, have, value, empty)
		} else {
			d.add(at, "", nil, value)
		}
	}
	for key, value := range oldNames {
		if _, ok := wantNames[key]; !ok {
			d.add(path+"["+key+"]", "", value, nil)
		}
	}
}

func byPlace(list []any) map[string]any {
	elements := make(map[string]any, len(list))
	for i, element := range list {
		elements[strconv.Itoa(i)] = element
	}
	return elements
}

// byName returns the elements of a list by their names, if all have one.
func byName(list []any) (elements map[string]any, ok bool) {
	elements = make(map[string]any, len(list))
	for _, element := range list {
		object, _ := element.(map[string]any)
		name, _ := object["name"].(string)
		if _, twice := elements[name]; name == "" || twice {
			return nil, false
		}
		elements[name] = element
	}
	return elements, true
}

// add notes a change of the field called name at path.
func (d *differ) add(path, name string, old, want any) {
	secret := isSecretField(name) || strings.HasSuffix(path, "].value") && isSecretVariable(elementOf(path))
	show := func(value any) json.RawMessage {
		if value == nil {
			return nil
		}
		if secret {
			return encode(maskSecret(value))
		}
		// A copy, since masking changes what it is given.
		return Masked(encode(value))
	}
	d.changes = append(d.changes, Change{Path: path, Old: show(old), New: show(want)})
}

// elementOf returns what stands in the last brackets of a path.
func elementOf(path string) string {
	begin, end := strings.LastIndexByte(path, '['), strings.LastIndexByte(path, ']')
	if begin < 0 || end < begin {
		return ""
	}
	return path[begin+1 : end]
}

func lastName(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

func joinPath(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// regionField says where a service is to be, which cannot change; a deployed
// description need not repeat it.
const regionField = "metadata.region"

// leaveOut reports whether a field of a deployed description is no difference
// to one without it.
func (d *differ) leaveOut(path string, value any) bool {
	return isEmpty(value) || d.isDefault(path, value) || d.platforms(path)
}

// platforms reports whether a field is one that the platform adds by itself:
// those that are known for it, and those that nobody knows.
func (d differ) platforms(path string) bool {
	switch path {
	case "name", "token", "generate_token", "source", "oss_endpoint", regionField, "metadata.workspace_id", "cloud.networking":
		return true
	}
	return !d.known(path)
}

// known reports whether a field is one that authors write: a field by itself,
// or a name in a table of them, such as labels.
func (d differ) known(path string) bool {
	if _, ok := d.fields[path]; ok {
		return true
	}
	for at := path; at != ""; {
		at = at[:max(strings.LastIndexByte(at, '.'), 0)]
		if _, ok := d.fields[at]; ok {
			return !d.isObject(at)
		}
	}
	return false
}

// isObject reports whether a known field has known fields below it.
func (d differ) isObject(path string) bool {
	for other := range d.fields {
		if strings.HasPrefix(other, path+".") {
			return true
		}
	}
	return false
}

// isDefault reports whether a value says what leaving it out says too.
func (d differ) isDefault(path string, value any) bool {
	field, ok := d.fields[path]
	return ok && path != "metadata.instance" && (field.Default != "" && text(value) == field.Default || field.Default == "" && isEmpty(value))
}

// isEmpty reports whether a value says nothing.
func isEmpty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case map[string]any:
		return len(value) == 0
	case []any:
		return len(value) == 0
	case bool:
		return !value
	}
	t := text(value)
	return t == "" || t == "0" || t == "false"
}

// same compares what is not two objects or two lists: by text, since
// descriptions may have numbers and booleans as text, and JSON as well.
func same(a, b any) bool {
	ta, tb := text(a), text(b)
	if ta == tb {
		return true
	}
	if fa, err := strconv.ParseFloat(ta, 64); err == nil {
		if fb, err := strconv.ParseFloat(tb, 64); err == nil {
			// Beyond this two different integers may be one number.
			return fa == fb && len(ta) < 16 && len(tb) < 16
		}
	}
	return isTrue(ta) && isTrue(tb) || isFalse(ta) && isFalse(tb)
}

func isTrue(text string) bool  { return text == "1" || strings.EqualFold(text, "true") }
func isFalse(text string) bool { return text == "0" || strings.EqualFold(text, "false") }

// text writes a value, JSON in a string as if it were none.
func text(value any) string {
	s, ok := value.(string)
	if !ok {
		return string(encode(value))
	}
	trimmed := strings.TrimSpace(s)
	if strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[") {
		if inner, err := decode([]byte(trimmed)); err == nil {
			return string(encode(inner))
		}
	}
	return s
}
