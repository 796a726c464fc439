// Package credentials makes, of the settings, the access keys that requests
// are signed with: keys that are stored, roles that are taken with them, the
// role of the machine, and, where the settings have nothing, what the vendor's
// other programs find. Temporary keys are replaced before they expire.
//
// What is asked over the network goes through http.DefaultTransport, its
// proxies and its certificate authorities included.
package credentials

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/aliyun/credentials-go/credentials/providers"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
)

// Provider tells the credentials to sign a request with. It is asked before
// each request, by any goroutine, because temporary ones are replaced.
type Provider interface {
	Credentials(ctx context.Context) (config.Credentials, error)
}

// Static is a Provider of credentials that never change.
type Static config.Credentials

// Credentials returns the credentials.
func (s Static) Credentials(context.Context) (config.Credentials, error) {
	return config.Credentials(s), nil
}

// Options says how credentials are fetched that are not just there.
type Options struct {
	// STSEndpoint is the host, with the port if there is one, that gives out
	// the keys of roles; empty means the region's own.
	STSEndpoint string

	proxy string // of the machine's metadata; empty: the environment's
}

// Identity is a Provider that knows where its credentials come from.
type Identity struct {
	settings *config.Settings
	role     string        // the role that is taken; empty: none
	turn     chan struct{} // held by whoever asks: the providers are for one goroutine
	places   []place       // where to look, the strongest first
	none     error         // why the settings have no key, where they have none
	known    atomic.Pointer[known]
}

// known is what was found out.
type known struct {
	place *place
	id    string // masked
}

// place is where credentials may come from.
type place struct {
	name     string // for people
	provider providers.CredentialsProvider
	why      string // the place has nothing, and why; provider is nil
	optional bool   // having nothing is no failure
}

// New returns the identity that the settings describe. Nothing is asked of
// anybody yet; the error is that of settings that contradict themselves.
func New(settings *config.Settings, opts Options) (*Identity, error) {
	i := &Identity{settings: settings, role: settings.RoleARN(), turn: make(chan struct{}, 1)}
	key, err := settings.Credentials()
	switch {
	case err == nil:
		p, err := keyPlace(settings, key)
		if err != nil {
			return nil, err
		}
		i.places = []place{p}
	case !errors.Is(err, config.ErrNoAccessKey):
		return nil, err
	case settings.ECSRole() != "":
		i.places = []place{machinePlace(settings.ECSRole(), opts)}
	default:
		i.none = err
		i.places = chain(opts)
	}
	if i.role == "" {
		return i, nil
	}
	for n := range i.places {
		if err := i.places[n].take(i.role, settings, opts); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// keyPlace is the place of a key that the settings have.
func keyPlace(settings *config.Settings, key config.Credentials) (place, error) {
	var p providers.CredentialsProvider
	var err error
	if key.STSToken == "" {
		p, err = providers.NewStaticAKCredentialsProviderBuilder().
			WithAccessKeyId(key.AccessKeyID).WithAccessKeySecret(key.AccessKeySecret).Build()
	} else {
		p, err = providers.NewStaticSTSCredentialsProviderBuilder().
			WithAccessKeyId(key.AccessKeyID).WithAccessKeySecret(key.AccessKeySecret).WithSecurityToken(key.STSToken).Build()
	}
	if err != nil {
		return place{}, fault.New(fault.Description, "the access key of %s cannot be used: %w", settings.Source(config.AccessKeyID), err)
	}
	return place{name: settings.Source(config.AccessKeyID), provider: p}, nil
}

// take makes of a place's credentials those of a role.
func (p *place) take(role string, settings *config.Settings, opts Options) error {
	if p.provider == nil {
		return nil
	}
	builder := providers.NewRAMRoleARNCredentialsProviderBuilder().
		WithCredentialsProvider(p.provider).
		WithRoleArn(role).
		WithRoleSessionName(cmp.Or(os.Getenv("ALIBABA_CLOUD_ROLE_SESSION_NAME"), "eascmd")).
		WithStsEndpoint(opts.STSEndpoint)
	if os.Getenv("ALIBABA_CLOUD_STS_REGION") == "" {
		builder = builder.WithStsRegionId(settings.Region())
	}
	taken, err := builder.Build()
	if err != nil {
		return fault.New(fault.Description, "role %s cannot be taken: %w", role, err)
	}
	p.provider = taken
	return nil
}

// Credentials returns what to sign a request with now.
func (i *Identity) Credentials(ctx context.Context) (config.Credentials, error) {
	select {
	case i.turn <- struct{}{}:
	case <-ctx.Done():
		return config.Credentials{}, ctx.Err()
	}
	type answer struct {
		key config.Credentials
		err error
	}
	// The providers know no context. Their own time limits bound how long one
	// goes on behind a caller that has left.
	answers := make(chan answer, 1)
	go func() {
		key, err := i.fetch()
		<-i.turn
		answers <- answer{key, err}
	}()
	select {
	case a := <-answers:
		return a.key, a.err
	case <-ctx.Done():
		return config.Credentials{}, ctx.Err()
	}
}

// fetch asks the place that has answered before, or one after the other.
func (i *Identity) fetch() (config.Credentials, error) {
	if k := i.known.Load(); k != nil {
		return i.ask(k.place)
	}
	var nothing []string
	for n := range i.places {
		p := &i.places[n]
		if p.provider == nil {
			nothing = append(nothing, p.name+": "+p.why)
			continue
		}
		key, err := i.ask(p)
		if err == nil {
			return key, nil
		}
		why, ok := absence(err)
		if !p.optional || !ok {
			return config.Credentials{}, err
		}
		nothing = append(nothing, p.name+": "+why)
	}
	return config.Credentials{}, noneAnywhere(i.none, nothing)
}

// ask asks one place.
func (i *Identity) ask(p *place) (key config.Credentials, err error) {
	defer func() {
		// The providers look at no field of an answer before they use it.
		if r := recover(); r != nil {
			err = fault.New(fault.Remote, "credentials from %s: the answer lacks a part", p.name)
		}
	}()
	c, err := p.provider.GetCredentials()
	if err != nil {
		return config.Credentials{}, i.explain(p, err)
	}
	key = config.Credentials{AccessKeyID: c.AccessKeyId, AccessKeySecret: c.AccessKeySecret, STSToken: c.SecurityToken}
	i.known.Store(&known{p, config.Mask(key.AccessKeyID)})
	return key, nil
}

// Source says where the credentials come from, for people; it is empty as long
// as that was not found out by Credentials.
func (i *Identity) Source() string {
	k := i.known.Load()
	switch {
	case k == nil && len(i.places) > 1:
		return ""
	case k == nil:
		return i.named(&i.places[0])
	}
	return i.named(k.place)
}

func (i *Identity) named(p *place) string {
	if i.role == "" {
		return p.name
	}
	return fmt.Sprintf("role %s, taken by %s", i.role, p.name)
}

// MaskedID returns the access key id in use as it may be shown. Before
// Credentials was asked it is the one of the settings, which may be empty.
func (i *Identity) MaskedID() string {
	if k := i.known.Load(); k != nil {
		return k.id
	}
	return i.settings.MaskedID()
}
