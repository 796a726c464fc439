package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/ui"
)

func newDescCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "desc SERVICE",
		Aliases: []string{"describe"},
		GroupID: groupDeploy,
		Short:   "Show everything about a service",
		Long: `Shows a service as it is deployed: its state, where it is called and with which
token, its instances and versions, and the description that it runs.

The keys are the original's, in its order. PrivateToken, APIGatewayUrl,
APIGatewayAppKey and APIGatewayAppSecret are no more: the API does not have them.
Rows between Message and the endpoints are ours; they are there where they say
something. ServiceConfig is sorted, with the values of its secrets masked.`,
		Example: `  eascmd desc scorer
  eascmd desc scorer -o json | jq -r .status
  EASCMD_INVOKE_TOKEN=$(eascmd desc scorer -o json | jq -r .accessToken) eascmd invoke http://host/api/predict/scorer --data x`,
		Annotations:       exits(readingKinds()...),
		Args:              needArgs("the service's name"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := a.target(cmd.Context())
			if err != nil {
				return err
			}
			service, err := target.Describe(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(newServiceDetails(service))
		},
	}
}

// serviceDetails is the result of `eascmd desc`.
type serviceDetails struct{ deploy.Service }

func newServiceDetails(s *deploy.Service) serviceDetails {
	d := serviceDetails{*s}
	d.Description = deploy.Masked(s.Description)
	return d
}

func (s serviceDetails) View() ui.View {
	details := ui.Details{
		{Key: "Status", Value: s.Status},
		{Key: "ServiceName", Value: s.Name},
		{Key: "Region", Value: s.Region},
		{Key: "CreateTime", Value: tableTime(s.CreateTime)},
		{Key: "UpdateTime", Value: tableTime(s.UpdateTime)},
		{Key: "AccessToken", Value: s.AccessToken},
		{Key: "TotalInstance", Value: s.TotalInstances},
		{Key: "RunningInstance", Value: s.RunningInstances},
		{Key: "PendingInstance", Value: s.PendingInstances},
		{Key: "CPU", Value: s.CPU},
		{Key: "GPU", Value: s.GPU},
		{Key: "Memory", Value: fmt.Sprintf("%dM", s.MemoryMB)},
		{Key: "Image", Value: s.Image},
		{Key: "Weight", Value: s.Weight},
		{Key: "LatestVersion", Value: s.LatestVersion},
		{Key: "CurrentVersion", Value: s.CurrentVersion},
		{Key: "Message", Value: s.Message},
	}
	add := func(key, value string) {
		if value != "" {
			details = append(details, ui.Detail{Key: key, Value: value})
		}
	}
	if s.Status != deploy.Running {
		add("Reason", s.Reason)
	}
	add("ServiceId", s.ID)
	add("ServiceGroup", s.Group)
	add("TrafficState", s.TrafficState)
	add("Resource", s.Resource)
	add("WorkspaceId", s.WorkspaceID)
	add("Labels", labelText(s.Labels))
	add("SafetyLock", s.SafetyLock)
	if s.Autoscaled {
		add("Autoscaled", "by rules; see `eascmd autoscale "+s.Name+"`")
	}
	details = append(details, ui.Detail{Key: "IntranetEndpoint", Value: s.IntranetEndpoint})
	add("InternetEndpoint", s.InternetEndpoint)
	return append(details, ui.Detail{Key: "ServiceConfig", Value: indented(s.Description)})
}

func labelText(labels map[string]string) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, name+"="+labels[name])
	}
	return strings.Join(pairs, ", ")
}

// indented is JSON as tables show it.
func indented(text json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return ""
	}
	return b.String()
}
