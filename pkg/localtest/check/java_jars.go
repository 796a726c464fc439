package check

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/classfile"
)

// Bounds of what is read of the classes in jars.
const (
	maxSampled = 3000 // classes whose version is read
	maxOwn     = 2000 // classes of the processor's package
)

// tooNew reports a processor's class that the Java cannot load.
func (j *javaCheck) tooNew(data []byte, entry javaEntry) bool {
	v, err := classfile.ReadVersion(data)
	switch {
	case err != nil || j.opts.Feature == 0 || v.Feature() < 1:
		return false
	case v.Feature() > j.opts.Feature:
		j.report.add(Fatal, "class-version", j.newerHint(true), "it is compiled for Java %d (class file version %d), and %s", v.Feature(), v.Major, j.opts.java())
		return true
	case v.Preview() && v.Feature() < j.opts.Feature:
		j.report.add(Fatal, "class-version", fmt.Sprintf("compile it without --enable-preview, or run it with Java %d", v.Feature()),
			"it uses preview features of Java %d, which no other Java has, and %s", v.Feature(), j.opts.java())
		return true
	}
	return false
}

// newerHint says what to do with classes for a newer Java, the processor's own or
// those of a library.
func (j *javaCheck) newerHint(own bool) string {
	hint := fmt.Sprintf("take a version of it that is for Java %d", j.opts.Feature)
	if own {
		hint = fmt.Sprintf("compile it with --release %d (Maven: maven.compiler.release, Gradle: options.release, Kotlin: jvmTarget)", j.opts.Feature)
	}
	if j.opts.Place != thisPlace {
		return hint + ", or run it in an image with a newer Java"
	}
	hint += ", or run it with a newer Java: set JAVA_HOME"
	if len(j.opts.Others) > 0 {
		hint += "; also here: " + list(j.opts.Others, 5)
	}
	return hint
}

// newerClasses warns of classes beside the processor's that the Java cannot load.
// It looks at all classes of the processor's package and one of each other: a
// library's classes are compiled by the same compiler.
func (j *javaCheck) newerClasses(main javaEntry) {
	if j.opts.Feature == 0 {
		return
	}
	const mostJars = 5
	var reader headReader
	read, told := 0, 0
	for _, e := range j.elements {
		seen, last := map[string]bool{}, ""
		var newer []string
		needs := 0
		for f := range e.entries() {
			if !f.isClass() {
				continue
			}
			dir := path.Dir(f.name)
			if e != main.element || dir != path.Dir(main.name) {
				if dir == last || seen[dir] {
					continue
				}
				seen[dir], last = true, dir
			} else if f.name == main.name {
				continue
			}
			if read++; read > maxSampled {
				break
			}
			v, err := reader.version(f)
			if err != nil || v.Feature() <= j.opts.Feature {
				continue
			}
			if v.Feature() > needs {
				needs, newer = v.Feature(), nil // the newest are told
			}
			if v.Feature() == needs {
				newer = append(newer, className(f.name))
			}
		}
		if len(newer) == 0 {
			continue
		}
		if told++; told > mostJars {
			break
		}
		slices.Sort(newer)
		own := e == main.element && slices.ContainsFunc(newer, func(name string) bool { return path.Dir(classEntry(name)) == path.Dir(main.name) })
		j.report.add(Warning, "class-version", j.newerHint(own), "%s holds classes for Java %d, such as %s, which fail when they are used: %s",
			e.name, needs, strings.Join(newer[:min(3, len(newer))], ", "), j.opts.java())
	}
}

// otherCopies warns of a processor's class that is there twice, differently.
func (j *javaCheck) otherCopies(found []javaEntry) {
	crc, size := found[0].sum()
	var others []string
	for _, f := range found[1:] {
		if c, s := f.sum(); c != crc || s != size {
			others = append(others, f.element.name)
		}
	}
	if len(others) > 0 {
		j.report.add(Warning, "duplicate-class", "remove the older one, or name the right one in processor_entry",
			"it is in %s and, with another content, in %s: the one in %s is used", found[0].element.name, list(others, 5), found[0].element.name)
	}
}

// workspacePaths notes absolute paths of EAS's workspace that the classes of the
// processor's package name.
func (j *javaCheck) workspacePaths(main javaEntry) {
	dir := path.Dir(main.name)
	read := 0
	var told []string
	for f := range main.element.entries() {
		if !f.isClass() || path.Dir(f.name) != dir && !strings.HasPrefix(f.name, dir+"/") {
			continue
		}
		if read++; read > maxOwn || len(told) >= maxPaths {
			break
		}
		c, err := f.parse()
		if err != nil {
			continue
		}
		for _, p := range appendPaths(nil, []byte(strings.Join(c.Strings, "\x00"))) {
			if slices.Contains(told, p) || len(told) >= maxPaths {
				continue
			}
			told = append(told, p)
			j.report.add(Note, "workspace-path", "use ../../model, the first argument of the constructor, or the environment variable EAS_MODEL_DIR",
				"%s names the path %s, which exists on EAS and not everywhere else", c.Name, p)
		}
	}
}

