package hosts_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/openeas/eascmd/internal/jvm"
	"github.com/openeas/eascmd/internal/jvmtest"
	"github.com/openeas/eascmd/pkg/engine/hosts"
	"github.com/openeas/eascmd/pkg/serving/hosttest"
	"github.com/openeas/eascmd/pkg/serving/wire"
)

// unixSockets is the first Java that has them.
const unixSockets = 16

// javaBuild is where the host for Java processors and its fixture are built.
type javaBuild struct {
	cache   string
	fixture string // a directory of classes
}

func buildJavaHost(tb testing.TB) javaBuild {
	tb.Helper()
	dir := tb.TempDir()
	b := javaBuild{cache: filepath.Join(dir, "cache"), fixture: filepath.Join(dir, "fixture")}
	sources, err := filepath.Glob("../../../workers/java/testdata/com/example/*.java")
	if err != nil || len(sources) == 0 {
		tb.Fatalf("no sources of the fixture: %v", err)
	}
	jvmtest.Compile(tb, b.fixture, sources...)
	if _, err := hosts.JavaJar(tb.Context(), jvmtest.Compiler(tb), hosts.Options{CacheDir: b.cache}); err != nil {
		tb.Fatal(err)
	}
	return b
}

// host returns the host, run by a Java.
func (b javaBuild) host(tb testing.TB, java jvm.Runtime, options ...string) hosttest.Host {
	tb.Helper()
	host, err := hosts.Java(tb.Context(), java, hosts.Options{CacheDir: b.cache})
	if err != nil {
		tb.Fatal(err)
	}
	return hosttest.Host{
		Command:          host.Command(hosts.JVM{Options: options}),
		Dir:              filepath.Dir(b.fixture),
		Entry:            b.fixture,
		MainClass:        "com.example.Fixture",
		VariablesOnStdin: true,
		TCP:              java.Feature() < unixSockets,
		NoState:          true,
		NoStatus:         true,
	}
}

// TestJavaProcessor is what is special about processors in Java, with a Java that has
// Unix sockets and with one that has not.
func TestJavaProcessor(t *testing.T) {
	t.Parallel()
	b := buildJavaHost(t)
	for _, feature := range []int{11, 17} {
		t.Run(fmt.Sprintf("Java %d", feature), func(t *testing.T) {
			t.Parallel()
			java := jvmtest.Java(t, feature)
			for _, test := range []struct {
				name string
				run  func(*testing.T, javaBuild, jvm.Runtime)
			}{
				{"exceptions", testJavaExceptions},
				{"out of memory", testJavaOutOfMemory},
				{"exit", testJavaExit},
				{"interrupts", testJavaInterrupts},
				{"text", testJavaText},
				{"class path", testJavaClassPath},
				{"class path in order", testJavaClassPathInOrder},
				{"drain", testJavaDrain},
				{"cannot start", testJavaCannotStart},
				{"version", testJavaVersion},
			} {
				t.Run(test.name, func(t *testing.T) { test.run(t, b, java) })
			}
		})
	}
}

func TestJavaHost(t *testing.T) {
	b := buildJavaHost(t)
	for _, feature := range jvmtest.Features() {
		t.Run(fmt.Sprintf("Java %d", feature), func(t *testing.T) {
			t.Parallel()
			host := b.host(t, jvmtest.Java(t, feature))
			host.Failures = javaFailures(t, b)
			hosttest.Run(t, host)
		})
	}
}

