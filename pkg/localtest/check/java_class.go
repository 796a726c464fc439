package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/classfile"
)

// What EAS calls, as class files have it.
const (
	constructorName   = "<init>"
	wantedConstructor = "(Ljava/lang/String;Ljava/lang/String;)V"
	noParameters      = "()"
)

// processSignature is what a hint says of Process.
const processSignature = "public byte[] Process(byte[] input)"

func isWantedConstructor(m classfile.Member) bool {
	return m.Name == constructorName && m.Descriptor == wantedConstructor && m.Access&classfile.Public != 0
}

func isWantedProcess(m classfile.Member) bool {
	return m.Name == "Process" && takesInput(m) && returnsOutput(m) &&
		m.Access&(classfile.Public|classfile.Static|classfile.Abstract) == classfile.Public
}

func takesInput(m classfile.Member) bool {
	return strings.HasPrefix(m.Descriptor, "([B)") || strings.HasPrefix(m.Descriptor, "(Ljava/lang/String;)")
}

func returnsOutput(m classfile.Member) bool {
	return strings.HasSuffix(m.Descriptor, ")[B") || strings.HasSuffix(m.Descriptor, ")Ljava/lang/String;")
}

// lastName is what a program calls a class inside its package and its outer class.
func lastName(class string) string {
	name := classfile.Source(class)
	return name[strings.LastIndexByte(name, '.')+1:]
}

// describe writes a method or constructor as a program does: Process(byte[]).
func describe(c *classfile.Class, m classfile.Member) string {
	parameters, _, ok := m.Types()
	name := m.Name
	if name == constructorName {
		name = lastName(c.Name)
	}
	if !ok {
		return name + m.Descriptor
	}
	return name + "(" + strings.Join(parameters, ", ") + ")"
}

// hiddenBy says what keeps a member from being called from outside, such as
// "private"; empty where nothing does.
func hiddenBy(a classfile.Access) string {
	switch {
	case a&classfile.Public != 0:
		return ""
	case a&classfile.Private != 0:
		return "private"
	case a&classfile.Protected != 0:
		return "protected"
	}
	return "not public"
}

// shape reports a class that no instance can be made of.
func (j *javaCheck) shape(c *classfile.Class) {
	name := lastName(c.Name)
	switch {
	case c.Access&classfile.Annotation != 0:
		j.report.add(Fatal, "class-kind", "name the processor's class in processor_mainclass", "it is an annotation")
	case c.Access&classfile.Interface != 0:
		j.report.add(Fatal, "class-kind", "name a class that implements it in processor_mainclass", "it is an interface")
	case c.Access&classfile.Enum != 0:
		j.report.add(Fatal, "class-kind", "write it as a class: public class "+name, "it is an enum, which makes its instances itself")
	case c.Access&classfile.Abstract != 0:
		j.report.add(Fatal, "class-kind", "name a class that extends it in processor_mainclass, or remove abstract", "it is abstract")
	case c.Access&classfile.Public == 0:
		j.report.add(Warning, "class-kind", "write public class "+name, "it is not public: it is called here, but EAS may not be able to")
	}
}

// constructor reports a class without the constructor that EAS calls.
func (j *javaCheck) constructor(c *classfile.Class) {
	if c.Access&(classfile.Interface|classfile.Enum) != 0 {
		return // the class cannot be it
	}
	name := lastName(c.Name)
	hint := "write: public " + name + "(String modelEntry, String modelConfig)"
	var all []string
	for _, m := range c.Methods {
		if m.Name != constructorName || m.Access&classfile.Synthetic != 0 {
			continue
		}
		if m.Descriptor == wantedConstructor {
			if hidden := hiddenBy(m.Access); hidden != "" {
				j.report.add(Fatal, "constructor", hint, "its constructor %s is %s", describe(c, m), hidden)
			}
			return
		}
		text := describe(c, m)
		if hidden := hiddenBy(m.Access); hidden == "private" || hidden == "protected" {
			text = hidden + " " + text
		}
		all = append(all, text)
		if outer := outerClass(c.Name); outer != "" && m.Descriptor == "(L"+strings.ReplaceAll(outer, ".", "/")+";"+wantedConstructor[1:] {
			j.report.add(Fatal, "constructor", "declare it static: public static class "+name+"; a Kotlin class without inner",
				"it is an inner class, which belongs to an instance of %s", classfile.Source(outer))
			return
		}
	}
	switch language := j.object(c); {
	case language != "":
		j.report.add(Fatal, "constructor", "make it a class: class "+name+"(modelEntry: String, modelConfig: String)",
			"it is an object of %s, which has no constructor", language)
	case len(all) == 1 && strings.HasSuffix(all[0], noParameters):
		j.report.add(Fatal, "constructor", hint, "it has no constructor for two Strings, but only %s", all[0])
	case len(all) > 0:
		j.report.add(Fatal, "constructor", hint, "it has no constructor for two Strings: it has %s", list(all, mostNamed))
	default:
		j.report.add(Fatal, "constructor", hint, "it has no constructor")
	}
}

