package docker

import (
	"context"
	"strings"

	"github.com/docker/docker/api/types/container"

	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/pkg/engine/gpu"
)

// OffersGPUs reports whether the daemon says that it gives NVIDIA's GPUs to
// containers. It may do so without saying it.
func (d *Daemon) OffersGPUs() bool {
	if _, registered := d.Info.Runtimes[nvidiaRuntime]; registered {
		return true
	}
	for _, device := range d.Info.DiscoveredDevices {
		if strings.HasPrefix(device.ID, nvidia.CDIKind+"=") {
			return true
		}
	}
	return false
}

// GPUWay says in which way a container gets all the GPUs of the daemon's
// machine. Where it can be known that there is none, the error names the one
// thing that is missing, as that of a run would, and begins with why and "asks
// for a GPU".
func (d *Daemon) GPUWay(ctx context.Context, why string) (string, error) {
	return d.requestGPUs(ctx, gpu.Request{All: true, Why: why}, new(container.Config), new(container.HostConfig))
}
