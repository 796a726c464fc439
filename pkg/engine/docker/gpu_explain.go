package docker

import (
	"strings"

	"github.com/openeas/eascmd/pkg/engine/gpu"
)

// Commands that mend what GPUs need. All are for the daemon's machine.
const (
	generateCDI  = "`sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`"
	mendRootless = "`sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place`, or give the GPU with CDI: " + generateCDI
	mendSnap     = "`sudo snap refresh docker` to one that brings the toolkit along, or replace it: `sudo snap remove docker`, then Docker's or the distribution's packages"
	sameVersion  = "`sudo reboot` on the daemon's machine: its driver was updated while it was loaded"
)

// registerRuntime is how the toolkit's runtime is made known to the daemon.
func (d *Daemon) registerRuntime() string {
	if d.Rootless() {
		return "`nvidia-ctk runtime configure --runtime=docker --config=$HOME/.config/docker/daemon.json && systemctl --user restart docker`"
	}
	return "`sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker`"
}

// installToolkit is how the toolkit gets there.
func (d *Daemon) installToolkit() string {
	return "`sudo apt-get install nvidia-container-toolkit` (from NVIDIA's repository), then " + d.registerRuntime()
}

// there says where commands are to be entered, where that is not here.
func (d *Daemon) there() string {
	if d.sameMachine() || d.Info.Name == "" {
		return ""
	}
	return "on the daemon's machine, " + d.Info.Name + ": "
}

// gpuTrouble is something that a daemon or NVIDIA's toolkit says when a
// container with GPUs cannot be made or started.
type gpuTrouble struct {
	says  []string // one of them, in lower case, is part of the error
	means string   // what is wrong
	hint  func(d *Daemon) string
}

func always(hint string) func(*Daemon) string { return func(*Daemon) string { return hint } }

// gpuTroubles returns what is known, the more special before the more general.
func gpuTroubles() []gpuTrouble {
	return []gpuTrouble{
		{
			says:  []string{"could not select device driver"},
			means: "the daemon found no NVIDIA Container Toolkit when it started",
			hint: func(d *Daemon) string {
				if d.Snap() {
					return mendSnap
				}
				return d.installToolkit()
			},
		},
		{
			says:  []string{"unknown or invalid runtime name: nvidia", "unknown runtime specified nvidia", "invalid runtime name nvidia"},
			means: "the runtime nvidia is not registered with the daemon",
			hint:  (*Daemon).registerRuntime,
		},
		{
			says:  []string{"unresolvable cdi devices"},
			means: "no CDI specification on the daemon's machine has the GPUs",
			hint:  func(*Daemon) string { return generateCDI + "; `nvidia-ctk cdi list` shows what there is" },
		},
		{
			says:  []string{"failed to stat cdi host device", "failed to inject cdi devices", "cdi device injection failed"},
			means: "the CDI specification is older than the driver or the GPUs",
			hint:  always(generateCDI + " writes it anew"),
		},
		{
			says:  []string{"unsatisfied condition"},
			means: "the image needs a newer NVIDIA driver than the daemon's machine has",
			hint:  always("update the driver, or use an image with an older CUDA (--image)"),
		},
		{
			says:  []string{"unknown device"},
			means: "the daemon's machine has not the GPUs that were asked for",
			hint:  always("`nvidia-smi -L` there lists them; ask for those with " + gpu.Flag),
		},
		{
			says:  []string{"version mismatch"},
			means: "the NVIDIA driver's libraries and its kernel module have different versions",
			hint:  always(sameVersion),
		},
		{
			says:  []string{"driver not loaded", "driver error", "libnvidia-ml.so.1"},
			means: "no NVIDIA driver is loaded on the daemon's machine",
			hint:  always("install the driver there, or load it with `sudo modprobe nvidia`; `nvidia-smi` shows whether it works"),
		},
		{
			says:  []string{"insufficient privileges to read device list", "when-unprivileged"},
			means: "the NVIDIA Container Toolkit is configured to give GPUs to privileged containers only",
			hint:  func(d *Daemon) string { return "give the GPU with CDI, which needs no privilege: " + generateCDI },
		},
		{
			says:  []string{"bpf_prog_query", "failed to add device rules"},
			means: "the NVIDIA Container Toolkit may not change control groups below this daemon",
			hint:  always(mendRootless),
		},
		{
			says:  []string{"cgroup subsystem devices not found"},
			means: "the NVIDIA Container Toolkit is too old for control groups of version 2",
			hint:  always("`sudo apt-get install --only-upgrade nvidia-container-toolkit libnvidia-container1`"),
		},
		{
			says:  []string{"ldcache error", "ldconfig"},
			means: "the NVIDIA Container Toolkit cannot run ldconfig",
			hint:  always("`sudo nvidia-ctk config --set nvidia-container-cli.ldconfig=@/sbin/ldconfig --in-place` on the daemon's machine (Ubuntu: @/sbin/ldconfig.real)"),
		},
		{
			says:  []string{"nvidia-container-cli: permission", "nvidia-container-cli: mount error"},
			means: "the NVIDIA Container Toolkit may not give the container its GPUs",
			hint:  always("give them with CDI: " + generateCDI),
		},
		{
			says:  []string{"nvidia-container-cli", "nvidia-container-runtime-hook", "nvidia-cdi-hook"},
			means: "the NVIDIA Container Toolkit failed",
			hint:  always("`nvidia-container-cli -k -d /dev/tty info` on the daemon's machine tells more"),
		},
		{
			says:  []string{`"nvidia-container-runtime": executable file not found`, "nvidia-container-runtime: no such file", "nvidia-container-runtime did not terminate"},
			means: "the runtime nvidia is registered with the daemon, but its program does not work",
			hint:  (*Daemon).installToolkit,
		},
	}
}

// explainGPU adds what is wrong, and what to do about it, to an error with
// which a daemon refused to create or start a container with GPUs. Errors that
// are about something else come back as they are.
func (d *Daemon) explainGPU(err error, r gpu.Request) error {
	if err == nil {
		return nil
	}
	text := strings.ToLower(err.Error())
	if r.CUDA != "" && strings.Contains(text, strings.ToLower(r.CUDA)) &&
		(strings.Contains(text, "bind source path does not exist") || strings.Contains(text, "no such file or directory")) {
		return d.noCUDA(r, err)
	}
	if !r.Wanted() {
		return err
	}
	for _, trouble := range gpuTroubles() {
		for _, says := range trouble.says {
			if strings.Contains(text, says) {
				return d.missingGPU(r, "%s: %w", trouble.means, err).
					WithHint("%s%s; %s", d.there(), trouble.hint(d), gpu.WayOut)
			}
		}
	}
	return err
}
