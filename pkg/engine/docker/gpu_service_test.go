//go:build unix

package docker

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/dockertest"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/gpu"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// nothing is a processor that answers with its request.
const nothing = `
#include <stdlib.h>
#include <string.h>
void *initialize(const char *entry, const char *config, int *state) { *state = 0; return 0; }
int process(void *model, const void *in, int n, void **out, int *m) {
	*out = malloc(n + 1);
	memcpy(*out, in, n);
	*m = n;
	return 200;
}
`

// gpuPlan makes a workspace with the processor, and the plan for it.
func gpuPlan(t *testing.T) (dir string, plan *runplan.Plan) {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("missing: gcc")
	}
	dir = t.TempDir()
	processor := filepath.Join(dir, "predictor", "nothing")
	for _, d := range []string{processor, filepath.Join(dir, "model"), filepath.Join(dir, "config")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-o", filepath.Join(processor, "libnothing.so"), "-xc", "-")
	cmd.Stdin = strings.NewReader(nothing)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	there := Workspace + "/predictor/nothing"
	return dir, &runplan.Plan{
		Version: runplan.Version, Name: "nothing", Language: "cpp", Workspace: Workspace,
		Processor: runplan.Processor{Dir: there, Entry: there + "/libnothing.so", ModelEntry: Workspace + "//model/"},
		Worker:    runplan.Worker{Count: 1, Threads: 1, GraceMS: 1000},
		Gateway: runplan.Gateway{
			Host: "127.0.0.1", KeepAliveMS: runplan.DefaultKeepAliveMS, MaxQueueSize: 1,
			BodyLimit: 1 << 20, BodyMemory: 1 << 20, ContentType: runplan.DefaultContentType,
		},
	}
}

// TestServiceWithGPU runs services in containers with the stand-in's GPUs, takes
// one away from a container as systemd does, and has a daemon that promises
// GPUs give none.
func TestServiceWithGPU(t *testing.T) {
	e := nvidiaEngine(t)
	state(t)
	d := daemon(t, e.Host())
	if strings.TrimSpace(e.Exec(t, "sh", "-c", "ls -d /sys/fs/cgroup/devices 2>/dev/null || true")) == "" {
		t.Skip("missing: control groups of version 1, whose rules for devices can be written to")
	}
	image := hostImage(t, e)
	dir, plan := gpuPlan(t)
	opts := Options{
		Daemon: d, Workspace: dir, Executable: dockertest.Program(t), Image: image,
		GPUs: gpu.Request{IDs: []string{"0"}, Why: "metadata.gpu"},
		Warn: func(text, hint string) { t.Logf("warning: %s (%s)", text, hint) },
	}

	t.Run("promised and not there", func(t *testing.T) {
		silent := *d // it takes the device request and gives no GPU
		silent.Info.Runtimes = nil
		broken := opts
		broken.Daemon = &silent
		e.Exec(t, "sh", "-c", "mkdir -p /etc/nvidia-stand-in && touch /etc/nvidia-stand-in/gives-nothing")
		defer e.Exec(t, "rm", "/etc/nvidia-stand-in/gives-nothing")
		run, err := New(broken).Start(t.Context(), plan)
		if err == nil {
			for range run.Events() {
			}
			err = run.Wait()
			if closeErr := run.Close(); closeErr != nil {
				t.Error(closeErr)
			}
		}
		const want = "a GPU was asked for, and there is none where the processor runs: /dev has no nvidiactl"
		if err == nil || err.Error() != want || fault.KindOf(err) != fault.Missing {
			t.Errorf("error: %v\nwant:  %s", err, want)
		}
	})

	t.Run("disappears", func(t *testing.T) {
		run, err := New(opts).Start(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := run.Close(); err != nil {
				t.Error(err)
			}
		}()
		wait := func(what string, fits func(event.Event) bool) {
			t.Helper()
			limit := time.After(time.Minute)
			for {
				select {
				case got, more := <-run.Events():
					if !more {
						t.Fatalf("it ended while waiting for %s: %v", what, run.Wait())
					}
					if fits(got) {
						return
					}
				case <-limit:
					t.Fatalf("no %s", what)
				}
			}
		}
		wait("ready", func(got event.Event) bool { return got.Type == event.Ready })

		response, err := http.Get(run.Endpoint() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		metrics, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if want := `eascmd_gpu_utilization_ratio{index="0",name="NVIDIA A10",uuid="GPU-aaaa"} 0.37`; !strings.Contains(string(metrics), want) {
			t.Errorf("metrics without %s:\n%s", want, metrics)
		}

		// What systemd does where the runtime has given the GPU behind Docker's
		// back: the group's rules are written again without it. The stand-in's
		// control node is the device zero.
		rules := "$(find /sys/fs/cgroup/devices -path '*" + run.(*Run).start.container + "*' -name devices."
		e.Exec(t, "sh", "-c", "echo 'c 1:5 rwm' >"+rules+"deny)")
		wait("warning of the loss", func(got event.Event) bool {
			return got.Type == event.Warning && strings.HasPrefix(got.Message, "the container lost access to the GPU: ") &&
				strings.Contains(got.Message, "systemctl daemon-reload") && strings.Contains(got.Hint, "nvidia-ctk cdi generate")
		})
		e.Exec(t, "sh", "-c", "echo 'c 1:5 rwm' >"+rules+"allow)")
		wait("word of its return", func(got event.Event) bool {
			return got.Type == event.Warning && got.Message == "the GPU is there again"
		})
	})
}

// hostImage copies the image with the host for C and C++ to an engine.
func hostImage(t *testing.T, e *dockertest.Engine) string {
	t.Helper()
	image, err := daemon(t, dockertest.Host(t)).ensureImage(t.Context(), imageOptions{
		Language: "cpp", Base: dockertest.Base(t), Env: os.Getenv,
		Log:      func(text string) { t.Log(text) },
		Progress: func(string) (func(done, total int64), func()) { return func(int64, int64) {}, func() {} },
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Load(t, image.Ref)
	return image.Ref
}
