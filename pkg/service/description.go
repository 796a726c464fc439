// Package service reads service descriptions: the JSON file, often named
// service.json or app.json, that says what a service is made of and how it
// runs.
//
// Real descriptions are looser than JSON, and all of it is accepted: comments
// (#, // and /* */), trailing commas, numbers and booleans written as strings,
// nested objects written as dotted keys ("rpc.keepalive"), and two places for
// the same field ("name" and "metadata.name"). Parse brings a description into
// one normal form, see Description.Canonical, and reports every fault in it at
// once, each with file, line, column, field and a fix. Fields that this package
// does not know are kept and passed on.
package service

import "encoding/json"

// Description is a service description with every known field in its one
// place. A number that is zero and a string that is empty were not given,
// unless the field says otherwise; Has tells the difference where it matters.
//
// Sizes are in the unit that the field's comment names: memory in MB,
// gpu_memory and shm_size in GB, rpc times in milliseconds, the termination
// grace period in seconds.
type Description struct {
	Name          string `json:"name" jsonschema_description:"Name of the service, unique in its region; requests go to /api/predict/<name>. Lower-case letters, digits and underscores are safe everywhere."`
	Token         string `json:"token" jsonschema_description:"Access token. Without one a token is made, unless generate_token is false."`
	GenerateToken bool   `json:"generate_token" jsonschema:"default=true" jsonschema_description:"Whether a token is made when none is given; false makes a service that anybody may call."`

	ModelPath   string `json:"model_path" jsonschema_description:"The model: an oss:// file or directory, or an http(s) address of an archive (tar.gz, tar, tar.bz2, zip). Also a file or directory of this machine, which is uploaded where the service is deployed."`
	ModelEntry  string `json:"model_entry" jsonschema_description:"First argument of initialize or, in Java, of the constructor, relative to the model. Without one it is the file name in model_path."`
	ModelConfig string `json:"model_config" form:"json" jsonschema_description:"Second argument of initialize or, in Java, of the constructor, as text. An object is passed on as compact JSON."`

	Processor           string   `json:"processor" jsonschema_description:"Code of a built-in processor, such as pmml or tensorflow_cpu_1.12. Excludes processor_path, processor_entry and processor_type."`
	ProcessorPath       string   `json:"processor_path" jsonschema_description:"The processor: an archive or a single file (.so, .jar, .py); the same places as model_path."`
	ProcessorEntry      string   `json:"processor_entry" jsonschema_description:"Main file of the processor, relative to its package: libx.so or app.py. Required for cpp and python; in Java the jar whose classes come first."`
	ProcessorMainClass  string   `json:"processor_mainclass" jsonschema_description:"Class of a Java processor with its package, such as com.example.Scorer. Required for java."`
	ProcessorType       string   `json:"processor_type" jsonschema:"enum=cpp,enum=java,enum=python" jsonschema_description:"Language of the processor."`
	ProcessorEnvs       []EnvVar `json:"processor_envs" jsonschema_description:"Environment variables of the processor."`
	ProcessorJVMOptions string   `json:"processor_jvm_options" jsonschema_description:"Options of the JVM that runs a Java processor, such as -Xmx4g, split as a shell splits words. Without one about the heap eascmd test lets it grow to three quarters of metadata.memory."`

	Uncompress     bool   `json:"uncompress" jsonschema:"default=true" jsonschema_description:"Whether fetched archives are unpacked."`
	WarmUpDataPath string `json:"warm_up_data_path" jsonschema_description:"Request files that are replayed before the service is ready; the same places as model_path."`
	CUDA           string `json:"cuda" jsonschema_description:"With eascmd test, the directory of this machine that holds CUDA, such as /usr/local/cuda. For a deployed service see metadata.cuda."`

	OSSEndpoint string `json:"oss_endpoint" jsonschema_description:"OSS endpoint that oss:// paths are read from. Default: the internal endpoint of the region."`
	DataImage   string `json:"data_image" jsonschema_description:"Image whose /data/eas/ENV holds the Python environment."`
	DockerAuth  string `json:"dockerAuth" jsonschema_description:"Base64 of user:password for a private image registry."`
	Source      string `json:"source" jsonschema_description:"What deployed the service, such as dsw."`

	Metadata     Metadata          `json:"metadata" jsonschema_description:"Resources and settings of the service."`
	Runtime      Runtime           `json:"runtime" jsonschema_description:"How instances are run."`
	Containers   []Container       `json:"containers" jsonschema_description:"A custom image in place of a processor."`
	Storage      []Storage         `json:"storage" jsonschema_description:"File systems mounted into the instances."`
	Networking   Networking        `json:"networking" jsonschema_description:"How the service is reached."`
	Cloud        Cloud             `json:"cloud" jsonschema_description:"Machine types and network of the public resource pool."`
	Autoscaler   Autoscaler        `json:"autoscaler" jsonschema_description:"Automatic number of instances."`
	Features     map[string]string `json:"features" jsonschema_description:"Feature switches by their full name, such as eas.aliyun.com/extra-ephemeral-storage."`
	Labels       map[string]string `json:"labels" jsonschema_description:"Labels of your own."`
	Unit         Unit              `json:"unit" jsonschema_description:"Machines per instance of a distributed service."`
	Sinker       Sinker            `json:"sinker" jsonschema_description:"Where requests and answers are recorded."`
	Confidential Confidential      `json:"confidential" jsonschema_description:"Encrypted models."`
	AIMaster     json.RawMessage   `json:"aimaster" jsonschema_description:"Compute checks and fault tolerance; passed on as it is."`
	Options      ServiceOptions    `json:"options" jsonschema_description:"Switches of the platform."`

	// Warnings are what was noticed in a valid description, by position. Show
	// those of severity Warning; a Note is for those who ask for more.
	Warnings []Problem `json:"-"`

	root *node // the normal form, unknown fields included
}

