//go:build unix

package doctor

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/pkg/engine/gpu"
)

func TestJudgeGPUs(t *testing.T) {
	devices := []nvidia.Device{{Path: "/dev/nvidiactl"}, {Path: "/dev/nvidia0"}}
	fine := nvidia.Machine{
		Hardware: true, Driver: "550.54.15", CUDA: "12.4", Devices: devices, LibCUDA: "/usr/lib/libcuda.so.1", SMI: "/usr/bin/nvidia-smi",
		GPUs: []nvidia.GPU{{Index: 0, Name: "NVIDIA H100", Memory: 80 << 30}},
	}
	without := func(change func(*nvidia.Machine)) nvidia.Machine {
		here := fine
		change(&here)
		return here
	}
	type line struct {
		Name  string
		State State
	}
	tests := []struct {
		name string
		here nvidia.Machine
		want []line
	}{
		{"none", nvidia.Machine{}, []line{{"GPU", OK}}},
		{"all there", fine, []line{{"GPU", OK}, {"driver", OK}, {"device nodes", OK}, {"libcuda.so.1", OK}}},
		{"no driver", nvidia.Machine{Hardware: true}, []line{{"driver", Warning}}},
		{"no library", without(func(m *nvidia.Machine) { m.LibCUDA = "" }), []line{{"GPU", OK}, {"driver", OK}, {"device nodes", OK}, {"libcuda.so.1", Warning}}},
		{"not permitted", without(func(m *nvidia.Machine) {
			m.Devices = []nvidia.Device{{Path: "/dev/nvidiactl", Err: errors.New("permission denied")}}
		}), []line{{"driver", Warning}, {"libcuda.so.1", OK}}},
		{"hangs", without(func(m *nvidia.Machine) { m.SMIErr, m.GPUs = &nvidia.HangError{Err: errors.New("x")}, nil }),
			[]line{{"driver", Warning}, {"device nodes", OK}, {"libcuda.so.1", OK}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []line
			for _, f := range (&machine{}).judgeGPUs(test.here) {
				got = append(got, line{f.name, f.state})
				if (f.fix == "") != (f.state == OK) {
					t.Errorf("%+v", f)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestGPUFault(t *testing.T) {
	err := fault.New(fault.Missing, askedBy+" asks for a GPU: it is gone").WithHint("look for it; %s", gpu.WayOut)
	want := warning("driver", "look for it", "it is gone")
	if diff := cmp.Diff(want, gpuFault("driver", err), private); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := gpuFault("driver", errors.New("something else")); got.fix == "" || got.found != "something else" {
		t.Errorf("%+v", got)
	}
}
