package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// The names of the released programs stand in the Makefile and, because
// goreleaser cannot read that, in .goreleaser.yaml. Here they are kept equal.
func TestReleaseNames(t *testing.T) {
	data, err := os.ReadFile("../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Version int
		Builds  []struct {
			Main    string
			Env     []string
			Flags   []string
			Ldflags []string
			Targets []string
		}
		Archives []struct {
			Formats      []string
			NameTemplate string `yaml:"name_template"`
		}
		Nfpms []struct {
			Formats  []string
			License  string
			Contents []struct{ Src, Dst string }
		}
		Checksum struct{ Algorithm string }
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	if config.Version != 2 || len(config.Builds) != 1 || len(config.Archives) != 1 || len(config.Nfpms) != 1 {
		t.Fatalf("want version 2 with one build, archive and nfpm; got %+v", config)
	}
	build, archive, packages := config.Builds[0], config.Archives[0], config.Nfpms[0]

	name, err := template.New("name").Parse(archive.NameTemplate)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, target := range build.Targets {
		goos, arch, _ := strings.Cut(target, "_")
		var text strings.Builder
		if err := name.Execute(&text, struct{ Os, Arch string }{goos, arch}); err != nil {
			t.Fatal(err)
		}
		if goos == "windows" {
			text.WriteString(".exe") // as goreleaser does
		}
		got = append(got, text.String()+"="+goos+"/"+arch)
	}
	want := makeVariable(t, "DIST")
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the Makefile and .goreleaser.yaml differ (-make +goreleaser):\n%s", diff)
	}

	if diff := cmp.Diff([]string{"binary"}, archive.Formats); diff != "" {
		t.Errorf("archive formats:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"CGO_ENABLED=0"}, build.Env); diff != "" {
		t.Errorf("environment of the build:\n%s", diff)
	}
	// The values that goreleaser fills in come from make's variables there.
	own := regexp.MustCompile(`\{\{.*?\}\}`).ReplaceAllString(strings.Join(append(build.Flags, build.Ldflags...), " "), "")
	recipe := strings.Join(makeVariable(t, "GOBUILD"), " ")
	for part := range strings.FieldsSeq(own) {
		if !strings.Contains(recipe, part) {
			t.Errorf("goreleaser builds with %q, make does not", part)
		}
	}
	if _, err := os.Stat(filepath.Join("..", build.Main)); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"deb", "rpm"}, packages.Formats); diff != "" {
		t.Errorf("package formats:\n%s", diff)
	}
	packaging := makeRecipe(t, "packaging")
	for _, c := range packages.Contents {
		if !strings.HasPrefix(c.Src, ".cache/") {
			if _, err := os.Stat(filepath.Join("..", c.Src)); err != nil {
				t.Error(err)
			}
		} else {
			src := c.Src
			for _, part := range []string{"/*.1", "/linux-{{ .Arch }}", "/java"} { // of what is written as a directory
				src = strings.TrimSuffix(src, part)
			}
			if !strings.Contains(packaging, src+"\n") {
				t.Errorf("make packaging does not write %s", c.Src)
			}
		}
	}
}

// makeVariable returns the words of a variable of the Makefile.
func makeVariable(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), "\\\n", " ")
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, "=")
		if ok && strings.TrimRight(key, " :?") == name {
			return strings.Fields(value)
		}
	}
	t.Fatalf("the Makefile does not set %s", name)
	return nil
}

// makeRecipe returns what make would run for a target.
func makeRecipe(t *testing.T, target string) string {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("needs make")
	}
	cmd := exec.CommandContext(t.Context(), "make", "--dry-run", "--no-print-directory", target)
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make --dry-run %s: %v\n%s", target, err, out)
	}
	return string(out)
}
