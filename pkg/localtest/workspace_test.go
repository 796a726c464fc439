package localtest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/service"
)

// write writes files below dir.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tree lists what is below dir, as a program that follows links sees it.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	var walk func(rel string)
	walk = func(rel string) {
		entries, err := os.ReadDir(filepath.Join(dir, rel))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := filepath.Join(rel, e.Name())
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if info.IsDir() {
				files[name] = "directory"
				walk(name)
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = string(text)
		}
	}
	walk("")
	return files
}

func tarGz(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(text))
	}
	w.Close()
	z.Close()
	return b.String()
}

func zipped(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(text))
	}
	z.Close()
	return b.String()
}

// describe parses a description of a C++ processor with more fields.
func describe(t *testing.T, fields string) *service.Description {
	t.Helper()
	text := `{"name": "svc", "processor_entry": "lib.so", "processor_type": "cpp", "metadata": {"instance": 1}` + fields + `}`
	d, err := service.Parse("service.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPrepare(t *testing.T) {
	archive := func(t *testing.T, dir, name, content string) { write(t, dir, map[string]string{name: content}) }
	tests := []struct {
		name   string
		fields string
		setUp  func(t *testing.T, dir string)
		want   map[string]string // below the workspace
		file   string            // ModelFile
		steps  []string
	}{
		{
			name:   "directories",
			fields: `, "model_path": "./m", "processor_path": "./p/"`,
			setUp: func(t *testing.T, dir string) {
				write(t, dir, map[string]string{"m/1/weights": "w", "p/lib.so": "code", "p/data/x": "d", "p/.hidden": "h"})
			},
			want: map[string]string{
				"model": "directory", "model/1": "directory", "model/1/weights": "w",
				"predictor/svc/lib.so": "code", "predictor/svc/data": "directory", "predictor/svc/data/x": "d", "predictor/svc/.hidden": "h",
			},
			steps: []string{"Fetching model from [./m]", "Fetching processor from [./p/]"},
		},
		{
			name:   "archives, whatever they are called",
			fields: `, "model_path": "m.bin", "processor_path": "p.tar.gz"`,
			setUp: func(t *testing.T, dir string) {
				archive(t, dir, "m.bin", zipped(t, map[string]string{"a/b": "x"}))
				archive(t, dir, "p.tar.gz", tarGz(t, map[string]string{"lib.so": "code"}))
			},
			want: map[string]string{"model": "directory", "model/a": "directory", "model/a/b": "x", "predictor/svc/lib.so": "code"},
			steps: []string{
				"Fetching model from [m.bin]", "Uncompressing model [m.bin]",
				"Fetching processor from [p.tar.gz]", "Uncompressing processor [p.tar.gz]",
			},
		},
		{
			name:   "plain files",
			fields: `, "model_path": "m/card.pmml", "processor_path": "lib.so"`,
			setUp: func(t *testing.T, dir string) {
				write(t, dir, map[string]string{"m/card.pmml": "<x/>", "m/other": "o", "lib.so": "code"})
			},
			want:  map[string]string{"model": "directory", "model/card.pmml": "<x/>", "predictor/svc/lib.so": "code"},
			file:  "card.pmml",
			steps: []string{"Fetching model from [m/card.pmml]", "Fetching processor from [lib.so]"},
		},
		{
			name:   "archives that stay as they are",
			fields: `, "model_path": "m.zip", "processor_path": "p", "uncompress": "false"`,
			setUp: func(t *testing.T, dir string) {
				write(t, dir, map[string]string{"m.zip": zipped(t, map[string]string{"a": ""}), "p/lib.so": "code"})
			},
			want:  map[string]string{"model": "directory", "model/m.zip": zipped(t, map[string]string{"a": ""}), "predictor/svc/lib.so": "code"},
			file:  "m.zip",
			steps: []string{"Fetching model from [m.zip]", "Fetching processor from [p]"},
		},
		{
			name:   "a model that is a zip and one file",
			fields: `, "model_path": "net.pt", "processor_path": "p"`,
			setUp: func(t *testing.T, dir string) {
				write(t, dir, map[string]string{"net.pt": zipped(t, map[string]string{"net/data.pkl": "x"}), "p/lib.so": "code"})
			},
			want: map[string]string{
				"model": "directory", "model/net.pt": zipped(t, map[string]string{"net/data.pkl": "x"}), "predictor/svc/lib.so": "code",
			},
			file:  "net.pt",
			steps: []string{"Fetching model from [net.pt]", "Fetching processor from [p]"},
		},
		{
			name:   "no model",
			fields: `, "processor_path": "p"`,
			setUp:  func(t *testing.T, dir string) { write(t, dir, map[string]string{"p/lib.so": "code"}) },
			want:   map[string]string{"model": "directory", "predictor/svc/lib.so": "code"},
			steps:  []string{"Fetching processor from [p]"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			tt.setUp(t, dir)
			var steps []string
			w, err := Prepare(t.Context(), describe(t, tt.fields), Options{
				Dir: t.TempDir(), DescriptionDir: ".", Step: func(s string) { steps = append(steps, s) },
			})
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"config": "directory", "predictor": "directory", "predictor/svc": "directory"}
			for name, text := range tt.want {
				want[name] = text
			}
			if d := cmp.Diff(want, tree(t, w.Dir)); d != "" {
				t.Errorf("workspace (-want +got):\n%s", d)
			}
			if w.ModelFile != tt.file || w.ProcessorDir != filepath.Join(w.Dir, "predictor", "svc") {
				t.Errorf("%+v", w)
			}
			if d := cmp.Diff(tt.steps, steps); d != "" {
				t.Errorf("steps (-want +got):\n%s", d)
			}
		})
	}
}

func TestWorkspaceBesideUsersDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"m/weights": "w", "p/lib.so": "code", "model/decoy": "d"})
	w, err := Prepare(t.Context(), describe(t, `, "model_path": "./m", "processor_path": "./p"`), Options{Dir: t.TempDir(), DescriptionDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	// The kernel follows ".." from the real directory that a program is in.
	t.Chdir(w.ProcessorDir)
	if text, err := os.ReadFile("../../model/weights"); string(text) != "w" || err != nil {
		t.Errorf("../../model/weights: %q, %v", text, err)
	}
	if err := os.WriteFile("created", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "p", "created")); err == nil {
		t.Error("a file of the processor landed in the user's directory")
	}
	// Removing the workspace must leave alone what it links to.
	if err := os.RemoveAll(w.Dir); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{
		"m": "directory", "m/weights": "w", "p": "directory", "p/lib.so": "code", "model": "directory", "model/decoy": "d",
	}, tree(t, dir)); d != "" {
		t.Errorf("the user's files (-want +got):\n%s", d)
	}
}

func TestLocalPaths(t *testing.T) {
	here, beside := t.TempDir(), t.TempDir()
	t.Chdir(here)
	write(t, here, map[string]string{"both/lib.so": "here", "only here/lib.so": "here", "lib.so": "here"})
	write(t, here, map[string]string{"twice/other": ""})
	write(t, beside, map[string]string{"both/lib.so": "beside", "twice/lib.so": "beside", "only beside/lib.so": "beside", "lib.so": "beside"})
	for path, want := range map[string]string{
		".": "beside", "./": "beside",
		"both": "here", "twice": "beside", "./only here": "here", "only beside": "beside", filepath.Join(beside, "both"): "beside",
		"file://" + filepath.Join(beside, "both"): "beside",
	} {
		w, err := Prepare(t.Context(), describe(t, fmt.Sprintf(`, "processor_path": %q`, path)), Options{Dir: t.TempDir(), DescriptionDir: beside})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if text, err := os.ReadFile(filepath.Join(w.ProcessorDir, "lib.so")); string(text) != want || err != nil {
			t.Errorf("%s: %q from %v, want %q", path, text, err, want)
		}
	}
	_, err := Prepare(t.Context(), describe(t, `, "processor_path": "./nowhere"`), Options{Dir: t.TempDir(), DescriptionDir: beside})
	if fault.KindOf(err) != fault.Description || fault.HintOf(err) == "" {
		t.Errorf("kind %v, hint %q of %v", fault.KindOf(err), fault.HintOf(err), err)
	}
	for _, place := range []string{here, beside} {
		if err == nil || !strings.Contains(err.Error(), filepath.Join(place, "nowhere")) {
			t.Errorf("%v does not name %s", err, place)
		}
	}
}

func TestDownload(t *testing.T) {
	content := tarGz(t, map[string]string{"lib.so": "code"})
	fetched := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if r.URL.EscapedPath() != "/models%2Fp.tar.gz" {
			http.NotFound(w, r)
			return
		}
		fetched++
		w.Write([]byte(content))
	}))
	defer server.Close()
	cache := t.TempDir()
	for range 2 {
		w, err := Prepare(t.Context(), describe(t, `, "processor_path": "`+server.URL+`/models%2Fp.tar.gz"`), Options{Dir: t.TempDir(), CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(w.ProcessorDir, "lib.so")); string(text) != "code" {
			t.Errorf("%q, %v", text, err)
		}
	}
	if fetched != 1 {
		t.Errorf("fetched %d times", fetched)
	}
	if _, err := Prepare(t.Context(), describe(t, `, "processor_path": "`+server.URL+`/gone.tar.gz"`), Options{Dir: t.TempDir(), CacheDir: cache}); fault.KindOf(err) != fault.Remote {
		t.Errorf("an address without a file: %v", err)
	}
}

func TestWarmUp(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, dir, map[string]string{"p/lib.so": "", "one": "1", "many/b": "b", "many/a": "a", "many/.skip": "", "many/sub/c": "c"})
	if err := os.Mkdir("none", 0o755); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		"one": {filepath.Join(dir, "one")}, "many": {filepath.Join(dir, "many/a"), filepath.Join(dir, "many/b")}, "none": nil,
	} {
		warned := 0
		w, err := Prepare(t.Context(), describe(t, `, "processor_path": "p", "warm_up_data_path": "`+path+`"`),
			Options{Dir: t.TempDir(), Warn: func(string, string) { warned++ }})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, w.WarmUp); d != "" {
			t.Errorf("%s (-want +got):\n%s", path, d)
		}
		if (warned > 0) != (want == nil) {
			t.Errorf("%s: %d warnings", path, warned)
		}
	}
}

