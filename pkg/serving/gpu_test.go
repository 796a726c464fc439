package serving

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// gpuBox is a directory with device nodes and an nvidia-smi of a test's own.
type gpuBox struct {
	t *testing.T
	gpuPlace
	dir string
}

const twoGPUs = `0, GPU-aaaa, NVIDIA A10, 37, 1024, 23028
1, GPU-bbbb, NVIDIA A10, [N/A], [N/A], 23028
`

// newGPUBox makes one with two GPUs.
func newGPUBox(t *testing.T) *gpuBox {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("Linux is missing: GPUs are looked for nowhere else")
	}
	dir := t.TempDir()
	b := &gpuBox{t: t, dir: dir, gpuPlace: gpuPlace{dev: filepath.Join(dir, "dev"), smi: filepath.Join(dir, "nvidia-smi")}}
	if err := os.Mkdir(b.dev, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"nvidiactl", "nvidia0", "nvidia1", "nvidia-uvm"} {
		b.write(filepath.Join("dev", node), "")
	}
	// The program itself is never written again: one that is open for writing
	// cannot be executed.
	b.write("nvidia-smi", "#!/bin/sh\necho \"$*\" >>"+filepath.Join(dir, "calls")+"\n. "+filepath.Join(dir, "answer")+"\n")
	b.answer("cat <<'.'\n" + twoGPUs + ".")
	return b
}

func (b *gpuBox) write(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	// Renamed into place: nvidia-smi may be about to read it.
	if err := os.WriteFile(path+".new", []byte(text), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		b.t.Fatal(err)
	}
}

// answer makes nvidia-smi run a piece of shell.
func (b *gpuBox) answer(script string) {
	b.t.Helper()
	b.write("answer", script+"\n")
}

// calls counts how often nvidia-smi was started.
func (b *gpuBox) calls() int {
	data, _ := os.ReadFile(filepath.Join(b.dir, "calls"))
	return strings.Count(string(data), "\n")
}

func (b *gpuBox) remove(node string) {
	b.t.Helper()
	if err := os.Remove(filepath.Join(b.dev, node)); err != nil {
		b.t.Fatal(err)
	}
}

// promised has the plan promise GPUs, and has them looked at all the time.
func promised(p *runplan.Plan, times *timings) {
	p.Worker.GPUs = true
	times.gpuProbe, times.gpuQuery, times.gpuSample = 5*time.Millisecond, 5*time.Millisecond, time.Millisecond
}

func TestGPUMetrics(t *testing.T) {
	box := newGPUBox(t)
	s := startAmong(t, &box.gpuPlace)
	if n := box.calls(); n != 0 {
		t.Errorf("nvidia-smi was asked %d times before anybody wanted to know", n)
	}
	var got []string
	metrics := s.do(s.request("GET", "/metrics", "")).body
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "eascmd_gpu_") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{
		`eascmd_gpu_memory_total_bytes{index="0",name="NVIDIA A10",uuid="GPU-aaaa"} 2.4146608128e+10`,
		`eascmd_gpu_memory_total_bytes{index="1",name="NVIDIA A10",uuid="GPU-bbbb"} 2.4146608128e+10`,
		`eascmd_gpu_memory_used_bytes{index="0",name="NVIDIA A10",uuid="GPU-aaaa"} 1.073741824e+09`,
		`eascmd_gpu_utilization_ratio{index="0",name="NVIDIA A10",uuid="GPU-aaaa"} 0.37`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	var monitor struct {
		GPUs []gpuUse `json:"gpus"`
	}
	body := s.do(s.request("GET", "/api/builtin/monitor", "")).body
	if err := json.Unmarshal([]byte(body), &monitor); err != nil {
		t.Fatal(err)
	}
	use, used, total := 0.37, int64(1024<<20), int64(23028<<20)
	if diff := cmp.Diff([]gpuUse{
		{Index: 0, UUID: "GPU-aaaa", Name: "NVIDIA A10", Utilization: &use, MemoryUsed: &used, MemoryTotal: &total},
		{Index: 1, UUID: "GPU-bbbb", Name: "NVIDIA A10", MemoryTotal: &total},
	}, monitor.GPUs); diff != "" {
		t.Errorf("monitor (-want +got):\n%s", diff)
	}
	if n := box.calls(); n != 1 {
		t.Errorf("nvidia-smi was asked %d times for two answers within its time", n)
	}
}

