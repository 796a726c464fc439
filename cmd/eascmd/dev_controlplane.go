package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/controlplane"
	"github.com/openeas/eascmd/pkg/controlplane/onengine"
	"github.com/openeas/eascmd/pkg/engine/docker"
	"github.com/openeas/eascmd/pkg/store"
	"github.com/openeas/eascmd/pkg/ui"
)

type controlPlaneOptions struct {
	listen      string
	predict     string
	region      string
	objects     string
	ossEndpoint string
	profile     string
	engine      string
	delay       time.Duration
	state       string
	rate        float64
	faults      bool
}

func newControlPlaneCommand(a *app) *cobra.Command {
	var opts controlPlaneOptions
	cmd := &cobra.Command{
		Use:   "control-plane",
		Short: "Run a control plane of EAS on this machine",
		Long: `Runs a control plane that speaks the API of EAS, for those who try the deploying
commands without an account, and for tests. What is deployed to it really runs, on
an engine of this machine, one run an instance, and is called at
http://ADDRESS/api/predict/SERVICE with its token. It ends with Ctrl-C, and so do all
instances.

The access key is a new random one, or that of the variables EASCMD_ACCESS_KEY_ID
and EASCMD_ACCESS_KEY_SECRET. With --save-profile a profile is stored that the other
commands take with --profile; it is removed at the end. Without it, what to set is
printed.

Packages are read from oss://, s3://, http(s):// and file:// addresses. Uploads go
to a directory of this machine, which a file:// address names; --objects names
another directory, or a prefix of an object store, which the access key has to
be valid for (--oss-endpoint says where it is).

There are differences to EAS: nothing is built into images, rules of automatic
scaling are kept and not followed, and an update starts all instances of the new
version before it ends those of the old one. docs/control-plane.md lists them.`,
		Example: `  eascmd dev control-plane --save-profile local
  eascmd --profile local list
  eascmd dev control-plane --listen 127.0.0.1:7000 --state ~/services --delay 1s`,
		Annotations: exits(fault.Failed, fault.Usage, fault.Missing),
		Args:        noArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return opts.run(cmd.Context(), a) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opts.listen, "listen", "127.0.0.1:0", "`address` of the API; port 0 is a free one")
	flags.StringVar(&opts.predict, "predict-listen", "127.0.0.1:0", "`address` that services are called at")
	flags.StringVar(&opts.region, "region", controlplane.DefaultRegion, "the region that it is for")
	flags.StringVar(&opts.objects, "objects", "", "`place` for uploads: a directory, or the address of a prefix (default a new directory)")
	flags.StringVar(&opts.ossEndpoint, "oss-endpoint", "", "`host` that oss:// addresses are read from, http:// before it for plain HTTP (default oss_endpoint of the settings)")
	flags.StringVar(&opts.profile, "save-profile", "", "store a profile of this `name`, and remove it at the end")
	flags.StringVar(&opts.engine, "engine", "", "where services run: process or docker (default process on Linux, docker elsewhere)")
	flags.DurationVar(&opts.delay, "delay", 0, "shortest `time` that a service spends in each state on its way")
	flags.StringVar(&opts.state, "state", "", "keep services in this `directory`, and start them again")
	flags.Float64Var(&opts.rate, "rate", 0, "refuse more `calls` a second; 0 is no limit")
	flags.BoolVar(&opts.faults, "faults", false, "have tests ask for faults at the path /faults")
	_ = flags.MarkHidden("faults")
	_ = cmd.RegisterFlagCompletionFunc("engine", completeWords(func() []string { return []string{"process", "docker"} }))
	return cmd
}