func TestPrepareRefuses(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, dir, map[string]string{"p/lib.so": "", "evil.tar.gz": tarGz(t, map[string]string{"../../outside": "x"})})
	tests := []struct {
		name, text string
		kind       fault.Kind
		want       string
	}{
		{"oss without a region", `"processor_path": "oss://bucket/p.tar.gz", "processor_entry": "lib.so", "processor_type": "cpp"`, fault.Description, "the region of the bucket"},
		{"built-in", `"processor": "pmml", "model_path": "p"`, fault.Missing, "pmml"},
		{"image", `"containers": [{"image": "x", "command": "y", "port": 8000}]`, fault.Missing, "containers"},
		{"missing model", `"model_path": "m", "processor_path": "p", "processor_entry": "lib.so", "processor_type": "cpp"`, fault.Description, "model_path"},
		{"device", `"model_path": "/dev/null", "processor_path": "p", "processor_entry": "lib.so", "processor_type": "cpp"`, fault.Description, "neither"},
		{"hostile archive", `"processor_path": "evil.tar.gz", "processor_entry": "lib.so", "processor_type": "cpp"`, 0, "outside"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := service.Parse("service.json", []byte(`{"name": "svc", "metadata": {"instance": 1}, `+tt.text+`}`))
			if err != nil {
				t.Fatal(err)
			}
			parent := t.TempDir()
			_, err = Prepare(t.Context(), d, Options{Dir: parent})
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.kind != 0 && fault.KindOf(err) != tt.kind {
				t.Errorf("kind %v of %v; want %v with %q", fault.KindOf(err), err, tt.kind, tt.want)
			}
			if _, err := os.Stat(filepath.Join(parent, "..", "outside")); err == nil {
				t.Error("written outside of the workspace")
			}
		})
	}
}

func TestWriteConfig(t *testing.T) {
	plan := &runplan.Plan{Workspace: t.TempDir(), Properties: map[string]string{"rpc.keepalive": "5000"}}
	if err := writeConfig(plan.Workspace, plan); err == nil {
		t.Error("written without a workspace")
	}
	if err := os.Mkdir(filepath.Join(plan.Workspace, "config"), fs.ModePerm); err != nil {
		t.Fatal(err)
	}
	if err := writeConfig(plan.Workspace, plan); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(plan.Workspace, "config", "config.json"))
	if string(text) != `{"rpc.keepalive":"5000"}`+"\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// A model_entry that is not in the model is pointed out, and nothing more: it
// may be a text that only the processor understands.
func TestModelEntryIsLookedFor(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, dir, map[string]string{
		"m/weights.txt": "w", "m/1/graph": "g", "p/lib.so": "code", "many/1": "", "many/2": "", "many/3": "", "many/4": "", "many/5": "", "many/6": "",
		"m.tar.gz": tarGz(t, map[string]string{"a/b": "x"}),
	})
	if err := os.Mkdir("empty", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ model, entry, text, hint string }{
		{"./m", "./weights.txt", "", ""},
		{"./m", "./1/", "", ""},
		{"./m", "", "", ""},
		{"./m.tar.gz", "a/b", "", ""},
		{"./m/weights.txt", "weights.txt", "", ""},
		{"./m", "./nope.txt", "model_entry [./nope.txt] is not in the model: " + filepath.Join(root, "m", "nope.txt"), "the model holds 1, weights.txt"},
		{"./m.tar.gz", "b", "model_entry [b] is not in the model: ", "the model holds a"},
		{"./many", "x", "model_entry [x] is not in the model: ", "the model holds 1, 2, 3, 4, 5 and 1 more"},
		{"./empty", "x", "model_entry [x] is not in the model: ", "the model is empty"},
		{"", "x", "model_entry [x] is given, but no model: model_path is missing", ""},
	} {
		var texts, hints []string
		_, err := Prepare(t.Context(), describe(t, fmt.Sprintf(`, "model_path": %q, "model_entry": %q, "processor_path": "p"`, tt.model, tt.entry)), Options{
			Dir: t.TempDir(), DescriptionDir: ".",
			Warn: func(text, hint string) { texts, hints = append(texts, text), append(hints, hint) },
		})
		if err != nil {
			t.Errorf("%s in %s: %v", tt.entry, tt.model, err)
		}
		switch {
		case tt.text == "" && len(texts) > 0:
			t.Errorf("%s in %s: warnings %q", tt.entry, tt.model, texts)
		case tt.text != "" && (len(texts) != 1 || !strings.HasPrefix(texts[0], tt.text) || hints[0] != tt.hint):
			t.Errorf("%s in %s: warnings %q, hints %q", tt.entry, tt.model, texts, hints)
		}
	}
}
