package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/ui"
)

func newPysdkCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "pysdk",
		GroupID: groupDevelop,
		Short:   "Make and pack processors in Python",
		Long: `Makes projects of processors in Python, each with an environment of its own, and
packs them so that they run on a machine that has no Python.`,
		Example: `  eascmd pysdk init ./demo
  eascmd test ./demo/app.json
  ./demo/ENV/bin/python -m pip install numpy`,
		Annotations: exits(),
		Args:        noArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPysdkInitCommand(a), newPysdkPackCommand(a), newPysdkWheelCommand(a))
	return cmd
}

// placeOrFormat is the flag -o of commands that write a file: where it is
// written, or, for table, json and yaml, how the result is printed, as with the
// global flag of this name. It may be given once for each.
type placeOrFormat struct {
	place  string
	format *ui.Format
	given  bool // a format
}

// addPlaceFlag adds the flag to a command in place of the global one, whose
// variable goes on to hold for the format.
func (a *app) addPlaceFlag(cmd *cobra.Command, p *placeOrFormat, usage string) {
	p.format = &a.output
	cmd.Flags().VarP(p, "output", "o", usage+"; table, json or yaml say how the result is printed (./json is a place)")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		value := os.Getenv("EASCMD_OUTPUT")
		if value == "" || p.given {
			return nil
		}
		if err := a.output.Set(value); err != nil {
			return fault.New(fault.Usage, "environment variable EASCMD_OUTPUT=%q: %w", value, err).
				WithHint("see `eascmd --help`")
		}
		return nil
	}
}

// Set takes a format or a place.
func (p *placeOrFormat) Set(value string) error {
	var format ui.Format
	if format.Set(value) == nil {
		*p.format, p.given = format, true
		return nil
	}
	p.place = value
	return nil
}

// String is the place.
func (p *placeOrFormat) String() string { return p.place }

// Type is the word for the value in the help.
func (p *placeOrFormat) Type() string { return "path" }
