package templates

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

func TestEveryTemplateIsListed(t *testing.T) {
	entries, err := projects.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var embedded, listed []string
	for _, e := range entries {
		embedded = append(embedded, e.Name())
	}
	for _, tpl := range List() {
		listed = append(listed, tpl.Name)
	}
	if diff := cmp.Diff(embedded, listed); diff != "" {
		t.Errorf("embedded directories and List differ (-embedded +listed):\n%s", diff)
	}
}

func TestFindUnknown(t *testing.T) {
	_, err := Find("fortran")
	if fault.KindOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "cpp") {
		t.Errorf("got %v (hint %q), want a usage fault that lists the templates", err, fault.HintOf(err))
	}
}

func TestWriteFillsInTheName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "My-Model.v2")
	files := writeCPP(t, dir, Options{})
	if len(files) < 8 {
		t.Errorf("only %d files: %v", len(files), files)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), placeholder) {
			t.Errorf("%s still holds %s", name, placeholder)
		}
	}
	if text := read(t, filepath.Join(dir, "service.json")); !strings.Contains(text, `"name": "my_model_v2"`) {
		t.Errorf("service.json does not name my_model_v2:\n%s", text)
	}
	if diff := cmp.Diff(files, tree(t, dir)); diff != "" {
		t.Errorf("returned and written files differ (-returned +written):\n%s", diff)
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		dir, name string
		want      string // empty: a usage fault
	}{
		{dir: "scorer", want: "scorer"},
		{dir: "scorer", name: "other_1", want: "other_1"},
		{dir: "scorer", name: "Other"},
		{dir: "scorer", name: "1st"},
		{dir: "scorer", name: "a/b"},
		{dir: "scorer", name: `a"b`},
		{dir: "scorer", name: strings.Repeat("a", 44), want: strings.Repeat("a", 44)},
		{dir: "scorer", name: strings.Repeat("a", 45)},
		{dir: "2fast"},
		{dir: "模型"},
		{dir: "模型", name: "model", want: "model"},
	} {
		t.Run(tt.dir+"/"+tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), tt.dir)
			tpl, err := Find("cpp")
			if err != nil {
				t.Fatal(err)
			}
			_, err = tpl.Write(dir, Options{Name: tt.name})
			if tt.want == "" {
				if fault.KindOf(err) != fault.Usage {
					t.Errorf("got %v, want a usage fault", err)
				}
				if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s was made", dir)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if text := read(t, filepath.Join(dir, "service.json")); !strings.Contains(text, `"name": "`+tt.want+`"`) {
				t.Errorf("service.json does not name %s:\n%s", tt.want, text)
			}
		})
	}
}

func TestWriteRefusesToReplace(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "Makefile"), "mine")
	put(t, filepath.Join(dir, "model", "weights.txt"), "mine too")
	put(t, filepath.Join(dir, "notes.txt"), "not in the way")
	before := contents(t, dir)

	tpl, _ := Find("cpp")
	_, err := tpl.Write(dir, Options{Name: "scorer"})
	if fault.KindOf(err) != fault.Usage {
		t.Fatalf("got %v, want a usage fault", err)
	}
	for _, want := range []string{"Makefile", "model/weights.txt"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("the directory changed:\n%s", diff)
	}

	writeCPP(t, dir, Options{Name: "scorer", Force: true})
	after := contents(t, dir)
	if after["Makefile"] == "mine" || after["model/weights.txt"] == "mine too" {
		t.Error("--force left the old files")
	}
	if after["notes.txt"] != "not in the way" {
		t.Error("a file that is not the template's was touched")
	}
}

// A failure half way through must put everything back: here the second of two
// files cannot be placed because a directory has its name.
func TestWriteTakesBackWhatItDid(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a", "one"), "old one")
	put(t, filepath.Join(dir, "z", "inside"), "in the way")
	before := contents(t, dir)

	files := []file{{"a/one", []byte("new")}, {"b/c/two", []byte("new")}, {"z", []byte("new")}}
	if _, err := write(dir, files, true); err == nil {
		t.Fatal("a directory was replaced by a file")
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("the directory changed:\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("directory b was left behind")
	}
}

func TestWriteRemovesDirectoriesItMade(t *testing.T) {
	top := t.TempDir()
	// "one" is a file and a directory at once.
	files := []file{{"one", nil}, {"one/two", nil}}
	if _, err := write(filepath.Join(top, "x", "y"), files, false); err == nil {
		t.Fatal("an impossible project was written")
	}
	if left := tree(t, top); left != nil {
		t.Errorf("left behind: %v", left)
	}
	if entries, _ := os.ReadDir(top); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestWriteStaysInside(t *testing.T) {
	outside := t.TempDir()
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "model")); err != nil {
		t.Skipf("symbolic links: %v", err)
	}
	tpl, _ := Find("cpp")
	if _, err := tpl.Write(dir, Options{Name: "scorer", Force: true}); err == nil {
		t.Error("a link that leads out of the directory was followed")
	}
	if left := tree(t, outside); left != nil {
		t.Errorf("written outside: %v", left)
	}
	if left := tree(t, dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// A name that is a word of Java or of Maven is one of a project like any other.
func TestNamesOfJavaProjects(t *testing.T) {
	tpl, err := Find("java")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files, err := tpl.Write(dir, Options{Name: "class"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if text := read(t, name); strings.Contains(text, placeholder) || strings.Contains(text, "package class") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
	for _, want := range []string{"<finalName>class</finalName>", "<artifactId>class</artifactId>", "target/class.jar"} {
		if text := read(t, filepath.Join(dir, "pom.xml")); !strings.Contains(text, want) {
			t.Errorf("pom.xml lacks %s", want)
		}
	}
	if text := read(t, filepath.Join(dir, "service.json")); !strings.Contains(text, `"processor_path": "./target/class.jar"`) {
		t.Errorf("service.json does not name the jar that Maven makes:\n%s", text)
	}
}

// The project has to build as it is written, both ways and without a warning.
func TestCPPBuilds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		needs []string
		run   [][]string
		makes []string
	}{
		{
			name:  "make",
			needs: []string{"make", "g++", "tar"},
			run:   [][]string{{"make", "CXXFLAGS=-Werror", "all", "package"}},
			makes: []string{"build/libscorer.so", "build/scorer.tar.gz"},
		},
		{
			name:  "cmake",
			needs: []string{"cmake", "make", "g++"},
			run: [][]string{
				{"cmake", "-B", "build", "-DCMAKE_CXX_FLAGS=-Werror"},
				{"cmake", "--build", "build"},
				{"cmake", "--build", "build", "--target", "package_processor"},
			},
			makes: []string{"build/libscorer.so", "build/scorer.tar.gz"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, program := range tt.needs {
				if _, err := exec.LookPath(program); err != nil {
					t.Skipf("needs %s", program)
				}
			}
			dir := filepath.Join(t.TempDir(), "scorer")
			writeCPP(t, dir, Options{})
			for _, args := range tt.run {
				cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
				cmd.Dir = dir
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
				}
			}
			for _, name := range tt.makes {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func writeCPP(t *testing.T, dir string, opts Options) []string {
	t.Helper()
	tpl, err := Find("cpp")
	if err != nil {
		t.Fatal(err)
	}
	files, err := tpl.Write(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// tree returns the paths of everything below dir that is not a directory.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// contents returns the text of every file below dir, by its relative path.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, name := range tree(t, dir) {
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.ToSlash(rel)] = read(t, name)
	}
	return texts
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
