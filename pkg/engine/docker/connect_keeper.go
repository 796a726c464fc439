package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// product is what listens at an address, as far as the address tells.
type product int

const (
	unknownProduct product = iota // on another machine, or unknown
	systemDocker
	rootlessDocker
	desktop
	colima
	orbstack
	rancher
	lima
	finch
	podman
	systemPodman
)

// productOf tells a product, and which of several, from an address that was
// chosen.
func (m *machine) productOf(address string) (is product, profile string) {
	path, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		if strings.HasPrefix(address, "npipe://") {
			return desktop, ""
		}
		return unknownProduct, ""
	}
	for _, known := range []struct {
		part    string
		product product
	}{
		{"/podman/podman.sock", podman},
		{"/podman/machine/", podman},
		{"/.docker/run/", desktop},
		{"/.docker/desktop/", desktop},
		{"/.colima/", colima},
		{"/colima/", colima},
		{"/.orbstack/", orbstack},
		{"/.rd/", rancher},
		{"/.lima/", lima},
		{"finch.sock", finch},
		{"/run/user/", rootlessDocker},
	} {
		if !strings.Contains(path, known.part) {
			continue
		}
		switch dir := filepath.Dir(path); {
		case known.product == podman && dir == m.root+"/run/podman":
			return systemPodman, ""
		case known.product == colima:
			return colima, filepath.Base(dir)
		case known.product == lima:
			return lima, filepath.Base(filepath.Dir(dir))
		}
		return known.product, ""
	}
	switch {
	case filepath.Dir(path) == m.runtimeDir:
		return rootlessDocker, ""
	case path != m.root+"/var/run/docker.sock" && path != m.root+"/run/docker.sock":
		return unknownProduct, ""
	case m.goos == "linux":
		return systemDocker, ""
	}
	return desktop, ""
}

// keeper is who keeps a daemon running: the commands, in backquotes or as a
// phrase, that show what it logs and that start it or start it again. They are
// empty where nothing is known.
type keeper struct{ log, restart, start string }

// keeper tells who keeps the daemon of a place.
func (m *machine) keeper(p *place) keeper {
	systemd := m.exists("/run/systemd/system")
	unit := func(user bool, name string) keeper {
		journal, systemctl := m.sudo("journalctl -u "+name+" -n 50"), m.sudo("systemctl %s "+name)
		if user {
			journal, systemctl = "journalctl --user -u "+name+" -n 50", "systemctl --user %s "+name
		}
		return keeper{
			log:     "`" + journal + "`",
			restart: "`" + fmt.Sprintf(systemctl, "restart") + "`",
			start:   "`" + fmt.Sprintf(systemctl, "start") + "`",
		}
	}
	named := func(name string) string {
		if p.profile == "" || p.profile == "default" {
			return ""
		}
		return " " + name + p.profile
	}
	switch p.product {
	case systemDocker:
		switch {
		case m.exists("/var/snap/docker"):
			return keeper{"`" + m.sudo("snap logs docker") + "`", "`" + m.sudo("snap restart docker") + "`", "`" + m.sudo("snap start docker") + "`"}
		case systemd:
			return unit(false, "docker")
		}
		return keeper{"`" + m.sudo("tail -n 50 /var/log/docker.log") + "`", "`" + m.sudo("service docker restart") + "`", "`" + m.sudo("service docker start") + "`"}
	case rootlessDocker:
		if systemd {
			return unit(true, "docker")
		}
		return keeper{start: "`dockerd-rootless.sh`"}
	case desktop:
		switch m.goos {
		case "linux":
			return unit(true, "docker-desktop")
		case "darwin":
			return keeper{restart: "restarting Docker Desktop", start: "`open -a Docker`"}
		}
		return keeper{restart: "restarting Docker Desktop", start: "starting Docker Desktop"}
	case colima:
		return keeper{restart: "`colima restart" + named("-p ") + "`", start: "`colima start" + named("-p ") + "`"}
	case orbstack:
		return keeper{restart: "restarting OrbStack", start: "`open -a OrbStack`"}
	case rancher:
		return keeper{restart: "`rdctl shutdown && rdctl start`", start: "`rdctl start`"}
	case lima:
		name := named("")
		return keeper{restart: "`limactl stop -f" + name + " && limactl start" + name + "`", start: "`limactl start" + name + "`"}
	case finch:
		if m.goos == "linux" {
			return unit(false, "finch")
		}
		return keeper{restart: "`finch vm stop --force && finch vm start`", start: "`finch vm start`"}
	case podman:
		if m.goos == "linux" {
			k := unit(true, "podman.socket")
			k.log = "`journalctl --user -u podman -n 50`"
			return k
		}
		return keeper{restart: "`podman machine stop && podman machine start`", start: "`podman machine start`"}
	case systemPodman:
		k := unit(false, "podman.socket")
		k.log = "`" + m.sudo("journalctl -u podman -n 50") + "`"
		return k
	}
	return keeper{}
}