// EnvVar is one environment variable.
type EnvVar struct {
	Name  string `json:"name" jsonschema_description:"Name of the variable."`
	Value string `json:"value" jsonschema_description:"Value of the variable."`
}

// Runtime says how instances are run.
type Runtime struct {
	EnableCrashBlock bool   `json:"enable_crash_block" jsonschema:"default=false" jsonschema_description:"Whether a crashed instance is left as it is instead of being restarted."`
	BaseImage        string `json:"base_image" jsonschema_description:"Base image of the processor's container."`
}

// Container is a custom image that serves in place of a processor.
type Container struct {
	Image   string   `json:"image" jsonschema_description:"The image. Required."`
	Command string   `json:"command" jsonschema_description:"The one command to run. Excludes script."`
	Script  string   `json:"script" jsonschema_description:"Shell text to run. Excludes command."`
	Port    int      `json:"port" jsonschema:"minimum=1,maximum=65535" jsonschema_description:"Port that the program listens on; 8080 and 9090 are taken."`
	Env     []EnvVar `json:"env" jsonschema_description:"Environment variables of the container."`
	Prepare Prepare  `json:"prepare" jsonschema_description:"What is installed before the program starts."`
}

// Prepare is what is installed into a container before its program starts.
type Prepare struct {
	PythonRequirements     []string `json:"pythonRequirements" jsonschema_description:"Python packages to install, one requirement each."`
	PythonRequirementsPath string   `json:"pythonRequirementsPath" jsonschema_description:"Path of a requirements.txt in the instance."`
}

// Storage is one file system mounted into the instances. Exactly one kind of
// source is given.
type Storage struct {
	MountPath  string            `json:"mount_path" jsonschema_description:"Directory of the instance that it appears at."`
	OSS        *OSSStorage       `json:"oss" jsonschema_description:"A directory of an OSS bucket."`
	NFS        *NFSStorage       `json:"nfs" jsonschema_description:"A directory of an NFS server."`
	EmptyDir   *EmptyDirStorage  `json:"empty_dir" jsonschema_description:"An empty directory that lives as long as the instance."`
	Git        json.RawMessage   `json:"git" jsonschema_description:"A git repository; passed on as it is."`
	Code       json.RawMessage   `json:"code" jsonschema_description:"A code source; passed on as it is."`
	Secret     json.RawMessage   `json:"secret" jsonschema_description:"A secret; passed on as it is."`
	Properties StorageProperties `json:"properties" jsonschema_description:"What the mount is for."`
}

// OSSStorage is a directory of an OSS bucket.
type OSSStorage struct {
	Path     string `json:"path" jsonschema_description:"oss:// address of the directory."`
	Endpoint string `json:"endpoint" jsonschema_description:"OSS endpoint that it is read from."`
	ReadOnly bool   `json:"readOnly" jsonschema:"default=false" jsonschema_description:"Whether it is mounted read-only."`
}

// NFSStorage is a directory of an NFS server.
type NFSStorage struct {
	Path     string `json:"path" jsonschema_description:"Directory of the server."`
	Server   string `json:"server" jsonschema_description:"Address of the server."`
	ReadOnly bool   `json:"readOnly" jsonschema:"default=false" jsonschema_description:"Whether it is mounted read-only."`
}

// EmptyDirStorage is an empty directory.
type EmptyDirStorage struct {
	Medium    string `json:"medium" jsonschema_description:"memory keeps it in memory."`
	SizeLimit string `json:"size_limit" jsonschema_description:"Largest size, with a unit, such as 1Gi."`
}

// StorageProperties says what a mount is for.
type StorageProperties struct {
	ResourceType string `json:"resource_type" jsonschema_description:"model or code."`
}

// Networking says how a service is reached.
type Networking struct {
	Gateway       string        `json:"gateway" jsonschema_description:"Id of a dedicated gateway (gw-…)."`
	GatewayPolicy GatewayPolicy `json:"gateway_policy" jsonschema_description:"Limits of the dedicated gateway."`
}

