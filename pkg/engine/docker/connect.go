package docker

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
)

// Daemon is a Docker Engine that has answered, or what speaks its API.
type Daemon struct {
	*client.Client

	// Endpoint is its address, such as unix:///var/run/docker.sock, and Source
	// says where that was found: "DOCKER_HOST", "context colima".
	Endpoint, Source string

	// Info is what it says of itself.
	Info system.Info

	version types.Version
	keeper  keeper // who starts and restarts it
}

// ConnectOptions say where a daemon is looked for. The zero value is the usual.
type ConnectOptions struct {
	// Host is the address of the one to take; empty means those of the
	// environment, the contexts and the usual sockets.
	Host string
}

// What a daemon has time for. Over ssh there is a login before the first answer.
const (
	pingTime    = 5 * time.Second
	sshPingTime = 15 * time.Second
	infoTime    = 10 * time.Second
	findTime    = 30 * time.Second // for all places together
)

// oldestAPI is the first API version that has all that is used here.
const oldestAPI = "1.41"

// Connect finds a daemon that answers. One that was chosen is the only one
// tried: with ConnectOptions.Host, DOCKER_HOST, DOCKER_CONTEXT, or the current
// context of Docker's configuration. Otherwise the first of the usual sockets
// that answers is taken. An error of kind Missing lists all that was tried.
//
// Daemons are reached directly, never through the proxies of the environment:
// an HTTP proxy cannot carry the streams of a container.
func Connect(ctx context.Context, opts ConnectOptions) (*Daemon, error) {
	return connect(ctx, opts, thisMachine())
}

func connect(ctx context.Context, opts ConnectOptions, m *machine) (*Daemon, error) {
	ctx, cancel := withLimit(ctx, findTime)
	defer cancel()
	var tried []Candidate
	for _, p := range m.places(opts) {
		d, err := p.connect(ctx, m)
		if err == nil {
			return d, nil
		}
		if context.Cause(ctx) == context.Canceled {
			return nil, fmt.Errorf("looking for a Docker daemon: %w", context.Canceled)
		}
		tried = append(tried, p.candidate(nil, err))
	}
	return nil, m.noDaemon(tried)
}

// Candidate is a place where a daemon was looked for, and what was found.
type Candidate struct {
	Address string `json:"address,omitempty"` // such as unix:///var/run/docker.sock
	Source  string `json:"source"`            // where the address comes from
	Outcome string `json:"outcome"`           // what came of it, in plain words
	Answers bool   `json:"answers"`

	err    *trouble
	chosen bool
}

// Hint says what to do where no daemon answers; it may be empty.
func (c Candidate) Hint() string {
	if c.err == nil {
		return ""
	}
	return c.err.hint
}

// Candidates tries every place where Connect would look, all at once, and
// returns them in Connect's order: the first that answers is the one that
// Connect takes.
func Candidates(ctx context.Context, opts ConnectOptions) []Candidate {
	return candidates(ctx, opts, thisMachine())
}

func candidates(ctx context.Context, opts ConnectOptions, m *machine) []Candidate {
	places := m.places(opts)
	found := make([]Candidate, len(places))
	var all sync.WaitGroup
	for i, p := range places {
		all.Go(func() {
			d, err := p.connect(ctx, m)
			if err == nil {
				defer d.Close()
			}
			found[i] = p.candidate(d, err)
		})
	}
	all.Wait()
	return found
}

// candidate says what came of trying a place.
func (p *place) candidate(d *Daemon, err *trouble) Candidate {
	c := Candidate{Address: p.address, Source: p.source, err: err, chosen: p.chosen}
	if err != nil {
		c.Outcome = err.Error()
		return c
	}
	c.Answers = true
	product := "Docker Engine"
	if d.Podman() {
		product = "Podman"
	}
	c.Outcome = fmt.Sprintf("%s %s answers, API %s", product, d.Info.ServerVersion, d.ClientVersion())
	return c
}

// connect tries one place.
func (p *place) connect(ctx context.Context, m *machine) (*Daemon, *trouble) {
	if p.trouble != nil {
		return nil, p.trouble
	}
	c, line, err := p.client(m)
	if err != nil {
		return nil, p.classify(m, err)
	}
	d := &Daemon{Client: c, Endpoint: p.address, Source: p.source, keeper: m.keeper(p)}
	if err := d.greet(ctx, p, line, m); err != nil {
		c.Close()
		return nil, err
	}
	return d, nil
}

