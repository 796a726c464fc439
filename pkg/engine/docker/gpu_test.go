package docker

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/system"
	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/pkg/engine/gpu"
)

// engineServer speaks as much of the Engine API as asking for GPUs needs, and
// keeps what it is asked to create.
type engineServer struct {
	*httptest.Server
	created struct {
		container.Config
		HostConfig container.HostConfig
	}
	body string // of the request
}

// startEngine starts a server that speaks an API version and says info of itself.
func startEngine(t *testing.T, api string, info system.Info) *engineServer {
	t.Helper()
	s := new(engineServer)
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", api)
		switch path := regexp.MustCompile(`^/v[0-9.]+`).ReplaceAllString(r.URL.Path, ""); path {
		case "/_ping":
		case "/version":
			answer(w, map[string]any{"ApiVersion": api, "Components": []any{}})
		case "/info":
			answer(w, info)
		case "/images/x/json":
			answer(w, map[string]any{"Id": "x", "Config": map[string]any{"Env": []string{"PATH=/bin", "LD_LIBRARY_PATH=/opt/lib"}}})
		case "/containers/create":
			var body strings.Builder
			if err := json.NewDecoder(io.TeeReader(r.Body, &body)).Decode(&s.created); err != nil {
				t.Errorf("create: %v", err)
			}
			s.body = body.String()
			answer(w, map[string]any{"Id": "c", "Warnings": []string{}})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *engineServer) connect(t *testing.T) *Daemon {
	t.Helper()
	d, err := Connect(t.Context(), ConnectOptions{Host: strings.Replace(s.URL, "http://", "tcp://", 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func withRuntime(names ...string) map[string]system.RuntimeWithStatus {
	runtimes := map[string]system.RuntimeWithStatus{"runc": {}}
	for _, name := range names {
		runtimes[name] = system.RuntimeWithStatus{}
	}
	return runtimes
}

func discovered(names ...string) []system.DeviceInfo {
	devices := []system.DeviceInfo{{Source: "cdi", ID: "vendor.com/other=0"}}
	for _, name := range names {
		devices = append(devices, system.DeviceInfo{Source: "cdi", ID: nvidia.CDIKind + "=" + name})
	}
	return devices
}

// What a daemon that cannot be looked at is sent, by what it offers.
func TestRequestGPUsOnTheWire(t *testing.T) {
	capabilities := "NVIDIA_DRIVER_CAPABILITIES=compute,utility"
	for _, tt := range []struct {
		name    string
		api     string
		info    system.Info
		request gpu.Request
		how     string
		want    container.HostConfig
		env     []string
	}{
		{
			name: "CDI, all", api: "1.51", info: system.Info{DiscoveredDevices: discovered("0", "1", "all")},
			request: gpu.Request{All: true}, how: gpuCDI,
			want: container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"nvidia.com/gpu=all"}}}}},
		},
		{
			name: "CDI before a registered runtime", api: "1.51", info: system.Info{DiscoveredDevices: discovered("0", "1", "all"), Runtimes: withRuntime("nvidia")},
			request: gpu.Request{Count: 2}, how: gpuCDI,
			want: container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"nvidia.com/gpu=0", "nvidia.com/gpu=1"}}}}},
		},
		{
			name: "CDI without a device for all", api: "1.51", info: system.Info{DiscoveredDevices: discovered("0", "GPU-1")},
			request: gpu.Request{All: true}, how: gpuCDI,
			want: container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"nvidia.com/gpu=0", "nvidia.com/gpu=GPU-1"}}}}},
		},
		{
			name: "CDI below Windows", api: "1.51", info: system.Info{DiscoveredDevices: discovered("all")},
			request: gpu.Request{IDs: []string{"1"}}, how: gpuCDI,
			want: container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"nvidia.com/gpu=all"}}}}},
			env:  []string{"CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=1"},
		},
		{
			name: "Engine 25 to 28.1 with CDI switched on", api: "1.47", info: system.Info{CDISpecDirs: []string{"/etc/cdi", "/var/run/cdi"}},
			request: gpu.Request{IDs: []string{"GPU-1"}}, how: gpuCDI,
			want: container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"nvidia.com/gpu=GPU-1"}}}}},
		},
		{
			name: "there, with a runtime", api: "1.47", info: system.Info{CDISpecDirs: []string{"/etc/cdi"}, Runtimes: withRuntime("nvidia")},
			request: gpu.Request{All: true}, how: gpuRuntime,
			want: container.HostConfig{Runtime: "nvidia"}, env: []string{capabilities, "NVIDIA_VISIBLE_DEVICES=all"},
		},
		{
			name: "Engine 28.2 without specifications", api: "1.50", info: system.Info{CDISpecDirs: []string{"/etc/cdi"}},
			request: gpu.Request{Count: 1}, how: gpuRequest,
			want: container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{{Count: 1, Capabilities: [][]string{{"gpu"}}}}}},
			env:  []string{capabilities},
		},
		{
			name: "runtime, by count", api: "1.41", info: system.Info{Runtimes: withRuntime("nvidia")},
			request: gpu.Request{Count: 2}, how: gpuRuntime,
			want: container.HostConfig{Runtime: "nvidia"}, env: []string{capabilities, "NVIDIA_VISIBLE_DEVICES=0,1"},
		},
		{
			name: "runtime, by UUID", api: "1.41", info: system.Info{Runtimes: withRuntime("nvidia")},
			request: gpu.Request{IDs: []string{"GPU-1", "3"}}, how: gpuRuntime,
			want: container.HostConfig{Runtime: "nvidia"}, env: []string{capabilities, "NVIDIA_VISIBLE_DEVICES=GPU-1,3"},
		},
		{
			name: "device request, all", api: "1.41", info: system.Info{Runtimes: withRuntime()},
			request: gpu.Request{All: true}, how: gpuRequest,
			want: container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{{Count: -1, Capabilities: [][]string{{"gpu"}}}}}},
			env:  []string{capabilities},
		},
		{
			name: "device request, by index", api: "1.41", info: system.Info{Runtimes: withRuntime()},
			request: gpu.Request{IDs: []string{"0", "1"}}, how: gpuRequest,
			want: container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{{DeviceIDs: []string{"0", "1"}, Capabilities: [][]string{{"gpu"}}}}}},
			env:  []string{capabilities},
		},
		{
			name: "none", api: "1.51", info: system.Info{DiscoveredDevices: discovered("all"), Runtimes: withRuntime("nvidia")},
			request: gpu.Request{None: true}, how: gpuNone,
			env: []string{"NVIDIA_VISIBLE_DEVICES=void", "CUDA_VISIBLE_DEVICES=-1"},
		},
		{
			name: "nothing asked for", api: "1.51", info: system.Info{DiscoveredDevices: discovered("all"), Runtimes: withRuntime("nvidia")},
		},
		{
			name: "CUDA", api: "1.51", info: system.Info{DiscoveredDevices: discovered("all")},
			request: gpu.Request{All: true, CUDA: "/opt/cuda-12.4"}, how: gpuCDI,
			want: container.HostConfig{
				Resources: container.Resources{DeviceRequests: []container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"nvidia.com/gpu=all"}}}},
				Mounts:    []mount.Mount{{Type: mount.TypeBind, Source: "/opt/cuda-12.4", Target: "/usr/local/cuda", ReadOnly: true}},
			},
			env: []string{"LD_LIBRARY_PATH=/opt/lib:/usr/local/cuda/lib64"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.info.Name, tt.info.KernelVersion = "elsewhere", "0.0"
			server := startEngine(t, tt.api, tt.info)
			d := server.connect(t)
			tt.request.Why = "--gpus"
			config := &container.Config{Image: "x"}
			host := new(container.HostConfig)
			how, err := d.requestGPUs(t.Context(), tt.request, config, host)
			if err != nil || how != tt.how {
				t.Fatalf("by %q (%v), want %q", how, err, tt.how)
			}
			if _, err := d.ContainerCreate(t.Context(), config, host, nil, nil, ""); err != nil {
				t.Fatal(err)
			}
			got := container.HostConfig{
				Runtime: server.created.HostConfig.Runtime, Mounts: server.created.HostConfig.Mounts,
				Resources: container.Resources{DeviceRequests: server.created.HostConfig.DeviceRequests},
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("host configuration (-want +sent):\n%s\n%s", diff, server.body)
			}
			if diff := cmp.Diff(tt.env, server.created.Env); diff != "" {
				t.Errorf("environment (-want +sent):\n%s", diff)
			}
			if server.created.HostConfig.Privileged {
				t.Error("the container is privileged")
			}
		})
	}
}