func (o *controlPlaneOptions) run(ctx context.Context, a *app) error {
	switch {
	case o.delay < 0:
		return fault.New(fault.Usage, "--delay %v: it has to be 0 or longer", o.delay)
	case o.rate < 0:
		return fault.New(fault.Usage, "--rate %v: it has to be 0 or more", o.rate)
	}
	key, random, err := accessKeyForServer()
	if err != nil {
		return err
	}
	if err := o.checkProfile(a); err != nil {
		return err
	}
	root, err := rundir.Temporary()
	if err != nil {
		return err
	}
	dir, err := root.New()
	if err != nil {
		return err
	}
	defer dir.Close()
	objects, err := o.objectsAddress(dir.Path())
	if err != nil {
		return err
	}
	runner, closeEngine, err := o.runner(ctx, a, key)
	if err != nil {
		return err
	}
	defer closeEngine()
	server, err := controlplane.Start(controlplane.Options{
		Runner:        runner,
		Keys:          []controlplane.AccessKey{key},
		Listen:        o.listen,
		PredictListen: o.predict,
		Region:        o.region,
		Delays:        controlplane.AllDelays(o.delay),
		Rate:          o.rate,
		StateDir:      o.state,
		Faults:        o.faults,
		Notice:        a.tellNotice,
	})
	if err != nil {
		return err
	}
	defer server.Close()
	result := runningControlPlane{
		Endpoint: server.Endpoint(), PredictEndpoint: server.PredictEndpoint(), Region: server.Region(),
		AccessKeyID: key.ID, UploadPrefix: objects, OSSEndpoint: o.ossEndpoint, Profile: o.profile,
	}
	forget := func() {}
	switch {
	case o.profile != "":
		tidy := !a.hasBlankConfig()
		if err := config.Save(a.configFile, o.profile, config.Change{Remove: true, Set: result.settings(key)}); err != nil {
			return err
		}
		forget = sync.OnceFunc(func() {
			if err := config.Save(a.configFile, o.profile, config.Change{Remove: true, Tidy: tidy}); err != nil {
				a.term.Warn("the profile could not be removed: %v", err)
			}
		})
		defer forget()
	case random:
		result.AccessKeySecret = key.Secret
	}
	a.term.OK("Control plane of region [%s] at [%s]", server.Region(), server.Endpoint())
	if err := a.print(result); err != nil {
		return err
	}
	if o.profile != "" {
		a.term.Info("use it:   eascmd --profile %s list", o.profile)
	}
	a.term.Info("end it:   Ctrl-C")
	<-ctx.Done()
	forget() // a second signal may not leave the time for it
	a.term.Info("ending: the instances of all services are stopped")
	err = server.Close()
	if err == nil {
		a.term.OK("Control plane is stopped")
	}
	return err
}

// tellNotice shows what happens to services.
func (a *app) tellNotice(n controlplane.Notice) {
	text := n.Text
	if n.Service != "" {
		text = "[" + n.Service + "] " + text
	}
	if n.Warning {
		a.term.Warn("%s", ui.Printable(text))
		return
	}
	a.term.OK("%s", ui.Printable(text))
}

// accessKeyForServer returns the access key that callers need: that of the
// environment, or a new one.
func accessKeyForServer() (key controlplane.AccessKey, random bool, err error) {
	id, secret := config.EnvNames(config.AccessKeyID)[0], config.EnvNames(config.AccessKeySecret)[0]
	token := config.EnvNames(config.STSToken)[0]
	key = controlplane.AccessKey{ID: os.Getenv(id), Secret: os.Getenv(secret), SecurityToken: os.Getenv(token)}
	switch {
	case key.ID != "" && key.Secret != "":
		return key, false, nil
	case key.ID != "" || key.Secret != "" || key.SecurityToken != "":
		return key, false, fault.New(fault.Usage, "%s and %s belong together, and one of them is not set", id, secret).
			WithHint("set both, or neither for a random access key")
	}
	return controlplane.AccessKey{ID: "LTAI5t" + rand.Text()[:18], Secret: rand.Text() + rand.Text()[:4]}, true, nil
}

// checkProfile refuses to store a profile in place of one that is no control
// plane's: it would be lost.
func (o *controlPlaneOptions) checkProfile(a *app) error {
	if o.profile == "" {
		return nil
	}
	path := a.configFile
	if path != "" {
		if _, err := os.Stat(path); os.IsNotExist(err) {
			return nil // it is made
		}
	}
	profiles, err := config.Profiles(path)
	if err != nil {
		return err
	}
	for _, p := range profiles {
		local := p.Scheme() == "http" && (strings.HasPrefix(p.Endpoint(), "127.0.0.1:") || strings.HasPrefix(p.Endpoint(), "localhost:"))
		if p.Profile == strings.ToLower(o.profile) && !local {
			return fault.New(fault.Usage, "--save-profile %s: there is a profile of this name, for %s", o.profile, p.Endpoint()).
				WithHint("choose another name: this profile would be replaced, and removed at the end")
		}
		if p.Profile == strings.ToLower(o.profile) && answers(p.Endpoint()) {
			return fault.New(fault.Usage, "--save-profile %s: the profile is that of a control plane that runs, at %s", o.profile, p.Endpoint()).
				WithHint("choose another name, or end that one first")
		}
	}
	return nil
}

