package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/ui"
)

// exit reports err, if there is one, and returns the exit status. It is the
// only place where errors are printed.
func (a *app) exit(ctx context.Context, err error) int {
	if context.Cause(ctx) == errUnread {
		return statusUnread // there is nobody to tell anything
	}
	if err == nil {
		return 0
	}
	kind, message, hint := fault.KindOf(err), ui.Printable(err.Error()), ui.Printable(fault.HintOf(err))
	if ctx.Err() != nil && (kind == fault.Interrupted || errors.Is(err, context.Canceled)) {
		kind, message, hint = fault.Interrupted, "interrupted", ""
	}
	if a.output == ui.JSON {
		a.printJSONError(kind, message, hint)
		return int(kind)
	}
	a.term.Error("eascmd", message, hint)
	return int(kind)
}

func (a *app) printJSONError(kind fault.Kind, message, hint string) {
	type body struct {
		Kind    string `json:"kind"`
		Exit    int    `json:"exit"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
	}
	e := json.NewEncoder(a.term.Err)
	e.SetEscapeHTML(false)
	// There is nowhere left to report a failure of standard error.
	_ = e.Encode(map[string]body{"error": {kindName(kind), int(kind), message, hint}})
}

// usageError gives an error from before the command's own code the kind that
// it must be of, and a way out.
func usageError(cmd *cobra.Command, err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	return fault.New(fault.Usage, "%w", err).WithHint("usage: %s; see `%s --help`", cmd.UseLine(), cmd.CommandPath())
}

// flagError explains a wrong flag in one sentence and names one that is close.
func flagError(cmd *cobra.Command, err error) error {
	if words := cmd.Flags().Args(); len(words) > 0 && cmd.HasAvailableSubCommands() {
		// The flag belongs to the command that does not exist.
		return unknownCommand(cmd, words[0])
	}
	see := fmt.Sprintf("see `%s --help`", cmd.CommandPath())
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedShortnames() == "" {
		if close := closeFlags(cmd, unknown.GetSpecifiedName()); len(close) > 0 {
			see = "did you mean " + strings.Join(close, " or ") + "? " + see
		}
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && strings.Trim(unknown.GetSpecifiedShortnames(), "0123456789") == "" && unknown.GetSpecifiedShortnames() != "" {
		return fault.New(fault.Usage, "-%s: a number cannot be negative here", unknown.GetSpecifiedShortnames()).WithHint("%s", see)
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		flag := invalid.GetFlag()
		return fault.New(fault.Usage, "--%s %s: %w", flag.Name, invalid.GetValue(), badValue(flag, invalid.GetValue(), invalid.Unwrap())).WithHint("%s", see)
	}
	return fault.New(fault.Usage, "%w", err).WithHint("%s", see)
}

// badValue says in our words what is wrong with a flag's value; what a flag of
// ours says about its value are such words already.
func badValue(flag *pflag.Flag, value string, err error) error {
	_, isNumber := errors.AsType[*strconv.NumError](err)
	switch kind := flag.Value.Type(); {
	case kind == "duration":
		if _, err := strconv.ParseFloat(value, 64); err == nil {
			return fmt.Errorf("a time has a unit: write %ss", value)
		}
		return errors.New("a time is a number with a unit, such as 500ms, 30s or 5m")
	case kind == "bool":
		return errors.New("write true or false")
	case isNumber && errors.Is(err, strconv.ErrRange):
		return errors.New("the number is too large or too small")
	case isNumber:
		return errors.New("a whole number is needed")
	}
	return err
}

// closeFlags lists the flags whose names are near to name.
func closeFlags(cmd *cobra.Command, name string) []string {
	// A command's search for near names serves for flags too.
	names := &cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names.AddCommand(&cobra.Command{Use: flag.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	close := names.SuggestionsFor(name)
	for i := range close {
		close[i] = "--" + close[i]
	}
	return close
}

func unknownCommand(parent *cobra.Command, name string) error {
	err := fault.New(fault.Usage, "there is no command %q", strings.TrimPrefix(parent.CommandPath()+" "+name, "eascmd "))
	parent.SuggestionsMinimumDistance = 2
	if close := parent.SuggestionsFor(name); len(close) > 0 {
		return err.WithHint("did you mean `%s %s`?", parent.CommandPath(), strings.Join(close, "`, `"+parent.CommandPath()+" "))
	}
	return err.WithHint("`%s --help` lists the commands", parent.CommandPath())
}

// noArgs refuses arguments; those of a command that has commands below it are
// taken for the name of one.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasAvailableSubCommands():
		return unknownCommand(cmd, args[0])
	default:
		return fault.New(fault.Usage, "`%s` takes no arguments, but there is %q", cmd.CommandPath(), args[0]).
			WithHint("see `%s --help`", cmd.CommandPath())
	}
}

// needArgs accepts exactly the named arguments.
func needArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		hint := fmt.Sprintf("usage: %s; see `%s --help`", cmd.UseLine(), cmd.CommandPath())
		switch {
		case len(args) < len(names):
			return fault.New(fault.Usage, "%s is missing", names[len(args)]).WithHint("%s", hint)
		case len(args) > len(names):
			return fault.New(fault.Usage, "there is an argument too many: %q", args[len(names)]).WithHint("%s", hint)
		}
		return nil
	}
}

// kinds lists all kinds of failure with the word for it in JSON and what its
// exit status means.
func kinds() []kindText {
	return []kindText{
		{fault.Failed, "failed", "failed"},
		{fault.Usage, "usage", "wrong usage"},
		{fault.Description, "description", "the service description or the configuration is wrong"},
		{fault.Processor, "processor", "the processor failed to build, load or stay up"},
		{fault.Answer, "answer", "a request or case did not get the answer asked for"},
		{fault.Missing, "missing", "something needed is missing here (Docker, GPU, compiler, network)"},
		{fault.Remote, "remote", "the remote side refused"},
		{fault.Interrupted, "interrupted", "interrupted"},
	}
}

type kindText struct {
	kind    fault.Kind
	name    string
	meaning string
}

func textOf(kind fault.Kind) kindText {
	all := kinds()
	for _, k := range all {
		if k.kind == kind {
			return k
		}
	}
	return all[0]
}

func kindName(kind fault.Kind) string    { return textOf(kind).name }
func kindMeaning(kind fault.Kind) string { return textOf(kind).meaning }

// allKinds lists the kinds for the help of the program as a whole.
func allKinds() []fault.Kind {
	var all []fault.Kind
	for _, k := range kinds() {
		all = append(all, k.kind)
	}
	return all
}

func unknownShell(name string, shells []string) error {
	return fault.New(fault.Usage, "there is no completion for %q", name).
		WithHint("the shells are %s", strings.Join(shells, ", "))
}
