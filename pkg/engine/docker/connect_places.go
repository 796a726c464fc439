package docker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	dockerconfig "github.com/docker/cli/cli/config"
	dockercontext "github.com/docker/cli/cli/context"
	contextdocker "github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"
	dockeropts "github.com/docker/cli/opts"
	"github.com/docker/docker/client"
)

// place is somewhere that a daemon may be.
type place struct {
	address string // as unix:///var/run/docker.sock; empty where trouble is set and it is not known
	source  string // where the address comes from
	product product
	profile string // which of several, of a product that has them: Colima's "default"
	chosen  bool   // by the user, rather than usual
	tls     *tls.Config
	headers map[string]string // that Docker's configuration adds to every request
	trouble *trouble          // why it cannot even be tried
}

// socket is the path of a place that is a Unix socket.
func (p *place) socket() (path string, ok bool) {
	return strings.CutPrefix(p.address, "unix://")
}

// machine is what of this machine decides where a daemon is looked for, and how
// one is started.
type machine struct {
	goos       string
	root       string // before the paths of the system; empty but in tests
	home       string
	runtimeDir string // the user's directory for sockets
	admin      bool   // whether we are root
	getenv     func(string) string
	has        func(program string) bool

	// How long a daemon has to answer: pingTime, sshTime and infoTime.
	pingTime, sshTime, infoTime time.Duration
}

func thisMachine() *machine {
	home, err := os.UserHomeDir()
	if err != nil {
		home = string(filepath.Separator) // never the working directory
		if u, err := user.Current(); err == nil {
			home = u.HomeDir
		}
	}
	runtimeDir := os.Getenv("XDG_RUNTIME_DIR")
	if runtimeDir == "" {
		runtimeDir = fmt.Sprintf("/run/user/%d", os.Getuid())
	}
	return &machine{
		goos:       runtime.GOOS,
		home:       home,
		runtimeDir: runtimeDir,
		admin:      os.Getuid() == 0,
		getenv:     os.Getenv,
		has: func(program string) bool {
			_, err := exec.LookPath(program)
			return err == nil
		},
		pingTime: pingTime,
		sshTime:  sshTime,
		infoTime: infoTime,
	}
}

// exists says whether a path of the system does.
func (m *machine) exists(path string) bool {
	_, err := os.Stat(m.root + path)
	return err == nil
}

// configDir is where Docker's client has its configuration.
func (m *machine) configDir() string {
	if dir := m.getenv(dockerconfig.EnvOverrideConfigDir); dir != "" {
		return dir
	}
	return filepath.Join(m.home, ".docker")
}

// places are where a daemon is looked for, in order. What the user chose is
// the only one.
func (m *machine) places(opts ConnectOptions) []*place {
	config, configErr := dockerconfig.Load(m.configDir())
	headers := config.HTTPHeaders
	var chosen *place
	var first []*place
	switch name := m.getenv("DOCKER_CONTEXT"); {
	case opts.Host != "":
		chosen = m.addressed(opts.Host, "the address given")
	case m.getenv(client.EnvOverrideHost) != "":
		chosen = m.addressed(m.getenv(client.EnvOverrideHost), client.EnvOverrideHost)
	case name == "default":
	case name != "":
		chosen = m.inContext(name, "DOCKER_CONTEXT")
	case configErr != nil:
		// docker warns and goes on, and who can use it can use this.
		first = append(first, &place{source: filepath.Join(m.configDir(), dockerconfig.ConfigFileName),
			trouble: &trouble{kind: badChoice, words: "cannot be read: " + pathless(configErr), err: configErr,
				hint: "mend the file, whose context is the daemon to use"}})
	case config.CurrentContext != "" && config.CurrentContext != "default":
		chosen = m.inContext(config.CurrentContext, "the current context")
	}
	places := append(first, chosen)
	if chosen == nil {
		places = append(first, m.usual()...)
	} else {
		chosen.chosen = true
	}
	for _, p := range places {
		p.headers = headers
	}
	return places
}

