package check

import (
	"debug/elf"
	"fmt"
	"os"
	"strings"
)

// The functions that EAS calls in a processor.
var entryPoints = [...]string{"initialize", "process"}

// finding is why a function is not found.
type finding struct {
	name string // initialize or process
	code string
	as   string // what is there in its stead; empty where nothing is
	why  string // with %s for as, where there is one
	hint string
}

// entryPoints reports what keeps initialize and process from being found.
func (r *Report) entryPoints(o *object, c *closure) {
	var findings []finding
	var names []string // all that the symbol tables have, once needed
	for _, name := range entryPoints {
		s, ok := o.exported(name)
		if ok {
			if t := s.typ(); t != elf.STT_FUNC && t != elf.STT_GNU_IFUNC && t != elf.STT_NOTYPE {
				findings = append(findings, finding{name: name, code: "missing-function", why: "what has this name is a variable and not a function",
					hint: "define it as a function"})
			}
			continue
		}
		if lib := c.exporting(name); lib != nil {
			r.add(Warning, "elsewhere", "name that file in processor_entry, if it is the processor",
				"the function %s is not in %s itself but in %s, which is loaded along", name, o.name, lib.name)
			continue
		}
		if names == nil {
			names = symbolNames(o)
		}
		findings = append(findings, diagnose(name, names))
	}
	// One cause is told once, for both.
	if len(findings) == 2 && findings[0].why == findings[1].why {
		a, b := findings[0], findings[1]
		why := a.why
		if a.as != "" {
			why = fmt.Sprintf(a.why, a.as+" and "+b.as)
		}
		r.add(Fatal, a.code, a.hint, "it does not export the functions %s and %s: %s", a.name, b.name, why)
		return
	}
	for _, f := range findings {
		why := f.why
		if f.as != "" {
			why = fmt.Sprintf(f.why, f.as)
		}
		r.add(Fatal, f.code, f.hint, "it does not export the function %s: %s", f.name, why)
	}
}

// exporting finds a library of the closure that offers a function: dlsym
// looks there, too.
func (c *closure) exporting(name string) *object {
	if len(c.loaded) == 0 {
		return nil
	}
	for _, l := range c.loaded[1:] {
		if s, ok := l.exported(name); ok && s.typ() == elf.STT_FUNC {
			return l.object
		}
	}
	return nil
}

// Letters that symbolNames puts before names.
const (
	fromExports   = "E"
	fromUndefined = "U"
	fromLocal     = "L" // local in .symtab: static, or made so by the linker
)

// symbolNames lists the functions of both symbol tables, each name after a
// letter that says how it is there.
func symbolNames(o *object) []string {
	var out []string
	n := o.count()
	for i := uint32(1); i < n && len(out) < maxSymbols; i++ {
		s, ok := o.entry(i)
		if !ok {
			break
		}
		name := o.string(uint64(s.name))
		switch {
		case name == "":
		case s.section == elf.SHN_UNDEF:
			out = append(out, fromUndefined+name)
		case s.usable() && s.typ() == elf.STT_FUNC:
			out = append(out, fromExports+name)
		}
	}
	f, err := os.Open(o.path)
	if err != nil {
		return out
	}
	defer f.Close()
	ef, err := elf.NewFile(f)
	if err != nil {
		return out
	}
	const most = 96 << 20
	if table := ef.SectionByType(elf.SHT_SYMTAB); table == nil || table.Size > most || int(table.Link) >= len(ef.Sections) || ef.Sections[table.Link].Size > most {
		return out
	}
	symbols, err := ef.Symbols()
	if err != nil {
		return out
	}
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF || elf.ST_TYPE(s.Info) != elf.STT_FUNC {
			continue
		}
		if elf.ST_BIND(s.Info) == elf.STB_LOCAL || elf.ST_VISIBILITY(s.Other) != elf.STV_DEFAULT {
			out = append(out, fromLocal+s.Name)
		}
	}
	return out
}

// prototypes are the two functions as a processor declares them.
const prototypes = `extern "C" void *initialize(const char *model_entry, const char *model_config, int *state) and ` +
	`extern "C" int process(void *model_buf, const void *input_data, int input_size, void **output_data, int *output_size)`

// diagnose finds out why a function is not exported.
func diagnose(name string, names []string) finding {
	with := func(kind string, match func(string) bool) string {
		for _, n := range names {
			if rest, ok := strings.CutPrefix(n, kind); ok && match(rest) {
				return rest
			}
		}
		return ""
	}
	mangled := func(n string) bool { return mangledAs(n, name) }
	same := func(n string) bool { return n == name }
	begins := func(prefix string) func(string) bool {
		return func(n string) bool { return strings.HasPrefix(n, prefix) }
	}

	f := finding{name: name, code: "missing-function"}
	if n := with(fromExports, mangled); n != "" {
		f.code, f.as = "extern-c", readable(n)
		f.why = `extern "C" is missing, only the C++ name is there: %s`
		f.hint = `put extern "C" in front of both functions, where they are declared and where they are defined`
		return f
	}
	if with(fromLocal, same) != "" {
		f.code = "hidden"
		f.why = "what has this name is not visible from outside: static, or hidden by -fvisibility=hidden, --exclude-libs or a version script"
		f.hint = `put __attribute__((visibility("default"))) in front of both functions and remove static; a version script lists them under global:`
		return f
	}
	if n := with(fromLocal, mangled); n != "" {
		f.code, f.as = "extern-c", readable(n)
		f.why = `extern "C" is missing, and the C++ name is hidden (static, -fvisibility=hidden or a version script): %s`
		f.hint = `put extern "C" __attribute__((visibility("default"))) in front of both functions, and remove static`
		return f
	}
	if with(fromUndefined, same) != "" {
		f.why = "it is used there but defined nowhere: the object file with its definition was not linked in"
		f.hint = "link that object file, too; from a static library it is only taken with -Wl,--whole-archive"
		return f
	}
	if n := with(fromExports, begins("PyInit_")); n != "" {
		f.why = "it is an extension module of Python"
		f.hint = `a Python processor has processor_type "python" and a program as processor_entry`
		return f
	}
	if with(fromExports, begins("Java_")) != "" {
		f.why = "it is a library for Java's native interface"
		f.hint = `a Java processor has processor_type "java" and a processor_mainclass`
		return f
	}
	others := []string{"Process", "predict", "Predict"}
	if name == "initialize" {
		others = []string{"Initialize", "initialise", "init", "Init", "load", "Load"}
	}
	for _, other := range others {
		if n := with(fromExports, func(n string) bool { return n == other || mangledAs(n, other) }); n != "" {
			f.as, f.why = readable(n), "it has %s instead"
			f.hint = "the names are initialize and process, in lower case, whatever older documentation says: " + prototypes
			return f
		}
	}
	f.why, f.hint = "nothing in it has this name", "a processor defines "+prototypes
	return f
}

// mangledAs says whether a linker's name is that of a C++ function with the
// given name, in any class or namespace.
func mangledAs(linker, name string) bool {
	if !strings.HasPrefix(linker, "_Z") || !strings.Contains(linker, fmt.Sprintf("%d%s", len(name), name)) {
		return false
	}
	full, _, _ := strings.Cut(readable(linker), "(")
	return full == name || strings.HasSuffix(full, "::"+name)
}
