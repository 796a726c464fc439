package hosts_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/openeas/eascmd/internal/jvm"
	"github.com/openeas/eascmd/internal/jvmtest"
	"github.com/openeas/eascmd/pkg/serving/hosttest"
)

const fixtureClass = "com.example.Fixture"

// unixSockets is the first Java that has them.
const unixSockets = 16

// javaHost compiles the host for Java processors and its fixture.
func javaHost(tb testing.TB, java jvm.Runtime, options ...string) hosttest.Host {
	tb.Helper()
	dir := tb.TempDir()
	classes, fixture := filepath.Join(dir, "host"), filepath.Join(dir, "fixture")
	compile(tb, classes, "../../../workers/java/eashost")
	compile(tb, fixture, "../../../workers/java/testdata/com/example")
	command := append([]string{java.Program("java")}, options...)
	return hosttest.Host{
		Command:          append(command, "-XX:-UsePerfData", "-Dfile.encoding=UTF-8", "-cp", classes, "eashost.Main"),
		Dir:              dir,
		Entry:            fixture,
		MainClass:        fixtureClass,
		VariablesOnStdin: true,
		TCP:              java.Feature() < unixSockets,
		NoState:          true,
		NoStatus:         true,
	}
}

// compile compiles all the sources of a directory.
func compile(tb testing.TB, classes, dir string) {
	tb.Helper()
	sources, err := filepath.Glob(filepath.Join(dir, "*.java"))
	if err != nil || len(sources) == 0 {
		tb.Fatalf("no sources in %s: %v", dir, err)
	}
	jvmtest.Compile(tb, classes, sources...)
}

func TestJavaHost(t *testing.T) {
	for _, feature := range jvmtest.Features() {
		t.Run(fmt.Sprintf("Java %d", feature), func(t *testing.T) {
			t.Parallel()
			hosttest.Run(t, javaHost(t, jvmtest.Java(t, feature)))
		})
	}
}

// BenchmarkJavaHost is BenchmarkHost for Java.
func BenchmarkJavaHost(b *testing.B) {
	for _, feature := range jvmtest.Features() {
		b.Run(fmt.Sprintf("java=%d", feature), func(b *testing.B) {
			host := javaHost(b, jvmtest.Java(b, feature))
			for _, threads := range []int{1, 5} {
				b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
					w := hosttest.Start(b, host, hosttest.Options{Threads: threads})
					hosttest.Pipeline(b, w, 16, 128)
				})
			}
		})
	}
}

// BenchmarkJavaStart measures the time from the start of a worker to READY.
func BenchmarkJavaStart(b *testing.B) {
	for _, feature := range jvmtest.Features() {
		b.Run(fmt.Sprintf("java=%d", feature), func(b *testing.B) {
			host := javaHost(b, jvmtest.Java(b, feature))
			for b.Loop() {
				w := hosttest.Start(b, host, hosttest.Options{})
				w.Close()
				w.Exit()
			}
		})
	}
}
