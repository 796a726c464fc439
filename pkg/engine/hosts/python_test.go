package hosts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/hosts"
	"github.com/openeas/eascmd/pkg/serving/hosttest"
)

// pythonHost installs the Python host for the interpreter and its fixture.
func pythonHost(tb testing.TB, interpreter string) hosttest.Host {
	tb.Helper()
	path, err := exec.LookPath(interpreter)
	if err != nil {
		tb.Skipf("missing: %s", interpreter)
	}
	dir := tb.TempDir()
	host, err := hosts.Python(hosts.Options{CacheDir: filepath.Join(dir, "cache")})
	if err != nil {
		tb.Fatal(err)
	}
	source, err := os.ReadFile("../../../workers/python/testdata/fixture.py")
	if err != nil {
		tb.Fatal(err)
	}
	fixture := filepath.Join(dir, "fixture.py")
	if err := os.WriteFile(fixture, source, 0o644); err != nil {
		tb.Fatal(err)
	}
	return hosttest.Host{
		Command:  []string{path, filepath.Join(host, hosts.PythonEntry), fixture},
		Dir:      dir,
		Env:      []string{"PYTHONUTF8=1"},
		Entry:    fixture,
		NoState:  true,
		Failures: pythonFailures(tb, dir),
	}
}

// pythonFailures makes the ways in which a Python program does not load.
func pythonFailures(tb testing.TB, dir string) []hosttest.Failure {
	tb.Helper()
	failures := []hosttest.Failure{
		{Name: "no file", Message: "missing.py"},
		{Name: "no entry", Message: "START names no entry", Hint: "processor_entry"},
		{Name: "syntax error", Message: "bad2.py:3: SyntaxError: "},
		{Name: "missing module", Message: "bad3.py:2: ModuleNotFoundError: No module named 'no_such_module'", Hint: "-m pip install no_such_module"},
		{Name: "exception", Message: "bad4.py:4: ZeroDivisionError: division by zero"},
		{Name: "no initialize", Message: "bad5.py:4: Exception: initialize not implemented", Hint: "define initialize"},
		{Name: "exception in initialize", Message: "bad6.py:4: KeyError: 'the model'"},
		{Name: "ends without serving", Message: "bad7.py ended without serving", Hint: "run()"},
		{Name: "ends with status 0", Message: "bad8.py ended without serving", Hint: "run()"},
		{Name: "not UTF-8", Message: "bad9.py", Hint: ""},
	}
	sources := map[string]string{
		"syntax error":   "import os\n\ndef f(:\n",
		"missing module": "import os\nimport no_such_module.inner\n",
		"exception":      "import os\ndef f():\n    x = 0\n    return 1 / x\nf()\n",
		"no initialize":  "import allspark\nclass P(allspark.BaseProcessor):\n    def process(self, data): return data, 200\nP().run()\n",
		"exception in initialize": "import allspark\nclass P(allspark.BaseProcessor):\n    def initialize(self):\n        raise KeyError('the model')\n" +
			"    def process(self, data): return data, 200\nP().run()\n",
		"ends without serving": "import allspark\n",
		"ends with status 0":   "import sys\nsys.exit()\n",
		"not UTF-8":            "name = '\xff'\n",
	}
	for i := range failures {
		f := &failures[i]
		f.State = "0"
		switch source, ok := sources[f.Name]; {
		case f.Name == "no entry":
			f.Options.Entry = hosttest.NoEntry
		case f.Name == "no file":
			f.Options.Entry = filepath.Join(dir, "missing.py")
		case ok:
			f.Options.Entry = filepath.Join(dir, "bad"+string(rune('0'+i))+".py")
			if err := os.WriteFile(f.Options.Entry, []byte(source), 0o644); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return failures
}

func TestPythonHost(t *testing.T) {
	t.Parallel()
	hosttest.Run(t, pythonHost(t, "python3"))
}

func BenchmarkPythonHost(b *testing.B) {
	host := pythonHost(b, "python3")
	for _, threads := range []int{1, 5} {
		b.Run("threads="+string(rune('0'+threads)), func(b *testing.B) {
			w := hosttest.Start(b, host, hosttest.Options{Threads: threads})
			hosttest.Pipeline(b, w, 16, 128)
		})
	}
}

func TestPythonIsWrittenOnce(t *testing.T) {
	dir := t.TempDir()
	opts := hosts.Options{CacheDir: dir}
	paths := make(chan string, 5)
	for range cap(paths) { // several at the same time, as programs that start together would
		go func() {
			path, err := hosts.Python(opts)
			if err != nil {
				t.Error(err)
			}
			paths <- path
		}()
	}
	first := <-paths
	for range cap(paths) - 1 {
		if path := <-paths; path != first {
			t.Errorf("the host is at %q and at %q", first, path)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "hosts"))
	if err != nil || len(entries) != 1 {
		t.Errorf("the cache holds %v (%v), want the host alone", entries, err)
	}
	for _, name := range []string{hosts.PythonEntry, "allspark/__init__.py", "allspark/_worker.py", "allspark/py.typed"} {
		if _, err := os.Stat(filepath.Join(first, filepath.FromSlash(name))); err != nil {
			t.Error(err)
		}
	}

	// A file that something has cleaned away comes back.
	if err := os.Remove(filepath.Join(first, "allspark", "_worker.py")); err != nil {
		t.Fatal(err)
	}
	if path, err := hosts.Python(opts); err != nil || path != first {
		t.Errorf("a second time: %q, %v", path, err)
	}
	if _, err := os.Stat(filepath.Join(first, "allspark", "_worker.py")); err != nil {
		t.Error(err)
	}
}

func TestPythonErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := hosts.Python(hosts.Options{CacheDir: file})
	if fault.KindOf(err) != fault.Failed || !strings.Contains(err.Error(), file) || !strings.Contains(fault.HintOf(err), "XDG_CACHE_HOME") {
		t.Errorf("got %v (hint %q), want one that names the cache", err, fault.HintOf(err))
	}
}

// A Python that is too old is told so, whatever its age.
func TestPythonTooOld(t *testing.T) {
	path, err := exec.LookPath("python2.7")
	if err == nil {
		err = exec.Command(path, "-c", "").Run() // a name without an interpreter behind it
	}
	if err != nil {
		t.Skip("missing: python2.7")
	}
	if runtime.GOOS == "windows" {
		t.Skip("missing: a Unix system")
	}
	host, err := hosts.Python(hosts.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, filepath.Join(host, hosts.PythonEntry), "app.py").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is too old") {
		t.Errorf("got %v, %q", err, out)
	}
}
