package docker

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"

	"github.com/openeas/eascmd/internal/fault"
)

// hubKey is the name under which Docker's own command line keeps the
// credentials of docker.io.
const hubKey = "https://index.docker.io/v1/"

// imageID matches the ID of an image, which would be a name and a tag as well.
var imageID = regexp.MustCompile(`^(sha256:)?[0-9a-f]{64}$`)

// pullImage has the daemon pull an image.
func (d *Daemon) pullImage(ctx context.Context, want wanted, o *imageOptions) error {
	if imageID.MatchString(want.ref) {
		return fault.New(fault.Missing, "the Docker daemon has no image %s", want.ref).
			WithHint("`docker image ls` shows those that it has; what is elsewhere is pulled by its name, not by its ID")
	}
	named, err := reference.ParseNormalizedNamed(want.ref)
	if err != nil {
		return badName(want, err)
	}
	named = reference.TagNameOnly(named)
	auth, authErr := want.credentials(ctx, o, reference.Domain(named))
	if ctx.Err() != nil {
		return d.explain(context.Cause(ctx), "pulling the image "+want.ref)
	}
	o.log("pulling the image " + want.ref)
	update, done := func(int64, int64) {}, func() {}
	if o.Progress != nil {
		update, done = o.Progress("pulling " + want.ref)
	}
	defer done()
	if err := d.runPull(ctx, named, auth, update, o); err != nil {
		return d.explainPull(ctx, err, want, reference.Domain(named), authErr)
	}
	return nil
}

// runPull pulls, and sums up the progress of the layers.
func (d *Daemon) runPull(parent context.Context, named reference.Named, auth string, update func(done, total int64), o *imageOptions) error {
	ctx, watch, stop := newWatch(parent, o.quiet())
	defer stop()
	stream, err := d.ImagePull(ctx, named.String(), dockerimage.PullOptions{RegistryAuth: auth})
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	defer stream.Close()
	var l layers
	return readMessages(ctx, stream, watch, func(m *message) {
		l.note(m)
		update(l.sum())
	})
}

// layers are those of an image that is being pulled or pushed, by what the daemon
// tells.
type layers struct {
	byID map[string]*layer
}

type layer struct{ done, total int64 }

// note takes a message into account. Unpacking is not: it goes on beside the
// transfer, and its figures are those of the transfer once more.
func (l *layers) note(m *message) {
	if m.ID == "" {
		return
	}
	if l.byID == nil {
		l.byID = make(map[string]*layer)
	}
	switch m.Status {
	case "Downloading", "Pushing":
		if l.byID[m.ID] == nil {
			l.byID[m.ID] = new(layer)
		}
		*l.byID[m.ID] = layer{m.Progress.Current, max(m.Progress.Total, m.Progress.Current)}
	case "Verifying Checksum", "Download complete", "Extracting", "Pull complete", "Pushed":
		if one := l.byID[m.ID]; one != nil {
			one.done = one.total
		}
	}
}

// sum is how many bytes have come, of how many that are known of.
func (l *layers) sum() (done, total int64) {
	for _, one := range l.byID {
		done += one.done
		total += one.total
	}
	return done, total
}

// dockerConfig reads the configuration of Docker's own command line.
func dockerConfig(o *imageOptions) (*configfile.ConfigFile, error) {
	dir := o.env("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return configfile.New(""), nil
		}
		dir = filepath.Join(home, ".docker")
	}
	return config.Load(dir)
}

// credentials returns what an image is pulled with: its own, or those that the
// registry is known with.
func (w wanted) credentials(ctx context.Context, o *imageOptions, host string) (string, error) {
	if w.auth == "" {
		return credentials(ctx, o, host)
	}
	text, err := base64.StdEncoding.DecodeString(w.auth)
	user, password, ok := strings.Cut(string(text), ":")
	if err != nil || !ok {
		return "", errors.New("dockerAuth is not base64 of user:password")
	}
	return registry.EncodeAuthConfig(registry.AuthConfig{Username: user, Password: password, ServerAddress: host})
}

// credentials returns what the daemon is to log in with at a registry, encoded
// for it, or "". The error says why there is none although there may be: public
// images can be had without.
func credentials(ctx context.Context, o *imageOptions, host string) (string, error) {
	cfg, err := dockerConfig(o)
	if err != nil {
		return "", err
	}
	key := host
	if host == "docker.io" {
		key = hubKey
	}
	type answer struct {
		auth registry.AuthConfig
		err  error
	}
	// A credential helper is a program that may ask the user; it knows no limit.
	answers := make(chan answer, 1)
	go func() {
		a, err := cfg.GetAuthConfig(key)
		answers <- answer{registry.AuthConfig{
			Username: a.Username, Password: a.Password, Auth: a.Auth,
			ServerAddress: a.ServerAddress, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken,
		}, err}
	}()
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case a := <-answers:
		if a.err != nil || a.auth == (registry.AuthConfig{}) || a.auth == (registry.AuthConfig{ServerAddress: a.auth.ServerAddress}) {
			return "", a.err
		}
		return registry.EncodeAuthConfig(a.auth)
	}
}