// addressed is the place with an address that was given, with TLS as Docker's
// client takes it from the environment.
func (m *machine) addressed(address, source string) *place {
	p := &place{address: address, source: source}
	secure := m.getenv(client.EnvTLSVerify) != "" || m.getenv("DOCKER_TLS") != ""
	if err := p.normalise(&secure); err != nil {
		p.trouble = err
		return p
	}
	p.product, p.profile = m.productOf(p.address)
	if !secure || !strings.HasPrefix(p.address, "tcp://") {
		return p
	}
	dir := m.getenv(client.EnvOverrideCertPath)
	if dir == "" {
		dir = m.configDir()
	}
	// A daemon need not want to know who calls, and its authority may be public.
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		return path
	}
	data, err := dockercontext.TLSDataFromFiles(file("ca.pem"), file("cert.pem"), file("key.pem"))
	if err == nil {
		p.tls, err = newTLS(data, m.getenv(client.EnvTLSVerify) == "")
	}
	if err != nil {
		p.trouble = &trouble{kind: tlsWrong, words: "the certificates in " + dir + " cannot be used: " + err.Error(), err: err,
			hint: "put the daemon's ca.pem and your cert.pem and key.pem there, or set " + client.EnvOverrideCertPath}
	}
	return p
}

// normalise completes an address as Docker's client does; https stands for
// tcp with TLS.
func (p *place) normalise(secure *bool) *trouble {
	address := strings.TrimSpace(p.address)
	if rest, ok := strings.CutPrefix(address, "https://"); ok {
		address, *secure = "tcp://"+rest, true
	} else if rest, ok := strings.CutPrefix(address, "http://"); ok {
		address = "tcp://" + rest
	}
	wrong := func(hint string, err error) *trouble {
		return &trouble{kind: badChoice, words: "is not the address of a daemon", hint: hint, err: err}
	}
	if strings.HasPrefix(address, "/") {
		return wrong("the address of a socket is written unix://"+address, nil)
	}
	if u, err := url.Parse(address); err == nil && u.User != nil {
		// A password has no place in an address, nor in a message.
		if _, secret := u.User.Password(); secret {
			p.address = u.Redacted()
			return wrong("ssh takes no password from an address; use a key", nil)
		}
	}
	full, err := dockeropts.ParseHost(*secure, address)
	if err != nil || strings.HasPrefix(full, "fd://") {
		return wrong("an address is unix:///path, tcp://host:port or ssh://user@host", err)
	}
	p.address = full
	return nil
}

// inContext is the place that a context of Docker's client names.
func (m *machine) inContext(name, source string) *place {
	p := &place{source: source + " " + name}
	contexts := store.New(filepath.Join(m.configDir(), "contexts"), store.NewConfig(
		func() any { return new(map[string]any) },
		store.EndpointTypeGetter(contextdocker.DockerEndpoint, func() any { return new(contextdocker.EndpointMeta) }),
	))
	unusable := func(words string, err error) *place {
		p.trouble = &trouble{kind: badChoice, words: words, err: err,
			hint: "`docker context ls` lists the contexts, `docker context use default` leaves them"}
		if source == "DOCKER_CONTEXT" {
			p.trouble.hint = "`docker context ls` lists the contexts, `unset DOCKER_CONTEXT` leaves them"
		}
		return p
	}
	meta, err := contexts.GetMetadata(name)
	if errdefs.IsNotFound(err) {
		words := "there is no such context"
		if names, err := store.Names(contexts); err == nil && len(names) > 0 {
			words += ", only " + strings.Join(names, ", ")
		}
		return unusable(words, err)
	}
	if err != nil {
		return unusable("the context cannot be read: "+err.Error(), err)
	}
	endpoint, err := contextdocker.EndpointFromContext(meta)
	if err != nil {
		return unusable("the context names no Docker daemon", err)
	}
	full, err := contextdocker.WithTLSData(contexts, name, endpoint)
	if err != nil {
		return unusable("the context's certificates cannot be read: "+err.Error(), err)
	}
	p.address = full.Host
	secure := full.TLSData != nil || full.SkipTLSVerify
	if err := p.normalise(&secure); err != nil {
		p.trouble = err
		return p
	}
	p.product, p.profile = m.productOf(p.address)
	if secure && strings.HasPrefix(p.address, "tcp://") {
		if p.tls, err = newTLS(full.TLSData, full.SkipTLSVerify); err != nil {
			return unusable("the context's certificates cannot be used: "+err.Error(), err)
		}
	}
	return p
}

