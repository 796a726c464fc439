package gpu

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/pkg/runplan"
)

// machine has two GPUs and all that they need.
func machine() nvidia.Machine {
	return nvidia.Machine{
		Hardware: true, Driver: "550.54.15", CUDA: "12.4", LibCUDA: "/usr/lib/libcuda.so.1", SMI: "/usr/bin/nvidia-smi",
		GPUs: []nvidia.GPU{
			{Index: 0, UUID: "GPU-aaaa", Name: "A10"},
			{Index: 1, UUID: "GPU-bbbb", Name: "A10", MIG: []string{"MIG-cccc"}},
		},
		Devices: []nvidia.Device{{Path: "/dev/nvidiactl"}, {Path: "/dev/nvidia0"}, {Path: "/dev/nvidia1"}},
	}
}

func TestForProcess(t *testing.T) {
	only := func(ids string) []runplan.Env {
		return []runplan.Env{{Name: "CUDA_DEVICE_ORDER", Value: "PCI_BUS_ID"}, {Name: "CUDA_VISIBLE_DEVICES", Value: ids}}
	}
	for _, tt := range []struct {
		name      string
		request   Request
		processor Processor
		want      []runplan.Env
	}{
		{"nothing asked for", Request{}, Processor{}, nil},
		{"all", Request{All: true}, Processor{}, nil},
		{"none", Request{None: true}, Processor{}, []runplan.Env{{Name: "CUDA_VISIBLE_DEVICES", Value: "-1"}}},
		{"a number", Request{Count: 2}, Processor{}, only("0,1")},
		{"an index", Request{IDs: []string{"1"}}, Processor{}, only("1")},
		{"a UUID", Request{IDs: []string{"GPU-bbbb"}}, Processor{}, only("GPU-bbbb")},
		{"the start of a UUID", Request{IDs: []string{"GPU-b"}}, Processor{}, only("GPU-b")},
		{"a part", Request{IDs: []string{"MIG-cccc"}}, Processor{}, only("MIG-cccc")},
		{"an older part", Request{IDs: []string{"MIG-GPU-bbbb/1/0"}}, Processor{}, only("MIG-GPU-bbbb/1/0")},
		{"all of those that a scheduler gave", Request{All: true}, Processor{Visible: "1", IsSet: true}, nil},
		{"one of those", Request{Count: 1}, Processor{Visible: "1,0", IsSet: true}, only("1")},
		{"a named one all the same", Request{IDs: []string{"0"}}, Processor{Visible: "1", IsSet: true}, only("0")},
		{"for a CUDA of the same major version", Request{All: true}, Processor{Libraries: []string{"libc.so.6", "libcudart.so.12", "libcufft.so.11"}}, nil},
		{"for an older CUDA", Request{All: true}, Processor{Libraries: []string{"libcudart.so.11.0"}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env, warnings, err := ForProcess(tt.request, machine(), tt.processor)
			if err != nil || len(warnings) > 0 {
				t.Fatalf("warnings %v, error %v", warnings, err)
			}
			if diff := cmp.Diff(tt.want, env); diff != "" {
				t.Errorf("environment (-want +got):\n%s", diff)
			}
		})
	}
}