const nestedHint = "put these jars beside it, or their classes into it: maven-shade-plugin"

// nestedJars reports jars inside a jar: a class loader does not look into them.
func (j *javaCheck) nestedJars(e *javaElement, severity Severity) {
	if nested := e.nestedJars(); len(nested) > 0 {
		j.report.add(severity, "jar-in-jar", nestedHint, "%s holds jars, in which Java does not look for classes: %s", e.name, list(nested, 3))
	}
}

// nestedJars are the jars inside a jar that lie where libraries do.
func (e *javaElement) nestedJars() []string {
	if e.jar == nil {
		return nil
	}
	var nested []string
	for _, f := range e.jar.File {
		dir, name := path.Split(f.Name)
		if strings.HasSuffix(name, ".jar") && (dir == "" || path.Base(dir) == "lib" || path.Base(dir) == "libs") {
			nested = append(nested, f.Name)
		}
	}
	return nested
}

// signatures warns of a jar with the signature of another that was put into it.
func (j *javaCheck) signatures(e *javaElement) {
	if e.jar == nil {
		return
	}
	blocks, files := map[string]bool{}, map[string]javaEntry{}
	var manifest *javaEntry
	for _, f := range e.jar.File {
		const dir = "META-INF/"
		if len(f.Name) < len(dir) || !strings.EqualFold(f.Name[:len(dir)], dir) || strings.Contains(f.Name[len(dir):], "/") {
			continue
		}
		name := strings.ToUpper(f.Name[len(dir):])
		base, ext := strings.TrimSuffix(name, path.Ext(name)), path.Ext(name)
		switch {
		case name == "MANIFEST.MF":
			manifest = &javaEntry{element: e, name: f.Name, zipped: f}
		case ext == ".SF":
			files[base] = javaEntry{element: e, name: f.Name, zipped: f}
		case ext == ".RSA", ext == ".DSA", ext == ".EC":
			blocks[base] = true
		}
	}
	if manifest == nil || len(files) == 0 {
		return // without a manifest nothing is verified
	}
	signed, err := manifest.read()
	if err != nil {
		return
	}
	var left []string
	for base, f := range files {
		if !blocks[base] {
			continue
		}
		if data, err := f.read(); err == nil && !signatureFits(string(data), signed) {
			left = append(left, f.name)
		}
	}
	if len(left) == 0 {
		return
	}
	slices.Sort(left)
	j.report.add(Warning, "signature", "leave the signatures out: in maven-shade-plugin's <filters>, "+
		"<filter><artifact>*:*</artifact><excludes><exclude>META-INF/*.SF</exclude><exclude>META-INF/*.RSA</exclude><exclude>META-INF/*.DSA</exclude></excludes></filter>; "+
		"in an existing jar: zip -d "+path.Base(e.name)+" 'META-INF/*.SF' 'META-INF/*.RSA' 'META-INF/*.DSA'",
		"%s holds the signature of another jar that was put into it, and Java refuses the classes of such a jar (Invalid signature file digest): %s", e.name, list(left, 3))
}

// signatureFits reports whether a signature file is that of a manifest: of the
// whole, or of its main part, whose other sections are then looked at one by one.
func signatureFits(signature string, manifest []byte) bool {
	main := manifest
	for i := range manifest {
		if rest := manifest[i:]; bytes.HasPrefix(rest, []byte("\r\n\r\n")) {
			main = manifest[:i+4]
			break
		} else if bytes.HasPrefix(rest, []byte("\n\n")) {
			main = manifest[:i+2]
			break
		}
	}
	ofMain := false
	// A line that is too long goes on after a space.
	signature = strings.NewReplacer("\r\n ", "", "\n ", "").Replace(signature)
	for line := range strings.Lines(signature) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if name == "" {
			break // what follows is of single entries
		}
		of := manifest
		algorithm, ok := strings.CutSuffix(name, "-Digest-Manifest")
		if !ok {
			if algorithm, ok = strings.CutSuffix(name, "-Digest-Manifest-Main-Attributes"); !ok {
				continue
			}
			of, ofMain = main, true
		}
		if sum, known := digest(algorithm, of); !known || sum == value {
			return true
		}
	}
	return !ofMain
}

// digest is a digest as signature files write it. known is false where the
// algorithm is not one that they use.
func digest(algorithm string, data []byte) (text string, known bool) {
	var sum []byte
	switch strings.ToUpper(algorithm) {
	case "SHA-256":
		d := sha256.Sum256(data)
		sum = d[:]
	case "SHA1", "SHA", "SHA-1":
		d := sha1.Sum(data)
		sum = d[:]
	case "SHA-384":
		d := sha512.Sum384(data)
		sum = d[:]
	case "SHA-512":
		d := sha512.Sum512(data)
		sum = d[:]
	case "MD5":
		d := md5.Sum(data)
		sum = d[:]
	default:
		return "", false
	}
	return base64.StdEncoding.EncodeToString(sum), true
}
