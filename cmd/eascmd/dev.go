package main

import (
	"github.com/spf13/cobra"
)

func newDevCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dev",
		GroupID: groupDeploy,
		Short:   "Run what deploying needs on this machine",
		Long: `Runs on this machine what deploying otherwise needs an account for, to try it and
to test scripts.`,
		Example:     `  eascmd dev control-plane --save-profile local`,
		Annotations: exits(),
		Args:        noArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newControlPlaneCommand(a))
	return cmd
}
