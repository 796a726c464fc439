//go:build unix

package docker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/gpu"
)

// standIn builds the stand-in for the NVIDIA Container Toolkit.
func standIn(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nvidiaruntime")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/openeas/eascmd/internal/dockertest/nvidiaruntime")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(program)
}

// nvidiaEngine is an engine with the stand-in as the runtime nvidia, as the hook
// of device requests, and with a CUDA.
func nvidiaEngine(t *testing.T) *dockertest.Engine {
	t.Helper()
	program := standIn(t)
	return dockertest.Isolated(t, dockertest.Options{
		Offline: true,
		Files: map[string]string{
			"/opt/nvidia/nvidia-container-runtime":   program,
			"/usr/bin/nvidia-container-runtime-hook": program,
			"/opt/nvidia/nvidia-smi":                 "#!/bin/sh\necho '0, GPU-aaaa, NVIDIA A10, 37, 1024, 23028'\n",
			"/opt/cuda-12.4/lib64/libcudart.so.12":   "",
		},
		Config: map[string]any{
			"runtimes": map[string]any{"nvidia": map[string]any{"path": "/opt/nvidia/nvidia-container-runtime"}},
			// As on many machines with GPUs: an image that asks for them gets them.
			"default-runtime": "nvidia",
		},
	})
}

// runWith runs a script in a container with GPUs and returns what it printed.
func runWith(t *testing.T, d *Daemon, r gpu.Request, script string) (how, output string, err error) {
	t.Helper()
	ctx := t.Context()
	config := &container.Config{Image: dockertest.BaseImage, Entrypoint: []string{"sh", "-c", script}}
	host := &container.HostConfig{ReadonlyRootfs: true, CapDrop: []string{"ALL"}}
	if how, err = d.requestGPUs(ctx, r, config, host); err != nil {
		return how, "", err
	}
	made, err := d.ContainerCreate(ctx, config, host, nil, nil, "")
	if err != nil {
		return how, "", d.explainGPU(err, r)
	}
	defer func() {
		if err := d.removeContainer(made.ID, removeTime); err != nil {
			t.Error(err)
		}
	}()
	if err := d.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		return how, "", d.explainGPU(err, r)
	}
	ended, failed := d.ContainerWait(ctx, made.ID, container.WaitConditionNotRunning)
	select {
	case <-ended:
	case err := <-failed:
		t.Fatal(err)
	}
	logs, err := d.ContainerLogs(ctx, made.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	var text bytes.Buffer
	if _, err := stdcopy.StdCopy(&text, &text, logs); err != nil {
		t.Fatal(err)
	}
	return how, text.String(), nil
}

// given is what a container was given, as the stand-in has kept it.
func given(t *testing.T, e *dockertest.Engine, kind string) (env []string) {
	t.Helper()
	var config struct {
		Process struct{ Env []string }
	}
	if err := json.Unmarshal([]byte(e.ReadFile(t, "/var/log/nvidia/"+kind+".json")), &config); err != nil {
		t.Fatal(err)
	}
	for _, v := range config.Process.Env {
		if strings.HasPrefix(v, "NVIDIA_") || strings.HasPrefix(v, "CUDA_") {
			env = append(env, v)
		}
	}
	slices.Sort(env)
	return env
}

const listGPUs = "ls /dev/nvidia* 2>/dev/null; true"

func TestNvidiaRuntime(t *testing.T) {
	e := nvidiaEngine(t)
	d := daemon(t, e.Host())
	const capabilities = "NVIDIA_DRIVER_CAPABILITIES=compute,utility"

	t.Run("runtime", func(t *testing.T) {
		for _, tt := range []struct {
			request gpu.Request
			visible string
			devices string
		}{
			{gpu.Request{All: true}, "all", "/dev/nvidia0\n/dev/nvidiactl\n"},
			{gpu.Request{Count: 2}, "0,1", "/dev/nvidia0\n/dev/nvidia1\n/dev/nvidiactl\n"},
			{gpu.Request{IDs: []string{"1"}}, "1", "/dev/nvidia1\n/dev/nvidiactl\n"},
		} {
			how, output, err := runWith(t, d, tt.request, listGPUs)
			if err != nil || how != gpuRuntime || output != tt.devices {
				t.Errorf("%s: by %q: %q (%v), want %q", tt.request, how, output, err, tt.devices)
			}
			if diff := cmp.Diff([]string{capabilities, "NVIDIA_VISIBLE_DEVICES=" + tt.visible}, given(t, e, "runtime")); diff != "" {
				t.Errorf("%s: environment (-want +given):\n%s", tt.request, diff)
			}
		}
	})
	t.Run("none", func(t *testing.T) {
		how, output, err := runWith(t, d, gpu.Request{None: true}, listGPUs)
		if err != nil || how != gpuNone || output != "" {
			t.Errorf("by %q: %q (%v)", how, output, err)
		}
		if diff := cmp.Diff([]string{"CUDA_VISIBLE_DEVICES=-1", "NVIDIA_VISIBLE_DEVICES=void"}, given(t, e, "runtime")); diff != "" {
			t.Errorf("environment (-want +given):\n%s", diff)
		}
	})
	t.Run("no such GPU", func(t *testing.T) {
		_, output, err := runWith(t, d, gpu.Request{IDs: []string{"7"}, Why: "--gpus"}, listGPUs)
		const want = "--gpus asks for a GPU: the daemon's machine has not the GPUs that were asked for: "
		if err == nil || !strings.HasPrefix(err.Error(), want) || fault.KindOf(err) != fault.Missing {
			t.Errorf("%q, error: %v\nwant: %s", output, err, want)
		}
	})
	t.Run("device request", func(t *testing.T) {
		unregistered := *d // a daemon that has found the hook only
		unregistered.Info.Runtimes = nil
		for _, tt := range []struct {
			request gpu.Request
			visible string
		}{
			{gpu.Request{All: true}, "all"},
			{gpu.Request{Count: 2}, "0,1"},
			{gpu.Request{IDs: []string{"GPU-aaaa", "1"}}, "GPU-aaaa,1"},
		} {
			how, _, err := runWith(t, &unregistered, tt.request, "true")
			if err != nil || how != gpuRequest {
				t.Errorf("%s: by %q (%v)", tt.request, how, err)
				continue
			}
			if diff := cmp.Diff([]string{capabilities, "NVIDIA_VISIBLE_DEVICES=" + tt.visible}, given(t, e, "hook")); diff != "" {
				t.Errorf("%s: environment (-want +given):\n%s", tt.request, diff)
			}
		}
	})
	t.Run("CUDA", func(t *testing.T) {
		const script = "ls /usr/local/cuda/lib64; echo $LD_LIBRARY_PATH; touch /usr/local/cuda/x 2>&1"
		_, output, err := runWith(t, d, gpu.Request{All: true, CUDA: "/opt/cuda-12.4"}, script)
		const want = "libcudart.so.12\n/usr/local/cuda/lib64\ntouch: cannot touch '/usr/local/cuda/x': Read-only file system\n"
		if err != nil || output != want {
			t.Errorf("%q (%v), want %q", output, err, want)
		}
		_, _, err = runWith(t, d, gpu.Request{All: true, CUDA: "/opt/cuda-11.2"}, script)
		if err == nil || !strings.HasPrefix(err.Error(), "the daemon's machine has no CUDA at /opt/cuda-11.2: ") || fault.KindOf(err) != fault.Missing {
			t.Errorf("no such CUDA: %v", err)
		}
	})
}

