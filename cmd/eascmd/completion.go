package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func newCompletionCommand(a *app) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a script that completes commands in a shell",
		Long: `Prints a script for a shell. With it the Tab key completes commands, flags and
their values: profiles, service descriptions, engines.`,
		Example: `  source <(eascmd completion bash)                        # this shell only
  eascmd completion bash > /etc/bash_completion.d/eascmd  # every bash
  eascmd completion zsh > "${fpath[1]}/_eascmd"           # every zsh
  eascmd completion fish > ~/.config/fish/completions/eascmd.fish
  eascmd completion powershell >> $PROFILE`,
		GroupID:           groupSettings,
		Annotations:       exits(),
		Args:              needArgs("the name of the shell"),
		ValidArgs:         shells,
		ValidArgsFunction: cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.term.Out, true)
			case "zsh":
				return root.GenZshCompletion(a.term.Out)
			case "fish":
				return root.GenFishCompletion(a.term.Out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.term.Out)
			default:
				return unknownShell(args[0], shells)
			}
		},
	}
}

// completeWords completes one of some words, which are asked for only when a
// shell wants them.
func completeWords(words func() []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		var matches []string
		for _, word := range words() {
			if strings.HasPrefix(word, prefix) {
				matches = append(matches, word)
			}
		}
		return matches, cobra.ShellCompDirectiveNoFileComp
	}
}
