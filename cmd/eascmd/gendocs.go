package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openeas/eascmd/internal/fault"
)

//go:generate go run . gen-docs ../../docs/reference

func newGenDocsCommand(a *app) *cobra.Command {
	var man bool
	cmd := &cobra.Command{
		Use:    "gen-docs DIRECTORY",
		Short:  "Write the command reference",
		Hidden: true,
		Args:   needArgs("the directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			pages := referencePages(cmd.Root())
			if man {
				pages = manPages(cmd.Root())
			}
			return writePages(args[0], pages)
		},
	}
	cmd.Flags().BoolVar(&man, "man", false, "write manual pages for man(1)")
	return cmd
}

// writePages writes files by name and removes what an earlier run wrote for
// commands that are gone.
func writePages(dir string, pages map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fault.New(fault.Failed, "reference: %w", err)
	}
	old, err := filepath.Glob(filepath.Join(dir, "eascmd*"))
	if err != nil {
		return fault.New(fault.Failed, "reference: %w", err)
	}
	for _, path := range old {
		if _, ok := pages[filepath.Base(path)]; ok {
			continue
		}
		if err := os.Remove(path); err != nil {
			return fault.New(fault.Failed, "reference: %w", err)
		}
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), page, 0o644); err != nil {
			return fault.New(fault.Failed, "reference: %w", err)
		}
	}
	return nil
}

// documented lists cmd and the commands below it that are no secret, in the
// order of the help.
func documented(cmd *cobra.Command) []*cobra.Command {
	cmd.InitDefaultHelpFlag()
	all := []*cobra.Command{cmd}
	for _, group := range commandGroups(cmd) {
		for _, child := range group.commands {
			all = append(all, documented(child)...)
		}
	}
	return all
}

func pageName(cmd *cobra.Command, extension string) string {
	return strings.ReplaceAll(cmd.CommandPath(), " ", "-") + extension
}

// referencePages makes a page in Markdown for every command, by file name.
func referencePages(root *cobra.Command) map[string][]byte {
	pages := map[string][]byte{}
	for _, cmd := range documented(root) {
		pages[pageName(cmd, ".md")] = referencePage(cmd)
	}
	return pages
}

func referencePage(cmd *cobra.Command) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- Made by `make docs` from the program; change the command's own text. -->\n\n# %s\n\n", cmd.CommandPath())
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(&b, "%s\n\n```\n%s\n```\n", strings.TrimSpace(text), cmd.UseLine())
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(&b, "\nAlso: `%s`\n", strings.Join(cmd.Aliases, "`, `"))
	}
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\n## Examples\n\n```sh\n%s\n```\n", dedent(cmd.Example))
	}
	for i, group := range commandGroups(cmd) {
		if i == 0 {
			b.WriteString("\n## Commands\n")
		}
		fmt.Fprintf(&b, "\n%s\n\n", group.title)
		for _, c := range group.commands {
			fmt.Fprintf(&b, "- [%s](%s): %s\n", c.CommandPath(), pageName(c, ".md"), c.Short)
		}
	}
	writeFlagTable(&b, "Flags", cmd, cmd.LocalFlags())
	if cmd.HasParent() && cmd.HasAvailableInheritedFlags() {
		b.WriteString("\nThe [global flags](eascmd.md#flags) are valid too, before or after the command.\n")
	}
	if statuses := exitStatuses(cmd); len(statuses) > 0 {
		b.WriteString("\n## Exit status\n\n| status | meaning |\n|---:|---|\n")
		for _, s := range statuses {
			fmt.Fprintf(&b, "| %d | %s |\n", s.code, s.meaning)
		}
	}
	return b.Bytes()
}

func writeFlagTable(b *bytes.Buffer, title string, cmd *cobra.Command, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	cell := strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ").Replace
	fmt.Fprintf(b, "\n## %s\n\n| flag | meaning | variable |\n|---|---|---|\n", title)
	flags.SortFlags = false
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden {
			return
		}
		name := "--" + flag.Name
		if flag.Shorthand != "" {
			name = "-" + flag.Shorthand + ", " + name
		}
		value, usage := pflag.UnquoteUsage(flag)
		if value != "" {
			name += " " + value
		}
		variables := variableNames(cmd, flag)
		if len(variables) > 0 {
			usage = strings.TrimSuffix(usage, variableSuffix(variables))
			variables = []string{"`" + strings.Join(variables, "`, `") + "`"}
		}
		if def := flag.DefValue; !slices.Contains([]string{"", "0", "false", "[]", "0s"}, def) {
			usage += " (default " + def + ")"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", cell(name), cell(usage), strings.Join(variables, ""))
	})
}

// dedent takes the two spaces off that examples have for the help.
func dedent(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}

// manPages makes a manual page for every command, by file name.
func manPages(root *cobra.Command) map[string][]byte {
	pages := map[string][]byte{}
	for _, cmd := range documented(root) {
		pages[pageName(cmd, ".1")] = manPage(cmd)
	}
	return pages
}

func manPage(cmd *cobra.Command) []byte {
	var b bytes.Buffer
	name := strings.TrimSuffix(pageName(cmd, ""), "")
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"eascmd\"\n", strings.ToUpper(roff(name)))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(strings.ToLower(cmd.Short[:1])+cmd.Short[1:]))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.nf\n%s\n.fi\n", roff(cmd.UseLine()))
	if cmd.Long != "" {
		fmt.Fprintf(&b, ".SH DESCRIPTION\n.nf\n%s\n.fi\n", roff(strings.TrimSpace(cmd.Long)))
	}
	section := func(title string, flags *pflag.FlagSet) {
		if !flags.HasAvailableFlags() {
			return
		}
		fmt.Fprintf(&b, ".SH %s\n", title)
		flags.SortFlags = false
		flags.VisitAll(func(flag *pflag.Flag) {
			if flag.Hidden {
				return
			}
			names := "--" + flag.Name
			if flag.Shorthand != "" {
				names = "-" + flag.Shorthand + ", " + names
			}
			value, usage := pflag.UnquoteUsage(flag)
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR \\fI%s\\fR\n%s\n", roff(names), roff(value), roff(usage))
		})
	}
	section("OPTIONS", cmd.LocalFlags())
	section("GLOBAL OPTIONS", cmd.InheritedFlags())
	if statuses := exitStatuses(cmd); len(statuses) > 0 {
		b.WriteString(".SH EXIT STATUS\n")
		for _, s := range statuses {
			fmt.Fprintf(&b, ".TP\n%d\n%s\n", s.code, roff(s.meaning))
		}
	}
	if cmd.HasExample() {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(dedent(cmd.Example)))
	}
	var also []string
	if cmd.HasParent() {
		also = append(also, "\\fB"+roff(pageName(cmd.Parent(), ""))+"\\fR(1)")
	}
	for _, group := range commandGroups(cmd) {
		for _, c := range group.commands {
			also = append(also, "\\fB"+roff(pageName(c, ""))+"\\fR(1)")
		}
	}
	if len(also) > 0 {
		fmt.Fprintf(&b, ".SH SEE ALSO\n%s\n", strings.Join(also, ", "))
	}
	return b.Bytes()
}

// roff escapes text for man(1): backslashes, hyphens, and lines that would
// begin with a control character.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
