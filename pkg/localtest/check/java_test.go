package check

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/classfile"
	"github.com/openeas/eascmd/internal/classfile/classtest"
	"github.com/openeas/eascmd/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files")

// A class of a test: the name, and what differs from a sound processor.
type change func(*classfile.Class)

func class(name string, changes ...change) string {
	c := classfile.Class{
		Access: classfile.Public, Name: name,
		Methods: []classfile.Member{
			{Access: classfile.Public, Name: "<init>", Descriptor: wantedConstructor},
			{Access: classfile.Public, Name: "Process", Descriptor: "([B)[B"},
		},
	}
	for _, change := range changes {
		change(&c)
	}
	return string(classtest.Bytes(c))
}

func access(a classfile.Access) change { return func(c *classfile.Class) { c.Access = a } }
func extends(name string) change       { return func(c *classfile.Class) { c.Super = name } }
func implements(name string) change {
	return func(c *classfile.Class) { c.Interfaces = append(c.Interfaces, name) }
}
func version(feature int) change {
	return func(c *classfile.Class) { c.Version.Major = uint16(feature + 44) }
}
func preview(c *classfile.Class) { c.Version.Minor = 0xffff }
func constants(s ...string) change {
	return func(c *classfile.Class) { c.Strings = s }
}
func field(a classfile.Access, name, descriptor string) change {
	return func(c *classfile.Class) {
		c.Fields = append(c.Fields, classfile.Member{Access: a, Name: name, Descriptor: descriptor})
	}
}
func method(a classfile.Access, name, descriptor string) change {
	return func(c *classfile.Class) {
		c.Methods = append(c.Methods, classfile.Member{Access: a, Name: name, Descriptor: descriptor})
	}
}

// without takes the methods of a name away.
func without(names ...string) change {
	return func(c *classfile.Class) {
		c.Methods = slices.DeleteFunc(c.Methods, func(m classfile.Member) bool { return slices.Contains(names, m.Name) })
	}
}

// other is a class that is no processor.
func other(name string, changes ...change) string {
	return class(name, append([]change{without("<init>", "Process"), method(classfile.Public, "<init>", "()V")}, changes...)...)
}

// jar packs files by their names.
func jar(files map[string]string) string {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		// As jar does: with a time, and the sizes behind the data.
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Unix(1e9, 0)})
		if err == nil {
			_, err = w.Write([]byte(files[name]))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return out.String()
}

const echoClass = "com/example/Echo.class"

func echoJar(changes ...change) map[string]string {
	return map[string]string{"echo.jar": jar(map[string]string{echoClass: class("com.example.Echo", changes...)})}
}

