package service

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// decode stores n, an object in normal form, into the struct v. What does not
// fit is reported and left at its zero.
func (p *parser) decode(n *node, v reflect.Value, path string) {
	for i := range n.members {
		m := &n.members[i]
		at := join(path, m.name)
		f, ok := p.field(v.Type(), m.name)
		if !ok {
			p.unknown = append(p.unknown, unknownField{member: m, path: at, typ: v.Type()})
			continue
		}
		p.value(m.value, m.off, v.FieldByIndex(f.Index), f, at)
	}
}

// value stores n into v, which is the field f or an element of it. off is
// where problems are reported.
func (p *parser) value(n *node, off int, v reflect.Value, f reflect.StructField, path string) {
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		before := p.count[Error]
		if p.value(n, off, fresh.Elem(), f, path); p.count[Error] == before {
			v.Set(fresh)
		}
		return
	}
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		v.SetBytes(n.appendJSON(nil))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if p.want(n, off, '{', path, "an object") {
			p.decode(n, v, path)
		}
	case reflect.Slice:
		if p.want(n, off, '[', path, "a list") {
			v.Set(reflect.MakeSlice(v.Type(), len(n.elems), len(n.elems)))
			for i, e := range n.elems {
				if p.full(Error) { // a long list of mistakes is not worth the time
					return
				}
				p.value(e, e.off, v.Index(i), f, path+"["+strconv.Itoa(i)+"]")
			}
		}
	case reflect.Map:
		if p.want(n, off, '{', path, "an object") {
			v.Set(reflect.MakeMapWithSize(v.Type(), len(n.members)))
			for _, m := range n.members {
				entry := reflect.New(v.Type().Elem()).Elem()
				p.value(m.value, m.off, entry, f, join(path, m.name))
				v.SetMapIndex(reflect.ValueOf(m.name), entry)
			}
		}
	case reflect.String:
		if s, ok := p.text(n, off, f, path); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		if b, ok := p.boolean(n, off, path); ok {
			v.SetBool(b)
		}
	case reflect.Float64:
		if x, ok := p.number(n, off, path); ok {
			v.SetFloat(x)
		}
	default:
		if i, ok := p.integer(n, off, f, path); ok {
			v.SetInt(i)
		}
	}
}

// want reports whether n is an object or list as it should be, and the problem
// where it is not.
func (p *parser) want(n *node, off int, kind byte, path, name string) bool {
	if byte(n.kind) == kind {
		return true
	}
	fix := "write it as {…}"
	if kind == '[' {
		fix = "write it as […]"
	}
	p.add(Error, off, path, fix, "is %s, not %s", n.shown(), name)
	return false
}

// text reads a string field. Numbers are taken as the text that they are
// written as, as in "cuda": 10.1.
func (p *parser) text(n *node, off int, f reflect.StructField, path string) (string, bool) {
	form := f.Tag.Get("form")
	switch {
	case n.kind == '"' || n.kind == '0':
	case form == "json":
		return string(n.appendJSON(nil)), true
	case n.kind == 't' || n.kind == 'f':
		p.add(Error, off, path, "write "+strconv.Quote(n.text()), "is %s, not text", n.shown())
		return "", false
	default:
		p.add(Error, off, path, "write it in double quotes", "is %s, not text", n.what())
		return "", false
	}
	s := n.text()
	if i := strings.IndexByte(s, 0); i >= 0 {
		p.add(Error, off, path, "remove it", "holds a NUL character (\\u0000)")
		return "", false
	}
	if form == "quantity" && s != "" && !isQuantity(s) {
		p.add(Error, off, path, "write a whole number or a percentage such as \"20%\"", "is %s, neither a number nor a percentage", brief(n))
		return "", false
	}
	return s, true
}

// isQuantity reports whether s is a whole number or a percentage.
func isQuantity(s string) bool {
	digits := strings.TrimSuffix(s, "%")
	return digits != "" && len(digits) <= 9 && strings.Trim(digits, "0123456789") == ""
}

// boolean reads a boolean, also as text and as 0 or 1.
func (p *parser) boolean(n *node, off int, path string) (value, ok bool) {
	if n.kind != '{' && n.kind != '[' {
		switch strings.ToLower(strings.TrimSpace(n.text())) {
		case "true", "1":
			return true, true
		case "false", "0":
			return false, true
		}
	}
	p.add(Error, off, path, "write true or false", "is %s, not a boolean", brief(n))
	return false, false
}

// number reads a number that may have a fraction, also as text.
func (p *parser) number(n *node, off int, path string) (float64, bool) {
	if n.kind == '0' || n.kind == '"' {
		x, err := strconv.ParseFloat(strings.TrimSpace(n.text()), 64)
		if err == nil && !math.IsNaN(x) && !math.IsInf(x, 0) && x >= 0 {
			return x, true
		}
	}
	p.add(Error, off, path, "write a number, 0 or more", "is %s, which is no number or too small or large", brief(n))
	return 0, false
}

// integer reads a whole number, also as text and with a fraction of zero, and
// keeps the limits of its field.
func (p *parser) integer(n *node, off int, f reflect.StructField, path string) (int64, bool) {
	least, most := limits(f)
	if n.kind != '0' && n.kind != '"' {
		p.add(Error, off, path, "write a whole number", "is %s, not a number", n.shown())
		return 0, false
	}
	s := strings.TrimSpace(n.text())
	i, kind := parseInteger(s)
	switch {
	case kind == notNumber && s == "":
		p.add(Error, off, path, "write a whole number or remove the field", "is empty")
	case kind == notNumber:
		p.notNumber(n, s, off, f.Tag.Get("unit"), path)
	case kind == fraction:
		p.add(Error, off, path, "write a whole number", "is %s, which has a fraction", brief(n))
	case kind == huge || i < least || i > most:
		p.add(Error, off, path, "write a number from "+strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10),
			"is %s, which is out of range", brief(n))
	default:
		return i, true
	}
	return 0, false
}

// numberKind is what parseInteger found.
type numberKind int

const (
	whole numberKind = iota
	fraction
	huge
	notNumber
)

// parseInteger reads a decimal number whose value is whole: 5, 5.0 and 5e3.
func parseInteger(s string) (int64, numberKind) {
	i, err := strconv.ParseInt(s, 10, 64)
	if err == nil {
		return i, whole
	}
	if s == "" || strings.Trim(s, "+-0123456789.eE") != "" { // not Inf, 0x10 or 1_000
		return 0, notNumber
	}
	x, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil && !math.IsInf(x, 0):
		return 0, notNumber
	case math.Abs(x) >= 1<<53:
		return 0, huge
	case x != math.Trunc(x):
		return 0, fraction
	}
	return int64(x), whole
}