// javaFailures makes the ways in which a Java processor cannot be loaded.
func javaFailures(tb testing.TB, b javaBuild) []hosttest.Failure {
	tb.Helper()
	dir := tb.TempDir()
	spoiled := filepath.Join(dir, "classes")
	if err := os.CopyFS(spoiled, os.DirFS(b.fixture)); err != nil {
		tb.Fatal(err)
	}
	class := func(name string) string { return filepath.Join(spoiled, "com", "example", name+".class") }
	if err := os.Remove(class("Bad$Library")); err != nil {
		tb.Fatal(err)
	}
	newer, err := os.ReadFile(class("Newer"))
	if err != nil {
		tb.Fatal(err)
	}
	newer[6], newer[7] = 0, 44+99 // the major version
	if err := os.WriteFile(class("Newer"), newer, 0o644); err != nil {
		tb.Fatal(err)
	}
	jar := filepath.Join(dir, "broken.jar")
	if err := os.WriteFile(jar, bytes.Repeat([]byte("this is no jar\n"), 100), 0o644); err != nil {
		tb.Fatal(err)
	}

	failures := []hosttest.Failure{
		{Name: "no entry", Options: hosttest.Options{Entry: hosttest.NoEntry}, Message: "neither a class path nor an entry", Hint: "processor_path"},
		{Name: "no file", Options: hosttest.Options{Entry: filepath.Join(dir, "missing.jar")}, Message: "missing.jar", Hint: "processor_path"},
		{Name: "broken jar", Options: hosttest.Options{Entry: jar}, Message: "broken.jar cannot be read: ", Hint: "again"},
		{Name: "no such class", Options: hosttest.Options{MainClass: "com.example.Missing"}, Message: "there is no class com.example.Missing in " + b.fixture, Hint: "processor_mainclass"},
		{Name: "another name", Options: hosttest.Options{Entry: filepath.Join(b.fixture, "com"), MainClass: "example.Fixture"}, Message: "what lies in its place is com.example.Fixture", Hint: "set processor_mainclass to com.example.Fixture"},
		{Name: "constructor", Options: hosttest.Options{ModelConfig: "constructor throw no model"}, Message: "the constructor of com.example.Fixture threw java.lang.IllegalStateException: no model at com.example.Fixture.<init>(Fixture.java:"},
		{Name: "Load", Options: hosttest.Options{ModelConfig: "state 1"}, Message: "Load of com.example.Fixture threw java.lang.IllegalArgumentException: the fixture fails with state 1 at com.example.Fixture.Load(Fixture.java:"},
		{Name: "interrupted constructor", Options: hosttest.Options{ModelConfig: "constructor interrupt"}, Message: "interrupted at com.example.Fixture.<init>(Fixture.java:"},
	}
	for _, f := range []struct{ name, message, hint string }{
		{"Bad$NoConstructor", "has no constructor (String, String)", "declare public NoConstructor(String modelEntry, String modelConfig)"},
		{"Bad$PrivateConstructor", "the constructor of com.example.Bad$PrivateConstructor is not public", "declare public PrivateConstructor("},
		{"Bad$Abstract", "is abstract", "that implements it"},
		{"Bad$Inner", "has no constructor (String, String)", "declare it static"},
		{"Bad$NoProcess", "has no public method Process(byte[]) or Process(String)", "public byte[] Process(byte[] input)"},
		{"Bad$OtherResult", "returns int", "byte[] or String"},
		{"Bad$StaticProcess", "is static", "without static"},
		{"Bad$StaticInitializer", "the static initializer of com.example.Bad$StaticInitializer threw java.lang.NumberFormatException: For input string: \"no number\" at com.example.Bad$StaticInitializer.<clinit>(Bad.java:", ""},
		{"Bad$NeedsLibrary", "java.lang.NoClassDefFoundError: com/example/Bad$Library at com.example.Bad$NeedsLibrary.<init>(Bad.java:", "add the jar"},
		{"Bad$NeedsNativeLibrary", "java.lang.UnsatisfiedLinkError: no not-here in java.library.path", "-Djava.library.path"},
		{"Newer", "com.example.Newer was compiled for Java 99, and this is Java ", "--release "},
	} {
		failures = append(failures, hosttest.Failure{
			Name:    f.name,
			Options: hosttest.Options{Entry: spoiled, MainClass: "com.example." + f.name},
			Message: f.message,
			Hint:    f.hint,
		})
	}
	for i := range failures {
		failures[i].State = "0"
	}
	return failures
}