// explainPull says why an image could not be pulled. authErr is why there were
// no credentials for the registry host.
func (d *Daemon) explainPull(ctx context.Context, err error, want wanted, host string, authErr error) error {
	doing := "pulling the image " + want.ref
	if ctx.Err() != nil {
		return d.explain(context.Cause(ctx), doing)
	}
	if quiet, ok := errors.AsType[*quietError](err); ok {
		return fault.New(fault.Missing, "%s: %w", doing, quiet).
			WithHint("the registry %s does not go on answering the daemon, or the daemon hangs; %s", host, bringImage(want))
	}
	if _, ok := errors.AsType[streamError](err); !ok && (!errdefs.IsNotFound(err) && !errdefs.IsInternal(err) && !errdefs.IsUnauthorized(err) && !errdefs.IsPermissionDenied(err) || connectionLost(err)) {
		return d.explain(err, doing)
	}
	said := strings.TrimPrefix(err.Error(), "Error response from daemon: ")
	why, hint := d.diagnosePull(said, want, host)
	if authErr != nil {
		hint += fmt.Sprintf("; the credentials in Docker's configuration cannot be read: %v", authErr)
	}
	return fault.New(fault.Missing, "%s: %s: %w", doing, why, &daemonError{errors.New(said), err}).WithHint("%s", hint)
}

// bringImage is how an image gets to a daemon that cannot pull it.
func bringImage(want wanted) string {
	return fmt.Sprintf("bring it from a machine that has it (docker save %s | gzip > image.tar.gz there, docker load < image.tar.gz here), "+
		"or name another with %s: `docker image ls` shows those that are here", want.ref, want.flag)
}

// diagnosePull says what a failed pull means, and what to do.
func (d *Daemon) diagnosePull(text string, want wanted, host string) (why, hint string) {
	says := func(marks ...string) bool {
		for _, mark := range marks {
			if strings.Contains(text, mark) {
				return true
			}
		}
		return false
	}
	login := "docker login " + host
	if host == "docker.io" {
		login = "docker login"
	}
	switch {
	case says("no space left on device", "disk quota exceeded"):
		return "the Docker daemon's disk is full", d.freeSpace()
	case says("x509:", "certificate signed by unknown authority"):
		return "the Docker daemon does not trust the certificate of the registry " + host,
			"pulling is the daemon's matter, --ca-bundle is not: put the authority's certificate into /etc/docker/certs.d/" + host +
				"/ca.crt on the daemon's machine, and run it again"
	case says("server gave HTTP response to HTTPS client"):
		return "the registry " + host + " speaks plain HTTP",
			"name it under insecure-registries in the daemon's /etc/docker/daemon.json, and restart the daemon"
	case says("toomanyrequests", "rate limit"):
		return "the registry " + host + " limits how much is pulled", "log in with `" + login + "`, wait, or " + bringImage(want)
	case says("no matching manifest", "does not match the specified platform"):
		return "there is none for the CPU of the Docker daemon, " + d.Arch(), "name another with " + want.flag
	case says("cannot be used on this platform"):
		return "it is for another system than Linux", "name another with " + want.flag
	case says("proxyconnect", "no such host", "i/o timeout", "connection refused", "network is unreachable", "no route to host",
		"TLS handshake timeout", "Client.Timeout exceeded", "context deadline exceeded", "server misbehaving", "connection reset by peer", "EOF"):
		return "the Docker daemon does not reach the registry " + host,
			"pulling is done by the daemon, with its own proxy settings and mirrors (registry-mirrors in /etc/docker/daemon.json); or " + bringImage(want)
	case says("unauthorized", "no basic auth credentials", "authentication required", "incorrect username or password"):
		return "the registry " + host + " wants a login", "`" + login + "`; and see whether the name is spelled right"
	case says("pull access denied", "manifest unknown", "not found", "repository does not exist", "requested access to the resource is denied", "name unknown", "denied"):
		return "the registry " + host + " has no such image, or shows it to nobody who is not logged in",
			"see whether the name is spelled right; if it is private: `" + login + "`; or " + bringImage(want)
	}
	return "the registry " + host + " or the daemon refuses", "`docker pull " + want.ref + "` shows whether it is Docker's matter; or " + bringImage(want)
}
