package source

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/pysdk/packing/packingtest"
)

// pythonProject is a project in Python with an environment of its own.
func pythonProject(t *testing.T) *bench {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("missing: Linux on x86-64")
	}
	if testing.Short() {
		t.Skip("missing: time (-short)")
	}
	interpreter, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("missing: python3")
	}
	b := newBench(t, map[string]string{
		"app.py":      "import json, helper\n",
		"helper.py":   "",
		".easignore":  packingtest.Unneeded,
		"app.json":    `{"name": "py", "processor_path": "./", "processor_entry": "./app.py", "processor_type": "python", "metadata": {"instance": 1, "cpu": 1}}`,
		"packed.json": `{"name": "py", "processor_path": "../p.tar.gz", "processor_entry": "./app.py", "processor_type": "python", "metadata": {"instance": 1, "cpu": 1}}`,
	})
	b.run(interpreter, "-m", "venv", "--without-pip", pack.EnvDir)
	return b
}

// needOldEnough skips where this machine makes what is too new for EAS.
func (b *bench) needOldEnough(file string) {
	b.t.Helper()
	if _, err := Publish(b.t.Context(), b.onEAS(file)); err != nil && strings.Contains(err.Error(), "EAS has GLIBC") {
		b.t.Skip("missing: a compiler, or a Python, that is no newer than that of EAS")
	}
}

func TestPythonProject(t *testing.T) {
	b := pythonProject(t)
	b.needOldEnough("app.json")
	p := b.publish(b.onEAS("app.json"))
	if want := "processor_path oss://models/team/py/project-HASH.tar.gz"; strings.Join(addresses(p), " ") != want {
		t.Errorf("%q, want %q", addresses(p), want)
	}
	if got := fields(t, p.Description, "processor_entry")["processor_entry"]; got != "app.py" {
		t.Errorf("processor_entry %q", got)
	}

	// Neither a change of the description nor a second time packs anew.
	b.write("app.json", `{"name": "py", "processor_path": "./", "processor_entry": "app.py", "processor_type": "python", "metadata": {"instance": 2, "cpu": 1}}`)
	if again := b.publish(b.onEAS("app.json")); again.Uploads[0].Address != p.Uploads[0].Address {
		t.Errorf("%s, before %s", again.Uploads[0].Address, p.Uploads[0].Address)
	}
	if again := b.publish(b.onEAS("app.json")); !again.Uploads[0].Cached || strings.Contains(strings.Join(b.steps, "\n"), "Packing") {
		t.Errorf("%+v: %q", again.Uploads[0], b.steps)
	}

	// The package is complete by itself, and is found so.
	b.run("cp", p.Uploads[0].Package, "../p.tar.gz")
	packed := b.publish(b.onEAS("packed.json"))
	if packed.Uploads[0].SHA256 != p.Uploads[0].SHA256 {
		t.Errorf("%+v, packed as %+v", packed.Uploads[0], p.Uploads[0])
	}

	// What would fail there fails here.
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"syntax", map[string]string{"app.py": "def (\n"}, "SyntaxError"},
		{"CPU", map[string]string{"app.py": "import json\n", "ENV/bin/python": "\xcf\xfa\xed\xfe0123456789"}, "Mach-O"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, content := range tt.files {
				os.Remove(filepath.Join(b.dir, name)) // a link to the interpreter itself
				b.write(name, content)
			}
			_, err := Publish(t.Context(), b.onEAS("app.json"))
			if err == nil || fault.KindOf(err) != fault.Processor || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v of kind %v, want %q", err, fault.KindOf(err), tt.want)
			}
		})
	}
}

// The C++ example as it is in this repository.
func TestEchoExample(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("missing: Linux on x86-64")
	}
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("missing: g++")
	}
	example, err := filepath.Abs(filepath.Join("..", "..", "examples", "echo"))
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, nil)
	if err := os.CopyFS(b.dir, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll("build")
	b.run("make", "-s")
	b.needOldEnough("service.json")
	p := b.publish(b.onEAS("service.json"))
	want := "processor_path oss://models/team/test_echo/build-HASH.tar.gz model_path oss://models/team/test_echo/model-HASH.tar.gz"
	if got := strings.Join(addresses(p), " "); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if len(p.Warnings) > 0 {
		t.Errorf("warnings: %v", p.Warnings)
	}
}
