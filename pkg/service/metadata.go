package service

// Metadata holds a service's resources and settings.
type Metadata struct {
	Instance *int  `json:"instance" jsonschema_description:"Number of instances. Required to deploy; 0 stops the service."`
	CPU      int   `json:"cpu" jsonschema:"minimum=1" jsonschema_description:"CPU cores of an instance."`
	Memory   int64 `json:"memory" unit:"MB" jsonschema:"minimum=1" jsonschema_description:"Memory of an instance in MB, a number without a unit: 2000 is 2 GB."`

	GPU               int    `json:"gpu" jsonschema:"default=0" jsonschema_description:"GPUs of an instance."`
	GPUMemory         int    `json:"gpu_memory" unit:"GB" jsonschema_description:"Share of a GPU in GB of its memory; needs a resource group or quota."`
	GPUCorePercentage int    `json:"gpu_core_percentage" jsonschema:"maximum=100" jsonschema_description:"Share of a GPU's cores in percent, together with gpu_memory."`
	QoS               string `json:"qos" jsonschema:"example=BestEffort" jsonschema_description:"BestEffort lets instances share CPUs."`
	CUDA              string `json:"cuda" jsonschema:"example=10.1,example=11.2" jsonschema_description:"CUDA version mounted at /usr/local/cuda."`
	RDMA              bool   `json:"rdma" jsonschema:"default=false" jsonschema_description:"Whether instances get RDMA."`
	SHMSize           int    `json:"shm_size" unit:"GB" jsonschema_description:"Size of /dev/shm in GB."`
	Disk              string `json:"disk" jsonschema:"example=40Gi" jsonschema_description:"Size of the system disk with its unit."`

	Resource    string `json:"resource" jsonschema_description:"Id of a dedicated resource group (eas-r-…). Without one the public pool is used."`
	Region      string `json:"region" jsonschema_description:"Region of the service; it has to be the region of the endpoint."`
	WorkspaceID string `json:"workspace_id" jsonschema_description:"Id of the PAI workspace."`
	Group       string `json:"group" jsonschema_description:"Group of services that share traffic, for blue-green releases."`

	Type         string `json:"type" jsonschema:"default=Standard,example=Standard,example=Async,example=LLMGatewayService,example=SDCluster,example=Queue" jsonschema_description:"Type of the service."`
	WorkloadType string `json:"workload_type" jsonschema:"example=elasticjob" jsonschema_description:"Type of the workload."`

	EnableGRPC          bool `json:"enable_grpc" jsonschema:"default=false" jsonschema_description:"Whether the gateway speaks gRPC to the service."`
	EnableWebService    bool `json:"enable_webservice" jsonschema:"default=false" jsonschema_description:"Whether the service is a web application."`
	ResourceRebalancing bool `json:"resource_rebalancing" jsonschema:"default=false" jsonschema_description:"Whether instances move back to the dedicated group when it has room."`
	ResourceBurstable   bool `json:"resource_burstable" jsonschema:"default=false" jsonschema_description:"Whether instances may use the public pool when the dedicated group is full."`

	RollingStrategy RollingStrategy `json:"rolling_strategy" jsonschema_description:"How an update replaces instances."`
	Scheduling      Scheduling      `json:"scheduling" jsonschema_description:"Where instances are placed."`
	RPC             RPC             `json:"rpc" jsonschema_description:"How requests are served."`
	EAS             `json:"eas" jsonschema_description:"Settings of the platform."`
}

// EAS holds the settings under metadata.eas.
type EAS struct {
	TerminationGracePeriod int64    `json:"termination_grace_period" unit:"s" jsonschema:"default=30" jsonschema_description:"Time in seconds that an instance has to end by itself."`
	Handlers               Handlers `json:"handlers" jsonschema_description:"What the platform does about failures."`
}

// Handlers holds the settings under metadata.eas.handlers.
type Handlers struct {
	DisableFailureHandler bool `json:"disable_failure_handler" jsonschema:"default=false" jsonschema_description:"Whether failed instances are left alone."`
}

// RollingStrategy says how an update replaces instances.
type RollingStrategy struct {
	MaxSurge       string `json:"max_surge" form:"quantity" jsonschema:"default=2%" jsonschema_description:"Instances that an update may add at a time, a number or a percentage."`
	MaxUnavailable string `json:"max_unavailable" form:"quantity" jsonschema_description:"Instances that may be missing during an update, a number or a percentage. Default: 1 in a dedicated group, 0 in the public pool."`
}

// Scheduling says where instances are placed.
type Scheduling struct {
	Spread Spread `json:"spread" jsonschema_description:"How instances are spread."`
}

// Spread says how instances are spread over machines.
type Spread struct {
	Policy string `json:"policy" jsonschema:"default=default,example=host,example=zone,example=default" jsonschema_description:"host and zone spread the instances over machines or zones."`
}

// RPC says how a service serves requests. Times are in milliseconds.
type RPC struct {
	KeepAlive     int64 `json:"keepalive" unit:"ms" jsonschema:"minimum=1,default=5000" jsonschema_description:"Longest time in milliseconds that a request may take; then it is answered 408 and the connection is closed."`
	MaxQueueSize  *int  `json:"max_queue_size" jsonschema:"default=64" jsonschema_description:"Requests that may wait; one more is answered 450 and the connection is closed."`
	RateLimit     int   `json:"rate_limit" jsonschema:"default=0" jsonschema_description:"Requests a second for one instance; more are answered 429. 0 is no limit."`
	WorkerThreads int   `json:"worker_threads" jsonschema:"minimum=1,maximum=4096,default=5" jsonschema_description:"Threads that call the processor at the same time. Python processors set theirs in the program."`
	IOThreads     int   `json:"io_threads" jsonschema:"minimum=1,maximum=4096,default=4" jsonschema_description:"Threads that read and write connections."`
	EnableSIGTERM bool  `json:"enable_sigterm" jsonschema:"default=false" jsonschema_description:"Whether the processor gets SIGTERM when its instance ends."`

	Batching        bool  `json:"batching" jsonschema:"default=false" jsonschema_description:"Whether requests are put together for the processor; built-in processors only."`
	MaxBatchSize    int   `json:"max_batch_size" jsonschema:"minimum=1,default=16" jsonschema_description:"Most requests of one batch."`
	MaxBatchTimeout int64 `json:"max_batch_timeout" unit:"ms" jsonschema:"default=50" jsonschema_description:"Longest time in milliseconds that a batch is waited for."`

	EnableJemalloc bool   `json:"enable_jemalloc" jsonschema:"default=false" jsonschema_description:"Whether the processor's memory comes from jemalloc."`
	Decompressor   string `json:"decompressor" jsonschema:"example=gzip,example=zlib,example=lz4,example=zstd,example=snappy" jsonschema_description:"How request bodies are unpacked before the processor gets them."`

	Endpoint string  `json:"endpoint" jsonschema_description:"Address that a Python program listens on when it serves by itself."`
	Token    string  `json:"token" jsonschema_description:"Token that a Python program asks for when it serves by itself."`
	HTTP     RPCHTTP `json:"http" jsonschema_description:"Settings of HTTP."`
}

// RPCHTTP holds the settings under metadata.rpc.http.
type RPCHTTP struct {
	DefaultHeaders string `json:"default_headers" jsonschema:"default=Content-Type: text/html; charset=utf-8" jsonschema_description:"Headers of every answer."`
}
