package test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

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
