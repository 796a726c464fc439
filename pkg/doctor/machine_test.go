//go:build unix

package doctor

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The process engine's probe starts this program again, as it would eascmd.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// fake is a machine below a directory of its own, with nothing but a shell.
func fake(t *testing.T) *machine {
	t.Helper()
	root := t.TempDir()
	m := &machine{
		goos: "linux", root: root, home: filepath.Join(root, "home", "me"), user: 1000,
		env: map[string]string{"PATH": filepath.Join(root, "bin") + ":" + filepath.Join(root, "other")},
	}
	for _, dir := range []string{"bin", "other", "home/me", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// write puts a file on the machine.
func (m *machine) write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := m.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// program puts a shell script on the machine.
func (m *machine) program(t *testing.T, name, script string) string {
	t.Helper()
	return m.write(t, name, "#!/bin/sh\n"+script+"\n", 0o755)
}

// hang is a script that gives no answer. The sleep is a child of the shell.
const hang = "/bin/sleep 600; exit 0"

// soon is a context for what is expected to hang.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// at replaces the machine's directory in the texts of findings by nothing.
func (m *machine) at(found []finding) []finding {
	for i := range found {
		found[i].found = strings.ReplaceAll(found[i].found, m.root, "")
		found[i].fix = strings.ReplaceAll(found[i].fix, m.root, "")
	}
	return found
}

var private = cmp.AllowUnexported(finding{})

func TestRun(t *testing.T) {
	m := fake(t)
	m.env["GREETING"] = "hello"
	tests := []struct{ name, script, text, err string }{
		{"both streams", "echo $GREETING; echo world >&2", "hello\nworld\n", ""},
		{"in English", "echo $LC_ALL", "C\n", ""},
		{"fails with words", "echo; echo '  no such thing  ' >&2; exit 3", "\n  no such thing  \n", "exit status 3: no such thing"},
		{"fails in silence", "exit 4", "", "exit status 4"},
		{"is killed", "kill -SEGV $$", "", "signal: segmentation fault"},
		{"leaves something behind that is silent", "/bin/sleep 600 >/dev/null 2>&1 & echo $!", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := m.program(t, "/bin/tool", test.script)
			text, err := m.run(t.Context(), path)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if !strings.HasPrefix(got, test.err) || (got == "") != (test.err == "") {
				t.Errorf("error %q, want %q", got, test.err)
			}
			if test.text != "" && text != test.text {
				t.Errorf("text %q, want %q", text, test.text)
			}
		})
	}
	if _, err := m.run(t.Context(), m.write(t, "/bin/none", "no program", 0o755)); err == nil {
		t.Error("a file that is no program ran")
	}
}

// A program that gives no answer is ended, and so are its children: they hold
// the pipe open for writing until then.
func TestRunEndsAll(t *testing.T) {
	m := fake(t)
	fifo := m.path("/fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	path := m.program(t, "/bin/tool", "exec 3>"+fifo+"; "+hang)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := m.run(ctx, path)
		done <- err
	}()
	f, err := os.Open(fifo) // waits until the script has opened it too
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cancel()
	if err := <-done; !errors.Is(err, errSilent) {
		t.Errorf("error %v, want %v", err, errSilent)
	}
	if _, err := io.ReadAll(f); err != nil { // until the last writer has ended
		t.Error(err)
	}
}

func TestLook(t *testing.T) {
	m := fake(t)
	m.write(t, "/bin/tool", "not executable", 0o644)
	want := m.program(t, "/other/tool", "")
	if err := os.Mkdir(m.path("/bin/dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(m.path("/bin"))
	m.program(t, "/bin/here", "")
	m.env["PATH"] = "." + ":" + m.env["PATH"][strings.Index(m.env["PATH"], ":")+1:] + "::" + m.path("/missing")
	for name, want := range map[string]string{"tool": want, "dir": "", "here": "", "none": ""} {
		if got := m.look(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestInstall(t *testing.T) {
	tests := []struct {
		name, goos, release string
		user                int
		thing               thing
		want                string
	}{
		{"Debian", "linux", "ID=debian\n", 1000, everywhere("CMake", "cmake"), "`sudo apt-get install cmake`"},
		{"root", "linux", "ID=debian\n", 0, everywhere("CMake", "cmake"), "`apt-get install cmake`"},
		{"like Ubuntu", "linux", "NAME=\"Mint\"\nID=mint\nID_LIKE=\"ubuntu debian\"\n", 1000, everywhere("CMake", "cmake"), "`sudo apt-get install cmake`"},
		{"Alibaba Cloud Linux", "linux", "ID=\"alinux\"\nID_LIKE=\"rhel fedora centos anolis\"\n", 0, everywhere("CMake", "cmake"), "`dnf install cmake`"},
		{"Alpine", "linux", "ID=alpine\n", 0, everywhere("CMake", "cmake"), "`apk add cmake`"},
		{"Arch", "linux", "ID=arch\n", 0, everywhere("CMake", "cmake"), "`pacman -S cmake`"},
		{"openSUSE", "linux", "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", 0, everywhere("CMake", "cmake"), "`zypper install cmake`"},
		{"unknown", "linux", "ID=plan9\n", 0, everywhere("CMake", "cmake"), "install CMake"},
		{"no word", "linux", "", 0, everywhere("CMake", "cmake"), "install CMake"},
		{"macOS", "darwin", "", 501, thing{what: "a JDK", brew: "openjdk"}, "`brew install openjdk`"},
		{"not there", "darwin", "", 501, everywhere("CMake", "cmake"), "install CMake"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := fake(t)
			m.goos, m.user = test.goos, test.user
			if test.release != "" {
				m.write(t, "/etc/os-release", test.release, 0o644)
			}
			if got := m.install(test.thing); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 30: "1.0 GiB", 3 << 39: "1.5 TiB", 1<<64 - 1: "16.0 EiB"} {
		if got := size(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}
