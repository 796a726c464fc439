package nvidia

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// queryXML is what matters of the answer of a machine with two GPUs, one of
// them divided, and a little of what does not.
const queryXML = `<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
	<timestamp>Mon Jan  6 10:00:00 2025</timestamp>
	<driver_version>550.54.15</driver_version>
	<cuda_version>12.4</cuda_version>
	<attached_gpus>2</attached_gpus>
	<gpu id="00000000:17:00.0">
		<product_name>NVIDIA H100 80GB HBM3</product_name>
		<mig_mode><current_mig>Disabled</current_mig></mig_mode>
		<mig_devices>None</mig_devices>
		<uuid>GPU-aaaa</uuid>
		<minor_number>0</minor_number>
		<fb_memory_usage><total>81559 MiB</total><reserved>551 MiB</reserved><used>1024 MiB</used></fb_memory_usage>
		<bar1_memory_usage><total>131072 MiB</total><used>1 MiB</used></bar1_memory_usage>
		<utilization><gpu_util>37 %</gpu_util><memory_util>1 %</memory_util></utilization>
		<processes><process_info><pid>1</pid><used_memory>900 MiB</used_memory></process_info></processes>
	</gpu>
	<gpu id="00000000:65:00.0">
		<product_name>NVIDIA A100</product_name>
		<mig_devices><mig_device><index>0</index><uuid>MIG-1111</uuid></mig_device><mig_device><uuid>MIG-2222</uuid></mig_device></mig_devices>
		<uuid>GPU-bbbb</uuid>
		<minor_number>N/A</minor_number>
		<fb_memory_usage><total>40960 MiB</total><used>[Insufficient Permissions]</used></fb_memory_usage>
		<utilization><gpu_util>N/A</gpu_util></utilization>
	</gpu>
</nvidia_smi_log>
`

var queried = []GPU{
	{Index: 0, UUID: "GPU-aaaa", Name: "NVIDIA H100 80GB HBM3", Minor: 0, Use: 0.37, Used: 1 << 30, Memory: 81559 << 20},
	{Index: 1, UUID: "GPU-bbbb", Name: "NVIDIA A100", Minor: -1, MIG: []string{"MIG-1111", "MIG-2222"}, Use: -1, Used: -1, Memory: 40960 << 20},
}