// gpuMachine is one that has all that there can be.
func gpuMachine() *nvidia.Machine {
	return &nvidia.Machine{
		Hardware: true, Driver: "550.54.15", CUDA: "12.4", SMI: "/usr/bin/nvidia-smi", LibCUDA: "/usr/lib/libcuda.so.1",
		GPUs:    []nvidia.GPU{{Index: 0, UUID: "GPU-0", Name: "A10"}, {Index: 1, UUID: "GPU-1", Name: "A10"}},
		Devices: []nvidia.Device{{Path: "/dev/nvidiactl"}, {Path: "/dev/nvidia0"}, {Path: "/dev/nvidia1"}},
		Toolkit: nvidia.Toolkit{CTK: "/usr/bin/nvidia-ctk", Runtime: "/usr/bin/nvidia-container-runtime", Hook: "/usr/bin/nvidia-container-runtime-hook"},
	}
}

// The one thing that is missing on the daemon's machine, and what mends it.
func TestGPUPreflight(t *testing.T) {
	for _, tt := range []struct {
		name    string
		info    system.Info
		change  func(*nvidia.Machine)
		request gpu.Request
		says    string
		hint    string // a part of it
	}{
		{
			name: "no GPU", change: func(m *nvidia.Machine) { *m = nvidia.Machine{} },
			says: "--gpus asks for a GPU: this machine has none of NVIDIA's", hint: "--gpus none",
		},
		{
			name: "no driver", change: func(m *nvidia.Machine) { *m = nvidia.Machine{Hardware: true} },
			says: "--gpus asks for a GPU: there is one, but no NVIDIA driver is loaded", hint: "sudo apt-get install nvidia-driver",
		},
		{
			name: "no driver in Windows", change: func(m *nvidia.Machine) {
				*m = nvidia.Machine{WSL: true, Devices: []nvidia.Device{{Path: "/dev/dxg"}}}
			},
			says: "--gpus asks for a GPU: Windows has no NVIDIA driver for this Linux", hint: "wsl --shutdown",
		},
		{
			name: "no device nodes", change: func(m *nvidia.Machine) { m.Devices = nil },
			says: "--gpus asks for a GPU: the NVIDIA driver 550.54.15 is loaded, but /dev has no nvidiactl", hint: "sudo nvidia-modprobe",
		},
		{
			name: "permission", change: func(m *nvidia.Machine) {
				m.Devices[1].Err = &fs.PathError{Op: "access", Path: "/dev/nvidia0", Err: fs.ErrPermission}
			},
			says: "--gpus asks for a GPU: this user may not use it: access /dev/nvidia0: permission denied", hint: "usermod -aG video",
		},
		{
			name: "driver in trouble", change: func(m *nvidia.Machine) {
				m.SMIErr = errors.New("nvidia-smi: Failed to initialize NVML: Driver/library version mismatch")
			},
			says: "--gpus asks for a GPU: the NVIDIA driver does not answer: nvidia-smi: Failed to initialize NVML: Driver/library version mismatch",
			hint: "restart the machine",
		},
		{
			name: "too many", request: gpu.Request{Count: 4},
			says: "--gpus asks for 4 GPUs; this machine has 2", hint: "--gpus 2",
		},
		{
			name: "no such GPU", request: gpu.Request{IDs: []string{"2"}},
			says: "--gpus asks for GPU 2, which this machine does not have", hint: "0 (A10, GPU-0), 1 (A10, GPU-1)",
		},
		{
			name: "no toolkit", change: func(m *nvidia.Machine) { m.Toolkit = nvidia.Toolkit{} },
			says: "--gpus asks for a GPU: the NVIDIA Container Toolkit is not installed",
			hint: "`sudo apt-get install nvidia-container-toolkit` (from NVIDIA's repository), then `sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker`",
		},
		{
			name: "not registered", change: func(m *nvidia.Machine) { m.Toolkit.Hook = "" },
			says: "--gpus asks for a GPU: the NVIDIA Container Toolkit is installed, but its runtime is not registered with Docker",
			hint: "`sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker`",
		},
		{
			name: "snap", info: system.Info{DockerRootDir: "/var/snap/docker/common/var-lib-docker"},
			says: "--gpus asks for a GPU: Docker is installed as a snap, which does not see this machine's NVIDIA Container Toolkit",
			hint: "sudo snap remove docker",
		},
		{
			name: "rootless", info: system.Info{SecurityOptions: []string{"name=rootless"}, Runtimes: withRuntime("nvidia")},
			says: "--gpus asks for a GPU: the daemon is rootless, and the NVIDIA Container Toolkit is not configured for that",
			hint: "nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place",
		},
		{
			name: "CDI lacks one", info: system.Info{DiscoveredDevices: discovered("0", "all")}, request: gpu.Request{Count: 2},
			says: "--gpus asks for a GPU: the daemon has no CDI device nvidia.com/gpu=1; it has nvidia.com/gpu=0, nvidia.com/gpu=all",
			hint: "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := startEngine(t, "1.51", tt.info).connect(t)
			m := gpuMachine()
			if tt.change != nil {
				tt.change(m)
			}
			r := tt.request
			if !r.Wanted() {
				r.All = true
			}
			r.Why = "--gpus"
			_, err := d.chooseAccess(r, m)
			if err == nil || err.Error() != tt.says {
				t.Fatalf("error: %v\nwant:  %s", err, tt.says)
			}
			if fault.KindOf(err) != fault.Missing || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("kind %d, hint: %s\nwant one with: %s", fault.KindOf(err), fault.HintOf(err), tt.hint)
			}
		})
	}
}