// GatewayPolicy holds the limits of a dedicated gateway.
type GatewayPolicy struct {
	RateLimit        GatewayLimit `json:"rate_limit" jsonschema_description:"Requests a second."`
	ConcurrencyLimit GatewayLimit `json:"concurrency_limit" jsonschema_description:"Requests at the same time."`
}

// GatewayLimit is one limit of a dedicated gateway.
type GatewayLimit struct {
	Enable bool `json:"enable" jsonschema:"default=false" jsonschema_description:"Whether the limit is kept."`
	Limit  int  `json:"limit" jsonschema_description:"The limit."`
}

// Cloud says which machines of the public resource pool are used.
type Cloud struct {
	Computing  CloudComputing  `json:"computing" jsonschema_description:"Machine types."`
	Networking CloudNetworking `json:"networking" jsonschema_description:"Your own network that instances can reach."`
}

// CloudComputing lists machine types.
type CloudComputing struct {
	Instances                   []CloudInstance `json:"instances" jsonschema_description:"Machine types, the first is preferred."`
	InstanceType                string          `json:"instance_type" jsonschema_description:"One machine type; the older form of instances."`
	DisableSpotProtectionPeriod bool            `json:"disable_spot_protection_period" jsonschema:"default=false" jsonschema_description:"Whether spot machines go without their protected first hour."`
}

// CloudInstance is one machine type.
type CloudInstance struct {
	Type           string   `json:"type" jsonschema_description:"Machine type, such as ecs.c7a.large; dedicated_resource means the dedicated resource group."`
	SpotPriceLimit *float64 `json:"spot_price_limit" jsonschema_description:"Highest price of a spot machine."`
	Capacity       string   `json:"capacity" form:"quantity" jsonschema_description:"Number or percentage of instances on this type, such as 4 or 20%."`
}

// CloudNetworking is the network that instances can reach.
type CloudNetworking struct {
	VPCID           string `json:"vpc_id" jsonschema_description:"Id of the VPC."`
	VSwitchID       string `json:"vswitch_id" jsonschema_description:"Id of the vSwitch."`
	SecurityGroupID string `json:"security_group_id" jsonschema_description:"Id of the security group."`
}

// Autoscaler says how many instances there may be.
type Autoscaler struct {
	Min        *int               `json:"min" jsonschema_description:"Smallest number of instances."`
	Max        *int               `json:"max" jsonschema_description:"Largest number of instances."`
	Strategies map[string]float64 `json:"strategies" jsonschema_description:"What to scale by, such as qps: requests a second for one instance."`
}

// Unit is the size of a distributed instance.
type Unit struct {
	Size int `json:"size" jsonschema:"minimum=1,default=2" jsonschema_description:"Machines per instance."`
}

// Sinker says where requests and answers are recorded.
type Sinker struct {
	Type   string       `json:"type" jsonschema_description:"maxcompute or sls."`
	Config SinkerConfig `json:"config" jsonschema_description:"The place; one of its kinds."`
}

// SinkerConfig is the place that a Sinker records in.
type SinkerConfig struct {
	MaxCompute MaxComputeSink `json:"maxcompute" jsonschema_description:"A table of MaxCompute."`
	SLS        SLSSink        `json:"sls" jsonschema_description:"A log store of Simple Log Service."`
}

// MaxComputeSink is a table.
type MaxComputeSink struct {
	Project string `json:"project" jsonschema_description:"Project of the table."`
	Table   string `json:"table" jsonschema_description:"The table."`
}

// SLSSink is a log store.
type SLSSink struct {
	Project  string `json:"project" jsonschema_description:"Project of the log store."`
	LogStore string `json:"logstore" jsonschema_description:"The log store."`
}

// Confidential says how an encrypted model is opened.
type Confidential struct {
	TrusteeEndpoint string `json:"trustee_endpoint" jsonschema_description:"Address of the trustee service."`
	DecryptionKey   string `json:"decryption_key" jsonschema_description:"Name of the key."`
}

// ServiceOptions are switches of the platform.
type ServiceOptions struct {
	EnableRAMRole       bool `json:"enable_ram_role" jsonschema:"default=false" jsonschema_description:"Whether instances get the service's RAM role."`
	EnableCache         bool `json:"enable_cache" jsonschema:"default=false" jsonschema_description:"Whether model files are cached on the machines."`
	EnableWritableCache bool `json:"enable_writable_cache" jsonschema:"default=false" jsonschema_description:"Whether that cache may be written."`
	EnableAIGC          bool `json:"enable_aigc" jsonschema:"default=false" jsonschema_description:"Switch of image generation services."`
	EnableVineyard      bool `json:"enable_vineyard" jsonschema:"default=false" jsonschema_description:"Whether Vineyard shares objects between instances."`
	QuotaOversold       bool `json:"quota_oversold" jsonschema:"default=false" jsonschema_description:"Whether the quota may be exceeded while it is idle."`
	Priority            int  `json:"priority" jsonschema_description:"Priority of the service in its quota."`
}
