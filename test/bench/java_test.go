//go:build linux

package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/jvm"
)

// What makes a JVM fast or large is given to the peers; what leads to the host is
// not.
func TestJVMOptions(t *testing.T) {
	for _, tt := range []struct{ command, want []string }{
		{[]string{"/jdk/bin/java", "-cp", "/host.jar", "eashost.Main"}, nil},
		{
			[]string{"/jdk/bin/java", "-Xmx750m", "-XX:-UsePerfData", "-XX:SharedArchiveFile=/cache/host.jsa", "-Xshare:auto", "-Dfile.encoding=UTF-8", "-XX:+UseSerialGC", "-cp", "/host.jar", "eashost.Main"},
			[]string{"-Xmx750m", "-XX:-UsePerfData", "-XX:+UseSerialGC"},
		},
	} {
		if diff := cmp.Diff(tt.want, jvmOptions(tt.command)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.command, diff)
		}
	}
}

// The peers that come with Java answer what they get, and can be ended.
func TestHTTPServer(t *testing.T) {
	java, _, err := jvm.Choose(t.Context())
	if err != nil || !java.Compiler {
		t.Skip("missing: a JDK")
	}
	b := &bench{dir: t.TempDir(), java: &java}
	if err := os.CopyFS(b.dir, testdata); err != nil {
		t.Fatal(err)
	}
	if err := b.compileJava(t.Context(), httpServerPool.class, ""); err != nil {
		t.Fatal(err)
	}
	for _, p := range []javaPeer{httpServerPool, httpServerOwn} {
		s, err := b.startJavaPeer(t.Context(), p, []string{"-Xmx64m"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.end(); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}
