package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/pkg/ui"
	"github.com/openeas/eascmd/templates"
)

type initOptions struct {
	name  string
	force bool
	list  bool
}

func newInitCommand(a *app) *cobra.Command {
	var opts initOptions
	cmd := &cobra.Command{
		Use:         "init TEMPLATE DIRECTORY",
		GroupID:     groupDevelop,
		Annotations: exits(),
		Short:       "Write a new processor project",
		Long: `Writes a project that builds and runs as it stands: sources, build files, a model,
a service description and a test request. The directory is made where it is
missing. Files that are there already are only replaced with --force.`,
		Example: `  eascmd init cpp ./scorer
  cd ./scorer && make && eascmd test service.json

  eascmd init java ./scorer
  cd ./scorer && mvn package && eascmd test service.json

  eascmd init --list`,
		Args: func(cmd *cobra.Command, args []string) error {
			if opts.list {
				return needArgs()(cmd, args)
			}
			return needArgs("the template", "the directory")(cmd, args)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			switch len(args) {
			case 0:
				var names []string
				for _, t := range templates.List() {
					names = append(names, cobra.CompletionWithDesc(t.Name, t.Summary))
				}
				return names, cobra.ShellCompDirectiveNoFileComp
			case 1:
				return nil, cobra.ShellCompDirectiveFilterDirs
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if opts.list {
				return a.print(templateList(templates.List()))
			}
			return opts.run(a, args[0], args[1])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.name, "name", "", "`name` of the service (default: made from the directory's name)")
	flags.BoolVar(&opts.force, "force", false, "replace files that are there")
	flags.BoolVar(&opts.list, "list", false, "list the templates")
	return cmd
}

func (o initOptions) run(a *app, template, dir string) error {
	t, err := templates.Find(template)
	if err != nil {
		return err
	}
	files, err := t.Write(dir, templates.Options{Name: o.name, Force: o.force})
	if err != nil {
		return err
	}
	if err := a.print(newProject{Template: t.Name, Directory: dir, Files: files}); err != nil {
		return err
	}
	a.term.OK("Wrote %d files to %s", len(files), dir)
	a.term.Info("Next:")
	if filepath.Clean(dir) != "." {
		a.term.Info("  cd %s", shellQuote(dir))
	}
	for _, command := range t.Next {
		a.term.Info("  %s", command)
	}
	return nil
}

// newProject is the result of init.
type newProject struct {
	Template  string   `json:"template"`
	Directory string   `json:"directory"`
	Files     []string `json:"files"`
}

// View lists the files.
func (p newProject) View() ui.View { return ui.Text(strings.Join(p.Files, "\n")) }

// templateList is the result of init --list.
type templateList []templates.Template

// View shows a line a template.
func (l templateList) View() ui.View {
	table := ui.List{Header: []string{"template", "what it is"}}
	for _, t := range l {
		table.Rows = append(table.Rows, []any{t.Name, t.Summary})
	}
	return table
}

// shellQuote quotes a word for a POSIX shell where it needs that.
func shellQuote(word string) string {
	plain := strings.IndexFunc(word, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_./-+:@%", c))
	}) < 0
	if plain && word != "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
