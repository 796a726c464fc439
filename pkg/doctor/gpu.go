package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/pkg/engine/docker"
	"github.com/openeas/eascmd/pkg/engine/gpu"
)

const groupGPU = "GPU"

// askedBy stands in messages about GPUs for what asked for them; nothing has.
const askedBy = "doctor"

// gpuProbes look for GPUs on this machine and, where there are any, at what a
// process and a container need to use them.
func gpuProbes(m *machine, opts Options, connect func() (*docker.Daemon, error)) []probe {
	if m.goos != "linux" {
		return nil // GPUs are the matter of the daemon's machine
	}
	return []probe{{
		group: groupGPU, name: "GPU", fix: "see what `nvidia-smi` does",
		run: func(ctx context.Context) []finding {
			here := nvidia.Look(ctx, nvidia.Options{Root: m.root, Timeout: early(early(opts.Limit))})
			found := m.judgeGPUs(here)
			d, err := connect()
			if err != nil || noGPU(here) && !d.OffersGPUs() {
				return found
			}
			return append(found, containerGPUs(ctx, here, d, opts)...)
		},
	}}
}

// noGPU reports whether nothing on a machine hints at a GPU.
func noGPU(here nvidia.Machine) bool {
	return here.Driver == "" && len(here.Devices) == 0 && !here.Hardware && !here.WSL
}

// judgeGPUs says what a process of this machine has.
func (m *machine) judgeGPUs(here nvidia.Machine) []finding {
	const name = "GPU"
	if noGPU(here) {
		return []finding{ok(name, "none of NVIDIA's found")}
	}
	var found []finding
	if err := gpu.CheckDriver(gpu.Request{All: true, Why: askedBy}, here); err != nil {
		found = append(found, gpuFault("driver", err))
	} else {
		text := here.Driver
		if here.CUDA != "" {
			text += ", for CUDA up to " + here.CUDA
		}
		found = append(found, ok(name, "%s", listGPUs(here)), ok("driver", "%s", text))
	}
	if len(here.Devices) > 0 && here.CanUse() == nil {
		var paths []string
		for _, d := range here.Devices {
			paths = append(paths, d.Path)
		}
		found = append(found, ok("device nodes", "%s", strings.Join(paths, ", ")))
	}
	switch {
	case here.LibCUDA != "":
		found = append(found, ok("libcuda.so.1", "%s", here.LibCUDA))
	case here.Driver != "":
		found = append(found, warning("libcuda.so.1",
			"install the driver's library in its version, for example `"+m.sudo("apt-get install libcuda1")+"`, and run `"+m.sudo("ldconfig")+"`",
			"the driver's library is not on this machine: no processor can use CUDA"))
	}
	return found
}

// listGPUs describes the GPUs that nvidia-smi knows.
func listGPUs(here nvidia.Machine) string {
	if len(here.GPUs) == 0 {
		return fmt.Sprintf("%d device nodes; there is no nvidia-smi that would tell more", len(here.Devices))
	}
	var lines []string
	for _, g := range here.GPUs {
		line := fmt.Sprintf("%d: %s", g.Index, g.Name)
		if g.Memory > 0 {
			line += ", " + size(uint64(g.Memory))
		}
		if len(g.MIG) > 0 {
			line += fmt.Sprintf(", %d MIG devices", len(g.MIG))
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// containerGPUs says how a container gets the GPUs of the daemon's machine.
func containerGPUs(ctx context.Context, here nvidia.Machine, d *docker.Daemon, opts Options) []finding {
	var found []finding
	if t := here.Toolkit; t.Installed() {
		var programs []string
		for _, path := range []string{t.CTK, t.Runtime, t.Hook, t.CLI} {
			if path != "" {
				programs = append(programs, path)
			}
		}
		found = append(found, ok("toolkit", "%s", strings.Join(programs, ", ")))
	}
	if len(here.CDI) > 0 {
		found = append(found, ok("CDI", "%s", strings.Join(here.CDI, ", ")))
	}
	const name = "containers"
	how, err := d.GPUWay(ctx, askedBy)
	if err != nil {
		return append(found, gpuFault(name, err))
	}
	return append(found, ok(name, "get GPUs by %s", how), tryGPUs(ctx, d, opts))
}

// tryGPUs has nvidia-smi list the GPUs in a container.
func tryGPUs(ctx context.Context, d *docker.Daemon, opts Options) finding {
	const name = "end to end"
	state, err := d.ImageState(ctx, opts.CABundle)
	if err != nil || state.Usable() == "" {
		return ok(name, "%s", unknown)
	}
	listed, err := d.TryGPUs(ctx, state.Usable(), askedBy)
	if err != nil {
		return gpuFault(name, err)
	}
	return ok(name, "%s", listed)
}

// gpuFault makes a line of an error about GPUs, without what is said of the
// flag that asked for one.
func gpuFault(name string, err error) finding {
	text := strings.TrimPrefix(err.Error(), askedBy+" asks for a GPU: ")
	fix := fault.HintOf(err)
	for _, end := range []string{"; " + gpu.WayOut, ", " + gpu.WayOut} {
		fix = strings.TrimSuffix(fix, end)
	}
	if fix == "" {
		fix = "see what `nvidia-smi` does"
	}
	return warning(name, fix, "%s", text)
}
