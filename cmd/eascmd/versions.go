package main

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/ui"
)

func newVersionsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "versions SERVICE",
		GroupID: groupDeploy,
		Short:   "List the versions of a service",
		Long: `Lists the versions of a service, the newest first: when each was made, of which
package or image, and what came of it. The one that runs is marked with *.
'eascmd version SERVICE VERSION' switches to another one.

The original has no such command: 'desc' shows the numbers of the latest version
and of the current one.`,
		Example: `  eascmd versions scorer
  eascmd version scorer 3    # back to version 3`,
		Annotations:       exits(readingKinds()...),
		Args:              needArgs("the service's name"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := a.target(cmd.Context())
			if err != nil {
				return err
			}
			versions, reply, err := target.Versions(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			service, err := target.Describe(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(newVersionList(service, versions, reply))
		},
	}
}

// versionList is the result of `eascmd versions`.
type versionList struct {
	RequestID string       `json:"requestId"`
	Service   string       `json:"service"`
	Current   int          `json:"current"`
	Latest    int          `json:"latest"`
	Versions  []versionRow `json:"versions"`
}

type versionRow struct {
	ID        int       `json:"id"`
	Current   bool      `json:"current"`
	BuildTime time.Time `json:"buildTime,omitzero"`
	// Package is the address of what is run: of a package, a model or an image.
	Package        string          `json:"package,omitempty"`
	Image          string          `json:"image,omitempty"`
	ImageAvailable bool            `json:"imageAvailable"`
	Runnable       bool            `json:"runnable"`
	Message        string          `json:"message,omitempty"`
	Description    json.RawMessage `json:"description,omitempty"` // masked
}

func newVersionList(service *deploy.Service, versions []deploy.Version, reply deploy.Reply) versionList {
	list := versionList{reply.RequestID, service.Name, service.CurrentVersion, service.LatestVersion, make([]versionRow, len(versions))}
	for i, v := range versions {
		description := deploy.Masked(v.Description)
		list.Versions[i] = versionRow{
			v.ID, v.ID == service.CurrentVersion, v.BuildTime.UTC(), packageOf(description), v.Image, v.ImageAvailable, v.Runnable, v.Message, description,
		}
	}
	return list
}

// packageOf returns the address of what a description runs.
func packageOf(description json.RawMessage) string {
	var d struct {
		Processor  string `json:"processor_path"`
		Model      string `json:"model_path"`
		Containers []struct {
			Image string `json:"image"`
		} `json:"containers"`
	}
	// What is no such object runs nothing that we know.
	_ = json.Unmarshal(description, &d)
	switch {
	case d.Processor != "":
		return d.Processor
	case len(d.Containers) > 0:
		return d.Containers[0].Image
	}
	return d.Model
}

func (l versionList) View() ui.View {
	list := ui.List{Header: []string{"Version", "Current", "BuildTime", "Package", "Runnable", "Message"}}
	for _, v := range l.Versions {
		current, runnable := "", "no"
		if v.Current {
			current = "*"
		}
		if v.Runnable {
			runnable = "yes"
		}
		list.Rows = append(list.Rows, []any{v.ID, current, tableTime(v.BuildTime), v.Package, runnable, v.Message})
	}
	return withRequestID(l.RequestID, list)
}
