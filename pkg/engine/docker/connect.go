package docker

import (
	"context"
	"slices"
	"time"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"

	"github.com/openeas/eascmd/internal/fault"
)

// Daemon is a Docker Engine that has answered, or what speaks its API.
type Daemon struct {
	*client.Client

	// Endpoint is its address, such as unix:///var/run/docker.sock, and Source
	// says where that was found: "DOCKER_HOST", "context colima".
	Endpoint, Source string

	// Info is what it says of itself.
	Info system.Info
}

// ConnectOptions say where a daemon is looked for. The zero value is the usual.
type ConnectOptions struct {
	// Host is the address of the one to take; empty means those of the
	// environment, the contexts and the usual sockets.
	Host string
}

// pingTime is how long a daemon has to answer a ping.
const pingTime = 5 * time.Second

// Connect finds a daemon that answers. An error of kind Missing names all that
// was tried.
func Connect(ctx context.Context, opts ConnectOptions) (*Daemon, error) {
	settings := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if opts.Host != "" {
		settings = append(settings, client.WithHost(opts.Host))
	}
	c, err := client.NewClientWithOpts(settings...)
	if err != nil {
		return nil, fault.New(fault.Missing, "the Docker daemon: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	d := &Daemon{Client: c, Endpoint: c.DaemonHost(), Source: "DOCKER_HOST"}
	if d.Info, err = c.Info(ctx); err != nil {
		c.Close()
		return nil, fault.New(fault.Missing, "no Docker daemon answers at %s: %w", d.Endpoint, err)
	}
	return d, nil
}

// Rootless says whether the daemon runs without root's rights, so that root in
// a container is its user.
func (d *Daemon) Rootless() bool { return slices.Contains(d.Info.SecurityOptions, "name=rootless") }

// Arch is the daemon's CPU in the words of GOARCH.
func (d *Daemon) Arch() string {
	switch d.Info.Architecture {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return d.Info.Architecture
}
