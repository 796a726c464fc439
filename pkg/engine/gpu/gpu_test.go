package gpu

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/pkg/service"
)

func TestParse(t *testing.T) {
	const uuid = "GPU-5a7a9b4e-6f0b-4b7c-8f3e-0123456789ab"
	for text, want := range map[string]Request{
		"all":                  {All: true},
		"ALL":                  {All: true},
		"none":                 {None: true},
		"0":                    {None: true},
		"1":                    {Count: 1},
		" 2 ":                  {Count: 2},
		"0,":                   {IDs: []string{"0"}},
		"0,1":                  {IDs: []string{"0", "1"}},
		"0, 3":                 {IDs: []string{"0", "3"}},
		uuid:                   {IDs: []string{uuid}},
		uuid + ",1":            {IDs: []string{uuid, "1"}},
		"MIG-" + uuid + "/1/0": {IDs: []string{"MIG-" + uuid + "/1/0"}},
		"0:1":                  {IDs: []string{"0:1"}},
	} {
		want.Why = Flag
		got, err := Parse(text)
		if err != nil {
			t.Errorf("Parse(%q): %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", text, diff)
		}
		if got.Wanted() == got.None {
			t.Errorf("Parse(%q): wanted %v, none %v", text, got.Wanted(), got.None)
		}
		if again, err := Parse(got.String()); err != nil || !cmp.Equal(got, again) {
			t.Errorf("Parse(%q) is written as %q, which reads as %+v, %v", text, got, again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":        "--gpus : nothing is asked for",
		"-1":      "--gpus -1: a number of GPUs is not negative",
		"5000":    "--gpus 5000: no machine has so many GPUs",
		",":       `--gpus ,: "" is neither an index nor a UUID`,
		"0,,1":    `--gpus 0,,1: "" is neither an index nor a UUID`,
		"0,0":     "--gpus 0,0: 0 is named twice",
		"01,2":    `--gpus 01,2: "01" is neither an index nor a UUID`,
		"gpu0":    `--gpus gpu0: "gpu0" is neither an index nor a UUID`,
		"GPU-":    `--gpus GPU-: "GPU-" is neither an index nor a UUID`,
		"GPU-a b": `--gpus GPU-a b: "GPU-a b" is neither an index nor a UUID`,
		"all,0":   `--gpus all,0: "all" is neither an index nor a UUID`,
	} {
		_, err := Parse(text)
		if err == nil || err.Error() != want || fault.KindOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("Parse(%q): %v (kind %d), want %s", text, err, fault.KindOf(err), want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"all", "none", "2", "0,1", "0,", "GPU-1-2,3", "MIG-a/1/2"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		if r.Wanted() == r.None {
			t.Errorf("%q is %+v: neither some nor none", text, r)
		}
		if again, err := Parse(r.String()); err != nil || !cmp.Equal(r, again) {
			t.Errorf("%q is written as %q, which reads as %+v, %v", text, r, again, err)
		}
	})
}

func TestFromDescription(t *testing.T) {
	const head = `{"name":"x","processor_path":"p","processor_entry":"x.so","processor_type":"cpp",`
	for _, tt := range []struct {
		name, text string
		want       Request
	}{
		{"nothing", `"metadata":{"instance":1}}`, Request{}},
		{"gpu", `"metadata":{"instance":1,"gpu":2}}`, Request{Count: 2, Why: "metadata.gpu"}},
		{"no gpu", `"metadata":{"instance":1,"gpu":0}}`, Request{}},
		{"a share", `"metadata":{"instance":1,"gpu_memory":4}}`, Request{Count: 1, Why: "metadata.gpu_memory"}},
		{"cores", `"metadata":{"instance":1,"gpu_core_percentage":50}}`, Request{Count: 1, Why: "metadata.gpu_core_percentage"}},
		{"directory", `"cuda":"/opt/cuda","metadata":{"instance":1}}`, Request{All: true, CUDA: "/opt/cuda", Why: "cuda"}},
		{"version that is here", `"metadata":{"instance":1,"cuda":"11.2"}}`,
			Request{All: true, CUDA: "/usr/local/cuda-11.2", CUDAVersion: "11.2", Why: "metadata.cuda"}},
		{"version that is not here", `"metadata":{"instance":1,"cuda":10.1}}`, Request{All: true, CUDAVersion: "10.1", Why: "metadata.cuda"}},
		{"version at the top", `"cuda":"11.2","metadata":{"instance":1}}`,
			Request{All: true, CUDA: "/usr/local/cuda-11.2", CUDAVersion: "11.2", Why: "cuda"}},
		{"both", `"cuda":"/usr/local/cuda","metadata":{"instance":1,"gpu":1,"cuda":"11.2"}}`,
			Request{Count: 1, CUDA: "/usr/local/cuda", CUDAVersion: "11.2", Why: "metadata.gpu"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := service.Parse("service.json", []byte(head+tt.text))
			if err != nil {
				t.Fatal(err)
			}
			got := fromDescription(d, func(dir string) bool { return dir == "/usr/local/cuda-11.2" })
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	d := &service.Description{CUDA: "/opt/cuda"}
	d.Metadata.GPU = 4
	for _, tt := range []struct {
		flag  string
		given bool
		want  Request
	}{
		{"", false, Request{Count: 4, CUDA: "/opt/cuda", Why: "metadata.gpu"}},
		{"none", true, Request{None: true, CUDA: "/opt/cuda", Why: Flag}},
		{"0,1", true, Request{IDs: []string{"0", "1"}, CUDA: "/opt/cuda", Why: Flag}},
	} {
		got, err := Choose(tt.flag, tt.given, d)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %q, given %v (-want +got):\n%s", Flag, tt.flag, tt.given, diff)
		}
	}
	if _, err := Choose("some", true, d); fault.KindOf(err) != fault.Usage {
		t.Errorf("a wrong flag: %v", err)
	}
	d.CUDA = "cuda/lib"
	if _, err := Choose("none", true, d); fault.KindOf(err) != fault.Description {
		t.Errorf("a relative path: %v", err)
	}
}

// The table of drivers is looked through in order, so its order matters.
func TestDriversAreSorted(t *testing.T) {
	if !slices.IsSortedFunc(drivers, func(a, b struct{ cuda, driver string }) int {
		return -nvidia.CompareVersions(a.driver, b.driver)
	}) {
		t.Error("newer versions of CUDA need newer drivers")
	}
}
