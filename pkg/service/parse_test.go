package service

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sameDescription compares what descriptions say, not where it stands.
var sameDescription = cmp.Options{cmpopts.IgnoreUnexported(Description{}), cmpopts.IgnoreFields(Description{}, "Warnings")}

// builtin are the fields of a description that is valid without any other.
const builtin = `"name":"x","processor":"pmml","model_path":"oss://b/m"`

func parse(t *testing.T, text string) *Description {
	t.Helper()
	d, err := Parse("s.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSpellings checks that all spellings of a field are the same field.
func TestSpellings(t *testing.T) {
	for _, tt := range []struct {
		name string
		same []string
		get  func(*Description) any
		want any
	}{
		{"keepalive", []string{
			`"metadata":{"rpc":{"keepalive":7000}}`,
			`"metadata":{"rpc.keepalive":7000}`,
			`"metadata.rpc.keepalive":7000`,
			`"metadata.rpc":{"keepalive":7000}`,
			`"rpc":{"keepalive":7000}`,
			`"rpc.keepalive":7000`,
			`"rpc.keepalive":"7000"`,
			`"rpc.keepalive":" 7000 "`,
			`"rpc.keepalive":7000.0`,
			`"rpc.keepalive":7e3`,
			`"rpc.keepalive":7000,"metadata":{"rpc":{"keepalive":"7000"}}`,
		}, func(d *Description) any { return d.Metadata.RPC.KeepAlive }, int64(7000)},
		{"grace", []string{
			`"metadata":{"eas.termination_grace_period":60}`,
			`"metadata":{"eas":{"termination_grace_period":"60"}}`,
			`"metadata.eas.termination_grace_period":60`,
		}, func(d *Description) any { return d.Metadata.TerminationGracePeriod }, int64(60)},
		{"headers", []string{
			`"metadata":{"rpc.http.default_headers":"A: b"}`,
			`"metadata":{"rpc":{"http.default_headers":"A: b"}}`,
			`"metadata":{"rpc.http":{"default_headers":"A: b"}}`,
			`"rpc.http.default_headers":"A: b"`,
		}, func(d *Description) any { return d.Metadata.RPC.HTTP.DefaultHeaders }, "A: b"},
		{"spread", []string{
			`"metadata":{"scheduling.spread.policy":"host"}`,
			`"metadata":{"scheduling":{"spread":{"policy":"host"}}}`,
		}, func(d *Description) any { return d.Metadata.Scheduling.Spread.Policy }, "host"},
		{"surge", []string{
			`"metadata":{"rolling_strategy.max_surge":3}`,
			`"metadata":{"rolling_strategy":{"max_surge":"3"}}`,
		}, func(d *Description) any { return d.Metadata.RollingStrategy.MaxSurge }, "3"},
		{"base image", []string{`"baseimage":"i"`, `"runtime":{"base_image":"i"}`, `"runtime.base_image":"i"`},
			func(d *Description) any { return d.Runtime.BaseImage }, "i"},
		{"crash block", []string{`"runtime.enable_crash_block":"true"`, `"runtime":{"enable_crash_block":1}`},
			func(d *Description) any { return d.Runtime.EnableCrashBlock }, true},
		{"autoscaler", []string{
			`"autoscaler":{"min":2,"strategies":{"qps":"10"}}`,
			`"metadata":{"autoscaler":{"min":"2","strategies":{"qps":10.0}}}`,
			`"autoscaler.min":2,"autoscaler.strategies.qps":10`,
			`"metadata.autoscaler.min":2,"autoscaler":{"strategies.qps":10}`,
		}, func(d *Description) any { return fmt.Sprint(*d.Autoscaler.Min, d.Autoscaler.Strategies) }, "2 map[qps:10]"},
		{"grpc", []string{`"networking":{"enable_grpc":true}`, `"networking.enable_grpc":true`, `"metadata":{"enable_grpc":"True"}`},
			func(d *Description) any { return d.Metadata.EnableGRPC }, true},
		{"features", []string{
			`"features":{"eas.aliyun.com/gpu-driver-version":"tesla=550"}`,
			`"features.eas.aliyun.com/gpu-driver-version":"tesla=550"`,
		}, func(d *Description) any { return d.Features["eas.aliyun.com/gpu-driver-version"] }, "tesla=550"},
		{"generate_token", []string{`"generate_token":false`, `"generate_token":"false"`, `"generate_token":0`, `"generate_token":"0"`},
			func(d *Description) any { return d.GenerateToken }, false},
		{"jemalloc", []string{`"rpc.enable_jemalloc":1`, `"metadata":{"rpc":{"enable_jemalloc":"1"}}`},
			func(d *Description) any { return d.Metadata.RPC.EnableJemalloc }, true},
		{"model_config", []string{`"model_config":"{\"b\":1.0,\"a\":[1e3]}"`, `"model_config":{"b":1.0, "a":[1e3]}`, "\"model_config\":{\"b\" : 1.0, # c\n\"a\":[1e3,],}"},
			func(d *Description) any { return d.ModelConfig }, `{"b":1.0,"a":[1e3]}`},
		{"null", []string{`"token":null`, `"metadata":null`, `"rpc":{"keepalive":null}`, `"containers":[]`, `"processor_path":""`},
			func(d *Description) any { return d.Token }, ""},
		{"cuda", []string{`"metadata":{"cuda":10.0}`, `"metadata":{"cuda":"10.0"}`},
			func(d *Description) any { return d.Metadata.CUDA }, "10.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first := parse(t, `{`+builtin+`,`+tt.same[0]+`}`)
			for _, text := range tt.same {
				d := parse(t, `{`+builtin+`,`+text+`}`)
				if have := tt.get(d); have != tt.want {
					t.Errorf("%s is %v, want %v", text, have, tt.want)
				}
				if tt.name == "null" {
					continue // different fields
				}
				if diff := cmp.Diff(first, d, sameDescription); diff != "" {
					t.Errorf("%s is not the same as %s:\n%s", text, tt.same[0], diff)
				}
				if len(d.Warnings) > 0 {
					t.Errorf("%s gives %v", text, d.Warnings)
				}
			}
		})
	}
}

func TestNameInMetadata(t *testing.T) {
	for _, text := range []string{
		`{"metadata":{"name":"x"},"processor":"pmml","model_path":"oss://b/m"}`,
		`{"metadata.name":"x","processor":"pmml","model_path":"oss://b/m"}`,
		`{"metadata":{"name":"x"},"name":"x","processor":"pmml","model_path":"oss://b/m"}`,
	} {
		if d := parse(t, text); d.Name != "x" {
			t.Errorf("the name of %s is %q", text, d.Name)
		}
	}
}

// TestSamplesInFull compares every typed field of two samples.
func TestSamplesInFull(t *testing.T) {
	one := 1
	for file, want := range map[string]*Description{
		"echo.json": {
			Name: "test_echo", GenerateToken: true, Uncompress: true,
			ModelPath:     "http://eas-data.oss-cn-shanghai.aliyuncs.com/models/saved_model.tar.gz",
			ProcessorPath: "./echo_processor_release.tar.gz", ProcessorEntry: "libecho.so", ProcessorType: "cpp",
			Metadata: Metadata{Region: "cn-shanghai", Instance: &one},
		},
		"cpp.json": {
			Name: "diy_test", GenerateToken: true, Uncompress: true,
			ModelPath: "model.tar.gz", ModelEntry: "./model_path/",
			ModelConfig:   `{"model": "deploy.prototxt", "weight": "bvlc_reference_caffenet.caffemodel"}`,
			ProcessorPath: "diy_predictor_gpu.tar.gz", ProcessorEntry: "diy_predictor.so", ProcessorType: "cpp",
			CUDA: "/usr/local/cuda",
		},
		"python_dotted.json": {
			Name: "app", GenerateToken: true, Uncompress: true,
			ProcessorPath: "oss://path/to/processor", ProcessorEntry: "./app.py", ProcessorType: "python",
			Metadata: Metadata{Region: "cn-hangzhou", Instance: &one, Memory: 2000, CPU: 1, Resource: "eas-r-example", RPC: RPC{KeepAlive: 10000}},
		},
		"custom_image.json": {
			Name: "demo", GenerateToken: true, Uncompress: true,
			Cloud:      Cloud{Computing: CloudComputing{Instances: []CloudInstance{{Type: "ecs.c7a.large"}}}},
			Containers: []Container{{Image: "registry.example.com/team/app:1", Port: 8000, Script: "python app.py"}},
			Metadata:   Metadata{Instance: &one, CPU: 2, Memory: 4000},
		},
	} {
		t.Run(file, func(t *testing.T) {
			have, err := Load(filepath.Join("testdata/samples", file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, have, sameDescription); diff != "" {
				t.Errorf("-want +have:\n%s", diff)
			}
		})
	}
}

// TestEveryField sets every field of the format to a value that is not its
// zero, and checks that it arrives and is passed on.
func TestEveryField(t *testing.T) {
	file := "testdata/every_field.json"
	d, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range d.Warnings {
		t.Errorf("unexpected: %v", w)
	}
	// One description cannot have these beside a processor of its own.
	if diff := cmp.Diff([]string{"processor", "containers"}, zeroFields(d)); diff != "" {
		t.Errorf("fields that did not arrive, -want +have:\n%s", diff)
	}
	again := parse(t, string(d.Canonical()))
	if diff := cmp.Diff(d, again, sameDescription); diff != "" {
		t.Errorf("the normal form says something else:\n%s", diff)
	}
}

// TestWarnings checks what is said about valid descriptions.
func TestWarnings(t *testing.T) {
	const cpp = `"name":"x","processor_path":"p.so","processor_type":"cpp","processor_entry":"p.so"`
	for _, tt := range []struct{ text, want string }{
		{`{` + cpp + `}`, ""},
		{`{"$schema":"x",` + cpp + `}`, ""},
		{`{` + cpp + `,"metadata":{"cup":1}}`, "s.json:1:97: warning: metadata.cup: is not a known field; it is passed on as it is; did you mean metadata.cpu?"},
		{`{` + cpp + `,"metadata.memroy":1}`, "s.json:1:85: warning: metadata.memroy: is not a known field; it is passed on as it is; did you mean metadata.memory?"},
		{`{` + cpp + `,"memory":1}`, "s.json:1:85: warning: memory: is not a known field; it is passed on as it is; did you mean metadata.memory?"},
		{`{` + cpp + `,"rpc":{"keep_alive":1}}`, "s.json:1:92: warning: metadata.rpc.keep_alive: is not a known field; it is passed on as it is; did you mean metadata.rpc.keepalive?"},
		{`{` + cpp + `,"containers":null,"storage":[{"mountPath":"/a"}]}`, "s.json:1:115: warning: storage[0].mountPath: is not a known field; it is passed on as it is; did you mean storage[0].mount_path?"},
		{`{` + cpp + `,"zzzzz":1}`, "s.json:1:85: note: zzzzz: is not a known field; it is passed on as it is"},
		{`{` + cpp + `,"name":"x"}`, "s.json:1:85: warning: name: is given twice, first at 1:2; remove one of them"},
		{`{"name":"Scorer-1","processor_path":"p.so","processor_type":"cpp","processor_entry":"p.so"}`, `s.json:1:2: warning: name: "Scorer-1" may be refused by the platform; names of lower-case letters, digits and underscores that start with a letter work everywhere`},
		{`{"name":"` + strings.Repeat("x", 45) + `","processor":"pmml","model_path":"oss://b/m"}`, "s.json:1:2: warning: name: has 45 characters and may be refused by the platform; choose one of at most 44 characters"},
		{`{"name":"x","processor":"tensorflow_cpu_1.21","model_path":"oss://b/m"}`, `s.json:1:13: warning: processor: "tensorflow_cpu_1.21" is not a built-in processor that is known here; did you mean "tensorflow_cpu_1.12"?`},
		{`{"name":"x","processor":"pmml"}`, `s.json:1:1: warning: model_path: is missing; built-in processors load a model; add "model_path": "oss://…"`},
		{`{` + builtin + `,"processor_entry":"x.so"}`, `s.json:1:57: warning: processor_entry: has no effect beside the built-in processor "pmml"; remove it`},
		{`{"name":"x","processor":"pmml","model_path":"https://h/a/model.pmml"}`, `s.json:1:32: warning: model_path: "model.pmml" does not look like an archive, which a model from a web address has to be; pack the model as .tar.gz, .tar, .tar.bz2 or .zip`},
		{`{"name":"x","processor_path":"p.zip","processor_type":"cpp","processor_entry":"p.py"}`, `s.json:1:61: warning: processor_entry: "p.py" does not look like one; a C/C++ processor is a shared object, such as libprocessor.so`},
	} {
		var have []string
		for _, w := range parse(t, tt.text).Warnings {
			have = append(have, w.String())
		}
		if diff := cmp.Diff(tt.want, strings.Join(have, "\n")); diff != "" {
			t.Errorf("%s: -want +have:\n%s", tt.text, diff)
		}
	}
}

func TestCanonical(t *testing.T) {
	const text = `{
  # comment
  "$schema": "x",
  "rpc.keepalive": "5000",
  "unknown.dotted": {"z": 1.50, "a": [1e2, "ä<&>\u00e9", null]},
  "metadata": {
    "name": "x", // second place
    "instance": 2.0,
    "rpc": {"new.one": 1},
    "labels": 1,
    "cpu": null,
  },
  "labels": {"a.b/c": "d"},
  "processor": "pmml", "model_path": "oss://b/m",
  "containers": [],
}`
	d := parse(t, text)
	const want = `{
  "metadata": {
    "rpc": {
      "keepalive": "5000",
      "new.one": 1
    },
    "instance": 2.0,
    "labels": 1
  },
  "unknown.dotted": {
    "z": 1.50,
    "a": [
      1e2,
      "ä<&>\u00e9",
      null
    ]
  },
  "name": "x",
  "labels": {
    "a.b/c": "d"
  },
  "processor": "pmml",
  "model_path": "oss://b/m",
  "containers": []
}
`
	if diff := cmp.Diff(want, string(d.Canonical())); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
	if again := parse(t, want); string(again.Canonical()) != want {
		t.Errorf("the normal form of the normal form is another:\n%s", again.Canonical())
	}
}

func TestProperties(t *testing.T) {
	d := parse(t, `{`+builtin+`,"token":"s3cret","rpc":{"keepalive":"7000","token":"s3cret","list":[1, 2]},
		"metadata":{"cpu":1,"rpc.batching":true,"rpc.http.default_headers":"A: b","rpc.new.one":1.50,
		"eas.termination_grace_period":60,"rpc.nothing":null}}`)
	want := map[string]string{
		"rpc.keepalive": "7000", "rpc.batching": "true", "rpc.http.default_headers": "A: b", "rpc.new.one": "1.50",
		"rpc.list": "[1,2]", "eas.termination_grace_period": "60",
	}
	if diff := cmp.Diff(want, d.Properties()); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
	if n := len(parse(t, `{`+builtin+`}`).Properties()); n != 0 {
		t.Errorf("%d properties of a description without any", n)
	}
}

func TestHas(t *testing.T) {
	d := parse(t, `{`+builtin+`,"rpc.keepalive":7000,"metadata.instance":0}`)
	for path, want := range map[string]bool{
		"name": true, "metadata.rpc.keepalive": true, "metadata.rpc": true, "metadata.instance": true,
		"rpc.keepalive": false, "metadata.cpu": false, "name.x": false, "": false,
	} {
		if d.Has(path) != want {
			t.Errorf("Has(%q) is %v", path, !want)
		}
	}
	if d.Metadata.Instance == nil || *d.Metadata.Instance != 0 || d.Metadata.RPC.MaxQueueSize != nil {
		t.Errorf("given and absent numbers are mixed up: %+v", d.Metadata)
	}
}

// TestSecrets checks that no report shows a secret.
func TestSecrets(t *testing.T) {
	for _, text := range []string{
		`{` + builtin + `,"token":"s3cret ","generate_token":2}`,
		`{` + builtin + `,"token":"s3cret","token":"s3cret2"}`,
		`{` + builtin + `,"rpc":{"token":"s3cret"},"metadata":{"rpc.token":"s3cret2"}}`,
		`{"name":"x","processor":"pmml","model_path":"ftp://user:s3cret@h/m?sign=s3cret"}`,
		`{"name":"x","processor":"pmml","model_path":"http://:80/m?sign=s3cret"}`,
		`{` + builtin + `,"dockerAuth":["s3cret"]}`,
	} {
		_, err := Parse("s.json", []byte(text))
		if err == nil {
			t.Errorf("no error for %s", text)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("a secret is shown: %v", err)
		}
	}
}

func TestProblemJSON(t *testing.T) {
	d := parse(t, `{`+builtin+`,"memory":1}`)
	have, err := json.Marshal(d.Warnings)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"file":"s.json","line":1,"column":57,"field":"memory","text":"is not a known field; it is passed on as it is","fix":"did you mean metadata.memory?","severity":"warning"}]`
	if string(have) != want {
		t.Errorf("have %s\nwant %s", have, want)
	}
}

// TestDocumentedExamples checks the example and the reports that the
// documentation shows.
func TestDocumentedExamples(t *testing.T) {
	page, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	example, rest, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example")
	}
	if d := parse(t, example); len(d.Warnings) > 0 {
		t.Errorf("the example gives %v", d.Warnings)
	}
	_, rest, _ = strings.Cut(rest, "```\n")
	report, _, _ := strings.Cut(rest, "```")
	wrong := strings.NewReplacer(`"cpp"`, `"c++"`, `4000`, `"4G"`).Replace(example)
	_, err = Parse("service.json", []byte(wrong))
	if err == nil {
		t.Fatal("no error")
	}
	for line := range strings.Lines(report) {
		_, message, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if !strings.Contains(err.Error(), message) {
			t.Errorf("the documentation shows %q; the report is\n%v", message, err)
		}
	}
}

func TestSuggestions(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"cpu", "cpu", 0}, {"cup", "cpu", 1}, {"nmae", "name", 1},
		{"modelpath", "model", 4}, {"kitten", "sitting", 3},
	} {
		if have := distance(tt.a, tt.b); have != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, have, tt.want)
		}
		if have := distance(tt.b, tt.a); have != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.b, tt.a, have, tt.want)
		}
	}
	if got := closest("Tensorflow-CPU-1.12", builtIn()); got != "tensorflow_cpu_1.12" {
		t.Errorf("closest is %q", got)
	}
	if got := closest("something else", builtIn()); got != "" {
		t.Errorf("closest is %q", got)
	}
	if !slices.Contains(builtIn(), "parameter_sever") {
		t.Error("the platform's own spelling is gone")
	}
}

func BenchmarkParse(b *testing.B) {
	data, err := os.ReadFile("testdata/every_field.json")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Parse("s.json", data); err != nil {
			b.Fatal(err)
		}
	}
}
