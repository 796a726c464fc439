package service

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/jvm"
)

// validate checks the rules that reach over more than one value.
func (p *parser) validate() {
	p.guess()
	if !p.opts.Partial || p.given("name") {
		p.checkName()
	}
	p.checkToken()
	if !p.opts.Partial {
		p.checkProcessor()
	}
	p.checkPlaces()
	p.checkEnv("processor_envs", p.d.ProcessorEnvs)
	p.checkContainers()
	p.checkAutoscaler()
	if p.opts.ForDeploy && !p.opts.Partial {
		p.checkDeploy()
	}
	p.reportUnknown()
}

// lookup returns the member at a path of the normal form, in which [i] names an
// element of a list.
func (p *parser) lookup(field string) *member {
	n, m := p.d.root, (*member)(nil)
	for name := range strings.SplitSeq(field, ".") {
		name, index, isElement := strings.Cut(name, "[")
		if m = n.get(name); m == nil {
			return nil
		}
		n = m.value
		if isElement {
			i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
			if err != nil || i >= len(n.elems) {
				return nil
			}
			n = n.elems[i]
			m = &member{name: name, off: n.off, value: n}
		}
	}
	return m
}

// offset is where to report something about a field: at its name, or at the
// object that should have it.
func (p *parser) offset(field string) int {
	for field != "" {
		if m := p.lookup(field); m != nil {
			return m.off
		}
		field, _ = cutLast(field)
	}
	return p.d.root.off
}

func (p *parser) fail(field, fix, format string, args ...any) {
	p.add(Error, p.offset(field), field, fix, format, args...)
}

func (p *parser) warn(field, fix, format string, args ...any) {
	p.add(Warning, p.offset(field), field, fix, format, args...)
}

// given reports whether a field was written with a value, be it a wrong one
// that has been reported already.
func (p *parser) given(field string) bool {
	m := p.lookup(field)
	if m == nil {
		return false
	}
	switch m.value.kind {
	case '"':
		return m.value.text() != ""
	case '[':
		return len(m.value.elems) > 0
	}
	return true
}

// isObject reports whether the value at a path is an object, as it should be;
// other values have been reported.
func (p *parser) isObject(field string) bool {
	m := p.lookup(field)
	return m != nil && m.value.kind == '{'
}

// missing reports a required field that is not there. Where an unknown field
// looks like it, the report is about that one.
func (p *parser) missing(field, fix, format string, args ...any) {
	if u := p.lookalike(field); u != nil {
		p.add(Error, u.off, u.path, rename(u.path, field), "is not a known field, and %s, which it looks like, is missing", field)
		return
	}
	p.fail(field, fix, format, args...)
}

// rename says how an unknown field becomes the one that was meant.
func rename(unknown, meant string) string {
	here, _ := cutLast(unknown)
	there, name := cutLast(meant)
	if first, ok := firstPlace(join(here, name)); here == there || ok && first == meant {
		return "rename it to " + strconv.Quote(name)
	}
	if there == "" {
		return "write it as " + strconv.Quote(name) + " at the top level"
	}
	return "write it as " + strconv.Quote(name) + " in " + there
}

// lookalike takes the unknown field that a missing one was probably meant by.
func (p *parser) lookalike(field string) *unknownField {
	for i := range p.unknown {
		if u := &p.unknown[i]; u.meant == field && !u.taken {
			u.taken = true
			return u
		}
	}
	return nil
}

const (
	// longestName is the length up to which names are known to work everywhere.
	longestName = 44
	// mostName is how long the name of a directory may be: a service has one
	// of its name.
	mostName = 255
)

func (p *parser) checkName() {
	name := p.d.Name
	if !p.given("name") {
		p.missing("name", `add "name": "my_service"`, "is missing")
		return
	}
	if name == "" {
		return // not text, reported already
	}
	if bad := strings.IndexFunc(name, func(r rune) bool { return !inPathSegment(r) }); bad >= 0 || name == "." || name == ".." {
		what := "cannot be part of the address /api/predict/<name>"
		if bad >= 0 {
			what = "holds " + strconv.QuoteRune([]rune(name[bad:])[0]) + ", which cannot be part of the address /api/predict/<name>"
		}
		p.fail("name", "use lower-case letters, digits and underscores", "%q %s", clip(name), what)
		return
	}
	if !isSafeName(name) {
		p.warn("name", "names of lower-case letters, digits and underscores that start with a letter work everywhere", "%q may be refused by the platform", clip(name))
	}
	shorter := "choose one of at most " + strconv.Itoa(longestName) + " characters"
	switch {
	case len(name) > mostName:
		p.fail("name", shorter, "has %d characters, more than the name of the service's directory may have", len(name))
	case len(name) > longestName:
		p.warn("name", shorter, "has %d characters and may be refused by the platform", len(name))
	}
}

