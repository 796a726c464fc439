package credentials

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aliyun/credentials-go/credentials/providers"

	"github.com/openeas/eascmd/pkg/config"
)

// metadataTimeout is how long the machine's metadata has to answer, in
// milliseconds. It is one hop away or not there at all.
const metadataTimeout = 500

// chain lists the places of the vendor's other programs, in their order but
// that those that may not answer come last.
func chain(opts Options) []place {
	return []place{oidcPlace(opts), commandLinePlace(), filePlace(), addressPlace(), guessedMachinePlace(opts)}
}

// oidcPlace is a role that is taken with a token of an identity provider, as
// pods of ACK and jobs of CI systems have one.
func oidcPlace(opts Options) place {
	p := place{name: "the OIDC token of the environment"}
	if os.Getenv("ALIBABA_CLOUD_OIDC_TOKEN") == "" && os.Getenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE") == "" {
		p.why = "ALIBABA_CLOUD_OIDC_TOKEN_FILE is not set"
		return p
	}
	for _, name := range []string{"ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_ROLE_ARN"} {
		if os.Getenv(name) == "" {
			p.why = name + " is not set"
			return p
		}
	}
	provider, err := providers.NewOIDCCredentialsProviderBuilder().
		WithRoleSessionName(cmp.Or(os.Getenv("ALIBABA_CLOUD_ROLE_SESSION_NAME"), "eascmd")).
		WithSTSEndpoint(opts.STSEndpoint).Build()
	if err != nil {
		p.why = err.Error() // of the builder, which knows no secret
		return p
	}
	p.provider = provider
	return p
}

// commandLinePlace is the configuration of the vendor's command line.
func commandLinePlace() place {
	p := place{name: fileOf("ALIBABA_CLOUD_CONFIG_FILE", ".aliyun", "config.json"), optional: true}
	data, err := os.ReadFile(p.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.why = "there is no such file"
		return p
	case err != nil:
		p.why = "it cannot be read"
		return p
	case !json.Valid(data):
		// The provider would quote it, secrets and all.
		p.why = "it is no JSON"
		return p
	}
	provider, err := providers.NewCLIProfileCredentialsProviderBuilder().WithProfileFile(p.name).Build()
	if err != nil {
		p.why = "ALIBABA_CLOUD_CLI_PROFILE_DISABLED is set"
		return p
	}
	p.provider = provider
	return p
}

// filePlace is the credentials file that the vendor's SDKs share.
func filePlace() place {
	p := place{name: fileOf("ALIBABA_CLOUD_CREDENTIALS_FILE", ".alibabacloud", "credentials"), optional: true}
	if _, err := os.Stat(p.name); err != nil {
		p.why = "there is no such file"
		return p
	}
	provider, err := providers.NewProfileCredentialsProviderBuilder().Build()
	if err != nil {
		p.why = "it cannot be used"
		return p
	}
	p.provider = provider
	return p
}

// addressPlace is an address that gives out temporary keys.
func addressPlace() place {
	p := place{name: "ALIBABA_CLOUD_CREDENTIALS_URI"}
	provider, err := providers.NewURLCredentialsProviderBuilder().Build()
	if err != nil {
		p.why = "it is not set"
		return p
	}
	p.provider = provider
	return p
}

// machinePlace is a role of this machine that the settings ask for.
func machinePlace(role string, opts Options) place {
	p := place{name: "role " + role + " of this machine"}
	if role == config.AutoRole {
		role, p.name = "", "the role of this machine"
	}
	// Without the token anything that can make this machine fetch an address
	// could have its keys, so only that way is gone.
	provider, err := providers.NewECSRAMRoleCredentialsProviderBuilder().
		WithRoleName(role).
		WithDisableIMDSv1(true).
		WithHttpOptions(&providers.HttpOptions{Proxy: opts.proxy, ConnectTimeout: metadataTimeout, ReadTimeout: metadataTimeout}).
		Build()
	if err != nil {
		p.why = "ALIBABA_CLOUD_ECS_METADATA_DISABLED is set"
		return p
	}
	p.provider = provider
	return p
}

// guessedMachinePlace is whichever role this machine has, if it is one that
// has roles.
func guessedMachinePlace(opts Options) place {
	p := machinePlace(config.AutoRole, opts)
	p.optional = true
	return p
}

// fileOf returns the file that a variable names, else the one at a place in
// the home directory.
func fileOf(variable string, below ...string) string {
	if name := os.Getenv(variable); name != "" {
		return name
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "~" // nothing is there, and the reader knows what is meant
	}
	return filepath.Join(append([]string{home}, below...)...)
}
