package enginetest

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openeas/eascmd/pkg/serving/event"
)

//go:embed testdata/server.cc
var serverSource []byte

// testServer runs a program that serves HTTP itself, without a host.
func testServer(t *testing.T, f *fixture) {
	plan := f.plan(t)
	dir := filepath.Join(plan.dir, "predictor", "probe")
	source := filepath.Join(t.TempDir(), "server.cc")
	if err := os.WriteFile(source, serverSource, 0o644); err != nil {
		t.Fatal(err)
	}
	object := source + ".o"
	if out, err := exec.CommandContext(t.Context(), "g++", "-c", "-o", object, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Static, because nobody checks this program against what an image has.
	if out, err := exec.CommandContext(t.Context(), "g++", "-static", "-o", filepath.Join(dir, "server"), object).CombinedOutput(); err != nil {
		t.Skipf("missing: static libraries of C and C++: %s", out)
	}
	plan.Worker.Command = []string{plan.Processor.Dir + "/server"}
	plan.Worker.HTTP = true
	s := f.start(t, plan)
	s.awaitType(t, event.Ready)
	s.wantAnswer(t, "hello", 200, "/ hello")
	status, answer, err := s.post("crash")
	if err != nil || status != 500 || !strings.Contains(answer, "SIGABRT") || !strings.Contains(answer, "crashing now") {
		t.Errorf("%d %q %v", status, answer, err)
	}
	s.awaitType(t, event.Restarted)
	s.wantAnswer(t, "again", 200, "/ again")
	stop(t, s)
}