// javaCases are processors, what is said of which is in testdata/java.golden.
var javaCases = []struct {
	name  string
	files map[string]string
	class string // com.example.Echo where it is empty
	entry string
	opts  JavaOptions // Java 17 where it is empty
}{
	// Where the class is.
	{name: "a jar", files: echoJar()},
	{name: "a directory of classes", files: map[string]string{echoClass: class("com.example.Echo"), "log.properties": ""}},
	{name: "a class without a package", files: map[string]string{"Echo.class": class("Echo")}, class: "Echo"},
	{name: "classes and lib", files: map[string]string{
		"classes/" + echoClass: class("com.example.Echo"),
		"lib/b.jar":            jar(map[string]string{"b/B.class": other("b.B")}),
		"lib/a.jar":            jar(map[string]string{"a/A.class": other("a.A")}),
		"z.jar":                jar(map[string]string{"z/Z.class": other("z.Z")}),
	}},
	{name: "processor_entry comes first", entry: "lib/echo.jar", files: map[string]string{
		"a.jar":        jar(map[string]string{"a/A.class": other("a.A")}),
		"lib/echo.jar": echoJar()["echo.jar"],
	}},
	{name: "processor_entry is a directory", entry: "target/classes", files: map[string]string{
		"target/classes/" + echoClass: class("com.example.Echo"),
	}},
	{name: "what is left out", files: map[string]string{
		"echo.jar": echoJar()["echo.jar"], "original-echo.jar": "x", "echo-sources.jar": "x", "echo-javadoc.jar": "x",
		".hidden/a.jar": "x", "._echo.jar": "x", "__MACOSX/._echo.jar": "x", "original-other.jar": jar(nil),
	}},
	{name: "a nested class", class: "com.example.Outer$Echo", files: map[string]string{
		"echo.jar": jar(map[string]string{"com/example/Outer$Echo.class": class("com.example.Outer$Echo")}),
	}},
	{name: "Process takes a String", files: echoJar(without("Process"), method(classfile.Public, "Process", "(Ljava/lang/String;)Ljava/lang/String;"), method(classfile.Public, "Load", "()V"))},
	{name: "Process is inherited", files: map[string]string{
		"echo.jar": jar(map[string]string{echoClass: class("com.example.Echo", without("Process"), extends("base.Middle"))}),
		"base.jar": jar(map[string]string{
			"base/Middle.class": other("base.Middle", extends("base.Base")),
			"base/Base.class":   other("base.Base", access(classfile.Public|classfile.Abstract), method(classfile.Public, "Process", "([B)[B")),
		}),
	}},
	{name: "Process is a default method of an interface", files: map[string]string{
		"echo.jar": jar(map[string]string{
			echoClass:                      class("com.example.Echo", without("Process"), implements("com.example.Byteful")),
			"com/example/Byteful.class":    class("com.example.Byteful", access(classfile.Public|classfile.Interface|classfile.Abstract), without("<init>", "Process"), implements("com.example.Processing")),
			"com/example/Processing.class": class("com.example.Processing", access(classfile.Public|classfile.Interface|classfile.Abstract), without("<init>")),
		}),
	}},

	// Nothing to run.
	{name: "empty", files: nil},
	{name: "a jar by another name", files: map[string]string{"download": echoJar()["echo.jar"]}},
	{name: "a Maven project", files: map[string]string{"pom.xml": "<project/>", "src/main/java/com/example/Echo.java": "class Echo {}"}},
	{name: "a Gradle project", files: map[string]string{"build.gradle.kts": "", "gradlew": "", "src/main/kotlin/Echo.kt": "class Echo"}},
	{name: "Gradle without its wrapper", files: map[string]string{"build.gradle": "", "src/main/java/Echo.java": ""}},
	{name: "an sbt project", files: map[string]string{"build.sbt": "", "src/main/scala/Echo.scala": "class Echo"}},
	{name: "sources only", files: map[string]string{"Echo.java": "class Echo {}"}},
	{name: "a web application only", files: map[string]string{"echo.war": "PK"}},
	{name: "classes elsewhere", files: map[string]string{"target/classes/" + echoClass: class("com.example.Echo")}},
	{name: "processor_entry is missing", entry: "target/echo.jar", files: echoJar()},
	{name: "processor_entry is missing, and all else", entry: "echo.jar", files: map[string]string{"readme": ""}},

	// Jars that are none.
	{name: "a Git LFS pointer", files: map[string]string{"echo.jar": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"}},
	{name: "an HTML page", files: map[string]string{"echo.jar": "<!DOCTYPE html>\n<html><body>404</body></html>"}},
	{name: "an error of a store", files: map[string]string{"echo.jar": "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>"}},
	{name: "an empty jar file", files: map[string]string{"echo.jar": ""}},
	{name: "a jar that is cut off", files: map[string]string{"echo.jar": echoJar()["echo.jar"][:100]}},
	{name: "a compressed archive", files: map[string]string{"echo.jar": "\x1f\x8b\x08 and more"}},
	{name: "a class called jar", files: map[string]string{"echo.jar": class("com.example.Echo")}},
	{name: "a library that is no jar", files: map[string]string{"echo.jar": echoJar()["echo.jar"], "lib/a.jar": "version https://git-lfs.github.com/spec/v1\n"}},
	{name: "no class, and a jar that is none", files: map[string]string{
		"a.jar": jar(map[string]string{"a/A.class": other("a.A")}), "echo.jar": "version https://git-lfs.github.com/spec/v1\n",
	}},
	{name: "processor_entry is no jar", entry: "echo.txt", files: map[string]string{"echo.txt": "hello", "echo.jar": echoJar()["echo.jar"]}},

	// The class is not found.
	{name: "another package", class: "com.other.Echo", files: echoJar()},
	{name: "another package, and others of that name", class: "Echo", files: map[string]string{
		"echo.jar": jar(map[string]string{echoClass: class("com.example.Echo"), "io/echo/Echo.class": other("io.echo.Echo")}),
	}},
	{name: "several of that name", class: "Echo", files: map[string]string{"a.jar": jar(map[string]string{
		"a/Echo.class": other("a.Echo"), "b/Echo.class": other("b.Echo"), "c/Echo.class": other("c.Echo"), "d/ECHO.class": other("d.ECHO"),
	})}},
	{name: "wrong case", class: "com.example.echo", files: echoJar()},
	{name: "wrong case in another package", class: "org.echo", files: echoJar()},
	{name: "a typo", class: "com.example.Ehco", files: echoJar()},
	{name: "with .class", class: "com.example.Echo.class", files: echoJar()},
	{name: "a path", class: "com/example/Echo", files: echoJar()},
	{name: "a file", class: "src\\com\\example\\Echo.java", files: echoJar()},
	{name: "the path of a file", class: "./com/example/Echo.class", files: echoJar()},
	{name: "a nested class with a dot", class: "com.example.Outer.Echo", files: map[string]string{
		"echo.jar": jar(map[string]string{"com/example/Outer$Echo.class": class("com.example.Outer$Echo")}),
	}},
	{name: "another name altogether", class: "com.example.Main", files: echoJar()},
	{name: "another name altogether, several processors", class: "com.example.Main", files: map[string]string{"echo.jar": jar(map[string]string{
		echoClass: class("com.example.Echo"), "com/example/Add.class": class("com.example.Add"), "com/example/Base.class": class("com.example.Base", access(classfile.Public|classfile.Abstract)),
	})}},
	{name: "nothing like it", class: "com.example.Main", files: map[string]string{"a.jar": jar(map[string]string{"a/A.class": other("a.A")})}},
	{name: "an empty jar", files: map[string]string{"echo.jar": jar(nil)}},
	{name: "its source is there", class: "com.example.New", files: map[string]string{
		"pom.xml": "", "src/main/java/com/example/New.java": "", "target/echo.jar": echoJar()["echo.jar"],
	}},
	{name: "in a Spring Boot jar", files: map[string]string{"echo.jar": jar(map[string]string{
		"BOOT-INF/classes/" + echoClass: class("com.example.Echo"), "BOOT-INF/lib/a.jar": "x", "org/springframework/boot/loader/Launcher.class": other("org.springframework.boot.loader.Launcher"),
	})}},
	{name: "in another package of a Spring Boot jar", class: "com.Echo", files: map[string]string{"echo.jar": jar(map[string]string{
		"BOOT-INF/classes/" + echoClass: class("com.example.Echo"),
	})}},
	{name: "in a web application", files: map[string]string{"echo.jar": jar(map[string]string{"WEB-INF/classes/" + echoClass: class("com.example.Echo")})}},
	{name: "below a directory of the jar", files: map[string]string{"echo.jar": jar(map[string]string{"target/classes/" + echoClass: class("com.example.Echo")})}},
	{name: "in a jar of the jar", files: map[string]string{"echo.jar": jar(map[string]string{"lib/inner.jar": echoJar()["echo.jar"]})}},
	{name: "in a directory that is not in the class path", files: map[string]string{
		"lib/a.jar": jar(map[string]string{"a/A.class": other("a.A")}), "build/classes/java/main/" + echoClass: class("com.example.Echo"),
	}},
	{name: "shaded under another name", files: map[string]string{"a.jar": jar(map[string]string{"shaded/" + echoClass: class("shaded.com.example.Echo")})}},
	{name: "another class in its file", files: map[string]string{"echo.jar": jar(map[string]string{echoClass: class("Echo")})}},
	{name: "a damaged class", files: map[string]string{"echo.jar": jar(map[string]string{echoClass: class("com.example.Echo")[:50]})}},

	// The class is no processor.
	{name: "an interface", files: echoJar(access(classfile.Public|classfile.Interface|classfile.Abstract), without("<init>"))},
	{name: "an annotation", files: echoJar(access(classfile.Public|classfile.Interface|classfile.Abstract|classfile.Annotation), without("<init>", "Process"))},
	{name: "an enum", files: echoJar(access(classfile.Public|classfile.Enum), extends("java.lang.Enum"))},
	{name: "abstract", files: echoJar(access(classfile.Public | classfile.Abstract))},
	{name: "not public", files: echoJar(access(0))},
	{name: "no constructor of the class's own", files: echoJar(without("<init>"), method(classfile.Public, "<init>", "()V"))},
	{name: "other constructors", files: echoJar(without("<init>"), method(classfile.Public, "<init>", "(Ljava/lang/String;)V"), method(classfile.Private, "<init>", "([BI)V"),
		method(classfile.Public|classfile.Synthetic, "<init>", "(I)V"))},
	{name: "a private constructor", files: echoJar(without("<init>"), method(classfile.Private, "<init>", wantedConstructor), method(classfile.Public, "<init>", "()V"))},
	{name: "a constructor of the package", files: echoJar(without("<init>"), method(0, "<init>", wantedConstructor))},
	{name: "an inner class", class: "com.example.Outer$Echo", files: map[string]string{"echo.jar": jar(map[string]string{
		"com/example/Outer$Echo.class": class("com.example.Outer$Echo", without("<init>"), method(classfile.Public, "<init>", "(Lcom/example/Outer;Ljava/lang/String;Ljava/lang/String;)V")),
	})}},
	{name: "an object of Kotlin", files: echoJar(without("<init>"), method(classfile.Private, "<init>", "()V"), field(classfile.Public|classfile.Static, "INSTANCE", "Lcom/example/Echo;"))},
	{name: "an object of Scala", files: map[string]string{"echo.jar": jar(map[string]string{
		echoClass:                 class("com.example.Echo", without("<init>", "Process"), method(classfile.Public|classfile.Static, "Process", "([B)[B")),
		"com/example/Echo$.class": class("com.example.Echo$", without("<init>"), field(classfile.Public|classfile.Static, "MODULE$", "Lcom/example/Echo$;")),
	})}},
	{name: "no Process", files: echoJar(without("Process"))},
	{name: "a program", files: echoJar(without("Process"), method(classfile.Public|classfile.Static, "main", "([Ljava/lang/String;)V"))},
	{name: "process in small letters", files: echoJar(without("Process"), method(classfile.Public, "process", "([B)[B"))},
	{name: "Process of other types", files: echoJar(without("Process"), method(classfile.Public, "Process", "(Ljava/nio/ByteBuffer;)[B"), method(classfile.Public, "Process", "(Lcom/example/Request;I)V"))},
	{name: "Process of objects", files: echoJar(without("Process"), method(classfile.Public, "Process", "([Ljava/lang/Byte;)[Ljava/lang/Byte;"))},
	{name: "Process is static", files: echoJar(without("Process"), method(classfile.Public|classfile.Static, "Process", "([B)[B"))},
	{name: "Process is private", files: echoJar(without("Process"), method(classfile.Private, "Process", "([B)[B"))},
	{name: "Process is not public", files: echoJar(without("Process"), method(0, "Process", "(Ljava/lang/String;)Ljava/lang/String;"))},
	{name: "two of Process", files: echoJar(method(classfile.Public, "Process", "(Ljava/lang/String;)Ljava/lang/String;"), method(classfile.Public|classfile.Synthetic, "Process", "(Ljava/lang/Object;)Ljava/lang/Object;"))},
	{name: "two of Process, the first of which is unfit", files: echoJar(without("Process"), method(classfile.Public|classfile.Static, "Process", "([B)[B"),
		method(classfile.Public, "Process", "(Ljava/lang/String;)Ljava/lang/String;"))},
	{name: "Process returns nothing", files: echoJar(without("Process"), method(classfile.Public, "Process", "([B)V"))},
	{name: "Process of a superclass that is not there", files: echoJar(without("Process"), extends("com.vendor.Base"))},
	{name: "a superclass that is not there", files: echoJar(extends("com.vendor.Base"), implements("com.vendor.Named"))},
	{name: "a superclass of Java", files: echoJar(extends("java.util.ArrayList"), implements("java.io.Serializable"))},
	{name: "Process perhaps of a superclass of Java", files: echoJar(without("Process"), extends("javax.swing.JFrame"))},
	{name: "Load has parameters", files: echoJar(method(classfile.Public, "Load", "(Ljava/lang/String;)V"))},
	{name: "Load is private", files: echoJar(method(classfile.Private, "Load", "()V"))},
	{name: "Load is static", files: echoJar(method(classfile.Public|classfile.Static, "Load", "()V"))},
	{name: "two of Load", files: echoJar(method(classfile.Public, "Load", "(I)V"), method(classfile.Public, "Load", "()V"))},
	{name: "load in small letters", files: echoJar(method(classfile.Public, "load", "()V"))},
	{name: "several at once", files: echoJar(access(0), without("<init>", "Process"), method(classfile.Public, "<init>", "()V"), method(classfile.Public, "process", "([B)[B"), constants("/eas/workspace/model/1"))},

	// Versions.
	{name: "a newer class", files: echoJar(version(21)), opts: JavaOptions{Feature: 17, Version: "17.0.9", Others: []string{"21.0.8 (/usr/lib/jvm/21)", "25 (/usr/lib/jvm/25)"}}},
	{name: "a newer class in an image", files: echoJar(version(21)), opts: JavaOptions{Feature: 8, Place: "the image java:8"}},
	{name: "a newer class, and a Java that is not known", files: echoJar(version(21)), opts: JavaOptions{Place: "EAS"}},
	{name: "a class with preview features", files: echoJar(version(16), preview)},
	{name: "a newer library", files: map[string]string{
		"echo.jar": echoJar()["echo.jar"],
		"lib/new.jar": jar(map[string]string{
			"new/A.class": other("new.A", version(21)), "new/B.class": other("new.B", version(21)), "new/deep/C.class": other("new.deep.C", version(25)),
			"new/old/D.class": other("new.old.D"),
		}),
		"lib/old.jar": jar(map[string]string{
			"a/A.class": other("a.A"), "module-info.class": other("module-info", version(25)), "META-INF/versions/21/a/A.class": other("a.A", version(21)),
		}),
	}},
	{name: "a newer class beside it", files: map[string]string{"echo.jar": jar(map[string]string{
		echoClass: class("com.example.Echo"), "com/example/Alpha.class": other("com.example.Alpha"), "com/example/Model.class": other("com.example.Model", version(21)),
	})}},
	{name: "a newer class in a directory", files: map[string]string{
		echoClass: class("com.example.Echo"), "com/example/Model.class": other("com.example.Model", version(21)),
	}},

	// What else is noticed.
	{name: "twice, the same", files: map[string]string{"a.jar": echoJar()["echo.jar"], "b.jar": echoJar()["echo.jar"]}},
	{name: "twice, differently", files: map[string]string{
		"a.jar": echoJar()["echo.jar"], "b.jar": echoJar(constants("b"))["echo.jar"], "classes/" + echoClass: class("com.example.Echo"),
	}},
	{name: "paths of the workspace", files: map[string]string{"echo.jar": jar(map[string]string{
		echoClass:                        class("com.example.Echo", constants("x", "/eas/workspace/model/a.bin", "file:/home/admin/docker_ml/workspace/model/\x01.pmml")),
		"com/example/io/Files.class":     other("com.example.io.Files", constants("/eas/workspace/model/a.bin", "/eas/workspace/predictor/b")),
		"com/vendor/NotOfTheirOwn.class": other("com.vendor.NotOfTheirOwn", constants("/eas/workspace/other")),
	})}},
	{name: "jars in the jar", files: map[string]string{"echo.jar": jar(map[string]string{echoClass: class("com.example.Echo"), "lib/a.jar": "x", "lib/b.jar": "x", "data/c.jar": "x"})}},
	{name: "a signature that was left", files: map[string]string{"echo.jar": jar(map[string]string{
		echoClass: class("com.example.Echo"), "META-INF/MANIFEST.MF": "Manifest-Version: 1.0\r\n\r\n", "META-INF/BC.SF": signatureFile("Manifest-Version: 1.0\r\nCreated-By: x\r\n\r\n", ""), "META-INF/BC.RSA": "x",
	})}},
	{name: "a signed jar", files: map[string]string{"echo.jar": jar(map[string]string{
		echoClass: class("com.example.Echo"), "META-INF/MANIFEST.MF": manifest, "META-INF/ME.SF": signatureFile(manifest, ""), "META-INF/ME.RSA": "x",
	})}},
	{name: "a signed jar to which more was added", files: map[string]string{"echo.jar": jar(map[string]string{
		echoClass: class("com.example.Echo"), "META-INF/MANIFEST.MF": manifest + "Name: b\r\n\r\n", "META-INF/ME.SF": signatureFile(manifest, "Manifest-Version: 1.0\r\n\r\n"), "META-INF/ME.EC": "x",
	})}},
	{name: "a signature without its block", files: map[string]string{"echo.jar": jar(map[string]string{
		echoClass: class("com.example.Echo"), "META-INF/MANIFEST.MF": "Manifest-Version: 1.0\r\n\r\n", "META-INF/BC.SF": signatureFile("x", "x"),
	})}},
}

const manifest = "Manifest-Version: 1.0\r\n\r\nName: a\r\nSHA-256-Digest: x\r\n\r\n"

// signatureFile is that of a manifest and its main part.
func signatureFile(whole, main string) string {
	digest := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	if main == "" {
		main = whole
	}
	return "Signature-Version: 1.0\r\nSHA-256-Digest-Manifest-Main-Attributes: " + digest(main)[:20] + "\r\n " + digest(main)[20:] +
		"\r\nSHA-256-Digest-Manifest: " + digest(whole) + "\r\n\r\n"
}

// javaDir makes a processor's directory.
func javaDir(t testing.TB, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), content)
	}
	return dir
}

