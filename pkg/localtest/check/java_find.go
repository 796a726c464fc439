package check

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/classfile"
)

// Bounds of the search for the class that was meant.
const (
	maxNames   = 300_000 // classes whose names are compared
	maxRead    = 3000    // classes that are read to find processors
	maxMeant   = 3       // names in a hint
	longName   = 64      // a longer name is not compared by edits
	bootPrefix = "BOOT-INF/classes/"
	webPrefix  = "WEB-INF/classes/"
)

// classNotFound reports that the processor's class is not in the class path, and
// what was perhaps meant.
func (j *javaCheck) classNotFound() {
	var places []string
	for _, e := range j.elements {
		places = append(places, e.name)
	}
	if j.misplaced() {
		return
	}
	text := "no class of this name is in " + list(places, 5)
	names := j.classNames()
	if len(names) == 0 {
		text = "no class at all is in " + list(places, 5)
	}
	if exact := otherSpelling(j.MainClass, names); exact != "" {
		hint := `write "processor_mainclass": "` + exact + `"`
		switch {
		case strings.EqualFold(exact, j.MainClass):
			hint += ": Java tells capital letters from small ones"
		case strings.Contains(exact, "$") && !strings.Contains(j.MainClass, "$"):
			hint += ": a nested class is named with $"
		default:
			hint += ": the name of the class, and not that of its file"
		}
		j.report.add(Fatal, "class-not-found", hint, "%s", text)
		return
	}
	same := sameSimpleName(j.MainClass, names)
	if len(same) == 0 && len(j.files.sources) > 0 {
		j.report.add(Fatal, "class-not-found", "its source "+j.files.sources[0]+" is there: "+j.files.build(), "%s", text)
		return
	}
	processors := j.processors()
	near := closeName(j.MainClass, names)
	hint := ""
	switch {
	case len(same) > 0:
		// Of those with the name, the ones that can be it.
		if both := intersection(same, processors); len(both) > 0 {
			same = both
		}
		hint = meant(same)
	case near != "" && (len(processors) == 0 || slices.Contains(processors, near)):
		hint = meant([]string{near})
	case len(processors) == 1:
		hint = "the only class that has what a processor needs is " + processors[0]
	case len(processors) > 1:
		hint = "the classes that have what a processor needs are " + list(processors, mostNamed)
	case j.hasNestedJars():
		hint = nestedHint
	case len(names) == 0:
		hint = j.files.build()
	case !strings.Contains(j.MainClass, "."):
		hint = "write it with its package, such as com.example.Processor"
	default:
		hint = "name the class that has Process in processor_mainclass; there are " + list(names, mostNamed)
	}
	j.report.add(Fatal, "class-not-found", hint, "%s", text)
	if len(same) == 0 && len(processors) == 0 {
		for _, e := range j.elements {
			j.nestedJars(e, Fatal)
		}
	}
}

func (j *javaCheck) hasNestedJars() bool {
	return slices.ContainsFunc(j.elements, func(e *javaElement) bool { return len(e.nestedJars()) > 0 })
}

func meant(names []string) string { return "did you mean " + list(names, maxMeant) + "?" }

// misplaced reports a class that is there, but where no class loader looks for
// it.
func (j *javaCheck) misplaced() bool {
	entry := "/" + classEntry(j.MainClass)
	for _, e := range j.elements {
		if e.jar == nil {
			continue
		}
		for f := range e.entries() {
			root, ok := strings.CutSuffix(f.name, entry)
			if !ok {
				continue
			}
			if c, err := f.parse(); err != nil || c.Name != j.MainClass {
				continue // a copy with a name of its own, as shading makes them
			}
			switch root + "/" {
			case bootPrefix:
				j.report.add(Fatal, "boot-jar", "build it with maven-shade-plugin in place of spring-boot-maven-plugin, whose repackage leaves the plain jar as *.jar.original",
					"%s is a jar of Spring Boot, which has the class in %s, and only its own program looks for it there", e.name, root)
			case webPrefix:
				j.report.add(Fatal, "boot-jar", "package it as a jar: <packaging>jar</packaging> and maven-shade-plugin",
					"%s is a web application, which has the class in %s, and only a server looks for it there", e.name, root)
			default:
				j.report.add(Fatal, "class-not-found", "make the jar from inside that directory: jar --create --file "+path.Base(e.name)+" -C "+root+" .",
					"%s has the class below %s, and Java looks for it from the root of the jar", e.name, root)
			}
			return true
		}
	}
	for _, stray := range j.files.stray {
		if root := j.rootOf(stray); root != "" {
			j.report.add(Fatal, "class-not-found", "set "+entryHint(root)+", or name that directory in processor_path",
				"it is below %s, which is not in the class path", root)
			return true
		}
	}
	return false
}

