package main

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/ui"
)

func newConfigCommand(a *app) *cobra.Command {
	var secretStdin bool
	cmd := &cobra.Command{
		Use:   "config -i ID -k SECRET [-t TOKEN] [-e ENDPOINT] [--profile NAME]",
		Short: "Store an access key and an endpoint, or show them",
		Long: `Stores an access key and an endpoint in a profile of the configuration file, which
only you can read. What is not given stays as it is, but a new access key removes
the security token of the old one.

A secret on the command line is visible to other users of the machine. Leave -k
out on a terminal and it is asked for; elsewhere -k - reads it from standard input.

A setting comes from its flag, else from its environment variable, else from the
profile. An access key, its secret and its token always come from the same place.

The file has a setting a line. Those above the first section are the profile
"default"; names of profiles are compared without regard to case:

    access_key_id = LTAI5tExample
    access_key_secret = ...

    [profile beijing]
    access_key_id = LTAI5tOther
    access_key_secret = ...
    endpoint = pai-eas.cn-beijing.aliyuncs.com

What else it may say is in ` + "`eascmd config set --help`" + `. Where there is no access key in any
of these places, those of Alibaba Cloud's other programs are looked at: the OIDC
token of the environment, ~/.aliyun/config.json, ~/.alibabacloud/credentials,
ALIBABA_CLOUD_CREDENTIALS_URI, and the role of this machine.`,
		Example: `  eascmd config -i LTAI5tExample -e pai-eas.cn-beijing.aliyuncs.com
  printf %s "$SECRET" | eascmd config --profile ci -i LTAI5tExample -k -
  eascmd config set upload_prefix oss://my-bucket/eas
  eascmd config show`,
		GroupID:     groupSettings,
		Annotations: exits(fault.Description, fault.Interrupted),
		Args:        noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if secretStdin {
				if a.accessKeySecret != "" && a.accessKeySecret != "-" {
					return fault.New(fault.Usage, "the secret is given twice: -k and --secret-stdin").WithHint("leave one of them out")
				}
				a.accessKeySecret = "-"
			}
			return a.storeConfig(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&secretStdin, "secret-stdin", false, "read the secret from standard input, as -k - does")
	cmd.AddCommand(newConfigSetCommand(a), newConfigUnsetCommand(a), newConfigShowCommand(a), newConfigListCommand(a), newConfigPathCommand(a))
	return cmd
}

// storeConfig changes a profile to what the flags, or their variables, say.
func (a *app) storeConfig(ctx context.Context) error {
	given := a.givenSettings()
	profile := a.storedProfile()
	if err := a.completeSettings(ctx, given); err != nil {
		return err
	}
	change := config.Change{Set: given}
	_, newKey := given[config.AccessKeySecret]
	if _, ok := given[config.STSToken]; newKey && !ok {
		change.Unset = []string{config.STSToken}
	}
	if err := config.Save(a.configFile, profile, change); err != nil {
		return err
	}
	var names []string
	for name := range given {
		names = append(names, name)
	}
	slices.Sort(names)
	return a.tellStored("Stored", names, "of")
}

// givenSettings returns what flags and their variables set, by key.
func (a *app) givenSettings() map[string]string {
	given := map[string]string{}
	for key, value := range map[string]string{
		config.AccessKeyID:     a.accessKeyID,
		config.AccessKeySecret: a.accessKeySecret,
		config.STSToken:        a.stsToken,
		config.Endpoint:        a.endpoint,
	} {
		if value == "" {
			value = os.Getenv(config.EnvNames(key)[0])
		}
		if value != "" {
			given[key] = value
		}
	}
	return given
}

// completeSettings checks what was given and asks for what is missing.
func (a *app) completeSettings(ctx context.Context, given map[string]string) error {
	if endpoint, ok := given[config.Endpoint]; ok {
		host, err := config.Normalise(config.Endpoint, endpoint)
		if err != nil {
			return fault.New(fault.Usage, "%w", err)
		}
		given[config.Endpoint] = host
	}
	_, id := given[config.AccessKeyID]
	_, secret := given[config.AccessKeySecret]
	_, token := given[config.STSToken]
	switch {
	case len(given) == 0 && !a.term.CanPrompt():
		return fault.New(fault.Usage, "nothing to store is given").
			WithHint("give an access key with -i ID -k -, an endpoint with -e HOST, or see `eascmd config show`")
	case token && !(id && secret):
		return fault.New(fault.Usage, "a security token belongs to its own access key").WithHint("give -i and -k with -t")
	case !id && !secret && len(given) > 0:
		return nil // only an endpoint
	}
	if !id {
		line, err := a.term.Line(ctx, "Access key id", "give it with -i ID")
		if err != nil {
			return err
		}
		given[config.AccessKeyID] = line
	}
	if !secret {
		line, err := a.term.Secret(ctx, "Access key secret", "-k - or --secret-stdin reads it from standard input")
		if err != nil {
			return err
		}
		given[config.AccessKeySecret] = line
	}
	for _, s := range []struct{ key, name string }{
		{config.AccessKeySecret, "Access key secret"}, {config.STSToken, "Security token"},
	} {
		if given[s.key] == "-" {
			line, err := a.term.ReadSecret(ctx, s.name)
			if err != nil {
				return err
			}
			given[s.key] = line
		}
	}
	for key, value := range given {
		if value == "" {
			return fault.New(fault.Usage, "%s is empty", key)
		}
	}
	return nil
}

// configPath returns the configuration file in use.
func (a *app) configPath() (string, error) {
	if a.configFile != "" {
		return a.configFile, nil
	}
	return config.DefaultPath()
}

// settingsView is the result of `eascmd config show`.
type settingsView struct {
	Path     string         `json:"path"`
	Profile  string         `json:"profile"`
	Settings []config.Value `json:"settings"`
}

func (s settingsView) View() ui.View {
	list := ui.List{Header: []string{"Name", "Value", "Source"}}
	for _, v := range s.Settings {
		value, source := v.Value, v.Source
		if source == "" {
			value, source = "", "not set"
		}
		list.Rows = append(list.Rows, []any{v.Name, value, source})
	}
	return list
}

func newConfigShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show the settings in use and where each comes from",
		Long: `Shows the settings as another command would use them now, and where each comes
from: a flag, an environment variable, the configuration file or the default.
Secrets are masked.`,
		Example: `  eascmd config show
  eascmd config show --profile beijing -o json`,
		Annotations: exits(fault.Description),
		Args:        noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := a.config(cmd.Context())
			if err != nil {
				return err
			}
			if _, err := settings.Credentials(); err != nil && !(errors.Is(err, config.ErrNoAccessKey) && settings.ECSRole() != "") {
				a.warn([]config.Warning{{Text: err.Error(), Hint: fault.HintOf(err)}})
			}
			values := []config.Value{
				{Name: "config", Value: settings.Path, Source: a.flagSource(cmd, "config")},
				{Name: "profile", Value: settings.Profile, Source: a.flagSource(cmd, "profile")},
			}
			values = append(values, settings.Values()...)
			if a.caBundle != "" {
				values = append(values, config.Value{Name: "ca_bundle", Value: a.caBundle, Source: a.flagSource(cmd, "ca-bundle")})
			}
			return a.print(settingsView{settings.Path, settings.Profile, values})
		},
	}
}