// The ways on a machine that can be looked at.
func TestGPUWays(t *testing.T) {
	specs := t.TempDir()
	spec := `{"cdiVersion":"0.5.0","kind":"nvidia.com/gpu","devices":[{"name":"0","containerEdits":{"env":["A=1"]}}]}`
	if err := os.WriteFile(filepath.Join(specs, "nvidia.json"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	rootless := []string{"name=rootless"}
	for _, tt := range []struct {
		name   string
		info   system.Info
		change func(*nvidia.Machine)
		want   string
	}{
		{"specifications in the daemon's directories", system.Info{CDISpecDirs: []string{specs}, Runtimes: withRuntime("nvidia")}, nil, gpuCDI},
		{"no specifications", system.Info{CDISpecDirs: []string{t.TempDir()}, Runtimes: withRuntime("nvidia")}, nil, gpuRuntime},
		{"the hook alone", system.Info{}, nil, gpuRequest},
		{"rootless and configured", system.Info{SecurityOptions: rootless, Runtimes: withRuntime("nvidia")},
			func(m *nvidia.Machine) { m.Toolkit.NoCgroups = true }, gpuRuntime},
		{"rootless with specifications", system.Info{SecurityOptions: rootless, CDISpecDirs: []string{specs}},
			func(m *nvidia.Machine) { m.Toolkit = nvidia.Toolkit{} }, gpuCDI},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := startEngine(t, "1.47", tt.info).connect(t)
			m := gpuMachine()
			if tt.change != nil {
				tt.change(m)
			}
			access, err := d.chooseAccess(gpu.Request{Count: 1, Why: "metadata.gpu"}, m)
			if err != nil || access.how != tt.want {
				t.Errorf("by %+v (%v), want %q", access, err, tt.want)
			}
		})
	}
}

