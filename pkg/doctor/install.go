package doctor

import (
	"os"
	"strings"
)

// thing is something to install, in the words of each manager of packages.
type thing struct{ what, apt, dnf, apk, pacman, zypper, brew string }

// command returns the command that installs a thing with a manager, and
// whether that has it.
func (t thing) command(manager string) (string, bool) {
	switch {
	case manager == "apt" && t.apt != "":
		return "apt-get install " + t.apt, true
	case manager == "dnf" && t.dnf != "":
		return "dnf install " + t.dnf, true
	case manager == "apk" && t.apk != "":
		return "apk add " + t.apk, true
	case manager == "pacman" && t.pacman != "":
		return "pacman -S " + t.pacman, true
	case manager == "zypper" && t.zypper != "":
		return "zypper install " + t.zypper, true
	case manager == "brew" && t.brew != "":
		return "brew install " + t.brew, true
	}
	return "", false
}

// everywhere is a thing that has the same name with every manager on Linux.
func everywhere(what, name string) thing {
	return thing{what: what, apt: name, dnf: name, apk: name, pacman: name, zypper: name}
}

// install returns the sentence that says how a thing is installed here.
func (m *machine) install(t thing) string {
	command, ok := t.command(m.packageManager())
	if !ok {
		return "install " + t.what
	}
	return "`" + m.sudo(command) + "`"
}

// sudo returns a command as this user has to give it where root must run it.
func (m *machine) sudo(command string) string {
	if m.user == 0 || m.goos != "linux" {
		return command
	}
	return "sudo " + command
}

// packageManager returns the name of the manager of packages here, or "".
func (m *machine) packageManager() string {
	if m.goos == "darwin" {
		return "brew"
	}
	data, err := os.ReadFile(m.path("/etc/os-release"))
	if err != nil {
		return ""
	}
	var names []string
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "ID", "ID_LIKE":
			names = append(names, strings.Fields(strings.Trim(value, `"'`))...)
		}
	}
	for _, name := range names {
		switch name {
		case "debian", "ubuntu":
			return "apt"
		case "fedora", "rhel", "centos", "anolis", "alinux":
			return "dnf"
		case "alpine":
			return "apk"
		case "arch":
			return "pacman"
		case "suse", "opensuse", "sles":
			return "zypper"
		}
	}
	return ""
}
