package hosts_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/jvm"
	"github.com/openeas/eascmd/internal/jvmtest"
	"github.com/openeas/eascmd/pkg/engine/hosts"
)

// needJDK returns a Java of this machine that compiles.
func needJDK(t testing.TB) jvm.Runtime {
	t.Helper()
	java, others, err := jvm.Choose(t.Context())
	if err != nil {
		t.Skipf("missing: a Java (%v)", err)
	}
	for _, java := range append([]jvm.Runtime{java}, others...) {
		if java.Compiler && java.Version != "" {
			return java
		}
	}
	t.Skip("missing: javac")
	return java
}

// fakeJava makes a directory that looks like that of a JDK, with programs of ours.
func fakeJava(t *testing.T, version string, programs map[string]string) jvm.Runtime {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("missing: a shell")
	}
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(home, "bin", name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return jvm.Runtime{Home: home, Version: version, Compiler: programs["javac"] != ""}
}

func TestJavaIsBuiltOnce(t *testing.T) {
	java := needJDK(t)
	dir := t.TempDir()
	var mu sync.Mutex
	var said []string
	opts := hosts.Options{CacheDir: dir, Log: func(s string) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, s)
	}}
	// Two at the same time, as programs that start together would.
	var all sync.WaitGroup
	found := make([]hosts.JavaHost, 2)
	for i := range found {
		all.Go(func() {
			var err error
			if found[i], err = hosts.Java(t.Context(), java, opts); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	jar := filepath.Join(dir, "hosts", hosts.JavaName())
	for _, host := range found {
		if host.Jar != jar || host.Java != java || (host.ClassData != "") != hosts.ArchivesClasses(java) {
			t.Errorf("the host is %+v, want %s with %v", host, jar, java)
		}
	}
	if len(said) == 0 {
		t.Error("nothing was said of the build")
	}
	for _, name := range names(t, filepath.Join(dir, "hosts")) {
		// Each of the two may have made an archive.
		if name != hosts.JavaName() && !slices.ContainsFunc(found, func(h hosts.JavaHost) bool { return filepath.Base(h.ClassData) == name }) {
			t.Errorf("the cache holds %s", name)
		}
	}
	command := append(found[0].Command(hosts.JVM{}), "--version")
	if text, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil || string(text) != "eashost-java protocol 1-1\n" {
		t.Errorf("--version prints %q (%v)", text, err)
	}

	// From now on no compiler is needed.
	said = nil
	java.Compiler = false
	host, err := hosts.Java(t.Context(), java, opts)
	if err != nil || host.Jar != jar || (host.ClassData != "") != hosts.ArchivesClasses(java) || said != nil {
		t.Errorf("a second time: %+v, %v, said %q", host, err, said)
	}
	if host.ClassData == "" {
		return
	}

	// An archive that was cut off would crash the JVM: it is made anew.
	for _, h := range append(found, host) {
		if err := os.Truncate(h.ClassData, 10_000); err != nil {
			t.Fatal(err)
		}
	}
	host, err = hosts.Java(t.Context(), java, opts)
	if err != nil || host.ClassData == "" {
		t.Fatalf("with an archive that was cut off: %+v, %v", host, err)
	}
	if info, err := os.Stat(host.ClassData); err != nil || info.Size() == 10_000 {
		t.Errorf("it is still there: %v", err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// The jar is the same wherever and whenever it is built: a release's too.
func TestJavaIsReproducible(t *testing.T) {
	java := needJDK(t)
	t.Setenv("JAVA_HOME", java.Home)
	t.Setenv("JAVA_TOOL_OPTIONS", "-Dno=effect") // what this says would be among the compiler's words
	jar, err := hosts.JavaJar(t.Context(), java, hosts.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	release := filepath.Join(t.TempDir(), "java", hosts.JavaName())
	if err := hosts.ReleaseJava(t.Context(), release); err != nil {
		t.Fatal(err)
	}
	var content [2][]byte
	for i, path := range []string{jar, release} {
		if content[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(content[0], content[1]) {
		t.Error("two builds differ")
	}
}

// A jar in the cache that was cut off is made anew.
func TestJavaCutOff(t *testing.T) {
	java := needJDK(t)
	opts := hosts.Options{CacheDir: t.TempDir(), Fleeting: true}
	jar := filepath.Join(opts.CacheDir, "hosts", hosts.JavaName())
	if err := os.Mkdir(filepath.Dir(jar), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(jar, []byte("PK\x03\x04"), 0o644); err != nil {
		t.Fatal(err)
	}
	host, err := hosts.Java(t.Context(), java, opts)
	if err != nil || host.Jar != jar || host.ClassData != "" {
		t.Fatalf("got %+v, %v", host, err)
	}
	command := append(host.Command(hosts.JVM{}), "--version")
	if text, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// A jar that came along is taken as it is, and a Java is all that it needs.
func TestJavaFindsPrebuilt(t *testing.T) {
	write := func(t *testing.T, dir string) string {
		t.Helper()
		path := filepath.Join(dir, hosts.JavaName())
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		jvmtest.WriteHost(t, path)
		return path
	}
	jre := jvm.Runtime{Home: t.TempDir(), Version: "11.0.2"}
	t.Run("beside the program", func(t *testing.T) {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(filepath.Dir(exe), "hosts", "java")
		t.Cleanup(func() { os.RemoveAll(dir) })
		want := write(t, dir)
		if host, err := hosts.Java(t.Context(), jre, hosts.Options{CacheDir: t.TempDir()}); err != nil || host.Jar != want {
			t.Errorf("got %+v, %v, want %s", host, err, want)
		}
	})
	t.Run("in a directory", func(t *testing.T) {
		dir := t.TempDir()
		want := write(t, dir)
		if host, err := hosts.Java(t.Context(), jre, hosts.Options{Dirs: []string{t.TempDir(), dir}}); err != nil || host.Jar != want || host.ClassData != "" {
			t.Errorf("got %+v, %v, want %s", host, err, want)
		}
		archive := strings.TrimSuffix(want, ".jar") + ".jsa"
		if err := os.WriteFile(archive, []byte("classes"), 0o644); err != nil {
			t.Fatal(err)
		}
		for version, wantArchive := range map[string]string{"17.0.9": archive, "11.0.2": ""} {
			jre.Version = version
			if host, err := hosts.Java(t.Context(), jre, hosts.Options{Dirs: []string{dir}}); err != nil || host.ClassData != wantArchive {
				t.Errorf("Java %s: %+v, %v, want the archive %q", version, host, err, wantArchive)
			}
		}
	})
}

func TestJavaErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, javac, cache string
		kind               fault.Kind
		text, hint         string
	}{
		{name: "the compiler fails", javac: "echo the reason >&2; exit 1", kind: fault.Failed, text: "the reason", hint: "JAVA_HOME"},
		{name: "it builds nothing", javac: "exit 0", kind: fault.Failed, text: "has written no classes"},
		{name: "the cache is a file", javac: "exit 0", cache: file, kind: fault.Failed, text: file, hint: "XDG_CACHE_HOME"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cache := test.cache
			if cache == "" {
				cache = t.TempDir()
			}
			java := fakeJava(t, "17.0.9", map[string]string{"java": "exit 1", "javac": test.javac})
			_, err := hosts.Java(t.Context(), java, hosts.Options{CacheDir: cache})
			if err == nil || fault.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.text) || !strings.Contains(fault.HintOf(err), test.hint) {
				t.Errorf("got %v (kind %d, hint %q), want kind %d, %q and hint %q", err, fault.KindOf(err), fault.HintOf(err), test.kind, test.text, test.hint)
			}
			if test.cache == "" {
				if left := names(t, filepath.Join(cache, "hosts")); left != nil {
					t.Errorf("the cache holds %q", left)
				}
			}
		})
	}
	t.Run("the compiler cannot be run", func(t *testing.T) {
		java := jvm.Runtime{Home: t.TempDir(), Version: "17", Compiler: true}
		_, err := hosts.Java(t.Context(), java, hosts.Options{CacheDir: t.TempDir()})
		if fault.KindOf(err) != fault.Missing || !strings.Contains(err.Error(), java.Home) {
			t.Errorf("got %v (kind %d)", err, fault.KindOf(err))
		}
	})
}

func TestJavaInterrupted(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	java := fakeJava(t, "17.0.9", map[string]string{"javac": "echo >" + started + "; exec sleep 1000"})
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the user has gone")
	go func() {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if _, err := os.Stat(started); err == nil {
				break
			}
		}
		cancel(reason)
	}()
	if _, err := hosts.Java(ctx, java, hosts.Options{CacheDir: t.TempDir()}); fault.KindOf(err) != fault.Interrupted || !errors.Is(err, reason) {
		t.Errorf("got %v, want one of kind Interrupted", err)
	}
}

// Every Java here takes the flags, and those that can the archive that it has made: with
// -Xshare:on a JVM ends that cannot use it.
func TestJavaCommandRuns(t *testing.T) {
	needJDK(t)
	chosen, others, err := jvm.Choose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	for _, java := range append([]jvm.Runtime{chosen}, others...) {
		t.Run(java.Version, func(t *testing.T) {
			host, err := hosts.Java(t.Context(), java, hosts.Options{CacheDir: cache})
			if err != nil {
				t.Fatal(err)
			}
			command := append(host.Command(hosts.JVM{Heap: 64 << 20}), "--version")
			if hosts.ArchivesClasses(java) {
				if host.ClassData == "" {
					t.Error("there is no archive of classes")
				}
				command = slices.Insert(command, 1, "-Xshare:on")
			}
			if text, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil || string(text) != "eashost-java protocol 1-1\n" {
				t.Errorf("%q prints %q (%v)", command, text, err)
			}
		})
	}
}

// A Java that makes no archive is not asked again; one that was only interrupted is.
func TestJavaWithoutClassData(t *testing.T) {
	jars := t.TempDir()
	jvmtest.WriteHost(t, filepath.Join(jars, hosts.JavaName()))
	asked := filepath.Join(t.TempDir(), "asked")
	java := fakeJava(t, "17.0.9", map[string]string{"java": "echo asked >>" + asked + "; exit 1"})
	opts := hosts.Options{CacheDir: t.TempDir(), Dirs: []string{jars}}
	count := func() int {
		data, err := os.ReadFile(asked)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return bytes.Count(data, []byte("asked"))
	}
	find := func(ctx context.Context, opts hosts.Options) {
		t.Helper()
		if host, err := hosts.Java(ctx, java, opts); err != nil || host.ClassData != "" {
			t.Errorf("got %+v, %v, want a host without an archive", host, err)
		}
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	find(interrupted, opts)
	fleeting := opts
	fleeting.Fleeting = true
	find(t.Context(), fleeting)
	if got := count(); got != 0 {
		t.Errorf("it was asked %d times, want never", got)
	}
	for range 3 {
		find(t.Context(), opts)
	}
	if got := count(); got != 1 {
		t.Errorf("it was asked %d times, want once", got)
	}
}

func TestJavaCommand(t *testing.T) {
	host := hosts.JavaHost{Java: jvm.Runtime{Home: "/jdk"}, Jar: "/cache/host.jar"}
	archived := host
	archived.ClassData = "/cache/host.jsa"
	for _, test := range []struct {
		name string
		host hosts.JavaHost
		jvm  hosts.JVM
		want []string // behind what all have
	}{
		{"as it is", host, hosts.JVM{}, nil},
		{"a heap", host, hosts.JVM{Heap: 768 << 20}, []string{"-Xmx786432k"}},
		{"a heap of its own", host, hosts.JVM{Heap: 768 << 20, Options: jvm.Options{"-Xmx4g"}}, []string{"-Xmx4g"}},
		{"a share of the memory", host, hosts.JVM{Heap: 768 << 20, Options: jvm.Options{"-XX:MaxRAMPercentage=50"}}, []string{"-XX:MaxRAMPercentage=50"}},
		{"more at first", host, hosts.JVM{Heap: 768 << 20, Options: jvm.Options{"-Xms1g"}}, []string{"-Xmx1048576k", "-Xms1g"}},
		{"an archive", archived, hosts.JVM{Options: jvm.Options{"-ea"}}, []string{"-XX:SharedArchiveFile=/cache/host.jsa", "-Xlog:cds*=off", "-ea"}},
		{"an archive of its own", archived, hosts.JVM{Options: jvm.Options{"-Xshare:off"}}, []string{"-Xshare:off"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.host.Command(test.jvm)
			all := len(host.Command(hosts.JVM{})) - 3
			if diff := cmp.Diff(append(test.want, "-cp", "/cache/host.jar", "eashost.Main"), got[all:]); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if want := filepath.Join("/jdk", "bin", "java"); got[0] != want {
				t.Errorf("it runs %s, want %s", got[0], want)
			}
		})
	}
}
