package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/ui"
)

func newConfigSetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "set KEY VALUE",
		Short: "Store one setting other than the access key",
		Long: `Stores one setting in a profile of the configuration file. The keys, and the
environment variables that come before the file:

    endpoint       host of the cloud API (EASCMD_ENDPOINT). One that is given as
                   http://HOST:PORT is spoken to in plain HTTP, for a control plane
                   of your own
    region         region, where the endpoint's name does not tell it; without an
                   endpoint it chooses the region's own
    role_arn       role that is taken with the access key, or with what stands in
                   for it: acs:ram::ACCOUNT:role/NAME (EASCMD_ROLE_ARN)
    ecs_role       role of this machine that stands in for an access key: its name,
                   or auto for whichever it has (EASCMD_ECS_ROLE)
    upload_prefix  where uploads go without --to: oss://BUCKET/PREFIX,
                   s3://BUCKET/PREFIX or file:///DIRECTORY (EASCMD_UPLOAD_PREFIX)
    oss_endpoint   endpoint of OSS, in place of the region's (EASCMD_OSS_ENDPOINT)
    s3_endpoint    endpoint of S3, in place of Amazon's (EASCMD_S3_ENDPOINT,
                   AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL)
    s3_region      region of S3 (EASCMD_S3_REGION, AWS_REGION, AWS_DEFAULT_REGION)

An access key is stored by ` + "`eascmd config -i ID -k -`" + `. S3 has keys of its own, which
are found where Amazon's programs find them: AWS_ACCESS_KEY_ID and its likes,
~/.aws/credentials and ~/.aws/config with AWS_PROFILE, and the role of a container
or machine.`,
		Example: `  eascmd config set upload_prefix oss://my-bucket/eas
  eascmd config set --profile ci role_arn acs:ram::1234567890:role/deployer
  eascmd config set endpoint http://127.0.0.1:8099`,
		Annotations:       exits(fault.Description),
		Args:              needArgs("key", "value"),
		ValidArgsFunction: completeKeys(plainKeys),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := settingKey(args[0])
			if err != nil {
				return err
			}
			if !slices.Contains(plainKeys(), key) {
				return fault.New(fault.Usage, "%s is part of an access key, which is stored whole", key).
					WithHint("`eascmd config -i ID -k -` asks for the secret, or reads it from standard input")
			}
			value, err := config.Normalise(key, args[1])
			if err != nil {
				return fault.New(fault.Usage, "%w", err)
			}
			if err := config.Save(a.configFile, a.storedProfile(), config.Change{Set: map[string]string{key: value}}); err != nil {
				return err
			}
			return a.tellStored("Stored", []string{key}, "of")
		},
	}
}

func newConfigUnsetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "unset KEY...",
		Short: "Remove settings from a profile",
		Long: `Removes settings from a profile of the configuration file. An access key goes as a
whole, with its secret and its token.`,
		Example: `  eascmd config unset upload_prefix
  eascmd config unset --profile ci access_key_id`,
		Annotations: exits(fault.Description),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.New(fault.Usage, "a setting is missing").WithHint("usage: %s; see `%s --help`", cmd.UseLine(), cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeKeys(config.Keys),
		RunE: func(_ *cobra.Command, args []string) error {
			stored, err := config.Stored(a.configFile, a.storedProfile())
			if err != nil {
				return err
			}
			var remove []string
			for _, arg := range args {
				key, err := settingKey(arg)
				if err != nil {
					return err
				}
				keys := []string{key}
				if !slices.Contains(plainKeys(), key) {
					keys = []string{config.AccessKeyID, config.AccessKeySecret, config.STSToken}
				}
				for _, k := range keys {
					if slices.Contains(stored, k) && !slices.Contains(remove, k) {
						remove = append(remove, k)
					}
				}
			}
			if len(remove) == 0 {
				a.term.Info("profile [%s] sets nothing of that", a.storedProfile())
				return nil
			}
			if err := config.Save(a.configFile, a.storedProfile(), config.Change{Unset: remove}); err != nil {
				return err
			}
			return a.tellStored("Removed", remove, "from")
		},
	}
}

// plainKeys lists the keys of settings that are no part of an access key.
func plainKeys() []string {
	return slices.DeleteFunc(config.Keys(), func(key string) bool {
		return key == config.AccessKeyID || config.IsSecret(key)
	})
}

// settingKey returns the key that somebody means.
func settingKey(name string) (string, error) {
	key, known := config.CanonicalKey(name)
	if !known {
		return "", fault.New(fault.Usage, "there is no setting %q", name).WithHint("the settings are %s", strings.Join(config.Keys(), ", "))
	}
	return key, nil
}

// completeKeys completes the name of a setting and not what follows it.
func completeKeys(keys func() []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && cmd.Name() == "set" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completeWords(keys)(cmd, args, prefix)
	}
}

// storedProfile returns the profile that is changed.
func (a *app) storedProfile() string {
	if a.profile == "" {
		return config.DefaultProfile
	}
	return strings.ToLower(a.profile)
}

// tellStored says what was done with settings of, or from, which profile of
// which file.
func (a *app) tellStored(done string, keys []string, preposition string) error {
	path, err := a.configPath()
	if err != nil {
		return err
	}
	a.term.OK("%s %s %s profile [%s] in %s", done, strings.Join(keys, ", "), preposition, a.storedProfile(), ui.Printable(path))
	return nil
}
