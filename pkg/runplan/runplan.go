// Package runplan holds the run plan: the one plain struct that says how a
// service runs. `eascmd test` makes one from a service description and a
// workspace, every engine is fed the same one, and `eascmd serve` runs it, so
// that what was tested is what is deployed.
//
// A plan names only paths that are true where it runs. It holds the service's
// token: write it with mode 0600 and print it through Masked.
package runplan

// Version is the version of the plan's JSON form. A reader refuses a newer
// one; fields are only ever added within a version.
const Version = 1

// Plan says how a service runs.
type Plan struct {
	Version  int    `json:"version"`
	Name     string `json:"name"`     // the service's name: /api/predict/<name>
	Language string `json:"language"` // cpp, java or python

	// Workspace is the absolute path of the directory with model/, predictor/
	// and config/, as the worker sees it.
	Workspace string    `json:"workspace"`
	Processor Processor `json:"processor"`
	Worker    Worker    `json:"worker"`
	Gateway   Gateway   `json:"gateway"`

	// Properties are the rpc.* and other settings that /api/builtin/prop
	// lists, flattened to dotted keys.
	Properties map[string]string `json:"properties,omitempty"`

	// Given names the properties that the description or the caller set, sorted:
	// they count more than what the program itself sets.
	Given []string `json:"given,omitempty"`
}

// Processor says what is loaded.
type Processor struct {
	Dir        string `json:"dir"`                  // absolute; the worker's working directory
	Entry      string `json:"entry,omitempty"`      // absolute path of the .so or the Python program
	MainClass  string `json:"mainClass,omitempty"`  // Java: the processor's class
	JVMOptions string `json:"jvmOptions,omitempty"` // Java

	// ClassPath is what the classes of a Java processor are looked for in, in
	// this order: absolute paths of jars and directories.
	ClassPath []string `json:"classPath,omitempty"`

	ModelEntry  string `json:"modelEntry"`            // first argument of initialize, made absolute by plain concatenation as EAS does
	ModelConfig string `json:"modelConfig,omitempty"` // second argument of initialize
}

// Worker says how the processor is hosted.
type Worker struct {
	Command []string `json:"command"` // the host and its arguments
	Env     []Env    `json:"env,omitempty"`
	Unset   []string `json:"unset,omitempty"` // variables of this process that the worker does not get; Env comes after it
	Count   int      `json:"count"`           // worker processes; each holds its own model
	Threads int      `json:"threads"`         // rpc.worker_threads: calls of process at the same time in one worker

	// ThreadsFixed says that the caller has set Threads: it counts more than what
	// the program asks for.
	ThreadsFixed bool `json:"threadsFixed,omitempty"`

	LoadTimeoutMS int64    `json:"loadTimeoutMs,omitempty"` // 0: no limit
	WarmUp        []string `json:"warmUp,omitempty"`        // files; each is the body of one request, replayed before READY
	NoRestart     bool     `json:"noRestart,omitempty"`     // runtime.enable_crash_block
	MemoryMB      int64    `json:"memoryMb,omitempty"`      // 0: no limit
	GraceMS       int64    `json:"graceMs"`                 // how long a drain may take

	// Cgroup is the directory of a control group whose memory limit is
	// MemoryMB, or which has none where that is 0, and into which the runtime
	// puts every worker at once; or it is OwnCgroup. Empty: the runtime watches
	// the memory of the workers itself.
	Cgroup string `json:"cgroup,omitempty"`

	// HTTP says that the program may serve HTTP itself: then requests are passed
	// on to the port that it listens on instead of in frames.
	HTTP bool `json:"http,omitempty"`

	// VariablesOnStdin says that the host is told on its standard input how to
	// reach the gateway instead of in its environment, which a JVM could not keep
	// from what the processor starts.
	VariablesOnStdin bool `json:"variablesOnStdin,omitempty"`

	// TCP says that the host connects to the gateway by TCP on the loopback
	// interface, because its language has no Unix sockets.
	TCP bool `json:"tcp,omitempty"`

	// GPUs says that the workers were promised NVIDIA GPUs: the runtime ends
	// where there are none, and watches that they stay.
	GPUs bool `json:"gpus,omitempty"`
}

// Env is one environment variable of a worker.
type Env struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// OwnCgroup in place of a control group's directory is the group that the
// runtime itself is in, whose limit is the plan's: a container's.
const OwnCgroup = "own"

// Gateway says how the service is reached and what it refuses.
type Gateway struct {
	Host         string `json:"host"`                // address to listen on
	Port         int    `json:"port"`                // 0: a free one
	Token        string `json:"token,omitempty"`     // empty: anybody may call
	KeepAliveMS  int64  `json:"keepAliveMs"`         // rpc.keepalive: longest request, then 408
	MaxQueueSize int    `json:"maxQueueSize"`        // rpc.max_queue_size: waiting requests, then 450
	RateLimit    int    `json:"rateLimit,omitempty"` // rpc.rate_limit: requests a second, then 429; 0: no limit
	BodyLimit    int64  `json:"bodyLimit"`           // bytes; longer request bodies get 413
	BodyMemory   int64  `json:"bodyMemory"`          // bytes of bodies held in memory in total; above it reading pauses
	ContentType  string `json:"contentType"`         // of answers: rpc.http.default_headers
	AccessLog    bool   `json:"accessLog,omitempty"` // one event a request
	Instance     string `json:"instance,omitempty"`  // what /api/builtin/instance answers, so that who started it knows it
}

// Defaults of a plan, from the documented defaults of EAS where EAS has one.
const (
	DefaultThreads      = 5
	DefaultKeepAliveMS  = 5000
	DefaultMaxQueueSize = 64
	DefaultGraceMS      = 30_000
	DefaultBodyLimit    = 128 << 20
	DefaultBodyMemory   = 512 << 20
	DefaultContentType  = "text/html; charset=utf-8"
)