// outerClass is the class that a class is nested in, empty where it is not.
func outerClass(name string) string {
	if i := strings.LastIndexByte(name, '$'); i > 0 {
		return name[:i]
	}
	return ""
}

// object names the language in which a class is an object, that is the only
// instance of itself.
func (j *javaCheck) object(c *classfile.Class) string {
	has := func(c *classfile.Class, field string) bool {
		return slices.ContainsFunc(c.Fields, func(f classfile.Member) bool { return f.Name == field && f.Access&classfile.Static != 0 })
	}
	if has(c, "MODULE$") {
		return "Scala"
	}
	if twin := j.class(c.Name + "$"); twin != nil && has(twin, "MODULE$") {
		return "Scala"
	}
	if has(c, "INSTANCE") {
		return "Kotlin"
	}
	return ""
}

// kin lists a class, those that it extends, and then the interfaces of all of
// them. missing are those of them that are not in the class path, where it is not
// Java itself that has them.
func (j *javaCheck) kin(c *classfile.Class) (all []*classfile.Class, missing []missingClass) {
	const most = 1000
	seen := map[string]bool{c.Name: true}
	var interfaces []missingClass
	add := func(name, by string) *classfile.Class {
		if seen[name] || strings.HasPrefix(name, "java.") || name == "" || len(seen) > most {
			return nil
		}
		seen[name] = true
		class := j.class(name)
		if class == nil {
			missing = append(missing, missingClass{name, by})
			return nil
		}
		all = append(all, class)
		for _, i := range class.Interfaces {
			interfaces = append(interfaces, missingClass{i, class.Name})
		}
		return class
	}
	all = append(all, c)
	for _, i := range c.Interfaces {
		interfaces = append(interfaces, missingClass{i, c.Name})
	}
	for at := c; at != nil; {
		at = add(at.Super, at.Name)
	}
	for len(interfaces) > 0 {
		next := interfaces[0]
		interfaces = interfaces[1:]
		add(next.name, next.by)
	}
	return all, missing
}

// missingClass is a class that is not in the class path.
type missingClass struct{ name, by string }

// ofJava reports whether a package may be one of Java itself, though not of every
// Java.
func (m missingClass) ofJava() bool {
	for _, prefix := range [...]string{"javax.", "jdk.", "sun.", "com.sun.", "org.w3c.dom.", "org.xml.sax.", "org.ietf.jgss."} {
		if strings.HasPrefix(m.name, prefix) {
			return true
		}
	}
	return false
}

// methods reports what keeps Process and Load from being called.
func (j *javaCheck) methods(c *classfile.Class) {
	if c.Access&classfile.Annotation != 0 {
		return
	}
	all, missing := j.kin(c)
	hasProcess := hasProcess(all)
	unknown := false
	for _, m := range missing {
		unknown = true
		if m.ofJava() && hasProcess {
			continue
		}
		text := fmt.Sprintf("%s extends or implements %s, which is not in the class path", m.by, m.name)
		if !hasProcess {
			text += ", so that it is not known whether it has Process"
		}
		j.report.add(Warning, "missing-class", "put the jar that holds it beside the processor's, or build one jar with all that it needs: maven-shade-plugin", "%s", text)
	}
	if !hasProcess && !unknown {
		j.noProcess(c, all)
	}
	j.load(all)
}

