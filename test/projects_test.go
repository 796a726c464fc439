package test

import (
	"bytes"
	"encoding/xml"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/service"
	"github.com/openeas/eascmd/templates"
)

// What we hand out as examples must be beyond reproach: no fault, no warning,
// and the schema that editors are to use.
func TestDescriptionsWeHandOut(t *testing.T) {
	var descriptions []string
	add := func(dir string) {
		found := 0
		for _, name := range []string{"service.json", "app.json"} {
			files, err := filepath.Glob(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			found += len(files)
			descriptions = append(descriptions, files...)
		}
		if found == 0 {
			t.Errorf("no descriptions in %s", dir)
		}
	}
	add("../examples/*")
	for _, tpl := range templates.List() {
		dir := filepath.Join(t.TempDir(), "scorer")
		if _, err := tpl.Write(dir, templates.Options{}); err != nil {
			t.Fatal(err)
		}
		add(dir)
	}
	for _, path := range descriptions {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		d, err := service.Parse(path, data)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		for _, w := range d.Warnings {
			t.Errorf("%v", w)
		}
		if want := `"$schema": "` + service.SchemaID + `"`; !bytes.Contains(data, []byte(want)) {
			t.Errorf("%s lacks %s", path, want)
		}
	}
}

// The example in Java is the project of `eascmd init java` with another library:
// what builds one builds the other.
func TestJavaProjectsBuildAlike(t *testing.T) {
	plugins := func(path string) map[string]string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var project struct {
			Plugins []struct {
				Name    string `xml:"artifactId"`
				Version string `xml:"version"`
			} `xml:"build>plugins>plugin"`
		}
		if err := xml.Unmarshal(data, &project); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		versions := make(map[string]string)
		for _, p := range project.Plugins {
			if p.Version == "" {
				t.Errorf("%s: %s has no version", path, p.Name)
			}
			versions[p.Name] = p.Version
		}
		return versions
	}
	template, example := plugins("../templates/java/pom.xml"), plugins("../examples/pmml/pom.xml")
	if len(template) < 5 {
		t.Errorf("the template names only %d plugins", len(template))
	}
	if diff := cmp.Diff(template, example); diff != "" {
		t.Errorf("plugins (-template +example):\n%s", diff)
	}
}