// TestJava compares all that is said of the cases with testdata/java.golden.
func TestJava(t *testing.T) {
	golden := filepath.Join("testdata", "java.golden")
	var out strings.Builder
	for _, tc := range javaCases {
		t.Run(tc.name, func(t *testing.T) {
			p := JavaProcessor{Dir: javaDir(t, tc.files), MainClass: orEcho(tc.class)}
			if tc.entry != "" {
				p.Entry = filepath.Join(p.Dir, filepath.FromSlash(tc.entry))
			}
			opts := tc.opts
			if opts.Feature == 0 && opts.Place == "" {
				opts = JavaOptions{Feature: 17, Version: "17.0.9"}
			}
			report, classPath, err := Java(p, opts)
			if err != nil {
				t.Fatal(err)
			}
			if report.Path != p.MainClass {
				t.Errorf("the report is of %q", report.Path)
			}
			fmt.Fprintf(&out, "== %s\n", tc.name)
			if tc.class != "" {
				fmt.Fprintln(&out, "class "+tc.class)
			}
			for _, path := range classPath {
				rel, err := filepath.Rel(p.Dir, path)
				if err != nil || !filepath.IsAbs(path) {
					t.Errorf("class path %q", path)
				}
				fmt.Fprintln(&out, "path "+filepath.ToSlash(rel))
			}
			for _, problem := range report.Problems {
				fmt.Fprintf(&out, "%s %s: %s\n", problem.Severity, problem.Code, problem.Text)
				if problem.Hint == "" {
					t.Errorf("no hint: %s", problem.Text)
				}
				fmt.Fprintln(&out, "hint: "+problem.Hint)
			}
		})
	}
	if t.Failed() {
		return
	}
	if *update {
		write(t, golden, out.String())
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), out.String()); diff != "" {
		t.Errorf("run `go test ./pkg/localtest/check -run 'TestJava$' -update`; -want +have:\n%s", diff)
	}
}