// A daemon of Engine 20.10 refuses unknown runtimes and drivers in these words;
// those of the toolkit are what its users report.
func TestExplainGPU(t *testing.T) {
	d := startEngine(t, "1.47", system.Info{Name: "box"}).connect(t)
	wanted := gpu.Request{Count: 1, CUDA: "/opt/cuda", Why: "metadata.gpu"}
	for _, tt := range []struct{ name, says, text, hint string }{
		{"device driver", `could not select device driver "" with capabilities: [[gpu]]`,
			"metadata.gpu asks for a GPU: the daemon found no NVIDIA Container Toolkit when it started: ", "apt-get install nvidia-container-toolkit"},
		{"runtime", "unknown or invalid runtime name: nvidia",
			"metadata.gpu asks for a GPU: the runtime nvidia is not registered with the daemon: ", "nvidia-ctk runtime configure --runtime=docker"},
		{"older runtime", "Error response from daemon: Unknown runtime specified nvidia",
			"metadata.gpu asks for a GPU: the runtime nvidia is not registered with the daemon: ", "nvidia-ctk runtime configure --runtime=docker"},
		{"CDI", "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all",
			"metadata.gpu asks for a GPU: no CDI specification on the daemon's machine has the GPUs: ", "nvidia-ctk cdi generate"},
		{"old CDI", `error gathering device information: failed to inject devices: failed to stat CDI host device "/dev/nvidia0": no such file or directory`,
			"metadata.gpu asks for a GPU: the CDI specification is older than the driver or the GPUs: ", "writes it anew"},
		{"NVML", "OCI runtime create failed: … nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown",
			"metadata.gpu asks for a GPU: no NVIDIA driver is loaded on the daemon's machine: ", "modprobe nvidia"},
		{"mismatch", "nvidia-container-cli: initialization error: nvml error: driver/library version mismatch: unknown",
			"metadata.gpu asks for a GPU: the NVIDIA driver's libraries and its kernel module have different versions: ", "reboot"},
		{"library", "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object file",
			"metadata.gpu asks for a GPU: no NVIDIA driver is loaded on the daemon's machine: ", "install the driver"},
		{"device", "nvidia-container-cli: device error: 7: unknown device: unknown",
			"metadata.gpu asks for a GPU: the daemon's machine has not the GPUs that were asked for: ", "nvidia-smi -L"},
		{"requirement", "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.4, please update your driver",
			"metadata.gpu asks for a GPU: the image needs a newer NVIDIA driver than the daemon's machine has: ", "--image"},
		{"rootless", "nvidia-container-cli: mount error: failed to add device rules: unable to find any existing device filters attached to the cgroup: bpf_prog_query(BPF_CGROUP_DEVICE) failed: operation not permitted",
			"metadata.gpu asks for a GPU: the NVIDIA Container Toolkit may not change control groups below this daemon: ", "no-cgroups"},
		{"unprivileged", "nvidia-container-cli: insufficient privileges to read device list from NVIDIA_VISIBLE_DEVICES envvar",
			"metadata.gpu asks for a GPU: the NVIDIA Container Toolkit is configured to give GPUs to privileged containers only: ", "nvidia-ctk cdi generate"},
		{"program", `exec: "nvidia-container-runtime": executable file not found in $PATH`,
			"metadata.gpu asks for a GPU: the runtime nvidia is registered with the daemon, but its program does not work: ", "apt-get install"},
		{"CUDA", `invalid mount config for type "bind": bind source path does not exist: /opt/cuda`,
			"the daemon's machine has no CUDA at /opt/cuda: ", "cuda in the description"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cause := errors.New(tt.says)
			err := d.explainGPU(cause, wanted)
			if got := err.Error(); got != tt.text+tt.says {
				t.Errorf("error: %s\nwant:  %s", got, tt.text+tt.says)
			}
			hint := fault.HintOf(err)
			if fault.KindOf(err) != fault.Missing || !strings.Contains(hint, tt.hint) || !strings.HasPrefix(hint, "on the daemon's machine, box: ") {
				t.Errorf("kind %d, hint: %s\nwant one with: %s", fault.KindOf(err), hint, tt.hint)
			}
			if !errors.Is(err, cause) {
				t.Error("the cause is lost")
			}
		})
	}
	for _, err := range []error{nil, errors.New("no space left on device")} {
		if got := d.explainGPU(err, wanted); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	err := errors.New("unknown or invalid runtime name: nvidia")
	if got := d.explainGPU(err, gpu.Request{}); got != err {
		t.Errorf("without a request %v became %v", err, got)
	}
}

// Every message has a section, by its heading or as one of its other forms.
func TestGPUTroublesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/troubleshooting-docker.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## GPUs\n")
	var named []string
	for _, m := range regexp.MustCompile(`(?m)^### (.+)$|\*([a-z][^*\n]+)\*`).FindAllStringSubmatch(section, -1) {
		if name := m[1] + m[2]; len(name) > 10 {
			named = append(named, name)
		}
	}
	for _, trouble := range gpuTroubles() {
		if !slices.ContainsFunc(named, func(name string) bool { return strings.Contains(trouble.means, name) }) {
			t.Errorf("no section for: %s", trouble.means)
		}
	}
}