// sudo is a command as this user has to write it.
func (m *machine) sudo(command string) string {
	if m.admin {
		return command
	}
	return "sudo " + command
}

// hangs is what to do about a daemon that is there and does not answer.
func (k keeper) hangs() string {
	switch {
	case k.restart == "":
		return "the daemon hangs, or is overloaded: look at its log and restart it"
	case k.log == "":
		return "the daemon hangs, or is overloaded: " + k.restart + " mends it"
	}
	return "the daemon hangs, or is overloaded: " + k.log + " shows why, " + k.restart + " mends it"
}

// ended is what to do about a daemon that is gone.
func (k keeper) ended() string {
	switch {
	case k.start == "":
		return "the daemon ended, or was restarted: look at its log, and start it"
	case k.log == "":
		return "the daemon ended, or was restarted: " + k.start + " starts it"
	}
	return "the daemon ended, or was restarted: " + k.log + " shows why, " + k.start + " starts it"
}

// starts is what to do about a daemon that does not run.
func (k keeper) starts() string {
	if k.start == "" {
		return "start the daemon there"
	}
	return k.start + " starts it"
}

// remedy is what to do where nothing answers: what mends the most likely cause.
func (m *machine) remedy(tried []Candidate) string {
	worst := -1
	for i, c := range tried {
		if c.err.kind < absent && (worst < 0 || c.err.kind < tried[worst].err.kind) {
			worst = i
		}
	}
	if len(tried) == 1 && tried[0].chosen {
		return m.chosenRemedy(tried[0])
	}
	if worst >= 0 && tried[worst].err.hint != "" {
		return tried[worst].err.hint
	}
	return m.install()
}

// chosenRemedy is remedy for what the user chose, which may be left instead.
func (m *machine) chosenRemedy(c Candidate) string {
	hint := c.err.hint
	leave := ""
	switch source, _, _ := strings.Cut(c.Source, " "); {
	case c.err.kind == badChoice:
		return hint
	case source == "DOCKER_HOST", source == "DOCKER_CONTEXT":
		leave = "`unset " + source + "` has the usual places tried"
	case strings.HasPrefix(c.Source, "the current context"):
		leave = "`docker context use default` has the usual places tried"
	}
	switch {
	case hint == "":
		return leave
	case leave == "":
		return hint
	}
	return hint + "; " + leave
}

// install is how this machine gets a daemon, or starts the one it has.
func (m *machine) install() string {
	start := func(product product) string { return m.keeper(&place{product: product}).starts() }
	release := m.release()
	wsl := m.goos == "linux" && strings.Contains(strings.ToLower(m.read("/proc/sys/kernel/osrelease")), "microsoft")
	switch {
	case m.goos == "windows":
		return "start Docker Desktop, or install it"
	case m.goos == "darwin" && m.has("colima"):
		return start(colima)
	case m.goos == "darwin" && m.has("podman"):
		return start(podman)
	case m.goos == "darwin" && m.exists("/Applications/Docker.app"):
		return start(desktop)
	case m.goos == "darwin" && m.exists("/Applications/OrbStack.app"):
		return start(orbstack)
	case m.goos == "darwin":
		return "install Docker Desktop, or `brew install colima docker && colima start`"
	case m.exists("/.dockerenv") || m.exists("/run/.containerenv"):
		return "this is a container: start it with `-v /var/run/docker.sock:/var/run/docker.sock`, or set DOCKER_HOST to a daemon that it can reach"
	case m.has("dockerd") || m.has("snap") && m.exists("/var/snap/docker"):
		return "Docker is installed but does not run: " + start(systemDocker)
	case m.has("podman"):
		return start(podman)
	case m.has("colima"):
		return start(colima)
	case wsl:
		return "in Docker Desktop turn on Settings → Resources → WSL integration for this distribution, or install Docker in it: `" +
			m.sudo("apt-get install docker.io") + "`"
	}
	for _, family := range []struct{ ids, command string }{
		{"debian ubuntu", "apt-get install docker.io"},
		{"fedora", "dnf install moby-engine"},
		{"arch", "pacman -S docker"},
		{"alpine", "apk add docker"},
		{"suse opensuse", "zypper install docker"},
	} {
		for id := range strings.FieldsSeq(family.ids) {
			if strings.Contains(" "+release+" ", " "+id+" ") {
				return "install Docker: `" + m.sudo(family.command) + "`"
			}
		}
	}
	return "install Docker Engine or Podman, or set DOCKER_HOST to a daemon elsewhere"
}

// release is the system's distribution and those that it is like, in the words
// of os-release.
func (m *machine) release() string {
	var ids []string
	for line := range strings.Lines(m.read("/etc/os-release")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key == "ID" || key == "ID_LIKE" {
			ids = append(ids, strings.Trim(value, `"'`))
		}
	}
	return strings.Join(ids, " ")
}

// read returns a file of the system, and nothing where it cannot be read.
func (m *machine) read(path string) string {
	data, err := os.ReadFile(m.root + path)
	if err != nil {
		return ""
	}
	return string(data)
}
