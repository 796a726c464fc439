package runplan

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/jvm"
	"github.com/openeas/eascmd/pkg/service"
)

// Workspace says where the files of a service lie, as a worker sees them.
type Workspace struct {
	Dir          string   // absolute; holds model/, predictor/ and config/
	ProcessorDir string   // absolute; the worker's working directory
	ModelFile    string   // name in model/ of a model that is one file, empty otherwise
	WarmUp       []string // absolute; each file is the body of a request
}

// Overrides are what whoever starts a run may want otherwise than the
// description says. A zero value changes nothing.
type Overrides struct {
	Host        string // address to listen on; empty: 127.0.0.1
	Port        int
	Workers     int
	Threads     int
	KeepAlive   time.Duration
	LoadTimeout time.Duration
	Env         []Env // after all other variables: the last of a name counts
	BodyLimit   int64
	BodyMemory  int64
}

// Make makes the plan for a service whose files are in a workspace. command is
// the host and its arguments. A service without a token gets a random one,
// unless it says that it wants none.
func Make(d *service.Description, w Workspace, command []string, o Overrides) (*Plan, error) {
	rpc := &d.Metadata.RPC
	p := &Plan{
		Version:   Version,
		Name:      d.Name,
		Language:  d.ProcessorType,
		Workspace: w.Dir,
		Processor: Processor{
			Dir:         w.ProcessorDir,
			MainClass:   d.ProcessorMainClass,
			JVMOptions:  d.ProcessorJVMOptions,
			ModelEntry:  modelEntry(d, w),
			ModelConfig: d.ModelConfig,
		},
		Worker: Worker{
			Command:       command,
			Count:         max(o.Workers, 1),
			Threads:       cmp.Or(o.Threads, rpc.WorkerThreads, DefaultThreads),
			ThreadsFixed:  o.Threads != 0,
			LoadTimeoutMS: milliseconds(o.LoadTimeout),
			WarmUp:        w.WarmUp,
			NoRestart:     d.Runtime.EnableCrashBlock,
			MemoryMB:      d.Metadata.Memory,
			GraceMS:       cmp.Or(1000*d.Metadata.TerminationGracePeriod, DefaultGraceMS),
		},
		Gateway: Gateway{
			Host:         cmp.Or(o.Host, "127.0.0.1"),
			Port:         o.Port,
			Token:        d.Token,
			KeepAliveMS:  cmp.Or(milliseconds(o.KeepAlive), rpc.KeepAlive, DefaultKeepAliveMS),
			MaxQueueSize: DefaultMaxQueueSize,
			RateLimit:    rpc.RateLimit,
			BodyLimit:    cmp.Or(o.BodyLimit, DefaultBodyLimit),
			ContentType:  ContentType(rpc.HTTP.DefaultHeaders),
		},
		Properties: d.Properties(),
	}
	if rpc.MaxQueueSize != nil {
		p.Gateway.MaxQueueSize = *rpc.MaxQueueSize
	}
	// The longest body has to fit into the memory for all of them.
	p.Gateway.BodyMemory = cmp.Or(o.BodyMemory, max(DefaultBodyMemory, p.Gateway.BodyLimit))
	if p.Gateway.BodyMemory < p.Gateway.BodyLimit {
		return nil, fault.New(fault.Usage, "the memory for bodies (%d bytes) is smaller than one body may be (%d bytes)",
			p.Gateway.BodyMemory, p.Gateway.BodyLimit).WithHint("lower --body-limit or raise --body-memory")
	}
	if p.Gateway.Token == "" && d.GenerateToken {
		p.Gateway.Token = randomToken()
	}
	if d.ProcessorEntry != "" {
		if !filepath.IsLocal(filepath.FromSlash(d.ProcessorEntry)) {
			return nil, fault.New(fault.Description, "processor_entry %q leads out of the processor", d.ProcessorEntry).
				WithHint("name the file by its path inside the processor's directory or archive")
		}
		p.Processor.Entry = filepath.Join(w.ProcessorDir, d.ProcessorEntry)
	}
	p.Given = given(p.Properties, o)
	p.Properties["rpc.keepalive"] = strconv.FormatInt(p.Gateway.KeepAliveMS, 10)
	p.Properties["rpc.worker_threads"] = strconv.Itoa(p.Worker.Threads)
	p.Properties["rpc.max_queue_size"] = strconv.Itoa(p.Gateway.MaxQueueSize)
	p.Properties["eas.workspace"] = w.Dir
	p.Worker.Env = environment(d, p, o.Env)
	switch d.ProcessorType {
	case "python":
		p.Worker.HTTP = true
		p.Worker.Unset = []string{"PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONPLATLIBDIR", "PYTHONINSPECT"}
	case "java":
		p.Worker.VariablesOnStdin = true
		p.Worker.Unset = jvm.Variables
	}
	return p, nil
}

