//go:build unix

package doctor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/pkg/engine/docker"
)

// A real engine that has other files than this machine, an image, and the
// stand-in for NVIDIA's runtime.
func TestDaemonWithGPUs(t *testing.T) {
	program := filepath.Join(t.TempDir(), "nvidiaruntime")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/openeas/eascmd/internal/dockertest/nvidiaruntime")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	e := dockertest.Isolated(t, dockertest.Options{
		Offline: true,
		Files: map[string]string{
			"/opt/nvidia/nvidia-container-runtime": string(text),
			"/opt/nvidia/nvidia-smi":               "#!/bin/sh\necho 'GPU 0: NVIDIA A10 (UUID: GPU-aaaa)'\n",
		},
		Config: map[string]any{"runtimes": map[string]any{"nvidia": map[string]any{"path": "/opt/nvidia/nvidia-container-runtime"}}},
	})
	opts := Options{Docker: docker.ConnectOptions{Host: e.Host()}, Limit: 30 * time.Second}
	m := fake(t) // without any GPU of its own
	connect := connector(t.Context(), opts)
	r, err := report(t.Context(), append(dockerProbes(m, opts, connect), gpuProbes(m, opts, connect)...), opts.Limit, processEngine|dockerEngine)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"daemon":     e.Host() + " (",
		"engine":     "Docker Engine ",
		"image":      "will be built on " + dockertest.BaseImage,
		"files":      "copied: ",
		"GPU":        "none of NVIDIA's found",
		"containers": "get GPUs by the nvidia runtime",
		"end to end": "GPU 0: NVIDIA A10 (UUID: GPU-aaaa)",
	}
	for _, c := range r.Checks {
		if text, ok := want[c.Name]; ok && strings.HasPrefix(c.Found, text) && c.State == OK {
			delete(want, c.Name)
		}
		if c.Name == "disk" {
			t.Error("the disk of a daemon elsewhere is judged")
		}
	}
	for name, text := range want {
		t.Errorf("%s is not %q: %+v", name, text, r.Checks)
	}
}