// greet asks a daemon for its API version, and then what it is.
func (d *Daemon) greet(ctx context.Context, p *place, line *line, m *machine) *trouble {
	pingTime := p.pingTime()
	pinging, cancel := withLimit(ctx, pingTime)
	defer cancel()
	ping, err := d.Ping(pinging)
	switch {
	case err != nil && pinging.Err() != nil && !line.connected.Load():
		return &trouble{kind: hangs, words: fmt.Sprintf("no connection within %v", pingTime), hint: d.keeper.hangs(), err: err}
	case err != nil && pinging.Err() != nil:
		return &trouble{kind: hangs, words: fmt.Sprintf("accepts connections but does not answer within %v", pingTime), hint: d.keeper.hangs(), err: err}
	case err != nil:
		return p.classify(m, line.because(err))
	case ping.APIVersion == "":
		return &trouble{kind: stranger, words: "something answers, but not as a Docker daemon does"}
	case versions.LessThan(ping.APIVersion, oldestAPI):
		return &trouble{kind: tooOld,
			words: fmt.Sprintf("the daemon is too old: it speaks API %s, and %s (Docker Engine 20.10) is needed", ping.APIVersion, oldestAPI),
			hint:  "update Docker to 20.10 or newer"}
	}
	d.NegotiateAPIVersionPing(ping)
	if asked := d.ClientVersion(); versions.LessThan(asked, oldestAPI) {
		return &trouble{kind: tooOld,
			words: fmt.Sprintf("%s=%s asks for an API that is too old: %s is needed", client.EnvOverrideAPIVersion, asked, oldestAPI),
			hint:  "`unset " + client.EnvOverrideAPIVersion + "`: the version is negotiated with the daemon"}
	}

	asking, cancel := withLimit(ctx, infoTime)
	defer cancel()
	var version sync.WaitGroup
	version.Go(func() {
		// Only tells Podman from Docker, so that what forbids it does no harm.
		d.version, _ = d.ServerVersion(asking)
	})
	d.Info, err = d.Client.Info(asking)
	version.Wait()
	switch {
	case err != nil && asking.Err() != nil:
		return &trouble{kind: hangs, words: fmt.Sprintf("answers a ping, but does not say what it is within %v", infoTime), hint: d.keeper.hangs(), err: err}
	case err != nil:
		return p.classify(m, line.because(err))
	}
	return nil
}

// Rootless says whether the daemon runs without root's rights, so that root in
// a container is its user.
func (d *Daemon) Rootless() bool { return slices.Contains(d.Info.SecurityOptions, "name=rootless") }

// Remapped says whether the daemon maps the users of containers to others of
// its machine (userns-remap), so that an id in a container owns no file of ours.
func (d *Daemon) Remapped() bool { return slices.Contains(d.Info.SecurityOptions, "name=userns") }

// Podman says whether it is Podman that speaks Docker's API.
func (d *Daemon) Podman() bool {
	return slices.ContainsFunc(d.version.Components, func(c types.ComponentVersion) bool {
		return c.Name == "Podman Engine"
	})
}

// Desktop says whether it is Docker Desktop's, which runs in a virtual machine
// that sees the directories that it is configured to share.
func (d *Daemon) Desktop() bool { return d.Info.OperatingSystem == "Docker Desktop" }

// Snap says whether it is Docker from a snap, which is confined: it sees little
// beyond the homes of users, and no hidden directory in them.
func (d *Daemon) Snap() bool { return strings.HasPrefix(d.Info.DockerRootDir, "/var/snap/docker/") }

// Local says whether the daemon was reached on this machine: through a socket, a
// pipe or the loopback. That is no proof that it sees this machine's files: the
// other end may be a virtual machine, or a tunnel.
func (d *Daemon) Local() bool { return localAddress(d.Endpoint) }

func localAddress(address string) bool {
	scheme, rest, _ := strings.Cut(address, "://")
	switch scheme {
	case "unix", "npipe":
		return true
	case "tcp":
		host, _, err := net.SplitHostPort(strings.SplitN(rest, "/", 2)[0])
		if err != nil {
			return false
		}
		ip, err := netip.ParseAddr(host)
		return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
	}
	return false
}

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