// What Process throws is answered 400, and its trace, without the host's own frames,
// is on the terminal.
func testJavaExceptions(t *testing.T, b javaBuild, java jvm.Runtime) {
	w := hosttest.Start(t, b.host(t, java), hosttest.Options{Threads: 2})
	for _, test := range []struct{ command, body, stderr string }{
		{"throw bad, ü", "bad, ü", "java.lang.IllegalStateException: bad, ü"},
		{"throw-checked io", "io", "Caused by: java.lang.IllegalStateException: the cause"},
		{"throw-null", "java.lang.IllegalStateException", "java.lang.IllegalStateException"},
		{"throw-error x", "java.lang.AssertionError: x", "java.lang.AssertionError: x"},
		{"throw-hostile", "com.example.Fixture$", "whose stack trace cannot be printed: java.lang.IllegalStateException"},
		{"overflow", "java.lang.StackOverflowError", "more lines"},
		{"host", "eashost.Main", "java.lang.ClassNotFoundException: eashost.Main"},
	} {
		a := w.Do([]byte(test.command))
		if a.Status != 400 || !a.Exception || !strings.HasPrefix(string(a.Body), test.body) {
			t.Errorf("%s: got %d (exception: %v) %q, want an exception with %q", test.command, a.Status, a.Exception, a.Body, test.body)
		}
		w.WaitOutput("stderr", test.stderr)
	}
	w.WaitOutput("stderr", "\tat com.example.Fixture.Process(Fixture.java:")
	if got := w.Command("echo still here"); got != "still here" {
		t.Errorf("got %q", got)
	}
	for _, line := range w.Output("stderr") {
		if strings.HasPrefix(strings.TrimSpace(line), "at eashost.") || strings.Contains(line, ".reflect.") {
			t.Errorf("a frame of the host's: %s", line)
		}
	}
}

// A request that exhausts the heap fails alone; where memory stays short the worker ends,
// and what it had answered is not lost.
func testJavaOutOfMemory(t *testing.T, b javaBuild, java jvm.Runtime) {
	const noMemory = 12
	host := b.host(t, java, "-Xmx64m")
	failed := func(t *testing.T, a hosttest.Answer, want string) {
		t.Helper()
		if a.Status != 500 || a.Exception || !strings.Contains(string(a.Body), want) {
			t.Errorf("got %d (exception: %v) %q, want status 500 with %q", a.Status, a.Exception, a.Body, want)
		}
	}
	goesOn := func(t *testing.T, w *hosttest.Worker) {
		t.Helper()
		if got := w.Command("echo x"); got != "x" {
			t.Errorf("got %q", got)
		}
	}
	t.Run("once", func(t *testing.T) {
		w := hosttest.Start(t, host, hosttest.Options{Threads: 3})
		for range 3 {
			failed(t, w.Do([]byte("oom")), "java.lang.OutOfMemoryError: Java heap space; the heap holds ")
			goesOn(t, w)
		}
		if a := w.Do([]byte("oom-hidden")); a.Status != 400 || !a.Exception || string(a.Body) != "wrapped" {
			t.Errorf("got %+v", a)
		}
		goesOn(t, w)
		if got := w.Command("oom-in-thread"); got != "over" {
			t.Errorf("got %q", got)
		}
		goesOn(t, w)
	})
	t.Run("body", func(t *testing.T) {
		w := hosttest.Start(t, host, hosttest.Options{Threads: 2})
		failed(t, w.Do(bytes.Repeat([]byte("x"), 80<<20)), "java.lang.OutOfMemoryError: Java heap space")
		goesOn(t, w)
	})
	t.Run("for good", func(t *testing.T) {
		for _, size := range []string{"1000", "100000"} {
			w := hosttest.Start(t, host, hosttest.Options{Threads: 2})
			failed(t, w.Do([]byte("leak "+size)), "java.lang.OutOfMemoryError")
			w.ExpectExit(noMemory)
			w.WaitOutput("stderr", "the worker ends, so that a new one takes its place")
		}
	})
	t.Run("twice", func(t *testing.T) {
		// Of the heap's parts each holds as many as fit: it is never quite full.
		host := b.host(t, java, "-Xmx64m", "-XX:+UseG1GC", "-XX:G1HeapRegionSize=1m")
		w := hosttest.Start(t, host, hosttest.Options{})
		failed(t, w.Do([]byte("leak 400000")), "java.lang.OutOfMemoryError")
		w.Request([]byte("leak 400000"))
		w.ExpectExit(noMemory)
	})
	t.Run("metaspace", func(t *testing.T) {
		w := hosttest.Start(t, b.host(t, java, "-XX:MaxMetaspaceSize=16m"), hosttest.Options{})
		failed(t, w.Do([]byte("metaspace")), "java.lang.OutOfMemoryError: ")
		w.ExpectExit(noMemory)
		w.WaitOutput("stderr", " in Process: the worker ends")
	})
	t.Run("direct buffers", func(t *testing.T) {
		host := b.host(t, java, "-XX:MaxDirectMemorySize=16m")
		w := hosttest.Start(t, host, hosttest.Options{})
		failed(t, w.Do([]byte("leak-direct 100000000")), "irect buffer memory") // too large, and nothing is held
		goesOn(t, w)
		failed(t, w.Do([]byte("leak-direct 1000")), "irect buffer memory")
		w.ExpectExit(noMemory)
		w.WaitOutput("stderr", "there is none left for another buffer: the worker ends")
	})
	t.Run("loading", func(t *testing.T) {
		w := hosttest.Launch(t, host, hosttest.Options{})
		w.Greet()
		w.SendStart(host, hosttest.Options{ModelConfig: "oom"})
		props := w.Expect(wire.Failed)
		if !strings.Contains(props["message"], "java.lang.OutOfMemoryError: Java heap space") || !strings.Contains(props["hint"], "-Xmx") {
			t.Errorf("got %q", props)
		}
		w.ExpectExit(1)
	})
}

