package gpu

import (
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/nvidia"
)

// drivers are the oldest drivers for Linux that a CUDA works with, newest
// first. From 11 on all versions of one major number work with all drivers that
// support one of them.
var drivers = []struct{ cuda, driver string }{
	{"13", "580.65.06"},
	{"12", "525.60.13"},
	{"11", "450.80.02"},
	{"10.2", "440.33"},
	{"10.1", "418.39"},
	{"10.0", "410.48"},
	{"9.2", "396.26"},
	{"9.1", "390.46"},
	{"9.0", "384.81"},
	{"8.0", "375.26"},
}

// driverFor returns the oldest driver for a CUDA, "" where it is not known.
func driverFor(cuda string) string {
	for _, d := range drivers {
		if cuda == d.cuda || strings.HasPrefix(cuda, d.cuda+".") {
			return d.driver
		}
	}
	// The bare major number of a CUDA whose minor ones differ: the least that
	// it can mean.
	for i := len(drivers) - 1; i >= 0; i-- {
		if strings.HasPrefix(drivers[i].cuda, cuda+".") {
			return drivers[i].driver
		}
	}
	return ""
}

// cudaLibraries are the libraries whose names carry CUDA's version. Others, such
// as libcufft and libcudnn, have versions of their own.
var cudaLibraries = []string{"libcudart.so.", "libcublas.so.", "libcublasLt.so.", "libnvrtc.so.", "libnvJitLink.so."}

// neededCUDA returns the newest CUDA that a processor needs and what says so.
// The names of libraries count before the description: they are what is loaded.
func neededCUDA(r Request, libraries []string) (version, by string) {
	for _, name := range libraries {
		for _, prefix := range cudaLibraries {
			v, ok := strings.CutPrefix(name, prefix)
			if !ok || !isCUDAVersion(v) {
				continue
			}
			if strings.HasPrefix(v, "11.") {
				v = "11" // libcudart.so.11.0 is that of every 11
			}
			if version == "" || nvidia.CompareVersions(v, version) > 0 {
				version, by = v, name
			}
		}
	}
	if version == "" && r.CUDAVersion != "" {
		return r.CUDAVersion, "cuda " + r.CUDAVersion + " in the description"
	}
	return version, by
}

// checkCUDA compares the CUDA that a processor needs with what the driver
// supports.
func checkCUDA(r Request, m nvidia.Machine, libraries []string) ([]Warning, error) {
	need, by := neededCUDA(r, libraries)
	if need == "" || m.Driver == "" {
		return nil, nil
	}
	oldest := driverFor(need)
	supports := "is older"
	if m.CUDA != "" {
		supports = "supports CUDA " + m.CUDA
	}
	tooOld := oldest != "" && nvidia.CompareVersions(m.Driver, oldest) < 0
	if oldest == "" && m.CUDA != "" { // a CUDA that is newer than this table
		tooOld = nvidia.CompareVersions(major(need), major(m.CUDA)) > 0
	}
	switch {
	case tooOld && m.Compat != "":
		return []Warning{{
			Text: "the processor needs CUDA " + need + " (" + by + "), and the NVIDIA driver " + m.Driver + " " + supports + "; it may still work with " + m.Compat,
			Hint: "have that directory first in LD_LIBRARY_PATH, or update the driver" + atLeast(oldest),
		}}, nil
	case tooOld:
		return nil, fault.New(fault.Missing, "the processor needs CUDA %s (%s), and the NVIDIA driver %s %s", need, by, m.Driver, supports).
			WithHint("update the driver%s, or build the processor with an older CUDA; %s", atLeast(oldest), WayOut)
	case m.CUDA != "" && major(need) == major(m.CUDA) && nvidia.CompareVersions(need, m.CUDA) > 0:
		return []Warning{{
			Text: "the processor is for CUDA " + need + ", and the NVIDIA driver " + m.Driver + " supports CUDA " + m.CUDA + ": code that was compiled to PTX only does not run on it",
			Hint: "compile for the GPU itself (nvcc -arch=native), or update the driver",
		}}, nil
	}
	return nil, nil
}

func atLeast(driver string) string {
	if driver == "" {
		return ""
	}
	return " to " + driver + " or newer"
}
