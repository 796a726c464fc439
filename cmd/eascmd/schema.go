package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/pkg/service"
	"github.com/openeas/eascmd/pkg/ui"
)

func newSchemaCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "schema",
		GroupID: groupDevelop,
		Short:   "Print the JSON Schema of a service description",
		Long: `Prints the JSON Schema of a service description: every field with its type,
default and meaning. Editors complete and check a description that names the
schema, or a file that holds it, under "$schema".

'eascmd schema output' prints that of what commands print with -o json.`,
		Example:     `  eascmd schema > service.schema.json   # then "$schema": "./service.schema.json"`,
		Args:        noArgs,
		Annotations: exits(),
		RunE: func(*cobra.Command, []string) error {
			text, err := service.JSONSchema()
			if err != nil {
				return err
			}
			return a.print(jsonSchema{text})
		},
	}
	cmd.AddCommand(newSchemaOutputCommand(a))
	return cmd
}

// jsonSchema is the result of schema; it is JSON in every format but YAML.
type jsonSchema struct{ json.RawMessage }

// View is the schema itself.
func (s jsonSchema) View() ui.View { return ui.Text(s.RawMessage) }
