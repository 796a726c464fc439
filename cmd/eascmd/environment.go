package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/ui"
)

// configKey returns the key of a global flag that is a setting, and "" for others. Package
// config reads their environment variables itself, because it must know where
// a setting comes from.
func configKey(flag string) string {
	switch flag {
	case "access-key-id":
		return config.AccessKeyID
	case "access-key-secret":
		return config.AccessKeySecret
	case "sts-token":
		return config.STSToken
	case "endpoint":
		return config.Endpoint
	}
	return ""
}

// environmentName returns the variable that stands for a flag of cmd:
// EASCMD_OUTPUT for the global --output, EASCMD_TEST_PORT for --port of
// `eascmd test`. It is empty for flags that have none: those that explain the
// program, and what only the program itself uses.
func environmentName(cmd *cobra.Command, flag *pflag.Flag) string {
	if flag.Name == "help" || flag.Name == "version" || flag.Hidden {
		return ""
	}
	owner := cmd
	for c := cmd; c != nil; c = c.Parent() {
		if c.PersistentFlags().Lookup(flag.Name) == flag {
			owner = c
		}
	}
	if owner.Hidden {
		return ""
	}
	words := []string{flag.Name}
	for ; owner.HasParent(); owner = owner.Parent() {
		words = append([]string{owner.Name()}, words...)
	}
	return "EASCMD_" + strings.ToUpper(strings.NewReplacer("-", "_").Replace(strings.Join(words, "_")))
}

// applyEnvironment gives every flag that the command line leaves out the value
// of its variable. The flag then counts as changed.
func (a *app) applyEnvironment(cmd *cobra.Command) error {
	var first error
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if flag.Changed || first != nil || configKey(flag.Name) != "" {
			return
		}
		name := environmentName(cmd, flag)
		if name == "" {
			return
		}
		value := os.Getenv(name)
		if value == "" {
			return
		}
		if err := setFlag(flag, value); err != nil {
			first = fault.New(fault.Usage, "environment variable %s=%q: %w", name, value, badValue(flag, value, err)).
				WithHint("it stands for --%s; see `%s --help`", flag.Name, cmd.CommandPath())
			return
		}
		flag.Changed = true
		a.fromVariable[flag.Name] = name
	})
	return first
}

// setFlag sets a flag. One that takes a value each time it is given takes the
// lines of the variable.
func setFlag(flag *pflag.Flag, value string) error {
	if list, ok := flag.Value.(pflag.SliceValue); ok && flag.Value.Type() == "stringArray" {
		return list.Replace(strings.Split(strings.TrimSuffix(value, "\n"), "\n"))
	}
	return flag.Value.Set(value)
}

// formatOf finds the output format in a command line that could not be parsed.
func formatOf(args []string) ui.Format {
	format := ui.Table
	// What is no format leaves it as it is.
	_ = format.Set(os.Getenv("EASCMD_OUTPUT"))
	for i, arg := range args {
		if arg == "--" {
			break
		}
		value, ok := strings.CutPrefix(arg, "--output=")
		if !ok {
			value, ok = strings.CutPrefix(arg, "-o")
			value = strings.TrimPrefix(value, "=")
		}
		if arg == "-o" || arg == "--output" {
			ok = i+1 < len(args)
			if ok {
				value = args[i+1]
			}
		}
		if ok {
			_ = format.Set(value)
		}
	}
	return format
}