// hasProcess reports whether one of the classes has the Process that is called:
// the one of bytes, or, where there is none, that of a String.
func hasProcess(all []*classfile.Class) bool {
	has := func(is func(classfile.Member) bool) bool {
		return slices.ContainsFunc(all, func(c *classfile.Class) bool { return slices.ContainsFunc(c.Methods, is) })
	}
	ofBytes := func(m classfile.Member) bool {
		return m.Name == "Process" && strings.HasPrefix(m.Descriptor, "([B)") && m.Access&(classfile.Public|classfile.Abstract) == classfile.Public
	}
	if has(ofBytes) {
		return has(func(m classfile.Member) bool { return ofBytes(m) && isWantedProcess(m) })
	}
	return has(isWantedProcess)
}

// noProcess reports that there is no Process, and what is there in its place.
func (j *javaCheck) noProcess(c *classfile.Class, all []*classfile.Class) {
	if c.Access&classfile.Interface != 0 {
		return // told already
	}
	var near, others []string // methods of the right parameters, and all the others
	var hints []string        // what to do, for each of near
	for _, class := range all {
		for _, m := range class.Methods {
			if !strings.EqualFold(m.Name, "process") || m.Access&(classfile.Synthetic|classfile.Abstract) != 0 {
				continue
			}
			what := describe(class, m)
			if m.Name != "Process" || !takesInput(m) {
				others = append(others, what)
				continue
			}
			why, hint := "", "write "+processSignature
			switch _, result, _ := m.Types(); {
			case isWantedProcess(m): // that of bytes counts
				continue
			case m.Access&classfile.Static != 0:
				why, hint = "is static", "remove static: it is called on the instance that the constructor made"
			case hiddenBy(m.Access) != "":
				why = "is " + hiddenBy(m.Access)
			default:
				why, hint = "returns "+result, "let it return a byte[] or a String"
			}
			near, hints = append(near, what+" "+why), append(hints, hint)
		}
	}
	const text = "it has no method Process that EAS can call: "
	named := func(is func(string) bool) bool { return slices.ContainsFunc(others, is) }
	switch {
	case len(near) > 0:
		j.report.add(Fatal, "no-process", hints[0], text+"%s", list(near, mostNamed))
	case named(func(s string) bool { return strings.HasSuffix(s, "(Byte[])") }):
		j.report.add(Fatal, "no-process", "Byte[] is an array of objects: write byte[], in Kotlin ByteArray, in Scala Array[Byte]",
			text+"it has %s", list(others, mostNamed))
	case named(func(s string) bool { return strings.HasPrefix(s, "Process(") }):
		j.report.add(Fatal, "no-process", "Process takes a byte[] or a String: "+processSignature, text+"it has %s", list(others, mostNamed))
	case len(others) > 0:
		j.report.add(Fatal, "no-process", "Java tells capital letters from small ones: "+processSignature, text+"it has %s", list(others, mostNamed))
	default:
		hint := "a processor has: " + processSignature
		if slices.ContainsFunc(c.Methods, func(m classfile.Member) bool { return m.Name == "main" && m.Access&classfile.Static != 0 }) {
			hint = "its main is not called, as it is no program; " + hint
		}
		j.report.add(Fatal, "no-process", hint, "it has no method Process")
	}
}

// load warns of a Load that will not be called.
func (j *javaCheck) load(all []*classfile.Class) {
	const hint = "what is called once after the constructor is: public void Load()"
	var others, small []string
	for _, class := range all {
		for _, m := range class.Methods {
			if m.Access&(classfile.Synthetic|classfile.Abstract) != 0 {
				continue
			}
			alone := strings.HasPrefix(m.Descriptor, noParameters)
			switch hidden := hiddenBy(m.Access); {
			case m.Name == "load" && alone && m.Access&(classfile.Public|classfile.Static) == classfile.Public:
				small = append(small, describe(class, m))
			case m.Name != "Load":
			case !alone:
				others = append(others, describe(class, m)+" has parameters")
			case hidden != "":
				others = append(others, describe(class, m)+" is "+hidden)
			default:
				return
			}
		}
	}
	switch {
	case len(others) > 0:
		j.report.add(Warning, "load", hint, "its Load is not called: %s", list(others, mostNamed))
	case len(small) > 0:
		j.report.add(Note, "load", hint, "EAS does not call load(), whose name begins with a small letter")
	}
}
