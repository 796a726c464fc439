package check

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// compiled are classes that a compiler makes. Java itself is asked whether it can
// use them.
var compiled = []struct {
	name   string
	source string // CTOR and PROCESS stand for what a processor has
	class  string // Echo where it is empty
	code   string // what is said of it where it cannot be used
}{
	{"sound", "public class Echo { CTOR PROCESS }", "", ""},
	{"with Load", "public class Echo { CTOR PROCESS public void Load() {} }", "", ""},
	{"of Strings", "public class Echo { CTOR public String Process(String s) { return s; } }", "", ""},
	{"variable arguments", "public class Echo { CTOR public byte[] Process(byte... s) { return s; } }", "", ""},
	{"final, with constants", `public final class Echo { CTOR PROCESS static final double D = 1.5; static final long L = 1L << 40; String s = "é中😀\0" + D + L; }`, "", ""},
	{"with a lambda", "public class Echo { CTOR PROCESS Runnable r = () -> System.out.println(this); java.util.function.Supplier<Object> s = Object::new; }", "", ""},
	{"inherited", "public class Echo extends Base { CTOR } abstract class Base { PROCESS }", "", ""},
	{"of a generic superclass", "public class Echo extends Base<byte[]> { CTOR PROCESS } abstract class Base<T> { public abstract T Process(T t); }", "", ""},
	{"a default method", "public class Echo implements One { CTOR } interface One extends Two {} interface Two { default PROCESS }", "", ""},
	{"nested", "public class Outer { public static class Echo { CTOR PROCESS } }", "Outer$Echo", ""},
	{"protected and nested", "public class Outer { protected static class Echo { CTOR PROCESS } }", "Outer$Echo", ""},
	{"not public", "class Echo { CTOR PROCESS }", "", ""},
	{"inner", "public class Outer { public class Echo { CTOR PROCESS } }", "Outer$Echo", "constructor"},
	{"nested, named with a dot", "public class Outer { public static class Echo { CTOR PROCESS } }", "Outer.Echo", "class-not-found"},
	{"an interface", "public interface Echo { byte[] Process(byte[] b); }", "", "class-kind"},
	{"abstract", "public abstract class Echo { CTOR PROCESS }", "", "class-kind"},
	{"an enum", "public enum Echo { A; PROCESS }", "", "class-kind"},
	{"an annotation", "public @interface Echo {}", "", "class-kind"},
	{"no constructor", "public class Echo { PROCESS }", "", "constructor"},
	{"another constructor", "public class Echo { public Echo(String a) {} PROCESS }", "", "constructor"},
	{"a private constructor", "public class Echo { private Echo(String a, String b) {} PROCESS }", "", "constructor"},
	{"objects as parameters", "public class Echo { public Echo(Object a, Object b) {} PROCESS }", "", "constructor"},
	{"no Process", "public class Echo { CTOR }", "", "no-process"},
	{"process", "public class Echo { CTOR public byte[] process(byte[] b) { return b; } }", "", "no-process"},
	{"Process of an Object", "public class Echo { CTOR public byte[] Process(Object o) { return null; } }", "", "no-process"},
	{"Process of a generic superclass", "public class Echo extends Base<byte[]> { CTOR } class Base<T> { public T Process(T t) { return t; } }", "", "no-process"},
	{"Process is static", "public class Echo { CTOR public static byte[] Process(byte[] b) { return b; } }", "", "no-process"},
	{"Process is private", "public class Echo { CTOR private byte[] Process(byte[] b) { return b; } }", "", "no-process"},
	{"Process is a static method of an interface", "public class Echo implements One { CTOR } interface One { static PROCESS }", "", "no-process"},
	{"Process returns an Object", "public class Echo { CTOR public Object Process(byte[] b) { return b; } }", "", "no-process"},
	{"that of bytes counts", "public class Echo { CTOR public void Process(byte[] b) {} public String Process(String s) { return s; } }", "", "no-process"},
}

// TestJavaAgrees compiles processors and asks Java whether it can use them: it has
// to be of the check's opinion.
func TestJavaAgrees(t *testing.T) {
	javac, java := tool(t, "javac"), tool(t, "java")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-encoding", "UTF-8", "-nowarn", "-d", dir, "testdata/java/Ask.java"}
	for i, tc := range compiled {
		first, _, _ := strings.Cut(tc.class, "$")
		if first, _, _ = strings.Cut(first, "."); first == "" {
			first = "Echo"
		}
		path := filepath.Join(dir, "src", strconv.Itoa(i), first+".java")
		write(t, path, fmt.Sprintf("package p%d;\n", i)+
			strings.NewReplacer("CTOR", "public Echo(String entry, String config) {}", "PROCESS", "public byte[] Process(byte[] input) { return input; }").Replace(tc.source))
		args = append(args, path)
	}
	if out, err := exec.CommandContext(t.Context(), javac, args...).CombinedOutput(); err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	var questions strings.Builder
	codes := make([]string, len(compiled))
	for i, tc := range compiled {
		main := fmt.Sprintf("p%d.%s", i, tc.class)
		if tc.class == "" {
			main += "Echo"
		}
		report, classPath, err := Java(JavaProcessor{Dir: dir, MainClass: main}, JavaOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range report.Problems {
			if p.Severity == Fatal && codes[i] == "" {
				codes[i] = p.Code
			}
		}
		if codes[i] != tc.code {
			t.Errorf("%s: %q, want %q", tc.name, found(report), tc.code)
		}
		fmt.Fprintln(&questions, main+"\t"+strings.Join(classPath, "\t"))
	}
	cmd := exec.CommandContext(t.Context(), java, "-XX:TieredStopAtLevel=1", "-cp", dir, "Ask")
	cmd.Stdin, cmd.Stderr = strings.NewReader(questions.String()), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("java: %v", err)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(compiled) {
		t.Fatalf("%d answers to %d questions:\n%s", len(answers), len(compiled), out)
	}
	for i, tc := range compiled {
		if answer := strings.TrimSpace(answers[i]); (answer == "ok") != (codes[i] == "") {
			t.Errorf("%s: Java says %q, and the check %q", tc.name, answer, codes[i])
		}
	}
}
