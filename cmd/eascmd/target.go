package main

import (
	"context"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/ui"
)

// targetOpener opens a target. Tests have one of their own.
type targetOpener func(context.Context, *config.Settings) (deploy.Target, error)

// target returns where services are deployed, by the settings. Nothing is asked
// of it yet.
func (a *app) target(ctx context.Context) (deploy.Target, error) {
	settings, err := a.config(ctx)
	if err != nil {
		return nil, err
	}
	return a.openTarget(ctx, settings)
}

// openEAS opens the target that the settings describe.
func openEAS(_ context.Context, settings *config.Settings) (deploy.Target, error) {
	return nil, fault.New(fault.Missing, "nothing can be asked of %s yet", settings.Endpoint())
}

// announce tells, before anything is changed, where and as whom.
func (a *app) announce(w deploy.Where) {
	a.term.Info("%s", ui.Printable(whereText(w)))
}

// whereText says where the services of a target are, and who asks.
func whereText(w deploy.Where) string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+" "+value)
		}
	}
	add("region", w.Region)
	if w.Region == "" {
		add("endpoint", w.Endpoint)
	}
	add("profile", w.Profile)
	add("account", w.Account)
	return strings.Join(parts, ", ")
}

// place is the word for where a service is in questions and messages.
func place(w deploy.Where) string {
	if w.Region != "" {
		return w.Region
	}
	return w.Endpoint
}
