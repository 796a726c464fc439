package gpu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/pkg/runplan"
)

// Processor is what a process on this machine brings along.
type Processor struct {
	// Libraries are the names of the shared libraries that it needs, all of
	// them: "libcudart.so.12".
	Libraries []string

	// Visible is CUDA_VISIBLE_DEVICES of the environment that it would inherit;
	// IsSet says whether there is one.
	Visible string
	IsSet   bool
}

// Warning is something to know about a run with GPUs, and what to do.
type Warning struct{ Text, Hint string }

// ForProcess returns the variables with which workers of the process engine use
// what r asks for on machine m: for all GPUs none, since CUDA takes them all by
// itself; for some of them CUDA_VISIBLE_DEVICES; for none its value that hides
// all of them.
//
// An error of kind Missing names the one thing that is not there: a GPU, the
// driver, its library, the right to use it, a driver that is new enough.
func ForProcess(r Request, m nvidia.Machine, p Processor) (env []runplan.Env, warnings []Warning, err error) {
	switch {
	case r.None:
		return []runplan.Env{{Name: visibleVariable, Value: hideAll}}, nil, nil
	case !r.Wanted():
		return nil, nil, nil
	}
	if err := CheckDriver(r, m); err != nil {
		return nil, nil, err
	}
	if m.LibCUDA == "" {
		return nil, nil, missing(r, "the library of the NVIDIA driver, libcuda.so.1, is not on this machine").
			WithHint("install it in the driver's version, for example with `sudo apt-get install libcuda1` (Debian) or `libnvidia-compute-%s` (Ubuntu)", major(m.Driver))
	}
	if warnings, err = checkCUDA(r, m, p.Libraries); err != nil {
		return nil, nil, err
	}
	visible, err := visibleDevices(r, m, p)
	if err != nil || visible == "" {
		return nil, warnings, err
	}
	return []runplan.Env{
		// CUDA numbers GPUs by their speed, nvidia-smi by their place on the bus:
		// an index is the one that nvidia-smi shows.
		{Name: "CUDA_DEVICE_ORDER", Value: "PCI_BUS_ID"},
		{Name: visibleVariable, Value: visible},
	}, warnings, nil
}

// The variable that tells CUDA which GPUs there are, and the value of it that
// is no GPU and so hides all of them.
const (
	visibleVariable = "CUDA_VISIBLE_DEVICES"
	hideAll         = "-1"
)

// WayOut is what to do where GPUs cannot be had.
const WayOut = "or go on without a GPU: " + Flag + " none"

// missing is an error about GPUs that were asked for and cannot be had.
func missing(r Request, format string, args ...any) *fault.Error {
	return fault.New(fault.Missing, "%s asks for a GPU: %s", r.Why, fmt.Sprintf(format, args...))
}

// CheckDriver returns an error where a machine has no GPU that this process may
// use, naming the one thing that is missing first. Every engine asks it about
// the machine that its workers will be on.
func CheckDriver(r Request, m nvidia.Machine) error {
	switch {
	case m.Driver == "" && m.WSL && m.SMI == "":
		return missing(r, "Windows has no NVIDIA driver for this Linux").
			WithHint("install the NVIDIA driver in Windows, not here, then `wsl --shutdown`; %s", WayOut)
	case m.Driver == "" && len(m.Devices) == 0 && !m.Hardware:
		return missing(r, "this machine has none of NVIDIA's").
			WithHint("use a machine with one, %s", WayOut)
	case m.Driver == "" && len(m.Devices) == 0:
		return missing(r, "there is one, but no NVIDIA driver is loaded").
			WithHint("install the driver, for example with `sudo apt-get install nvidia-driver` (Debian) or `sudo ubuntu-drivers install` (Ubuntu), and restart the machine; %s", WayOut)
	case len(m.Devices) == 0:
		return missing(r, "the NVIDIA driver %s is loaded, but /dev has no nvidiactl", m.Driver).
			WithHint("`sudo nvidia-modprobe -u -c 0` makes the device nodes; in a container, start that with its GPUs")
	}
	for _, d := range m.Devices {
		if d.Err != nil {
			return fault.New(fault.Missing, "%s asks for a GPU: this user may not use it: %w", r.Why, d.Err).
				WithHint("`ls -l %s` shows its group: add yourself with `sudo usermod -aG video $USER`, then log in again; in a container, give it the GPU with CDI", d.Path)
		}
	}
	if m.SMIErr != nil {
		hint := "restart the machine, so that the kernel's part of the driver fits its libraries; `nvidia-smi` shows whether it does"
		if strings.Contains(m.SMIErr.Error(), "version mismatch") {
			hint = "the driver was updated while it was in use: restart the machine"
		}
		return fault.New(fault.Missing, "%s asks for a GPU: the NVIDIA driver does not answer: %w", r.Why, m.SMIErr).WithHint("%s", hint)
	}
	if m.SMI == "" {
		return nil // which GPUs there are cannot be said
	}
	return checkDevices(r, m)
}

