package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path"
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

	podman bool
	keeper keeper // who starts and restarts it
}

// ConnectOptions say where a daemon is looked for. The zero value is the usual.
type ConnectOptions struct {
	// Host is the address of the one to take; empty means those of the
	// environment, the contexts and the usual sockets.
	Host string
}

// What a daemon has time for.
const (
	pingTime = 5 * time.Second  // to take a connection and answer the first request
	sshTime  = 15 * time.Second // the same over ssh, which has to log in
	infoTime = 10 * time.Second // to say what it is
	findTime = 30 * time.Second // for all places together
)

// userAgent is how daemons know us in their logs.
const userAgent = "eascmd"

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
		if ctx.Err() != nil && p.trouble == nil {
			p.trouble = &trouble{kind: unreachable, words: fmt.Sprintf("not tried: the others took %v", findTime)}
		}
		d, err := p.connect(ctx, m)
		if err == nil {
			return d, nil
		}
		if errors.Is(ctx.Err(), context.Canceled) {
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
	pingTime := m.pingTime
	if strings.HasPrefix(p.address, "ssh://") {
		pingTime = m.sshTime
	}
	pinging, pingTime, cancel := within(ctx, pingTime)
	defer cancel()
	version, err := d.ping(pinging, p.headers)
	switch {
	case err != nil && errors.Is(pinging.Err(), context.DeadlineExceeded) && !line.connected.Load():
		return &trouble{kind: hangs, words: fmt.Sprintf("no connection within %v", pingTime), hint: d.keeper.hangs(), err: err}
	case err != nil && errors.Is(pinging.Err(), context.DeadlineExceeded):
		return &trouble{kind: hangs, words: fmt.Sprintf("accepts connections but does not answer within %v", pingTime), hint: d.keeper.hangs(), err: err}
	case err != nil:
		return p.classify(m, line.because(err))
	case versions.LessThan(version, oldestAPI):
		return &trouble{kind: tooOld,
			words: fmt.Sprintf("the daemon is too old: it speaks API %s, and %s (Docker Engine 20.10) is needed", version, oldestAPI),
			hint:  "update Docker to 20.10 or newer"}
	}
	d.NegotiateAPIVersionPing(types.Ping{APIVersion: version})
	if asked := d.ClientVersion(); versions.LessThan(asked, oldestAPI) {
		return &trouble{kind: tooOld,
			words: fmt.Sprintf("%s=%s asks for an API that is too old: %s is needed", client.EnvOverrideAPIVersion, asked, oldestAPI),
			hint:  "`unset " + client.EnvOverrideAPIVersion + "`: the version is negotiated with the daemon"}
	}

	asking, infoTime, cancel := within(ctx, m.infoTime)
	defer cancel()
	d.Info, err = d.Client.Info(asking)
	switch {
	case err != nil && errors.Is(asking.Err(), context.DeadlineExceeded):
		return &trouble{kind: hangs, words: fmt.Sprintf("answers a ping, but does not say what it is within %v", infoTime), hint: d.keeper.hangs(), err: err}
	case err != nil:
		return p.classify(m, line.because(err))
	}
	return nil
}

// within is withLimit that also tells how long there is until the limit, or
// that of ctx where that comes first.
func within(ctx context.Context, limit time.Duration) (context.Context, time.Duration, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline).Round(10*time.Millisecond))
	}
	ctx, cancel := withLimit(ctx, limit)
	return ctx, limit, cancel
}

// ping asks a daemon for the newest API version that it speaks. The client's
// own ping does not tell Podman from Docker.
func (d *Daemon) ping(ctx context.Context, headers map[string]string) (version string, err error) {
	at, err := client.ParseHostURL(d.DaemonHost())
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+client.DummyHost, nil)
	if err != nil {
		return "", err
	}
	// As the client's requests have it, so that its next one finds this connection.
	req.URL.Host, req.URL.Path = at.Host, path.Join(at.Path, "/_ping")
	req.Header.Set("User-Agent", userAgent)
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := d.HTTPClient().Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 512))
	if err != nil {
		return "", err
	}
	version = resp.Header.Get("Api-Version")
	switch said := strings.Join(strings.Fields(string(body)), " "); {
	case strings.Contains(said, "HTTP request to an HTTPS server"):
		return "", wantsTLS()
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return "", forbids(said)
	case resp.StatusCode >= http.StatusInternalServerError:
		return "", &trouble{kind: refuses, words: "answers with an error: " + said, hint: d.keeper.hangs()}
	case resp.StatusCode != http.StatusOK || version == "":
		return "", notDocker()
	}
	d.podman = resp.Header.Get("Libpod-Api-Version") != ""
	return version, nil
}

// Rootless says whether the daemon runs without root's rights, so that root in
// a container is its user.
func (d *Daemon) Rootless() bool { return slices.Contains(d.Info.SecurityOptions, "name=rootless") }

// Remapped says whether the daemon maps the users of containers to others of
// its machine (userns-remap), so that an id in a container owns no file of ours.
func (d *Daemon) Remapped() bool { return slices.Contains(d.Info.SecurityOptions, "name=userns") }

// Podman says whether it is Podman that speaks Docker's API.
func (d *Daemon) Podman() bool { return d.podman }

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
