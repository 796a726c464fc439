package classfile_test

import (
	"archive/zip"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/classfile"
	"github.com/openeas/eascmd/internal/classfile/classtest"
)

// compile compiles testdata/Sample.java and returns the directory of classes.
func compile(t testing.TB) string {
	t.Helper()
	javac, err := exec.LookPath("javac")
	if err != nil {
		t.Skip("missing: javac")
	}
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), javac, "-encoding", "UTF-8", "-d", dir, "testdata/Sample.java").CombinedOutput()
	if err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	return dir
}

func parse(t testing.TB, path string) *classfile.Class {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := classfile.Parse(data)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return c
}

func TestCompiled(t *testing.T) {
	dir := compile(t)
	got := parse(t, filepath.Join(dir, "com/example/Sample.class"))
	if got.Version.Feature() < 8 || got.Version.Preview() {
		t.Errorf("version %+v", got.Version)
	}
	if got.Access&(classfile.Public|classfile.Abstract|classfile.Interface) != classfile.Public {
		t.Errorf("access %x", got.Access)
	}
	got.Version, got.Access = classfile.Version{}, 0
	compiler := classfile.Access(0x1040) // synthetic, bridge
	want := &classfile.Class{
		Name: "com.example.Sample", Super: "com.example.Base", Interfaces: []string{"java.lang.Runnable", "java.io.Serializable"},
		Fields: []classfile.Member{
			{Access: classfile.Private | classfile.Static | 0x10, Name: "serialVersionUID", Descriptor: "J"},
			{Access: classfile.Protected | 0x10, Name: "number", Descriptor: "D"},
		},
		Methods: []classfile.Member{
			{Access: classfile.Public, Name: "<init>", Descriptor: "(Ljava/lang/String;Ljava/lang/String;)V"},
			{Access: classfile.Private, Name: "<init>", Descriptor: "([[IJLjava/util/Map$Entry;)V"},
			{Access: classfile.Public, Name: "Process", Descriptor: "([B)[B"},
			{Access: classfile.Protected, Name: "of", Descriptor: "([B)Ljava/lang/String;"},
			{Access: classfile.Public, Name: "run", Descriptor: "()V"},
			{Access: classfile.Protected | compiler, Name: "of", Descriptor: "(Ljava/lang/Object;)Ljava/lang/Object;"},
		},
		Strings: []string{"/eas/workspace/model café \x00 😀", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Sample.class (-want +got):\n%s", diff)
	}
	if c := parse(t, filepath.Join(dir, "com/example/Base.class")); c.Access&classfile.Abstract == 0 || c.Access&classfile.Public != 0 || c.Super != "java.lang.Object" {
		t.Errorf("Base.class: %+v", c)
	}
	if c := parse(t, filepath.Join(dir, "com/example/Sample$Nested$Inner.class")); c.Name != "com.example.Sample$Nested$Inner" {
		t.Errorf("the nested class: %+v", c)
	}
}

// TestArchives reads all classes of the jars that Debian's packages put here, and of
// those that JAVA_ARCHIVES names, separated as in PATH, which other compilers made
// for example.
func TestArchives(t *testing.T) {
	archives, err := filepath.Glob("/usr/share/java/*.jar")
	if err != nil {
		t.Fatal(err)
	}
	archives = append(archives, filepath.SplitList(os.Getenv("JAVA_ARCHIVES"))...)
	if len(archives) == 0 {
		t.Skip("missing: jars in /usr/share/java")
	}
	for _, path := range archives {
		z, err := zip.OpenReader(path)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range z.File {
			base := filepath.Base(f.Name)
			if !strings.HasSuffix(base, ".class") || base == "module-info.class" {
				continue
			}
			content, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(content)
			if err != nil {
				t.Fatal(err)
			}
			c, err := classfile.Parse(data)
			if err != nil {
				t.Errorf("%s: %s: %v", path, f.Name, err)
				continue
			}
			for _, m := range c.Methods {
				if _, _, ok := m.Types(); !ok {
					t.Errorf("%s: %s: %+v", path, f.Name, m)
				}
			}
			n++
		}
		z.Close()
		t.Logf("%s: %d classes", path, n)
	}
}

func sound() classfile.Class {
	return classfile.Class{
		Version: classfile.Version{Major: classtest.Java17},
		Access:  classfile.Public, Name: "com.example.Echo", Super: "com.example.Base", Interfaces: []string{"java.lang.Runnable"},
		Fields:  []classfile.Member{{Access: classfile.Static, Name: "INSTANCE", Descriptor: "Lcom/example/Echo;"}},
		Methods: []classfile.Member{{Access: classfile.Public, Name: "Process", Descriptor: "([B)[B"}},
		Strings: []string{"a", "/eas/workspace"},
	}
}

// TestWritten reads back what classtest writes: tests rely on both.
func TestWritten(t *testing.T) {
	want := sound()
	got, err := classfile.Parse(classtest.Bytes(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	object, err := classfile.Parse(classtest.Bytes(classfile.Class{Name: "java.lang.Object"}))
	if err != nil || object.Super != "" || object.Version.Feature() != 8 {
		t.Errorf("%+v, %v", object, err)
	}
}

func TestDamaged(t *testing.T) {
	good := classtest.Bytes(sound())
	for n := range good {
		if _, err := classfile.Parse(good[:n]); err == nil {
			t.Fatalf("the first %d bytes of %d are read as a class", n, len(good))
		}
	}
	changed := func(at int, with ...byte) []byte {
		data := slices.Clone(good)
		copy(data[at:], with)
		return data
	}
	// 8: how many constants, 10: the first of them. Behind them: access, name ...
	body := len(good) - 32
	if binary.BigEndian.Uint16(good[body:]) != uint16(classfile.Public) {
		t.Fatalf("the class does not begin at %d", body)
	}
	for _, tc := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "it is no class file"},
		{"another magic", changed(0, 'P'), "it is no class file"},
		{"cut off", good[:len(good)-1], "it is cut off"},
		{"more at the end", append(slices.Clone(good), 0), "1 bytes follow its end"},
		{"unknown constant", changed(10, 2), "a constant of unknown kind 2"},
		{"constant zero", changed(body+2, 0, 0), "constant 0, which is not what it has to be"},
		{"constant beyond", changed(body+2, 0xff, 0xff), "constant 65535, which"},
		{"a text as class", changed(body+2, 0, 1), "constant 1, which"},
		{"many constants", changed(8, 0xff, 0xff), "it"},
		{"a module", changed(body, 0x80, 0), "it describes a module"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := classfile.Parse(tc.data); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func TestReadVersion(t *testing.T) {
	for _, tc := range []struct {
		head    string
		feature int // 0: an error
		preview bool
	}{
		{"\xca\xfe\xba\xbe\x00\x00\x00\x34", 8, false},
		{"\xca\xfe\xba\xbe\x00\x00\x00\x41more", 21, false},
		{"\xca\xfe\xba\xbe\xff\xff\x00\x41", 21, true},
		{"\xca\xfe\xba\xbe\xff\xff\x00\x34", 8, false},
		{"\xca\xfe\xba\xbe\x00\x00\x00", 0, false},
		{"PK\x03\x04\x00\x00\x00\x34", 0, false},
	} {
		v, err := classfile.ReadVersion([]byte(tc.head))
		switch {
		case (err != nil) != (tc.feature == 0):
			t.Errorf("%q: %v", tc.head, err)
		case err == nil && (v.Feature() != tc.feature || v.Preview() != tc.preview):
			t.Errorf("%q: %+v: Java %d, preview %t", tc.head, v, v.Feature(), v.Preview())
		}
	}
}

func TestTypes(t *testing.T) {
	for _, tc := range []struct {
		descriptor string
		want       string // empty: malformed
	}{
		{"()V", "() void"},
		{"([B)[B", "(byte[]) byte[]"},
		{"(Ljava/lang/String;Ljava/lang/String;)V", "(String, String) void"},
		{"(ZCSIJFD)Ljava/util/Map$Entry;", "(boolean, char, short, int, long, float, double) Map.Entry"},
		{"([[Lcom/example/Outer$Inner;)I", "(com.example.Outer.Inner[][]) int"},
		{"(Lscala/Predef$;L$x;)V", "(scala.Predef$, $x) void"},
		{"", ""}, {"(", ""}, {")V", ""}, {"()", ""}, {"(V)V", ""}, {"(L;)V", ""}, {"(Ljava/lang/String)V", ""}, {"()VV", ""}, {"(Q)V", ""}, {"([)V", ""},
		{"(" + strings.Repeat("I", 256) + ")V", ""}, {"(" + strings.Repeat("[", 256) + "I)V", ""},
	} {
		got := ""
		if parameters, result, ok := (classfile.Member{Descriptor: tc.descriptor}).Types(); ok {
			got = "(" + strings.Join(parameters, ", ") + ") " + result
		}
		if got != tc.want {
			t.Errorf("%.40q: %q, want %q", tc.descriptor, got, tc.want)
		}
	}
}

// TestText reads the texts of a constant that are not plain UTF-8.
func TestText(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"plain", "plain"},
		{"a\xc0\x80b", "a\x00b"},
		{"\xc3\xa9\xe4\xb8\xad", "é中"},
		{"\xed\xa0\xbd\xed\xb8\x80", "😀"},
		{"\xed\xa0\xbdx", "\ufffdx"},
		{"\xed\xa0\xbd", "\ufffd"},
		{"\xff\xe4\xb8", "\ufffd\ufffd\ufffd"},
	} {
		c := sound()
		c.Strings = []string{tc.in}
		got, err := classfile.Parse(classtest.Bytes(c))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Strings) != 1 || got.Strings[0] != tc.want {
			t.Errorf("%q: %q, want %q", tc.in, got.Strings, tc.want)
		}
	}
}

// FuzzParse reads damaged files: whatever is wrong, there is an error or a class
// that can be used, and no panic.
func FuzzParse(f *testing.F) {
	f.Add(classtest.Bytes(sound()))
	f.Add(classtest.Bytes(classfile.Class{Name: "a.B", Strings: []string{"\xed\xa0\xbd\xed\xb8\x80", "\xc0\x80"}}))
	f.Add([]byte("\xca\xfe\xba\xbe\x00\x00\x00\x34\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := classfile.Parse(data)
		if err != nil {
			return
		}
		for _, m := range slices.Concat(c.Fields, c.Methods) {
			if _, result, ok := m.Types(); ok && result == "" {
				t.Errorf("%q returns nothing at all", m.Descriptor)
			}
		}
		classfile.Source(c.Name)
	})
}

func BenchmarkParse(b *testing.B) {
	data := classtest.Bytes(sound())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := classfile.Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}