// checkDevices returns an error where a machine has not the GPUs asked for.
func checkDevices(r Request, m nvidia.Machine) error {
	list := func() string {
		var names []string
		for _, g := range m.GPUs {
			names = append(names, fmt.Sprintf("%d (%s, %s)", g.Index, g.Name, g.UUID))
		}
		return strings.Join(names, ", ")
	}
	switch {
	case len(m.GPUs) == 0:
		return missing(r, "the NVIDIA driver %s is loaded, but it finds no GPU", m.Driver).
			WithHint("`nvidia-smi` and `dmesg | grep -i nvrm` tell why; %s", WayOut)
	case r.Count > len(m.GPUs):
		return fault.New(fault.Missing, "%s asks for %d GPUs; this machine has %d", r.Why, r.Count, len(m.GPUs)).
			WithHint("there is GPU %s: ask for fewer with %s %d", list(), Flag, len(m.GPUs))
	}
	for _, id := range r.IDs {
		if !slices.ContainsFunc(m.GPUs, func(g nvidia.GPU) bool { return isGPU(g, id) }) {
			return fault.New(fault.Missing, "%s asks for GPU %s, which this machine does not have", r.Why, id).
				WithHint("there is GPU %s", list())
		}
	}
	return nil
}

// isGPU reports whether id names a GPU, or a part of it. The start of a UUID is
// enough for CUDA.
func isGPU(g nvidia.GPU, id string) bool {
	switch index, _, _ := strings.Cut(id, ":"); {
	case isIndex(index):
		return index == strconv.Itoa(g.Index)
	case strings.HasPrefix(id, "MIG-GPU-"): // before driver 470: MIG-GPU-<uuid>/<instance>/<instance>
		uuid, _, _ := strings.Cut(strings.TrimPrefix(id, "MIG-"), "/")
		return uuid == g.UUID
	case strings.HasPrefix(id, "MIG-"):
		return slices.Contains(g.MIG, id)
	default:
		return strings.HasPrefix(g.UUID, id)
	}
}

// visibleDevices is the value of CUDA_VISIBLE_DEVICES for r, "" where it stays
// as it is. What somebody has hidden from us stays hidden: a scheduler gives
// each of its jobs some of the GPUs in this way.
func visibleDevices(r Request, m nvidia.Machine, p Processor) (string, error) {
	if !p.IsSet {
		return selected(r), nil
	}
	shown := shownDevices(p.Visible)
	switch {
	case len(shown) == 0:
		return "", fault.New(fault.Missing, "%s asks for a GPU: %s=%s in the environment hides them all", r.Why, visibleVariable, p.Visible).
			WithHint("unset %s, %s", visibleVariable, WayOut)
	case r.All:
		return "", nil
	case r.Count > len(shown):
		return "", fault.New(fault.Missing, "%s asks for %d GPUs; %s=%s in the environment shows %d of %d",
			r.Why, r.Count, visibleVariable, p.Visible, len(shown), len(m.GPUs)).
			WithHint("unset %s, or ask for fewer with %s %d", visibleVariable, Flag, len(shown))
	case r.Count > 0:
		return strings.Join(shown[:r.Count], ","), nil
	}
	return selected(r), nil // who names GPUs means those
}

// selected is the value of CUDA_VISIBLE_DEVICES for r on its own.
func selected(r Request) string {
	if r.All {
		return ""
	}
	ids := r.IDs
	for i := range r.Count {
		ids = append(ids, strconv.Itoa(i))
	}
	return strings.Join(ids, ",")
}

// shownDevices reads CUDA_VISIBLE_DEVICES as CUDA does: up to the first that is
// none.
func shownDevices(value string) []string {
	var shown []string
	for id := range strings.SplitSeq(value, ",") {
		if id = strings.TrimSpace(id); !validID(id) {
			break
		}
		shown = append(shown, id)
	}
	return shown
}

// major is the number that packages of a driver's version are named after.
func major(version string) string {
	number, _, _ := strings.Cut(version, ".")
	return number
}

// CUDALibraries returns the variable with which the loader of a process on this
// machine finds the libraries of the CUDA that the description names, behind
// those of current, the LD_LIBRARY_PATH that it would have otherwise. There is
// no /usr/local/cuda of a run's own here, as there is in a container.
func CUDALibraries(r Request, current string) ([]runplan.Env, error) {
	if r.CUDA == "" {
		return nil, nil
	}
	if !isDir(r.CUDA) {
		if r.None {
			return nil, nil
		}
		return nil, fault.New(fault.Missing, "cuda in the description names %s, which is no directory of this machine", r.CUDA).
			WithHint("install CUDA, or name the directory that it is in; a processor that is linked with CUDA statically needs neither it nor cuda")
	}
	for _, name := range []string{"lib64", "lib"} {
		dir := r.CUDA + "/" + name
		if !isDir(dir) {
			continue
		}
		if current != "" {
			dir = current + ":" + dir
		}
		return []runplan.Env{{Name: "LD_LIBRARY_PATH", Value: dir}}, nil
	}
	return nil, nil
}
