package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spf13/cobra"
)

const outputSchemaFile = "../../docs/reference/output.schema.json"

func TestOutputSchema(t *testing.T) {
	want, err := outputSchema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(outputSchemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(outputSchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(have)); diff != "" {
		t.Errorf("run `go test ./cmd/eascmd -run TestOutputSchema -update`; -want +have:\n%s", diff)
	}
	emptyHome(t)
	if got := runMain(t, "", "schema", "output"); got.status != 0 || got.stdout != string(want) {
		t.Errorf("eascmd schema output: status %d, %s%.80s", got.status, got.stderr, got.stdout)
	}
}

// compiled returns the schema of a command's result.
func compiled(t *testing.T, command string) *jsonschema.Schema {
	t.Helper()
	text, err := outputSchema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(outputSchemaID, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(outputSchemaID + "#/$defs/" + strings.ReplaceAll(command, " ", "-"))
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// follows checks that a command's JSON is what the schema says, and that every
// field of it is documented there.
func follows(t *testing.T, command, text string) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	for d.More() { // with -f there are several
		var value any
		if err := d.Decode(&value); err != nil {
			t.Fatalf("%s: %v in\n%s", command, err, text)
		}
		if err := compiled(t, command).Validate(value); err != nil {
			t.Errorf("%s: %v\n%s", command, err, text)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	for command, text := range map[string]string{
		"list":     `{"requestId":"r"}`,
		"desc":     `{"name":1}`,
		"versions": `{"requestId":"r","service":"s","current":"1","latest":1,"versions":[]}`,
		"log":      `{"lines":"x"}`,
	} {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled(t, command).Validate(value); err == nil {
			t.Errorf("%s: %s is taken", command, text)
		}
	}
}

// Every command that deploys, or makes a package or an image, says in the schema
// what it prints.
func TestEveryResultHasASchema(t *testing.T) {
	root := newRootCommand(newApp(nil, &bytes.Buffer{}, &bytes.Buffer{}))
	var missing []string
	known := outputTypes()
	delete(known, "version") // it is among the settings
	var walk func(*cobra.Command, string, bool)
	walk = func(cmd *cobra.Command, prefix string, needed bool) {
		name := strings.TrimSpace(prefix + " " + cmd.Name())
		_, has := known[name]
		delete(known, name)
		if needed && !has && !cmd.HasSubCommands() && !cmd.Hidden {
			missing = append(missing, name)
		}
		for _, child := range cmd.Commands() {
			walk(child, name, needed)
		}
	}
	for _, cmd := range root.Commands() {
		walk(cmd, "", cmd.GroupID == groupDeploy || cmd.Name() == "pysdk" || cmd.Name() == "image")
	}
	if len(missing) > 0 {
		t.Errorf("add them to outputTypes: %q", missing)
	}
	for name := range known {
		t.Errorf("there is no command %q", name)
	}
}

// The expected output of all tests, whoever wrote it, follows the schema.
func TestGoldenJSONFollowsTheSchema(t *testing.T) {
	checked := map[string]bool{}
	err := filepath.WalkDir("testdata", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" {
			return err
		}
		command := commandOf(strings.TrimSuffix(filepath.Base(path), ".json"))
		if command == "" {
			t.Errorf("%s: its name begins with no command's", path)
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		// Where times were replaced there is one that can be read.
		follows(t, command, strings.ReplaceAll(string(text), `"TIME"`, `"2026-01-02T03:04:05Z"`))
		checked[command] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for command := range outputTypes() {
		if !checked[command] {
			t.Errorf("%s: no test has its JSON as it is expected", command)
		}
	}
}

// commandOf returns the command that a golden file is named after: the longest
// that its name begins with.
func commandOf(name string) string {
	best := ""
	for command := range outputTypes() {
		words := strings.ReplaceAll(command, " ", "-")
		if (name == words || strings.HasPrefix(name, words+"-")) && len(command) > len(best) {
			best = command
		}
	}
	return best
}

// A Go type has one name in the schema; two types never share one.
func TestSchemaNames(t *testing.T) {
	for command, values := range outputTypes() {
		for _, value := range values {
			if reflect.TypeOf(value).Kind() != reflect.Struct {
				t.Errorf("%s: %T is no object, so nothing can be added to it", command, value)
			}
		}
	}
}
