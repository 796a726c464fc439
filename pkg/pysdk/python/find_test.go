//go:build unix

package python

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

// fakeMachine is a machine below a directory, with nothing but PATH.
func fakeMachine(t *testing.T) Machine {
	root := t.TempDir()
	return Machine{GOOS: "linux", Root: root, Home: filepath.Join(root, "home"), Env: map[string]string{
		"PATH": root + "/bin:relative:" + root + "/other",
	}}
}

// fake puts an interpreter on the machine; base is that of an environment on
// top of another.
func (m Machine) fake(t *testing.T, path, version, base string) {
	t.Helper()
	parts := strings.Split(version, ".")
	prefix := m.Root + filepath.Dir(filepath.Dir(path))
	if base == "" {
		base = prefix
	}
	program(t, m.Root+path, fmt.Sprintf(`printf '\036eascmd:{"version":"%s","major":%s,"minor":%s,"implementation":"cpython","executable":"%s","prefix":"%s","base_prefix":"%s"}\n'`,
		version, parts[0], parts[1], m.Root+path, prefix, base))
}

func TestFind(t *testing.T) {
	m := fakeMachine(t)
	m.fake(t, "/bin/python3", "3.10.2", "")
	m.fake(t, "/bin/python3.13", "3.13.1", "")
	m.fake(t, "/other/python3", "3.9.5", "")
	m.fake(t, "/home/.pyenv/versions/3.12.0/bin/python3", "3.12.0", "")
	m.fake(t, "/home/.pyenv/versions/3.12.9/bin/python3", "3.12.9", "")
	m.fake(t, "/home/.pyenv/versions/3.6.1/bin/python3", "3.6.1", "")
	m.fake(t, "/home/miniforge3/bin/python3", "3.11.1", "")
	m.fake(t, "/home/miniforge3/envs/a/bin/python3", "3.11.3", "")
	m.fake(t, "/elsewhere/b/bin/python3", "3.11.4", "/x")
	m.fake(t, "/home/.local/share/uv/python/cpython-3.14.0-linux/bin/python3", "3.14.0", "")
	m.fake(t, "/usr/bin/python3", "3.8.2", "")
	m.fake(t, "/opt/python3.9/bin/python3", "3.9.9", "")
	m.fake(t, "/opt/conda/bin/python3", "3.8.8", "")
	program(t, m.Root+"/usr/local/bin/python3.11", "echo broken; exit 1")
	program(t, m.Root+"/home/.conda/environments.txt", "")
	if err := os.WriteFile(m.Root+"/home/.conda/environments.txt", []byte(m.Root+"/elsewhere/b\n/gone\nrelative\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		version string
		want    []string
	}{
		{"", []string{"3.10.2", "3.14.0", "3.13.1", "3.12.9", "3.12.0", "3.11.3", "3.11.1", "3.11.4", "3.9.9", "3.9.5", "3.8.8", "3.8.2"}},
		{"3", []string{"3.10.2", "3.14.0", "3.13.1", "3.12.9", "3.12.0", "3.11.3", "3.11.1", "3.11.4", "3.9.9", "3.9.5", "3.8.8", "3.8.2"}},
		{"3.12", []string{"3.12.9", "3.12.0"}},
		{"3.12.0", []string{"3.12.0"}},
		{"3.11", []string{"3.11.3", "3.11.1", "3.11.4"}},
		{"3.6", []string{"3.6.1"}},
		{"3.1", nil},
	} {
		t.Run(test.version, func(t *testing.T) {
			list, err := Find(t.Context(), FindOptions{Version: test.version, Machine: m})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range list {
				got = append(got, i.Version)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			first, err := Preferred(t.Context(), FindOptions{Version: test.version, Machine: m}, func(*Interpreter) bool { return true })
			if err != nil || (first == nil) != (len(list) == 0) || first != nil && first.Version != test.want[0] {
				t.Errorf("preferred: %+v, %v", first, err)
			}
		})
	}
	none, err := Preferred(t.Context(), FindOptions{Machine: m}, func(*Interpreter) bool { return false })
	if none != nil || err != nil {
		t.Errorf("%+v, %v", none, err)
	}
}

// The environment that is active on PATH does not stand for its version.
func TestFindActiveEnvironment(t *testing.T) {
	m := fakeMachine(t)
	m.fake(t, "/bin/python3", "3.10.2", "/usr")
	m.fake(t, "/other/python3", "3.10.1", "")
	i, err := Preferred(t.Context(), FindOptions{Machine: m}, func(*Interpreter) bool { return true })
	if err != nil || i == nil || i.Virtual() {
		t.Errorf("%+v, %v", i, err)
	}
}

func TestCheckVersion(t *testing.T) {
	for version, good := range map[string]bool{
		"": true, "3": true, "3.8": true, "3.11": true, "3.11.7": true, "3.14.0rc2": true,
		"2.7": false, "4": false, "3.": false, "3.x": false, "three": false, "3.11.": false, "3.11.7.1": false, "3.-1": false, " 3.11": false, "--help": false, "3.11\n": false,
	} {
		if err := CheckVersion(version); (err == nil) != good || err != nil && fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", version, err)
		}
	}
}
