package docker

import (
	"context"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/versions"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/pkg/engine/gpu"
)

// The ways in which a container gets GPUs.
const (
	gpuNone    = "none"
	gpuCDI     = "CDI devices"
	gpuRuntime = "the nvidia runtime"
	gpuRequest = "a device request"
)

// cudaPath is where EAS has CUDA.
const cudaPath = "/usr/local/cuda"

// nvidiaRuntime is the name under which the toolkit registers its runtime.
const nvidiaRuntime = "nvidia"

// gpuAccess is what gives a container its GPUs.
type gpuAccess struct {
	how      string // the way that was taken
	env      []string
	groups   []string // of the container's user
	runtime  string
	requests []container.DeviceRequest
}

// apply adds it to a container that is to be created.
func (a *gpuAccess) apply(c *container.Config, h *container.HostConfig) {
	c.Env = append(c.Env, a.env...)
	h.GroupAdd = append(h.GroupAdd, a.groups...)
	h.DeviceRequests = append(h.DeviceRequests, a.requests...)
	if a.runtime != "" {
		h.Runtime = a.runtime
	}
}

// gpuAccess finds out how a container gets the GPUs that r asks for. Where it
// can be known that they cannot be had, the error names the one thing that is
// missing on the daemon's machine.
func (d *Daemon) gpuAccess(ctx context.Context, r gpu.Request) (*gpuAccess, error) {
	var m *nvidia.Machine
	if r.Wanted() && d.sameMachine() {
		here := nvidia.Look(ctx, nvidia.Options{})
		m = &here
	}
	return d.chooseAccess(r, m)
}

// requestGPUs adds to a container that is to be created what gives it the GPUs
// that r asks for, and the CUDA directory, and returns the way that was taken.
func (d *Daemon) requestGPUs(ctx context.Context, r gpu.Request, c *container.Config, h *container.HostConfig) (how string, err error) {
	access, err := d.gpuAccess(ctx, r)
	if err != nil {
		return "", err
	}
	access.apply(c, h)
	return access.how, d.addCUDA(ctx, r, c, h)
}

// chooseAccess chooses the way. m is the daemon's machine, nil where it cannot
// be looked at.
//
// The ways, the surest first:
//
//   - CDI: the devices are part of what Docker itself tells the container's
//     control group, so that they stay when systemd reloads its units, and
//     neither a hook nor the rights of a rootless daemon matter.
//   - The nvidia runtime where it is registered: that is written in the daemon's
//     configuration, so it was meant for this daemon, and the daemon says so.
//   - A device request, as `--gpus` makes it: it works where the daemon found the
//     toolkit's hook when it started, which it does not tell. So it is what is
//     left, and the answer to it is explained by explainGPU.
func (d *Daemon) chooseAccess(r gpu.Request, m *nvidia.Machine) (*gpuAccess, error) {
	if r.None {
		// An image may ask for all GPUs by itself where the nvidia runtime is the
		// daemon's default.
		return &gpuAccess{how: gpuNone, env: []string{"NVIDIA_VISIBLE_DEVICES=void", "CUDA_VISIBLE_DEVICES=-1"}}, nil
	}
	a := new(gpuAccess)
	if !r.Wanted() {
		return a, nil
	}
	if m != nil {
		if err := gpu.CheckDriver(r, *m); err != nil {
			return nil, err
		}
		if !d.Rootless() {
			a.groups = deviceGroups(m.Devices)
		}
	}
	known, hasCDI := d.cdiDevices(m)
	switch {
	case hasCDI:
		return a, d.addCDI(r, known, a)
	case d.Podman():
		return nil, d.missingGPU(r, "Podman gives a container GPUs by CDI, and there is no CDI specification of NVIDIA's").
			WithHint("%s%s; %s", d.there(), generateCDI, gpu.WayOut)
	}
	if m != nil {
		if err := d.checkToolkit(r, m.Toolkit); err != nil {
			return nil, err
		}
	}
	a.env = []string{"NVIDIA_DRIVER_CAPABILITIES=compute,utility"}
	if _, registered := d.Info.Runtimes[nvidiaRuntime]; registered {
		a.how, a.runtime = gpuRuntime, nvidiaRuntime
		a.env = append(a.env, "NVIDIA_VISIBLE_DEVICES="+strings.Join(visible(r), ","))
		return a, nil
	}
	request := container.DeviceRequest{Capabilities: [][]string{{"gpu"}}, DeviceIDs: r.IDs, Count: r.Count}
	if r.All {
		request.Count = -1
	}
	a.how, a.requests = gpuRequest, []container.DeviceRequest{request}
	return a, nil
}

// visible lists the GPUs asked for in the words of NVIDIA_VISIBLE_DEVICES.
func visible(r gpu.Request) []string {
	if r.All {
		return []string{"all"}
	}
	ids := slices.Clone(r.IDs)
	for i := range r.Count {
		ids = append(ids, strconv.Itoa(i))
	}
	return ids
}

