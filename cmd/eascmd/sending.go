package main

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/service"
	"github.com/openeas/eascmd/pkg/source"
	"github.com/openeas/eascmd/pkg/ui"
)

// sendOptions are the flags of commands that send a description, and upload
// what it names on this machine before.
type sendOptions struct {
	lineOptions
	noCheck bool
	dryRun  bool
}

func (o *sendOptions) addFlags(flags *pflag.FlagSet) {
	o.lineOptions.addFlags(flags)
	flags.BoolVar(&o.noCheck, "no-check", false, "upload the processor without checking it for the machines of EAS")
	flags.BoolVar(&o.dryRun, "dry-run", false, "check and pack, print what would be sent and end; nothing is uploaded or changed")
}

// targetOf returns the target and the description at path, which is meant for it.
func (a *app) targetOf(ctx context.Context, path string) (deploy.Target, *service.Description, error) {
	target, err := a.target(ctx)
	if err != nil {
		return nil, nil, err
	}
	d, err := a.loadDescription(path, target.Where())
	return target, d, err
}

// loadDescription reads a description and shows what is noticed in it.
func (a *app) loadDescription(path string, w deploy.Where) (*service.Description, error) {
	d, err := service.Options{ForDeploy: true, Published: true, AnyStore: true}.Load(path)
	if err != nil {
		return nil, err
	}
	a.showProblems(d)
	return d, checkRegion(path, d.Metadata.Region, w)
}

// showProblems shows what is noticed in a description.
func (a *app) showProblems(d *service.Description) {
	for _, p := range d.Warnings {
		if p.Severity == service.Warning {
			a.term.Warn("%s", ui.Printable(p.Message()))
		} else {
			a.term.Debug("%s", ui.Printable(p.Message()))
		}
	}
}

// checkRegion refuses a description that is meant for another region than the
// one that would be changed.
func checkRegion(path, region string, w deploy.Where) error {
	if region == "" || region == w.Region {
		return nil
	}
	err := fault.New(fault.Description, "%s is for region %s (metadata.region), but the endpoint of profile %s is in %s", path, region, w.Profile, w.Region)
	return err.WithHint("name the region's endpoint with `-e pai-eas.%s.aliyuncs.com` or another profile with --profile, or change metadata.region", region)
}

// publish brings what a description names on this machine to the store, or says
// with --dry-run where it would be. path is the description's file, and dir its
// directory where there is no file.
func (o *sendOptions) publish(ctx context.Context, a *app, d *service.Description, path, dir string) (*source.Published, error) {
	settings, err := a.config(ctx)
	if err != nil {
		return nil, err
	}
	prefix, err := a.uploadPrefix(ctx, o.to)
	if err != nil {
		return nil, err
	}
	stores, err := a.storeOptions(ctx)
	if err != nil {
		return nil, err
	}
	stores.Inner = o.inner
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	published, err := source.Publish(ctx, source.Options{
		Description:    d,
		File:           path,
		DescriptionDir: dir,
		Prefix:         prefix,
		Store:          stores,
		CacheDir:       filepath.Join(cache, "source"),
		DryRun:         o.dryRun,
		NoCheck:        o.noCheck,
		Elsewhere:      isElsewhere(settings),
		LimitRate:      int64(o.rate),
		Parallel:       o.parallel,
		Program:        versionOf(buildInfo()).Version,
		Step:           func(text string) { a.term.OK("%s", ui.Printable(text)) },
		Warn: func(text, hint string) {
			a.term.Warn("%s", ui.Printable(text))
			if hint != "" {
				a.term.Hint("%s", ui.Printable(hint))
			}
		},
		Progress: func(label string) (func(done, total int64), func()) {
			p := a.term.Progress(label)
			return p.Update, p.Done
		},
	})
	if err != nil && ctx.Err() != nil && !o.dryRun {
		a.term.Info("interrupted before service [%s] was touched; the same command goes on where this one has ended", ui.Printable(d.Name))
	}
	return published, err
}

// isElsewhere reports whether the endpoint is none of the cloud's: a control
// plane of one's own.
func isElsewhere(settings *config.Settings) bool { return config.RegionOf(settings.Endpoint()) == "" }

// deployed is the result of commands that make or change a service.
type deployed struct {
	RequestID string          `json:"requestId,omitempty"`
	Operation string          `json:"operation"` // create, update, replace, scale or nothing
	DryRun    bool            `json:"dryRun,omitempty"`
	Service   string          `json:"service"`
	ID        string          `json:"id,omitempty"`
	Region    string          `json:"region"`
	Status    deploy.State    `json:"status,omitempty"`
	Version   int             `json:"version,omitempty"` // that runs
	Intranet  string          `json:"intranetEndpoint,omitempty"`
	Internet  string          `json:"internetEndpoint,omitempty"`
	Token     string          `json:"accessToken,omitempty"`
	Changes   []deploy.Change `json:"changes,omitempty"`
	Instances *int            `json:"instances,omitempty"` // of scale
	Uploads   []source.Upload `json:"uploads,omitempty"`

	// Description is what would be sent, without its secrets; of --dry-run only.
	Description json.RawMessage `json:"description,omitempty"`

	Failure    *failureInfo `json:"failure,omitempty"`
	RolledBack bool         `json:"rolledBack,omitempty"`
}

func (r deployed) View() ui.View {
	if r.DryRun {
		return r.dryRunView()
	}
	var rows ui.Details
	add := func(key, value string) {
		if value != "" {
			rows = append(rows, ui.Detail{Key: key, Value: value})
		}
	}
	add("Intranet Endpoint", r.Intranet)
	add("Internet Endpoint", r.Internet)
	add("Token", r.Token)
	if len(rows) == 0 {
		return withRequestID(r.RequestID)
	}
	return withRequestID(r.RequestID, rows)
}

// dryRunView shows what would be sent.
func (r deployed) dryRunView() ui.View {
	if len(r.Description) == 0 {
		return ui.Page{}
	}
	// What is masked is JSON.
	text, _ := json.MarshalIndent(r.Description, "", "  ")
	return ui.Text(text)
}

// take fills in what a service is like now.
func (r *deployed) take(s *deploy.Service) {
	if s == nil {
		return
	}
	r.ID, r.Status, r.Version = s.ID, s.Status, s.CurrentVersion
	r.Intranet, r.Internet, r.Token = s.IntranetEndpoint, s.InternetEndpoint, s.AccessToken
}

// sayChanges shows what changes, a line each.
func (a *app) sayChanges(changes []deploy.Change) {
	for _, c := range changes {
		a.term.Info("%s", ui.Printable("  "+changeText(c)))
	}
}

// changeText is a change in one line.
func changeText(c deploy.Change) string {
	switch {
	case len(c.Old) == 0:
		return "+ " + c.Path + ": " + string(c.New)
	case c.Removal():
		return "- " + c.Path + ": " + string(c.Old)
	}
	return "~ " + c.Path + ": " + string(c.Old) + " -> " + string(c.New)
}

// isAbsent reports whether err says that a service does not exist.
func isAbsent(err error) bool { return errors.Is(err, deploy.ErrNotFound) }