// given lists the names of the properties that somebody has set.
func given(properties map[string]string, o Overrides) []string {
	names := slices.Collect(maps.Keys(properties))
	if o.KeepAlive != 0 {
		names = append(names, "rpc.keepalive")
	}
	if o.Threads != 0 {
		names = append(names, "rpc.worker_threads")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// modelEntry makes the first argument of initialize as EAS makes it: the parts
// are put together as they are, so that "./1/" keeps its dot and its slash.
func modelEntry(d *service.Description, w Workspace) string {
	return w.Dir + "//model/" + cmp.Or(d.ModelEntry, w.ModelFile)
}

// environment lists the variables that a worker gets beside those of this
// process: what the platform sets, then the description's, then the caller's.
//
// NAMESPACE and POD_NAME are left out: programs take them for the platform
// itself and change the port that they listen on.
func environment(d *service.Description, p *Plan, extra []Env) []Env {
	env := []Env{
		{"EAS_MODEL_DIR", filepath.Join(p.Workspace, "model")},
		{"WORKER_NAME", "easworker"},
		{"SERVICE_CONFIG", string(p.ServiceConfig())},
	}
	if d.Metadata.CPU > 0 {
		env = append(env, Env{"SCHEDULABLE_CPUS", strconv.Itoa(d.Metadata.CPU)})
	}
	if d.ProcessorType == "python" {
		env = append(env, pythonEnvironment...)
	}
	for _, v := range d.ProcessorEnvs {
		env = append(env, Env{v.Name, v.Value})
	}
	return append(env, extra...)
}

// pythonEnvironment keeps what lies around on this machine away from a Python
// program, and makes its output and its crashes seen whatever the locale.
var pythonEnvironment = []Env{
	{"PYTHONNOUSERSITE", "1"},
	{"PYTHONUTF8", "1"},
	{"PYTHONIOENCODING", "utf-8:backslashreplace"},
	{"PYTHONUNBUFFERED", "1"},
	{"PYTHONFAULTHANDLER", "1"},
}

// ServiceConfig returns the service's properties as the JSON object that the
// platform leaves in config/config.json.
func (p *Plan) ServiceConfig() []byte {
	text, _ := json.Marshal(p.Properties) // text always has a JSON form; sorted by name
	return text
}

// ContentType finds the type of answers among the default headers, which are
// lines as in a request.
func ContentType(headers string) string {
	for line := range strings.SplitSeq(strings.ReplaceAll(headers, "\r", "\n"), "\n") {
		name, value, ok := strings.Cut(line, ":")
		if value = strings.TrimSpace(value); ok && value != "" && strings.EqualFold(strings.TrimSpace(name), "Content-Type") {
			return value
		}
	}
	return DefaultContentType
}

func randomToken() string {
	var b [20]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// milliseconds rounds up: the shortest time that is not none.
func milliseconds(d time.Duration) int64 {
	return (d + time.Millisecond - 1).Milliseconds()
}
