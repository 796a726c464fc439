package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/openeas/eascmd/internal/classfile"
	"github.com/openeas/eascmd/internal/fault"
)

// JavaProcessor says where a processor in Java is, or in another language that
// is compiled for the Java virtual machine.
type JavaProcessor struct {
	Dir       string // its directory, absolute
	Entry     string // absolute path of processor_entry, a jar or a directory of classes; may be empty
	MainClass string // its class, as processor_mainclass names it
}

// JavaOptions say which Java will run a processor.
type JavaOptions struct {
	Feature int      // the number that people call it by, such as 17; 0 where it is not known
	Version string   // in full; empty where Feature says all that is known
	Place   string   // as Options.Place
	Others  []string // what other Javas are there, for a hint
}

// thisPlace is what messages call the place where nothing else is said.
const thisPlace = "this machine"

// java describes the Java in a message.
func (o JavaOptions) java() string {
	version := o.Version
	if version == "" {
		version = fmt.Sprint(o.Feature)
	}
	return "the Java of " + o.Place + " is " + version
}

// javaCheck is a processor that is looked at.
type javaCheck struct {
	JavaProcessor
	opts     JavaOptions
	report   *Report
	files    *javaFiles
	elements []*javaElement // of the class path, without those that cannot be read
	broken   []Problem      // what is wrong with the others
	known    map[string]*classfile.Class
}

// Java examines a processor in Java without running any of it: its class path,
// and whether the class is there, fits the Java that will run it and has what EAS
// calls. Of jars it reads the table of contents and those classes that it needs.
// It returns an error only where the directory cannot be read; what is wrong is
// in the report, whose Path is the name of the class.
//
// classPath is what the classes are to be looked for in, in this order: absolute
// paths of jars and directories. It is processor_entry; the directory itself where
// it is one of classes; classes/; and every jar below the directory, the upper ones
// first, each level sorted by name. Hidden files, *-sources.jar, *-javadoc.jar
// and the original-*.jar that Maven's shade plugin leaves beside its own are left
// out.
func Java(p JavaProcessor, opts JavaOptions) (report Report, classPath []string, err error) {
	report.Path = p.MainClass
	if opts.Place == "" {
		opts.Place = thisPlace
	}
	j := &javaCheck{JavaProcessor: p, opts: opts, report: &report, known: map[string]*classfile.Class{}}
	if j.files, err = findJavaFiles(p); err != nil {
		return report, nil, fault.New(fault.Processor, "cannot read the processor: %w", err)
	}
	paths := j.files.classPath(p)
	if p.Entry != "" {
		if _, err := os.Stat(p.Entry); err != nil {
			hint := "processor_entry is a jar or a directory of classes inside the processor's directory or archive; without it all jars are taken"
			if len(j.files.jars) > 0 {
				hint = "processor_entry may be left out; there are " + list(j.files.jars, 5)
			}
			report.add(Fatal, "processor-entry", hint, "processor_entry names %s, which is not there", j.relative(p.Entry))
			return report, paths, nil
		}
	}
	if len(paths) == 0 {
		j.notBuilt()
		return report, nil, nil
	}
	for _, path := range paths {
		j.open(path)
	}
	defer func() {
		for _, e := range j.elements {
			e.close()
		}
	}()

	var found []javaEntry
	if !strings.ContainsAny(p.MainClass, `/\`) {
		found = j.containing(classEntry(p.MainClass))
	}
	for _, problem := range j.broken {
		if len(found) == 0 {
			problem.Severity = Fatal // it may be the one that has the class
		}
		report.Problems = append(report.Problems, problem)
	}
	if len(found) == 0 {
		if len(j.elements) > 0 {
			j.classNotFound()
		}
		return report, paths, nil
	}
	if class := j.mainClass(found[0]); class != nil {
		j.shape(class)
		j.constructor(class)
		j.methods(class)
		j.otherCopies(found)
		j.newerClasses(found[0])
		j.workspacePaths(found[0])
	}
	for _, e := range j.elements {
		j.signatures(e)
	}
	j.nestedJars(found[0].element, Warning)
	return report, paths, nil
}

// relative is how messages name a path of the processor.
func (j *javaCheck) relative(path string) string {
	rel, err := filepath.Rel(j.Dir, path)
	switch {
	case err != nil || !filepath.IsLocal(rel):
		return path
	case rel == ".":
		return "the processor's directory"
	}
	return filepath.ToSlash(rel)
}

// open adds an element of the class path.
func (j *javaCheck) open(path string) {
	e, what, hint := openElement(path)
	if e == nil {
		severity := Warning
		if path == j.Entry {
			severity = Fatal
		}
		text := j.relative(path) + " is no jar but " + what
		if severity == Warning {
			text += "; its classes are missing"
		}
		j.broken = append(j.broken, Problem{Severity: severity, Code: "not-a-jar", Text: text, Hint: hint})
		return
	}
	e.name = j.relative(path)
	j.elements = append(j.elements, e)
}

// containing returns the entries of a name, in the order of the class path.
func (j *javaCheck) containing(name string) []javaEntry {
	var found []javaEntry
	for _, e := range j.elements {
		if entry, ok := e.find(name); ok {
			found = append(found, entry)
		}
	}
	return found
}

// classEntry is the name of the file that holds a class.
func classEntry(class string) string { return strings.ReplaceAll(class, ".", "/") + ".class" }

// className is the class whose file has a name.
func className(entry string) string {
	return strings.ReplaceAll(strings.TrimSuffix(entry, ".class"), "/", ".")
}

// class looks up a class in the class path. It is nil where there is none, or
// where it cannot be read.
func (j *javaCheck) class(name string) *classfile.Class {
	if c, ok := j.known[name]; ok {
		return c
	}
	var class *classfile.Class
	for _, e := range j.elements {
		if entry, ok := e.find(classEntry(name)); ok {
			class, _ = entry.parse()
			break
		}
	}
	j.known[name] = class
	return class
}

// mainClass reads the processor's class, nil where it cannot be used.
func (j *javaCheck) mainClass(entry javaEntry) *classfile.Class {
	data, err := entry.read()
	if err == nil && j.tooNew(data, entry) {
		return nil
	}
	var class *classfile.Class
	if err == nil {
		class, err = classfile.Parse(data)
	}
	switch {
	case err != nil:
		j.report.add(Fatal, "damaged", "build or copy it again", "its file in %s is damaged: %v", entry.element.name, err)
		return nil
	case class.Name != j.MainClass:
		j.report.add(Fatal, "class-not-found", "did you mean "+class.Name+"? A class's file lies where its package says, below the directory that is in the class path",
			"%s of %s holds the class %s", entry.name, entry.element.name, class.Name)
		return nil
	}
	j.known[class.Name] = class
	return class
}
