//go:build linux

package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/jvm"
)

func TestHeapOptions(t *testing.T) {
	for text, want := range map[string][]string{
		"4711:\n-XX:CICompilerCount=2 -XX:+DisplayVMOutputToStderr -XX:InitialHeapSize=16777216 -XX:MaxHeapSize=786432000 -XX:MaxNewSize=262144000 -XX:+UseCompressedOops -XX:-UsePerfData -XX:+UseSerialGC\n": {
			"-XX:InitialHeapSize=16777216", "-XX:MaxHeapSize=786432000", "-XX:+UseSerialGC",
		},
		"4711:\n-XX:G1HeapRegionSize=1048576 -XX:MaxHeapSize=786432000 -XX:+UseG1GC -XX:-UseNUMA\n": {"-XX:MaxHeapSize=786432000", "-XX:+UseG1GC"},
		"": {},
	} {
		if diff := cmp.Diff(want, heapOptions(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
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
		s, err := b.startJavaPeer(t.Context(), p, []string{"-XX:MaxHeapSize=67108864"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.end(); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}
