package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
)

func newHelpCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "help [command]",
		Short:       "Explain a command",
		GroupID:     groupSettings,
		Annotations: exits(),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			parent, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, c := range parent.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknownCommand(topic, rest[0])
			}
			return topic.Help()
		},
	}
}

// help prints the help of a command on standard output.
func (a *app) help(cmd *cobra.Command, _ []string) {
	cmd.InitDefaultHelpFlag()
	width := 100
	if a.term.OutTTY {
		width = max(a.term.Width(width), 60)
	}
	writeHelp(a.term.Out, cmd, width)
}

func writeHelp(w io.Writer, cmd *cobra.Command, width int) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n  %s\n", strings.TrimSpace(text), cmd.UseLine())
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(w, "\nAliases:\n  %s\n", strings.Join(cmd.Aliases, ", "))
	}
	if cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", strings.Trim(cmd.Example, "\n"))
	}
	for _, group := range commandGroups(cmd) {
		fmt.Fprintf(w, "\n%s\n", group.title)
		for _, c := range group.commands {
			fmt.Fprintf(w, "  %-*s  %s\n", cmd.Commands()[0].NamePadding(), c.Name(), c.Short)
		}
	}
	if cmd.HasAvailableLocalFlags() {
		fmt.Fprintf(w, "\nFlags:\n%s", flagUsages(cmd.LocalFlags(), width))
	}
	if cmd.HasAvailableInheritedFlags() {
		fmt.Fprintf(w, "\nGlobal flags:\n%s", flagUsages(cmd.InheritedFlags(), width))
	}
	if statuses := exitStatuses(cmd); len(statuses) > 0 {
		fmt.Fprintf(w, "\nExit status:\n")
		for _, s := range statuses {
			fmt.Fprintf(w, "  %-3d  %s\n", s.code, s.meaning)
		}
	}
	if len(commandGroups(cmd)) > 0 {
		fmt.Fprintf(w, "\n`%s COMMAND --help` explains a command.\n", cmd.CommandPath())
	}
}

func flagUsages(flags *pflag.FlagSet, width int) string {
	flags.SortFlags = false
	return flags.FlagUsagesWrapped(width)
}

type commandGroup struct {
	title    string
	commands []*cobra.Command
}

// commandGroups returns the commands below cmd as the help shows them.
func commandGroups(cmd *cobra.Command) []commandGroup {
	var groups []commandGroup
	for _, g := range append(slices.Clone(cmd.Groups()), &cobra.Group{Title: "Commands:"}) {
		group := commandGroup{title: g.Title}
		for _, c := range cmd.Commands() {
			// Cobra counts its help command among the hidden ones.
			if c.GroupID == g.ID && (c.IsAvailableCommand() || c.Name() == "help") {
				group.commands = append(group.commands, c)
			}
		}
		if len(group.commands) > 0 {
			groups = append(groups, group)
		}
	}
	return groups
}

// finish does to every command what all have in common, so that no command
// has to remember it.
func (a *app) finish(cmd *cobra.Command) {
	cmd.DisableFlagsInUseLine = true
	cmd.Flags().SortFlags = false
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.running = true
			return run(cmd, args)
		}
	}
	addNames := func(flag *pflag.Flag) {
		if names := variableNames(cmd, flag); len(names) > 0 {
			flag.Usage += variableSuffix(names)
		}
	}
	cmd.PersistentFlags().VisitAll(addNames)
	cmd.LocalNonPersistentFlags().VisitAll(addNames)
	for _, child := range cmd.Commands() {
		a.finish(child)
	}
}

// variableSuffix is how the help shows a flag's variables.
func variableSuffix(names []string) string { return " [$" + strings.Join(names, ", $") + "]" }

// variableNames lists the environment variables that stand for a flag.
func variableNames(cmd *cobra.Command, flag *pflag.Flag) []string {
	if key := configKey(flag.Name); key != "" && !cmd.HasParent() {
		return config.EnvNames(key)
	}
	if name := environmentName(cmd, flag); name != "" {
		return []string{name}
	}
	return nil
}

// exitAnnotation holds the exit statuses of a command.
const exitAnnotation = "exit statuses"

// exits says how a command may fail, beyond Failed and Usage, which every one
// may. The help and the reference list it.
func exits(kinds ...fault.Kind) map[string]string {
	var codes []string
	for _, kind := range append([]fault.Kind{fault.Failed, fault.Usage}, kinds...) {
		codes = append(codes, strconv.Itoa(int(kind)))
	}
	return map[string]string{exitAnnotation: strings.Join(codes, " ")}
}

type exitStatus struct {
	code    int
	meaning string
}

// exitStatuses lists the exit statuses of a command, in order.
func exitStatuses(cmd *cobra.Command) []exitStatus {
	if !cmd.Runnable() {
		return nil
	}
	codes := cmd.Annotations[exitAnnotation]
	if codes == "" {
		codes = exits()[exitAnnotation]
	}
	statuses := []exitStatus{{0, "done"}}
	for word := range strings.FieldsSeq(codes) {
		code, err := strconv.Atoi(word)
		if err != nil {
			continue // only exits writes the annotation
		}
		statuses = append(statuses, exitStatus{code, kindMeaning(fault.Kind(code))})
	}
	slices.SortFunc(statuses, func(a, b exitStatus) int { return a.code - b.code })
	return slices.Compact(statuses)
}
