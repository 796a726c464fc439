package check

import (
	"cmp"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/classfile"
)

// Bounds of the search through the directory of a Java processor.
const (
	maxJavaFiles = 200_000
	maxJavaDepth = 24
	maxClassFile = 16 << 20 // bytes of one class
)

// javaFiles is what a processor's directory holds.
type javaFiles struct {
	jars    []string // relative, those of the class path in its order
	classes bool     // there is a directory classes/
	rooted  bool     // the directory itself is one of classes

	// For what is said where a class is not found.
	sources []string // relative paths of Java, Kotlin and Scala sources of that class
	stray   []string // relative paths of files of that name outside of the class path's directories
	builds  []string // the files of build tools
	written bool     // there are sources
	names   []string // what the directory holds
}

// findJavaFiles looks through a processor's directory, whose entries may be links.
func findJavaFiles(p JavaProcessor) (*javaFiles, error) {
	f := &javaFiles{}
	entries, err := os.ReadDir(p.Dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f.names = append(f.names, e.Name())
	}
	if info, err := os.Stat(filepath.Join(p.Dir, "classes")); err == nil && info.IsDir() {
		f.classes = true
	}
	if info, err := os.Stat(filepath.Join(p.Dir, filepath.FromSlash(classEntry(p.MainClass)))); err == nil && info.Mode().IsRegular() {
		f.rooted = true
	}
	w := javaWalk{javaFiles: f, dir: p.Dir, class: simpleName(p.MainClass), looked: map[string]bool{"classes": f.classes}}
	if info, err := os.Stat(p.Dir); err == nil {
		w.walk("", entries, []fs.FileInfo{info})
	}
	f.sortJars()
	return f, nil
}

// simpleName is a class's name without its package, and without the one that it
// is nested in, however it is written.
func simpleName(class string) string {
	class = trimClass(class)
	return class[strings.LastIndexAny(class, `./\$`)+1:]
}

// trimClass takes away what does not belong to the name of a class.
func trimClass(class string) string {
	return strings.TrimSuffix(strings.TrimSuffix(class, ".class"), ".java")
}

// javaWalk is a way through a processor's directory.
type javaWalk struct {
	*javaFiles
	dir    string
	class  string          // simple name of the processor's class
	looked map[string]bool // entries of dir of which a class file was read
	count  int
}

// walk looks at the entries of the directory rel. above are the directories that
// lead there, so that a link to one of them is not followed.
func (w *javaWalk) walk(rel string, entries []fs.DirEntry, above []fs.FileInfo) {
	for _, e := range entries {
		name := e.Name()
		if w.count++; w.count > maxJavaFiles || strings.HasPrefix(name, ".") || name == "__MACOSX" {
			continue
		}
		below, full := path.Join(rel, name), filepath.Join(w.dir, filepath.FromSlash(rel), name)
		isDir, isFile := e.IsDir(), e.Type().IsRegular()
		var info fs.FileInfo
		if isDir || e.Type()&fs.ModeSymlink != 0 {
			var err error
			if info, err = os.Stat(full); err != nil {
				continue
			}
			isDir, isFile = info.IsDir(), info.Mode().IsRegular()
		}
		switch {
		case isFile:
			w.file(below)
		case isDir && len(above) < maxJavaDepth && !slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, info) }):
			if entries, err := os.ReadDir(full); err == nil {
				w.walk(below, entries, append(above, info))
			}
		}
	}
}

// file looks at the name of a file.
func (w *javaWalk) file(rel string) {
	const most = 20
	name := path.Base(rel)
	ext := path.Ext(name)
	switch strings.ToLower(ext) {
	case ".jar":
		w.jars = append(w.jars, rel)
	case ".class":
		top, _, _ := strings.Cut(rel, "/")
		if !w.looked[top] && !w.rooted {
			w.looked[top] = true
			w.rooted = w.nameOf(rel) == className(rel)
		}
		if strings.EqualFold(simpleName(name), w.class) && len(w.stray) < most {
			w.stray = append(w.stray, rel)
		}
	case ".java", ".kt", ".scala":
		w.written = true
		if strings.TrimSuffix(name, ext) == w.class && len(w.sources) < most {
			w.sources = append(w.sources, rel)
		}
	}
	switch name {
	case "pom.xml", "build.gradle", "build.gradle.kts", "gradlew", "build.sbt":
		if path.Dir(rel) == "." {
			w.builds = append(w.builds, name)
		}
	}
}