// System.exit keeps its status, and the terminal says who called it.
func testJavaExit(t *testing.T, b javaBuild, java jvm.Runtime) {
	host := b.host(t, java)
	const called = "eashost-java: the processor called System.exit "
	for _, test := range []struct{ command, want string }{
		{"exit 7", called + "in Process at com.example.Fixture.run(Fixture.java:"},
		{"exit 0", called + "in Process at com.example.Fixture.run(Fixture.java:"},
		{"exit-by-reflection 7", called + "in Process at com.example.Fixture.runJava(Fixture.java:"},
		{"exit-in-thread 7", called + "in thread the-exiter at com.example.Fixture$"},
	} {
		w := hosttest.Start(t, host, hosttest.Options{Threads: 2})
		w.Request([]byte("sleep 1000000"))
		if _, answer := w.Request([]byte(test.command)); answer != nil {
			if a, ok := <-answer; ok {
				t.Errorf("%s was answered: %+v", test.command, a)
			}
		}
		w.ExpectExit(int(test.command[len(test.command)-1] - '0'))
		w.WaitOutput("stderr", test.want)
		// The stack ends at the processor's code, and not in how it was called.
		lines := w.Output("stderr")
		if last := lines[len(lines)-1]; !strings.Contains(last, "com.example.Fixture") && !strings.Contains(last, "java.lang.Thread.run") {
			t.Errorf("%s: the last line is %q", test.command, last)
		}
	}
	for config, want := range map[string]string{
		"constructor exit 3": called + "in the constructor at com.example.Fixture.<init>(Fixture.java:",
		"exit 3":             called + "in Load at com.example.Fixture.Load(Fixture.java:",
	} {
		w := hosttest.Launch(t, host, hosttest.Options{})
		w.Greet()
		w.SendStart(host, hosttest.Options{ModelConfig: config})
		w.ExpectExit(3)
		w.WaitOutput("stderr", want)
	}
	t.Run("by a signal", func(t *testing.T) {
		w := hosttest.Start(t, host, hosttest.Options{})
		p, err := os.FindProcess(w.PID)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		w.ExpectExit(143)
		for _, line := range w.Output("stderr") {
			if strings.HasPrefix(line, "eashost-java: ") {
				t.Errorf("the host says %q", line)
			}
		}
	})
}