// Nothing of a machine without a GPU is looked at where none is asked for.
func TestForProcessWithoutGPU(t *testing.T) {
	for _, r := range []Request{{}, {None: true}} {
		if _, _, err := ForProcess(r, nvidia.Machine{}, Processor{}); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// The one thing that is missing.
func TestForProcessRefuses(t *testing.T) {
	for _, tt := range []struct {
		name      string
		request   Request
		change    func(*nvidia.Machine)
		processor Processor
		says      string
		hint      string // a part of it
	}{
		{
			name: "no GPU", change: func(m *nvidia.Machine) { *m = nvidia.Machine{} },
			says: "metadata.gpu asks for a GPU: this machine has none of NVIDIA's", hint: "--gpus none",
		},
		{
			name: "no library", change: func(m *nvidia.Machine) { m.LibCUDA = "" },
			says: "metadata.gpu asks for a GPU: the library of the NVIDIA driver, libcuda.so.1, is not on this machine", hint: "libnvidia-compute-550",
		},
		{
			name: "no permission", change: func(m *nvidia.Machine) {
				m.Devices[0].Err = &fs.PathError{Op: "access", Path: "/dev/nvidiactl", Err: fs.ErrPermission}
			},
			says: "metadata.gpu asks for a GPU: this user may not use it: access /dev/nvidiactl: permission denied", hint: "usermod",
		},
		{
			name: "no answer", change: func(m *nvidia.Machine) { m.SMIErr = errors.New("nvidia-smi: it hangs") },
			says: "metadata.gpu asks for a GPU: the NVIDIA driver does not answer: nvidia-smi: it hangs", hint: "restart the machine",
		},
		{
			name: "none listed", change: func(m *nvidia.Machine) { m.GPUs = nil },
			says: "metadata.gpu asks for a GPU: the NVIDIA driver 550.54.15 is loaded, but it finds no GPU", hint: "dmesg",
		},
		{
			name: "no such part", request: Request{IDs: []string{"MIG-dddd"}},
			says: "metadata.gpu asks for GPU MIG-dddd, which this machine does not have", hint: "GPU-aaaa",
		},
		{
			name: "hidden", processor: Processor{Visible: "", IsSet: true},
			says: "metadata.gpu asks for a GPU: CUDA_VISIBLE_DEVICES= in the environment hides them all", hint: "unset CUDA_VISIBLE_DEVICES",
		},
		{
			name: "hidden by -1", processor: Processor{Visible: "-1,0", IsSet: true},
			says: "metadata.gpu asks for a GPU: CUDA_VISIBLE_DEVICES=-1,0 in the environment hides them all", hint: "unset CUDA_VISIBLE_DEVICES",
		},
		{
			name: "too few are shown", request: Request{Count: 2}, processor: Processor{Visible: "1", IsSet: true},
			says: "metadata.gpu asks for 2 GPUs; CUDA_VISIBLE_DEVICES=1 in the environment shows 1 of 2", hint: "--gpus 1",
		},
		{
			name: "driver for an older CUDA", processor: Processor{Libraries: []string{"libcublas.so.13", "libcudart.so.12"}},
			says: "the processor needs CUDA 13 (libcublas.so.13), and the NVIDIA driver 550.54.15 supports CUDA 12.4", hint: "update the driver to 580.65.06 or newer",
		},
		{
			name: "by the description", request: Request{All: true, CUDAVersion: "13.0"},
			says: "the processor needs CUDA 13.0 (cuda 13.0 in the description), and the NVIDIA driver 550.54.15 supports CUDA 12.4", hint: "--gpus none",
		},
		{
			name: "old driver", change: func(m *nvidia.Machine) { m.Driver, m.CUDA = "418.87", "10.1" }, processor: Processor{Libraries: []string{"libcudart.so.10.2"}},
			says: "the processor needs CUDA 10.2 (libcudart.so.10.2), and the NVIDIA driver 418.87 supports CUDA 10.1", hint: "440.33",
		},
		{
			name: "a CUDA of the future", processor: Processor{Libraries: []string{"libcudart.so.21"}},
			says: "the processor needs CUDA 21 (libcudart.so.21), and the NVIDIA driver 550.54.15 supports CUDA 12.4", hint: "update the driver, or",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := machine()
			if tt.change != nil {
				tt.change(&m)
			}
			r := tt.request
			if !r.Wanted() {
				r.All = true
			}
			r.Why = "metadata.gpu"
			env, _, err := ForProcess(r, m, tt.processor)
			if err == nil || err.Error() != tt.says || env != nil {
				t.Fatalf("error: %v\nwant:  %s", err, tt.says)
			}
			if fault.KindOf(err) != fault.Missing || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("kind %d, hint: %s\nwant one with: %s", fault.KindOf(err), fault.HintOf(err), tt.hint)
			}
		})
	}
}

func TestForProcessWarns(t *testing.T) {
	_, warnings, err := ForProcess(Request{All: true, CUDAVersion: "12.6"}, machine(), Processor{})
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].Text, "PTX") {
		t.Errorf("a newer minor version: %v, %v", warnings, err)
	}
	m := machine()
	m.Compat = "/usr/local/cuda-13.0/compat/libcuda.so.1"
	_, warnings, err = ForProcess(Request{All: true}, m, Processor{Libraries: []string{"libcudart.so.13"}})
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].Text, m.Compat) || !strings.Contains(warnings[0].Hint, "LD_LIBRARY_PATH") {
		t.Errorf("forward compatibility: %v, %v", warnings, err)
	}
}

func TestDriverFor(t *testing.T) {
	for cuda, want := range map[string]string{
		"12": "525.60.13", "12.4": "525.60.13", "11.2": "450.80.02", "10.2.89": "440.33", "10.1": "418.39", "10": "410.48", "9": "384.81", "7.5": "", "99": "",
	} {
		if got := driverFor(cuda); got != want {
			t.Errorf("CUDA %s needs %q, want %q", cuda, got, want)
		}
	}
}

func TestCUDALibraries(t *testing.T) {
	dir := t.TempDir()
	if env, err := CUDALibraries(Request{All: true, CUDA: dir}, "/opt/lib"); env != nil || err != nil {
		t.Errorf("a directory without libraries: %v, %v", env, err)
	}
	if err := os.Mkdir(dir+"/lib64", 0o700); err != nil {
		t.Fatal(err)
	}
	for current, want := range map[string]string{"": dir + "/lib64", "/opt/lib": "/opt/lib:" + dir + "/lib64"} {
		env, err := CUDALibraries(Request{All: true, CUDA: dir}, current)
		if diff := cmp.Diff([]runplan.Env{{Name: "LD_LIBRARY_PATH", Value: want}}, env); diff != "" || err != nil {
			t.Errorf("behind %q (%v, -want +got):\n%s", current, err, diff)
		}
	}
	if _, err := CUDALibraries(Request{All: true, CUDA: dir + "/no"}, ""); fault.KindOf(err) != fault.Missing {
		t.Errorf("no directory: %v", err)
	}
	if env, err := CUDALibraries(Request{None: true, CUDA: dir + "/no"}, ""); env != nil || err != nil {
		t.Errorf("no directory, and no GPU: %v, %v", env, err)
	}
	if env, err := CUDALibraries(Request{}, "/opt/lib"); env != nil || err != nil {
		t.Errorf("no CUDA: %v, %v", env, err)
	}
}
