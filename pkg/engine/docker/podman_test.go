//go:build linux

package docker

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/client"

	"github.com/openeas/eascmd/internal/dockertest"
)

// podmanService starts Podman's service with a storage of its own, and gives it the
// images that services run in. It returns its address.
func podmanService(t *testing.T) string {
	t.Helper()
	docker := daemon(t, dockertest.Host(t))
	base := dockertest.Base(t)
	if os.Getuid() != 0 {
		t.Skip("missing: the rights to run Podman as root")
	}
	for _, name := range []string{"podman", "runc"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("missing: %s", name)
		}
	}
	dir, err := os.MkdirTemp("/tmp", "pod")
	if err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(dir, "containers.conf")
	text := "[containers]\ndefault_ulimits=[\"nofile=1024:1024\",\"nproc=1024:1024\"]\n" +
		"[engine]\nruntime=\"runc\"\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\n"
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(ctx context.Context, args ...string) *exec.Cmd {
		args = append([]string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "overlay"}, args...)
		cmd := exec.CommandContext(ctx, "podman", args...)
		cmd.Dir = dir // conmon notes there what ran out of memory
		cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+settings, "DOCKER_HOST=")
		return cmd
	}
	host := "unix://" + filepath.Join(dir, "podman.sock")
	service := command(context.Background(), "system", "service", "--time=0", host)
	service.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := command(context.Background(), "rm", "--all", "--force", "--time=0").CombinedOutput(); err != nil {
			t.Logf("remove Podman's containers: %v\n%s", err, out)
		}
		service.Process.Kill()
		service.Wait()
		if out, err := command(context.Background(), "system", "reset", "--force").CombinedOutput(); err != nil {
			t.Logf("remove Podman's storage: %v\n%s", err, out)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	var p *Daemon
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if p, err = Connect(t.Context(), ConnectOptions{Host: host}); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	defer p.Close()
	if !p.Podman() {
		t.Errorf("%s is not known as Podman", p.Endpoint)
	}
	image, err := docker.ensureImage(t.Context(), imageOptions{Language: "cpp", Base: base, Env: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	archive, err := docker.ImageSave(t.Context(), []string{base, image.Ref})
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	loaded, err := p.ImageLoad(t.Context(), archive, client.ImageLoadWithQuiet(true))
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Body.Close()
	if _, err := io.Copy(io.Discard, loaded.Body); err != nil {
		t.Fatal(err)
	}
	return host
}

// Podman speaks Docker's API in an accent of its own.
func TestConformancePodman(t *testing.T) {
	host := podmanService(t)
	for name, copying := range map[string]bool{"mounted": false, "copied": true} {
		t.Run(name, func(t *testing.T) { suite(t, host, copying) })
	}
}
