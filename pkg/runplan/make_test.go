package runplan

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/service"
)

func describe(t *testing.T, text string) *service.Description {
	t.Helper()
	d, err := service.Parse("service.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const minimal = `"name": "echo", "processor_path": "./p", "processor_entry": "libecho.so", "processor_type": "cpp"`

var at = Workspace{Dir: "/w", ProcessorDir: "/w/predictor/echo"}

func TestMakeDefaults(t *testing.T) {
	d := describe(t, `{`+minimal+`, "token": "secret", "metadata": {"instance": 1}}`)
	got, err := Make(d, at, []string{"/host"}, Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	want := &Plan{
		Version: 1, Name: "echo", Language: "cpp", Workspace: "/w",
		Processor: Processor{Dir: "/w/predictor/echo", Entry: "/w/predictor/echo/libecho.so", ModelEntry: "/w//model/"},
		Worker: Worker{
			Command: []string{"/host"}, Count: 1, Threads: 5, GraceMS: 30_000,
			Env: []Env{
				{"EAS_MODEL_DIR", "/w/model"}, {"WORKER_NAME", "easworker"},
				{"SERVICE_CONFIG", `{"eas.workspace":"/w","rpc.keepalive":"5000","rpc.max_queue_size":"64","rpc.worker_threads":"5"}`},
			},
		},
		Gateway: Gateway{
			Host: "127.0.0.1", Token: "secret", KeepAliveMS: 5000, MaxQueueSize: 64,
			BodyLimit: 128 << 20, BodyMemory: 512 << 20, ContentType: "text/html; charset=utf-8",
		},
		Properties: map[string]string{
			"eas.workspace": "/w", "rpc.keepalive": "5000", "rpc.max_queue_size": "64", "rpc.worker_threads": "5",
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("plan (-want +got):\n%s", d)
	}
}

func TestMakeTakesEverySetting(t *testing.T) {
	d := describe(t, `{`+minimal+`, "token": "secret", "model_entry": "./1/", "model_config": {"a": 1},
		"processor_envs": [{"name": "A", "value": "1"}], "runtime": {"enable_crash_block": true},
		"metadata": {"instance": 1, "cpu": 3, "memory": 2000, "eas.termination_grace_period": 7,
			"rpc": {"keepalive": 700, "max_queue_size": 0, "rate_limit": 9, "worker_threads": 2, "enable_sigterm": true,
				"http.default_headers": "X-A: b\nContent-Type: application/json"}}}`)
	w := at
	w.ModelFile, w.WarmUp = "m.pmml", []string{"/w/warm"}
	p, err := Make(d, w, nil, Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.Processor.ModelEntry, "/w//model/./1/"; got != want {
		t.Errorf("model entry %q, want %q", got, want)
	}
	if got, want := p.Processor.ModelConfig, `{"a":1}`; got != want {
		t.Errorf("model config %q, want %q", got, want)
	}
	wantWorker := Worker{Count: 1, Threads: 2, WarmUp: []string{"/w/warm"}, NoRestart: true, MemoryMB: 2000, GraceMS: 7000}
	env := p.Worker.Env
	p.Worker.Env = nil
	if d := cmp.Diff(wantWorker, p.Worker); d != "" {
		t.Errorf("worker (-want +got):\n%s", d)
	}
	wantEnv := []Env{{"SCHEDULABLE_CPUS", "3"}, {"A", "1"}}
	if d := cmp.Diff(wantEnv, env[len(env)-2:]); d != "" {
		t.Errorf("last of the environment (-want +got):\n%s", d)
	}
	wantGateway := Gateway{
		Host: "127.0.0.1", Token: "secret", KeepAliveMS: 700, MaxQueueSize: 0, RateLimit: 9,
		BodyLimit: DefaultBodyLimit, BodyMemory: DefaultBodyMemory, ContentType: "application/json",
	}
	if d := cmp.Diff(wantGateway, p.Gateway); d != "" {
		t.Errorf("gateway (-want +got):\n%s", d)
	}
	if p.Properties["rpc.enable_sigterm"] != "true" || p.Properties["rpc.max_queue_size"] != "0" {
		t.Errorf("properties %v", p.Properties)
	}
}

func TestMakeOverrides(t *testing.T) {
	d := describe(t, `{`+minimal+`, "token": "secret", "processor_envs": [{"name": "A", "value": "1"}],
		"metadata": {"instance": 1, "rpc": {"keepalive": 700, "worker_threads": 2}}}`)
	p, err := Make(d, at, nil, Overrides{
		Host: "0.0.0.0", Port: 80, Workers: 3, Threads: 7, KeepAlive: 1500 * time.Microsecond, LoadTimeout: time.Minute,
		Env: []Env{{"A", "2"}}, BodyLimit: 1 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	type overridden struct {
		Host                     string
		Port, Count, Threads     int
		KeepAlive, LoadTimeout   int64
		BodyLimit, BodyMemory    int64
		LastEnv                  Env
		PropThreads, PropTimeout string
	}
	want := overridden{"0.0.0.0", 80, 3, 7, 2, 60_000, 1 << 30, 1 << 30, Env{"A", "2"}, "7", "2"}
	got := overridden{
		p.Gateway.Host, p.Gateway.Port, p.Worker.Count, p.Worker.Threads, p.Gateway.KeepAliveMS, p.Worker.LoadTimeoutMS,
		p.Gateway.BodyLimit, p.Gateway.BodyMemory, p.Worker.Env[len(p.Worker.Env)-1],
		p.Properties["rpc.worker_threads"], p.Properties["rpc.keepalive"],
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("plan (-want +got):\n%s", d)
	}
	if !p.Worker.ThreadsFixed {
		t.Error("the program can ask for other threads than the caller")
	}
}

func TestMakeModelEntry(t *testing.T) {
	tests := []struct{ entry, file, want string }{
		{"", "", "/w//model/"},
		{"", "scorecard.pmml", "/w//model/scorecard.pmml"},
		{"./1/", "", "/w//model/./1/"},
		{"a//b", "x", "/w//model/a//b"},
	}
	for _, tt := range tests {
		d := describe(t, `{`+minimal+`, "model_path": "./m", "model_entry": "`+tt.entry+`", "metadata": {"instance": 1}}`)
		w := at
		w.ModelFile = tt.file
		p, err := Make(d, w, nil, Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		if p.Processor.ModelEntry != tt.want {
			t.Errorf("entry %q of file %q: %q, want %q", tt.entry, tt.file, p.Processor.ModelEntry, tt.want)
		}
	}
}

func TestMakeToken(t *testing.T) {
	for _, tt := range []struct {
		name, field string
		made        bool
	}{
		{"by itself", "", true},
		{"asked for", `, "generate_token": "true"`, true},
		{"unwanted", `, "generate_token": "false"`, false},
	} {
		d := describe(t, `{`+minimal+tt.field+`, "metadata": {"instance": 1}}`)
		seen := make(map[string]bool)
		for range 3 {
			p, err := Make(d, at, nil, Overrides{})
			if err != nil {
				t.Fatal(err)
			}
			raw, err := base64.StdEncoding.DecodeString(p.Gateway.Token)
			if err != nil || tt.made != (len(raw) == 20) {
				t.Errorf("%s: token %q, %v", tt.name, p.Gateway.Token, err)
			}
			seen[p.Gateway.Token] = true
		}
		if tt.made && len(seen) != 3 {
			t.Errorf("%s: tokens repeat: %v", tt.name, seen)
		}
	}
}

func TestMakeRefuses(t *testing.T) {
	d := describe(t, `{`+minimal+`, "metadata": {"instance": 1}}`)
	if _, err := Make(d, at, nil, Overrides{BodyLimit: 1 << 30, BodyMemory: 1 << 20}); fault.KindOf(err) != fault.Usage {
		t.Errorf("a body that never fits: %v", err)
	}
	for _, entry := range []string{"../x.so", "/lib/x.so", "a/../../x.so"} {
		d.ProcessorEntry = entry
		if _, err := Make(d, at, nil, Overrides{}); fault.KindOf(err) != fault.Description {
			t.Errorf("processor_entry %q: %v", entry, err)
		}
	}
}

func TestReadWrite(t *testing.T) {
	d := describe(t, `{`+minimal+`, "token": "a<b>&", "metadata": {"instance": 1}}`)
	p, err := Make(d, at, []string{"/host"}, Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := p.Write(&text); err != nil {
		t.Fatal(err)
	}
	again, err := Read(bytes.NewReader(text.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p, again); d != "" {
		t.Errorf("after reading (-want +got):\n%s", d)
	}
	text.Reset()
	if err := p.Masked().Write(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "a<b>&") {
		t.Error("a masked plan shows its token")
	}
	if _, err := Read(&text); err == nil || !strings.Contains(err.Error(), "masked") {
		t.Errorf("a masked plan: %v", err)
	}
	for name, text := range map[string]string{
		"another version": `{"version": 2}`, "no version": `{}`, "unknown field": `{"version": 1, "wroker": {}}`,
		"no JSON": `hello`, "nothing": ``, "a list": `[]`,
	} {
		if _, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"version": 1, "name": "a", "worker": {"command": ["x"], "count": 1}}`))
	f.Add([]byte(`{"version": 1, "gateway": {"token": "****"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var text bytes.Buffer
		if err := p.Write(&text); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(&text); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
	})
}

// A JVM is told of the gateway in a way that leaves nothing behind, and takes no
// options from where eascmd was started: only the description's.
func TestMakeJava(t *testing.T) {
	d := describe(t, `{"name": "scores", "processor_path": "./p.jar", "processor_mainclass": "com.example.Scores", "processor_type": "java",
		"processor_jvm_options": "-Xmx4g", "processor_envs": [{"name": "JAVA_TOOL_OPTIONS", "value": "-ea"}]}`)
	p, err := Make(d, at, nil, Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	want := Processor{Dir: "/w/predictor/echo", MainClass: "com.example.Scores", JVMOptions: "-Xmx4g", ModelEntry: "/w//model/"}
	if d := cmp.Diff(want, p.Processor); d != "" {
		t.Errorf("processor (-want +got):\n%s", d)
	}
	if !p.Worker.VariablesOnStdin || p.Worker.TCP || p.Worker.HTTP {
		t.Errorf("the worker is %+v", p.Worker)
	}
	if d := cmp.Diff([]string{"CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"}, p.Worker.Unset); d != "" {
		t.Errorf("variables that it does not get (-want +got):\n%s", d)
	}
	if got, want := p.Worker.Env[len(p.Worker.Env)-1], (Env{"JAVA_TOOL_OPTIONS", "-ea"}); got != want {
		t.Errorf("the last variable is %v, want %v", got, want)
	}
}
