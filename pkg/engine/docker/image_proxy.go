package docker

import (
	"net"
	"net/url"
	"runtime"
	"strings"

	"github.com/docker/docker/api/types/network"

	"github.com/openeas/eascmd/pkg/store"
)

// buildProxies are the proxies that a build goes through, as arguments that
// every Dockerfile knows and that leave no trace in the image.
type buildProxies struct {
	args    map[string]*string
	network string // what containers of the build are connected to; "" is the usual

	shown       string // one of them, for messages, without its password
	unreachable string // one on a loopback address that containers do not reach
}

// proxyVariables are the variables that name proxies, without their lower case.
var proxyVariables = [...]string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}

// buildProxies takes the proxies from the environment, and those that it does
// not name from the configuration of Docker's own command line.
func (d *Daemon) buildProxies(o *imageOptions) *buildProxies {
	p := &buildProxies{args: make(map[string]*string)}
	if cfg, err := dockerConfig(o); err == nil { // else a pull says what is wrong with it
		for name, value := range cfg.ParseProxyConfig(d.Endpoint, nil) {
			p.args[name] = value
		}
	}
	for _, upper := range proxyVariables {
		lower := strings.ToLower(upper)
		values := [...]string{o.env(upper), o.env(lower)}
		for i, name := range [...]string{upper, lower} {
			value := values[i]
			if value == "" {
				value = values[1-i] // programs differ in which of them they read
			}
			if value != "" {
				p.args[name] = &value
			}
		}
	}
	for _, upper := range proxyVariables[:3] {
		value, ok := p.args[upper]
		if !ok {
			continue
		}
		p.shown = store.Mask(*value)
		if !isLoopback(*value) {
			continue
		}
		if d.sharesNetwork() {
			p.network = network.NetworkHost
		} else {
			p.unreachable = p.shown
		}
		break
	}
	return p
}

// isLoopback says whether a proxy is on the machine that names it.
func isLoopback(proxy string) bool {
	if !strings.Contains(proxy, "://") {
		proxy = "http://" + proxy
	}
	u, err := url.Parse(proxy)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return strings.EqualFold(u.Hostname(), "localhost") || ip.IsLoopback()
}

// sharesNetwork says whether the daemon's host network is this machine's: it
// runs here, in no virtual machine and no namespace of its own.
func (d *Daemon) sharesNetwork() bool {
	return runtime.GOOS == "linux" && strings.HasPrefix(d.Endpoint, "unix://") &&
		!d.Rootless() && d.Info.OperatingSystem != "Docker Desktop"
}

// advice is what to do where a build has no network.
func (p *buildProxies) advice(d *Daemon) string {
	switch {
	case p.unreachable != "":
		return "give HTTP_PROXY and HTTPS_PROXY an address of this machine that containers reach, instead of " + p.unreachable
	case p.shown != "":
		return "see whether containers reach the proxy " + p.shown
	case d.Info.HTTPProxy != "" || d.Info.HTTPSProxy != "":
		return "set HTTP_PROXY and HTTPS_PROXY: the daemon itself goes through a proxy"
	}
	return "set HTTP_PROXY and HTTPS_PROXY where the network has a proxy"
}
