package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"

	"github.com/openeas/eascmd/internal/fault"
)

// CanPush says why an image of a name cannot be pushed anywhere, nil if it may be.
func CanPush(name string) error {
	named, err := imageName(name)
	if err != nil {
		return err
	}
	if reference.Domain(named) == "docker.io" && strings.HasPrefix(reference.Path(named), "library/") {
		return fault.New(fault.Usage, "the image name %s names no registry to push to", name).
			WithHint("begin it with the registry and a namespace: registry.cn-shanghai.aliyuncs.com/NAMESPACE/%s", reference.FamiliarString(named))
	}
	return nil
}

// PushImage has the daemon push an image that it has, and returns the digest that
// the registry knows it by, "" where the registry tells none.
func (d *Daemon) PushImage(ctx context.Context, o MakeOptions) (digest string, err error) {
	named, err := imageName(o.Name)
	if err != nil {
		return "", err
	}
	name, host := reference.FamiliarString(named), reference.Domain(named)
	options := o.image(dataLanguage)
	if options.Env == nil {
		options.Env = os.Getenv
	}
	auth, authErr := credentials(ctx, options, host)
	if ctx.Err() != nil {
		return "", d.explain(context.Cause(ctx), "pushing the image "+name)
	}
	if auth == "" {
		// A daemon wants to be told that there are none.
		if auth, err = registry.EncodeAuthConfig(registry.AuthConfig{}); err != nil {
			return "", err
		}
	}
	update, done := func(int64, int64) {}, func() {}
	if o.Progress != nil {
		update, done = o.Progress("pushing " + name)
	}
	defer done()
	digest, err = d.runPush(ctx, named.String(), auth, update, options)
	if err != nil {
		return "", d.explainPush(ctx, err, name, host, authErr)
	}
	return digest, nil
}

// runPush pushes, and sums up the progress of the layers.
func (d *Daemon) runPush(parent context.Context, name, auth string, update func(done, total int64), o *imageOptions) (digest string, err error) {
	ctx, watch, stop := newWatch(parent, o.quiet())
	defer stop()
	stream, err := d.ImagePush(ctx, name, dockerimage.PushOptions{RegistryAuth: auth})
	if err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", err
	}
	defer stream.Close()
	var l layers
	err = readMessages(ctx, stream, watch, func(m *message) {
		l.note(m)
		update(l.sum())
		if m.Aux.Digest != "" {
			digest = m.Aux.Digest
		}
	})
	return digest, err
}

// explainPush says why an image could not be pushed. authErr is why there were no
// credentials for the registry host.
func (d *Daemon) explainPush(ctx context.Context, err error, name, host string, authErr error) error {
	doing := "pushing the image " + name
	if ctx.Err() != nil {
		return d.explain(context.Cause(ctx), doing)
	}
	again := "the image is there: `docker push " + name + "` sends it again"
	if quiet, ok := errors.AsType[*quietError](err); ok {
		return fault.New(fault.Missing, "%s: %w", doing, quiet).
			WithHint("the registry %s does not go on answering the daemon, or the daemon hangs; %s", host, again)
	}
	if _, ok := errors.AsType[streamError](err); !ok && (!errdefs.IsNotFound(err) && !errdefs.IsInternal(err) && !errdefs.IsUnauthorized(err) && !errdefs.IsPermissionDenied(err) || connectionLost(err)) {
		return d.explain(err, doing)
	}
	said := strings.TrimPrefix(err.Error(), "Error response from daemon: ")
	kind, why, hint := diagnosePush(said, name, host)
	if authErr != nil {
		hint += fmt.Sprintf("; the credentials in Docker's configuration cannot be read: %v", authErr)
	}
	return fault.New(kind, "%s: %s: %w", doing, why, &daemonError{errors.New(said), err}).WithHint("%s", hint)
}

// diagnosePush says what a failed push means, and what to do.
func diagnosePush(text, name, host string) (kind fault.Kind, why, hint string) {
	says := func(marks ...string) bool {
		for _, mark := range marks {
			if strings.Contains(text, mark) {
				return true
			}
		}
		return false
	}
	login := "`docker login " + host + "`"
	if host == "docker.io" {
		login = "`docker login`"
	}
	switch {
	case says("x509:", "certificate signed by unknown authority"):
		return fault.Missing, "the Docker daemon does not trust the certificate of the registry " + host,
			"it is the daemon that pushes, --ca-bundle is not for it: put the authority's certificate into /etc/docker/certs.d/" + host +
				"/ca.crt on the daemon's machine"
	case says("server gave HTTP response to HTTPS client"):
		return fault.Missing, "the registry " + host + " speaks plain HTTP",
			"name it under insecure-registries in the daemon's /etc/docker/daemon.json, and restart the daemon"
	case says("immutable"):
		return fault.Remote, "the registry " + host + " does not replace a tag that is there", "give the image another tag with -t"
	case says("proxyconnect", "no such host", "i/o timeout", "connection refused", "network is unreachable", "no route to host",
		"TLS handshake timeout", "Client.Timeout exceeded", "context deadline exceeded", "server misbehaving", "connection reset by peer", "EOF"):
		return fault.Missing, "the Docker daemon does not reach the registry " + host,
			"pushing is done by the daemon, with its own proxy settings; `docker push " + name + "` tries it again"
	case says("no basic auth credentials", "authentication required", "incorrect username or password", "unauthorized"):
		return fault.Remote, "the registry " + host + " wants a login", login + ", as somebody who may write to " + name
	case says("denied", "insufficient_scope", "forbidden", "not authorized"):
		return fault.Remote, "the registry " + host + " does not let this login write there, or nobody", login + ", and see whether the namespace is yours and spelled right"
	case says("name unknown", "NAME_UNKNOWN", "not found", "does not exist"):
		return fault.Remote, "the registry " + host + " has no such repository", "make the repository there first, and see whether the name is spelled right"
	}
	return fault.Remote, "the registry " + host + " or the daemon refuses", "`docker push " + name + "` shows whether it is Docker's matter"
}