// usual are the places where daemons listen that nobody chose.
func (m *machine) usual() []*place {
	if m.goos == "windows" {
		return []*place{
			{address: "npipe:////./pipe/docker_engine", source: "the usual pipe", product: desktop},
			{address: "npipe:////./pipe/dockerDesktopLinuxEngine", source: "Docker Desktop", product: desktop},
			{address: "npipe:////./pipe/podman-machine-default", source: "Podman", product: podman},
		}
	}
	inHome := func(elements ...string) string { return filepath.Join(append([]string{m.home}, elements...)...) }
	linux, mac := m.goos == "linux", m.goos == "darwin"
	var places []*place
	seen := make(map[string]bool)
	add := func(on bool, product product, source, pattern string) {
		if !on {
			return
		}
		matches, _ := filepath.Glob(pattern) // which is well-formed, or matches nothing
		if len(matches) == 0 {
			matches = []string{pattern}
		}
		for _, path := range defaultFirst(matches) {
			// Desktop, Colima and others link the system's socket to their own.
			if real, err := filepath.EvalSymlinks(path); err == nil {
				if seen[real] {
					continue
				}
				seen[real] = true
			}
			p := &place{address: "unix://" + path, source: source, product: product}
			if strings.Contains(pattern, "*") && !strings.Contains(path, "*") {
				p.profile = profileOf(pattern, path)
				p.source += " " + p.profile
			}
			places = append(places, p)
		}
	}
	system := systemDocker
	if mac {
		system = desktop // only ever a link to the socket of one of those below
	}
	colimas := m.getenv("COLIMA_HOME")
	if colimas == "" {
		colimas = inHome(".colima")
	}
	limas := m.getenv("LIMA_HOME")
	if limas == "" {
		limas = inHome(".lima")
	}
	config := m.getenv("XDG_CONFIG_HOME")
	if config == "" {
		config = inHome(".config")
	}
	add(true, system, "the usual socket", m.root+"/var/run/docker.sock")
	add(linux, rootlessDocker, "rootless Docker", filepath.Join(m.runtimeDir, "docker.sock"))
	add(mac, desktop, "Docker Desktop", inHome(".docker", "run", "docker.sock"))
	add(linux, desktop, "Docker Desktop", inHome(".docker", "desktop", "docker.sock"))
	add(true, colima, "Colima", filepath.Join(colimas, "*", "docker.sock"))
	add(true, colima, "Colima", filepath.Join(config, "colima", "*", "docker.sock"))
	add(mac, orbstack, "OrbStack", inHome(".orbstack", "run", "docker.sock"))
	add(true, rancher, "Rancher Desktop", inHome(".rd", "docker.sock"))
	add(true, lima, "Lima", filepath.Join(limas, "*", "sock", "docker.sock"))
	add(mac, finch, "Finch", m.root+"/Applications/Finch/lima/data/finch/sock/finch.sock")
	add(linux, finch, "Finch", m.root+"/run/finch.sock")
	add(linux, podman, "Podman", filepath.Join(m.runtimeDir, "podman", "podman.sock"))
	add(linux, systemPodman, "root's Podman", m.root+"/run/podman/podman.sock")
	add(mac, podman, "Podman", inHome(".local", "share", "containers", "podman", "machine", "podman.sock"))
	add(mac && m.getenv("TMPDIR") != "", podman, "Podman", filepath.Join(m.getenv("TMPDIR"), "podman", "podman-machine-default-api.sock"))
	return places
}

// profileOf is what the star of a pattern stands for in a path.
func profileOf(pattern, path string) string {
	before, _, _ := strings.Cut(pattern, "*")
	profile, _, _ := strings.Cut(strings.TrimPrefix(path, before), string(filepath.Separator))
	return profile
}

// defaultFirst moves what belongs to a profile named default to the front.
func defaultFirst(paths []string) []string {
	marker := string(filepath.Separator) + "default" + string(filepath.Separator)
	slices.SortStableFunc(paths, func(a, b string) int {
		switch inA, inB := strings.Contains(a, marker), strings.Contains(b, marker); {
		case inA && !inB:
			return -1
		case inB && !inA:
			return 1
		}
		return 0
	})
	return paths
}
