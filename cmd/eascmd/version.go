package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
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
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Example: `  eascmd version
  eascmd version -o json`,
		GroupID:     groupSettings,
		Annotations: exits(),
		Args: func(_ *cobra.Command, args []string) error {
			// The original's `version SERVICE VERSION` switches a service to
			// another version of itself.
			if len(args) > 0 {
				return fault.New(fault.Usage, "`eascmd version %s`: switching a service to another version is not there yet", args[0]).
					WithHint("`eascmd version` without arguments prints the version of this program")
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return a.print(versionOf(buildInfo())) },
	}
}