// A virtual thread is not among those that a JVM knows.
func TestJavaExitInVirtualThread(t *testing.T) {
	t.Parallel()
	b := buildJavaHost(t)
	w := hosttest.Start(t, b.host(t, jvmtest.Java(t, 21)), hosttest.Options{})
	w.Request([]byte("exit-in-virtual-thread 7"))
	w.ExpectExit(7)
	w.WaitOutput("stderr", "the processor called System.exit in a virtual thread")
}

// An interrupt reaches the processor's code, and never the connection.
func testJavaInterrupts(t *testing.T, b javaBuild, java jvm.Runtime) {
	for _, threads := range []int{1, 3} {
		w := hosttest.Start(t, b.host(t, java), hosttest.Options{Threads: threads, ModelConfig: "interrupt"})
		if got := w.Command("interruptible"); got != "woken" {
			t.Errorf("got %q", got)
		}
		// What one call leaves behind the next one does not find.
		for range 20 {
			w.Command("interrupt")
			if got := w.Command("interrupted"); got != "false" {
				t.Errorf("got %q", got)
			}
		}
		for range 100 {
			for _, command := range []string{"interrupt-all", "interrupt-later 20", "sleep 1", "echo x"} {
				// Those that sleep may be woken.
				if a := w.Do([]byte(command)); a.Exception && !strings.Contains(string(a.Body), "interrupted") {
					t.Fatalf("%s: got %d %q", command, a.Status, a.Body)
				}
			}
		}
	}
}

func testJavaText(t *testing.T, b javaBuild, java jvm.Runtime) {
	host := b.host(t, java)
	host.MainClass = "com.example.Text"
	w := hosttest.Start(t, host, hosttest.Options{})
	for body, want := range map[string]string{
		"":           "0:",
		"null":       "",
		"häß\x00𝄞":   "6:häß\x00𝄞",
		"\xff\xfe a": "4:\ufffd\ufffd a",
	} {
		if got := w.Command(body); got != want {
			t.Errorf("%q: got %q, want %q", body, got, want)
		}
	}
}

// The processor sees its own classes and the platform's, as if there were no host.
func testJavaClassPath(t *testing.T, b javaBuild, java jvm.Runtime) {
	w := hosttest.Start(t, b.host(t, java), hosttest.Options{Threads: 2})
	for command, want := range map[string]string{
		"loaders":                  "the same",
		"property java.class.path": b.fixture,
		"stdin":                    "-1",
		"loaded":                   "true",
	} {
		if got := w.Command(command); got != want {
			t.Errorf("%s: got %q, want %q", command, got, want)
		}
	}
}

// The class path that the gateway has found counts, in its order, and not the entry.
func testJavaClassPathInOrder(t *testing.T, b javaBuild, java jvm.Runtime) {
	dir := t.TempDir()
	jar := filepath.Join(dir, "a jar, with 100% ü#.jar")
	archive, err := os.Create(jar)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	z := zip.NewWriter(archive)
	if err := errors.Join(z.AddFS(os.DirFS(b.fixture)), z.Close()); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "com", "example", "Text.class")
	if err := os.MkdirAll(filepath.Dir(broken), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, []byte("no class"), 0o644); err != nil {
		t.Fatal(err)
	}
	host := b.host(t, java)
	w := hosttest.Start(t, host, hosttest.Options{Entry: hosttest.NoEntry, ClassPath: []string{jar, dir}, MainClass: "com.example.Text"})
	if got := w.Command("x"); got != "1:x" {
		t.Errorf("got %q", got)
	}
	w = hosttest.Start(t, host, hosttest.Options{Entry: "/not/here", ClassPath: []string{dir, jar}})
	if got, want := w.Command("property java.class.path"), dir+string(os.PathListSeparator)+jar; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	w = hosttest.Launch(t, host, hosttest.Options{})
	w.Greet()
	w.SendStart(host, hosttest.Options{ClassPath: []string{dir, jar}, MainClass: "com.example.Text"})
	if props := w.Expect(wire.Failed); !strings.Contains(props["message"], "ClassFormatError") {
		t.Errorf("got %q, want the class that comes first", props)
	}
	w.ExpectExit(1)
}