// profileList is the result of `eascmd config list`.
type profileList []profileRow

type profileRow struct {
	Profile      string `json:"profile"`
	AccessKeyID  string `json:"accessKeyId"` // masked
	Endpoint     string `json:"endpoint"`
	Region       string `json:"region"`
	UploadPrefix string `json:"uploadPrefix"`
	Current      bool   `json:"current"`
}

func (p profileList) View() ui.View {
	list := ui.List{Header: []string{"Profile", "AccessKeyId", "Endpoint", "Region", "UploadPrefix", "Current"}}
	for _, row := range p {
		current := ""
		if row.Current {
			current = "*"
		}
		list.Rows = append(list.Rows, []any{row.Profile, row.AccessKeyID, row.Endpoint, row.Region, row.UploadPrefix, current})
	}
	return list
}

func newConfigListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "list",
		Aliases:     []string{"ls"},
		Short:       "List the profiles of the configuration file",
		Annotations: exits(fault.Description),
		Args:        noArgs,
		RunE: func(*cobra.Command, []string) error {
			profiles, err := config.Profiles(a.configFile)
			if err != nil {
				return err
			}
			current := a.storedProfile()
			list := profileList{}
			for _, p := range profiles {
				list = append(list, profileRow{p.Profile, p.MaskedID(), p.GivenEndpoint(), p.Region(), p.UploadPrefix(), p.Profile == current})
			}
			if len(list) == 0 {
				a.term.Info("there are no profiles; `eascmd config -i ID` makes one")
			}
			return a.print(list)
		},
	}
}

// pathResult is the result of `eascmd config path`.
type pathResult struct {
	Path string `json:"path"`
}

func (p pathResult) View() ui.View { return ui.Text(ui.Printable(p.Path)) }

func newConfigPathCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "path",
		Short:       "Print the place of the configuration file, which need not exist",
		Annotations: exits(),
		Args:        noArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := a.configPath()
			if err != nil {
				return err
			}
			return a.print(pathResult{path})
		},
	}
}

// flagSource says where the value of a flag comes from.
func (a *app) flagSource(cmd *cobra.Command, name string) string {
	flag := cmd.Flags().Lookup(name)
	if variable, ok := a.fromVariable[name]; ok {
		return variable
	}
	if flag.Changed {
		return "--" + name
	}
	return "default"
}
