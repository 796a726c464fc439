package check

import (
	"debug/elf"
	"fmt"
	"os"
	"strings"
)

// The functions that EAS calls in a processor.
var entryPoints = [...]string{"initialize", "process"}

// finding is why a function is not there.
type finding struct {
	name, code, text, hint string
}

// entryPoints reports what keeps initialize and process from being found.
func (r *Report) entryPoints(o *object, c *closure) {
	var findings []finding
	var names []string // all that the symbol tables have, once needed
	for _, name := range entryPoints {
		s, ok := o.exported(name)
		if ok {
			if t := s.typ(); t != elf.STT_FUNC && t != elf.STT_GNU_IFUNC && t != elf.STT_NOTYPE {
				findings = append(findings, finding{name, "missing-function", "is not a function but a variable", "define it as a function"})
			}
			continue
		}
		if lib := c.exporting(name); lib != nil {
			r.add(Warning, "elsewhere", "name that file in processor_entry, if it is the processor",
				"%s is not in %s itself but in %s, which is loaded along", name, o.name, lib.name)
			continue
		}
		if names == nil {
			names = symbolNames(o)
		}
		findings = append(findings, diagnose(name, names))
	}
	// One cause is told once, for both.
	if len(findings) == 2 && findings[0].code == findings[1].code && findings[0].hint == findings[1].hint {
		a, b := findings[0], findings[1]
		text := fmt.Sprintf("%s %s, and %s %s", a.name, a.text, b.name, b.text)
		if a.text == b.text {
			text = fmt.Sprintf("%s and %s: each %s", a.name, b.name, a.text)
		}
		r.add(Fatal, a.code, a.hint, "the function %s", text)
		return
	}
	for _, f := range findings {
		r.add(Fatal, f.code, f.hint, "the function %s %s", f.name, f.text)
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

// Prefixes of what symbolNames returns.
const (
	fromExports   = "E"
	fromUndefined = "U"
	fromHidden    = "H" // STV_HIDDEN in .symtab
	fromLocal     = "L" // local in .symtab
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
		switch v := elf.ST_VISIBILITY(s.Other); {
		case v == elf.STV_HIDDEN || v == elf.STV_INTERNAL:
			out = append(out, fromHidden+s.Name)
		case elf.ST_BIND(s.Info) == elf.STB_LOCAL:
			out = append(out, fromLocal+s.Name)
		}
	}
	return out
}

// diagnose finds out why a function is not exported.
func diagnose(name string, names []string) finding {
	const template = `extern "C" void *initialize(const char *model_entry, const char *model_config, int *state) and ` +
		`extern "C" int process(void *model_buf, const void *input_data, int input_size, void **output_data, int *output_size)`
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

	if n := with(fromExports, mangled); n != "" {
		return finding{name, "extern-c", fmt.Sprintf("is there as the C++ function %s: extern \"C\" is missing", readable(n)),
			`put extern "C" in front of both functions, in declaration and definition alike`}
	}
	for _, kind := range []string{fromHidden, fromLocal} {
		if n := with(kind, mangled); n != "" {
			return finding{name, "extern-c", fmt.Sprintf("is there as the C++ function %s, and hidden: extern \"C\" is missing, and it is not exported", readable(n)),
				`put extern "C" __attribute__((visibility("default"))) in front of both functions`}
		}
	}
	if with(fromHidden, same) != "" {
		return finding{name, "hidden", "is there but hidden (-fvisibility=hidden, or a static library that is left out of the exports)",
			`put __attribute__((visibility("default"))) in front of both functions`}
	}
	if with(fromLocal, same) != "" {
		return finding{name, "hidden", "is there but local: it is declared static, or a version script or --exclude-libs keeps it from being exported",
			"remove static, or name both functions under global: in the version script"}
	}
	if with(fromUndefined, same) != "" {
		return finding{name, "missing-function", "is used in it but defined nowhere: the object file that defines it was not linked in",
			"link the object file that defines it; from a static library it is taken with -Wl,--whole-archive"}
	}
	if n := with(fromExports, func(n string) bool { return strings.HasPrefix(n, "PyInit_") }); n != "" {
		return finding{name, "missing-function", "is not there: the file is a Python extension module (" + n + ")",
			`a Python processor has processor_type "python" and a program as processor_entry`}
	}
	if n := with(fromExports, func(n string) bool { return strings.HasPrefix(n, "Java_") }); n != "" {
		return finding{name, "missing-function", "is not there: the file is a library for Java's native interface (" + n + ")",
			`a Java processor has processor_type "java" and processor_mainclass`}
	}
	others := map[string][]string{"initialize": {"Initialize", "init", "Init", "load", "Load", "initialise"}, "process": {"Process", "predict", "Predict"}}[name]
	for _, other := range others {
		n := with(fromExports, func(n string) bool { return n == other || mangledAs(n, other) })
		if n != "" {
			return finding{name, "missing-function", fmt.Sprintf("is not there, but %s is", readable(n)),
				"the names are initialize and process, in lower case: " + template}
		}
	}
	return finding{name, "missing-function", "is not there", "a processor defines " + template}
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