// inPathSegment reports whether a character can stand in one segment of a URL's
// path as it is (RFC 3986, pchar without escapes).
func inPathSegment(r rune) bool {
	return r < 128 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(segmentPunctuation, r))
}

const segmentPunctuation = "-._~!$&'()*+,;=:@"

func isSafeName(name string) bool {
	return name[0] >= 'a' && name[0] <= 'z' && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func (p *parser) checkToken() {
	for _, r := range p.d.Token {
		if r <= ' ' || r > '~' {
			p.fail("token", "use letters, digits and ASCII punctuation", "holds %q, which cannot be sent in an Authorization header", r)
			return
		}
	}
}

// checkProcessor checks that one thing serves, and that it is described.
func (p *parser) checkProcessor() {
	d := p.d
	var ways []string
	for _, way := range [...]string{"processor", "processor_path", "containers"} {
		if p.given(way) {
			ways = append(ways, way)
		}
	}
	if len(ways) == 0 {
		p.missingProcessor()
	} else {
		for _, way := range ways[1:] {
			p.fail(way, "keep one of processor, processor_path and containers", "excludes %s, which is given at %s", ways[0], p.at(p.offset(ways[0])))
		}
	}
	switch {
	case p.given("processor_path"), len(ways) == 0 && (p.given("processor_type") || p.given("processor_entry") || p.given("processor_mainclass")):
		p.checkCustom()
	case p.given("processor"):
		p.checkBuiltIn()
	}
	if d.ModelPath == "" && !p.given("model_path") && !p.given("containers") {
		if p.lookalikeExists("model_path") {
			p.missing("model_path", "", "is missing")
		} else if p.given("processor") {
			p.warn("model_path", `add "model_path": "oss://…"`, "is missing; built-in processors load a model")
		}
	}
}

func (p *parser) lookalikeExists(field string) bool {
	for i := range p.unknown {
		if p.unknown[i].meant == field && !p.unknown[i].taken {
			return true
		}
	}
	return false
}

func (p *parser) missingProcessor() {
	for _, way := range [...]string{"processor_path", "processor", "containers"} {
		if p.lookalikeExists(way) {
			p.missing(way, "", "is missing")
			return
		}
	}
	p.fail("processor_path", `add "processor_path": "./processor.tar.gz", a built-in "processor" or "containers"`, "is missing; nothing says what serves the requests")
}

// checkBuiltIn checks a description that names a built-in processor.
func (p *parser) checkBuiltIn() {
	d := p.d
	if code := d.Processor; code != "" {
		known := builtIn()
		if !slices.Contains(known, code) {
			fix := ""
			if near := closest(code, known); near != "" {
				fix = "did you mean " + strconv.Quote(near) + "?"
			}
			p.warn("processor", fix, "%q is not a built-in processor that is known here", clip(code))
		}
	}
	for _, field := range [...]string{"processor_entry", "processor_type", "processor_mainclass"} {
		if p.given(field) {
			p.warn(field, "remove it", "has no effect beside the built-in processor %q", clip(d.Processor))
		}
	}
}

// checkCustom checks a description that brings its own processor.
func (p *parser) checkCustom() {
	if !p.given("processor_type") {
		fix := `add "processor_type": "cpp", "java" or "python"`
		if guess := p.languageOfEntry(); guess != "" {
			fix = `add "processor_type": "` + guess + `"`
		}
		p.missing("processor_type", fix, "is missing")
	}
	language := p.checkLanguage()
	switch language {
	case "cpp", "python":
		if !p.given("processor_entry") {
			example := "libprocessor.so"
			if language == "python" {
				example = "app.py"
			}
			p.missing("processor_entry", `add "processor_entry": "`+example+`"`, "is missing; a %s processor needs its main file", language)
		}
	case "java":
		if !p.given("processor_mainclass") {
			p.missing("processor_mainclass", `add "processor_mainclass": "com.example.Processor"`, "is missing; a java processor needs its main class")
		}
		if _, err := jvm.ParseOptions(p.d.ProcessorJVMOptions); err != nil {
			p.fail("processor_jvm_options", fault.HintOf(err), "cannot be used: %s", clipTo(err.Error(), 200))
		}
	}
	p.checkEntry(language)
}

// languageOfEntry guesses the language from the processor's files.
func (p *parser) languageOfEntry() string {
	if p.d.ProcessorMainClass != "" {
		return "java"
	}
	for _, file := range [...]string{p.d.ProcessorEntry, p.d.ProcessorPath} {
		switch path.Ext(file) {
		case ".so":
			return "cpp"
		case ".py":
			return "python"
		case ".jar":
			return "java"
		}
	}
	return ""
}

// languages are the values of processor_type.
var languages = [...]string{"cpp", "java", "python"}

// checkLanguage checks processor_type and returns the language that is
// described, as far as it can be told.
func (p *parser) checkLanguage() string {
	given := p.d.ProcessorType
	if given == "" {
		return p.languageOfEntry()
	}
	if slices.Contains(languages[:], given) {
		return given
	}
	meant := ""
	switch strings.ToLower(strings.TrimSpace(given)) {
	case "c", "c++", "cc", "cxx", "c/c++", "cpp":
		meant = "cpp"
	case "py", "python2", "python3", "python":
		meant = "python"
	case "java", "jar", "scala", "kotlin":
		meant = "java"
	default:
		meant = closest(given, languages[:])
	}
	fix := "write cpp, java or python"
	if meant != "" {
		fix = "did you mean " + strconv.Quote(meant) + "?"
	}
	p.fail("processor_type", fix, "%q is not a language that processors are written in", clip(given))
	return meant
}

func (p *parser) checkEntry(language string) {
	entry := p.d.ProcessorEntry
	if entry == "" {
		return
	}
	slashed := strings.ReplaceAll(entry, `\`, "/")
	if strings.HasPrefix(slashed, "/") || len(slashed) > 1 && slashed[1] == ':' {
		p.fail("processor_entry", "name it relative to the root of the package, such as "+strconv.Quote(clip(path.Base(slashed))), "%q is an absolute path", clip(entry))
		return
	}
	if slices.Contains(strings.Split(slashed, "/"), "..") {
		p.fail("processor_entry", "name a file inside the package", "%q leads out of the processor's package", clip(entry))
		return
	}
	if language == "cpp" && !strings.HasSuffix(entry, ".so") && !strings.Contains(entry, ".so.") {
		p.warn("processor_entry", "a C/C++ processor is a shared object, such as libprocessor.so", "%q does not look like one", clip(entry))
	}
	if language == "python" && path.Ext(entry) == ".so" {
		p.warn("processor_entry", "name the Python program, such as app.py", "%q is a shared object, but processor_type is python", clip(entry))
	}
}

// checkEnv checks environment variables.
func (p *parser) checkEnv(field string, vars []EnvVar) {
	first := make(map[string]int, len(vars))
	for i, v := range vars {
		at := field + "[" + strconv.Itoa(i) + "]"
		if p.full(Error) {
			return
		}
		switch {
		case v.Name == "" && !p.isObject(at):
			continue
		case v.Name == "" && !p.given(at+".name"):
			p.missing(at+".name", `add "name"`, "is missing")
			continue
		case strings.Contains(v.Name, "="):
			p.fail(at+".name", "remove the =", "%q holds =", clip(v.Name))
		}
		if j, twice := first[v.Name]; twice && v.Name != "" {
			p.warn(at+".name", "remove one of them", "%q is set twice, first in %s[%d]; this value counts", clip(v.Name), field, j)
		}
		first[v.Name] = i
	}
}

func (p *parser) checkContainers() {
	for i, c := range p.d.Containers {
		at := "containers[" + strconv.Itoa(i) + "]"
		if p.full(Error) {
			return
		}
		if !p.isObject(at) {
			continue
		}
		if !p.given(at + ".image") {
			p.missing(at+".image", `add "image"`, "is missing")
		}
		if c.Command != "" && c.Script != "" {
			p.fail(at+".script", "keep one of command and script", "excludes command, which is given at %s", p.at(p.offset(at+".command")))
		}
		if c.Port == 8080 || c.Port == 9090 {
			p.fail(at+".port", "choose another one, such as 8000", "%d is taken by the platform", c.Port)
		}
		p.checkEnv(at+".env", c.Env)
	}
}

func (p *parser) checkAutoscaler() {
	if a := p.d.Autoscaler; a.Min != nil && a.Max != nil && *a.Min > *a.Max {
		p.fail("autoscaler.min", "make it at most max", "is %d, but max is %d", *a.Min, *a.Max)
	}
}

// checkDeploy checks what only the platform asks for.
func (p *parser) checkDeploy() {
	if !p.given("metadata.instance") {
		p.missing("metadata.instance", `add "instance": 1 to metadata`, "is missing")
	}
	if p.given("processor_path") && !p.given("metadata.resource") {
		p.add(Note, p.offset("metadata.resource"), "metadata.resource", `add "resource": "eas-r-…" if it is refused`,
			"is missing; some regions run custom processors only in a dedicated resource group")
	}
}
