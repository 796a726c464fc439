//go:build unix

package docker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPermissionDenied has a socket that only root may use tried by a user
// that is not: by this test, or where root runs it by a process of nobody's.
func TestPermissionDenied(t *testing.T) {
	if root := os.Getenv("EASCMD_TEST_DENIED"); root != "" {
		m := fakeMachine(t)
		os.RemoveAll(m.root)
		m.root = root
		c := candidates(t.Context(), ConnectOptions{Host: "unix://" + root + "/var/run/docker.sock"}, m)[0]
		fmt.Printf("%s\n%s\n", c.Outcome, c.Hint())
		return
	}
	m := fakeMachine(t)
	l := m.listen(t, "/var/run/docker.sock")
	defer l.Close()
	mode := os.FileMode(0o600)
	if os.Getuid() != 0 {
		mode = 0
	}
	for path, mode := range map[string]os.FileMode{m.root: 0o755, m.root + "/var/run/docker.sock": mode} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	self := "/proc/self/exe" // which a user can run who cannot reach its path
	if runtime.GOOS != "linux" {
		var err error
		if self, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, self, "-test.run=^TestPermissionDenied$")
	child.Env = append(os.Environ(), "EASCMD_TEST_DENIED="+m.root)
	child.Dir = "/"
	if os.Getuid() == 0 {
		child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	said := strings.Split(string(out), "\n")
	if want := "permission denied: the socket belongs to user "; !strings.HasPrefix(said[0], want) || !strings.HasSuffix(said[0], fmt.Sprintf("(mode %#o)", mode)) {
		t.Errorf("outcome %q, want %s…", said[0], want)
	}
	if want := "the socket is for root alone: `sudo groupadd -f docker && sudo usermod -aG docker $USER && sudo systemctl restart docker`, then log in again"; said[1] != want {
		t.Errorf("hint %q, want %q", said[1], want)
	}
}

// TestDeniedWhy is who gets the right to a socket, and how.
func TestDeniedWhy(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gives a socket to another group")
	}
	m := fakeMachine(t)
	path := m.root + "/var/run/docker.sock"
	m.listen(t, "/var/run/docker.sock")
	for _, test := range []struct {
		gid         int
		mode        os.FileMode
		admin       bool
		words, hint string
	}{
		{54321, 0o660, false, ": the socket belongs to user root and group 54321 (mode 0660)", "`sudo usermod -aG 54321 $USER`, then log in again"},
		{54321, 0o600, false, ": the socket belongs to user root and group 54321 (mode 0600)",
			"the socket is for root alone: `sudo groupadd -f docker && sudo usermod -aG docker $USER && sudo systemctl restart docker`, then log in again"},
		{54321, 0o660, true, ": the socket belongs to user root and group 54321 (mode 0660)",
			"root may use any socket, so a security module forbids it: look at `ausearch -m avc` (SELinux) or `dmesg` (AppArmor)"},
	} {
		if err := os.Chown(path, 0, test.gid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		m.admin = test.admin
		words, hint := m.deniedWhy(path)
		if diff := cmp.Diff([2]string{test.words, test.hint}, [2]string{words, hint}); diff != "" {
			t.Errorf("mode %o of group %d (-want +got):\n%s", test.mode, test.gid, diff)
		}
	}
}
