//go:build unix

package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/dockertest"
)

// ownerLabel is on every container and volume that eascmd makes.
const ownerLabel = "com.github.openeas.eascmd.owner"

// someone is a user of eascmd, with directories of their own for its state.
type someone struct {
	t    *testing.T
	bin  string
	host string
	dir  string
}

func newSomeone(t *testing.T, bin, host string) *someone {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "eas-") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"run", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return &someone{t, bin, host, dir}
}

func (s *someone) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "eascmd"), args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+s.host, "HOME="+s.dir, "XDG_CACHE_HOME="+filepath.Join(built.dir, "cache"),
		"XDG_RUNTIME_DIR="+filepath.Join(s.dir, "run"), "TMPDIR="+filepath.Join(s.dir, "tmp"))
	return cmd
}

// run runs a command that has to succeed.
func (s *someone) run(args ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // also at the end of a test
	defer cancel()
	if out, err := s.command(ctx, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("eascmd %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// stop ends a service that was left to itself; unless it surely was, it may have
// ended.
func (s *someone) stop(container string, sure bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := s.command(ctx, "test", "--stop", container).CombinedOutput()
	if err != nil && (sure || !bytes.Contains(out, []byte("no service of yours"))) {
		s.t.Fatalf("eascmd test --stop %s: %v\n%s", container, err, out)
	}
}

// left lists all that is there of this user's.
func (s *someone) left() []string {
	s.t.Helper()
	owner, err := os.ReadFile(filepath.Join(s.dir, "run", "eascmd", "owner"))
	if err != nil {
		return nil // killed before there was anything
	}
	label := ownerLabel + "=" + string(owner)
	list := append(dockertest.Containers(s.t, s.host, label), dockertest.Volumes(s.t, s.host, label)...)
	for _, pattern := range []string{"run/eascmd/run-*", "tmp/eascmd-*/run-*", "tmp/eascmd-*/kept-*"} {
		paths, err := filepath.Glob(filepath.Join(s.dir, pattern))
		if err != nil {
			s.t.Fatal(err)
		}
		list = append(list, paths...)
	}
	return list
}

// TestKilled kills the program at moments of its life that nobody chose: the
// next run removes all that is left, and nothing of anybody else's.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	if !haveCompiler() {
		t.Skip("missing: g++ and make")
	}
	dockertest.Base(t)
	host, bin := dockertest.Host(t), binDir(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../examples/echo")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "make", "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	description := filepath.Join(dir, "service.json")
	us, other := newSomeone(t, bin, host), newSomeone(t, bin, host)
	us.run("test", description, "--engine", "docker", "--data", "x") // the image is there

	var stdout, stderr bytes.Buffer
	theirs := other.command(t.Context(), "test", description, "--engine", "docker", "--copy", "--detach", "-o", "json")
	theirs.Stdout, theirs.Stderr = &stdout, &stderr
	if err := theirs.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var service struct{ Endpoint, Token, Container string }
	if err := json.Unmarshal(stdout.Bytes(), &service); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.run("test", "--stop", service.Container) })

	// What is copied takes a while.
	if err := os.WriteFile(filepath.Join(dir, "model", "large"), make([]byte, 64<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	moments := rand.New(rand.NewPCG(seed, 0))
	const kills, longest = 20, 1500 * time.Millisecond
	for i := range kills {
		args := []string{"test", description, "--engine", "docker"}
		for flag, often := range map[string]int{"--copy": 2, "--detach": 3} {
			if i%often == 1 {
				args = append(args, flag)
			}
		}
		if i%4 == 3 {
			args = append(args, "--data", "x")
		}
		if i%3 == 1 && i%4 == 3 {
			args = args[:len(args)-2] // --detach allows none
		}
		after := time.Duration(moments.Int64N(int64(longest)))
		name := fmt.Sprintf("kill %d of seed %d: %s, after %v", i, seed, strings.Join(args[2:], " "), after)
		ctx, cancel := context.WithTimeout(t.Context(), after) // kills
		var result bytes.Buffer
		cmd := us.command(ctx, append(args, "-o", "json")...)
		cmd.Stdout = &result
		err := cmd.Run()
		cancel()
		// One killed as late as this has left a service behind as it was asked to,
		// or the service is about to end.
		var detached struct{ Container string }
		if i%3 == 1 && json.Unmarshal(result.Bytes(), &detached) == nil {
			us.stop(detached.Container, err == nil)
		}
		us.run("test", description, "--engine", "docker", "--data", "x")
		if left := us.left(); len(left) > 0 {
			t.Fatalf("%s: the next run has left\n%s", name, strings.Join(left, "\n"))
		}
	}

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, service.Endpoint, strings.NewReader("still here"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", service.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("somebody else's service answers %s", resp.Status)
	}
}
