// Package nvidia finds out what a machine has for NVIDIA GPUs: the driver and
// the CUDA version that it supports, the GPUs and what they are used for, the
// device nodes, libcuda.so.1, the container toolkit, the CDI specifications.
//
// It asks nvidia-smi and the file system and loads no library of NVIDIA's, so
// that it works the same on a machine that has none of all this. Everything is
// looked for below a given root: a test makes a tree.
package nvidia

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/ldcache"
)

// Machine is what was found. Each field that is empty was not found.
type Machine struct {
	Hardware bool     // the PCI bus has a GPU of NVIDIA's
	WSL      bool     // Linux in Windows, which has the driver; GPUs are behind /dev/dxg
	Driver   string   // its version, such as "550.54.15"
	CUDA     string   // the newest CUDA that the driver supports, such as "12.4"
	GPUs     []GPU    // in the order of their indexes
	Devices  []Device // the control node first, then one node a GPU

	LibCUDA string // path of libcuda.so.1, the driver's library
	Compat  string // path of a newer libcuda.so.1 that came with a CUDA, for forward compatibility

	SMI    string // path of nvidia-smi
	SMIErr error  // why it gave no answer

	Toolkit Toolkit
	CDI     []string // devices that CDI specifications name, such as "nvidia.com/gpu=0"
}

// Device is a device node.
type Device struct {
	Path string
	Err  error // why this process may not use it
}

// Toolkit is the NVIDIA Container Toolkit: the paths of its programs.
type Toolkit struct {
	CTK     string // nvidia-ctk, which configures the rest
	Runtime string // nvidia-container-runtime, the runtime that is registered
	Hook    string // nvidia-container-runtime-hook, which `--gpus` uses
	CLI     string // nvidia-container-cli, which the hook uses

	// NoCgroups says that it leaves control groups alone, as it must below a
	// rootless daemon.
	NoCgroups bool
}

// Installed reports whether there is any of it.
func (t Toolkit) Installed() bool { return t.CTK != "" || t.Runtime != "" || t.Hook != "" }

// Options say where to look. The zero value is this machine.
type Options struct {
	Root string   // the directory that stands for /; empty: /
	Path []string // directories of programs below Root; nil: those of PATH, and the usual ones

	// Timeout bounds the wait for nvidia-smi; 0: 10 s. A driver that has not been
	// used for a while takes seconds to start its GPUs.
	Timeout time.Duration
}

// Look looks at a machine. What cannot be found out is left empty.
func Look(ctx context.Context, opts Options) Machine {
	p := newPlace(opts)
	m := Machine{
		Hardware: p.hardware(),
		WSL:      p.exists("/dev/dxg") && p.exists("/usr/lib/wsl"),
		Driver:   p.driver(),
		LibCUDA:  p.libCUDA(),
		Compat:   p.compat(),
		SMI:      p.program("nvidia-smi"),
		Toolkit:  p.toolkit(),
		CDI:      p.cdi(),
	}
	m.Devices = p.devices(m.WSL)
	if m.SMI == "" {
		return m
	}
	timeout := opts.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := Describe(ctx, m.SMI)
	if err != nil {
		m.SMIErr = err
		return m
	}
	m.CUDA, m.GPUs = answer.CUDA, answer.GPUs
	if answer.Driver != "" {
		m.Driver = answer.Driver
	}
	return m
}

// CanUse returns why this process may not use the GPUs, as far as the device
// nodes say.
func (m Machine) CanUse() error {
	for _, d := range m.Devices {
		if d.Err != nil {
			return d.Err
		}
	}
	return nil
}

// FindSMI returns the path of this machine's nvidia-smi, or "".
func FindSMI() string { return newPlace(Options{}).program("nvidia-smi") }

// place is a file system in which things are looked for.
type place struct {
	root string
	path []string
}

func newPlace(opts Options) place {
	p := place{root: opts.Root, path: opts.Path}
	if p.root == "" {
		p.root = "/"
	}
	if p.path == nil {
		// A program is found where a shell of root would find it too: this is also
		// asked for by a service that was started with a short PATH.
		p.path = append(filepath.SplitList(os.Getenv("PATH")), "/usr/bin", "/usr/local/bin", "/usr/sbin", "/bin", "/usr/lib/wsl/lib")
	}
	return p
}

func (p place) at(path string) string { return filepath.Join(p.root, path) }

func (p place) exists(path string) bool {
	_, err := os.Stat(p.at(path))
	return err == nil
}

// read returns the first bytes of a file, which are all of any file that is
// looked at here.
func (p place) read(path string, limit int64) []byte {
	f, err := os.Open(p.at(path))
	if err != nil {
		return nil
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, limit)) // as much as there is
	return data
}