// Whoever asks for metrics is not kept waiting by a driver that hangs.
func TestGPUMetricsDoNotWait(t *testing.T) {
	box := newGPUBox(t)
	pid := filepath.Join(box.dir, "pid")
	box.answer("echo $$ >" + pid + ".new; mv " + pid + ".new " + pid + "; exec sleep 600")
	s := startAmong(t, &box.gpuPlace, func(_ *runplan.Plan, times *timings) {
		times.gpuWait, times.gpuAnswer = 10*time.Millisecond, 2*time.Second
	})
	for range 3 {
		if body := s.do(s.request("GET", "/metrics", "")).body; strings.Contains(body, "eascmd_gpu_") || !strings.Contains(body, "eascmd_workers 1") {
			t.Errorf("metrics:\n%s", body)
		}
	}
	eventually(t, "nvidia-smi is given up", func() bool {
		text, err := os.ReadFile(pid)
		if err != nil {
			return false
		}
		number, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		program, err := os.FindProcess(number)
		return err != nil || program.Signal(syscall.Signal(0)) != nil
	})
	if body := s.do(s.request("GET", "/metrics", "")).body; strings.Contains(body, "eascmd_gpu_") {
		t.Errorf("metrics afterwards:\n%s", body)
	}
	if n := box.calls(); n != 1 {
		t.Errorf("%d programs hang, where one is enough", n)
	}
}

func TestNoGPUNoMetrics(t *testing.T) {
	box := newGPUBox(t)
	box.remove("nvidiactl")
	s := startAmong(t, &box.gpuPlace)
	if body := s.do(s.request("GET", "/metrics", "")).body; strings.Contains(body, "gpu") {
		t.Errorf("metrics of no GPU:\n%s", body)
	}
	if body := s.do(s.request("GET", "/api/builtin/monitor", "")).body; strings.Contains(body, "gpu") {
		t.Errorf("monitor of no GPU: %s", body)
	}
	if n := box.calls(); n != 0 {
		t.Errorf("nvidia-smi was asked %d times", n)
	}
}

// A service that was promised a GPU does not start on the CPU.
func TestPromisedGPUIsMissing(t *testing.T) {
	box := newGPUBox(t)
	box.remove("nvidiactl")
	plan := &runplan.Plan{
		Version: runplan.Version, Name: "echo",
		Worker:  runplan.Worker{Command: []string{"/nowhere"}, Count: 1, Threads: 1, GPUs: true},
		Gateway: runplan.Gateway{Host: "127.0.0.1", KeepAliveMS: 1, BodyLimit: 1, BodyMemory: 1},
	}
	err := Run(t.Context(), plan, Options{gpus: &box.gpuPlace})
	want := "a GPU was asked for, and there is none where the processor runs: " + box.dev + " has no nvidiactl"
	if err == nil || err.Error() != want || fault.KindOf(err) != fault.Missing || fault.HintOf(err) == "" {
		t.Errorf("error: %v\nwant:  %s", err, want)
	}
	if os.Getuid() == 0 {
		return // who may do everything lacks no permission
	}
	box.write("dev/nvidiactl", "")
	if err := os.Chmod(filepath.Join(box.dev, "nvidiactl"), 0); err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), plan, Options{gpus: &box.gpuPlace})
	if !errors.Is(err, fs.ErrPermission) || fault.KindOf(err) != fault.Missing {
		t.Errorf("without permission: %v", err)
	}
}

// warnings returns the texts of the warnings so far.
func (s *service) warnings() []string {
	var list []string
	for _, e := range s.all() {
		if e.Type == event.Warning {
			list = append(list, e.Message)
		}
	}
	return list
}

func (s *service) waitWarning(text string) event.Event {
	s.t.Helper()
	return s.wait("warning: "+text, func(e event.Event) bool {
		return e.Type == event.Warning && strings.HasPrefix(e.Message, text)
	})
}