// answers reports whether somebody listens at an address of this machine.
func answers(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// hasBlankConfig reports whether there is a configuration file without anything in
// it: it is not ours to remove.
func (a *app) hasBlankConfig() bool {
	path, err := a.configPath()
	if err != nil {
		return false
	}
	text, err := os.ReadFile(path)
	return err == nil && len(bytes.TrimSpace(text)) == 0
}

// objectsAddress is where uploads go.
func (o *controlPlaneOptions) objectsAddress(temporary string) (string, error) {
	if store.IsAddress(o.objects) {
		address, err := store.ParseAddress(o.objects)
		return address.String(), err
	}
	dir := o.objects
	switch {
	case dir != "":
	case o.state != "":
		dir = filepath.Join(o.state, "objects")
	default:
		dir = filepath.Join(temporary, "objects")
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return "", fault.New(fault.Failed, "make the directory for uploads: %w", err)
	}
	return store.File + ":///" + strings.TrimPrefix(filepath.ToSlash(dir), "/") + "/", nil
}

// runner returns what runs the instances, and what to call at the end.
func (o *controlPlaneOptions) runner(ctx context.Context, a *app, key controlplane.AccessKey) (controlplane.Runner, func() error, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, nil, err
	}
	opts := onengine.Options{
		CacheDir: cache,
		CABundle: a.caBundle,
		Version:  versionOf(buildInfo()).Version,
		Fetch:    o.fetcher(a, key, cache),
	}
	name := o.engine
	if name == "" {
		name = "docker"
		if runtime.GOOS == "linux" {
			name = "process"
		}
	}
	switch name {
	case "process":
		return onengine.New(opts), func() error { return nil }, nil
	case "docker":
		if opts.Daemon, err = docker.Connect(ctx, docker.ConnectOptions{}); err != nil {
			return nil, nil, err
		}
		return onengine.New(opts), opts.Daemon.Close, nil
	default:
		return nil, nil, fault.New(fault.Usage, "--engine %s: the engines are process and docker", name)
	}
}

// serverCredentials are those of the control plane itself, for oss://.
type serverCredentials controlplane.AccessKey

func (c serverCredentials) Credentials(context.Context) (config.Credentials, error) {
	return config.Credentials{AccessKeyID: c.ID, AccessKeySecret: c.Secret, STSToken: c.SecurityToken}, nil
}

// fetcher returns what brings objects here.
func (o *controlPlaneOptions) fetcher(a *app, key controlplane.AccessKey, cache string) func(context.Context, string) (string, error) {
	return func(ctx context.Context, text string) (string, error) {
		address, err := store.ParseAddress(text)
		if err != nil {
			return "", err
		}
		settings, err := config.Load(config.Options{Path: a.configFile})
		if err != nil {
			return "", err
		}
		return store.Fetch(ctx, address, store.FetchOptions{
			CacheDir: filepath.Join(cache, "objects"),
			Options: store.Options{
				Credentials: serverCredentials(key),
				OSSEndpoint: cmp.Or(o.ossEndpoint, settings.OSSEndpoint()),
				Region:      o.region,
				S3Endpoint:  settings.S3Endpoint(),
				S3Region:    settings.S3Region(),
				CABundle:    a.caBundle,
			},
		})
	}
}

// runningControlPlane is the result of the command.
type runningControlPlane struct {
	Endpoint        string `json:"endpoint"`
	PredictEndpoint string `json:"predictEndpoint"`
	Region          string `json:"region"`
	Profile         string `json:"profile,omitempty"`
	UploadPrefix    string `json:"uploadPrefix"`
	OSSEndpoint     string `json:"ossEndpoint,omitempty"`
	AccessKeyID     string `json:"accessKeyId"`
	AccessKeySecret string `json:"accessKeySecret,omitempty"` // of a random key that no profile has
}

// settings are what a profile has to say.
func (r runningControlPlane) settings(key controlplane.AccessKey) map[string]string {
	set := map[string]string{
		config.AccessKeyID:     key.ID,
		config.AccessKeySecret: key.Secret,
		config.Endpoint:        r.Endpoint,
		config.Region:          r.Region,
		config.UploadPrefix:    r.UploadPrefix,
	}
	if key.SecurityToken != "" {
		set[config.STSToken] = key.SecurityToken
	}
	if r.OSSEndpoint != "" {
		set[config.OSSEndpoint] = r.OSSEndpoint
	}
	return set
}

func (r runningControlPlane) View() ui.View {
	details := ui.Details{
		{Key: "Endpoint", Value: r.Endpoint},
		{Key: "Services", Value: r.PredictEndpoint},
	}
	if r.Profile != "" {
		return append(details, ui.Detail{Key: "Profile", Value: r.Profile})
	}
	secret := r.AccessKeySecret
	if secret == "" {
		secret = "(that of the environment)"
	}
	lines := []string{
		"access_key_id = " + r.AccessKeyID,
		"access_key_secret = " + secret,
		"endpoint = " + r.Endpoint,
		"region = " + r.Region,
		"upload_prefix = " + r.UploadPrefix,
	}
	if r.OSSEndpoint != "" {
		lines = append(lines, "oss_endpoint = "+r.OSSEndpoint)
	}
	return append(details, ui.Detail{Key: "Profile lines", Value: strings.Join(lines, "\n")})
}