// classNames are the names of all classes of the class path that have one.
func (j *javaCheck) classNames() []string {
	var names []string
	for _, e := range j.elements {
		for f := range e.entries() {
			if len(names) >= maxNames {
				return names
			}
			if f.isClass() && !isAnonymous(f.name) {
				names = append(names, className(strings.TrimPrefix(strings.TrimPrefix(f.name, bootPrefix), webPrefix)))
			}
		}
	}
	return names
}

// isAnonymous reports whether a class was given a number by the compiler: a part
// of its name between dollars begins with a digit.
func isAnonymous(name string) bool {
	for rest := name; ; {
		i := strings.IndexByte(rest, '$')
		if i < 0 || i+1 == len(rest) {
			return false
		}
		if rest = rest[i+1:]; rest[0] >= '0' && rest[0] <= '9' {
			return true
		}
	}
}

// otherSpelling finds the class that a name means that is not spelled as Java
// does.
func otherSpelling(name string, names []string) string {
	name = strings.NewReplacer("/", ".", `\`, ".").Replace(trimClass(strings.TrimSpace(name)))
	name = strings.TrimLeft(name, ".")
	variants := []string{name}
	for v := name; strings.Contains(v, ".") && len(variants) < 4; {
		i := strings.LastIndexByte(v, '.')
		v = v[:i] + "$" + v[i+1:]
		variants = append(variants, v)
	}
	for _, v := range variants {
		if slices.Contains(names, v) {
			return v
		}
	}
	for _, v := range variants {
		if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, v) }); i >= 0 {
			return names[i]
		}
	}
	return ""
}

// sameSimpleName lists the classes that are called alike in other packages, those
// first whose letters are the same.
func sameSimpleName(name string, names []string) []string {
	simple := simpleName(name)
	var found []string
	for _, n := range names {
		if strings.EqualFold(simpleName(n), simple) {
			found = append(found, n)
		}
	}
	differs := func(n string) int {
		if simpleName(n) == simple {
			return 0
		}
		return 1
	}
	slices.SortFunc(found, func(a, b string) int { return cmp.Or(differs(a)-differs(b), strings.Compare(a, b)) })
	return slices.Compact(found)
}

// closeName is the class whose simple name resembles that of name most, empty
// where none does. Of several it is the one whose package is most alike.
func closeName(name string, names []string) string {
	simple := strings.ToLower(simpleName(name))
	best, bestDistance, bestShared := "", min(3, len(simple)/3)+1, -1
	if len(simple) > longName {
		return ""
	}
	for _, n := range names {
		other := strings.ToLower(simpleName(n))
		if len(other) > longName || max(len(other)-len(simple), len(simple)-len(other)) > bestDistance {
			continue
		}
		d, shared := editDistance(simple, other), sharedPrefix(name, n)
		if d < bestDistance || d == bestDistance && best != "" && (shared > bestShared || shared == bestShared && n < best) {
			best, bestDistance, bestShared = n, d, shared
		}
	}
	return best
}

func sharedPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// editDistance is the number of insertions, deletions, replacements and swaps of
// neighbours that lead from a to b, each of at most longName bytes.
func editDistance(a, b string) int {
	var rows [3][longName + 1]int
	before, previous, current := &rows[0], &rows[1], &rows[2]
	for i := range len(b) + 1 {
		previous[i] = i
	}
	for i := range len(a) {
		current[0] = i + 1
		for k := range len(b) {
			replaced := previous[k]
			if a[i] != b[k] {
				replaced++
			}
			current[k+1] = min(previous[k+1]+1, current[k]+1, replaced)
			if i > 0 && k > 0 && a[i] == b[k-1] && a[i-1] == b[k] {
				current[k+1] = min(current[k+1], before[k-1]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}

// processors lists the classes that have what EAS calls. Jars with so many classes
// that it would take long are left out: they hold libraries.
func (j *javaCheck) processors() []string {
	var found []string
	read := 0
	for _, e := range j.elements {
		var classes []javaEntry
		for f := range e.entries() {
			if f.isClass() && !isAnonymous(f.name) {
				classes = append(classes, f)
			}
			if read+len(classes) > maxRead {
				break
			}
		}
		if read+len(classes) > maxRead {
			continue
		}
		read += len(classes)
		for _, f := range classes {
			c, err := f.parse()
			if err == nil && c.Access&(classfile.Public|classfile.Abstract|classfile.Interface) == classfile.Public &&
				className(f.name) == c.Name && looksLikeProcessor(c) {
				found = append(found, c.Name)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func intersection(a, b []string) []string {
	var both []string
	for _, s := range a {
		if slices.Contains(b, s) {
			both = append(both, s)
		}
	}
	return both
}
