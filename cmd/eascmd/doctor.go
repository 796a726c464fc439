package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/doctor"
	"github.com/openeas/eascmd/pkg/ui"
)

func newDoctorCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "doctor",
		GroupID: groupSettings,
		Short:   "Check what this machine has for processors, and say how to mend it",
		Long: `Looks at what eascmd needs or can use on this machine: the Docker daemon, GPUs,
compilers, Pythons, JDKs, what the process engine is permitted, disk and memory,
the clock, the network and the configuration. Each line is ok, a warning or a
failure, and says how to mend what is not ok.

A failure leaves no engine on which ` + "`eascmd test`" + ` could run a service. As long as
one engine is left, what is wrong with the other is a warning: a machine on which
the process engine works needs no Docker, and one with Docker no compiler. With
warnings alone the exit status is 0, with a failure it is 6.

All checks run at the same time. None may take longer than 5 s: what hangs becomes
a line that says so. What needs a container is tried in one that is removed at
once, where the daemon has an image; none is pulled or built. The one request to
the network is for the time, to the endpoint of the cloud API, without
credentials; where it cannot be reached nothing is wrong. Secrets are never
printed.`,
		Example: `  eascmd doctor
  eascmd doctor -o json | jq '.checks[] | select(.state != "ok")'`,
		Annotations: exits(fault.Failed, fault.Usage, fault.Missing, fault.Interrupted),
		Args:        noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if err := a.readSecrets(ctx); err != nil {
				return err
			}
			report, err := doctor.Make(ctx, doctor.Options{
				Config:   a.configOptions(),
				CABundle: a.caBundle,
			})
			if err != nil {
				return err
			}
			if err := a.print(doctorReport(report)); err != nil {
				return err
			}
			return failures(report)
		},
	}
}

// failures is the error for a report with failures.
func failures(r doctor.Report) error {
	if r.OK {
		return nil
	}
	var names []string
	for _, c := range r.Failures() {
		names = append(names, fmt.Sprintf("%s: %s", c.Group, c.Name))
	}
	return fault.New(fault.Missing, "no engine can run a service here (%s)", strings.Join(names, "; ")).
		WithHint("mend what one engine lacks: Docker, or the process engine's part")
}

// doctorReport is the result of `eascmd doctor`.
type doctorReport doctor.Report

func (r doctorReport) View() ui.View {
	var list ui.Checklist
	for _, c := range r.Checks {
		list = append(list, ui.ChecklistItem{Group: c.Group, Name: c.Name, State: string(c.State), Found: c.Found, Fix: c.Fix})
	}
	return list
}
