package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/pkg/ui"
)

// app is what all commands share: the terminal and the global flags.
type app struct {
	term   *ui.Terminal
	output ui.Format // -o

	verbose  bool   // -v
	yes      bool   // -y
	noColour bool   // --no-color
	caBundle string // --ca-bundle: a PEM file, or empty

	running bool // the command's own code has begun; see exit
}

// Groups of commands in the help.
const (
	groupDevelop  = "develop"
	groupSettings = "settings"
)

// commands lists all commands, in the order of the help.
func commands() []func(*app) *cobra.Command {
	return []func(*app) *cobra.Command{}
}

// Main runs the program and returns its exit status.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{term: ui.New(stdin, stdout, stderr, os.LookupEnv), output: ui.Table}
	root := newRootCommand(a)
	root.SetArgs(args)
	return a.exit(ctx, root.ExecuteContext(ctx))
}

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "eascmd",
		Short:         "Run, check, pack and deploy processors of PAI-EAS",
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.term.In)
	root.SetOut(a.term.Out)
	root.SetErr(a.term.Err)
	root.AddGroup(
		&cobra.Group{ID: groupDevelop, Title: "Write and run a processor:"},
		&cobra.Group{ID: groupSettings, Title: "Settings and help:"},
	)
	flags := root.PersistentFlags()
	flags.VarP(&a.output, "output", "o", "how results are printed: table, json or yaml")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "say more")
	flags.BoolVarP(&a.yes, "yes", "y", false, "answer yes to every question")
	flags.BoolVar(&a.noColour, "no-color", false, "print without colours")
	flags.StringVar(&a.caBundle, "ca-bundle", "", "trust the certificates in this PEM `file` too")
	for _, newCommand := range commands() {
		root.AddCommand(newCommand(a))
	}
	return root
}

// print writes a result to standard output in the format asked for.
func (a *app) print(result ui.Result) error { return a.term.Print(a.output, result) }