func TestGPUDisappears(t *testing.T) {
	box := newGPUBox(t)
	s := startAmong(t, &box.gpuPlace, promised)
	eventually(t, "nvidia-smi is asked", func() bool { return box.calls() > 1 })
	if w := s.warnings(); len(w) > 0 {
		t.Fatalf("warnings while all is well: %q", w)
	}

	box.remove("nvidia1")
	e := s.waitWarning("the GPU has disappeared: " + filepath.Join(box.dev, "nvidia1") + " is not there any more")
	if e.Hint == "" {
		t.Error("no hint")
	}
	box.write("dev/nvidia1", "")
	s.waitWarning("the GPU is there again")
	if w := s.warnings(); len(w) != 2 {
		t.Errorf("warnings: %q", w)
	}
}

func TestDriverFails(t *testing.T) {
	for name, tt := range map[string]struct{ script, message, hint string }{
		"control group": {"echo 'Failed to initialize NVML: Unknown Error'; exit 255",
			accessCause + " (nvidia-smi: Failed to initialize NVML: Unknown Error (exit status 255))", "nvidia-ctk cdi generate"},
		"bus": {"echo 'Unable to determine the device handle for GPU0000:01:00.0: GPU is lost.  Reboot the system to recover this GPU'; exit 15",
			"the GPU cannot be used any more: nvidia-smi: Unable to determine the device handle for GPU0000:01:00.0: GPU is lost.", "dmesg"},
		"update": {"echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18",
			"the GPU cannot be used any more: nvidia-smi: Failed to initialize NVML: Driver/library version mismatch", "restart"},
		"one of two": {"echo '0, GPU-aaaa, NVIDIA A10, 0, 0, 23028'", "the GPU GPU-bbbb has disappeared", "dmesg"},
	} {
		t.Run(name, func(t *testing.T) {
			box := newGPUBox(t)
			s := startAmong(t, &box.gpuPlace, promised)
			eventually(t, "nvidia-smi is asked", func() bool { return box.calls() > 1 })
			box.answer(tt.script)
			if e := s.waitWarning(tt.message); !strings.Contains(e.Hint, tt.hint) {
				t.Errorf("hint: %s", e.Hint)
			}
			calls := box.calls()
			eventually(t, "it is looked again", func() bool { return box.calls() > calls+1 })
			if w := s.warnings(); len(w) != 1 {
				t.Errorf("it is told more than once: %q", w)
			}
			box.answer("cat <<'.'\n" + twoGPUs + ".")
			s.waitWarning("the GPU is there again")
		})
	}
}

// What a driver that hangs keeps from being known is no loss.
func TestHangingDriverIsToldAsSuch(t *testing.T) {
	box := newGPUBox(t)
	s := startAmong(t, &box.gpuPlace, promised, func(_ *runplan.Plan, times *timings) {
		times.gpuWait, times.gpuAnswer = time.Millisecond, 2*time.Second
	})
	eventually(t, "nvidia-smi is asked", func() bool { return box.calls() > 1 })
	box.answer("exec sleep 60")
	s.waitWarning("the GPU cannot be used any more: " + box.smi + " did not answer")
}

func TestNodeLoss(t *testing.T) {
	const node = "/dev/nvidia0"
	for _, tt := range []struct {
		err   error
		says  string
		hints string
	}{
		{syscall.EPERM, "the container lost access to the GPU", "nvidia-ctk cdi generate"},
		{syscall.ENOENT, "the GPU has disappeared: /dev/nvidia0 is not there any more", "nvidia-smi"},
		{syscall.ENODEV, "the GPU has disappeared: the driver does not serve /dev/nvidia0 any more: no such device", "dmesg"},
		{syscall.ENXIO, "the GPU has disappeared: the driver does not serve /dev/nvidia0 any more: no such device or address", "dmesg"},
		{syscall.EIO, "the GPU has disappeared: the driver does not serve /dev/nvidia0 any more: input/output error", "dmesg"},
		{syscall.EACCES, "the GPU cannot be used any more: /dev/nvidia0: permission denied", "dmesg"},
	} {
		loss := nodeLoss(node, &fs.PathError{Op: "open", Path: node, Err: tt.err})
		if !strings.HasPrefix(loss.message, tt.says) || !strings.Contains(loss.hint, tt.hints) {
			t.Errorf("%v: %q, hint %q; want %q, %q", tt.err, loss.message, loss.hint, tt.says, tt.hints)
		}
	}
}
