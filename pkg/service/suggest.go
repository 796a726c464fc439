package service

import (
	"reflect"
	"strings"
)

// unknownField is a field that the format does not have.
type unknownField struct {
	*member
	path  string
	typ   reflect.Type // of the object that it is in
	meant string       // path of the field that was probably meant, or ""
	taken bool         // a missing field's report names it
}

// guess finds what the author of each unknown field probably meant.
func (p *parser) guess() {
	for i := range p.unknown {
		if p.unknown[i].meant = meant(p.unknown[i]); i == maxProblems {
			return
		}
	}
}

// reportUnknown reports the unknown fields that no other report has named.
func (p *parser) reportUnknown() {
	for _, u := range p.unknown {
		switch {
		case u.taken:
		case u.meant != "":
			p.add(Warning, u.off, u.path, "did you mean "+u.meant+"?", "is not a known field; it is passed on as it is")
		default:
			p.add(Note, u.off, u.path, "", "is not a known field; it is passed on as it is")
		}
	}
}

// meant returns the path of the known field that an unknown one resembles: a
// field of the same object, or the same name in another place.
func meant(u unknownField) string {
	const longest = 64
	if len(u.name) > longest {
		return ""
	}
	parent := strings.TrimSuffix(u.path, u.name)
	plain := simplify(u.name)
	best, bestDistance := "", allowed(len(u.name))+1
	for i := range u.typ.NumField() {
		name := nameOf(u.typ.Field(i))
		if name == "" {
			continue
		}
		n := distance(plain, simplify(name))
		if n < bestDistance {
			best, bestDistance = parent+name, n
		}
	}
	if best != "" {
		return best
	}
	// The second places of fields are names as well: "metadata.nmae".
	for _, a := range aliases {
		if in, name := cutLast(a.second); in == strings.TrimSuffix(parent, ".") && distance(plain, simplify(name)) <= allowed(len(u.name)) {
			return a.first
		}
	}
	walkFields(reflect.TypeFor[Description](), "", func(path string, _ reflect.StructField) {
		if _, name := cutLast(path); best == "" && !strings.Contains(path, "[]") && simplify(name) == plain {
			best = path
		}
	})
	return best
}

// cutLast splits a path before its last name.
func cutLast(path string) (parent, name string) {
	i := strings.LastIndexByte(path, '.')
	return path[:max(i, 0)], path[i+1:]
}

// simplify removes what spellings of one name differ in: case and separators.
func simplify(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// allowed is the number of edits after which a name of this length is another
// name.
func allowed(length int) int {
	switch {
	case length <= 2:
		return 0
	case length <= 5:
		return 1
	case length <= 8:
		return 2
	default:
		return 3
	}
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that lead from a to b.
func distance(a, b string) int {
	var rows [3][]int
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	before, previous, current := rows[0], rows[1], rows[2]
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}

// closest returns the word that text resembles most, or "".
func closest(text string, words []string) string {
	best, bestDistance := "", allowed(len(text))+1
	if len(text) > 64 {
		return ""
	}
	for _, w := range words {
		if n := distance(simplify(text), simplify(w)); n < bestDistance {
			best, bestDistance = w, n
		}
	}
	return best
}
