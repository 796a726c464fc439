package workers_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// TestPython runs the suite of the package allspark on the Pythons of this
// machine: the oldest and the newest all of it, one of every other version the
// reply rules over frames. The host's suite and the scripts of test/ run on the
// preferred one.
func TestPython(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("missing: Unix sockets in Python")
	}
	interpreters, err := python.Find(t.Context(), python.FindOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(interpreters) == 0 {
		t.Skip("missing: python3")
	}
	var versions []*python.Interpreter
	oldest, newest := interpreters[0].Minor, interpreters[0].Minor
	for _, i := range interpreters {
		oldest, newest = min(oldest, i.Minor), max(newest, i.Minor)
		if !slices.ContainsFunc(versions, func(v *python.Interpreter) bool { return v.Minor == i.Minor }) {
			versions = append(versions, i)
		}
	}
	files, err := filepath.Glob("python/tests/test_*.py")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests: %v", err)
	}
	for _, interpreter := range versions {
		compiled := t.TempDir()
		whole := interpreter.Minor == oldest || interpreter.Minor == newest
		for _, file := range files {
			module := strings.TrimSuffix(filepath.Base(file), ".py")
			if !whole {
				if module != "test_replies" {
					continue
				}
				module += ".OverFrames"
			}
			t.Run(interpreter.Name()+"/"+module, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, interpreter.Path, "-W", "ignore", "-m", "unittest", module)
				cmd.Dir = "python/tests"
				cmd.Env = append(os.Environ(), "PYTHONPYCACHEPREFIX="+compiled)
				cmd.WaitDelay = time.Second
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", interpreter.Path, err, out)
				}
			})
		}
	}
}