// cdiDevices reports whether GPUs can be had from the daemon as CDI devices,
// and which there are; none where it cannot be known.
func (d *Daemon) cdiDevices(m *nvidia.Machine) (known []string, ok bool) {
	for _, device := range d.Info.DiscoveredDevices {
		if device.Source == "cdi" && strings.HasPrefix(device.ID, nvidia.CDIKind+"=") {
			known = append(known, device.ID)
		}
	}
	switch api := d.ClientVersion(); {
	case len(known) > 0:
		return known, true
	case d.Podman() && m != nil:
		return m.CDI, len(m.CDI) > 0
	case d.Podman():
		return nil, true // the only way
	case len(d.Info.CDISpecDirs) == 0 || versions.LessThan(api, "1.44") || !versions.LessThan(api, "1.50"):
		return nil, false // it cannot, or would have said so
	case m != nil:
		known = nvidia.CDIDevices(d.Info.CDISpecDirs...)
		return known, len(known) > 0
	}
	// Up to Engine 28.1 somebody had to switch CDI on, and has done so for a
	// reason. A registered runtime is surer all the same.
	_, registered := d.Info.Runtimes[nvidiaRuntime]
	return nil, !registered
}

// addCDI requests CDI devices.
func (d *Daemon) addCDI(r gpu.Request, known []string, a *gpuAccess) error {
	var names []string
	for _, id := range visible(r) {
		names = append(names, nvidia.CDIKind+"="+id)
	}
	const all = nvidia.CDIKind + "=all"
	lacks := func(name string) bool { return !slices.Contains(known, name) }
	switch {
	case len(known) == 0 || !slices.ContainsFunc(names, lacks):
	case r.All:
		names = known
	case !lacks(all) && len(known) == 1:
		// Windows shows its GPUs to Linux as one; CUDA tells them apart.
		names = []string{all}
		a.env = []string{"CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=" + strings.Join(visible(r), ",")}
	default:
		missing := slices.DeleteFunc(names, func(name string) bool { return !lacks(name) })
		return d.missingGPU(r, "the daemon has no CDI device %s; it has %s", strings.Join(missing, " and "), strings.Join(known, ", ")).
			WithHint("ask for one of those with %s, or, where the machine has more GPUs: %s%s", gpu.Flag, d.there(), generateCDI)
	}
	a.how, a.requests = gpuCDI, []container.DeviceRequest{{Driver: "cdi", DeviceIDs: names}}
	return nil
}

// checkToolkit looks for what the nvidia runtime and device requests need on
// the daemon's machine, which is this one.
func (d *Daemon) checkToolkit(r gpu.Request, t nvidia.Toolkit) error {
	_, registered := d.Info.Runtimes[nvidiaRuntime]
	switch {
	case !registered && d.Snap():
		return d.missingGPU(r, "Docker is installed as a snap, which does not see this machine's NVIDIA Container Toolkit").
			WithHint("%s; %s", mendSnap, gpu.WayOut)
	case !t.Installed():
		return d.missingGPU(r, "the NVIDIA Container Toolkit is not installed").
			WithHint("%s; %s", d.installToolkit(), gpu.WayOut)
	case d.Rootless() && !t.NoCgroups:
		return d.missingGPU(r, "the daemon is rootless, and the NVIDIA Container Toolkit is not configured for that").
			WithHint("%s; %s", mendRootless, gpu.WayOut)
	case !registered && t.Hook == "":
		return d.missingGPU(r, "the NVIDIA Container Toolkit is installed, but its runtime is not registered with Docker").
			WithHint("%s; %s", d.registerRuntime(), gpu.WayOut)
	}
	return nil
}

// addCUDA mounts the CUDA directory of the daemon's machine and lets the loader
// find its libraries there.
func (d *Daemon) addCUDA(ctx context.Context, r gpu.Request, c *container.Config, h *container.HostConfig) error {
	if r.CUDA == "" {
		return nil
	}
	if d.sameMachine() {
		_, err := os.Stat(r.CUDA)
		switch {
		case err != nil && r.None:
			return nil // nothing of it is needed
		case err != nil:
			return d.noCUDA(r, err)
		}
	}
	h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeBind, Source: r.CUDA, Target: cudaPath, ReadOnly: true})
	const name = "LD_LIBRARY_PATH="
	value := path.Join(cudaPath, "lib64")
	// What the image says comes first, and would be replaced.
	asked, cancel := d.limit(ctx, infoTime)
	defer cancel()
	if image, err := d.ImageInspect(asked, c.Image); err == nil && image.Config != nil {
		for _, v := range image.Config.Env {
			if own, ok := strings.CutPrefix(v, name); ok && own != "" {
				value = own + ":" + value
			}
		}
	}
	c.Env = append(c.Env, name+value)
	return nil
}

// noCUDA is the error where the CUDA directory is not there.
func (d *Daemon) noCUDA(r gpu.Request, err error) error {
	return fault.New(fault.Missing, "the daemon's machine has no CUDA at %s: %w", r.CUDA, err).
		WithHint("%sinstall CUDA, or name its directory there with cuda in the description", d.there())
}

// sameMachine reports whether the daemon runs on this machine, and not only its
// socket: in a virtual machine, or when this program is in a container, the two
// have another name or another kernel.
func (d *Daemon) sameMachine() bool {
	if runtime.GOOS != "linux" || !d.Local() || d.Desktop() {
		return false
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil || strings.TrimSpace(string(kernel)) != d.Info.KernelVersion {
		return false
	}
	name, err := os.Hostname()
	return err == nil && name == d.Info.Name
}

// missingGPU is an error about what the daemon's machine lacks.
func (d *Daemon) missingGPU(r gpu.Request, format string, args ...any) *fault.Error {
	return fault.New(fault.Missing, r.Why+" asks for a GPU: "+format, args...)
}