// nameOf is the name of the class in a file, empty where it cannot be read.
func (w *javaWalk) nameOf(rel string) string {
	entry := javaEntry{name: rel, path: filepath.Join(w.dir, filepath.FromSlash(rel))}
	c, err := entry.parse()
	if err != nil {
		return ""
	}
	return c.Name
}

// sortJars leaves out the jars that are not for running, and puts the others in
// the order of the class path.
func (f *javaFiles) sortJars() {
	all := map[string]bool{}
	for _, jar := range f.jars {
		all[jar] = true
	}
	f.jars = slices.DeleteFunc(f.jars, func(jar string) bool {
		dir, name := path.Split(jar)
		base := strings.ToLower(strings.TrimSuffix(name, path.Ext(name)))
		shaded, original := strings.CutPrefix(name, "original-")
		return strings.HasSuffix(base, "-sources") || strings.HasSuffix(base, "-javadoc") || original && all[dir+shaded]
	})
	slices.SortFunc(f.jars, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")), strings.Compare(a, b))
	})
}

// classPath makes the class path of what was found.
func (f *javaFiles) classPath(p JavaProcessor) []string {
	var paths []string
	add := func(path string) {
		if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	if p.Entry != "" {
		add(p.Entry)
	}
	if f.rooted {
		add(p.Dir)
	}
	if f.classes {
		add(filepath.Join(p.Dir, "classes"))
	}
	for _, jar := range f.jars {
		add(filepath.Join(p.Dir, filepath.FromSlash(jar)))
	}
	return paths
}

// build says how the processor is built, as far as its files tell.
func (f *javaFiles) build() string {
	has := func(name string) bool { return slices.Contains(f.builds, name) }
	switch {
	case has("pom.xml"):
		return "build it: mvn package"
	case has("gradlew"):
		return "build it: ./gradlew build"
	case has("build.gradle"), has("build.gradle.kts"):
		return "build it: gradle build"
	case has("build.sbt"):
		return "build it: sbt package"
	case f.written:
		return "compile it, such as with: javac -d classes *.java"
	}
	return "build it first, and put its jar in the processor's directory or archive"
}

// notBuilt reports a directory in which nothing can be run.
func (j *javaCheck) notBuilt() {
	f := j.files
	switch {
	case f.written:
		j.report.add(Fatal, "not-built", f.build(), "the processor holds sources, but neither a jar nor a class")
	case len(f.names) == 0:
		j.report.add(Fatal, "not-built", f.build(), "the processor's directory is empty")
	default:
		hint := f.build()
		for _, stray := range f.stray {
			if root := j.rootOf(stray); root != "" {
				hint = "the class lies in " + root + ": set " + entryHint(root)
			}
		}
		if name := j.misnamedJar(); name != "" {
			hint = name + " is a jar that holds the class: give it a name that ends in .jar"
		}
		j.report.add(Fatal, "not-built", hint, "the processor holds neither a jar nor classes: there is %s", list(f.names, 5))
	}
}

// misnamedJar is a file of the processor's directory that is a jar with the
// processor's class, whatever its name says; empty where there is none.
func (j *javaCheck) misnamedJar() string {
	for _, name := range j.files.names {
		path := filepath.Join(j.Dir, name)
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		e, _, _ := openElement(path)
		if e == nil {
			continue
		}
		_, found := e.find(classEntry(j.MainClass))
		e.close()
		if found {
			return name
		}
	}
	return ""
}

// rootOf is the directory that a class loader would have to begin at to find the
// processor's class in a file; empty where the file holds another class.
func (j *javaCheck) rootOf(rel string) string {
	entry := javaEntry{name: rel, path: filepath.Join(j.Dir, filepath.FromSlash(rel))}
	c, err := entry.parse()
	if err != nil || c.Name != j.MainClass {
		return ""
	}
	root, ok := strings.CutSuffix(rel, "/"+classEntry(c.Name))
	if !ok {
		return ""
	}
	return root
}

func entryHint(root string) string { return `"processor_entry": "` + root + `"` }

// looksLikeProcessor reports whether a class has what EAS calls.
func looksLikeProcessor(c *classfile.Class) bool {
	return slices.ContainsFunc(c.Methods, isWantedConstructor) && slices.ContainsFunc(c.Methods, isWantedProcess)
}
