package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/deploy/eas"
	"github.com/openeas/eascmd/pkg/store"
	"github.com/openeas/eascmd/pkg/ui"
)

// targetOpener opens the target that the settings describe. Tests have one of
// their own.
type targetOpener func(context.Context, *app, *config.Settings) (deploy.Target, error)

// target returns where services are deployed, by the settings. Nothing is asked
// of it yet.
func (a *app) target(ctx context.Context) (deploy.Target, error) {
	settings, err := a.config(ctx)
	if err != nil {
		return nil, err
	}
	return a.openTarget(ctx, a, settings)
}

// openEAS opens the target eas.
func openEAS(_ context.Context, a *app, settings *config.Settings) (deploy.Target, error) {
	identity, err := a.identity(settings)
	if err != nil {
		return nil, err
	}
	client, err := store.NewClient(a.caBundle)
	if err != nil {
		return nil, err
	}
	return eas.New(eas.Options{
		Endpoint:    settings.Endpoint(),
		Scheme:      settings.Scheme(),
		Region:      settings.Region(),
		Profile:     settings.Profile,
		Credentials: identity,
		Client:      client,
		UserAgent:   "eascmd/" + versionOf(buildInfo()).Version,
		Warn:        func(text string) { a.term.Warn("%s", ui.Printable(text)) },
	})
}

// announce tells, before anything is changed, where and as whom.
func (a *app) announce(w deploy.Where) {
	a.term.Info("%s", ui.Printable(whereText(w)))
}

// announceStore tells, before anything is sent, to which store and as whom. Of
// S3 and directories it is not the profile that says who asks.
func (a *app) announceStore(ctx context.Context, prefix store.Address, endpoint string) error {
	if prefix.Scheme != store.OSS {
		return nil
	}
	settings, err := a.config(ctx)
	if err != nil {
		return err
	}
	w := deploy.Where{Region: settings.Region(), Endpoint: endpoint, Profile: settings.Profile}
	if settings.OSSEndpoint() != "" { // which may be another region's
		w.Region = ""
	}
	identity, err := a.identity(settings)
	if err != nil {
		return err
	}
	// Where there are no credentials to be had, the first request says why.
	if c, err := identity.Credentials(ctx); err == nil {
		w.Account = config.Mask(c.AccessKeyID)
	}
	a.announce(w)
	return nil
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

// completeServices completes the name of a service. A shell does not wait long,
// and shows no error.
func (a *app) completeServices(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
	defer cancel()
	target, err := a.target(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	services, _, err := target.List(ctx, deploy.ListRequest{Filter: prefix})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, s := range services {
		if strings.HasPrefix(s.Name, prefix) {
			names = append(names, cobra.CompletionWithDesc(s.Name, string(s.Status)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