// program returns the path of a program, as this process reaches it.
func (p place) program(name string) string {
	for _, dir := range p.path {
		if !filepath.IsAbs(dir) {
			continue
		}
		path := p.at(filepath.Join(dir, name))
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// hardware looks at the PCI bus for a display controller of NVIDIA's.
func (p place) hardware() bool {
	const nvidia, display = "0x10de", "0x03"
	devices, _ := filepath.Glob(p.at("/sys/bus/pci/devices/*/vendor"))
	return slices.ContainsFunc(devices, func(vendor string) bool {
		id, err := os.ReadFile(vendor)
		if err != nil || strings.TrimSpace(string(id)) != nvidia {
			return false
		}
		class, err := os.ReadFile(filepath.Join(filepath.Dir(vendor), "class"))
		return err == nil && strings.HasPrefix(string(class), display)
	})
}

// driver returns the version of the kernel's driver.
func (p place) driver() string {
	if v := strings.TrimSpace(string(p.read("/sys/module/nvidia/version", 64))); isVersion(v) {
		return v
	}
	// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar …"
	line, _, _ := strings.Cut(string(p.read("/proc/driver/nvidia/version", 4<<10)), "\n")
	if !strings.HasPrefix(line, "NVRM version:") {
		return ""
	}
	for word := range strings.FieldsSeq(line) {
		if isVersion(word) {
			return word
		}
	}
	return ""
}

// devices lists the nodes that a program needs to use the GPUs. The node of
// unified memory is not among them: the driver's library makes it when it is
// missing.
func (p place) devices(wsl bool) []Device {
	if wsl {
		return []Device{{Path: p.at("/dev/dxg"), Err: Usable(p.at("/dev/dxg"))}}
	}
	var list []Device
	if p.exists(controlNode) {
		list = append(list, Device{Path: p.at(controlNode), Err: Usable(p.at(controlNode))})
	}
	for _, path := range Nodes(p.at("/dev")) {
		list = append(list, Device{Path: path, Err: Usable(path)})
	}
	return list
}

// ControlNode is the name of the device node that everything begins with.
const ControlNode = "nvidiactl"

const controlNode = "/dev/" + ControlNode

// Nodes lists the nodes of single GPUs in a directory such as /dev, by number.
func Nodes(dev string) []string {
	entries, err := os.ReadDir(dev)
	if err != nil {
		return nil
	}
	var numbers []int
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name(), "nvidia"); ok {
			if n, err := strconv.Atoi(rest); err == nil && strconv.Itoa(n) == rest {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	paths := make([]string, len(numbers))
	for i, n := range numbers {
		paths[i] = filepath.Join(dev, "nvidia"+strconv.Itoa(n))
	}
	return paths
}

// libCUDA finds the driver's library as the loader would, and where it usually
// is: a cache that is older than the driver does not name it.
func (p place) libCUDA() string {
	const name = "libcuda.so.1"
	if path := ldcache.Parse(p.read("/etc/ld.so.cache", 16<<20))[name]; path != "" && p.exists(path) {
		return path
	}
	for _, dir := range []string{
		"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib",
		"/usr/lib/wsl/lib", "/usr/local/nvidia/lib64", "/usr/lib/x86_64-linux-gnu/nvidia/current",
		"/run/opengl-driver/lib", "/usr/lib/aarch64-linux-gnu/tegra", "/usr/lib/aarch64-linux-gnu/nvidia",
	} {
		if path := filepath.Join(dir, name); p.exists(path) {
			return path
		}
	}
	return ""
}

// compat finds the library of a forward compatibility package.
func (p place) compat() string {
	for _, pattern := range []string{"/usr/local/cuda/compat", "/usr/local/cuda-*/compat"} {
		found, _ := filepath.Glob(p.at(filepath.Join(pattern, "libcuda.so.1")))
		if len(found) > 0 {
			return found[len(found)-1]
		}
	}
	return ""
}

func (p place) toolkit() Toolkit {
	t := Toolkit{
		CTK:     p.program("nvidia-ctk"),
		Runtime: p.program("nvidia-container-runtime"),
		Hook:    p.program("nvidia-container-runtime-hook"),
		CLI:     p.program("nvidia-container-cli"),
	}
	config := p.read("/etc/nvidia-container-runtime/config.toml", 64<<10)
	for line := range strings.Lines(string(config)) {
		key, value, ok := strings.Cut(line, "=")
		if ok && strings.TrimSpace(key) == "no-cgroups" {
			value, _, _ = strings.Cut(value, "#")
			t.NoCgroups = strings.TrimSpace(value) == "true"
		}
	}
	return t
}

// isVersion reports whether a word is made of numbers and dots between them.
func isVersion(word string) bool {
	parts := strings.Split(word, ".")
	if len(parts) < 2 {
		return false
	}
	for _, part := range parts {
		if _, err := strconv.ParseUint(part, 10, 31); err != nil {
			return false
		}
	}
	return true
}

// CompareVersions compares versions number by number: "9.2" is less than
// "10.0", and "12" equals "12.0". What is no number counts as 0.
func CompareVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	number := func(parts []string, i int) int {
		if i >= len(parts) {
			return 0
		}
		n, _ := strconv.Atoi(parts[i])
		return n
	}
	for i := range max(len(x), len(y)) {
		if d := number(x, i) - number(y, i); d != 0 {
			return d
		}
	}
	return 0
}

// CUDAVersion returns the version of the CUDA in a directory such as
// /usr/local/cuda, or "" where it does not say.
func CUDAVersion(dir string) string {
	p := place{root: dir}
	// version.json: {"cuda": {"name": "CUDA SDK", "version": "12.4.0"}, …}
	if v := jsonVersion(p.read("version.json", 64<<10)); isVersion(v) {
		return v
	}
	// version.txt, before CUDA 11.1: "CUDA Version 10.2.89"
	if v, ok := strings.CutPrefix(strings.TrimSpace(string(p.read("version.txt", 256))), "CUDA Version "); ok {
		if v, _, _ = strings.Cut(v, "\n"); isVersion(v) {
			return v
		}
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		if v, ok := strings.CutPrefix(filepath.Base(real), "cuda-"); ok && isVersion(v) {
			return v
		}
	}
	return ""
}
