package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/serving/wire"
	"github.com/openeas/eascmd/pkg/ui"
)

// Set by the linker (-X main.buildVersion=…); empty in a plain `go build`,
// where the build information of the Go toolchain is used.
var (
	buildVersion string
	buildCommit  string
	buildDate    string
)

// versionInfo is the result of `eascmd version`.
type versionInfo struct {
	Version        string   `json:"version"`
	Commit         string   `json:"commit,omitempty"`
	Date           string   `json:"date,omitempty"` // RFC 3339
	Go             string   `json:"go"`
	Platform       string   `json:"platform"`
	WorkerProtocol protocol `json:"workerProtocol"`
}

// protocol is the range of versions of the worker protocol that are spoken.
type protocol struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

func (p protocol) String() string {
	if p.Min == p.Max {
		return fmt.Sprint(p.Max)
	}
	return fmt.Sprintf("%d to %d", p.Min, p.Max)
}

func (v versionInfo) View() ui.View {
	or := func(text string) string {
		if text == "" {
			return "unknown"
		}
		return text
	}
	return ui.Text(fmt.Sprintf(`eascmd %s
commit:          %s
date:            %s
go:              %s
platform:        %s
worker protocol: %s`, v.Version, or(v.Commit), or(v.Date), v.Go, v.Platform, v.WorkerProtocol))
}

// buildInfo returns what the Go toolchain wrote into the program.
func buildInfo() *debug.BuildInfo {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return &debug.BuildInfo{}
	}
	return info
}

// versionOf completes what the linker set with what the toolchain knows.
func versionOf(info *debug.BuildInfo) versionInfo {
	v := versionInfo{
		Version:        buildVersion,
		Commit:         buildCommit,
		Date:           buildDate,
		Go:             runtime.Version(),
		Platform:       runtime.GOOS + "/" + runtime.GOARCH,
		WorkerProtocol: protocol{wire.MinVersion, wire.MaxVersion},
	}
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	if v.Version == "" || v.Version == "(devel)" {
		v.Version = "devel"
	}
	modified := false
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && v.Commit == "":
			v.Commit = s.Value
		case s.Key == "vcs.time" && v.Date == "":
			v.Date = s.Value
		case s.Key == "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified && buildCommit == "" && v.Commit != "" {
		v.Commit += " with changes"
	}
	return v
}

func newVersionCommand(a *app) *cobra.Command {
	var o waitOptions
	cmd := &cobra.Command{
		Use:   "version [SERVICE VERSION]",
		Short: "Print the version of this program, or switch a service to one of its versions",
		Long: `Without arguments, prints the version of this program.

With the name of a service and a number, makes the service run that version of
itself, its latest or an earlier one, and waits until it does. ` + "`eascmd versions`" + `
lists the versions of a service.`,
		Example: `  eascmd version
  eascmd version -o json
  eascmd version echo 3      # service echo runs its version 3`,
		GroupID:     groupSettings,
		Annotations: exits(fault.Description, fault.Processor, fault.Missing, fault.Remote, fault.Interrupted),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return needArgs("the name of the service", "the number of the version")(cmd, args)
		},
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.print(versionOf(buildInfo()))
			}
			if err := o.check(cmd.Flags().Changed); err != nil {
				return err
			}
			return switchVersion(cmd.Context(), a, o, args[0], args[1])
		},
	}
	cmd.Flags().SortFlags = false
	o.addFlags(cmd.Flags())
	return cmd
}

// switchVersion makes a service run another version of itself.
func switchVersion(ctx context.Context, a *app, o waitOptions, name, number string) error {
	version, err := strconv.Atoi(number)
	if err != nil || version < 1 {
		return fault.New(fault.Usage, "%q is no version: a whole number from 1 on is needed", number).
			WithHint("`eascmd versions %s` lists them", name)
	}
	target, err := a.target(ctx)
	if err != nil {
		return err
	}
	w := target.Where()
	a.announce(w)
	before, err := deploy.Look(ctx, target, name)
	if err != nil {
		return err
	}
	if latest := before.Service.LatestVersion; latest > 0 && version > latest {
		return fault.New(fault.Remote, "service %s has no version %d: the latest is %d", name, version, latest).
			WithHint("`eascmd versions %s` lists them", name)
	}
	result := &actedOn{Service: name, Region: w.Region}
	if before.Service.CurrentVersion == version && before.Service.Status == deploy.Running {
		result.Status, result.Version = before.Service.Status, version
		a.term.OK("Service [%s] in region [%s] runs version %d already", name, place(w), version)
		return a.print(result)
	}
	if result.Reply, err = target.SwitchVersion(ctx, name, version); err != nil {
		return err
	}
	message := fmt.Sprintf("is switching from version %d to version %d", before.Service.CurrentVersion, version)
	return a.finishAct(ctx, target, o, result, deploy.WaitOptions{Before: before, Version: version}, message, nil)
}