// TestCDI is about Engine 26, in which CDI has to be switched on and which does
// not list devices.
func TestCDI(t *testing.T) {
	spec := func(device string) string {
		return fmt.Sprintf(`{"cdiVersion":"0.5.0","kind":"nvidia.com/gpu","devices":[
{"name":"0","containerEdits":{"env":["GPU=0"],"deviceNodes":[{"path":"/dev/nvidiactl","hostPath":%q}]}},
{"name":"all","containerEdits":{"env":["GPU=all"]}}]}`, device)
	}
	e := dockertest.Isolated(t, dockertest.Options{
		Offline: true, Newer: true,
		Files:  map[string]string{"/etc/cdi/nvidia.json": spec("/dev/zero")},
		Config: map[string]any{"features": map[string]bool{"cdi": true}},
	})
	d := daemon(t, e.Host())
	for _, tt := range []struct {
		request gpu.Request
		want    string
	}{
		{gpu.Request{All: true}, "all\n"},
		{gpu.Request{Count: 1}, "0\n/dev/nvidiactl\n"},
		{gpu.Request{IDs: []string{"0"}}, "0\n/dev/nvidiactl\n"},
	} {
		how, output, err := runWith(t, d, tt.request, "echo $GPU; "+listGPUs)
		if err != nil || how != gpuCDI || output != tt.want {
			t.Errorf("%s: by %q: %q (%v), want %q", tt.request, how, output, err, tt.want)
		}
	}
	_, _, err := runWith(t, d, gpu.Request{Count: 2, Why: "metadata.gpu"}, listGPUs)
	if want := "metadata.gpu asks for a GPU: no CDI specification on the daemon's machine has the GPUs: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("a device that there is not: %v\nwant: %s", err, want)
	}
	e.Exec(t, "sh", "-c", "sed -i 's,/dev/zero,/dev/gone,' /etc/cdi/nvidia.json")
	_, _, err = runWith(t, d, gpu.Request{Count: 1, Why: "metadata.gpu"}, listGPUs)
	if want := "metadata.gpu asks for a GPU: the CDI specification is older than the driver or the GPUs: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("a device node that there is not: %v\nwant: %s", err, want)
	}
}

// TestEngineWithoutToolkit asks an engine that has nothing of NVIDIA's, each in
// the way in which it is refused.
func TestEngineWithoutToolkit(t *testing.T) {
	d := daemon(t, dockertest.Host(t))
	if d.OffersGPUs() {
		t.Skip("missing: a Docker Engine without NVIDIA's runtime")
	}
	dockertest.Base(t)
	elsewhere := *d
	elsewhere.Info.Name = "box" // this machine is not looked at first
	r := gpu.Request{Count: 1, Why: "metadata.gpu"}
	want := "metadata.gpu asks for a GPU: the daemon found no NVIDIA Container Toolkit when it started: "
	switch _, _, err := runWith(t, &elsewhere, r, listGPUs); {
	case err == nil:
		t.Skip("missing: a Docker Engine without NVIDIA's hook")
	case !strings.HasPrefix(err.Error(), want) || !strings.Contains(fault.HintOf(err), "apt-get install nvidia-container-toolkit"):
		t.Errorf("device request: %v\nwant: %s", err, want)
	}
	elsewhere.Info.Runtimes = withRuntime("nvidia") // until a moment ago
	want = "metadata.gpu asks for a GPU: the runtime nvidia is not registered with the daemon: "
	if _, _, err := runWith(t, &elsewhere, r, listGPUs); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("runtime: %v\nwant: %s", err, want)
	}
}