func TestParseXML(t *testing.T) {
	got, err := ParseXML([]byte(queryXML))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Answer{Driver: "550.54.15", CUDA: "12.4", GPUs: queried}, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	got, err = ParseXML([]byte("<nvidia_smi_log><driver_version>N/A</driver_version><cuda_version>ERR!</cuda_version></nvidia_smi_log>"))
	if err != nil || got.Driver != "" || got.CUDA != "" || got.GPUs != nil {
		t.Errorf("a driver in trouble: %+v, %v", got, err)
	}
	for _, text := range []string{"", "NVIDIA-SMI has failed", "<html></html>", "<nvidia_smi_log><gpu>"} {
		if got, err := ParseXML([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestParseCSV(t *testing.T) {
	got, err := ParseCSV([]byte("0, GPU-aaaa, NVIDIA A10, 37, 1024, 23028\n7, GPU-bbbb, \"Tesla, old\", [N/A], [Not Supported], 16160\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []GPU{
		{Index: 0, UUID: "GPU-aaaa", Name: "NVIDIA A10", Minor: -1, Use: 0.37, Used: 1 << 30, Memory: 23028 << 20},
		{Index: 7, UUID: "GPU-bbbb", Name: "Tesla, old", Minor: -1, Use: -1, Used: -1, Memory: 16160 << 20},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("GPUs (-want +got):\n%s", diff)
	}
	if got, err := ParseCSV(nil); err != nil || got != nil {
		t.Errorf("no line: %v, %v", got, err)
	}
	_, err = ParseCSV([]byte("No devices were found\n"))
	if err == nil || err.Error() != "nvidia-smi: No devices were found" {
		t.Errorf("words in place of GPUs: %v", err)
	}
}

func FuzzParseXML(f *testing.F) {
	f.Add([]byte(queryXML))
	f.Add([]byte("<nvidia_smi_log><gpu><fb_memory_usage><total>9223372036854775807 MiB</total></fb_memory_usage></gpu></nvidia_smi_log>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ParseXML(data)
		if err == nil {
			wantSane(t, a.GPUs)
		}
	})
}

func FuzzParseCSV(f *testing.F) {
	f.Add([]byte("0, GPU-aaaa, NVIDIA A10, 37, 1024, 23028\n"))
	f.Add([]byte("0,,,-1,99999999999999999999,18446744073709551615\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		gpus, err := ParseCSV(data)
		if err == nil {
			wantSane(t, gpus)
		}
	})
}

// wantSane fails where what is shown to people and machines holds what it must
// not.
func wantSane(t *testing.T, gpus []GPU) {
	t.Helper()
	for _, g := range gpus {
		if g.Index < 0 || g.Use > 1 || g.Used < -1 || g.Memory < -1 {
			t.Errorf("%+v", g)
		}
		for _, text := range append([]string{g.UUID, g.Name}, g.MIG...) {
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%q holds a control character", text)
			}
		}
	}
}

// tree is a made file system.
type tree struct {
	t    *testing.T
	root string
}

func newTree(t *testing.T) tree {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("missing: a system with shell scripts")
	}
	return tree{t, t.TempDir()}
}

// write makes a file; what lies below a bin directory is a program.
func (r tree) write(path, text string) {
	r.t.Helper()
	path = filepath.Join(r.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	mode := fs.FileMode(0o644)
	if strings.HasSuffix(filepath.Dir(path), "bin") {
		mode = 0o755
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		r.t.Fatal(err)
	}
}

// smi makes an nvidia-smi that answers with a text, and one status.
func (r tree) smi(answer string, status string) {
	r.t.Helper()
	r.write("answer", answer)
	r.write("usr/bin/nvidia-smi", "#!/bin/sh\ncat '"+filepath.Join(r.root, "answer")+"'\nexit "+status+"\n")
}

func (r tree) look() Machine {
	return Look(r.t.Context(), Options{Root: r.root, Path: []string{"/usr/bin"}})
}

func (r tree) at(path string) string { return filepath.Join(r.root, path) }

const cdiSpec = `cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits: {deviceNodes: [{path: /dev/nvidia0}]}
- name: all
  containerEdits: {deviceNodes: [{path: /dev/nvidia0}]}
`

func TestLook(t *testing.T) {
	r := newTree(t)
	r.write("sys/bus/pci/devices/0000:17:00.0/vendor", "0x10de\n")
	r.write("sys/bus/pci/devices/0000:17:00.0/class", "0x030200\n")
	r.write("sys/module/nvidia/version", "550.54.14\n")
	for _, node := range []string{"nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia-caps", "nvidia02", "null"} {
		r.write("dev/"+node, "")
	}
	r.write("usr/lib64/libcuda.so.1", "")
	r.write("usr/local/cuda-12.6/compat/libcuda.so.1", "")
	for _, program := range []string{"nvidia-ctk", "nvidia-container-runtime", "nvidia-container-runtime-hook", "nvidia-container-cli"} {
		r.write("usr/bin/"+program, "")
	}
	r.write("etc/nvidia-container-runtime/config.toml", "[nvidia-container-cli]\n#no-cgroups = false\nno-cgroups = true # rootless\n")
	r.write("etc/cdi/nvidia.yaml", cdiSpec)
	r.write("var/run/cdi/other.json", `{"cdiVersion":"0.5.0","kind":"vendor.com/other","devices":[{"name":"x","containerEdits":{"env":["A=1"]}}]}`)
	r.write("var/run/cdi/broken.yaml", "kind: [")
	r.smi(queryXML, "0")

	want := Machine{
		Hardware: true, Driver: "550.54.15", CUDA: "12.4", GPUs: queried,
		Devices: []Device{{Path: r.at("dev/nvidiactl")}, {Path: r.at("dev/nvidia2")}, {Path: r.at("dev/nvidia10")}},
		LibCUDA: "/usr/lib64/libcuda.so.1", Compat: r.at("usr/local/cuda-12.6/compat/libcuda.so.1"),
		SMI: r.at("usr/bin/nvidia-smi"),
		Toolkit: Toolkit{
			CTK: r.at("usr/bin/nvidia-ctk"), Runtime: r.at("usr/bin/nvidia-container-runtime"),
			Hook: r.at("usr/bin/nvidia-container-runtime-hook"), CLI: r.at("usr/bin/nvidia-container-cli"), NoCgroups: true,
		},
		CDI: []string{"nvidia.com/gpu=0", "nvidia.com/gpu=all"},
	}
	if diff := cmp.Diff(want, r.look()); diff != "" {
		t.Errorf("machine (-want +got):\n%s", diff)
	}
}

func TestLookAtNothing(t *testing.T) {
	r := newTree(t)
	// A sound card of NVIDIA's and a display of somebody else's are no GPU.
	r.write("sys/bus/pci/devices/a/vendor", "0x10de\n")
	r.write("sys/bus/pci/devices/a/class", "0x040300\n")
	r.write("sys/bus/pci/devices/b/vendor", "0x8086\n")
	r.write("sys/bus/pci/devices/b/class", "0x030000\n")
	if diff := cmp.Diff(Machine{}, r.look()); diff != "" {
		t.Errorf("machine (-want +got):\n%s", diff)
	}
}

// The driver's version is known without nvidia-smi, in both of its forms.
func TestDriverVersion(t *testing.T) {
	for line, want := range map[string]string{
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.57.02  Tue Jul 13 16:14:05 UTC 2021\nGCC version: gcc version 9.3.0": "470.57.02",
		"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57  Release Build  (x@y)\n":                                 "575.57",
		"something else 1.2.3": "",
		"":                     "",
	} {
		r := newTree(t)
		r.write("proc/driver/nvidia/version", line)
		if got := r.look().Driver; got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestDriverInTrouble(t *testing.T) {
	r := newTree(t)
	r.write("sys/module/nvidia/version", "550.54.15\n")
	r.smi("\nFailed to initialize NVML: Driver/library version mismatch\x1b[0m\nNVML library version: 550.90", "18")
	m := r.look()
	const want = "nvidia-smi: Failed to initialize NVML: Driver/library version mismatch[0m (exit status 18)"
	if m.SMIErr == nil || m.SMIErr.Error() != want || m.Driver != "550.54.15" {
		t.Errorf("driver %q, error: %v\nwant: %s", m.Driver, m.SMIErr, want)
	}
}

func TestHangingSMI(t *testing.T) {
	r := newTree(t)
	r.write("usr/bin/nvidia-smi", "#!/bin/sh\nexec sleep 100\n")
	m := Look(t.Context(), Options{Root: r.root, Path: []string{"/usr/bin"}, Timeout: time.Second})
	hang, ok := errors.AsType[*HangError](m.SMIErr)
	if !ok || !errors.Is(hang, context.DeadlineExceeded) {
		t.Errorf("error: %v", m.SMIErr)
	}
	goleak.VerifyNone(t) // the program ended too
}

func TestWSL(t *testing.T) {
	r := newTree(t)
	r.write("dev/dxg", "")
	r.write("usr/lib/wsl/lib/libcuda.so.1", "")
	r.smi(queryXML, "0")
	m := r.look()
	if !m.WSL || m.LibCUDA != "/usr/lib/wsl/lib/libcuda.so.1" || m.Driver != "550.54.15" {
		t.Errorf("%+v", m)
	}
	if diff := cmp.Diff([]Device{{Path: r.at("dev/dxg")}}, m.Devices); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
}

func TestPermission(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("missing: a user who may not do everything")
	}
	r := newTree(t)
	r.write("dev/nvidiactl", "")
	r.write("dev/nvidia0", "")
	if err := os.Chmod(r.at("dev/nvidia0"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := r.look().CanUse(); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "nvidia0") {
		t.Errorf("error: %v", err)
	}
}

// A loader's cache names the library where no usual directory has it.
func TestLibCUDAFromCache(t *testing.T) {
	r := newTree(t)
	r.write("opt/driver/libcuda.so.1", "")
	r.write("etc/ld.so.cache", string(cacheOf("libcuda.so.1", "/opt/driver/libcuda.so.1")))
	if got := r.look().LibCUDA; got != "/opt/driver/libcuda.so.1" {
		t.Errorf("found %q", got)
	}
	if err := os.Remove(r.at("opt/driver/libcuda.so.1")); err != nil {
		t.Fatal(err)
	}
	if got := r.look().LibCUDA; got != "" {
		t.Errorf("found %q, which is gone", got)
	}
}

// cacheOf is an ld.so.cache with one entry.
func cacheOf(name, path string) []byte {
	const header, entry = 48, 24
	data := make([]byte, header+entry)
	copy(data, "glibc-ld.so.cache1.1")
	data[20] = 1                    // entries
	data[header] = 3                // for the C library
	data[header+4] = header + entry // offset of the name
	data[header+8] = byte(header + entry + len(name) + 1)
	return append(data, name+"\x00"+path+"\x00"...)
}

func TestCUDAVersion(t *testing.T) {
	for name, tt := range map[string]struct{ file, text, want string }{
		"json":      {"cuda/version.json", `{"cuda":{"name":"CUDA SDK","version":"12.4.0"}}`, "12.4.0"},
		"text":      {"cuda/version.txt", "CUDA Version 10.2.89\n", "10.2.89"},
		"directory": {"cuda-11.2/lib64/libcudart.so", "", "11.2"},
		"nothing":   {"cuda/lib64/libcudart.so", "", ""},
		"nonsense":  {"cuda/version.json", `{"cuda":{"version":"new"}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTree(t)
			r.write(tt.file, tt.text)
			dir, _, _ := strings.Cut(tt.file, "/")
			if got := CUDAVersion(r.at(dir)); got != tt.want {
				t.Errorf("version %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCompareVersions(t *testing.T) {
	sorted := []string{"9.2", "10.0", "10.2.89", "11", "450.80.02", "450.80.3", "525.60.13", "580.65.06"}
	if !slices.IsSortedFunc(sorted, CompareVersions) {
		t.Error("they are not in order")
	}
	if CompareVersions("12", "12.0.0") != 0 || CompareVersions("12.1", "12") <= 0 {
		t.Error("12 is 12.0")
	}
}
