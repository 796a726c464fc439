package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"
	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/deploy/follow"
	"github.com/openeas/eascmd/pkg/doctor"
)

// outputSchemaID identifies the JSON Schema of results and is its address.
const outputSchemaID = "https://raw.githubusercontent.com/openeas/eascmd/main/docs/reference/output.schema.json"

// outputTypes lists what commands print with -o json, by the command. One that
// prints something else with another flag has that as a second value, and so has
// one that tells its progress on standard error.
func outputTypes() map[string][]any {
	return map[string][]any{
		"apply":             {deployed{}},
		"autoscale":         {scalerResult{}},
		"autoscale rm":      {actedOn{}},
		"create":            {deployed{}},
		"delete":            {actedOn{}},
		"deleteworkers":     {deletedInstances{}},
		"desc":              {serviceDetails{}},
		"dev control-plane": {runningControlPlane{}},
		"diff":              {differences{}},
		"doctor":            {doctorReport{}},
		"events":            {eventList{}, deploy.Event{}},
		"image build":       {madeImage{}},
		"invoke":            {invokeResult{}},
		"list":              {serviceList{}},
		"log":               {logLines{}, follow.Line{}},
		"modify":            {deployed{}},
		"pysdk init":        {pysdkProject{}},
		"pysdk pack":        {packResult{}, packExplained{}, transferEvent{}},
		"pysdk wheel":       {wheelResult{}},
		"release":           {released{}},
		"restart":           {actedOn{}},
		"scale":             {actedOn{}},
		"showworkers":       {instanceList{}},
		"start":             {actedOn{}},
		"stop":              {actedOn{}},
		"version":           {actedOn{}, versionInfo{}},
		"upload":            {uploadResult{}, transferEvent{}},
		"versions":          {versionList{}},
	}
}

func newSchemaOutputCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "output",
		Short: "Print the JSON Schema of what commands print with -o json",
		Long: `Prints the JSON Schema of what the commands that deploy, those that make packages
and images, and doctor print with -o json. Each has a definition of its name:
"#/$defs/desc" is what 'eascmd desc -o json' prints, and "#/$defs/autoscale-rm"
belongs to 'eascmd autoscale rm'.

It is a contract: within a major version of eascmd fields are added, and none is
taken away, renamed or given another type. Times are RFC 3339 in UTC; a time, a
text or a list that there is nothing to say of is left out.`,
		Example: `  eascmd schema output > output.schema.json
  eascmd schema output | jq '."$defs".desc'`,
		Annotations: exits(),
		Args:        noArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := outputSchema()
			if err != nil {
				return err
			}
			return a.print(jsonSchema{text})
		},
	}
}

// outputSchema returns the JSON Schema (2020-12) of the results, made from the
// Go types.
func outputSchema() ([]byte, error) {
	types := map[string]reflect.Type{} // by their name in the schema
	doctorPackage := reflect.TypeFor[doctor.State]().PkgPath()
	var clash error
	r := jsonschema.Reflector{
		Anonymous: true,
		// Programs that read results have to live with fields that are added.
		AllowAdditionalProperties: true,
		Namer: func(t reflect.Type) string {
			if t.Name() == "" {
				return "" // written out where it is
			}
			name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
			if t.PkgPath() == doctorPackage { // it has words of its own, such as State
				name = "Doctor" + name
			}
			if other, taken := types[name]; taken && other != t {
				clash = fmt.Errorf("JSON Schema of results: %v and %v have the same name", other, t)
			}
			types[name] = t
			return name
		},
	}
	root := &jsonschema.Schema{
		Version:     jsonschema.Version,
		ID:          outputSchemaID,
		Title:       "What eascmd prints with -o json",
		Definitions: jsonschema.Definitions{},
	}
	all := outputTypes()
	for _, command := range slices.Sorted(maps.Keys(all)) {
		var forms []*jsonschema.Schema
		for _, value := range all[command] {
			reflected := r.Reflect(value)
			maps.Copy(root.Definitions, reflected.Definitions)
			forms = append(forms, &jsonschema.Schema{Ref: reflected.Ref})
		}
		schema := forms[0]
		if len(forms) > 1 {
			schema = &jsonschema.Schema{AnyOf: forms}
		}
		schema.Description = "eascmd " + command
		name := strings.ReplaceAll(command, " ", "-")
		root.Definitions[name] = schema
		root.AnyOf = append(root.AnyOf, &jsonschema.Schema{Ref: "#/$defs/" + name})
	}
	if clash != nil {
		return nil, clash
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("JSON Schema of results: %w", err)
	}
	return out.Bytes(), nil
}
