package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pysdk"
	"github.com/openeas/eascmd/pkg/ui"
)

func newPysdkWheelCommand(a *app) *cobra.Command {
	var out placeOrFormat
	cmd := &cobra.Command{
		Use:         "wheel",
		Annotations: exits(),
		Short:       "Write the package allspark as a wheel for pip",
		Long: `Writes the package allspark that is built into this program as a wheel, which pip
installs without network. The same version gives the same bytes.`,
		Example: `  eascmd pysdk wheel
  eascmd pysdk wheel -o dist
  python3 -m pip install --no-index "$(eascmd pysdk wheel -o dist)"`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			sdk, err := pysdk.Bundled()
			if err != nil {
				return err
			}
			dir := out.place
			if dir == "" {
				dir = "."
			}
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return fault.New(fault.Failed, "write the wheel: %w", err)
			}
			path, err := sdk.WriteWheel(dir)
			if err != nil {
				return err
			}
			return a.print(wheelResult{Path: path, Version: sdk.Version})
		},
	}
	a.addPlaceFlag(cmd, &out, "directory to write to, made where it is missing (default: the current one)")
	return cmd
}

// wheelResult is the result of pysdk wheel.
type wheelResult struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

// View is the path.
func (r wheelResult) View() ui.View { return ui.Text(r.Path) }
