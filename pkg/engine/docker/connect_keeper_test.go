package docker

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// TestRemedy is what is to be done on machines where nothing answers.
func TestRemedy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		goos  string
		admin bool
		files map[string]string // of the system
		has   []string          // programs on PATH
		want  string
	}{
		{name: "Debian", files: map[string]string{"/etc/os-release": "ID=debian\n"}, want: "install Docker: `sudo apt-get install docker.io`"},
		{name: "Debian, root", admin: true, files: map[string]string{"/etc/os-release": "ID=debian\n"}, want: "install Docker: `apt-get install docker.io`"},
		{name: "Mint", files: map[string]string{"/etc/os-release": "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"}, want: "install Docker: `sudo apt-get install docker.io`"},
		{name: "Fedora", files: map[string]string{"/etc/os-release": "ID=fedora\n"}, want: "install Docker: `sudo dnf install moby-engine`"},
		{name: "Alpine", files: map[string]string{"/etc/os-release": "ID=alpine\n"}, want: "install Docker: `sudo apk add docker`"},
		{name: "openSUSE", files: map[string]string{"/etc/os-release": "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n"}, want: "install Docker: `sudo zypper install docker`"},
		{name: "another", files: map[string]string{"/etc/os-release": "ID=archaic\n"},
			want: "install Docker Engine or Podman, or set DOCKER_HOST to a daemon elsewhere"},
		{name: "not started", files: map[string]string{"/etc/os-release": "ID=debian\n", "/run/systemd/system/x": ""}, has: []string{"dockerd"},
			want: "Docker is installed but does not run: `sudo systemctl start docker` starts it"},
		{name: "not started, without systemd", has: []string{"dockerd", "podman"},
			want: "Docker is installed but does not run: `sudo service docker start` starts it"},
		{name: "snap", files: map[string]string{"/var/snap/docker/x": "", "/run/systemd/system/x": ""}, has: []string{"snap"},
			want: "Docker is installed but does not run: `sudo snap start docker` starts it"},
		{name: "Podman", files: map[string]string{"/run/systemd/system/x": ""}, has: []string{"podman"},
			want: "`systemctl --user start podman.socket` starts it"},
		{name: "Colima", has: []string{"colima"}, want: "`colima start` starts it"},
		{name: "WSL", files: map[string]string{"/etc/os-release": "ID=ubuntu\n", "/proc/sys/kernel/osrelease": "6.6.87.2-microsoft-standard-WSL2\n"},
			want: "in Docker Desktop turn on Settings → Resources → WSL integration for this distribution, or install Docker in it: `sudo apt-get install docker.io`"},
		{name: "container", admin: true, files: map[string]string{"/etc/os-release": "ID=debian\n", "/.dockerenv": ""},
			want: "this is a container: start it with `-v /var/run/docker.sock:/var/run/docker.sock`, or set DOCKER_HOST to a daemon that it can reach"},
		{name: "macOS", goos: "darwin", want: "install Docker Desktop, or `brew install colima docker && colima start`"},
		{name: "macOS with Colima", goos: "darwin", has: []string{"colima"}, want: "`colima start` starts it"},
		{name: "macOS with Podman", goos: "darwin", has: []string{"podman"}, want: "`podman machine start` starts it"},
		{name: "macOS with Docker Desktop", goos: "darwin", files: map[string]string{"/Applications/Docker.app/x": ""}, want: "`open -a Docker` starts it"},
		{name: "macOS with OrbStack", goos: "darwin", files: map[string]string{"/Applications/OrbStack.app/x": ""}, want: "`open -a OrbStack` starts it"},
		{name: "Windows", goos: "windows", want: "start Docker Desktop, or install it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := fakeMachine(t)
			m.admin = test.admin
			m.has = func(program string) bool { return slices.Contains(test.has, program) }
			if test.goos != "" {
				m.goos = test.goos
			}
			for path, content := range test.files {
				m.write(t, path, content)
			}
			places := m.usual()
			tried := make([]Candidate, len(places))
			for i, p := range places {
				tried[i] = p.candidate(nil, &trouble{kind: absent, words: "does not exist"})
			}
			if diff := cmp.Diff(test.want, fault.HintOf(m.noDaemon(tried))); diff != "" {
				t.Errorf("hint (-want +got):\n%s", diff)
			}
		})
	}
}

// TestKeepers is who starts the daemon of each usual place.
func TestKeepers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		goos, path, want string
	}{
		{"linux", "/var/run/docker.sock", "`sudo systemctl start docker`"},
		{"darwin", "/var/run/docker.sock", "`open -a Docker`"},
		{"linux", "/run/user/1000/docker.sock", "`systemctl --user start docker`"},
		{"linux", "/home/u/.docker/desktop/docker.sock", "`systemctl --user start docker-desktop`"},
		{"darwin", "/home/u/.docker/run/docker.sock", "`open -a Docker`"},
		{"linux", "/home/u/.colima/default/docker.sock", "`colima start`"},
		{"darwin", "/home/u/.colima/arm/docker.sock", "`colima start -p arm`"},
		{"darwin", "/home/u/.orbstack/run/docker.sock", "`open -a OrbStack`"},
		{"linux", "/home/u/.rd/docker.sock", "`rdctl start`"},
		{"darwin", "/home/u/.lima/build/sock/docker.sock", "`limactl start build`"},
		{"linux", "/run/finch.sock", "`sudo systemctl start finch`"},
		{"linux", "/run/user/1000/podman/podman.sock", "`systemctl --user start podman.socket`"},
		{"linux", "/run/podman/podman.sock", "`sudo systemctl start podman.socket`"},
		{"darwin", "/home/u/.local/share/containers/podman/machine/podman.sock", "`podman machine start`"},
		{"linux", "/opt/else/docker.sock", ""},
	} {
		m := fakeMachine(t)
		m.goos = test.goos
		m.write(t, "/run/systemd/system/x", "")
		m.write(t, test.path, "")
		// Found among the usual ones, and chosen by its address.
		chosen := m.addressed("unix://"+m.root+test.path, "DOCKER_HOST")
		places := []*place{chosen}
		for _, p := range m.usual() {
			if p.address == chosen.address {
				places = append(places, p)
			}
		}
		if usual := test.want != ""; usual != (len(places) == 2) {
			t.Errorf("%s %s: among the usual places %d times", test.goos, test.path, len(places)-1)
		}
		for _, p := range places {
			if got := m.keeper(p).start; got != test.want {
				t.Errorf("%s %s (%s): started with %s, want %s", test.goos, test.path, p.source, got, test.want)
			}
		}
	}
}

// TestHomes follows the variables that say where sockets are.
func TestHomes(t *testing.T) {
	t.Parallel()
	m := fakeMachine(t, "COLIMA_HOME=$ROOT/cc", "LIMA_HOME=$ROOT/ll", "XDG_CONFIG_HOME=$ROOT/xx")
	for _, path := range []string{"/cc/default/docker.sock", "/ll/vm/sock/docker.sock", "/xx/colima/p/docker.sock"} {
		m.write(t, path, "")
	}
	var got []string
	for _, p := range m.usual() {
		if p.profile != "" {
			got = append(got, p.source+" "+filepath.ToSlash(strings.TrimPrefix(p.address, "unix://"+m.root)))
		}
	}
	want := []string{"Colima default /cc/default/docker.sock", "Colima p /xx/colima/p/docker.sock", "Lima vm /ll/vm/sock/docker.sock"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