func orEcho(class string) string {
	if class == "" {
		return "com.example.Echo"
	}
	return class
}

func TestJavaErrors(t *testing.T) {
	if _, _, err := Java(JavaProcessor{Dir: filepath.Join(t.TempDir(), "nowhere"), MainClass: "Echo"}, JavaOptions{}); fault.KindOf(err) != fault.Processor {
		t.Errorf("a directory that is not there: %v", err)
	}
	dir := javaDir(t, echoJar(without("<init>", "Process")))
	report, _, err := Java(JavaProcessor{Dir: dir, MainClass: "com.example.Echo"}, JavaOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const want = "com.example.Echo cannot be used as a processor: it has no constructor; it has no method Process"
	if err := report.Err(); err == nil || err.Error() != want || fault.KindOf(err) != fault.Processor {
		t.Errorf("%v, want %q", err, want)
	}
}

// TestJavaLinks checks a directory whose entries are links, as those of a workspace
// are, and in which one leads back.
func TestJavaLinks(t *testing.T) {
	project := javaDir(t, map[string]string{
		"echo.jar": echoJar()["echo.jar"], "libs/a.jar": jar(map[string]string{"a/A.class": other("a.A")}),
		"com/example/Echo.class": class("com.example.Echo"), "old.jar": "version https://git-lfs.github.com/spec/v1\n",
	})
	dir := javaDir(t, nil)
	for _, name := range []string{"echo.jar", "libs", "com"} {
		if err := os.Symlink(filepath.Join(project, name), filepath.Join(dir, name)); err != nil {
			t.Skipf("missing: symbolic links (%v)", err)
		}
	}
	for from, to := range map[string]string{filepath.Join(project, "libs", "up"): dir, filepath.Join(dir, "gone.jar"): filepath.Join(dir, "nowhere")} {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	report, classPath, err := Java(JavaProcessor{Dir: dir, MainClass: "com.example.Echo"}, JavaOptions{Feature: 17})
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("%q, %v", found(report), err)
	}
	want := []string{dir, filepath.Join(dir, "echo.jar"), filepath.Join(dir, "libs", "a.jar")}
	if diff := cmp.Diff(want, classPath); diff != "" {
		t.Errorf("class path (-want +got):\n%s", diff)
	}

	// The classes behind the links are known, too.
	if err := os.Remove(filepath.Join(dir, "echo.jar")); err != nil {
		t.Fatal(err)
	}
	report, _, err = Java(JavaProcessor{Dir: dir, MainClass: "Echo"}, JavaOptions{Feature: 17})
	if err != nil || !strings.Contains(fault.HintOf(report.Err()), "com.example.Echo") {
		t.Errorf("%q, %v: com.example.Echo is not proposed", found(report), err)
	}
}

// TestSignatureFits compares with what jarsigner wrote.
func TestSignatureFits(t *testing.T) {
	const (
		main     = "Manifest-Version: 1.0\r\nCreated-By: 17.0.15 (Debian)\r\n\r\n"
		manifest = main + "Name: l/L.class\r\nSHA-256-Digest: fb/m10BuvTd1XHb6rmy6syMZlE7HdsOC7oZplI/SLUI=\r\n\r\n"
		ofWhole  = "SHA-256-Digest-Manifest: nuQX6gSD5wYLQxQaf2A24K7FmOLlEGKWh6JLP1t2jqQ=\r\n"
		ofMain   = "SHA-256-Digest-Manifest-Main-Attributes: w/zYaJJT2alY59W3lTzTMXHacgT1ZbL\r\n xxGb+ZpPT8mI=\r\n"
		head     = "Signature-Version: 1.0\r\nCreated-By: 17.0.15 (Debian)\r\n"
		section  = "\r\nName: l/L.class\r\nSHA-256-Digest: DZW9l10SJXMZZrDrr1XEPACYohpoSNOURkpkJdkbGPQ=\r\n\r\n"
		added    = manifest + "Name: com/example/Echo.class\r\nSHA-256-Digest: x\r\n\r\n"
		another  = "Manifest-Version: 1.0\r\nBuilt-By: maven\r\n\r\n"
	)
	for _, tc := range []struct {
		name, signature, manifest string
		want                      bool
	}{
		{"its own", head + ofWhole + ofMain + section, manifest, true},
		{"of the whole alone", head + ofWhole + section, manifest, true},
		{"of the main part alone", head + ofMain + section, manifest, true},
		{"more in the jar", head + ofWhole + ofMain + section, added, true},
		{"another jar", head + ofWhole + ofMain + section, another, false},
		{"another jar, lines of Unix", strings.ReplaceAll(head+ofWhole+ofMain+section, "\r", ""), strings.ReplaceAll(another, "\r", ""), false},
		{"another jar, none of the main part", head + ofWhole + section, another, true},
		{"an unknown algorithm", head + strings.ReplaceAll(ofMain, "SHA-256", "SHA3-256"), another, true},
		{"empty", "", another, true},
	} {
		if got := signatureFits(tc.signature, []byte(tc.manifest)); got != tc.want {
			t.Errorf("%s: %t, want %t", tc.name, got, tc.want)
		}
	}
}

// FuzzJava checks damaged jars: whatever is wrong, there is a report and no panic.
func FuzzJava(f *testing.F) {
	files := map[string]string{
		echoClass: class("com.example.Echo", extends("com.example.Base"), constants("/eas/workspace/model")), "com/example/Base.class": other("com.example.Base"),
		"META-INF/MANIFEST.MF": manifest, "META-INF/ME.SF": signatureFile("x", "x"), "META-INF/ME.RSA": "x", "lib/a.jar": "x",
	}
	sound := []byte(jar(files))
	f.Add([]byte(nil), uint32(0), false, "com.example.Echo")
	f.Add([]byte(nil), uint32(300), true, "com.example.Base")
	for at := uint32(0); at < uint32(len(sound)); at += 16 {
		f.Add([]byte{0xff, 0xff, 0xff, 0x7f}, at, false, "com.example.Echo")
	}
	f.Add([]byte("META-INF/versions"), uint32(40), false, "../com/example.Ehco.class")
	dir := f.TempDir()
	path := filepath.Join(dir, "echo.jar")
	f.Fuzz(func(t *testing.T, with []byte, at uint32, cut bool, class string) {
		data := slices.Clone(sound)
		at %= uint32(len(data))
		copy(data[at:], with)
		if cut {
			data = data[:at]
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		report, classPath, err := Java(JavaProcessor{Dir: dir, MainClass: class}, JavaOptions{Feature: 17})
		if err != nil || len(classPath) == 0 {
			t.Fatalf("%q, %v", classPath, err)
		}
		for _, p := range report.Problems {
			if p.Code == "" || p.Text == "" || p.Hint == "" {
				t.Errorf("an empty problem: %+v", p)
			}
		}
	})
}