// At the end of a drain the processor's output is flushed, unless that would take for ever.
func testJavaDrain(t *testing.T, b javaBuild, java jvm.Runtime) {
	host := b.host(t, java)
	w := hosttest.Start(t, host, hosttest.Options{})
	w.Command("print-unfinished the last words")
	w.Send(wire.AppendFrame(nil, wire.Header{Type: wire.Drain}, nil))
	w.Expect(wire.Drained)
	w.ExpectExit(0)
	w.WaitOutput("stdout", "the last words")

	w = hosttest.Launch(t, host, hosttest.Options{})
	w.Greet()
	w.SendStart(host, hosttest.Options{ModelConfig: "hang-with-lock"})
	w.WaitOutput("stderr", "has the lock")
	w.Send(wire.AppendFrame(nil, wire.Header{Type: wire.Drain}, nil))
	w.Expect(wire.Drained)
	w.ExpectExit(0)
}

// A worker that cannot start says so and exits with status 2.
func testJavaCannotStart(t *testing.T, b javaBuild, java jvm.Runtime) {
	host := b.host(t, java)
	for _, test := range []struct{ name, input, want string }{
		{"no variables", "", "EASCMD_WORKER_SOCKET is not set"},
		{"no key", "EASCMD_WORKER_SOCKET=/x\nEASCMD_WORKER_ID=1\n", "EASCMD_WORKER_KEY is not set"},
		{"no socket", "EASCMD_WORKER_SOCKET=/not/here\nEASCMD_WORKER_ID=1\nEASCMD_WORKER_KEY=x\n", "cannot connect to /not/here"},
		{"no port", "EASCMD_WORKER_SOCKET=tcp:x\nEASCMD_WORKER_ID=1\nEASCMD_WORKER_KEY=x\n", "cannot connect to tcp:x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), host.Command[0], host.Command[1:]...)
			cmd.Stdin = strings.NewReader(test.input)
			out, _ := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "eashost-java: "+test.want) {
				t.Errorf("got %v %q, want status 2 and %q", cmd.ProcessState, out, test.want)
			}
		})
	}
}

func testJavaVersion(t *testing.T, b javaBuild, java jvm.Runtime) {
	host := b.host(t, java)
	out, err := exec.CommandContext(t.Context(), host.Command[0], slices.Concat(host.Command[1:], []string{"--version"})...).Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != "eashost-java protocol 1-1" {
		t.Errorf("got %q, %v", got, err)
	}
}

// BenchmarkJavaHost is BenchmarkHost for Java.
func BenchmarkJavaHost(b *testing.B) {
	build := buildJavaHost(b)
	for _, feature := range jvmtest.Features() {
		b.Run(fmt.Sprintf("java=%d", feature), func(b *testing.B) {
			host := build.host(b, jvmtest.Java(b, feature))
			for _, threads := range []int{1, 5} {
				b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
					w := hosttest.Start(b, host, hosttest.Options{Threads: threads})
					hosttest.Pipeline(b, w, 16, 128)
				})
			}
		})
	}
}

// BenchmarkJavaStart measures the time from the start of a worker until it is READY and
// has ended again.
func BenchmarkJavaStart(b *testing.B) {
	build := buildJavaHost(b)
	for _, feature := range jvmtest.Features() {
		b.Run(fmt.Sprintf("java=%d", feature), func(b *testing.B) {
			host := build.host(b, jvmtest.Java(b, feature))
			for b.Loop() {
				w := hosttest.Start(b, host, hosttest.Options{})
				w.Close()
				w.Exit()
			}
		})
	}
}
