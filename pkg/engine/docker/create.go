package docker

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	volumetypes "github.com/docker/docker/api/types/volume"
	"github.com/docker/go-connections/nat"
	"golang.org/x/sync/errgroup"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/runplan"
)

// Paths in the container that are ours.
const (
	programDir  = "/.eascmd" // what EAS has never heard of is in one place
	programPath = programDir + "/eascmd"
	probePath   = programDir + "/" + probeName
	probeName   = "probe"
	hostsDir    = "hosts" // below programDir, as beside every eascmd
)

// Where the gateway listens inside: as on EAS, or, where the processor may want
// that port for itself, at one that nobody else asks for.
const (
	easPort = 8080
	ownPort = 18080
)

// gatewayPort is where the gateway of the run listens inside.
func (s *start) gatewayPort() int {
	if s.plan.Worker.HTTP {
		return ownPort
	}
	return easPort
}

// containerPort is gatewayPort as Docker writes it.
func (s *start) containerPort() nat.Port { return nat.Port(strconv.Itoa(s.gatewayPort()) + "/tcp") }

// How long the daemon may take. Each is far above what is usual: it tells a
// daemon that hangs from one that is slow.
const (
	createTime = 60 * time.Second
	startTime  = 120 * time.Second // a cold image on a slow disk
	removeTime = 30 * time.Second
	askTime    = 15 * time.Second
)

// start is a run that is being started.
type start struct {
	*Options
	d     *Daemon
	plan  *runplan.Plan
	root  *rundir.Root
	owner string
	dir   *rundir.Dir

	gpus      *gpuAccess
	image     image
	program   string
	instance  string   // what the gateway proves with that it is this run's
	container string   // its id; empty while there is none
	volumes   []string // that were made, or found, for this run
}

// start makes the container, with the files mounted or, where the daemon does
// not see them, copied, and starts it.
func (s *start) start(ctx context.Context) (*Run, error) {
	s.sweep(ctx)
	var err error
	// Before an image is built for nothing.
	if s.gpus, err = s.d.gpuAccess(ctx, s.GPUs); err != nil {
		return nil, err
	}
	s.image, err = s.d.ensureImage(ctx, imageOptions{
		Language: s.plan.Language, Image: s.Image, Data: s.DataImage, DataAuth: s.DataAuth,
		Base: s.Base, Plain: s.OwnEnvironment, Host: s.Host, CABundle: s.CABundle,
		Env: os.Getenv, Log: s.log, Progress: s.progress,
	})
	if err != nil {
		return nil, err
	}
	s.program, err = s.d.program(ctx, programOptions{
		Executable: s.Executable, Version: s.Version, CABundle: s.CABundle, Log: s.log, Warn: s.warn, Progress: s.progress,
	})
	if err != nil {
		return nil, err
	}
	s.instance = randomName()
	spec, err := s.spec(ctx)
	if err != nil {
		return nil, err
	}
	copying := s.Copy
	if !copying {
		seen, err := s.createMounted(ctx, spec)
		if err != nil {
			return nil, err
		}
		copying = !seen
	}
	if copying {
		if err := s.createCopied(ctx, spec); err != nil {
			return nil, err
		}
	}
	return s.run(ctx)
}

func randomName() string {
	var b [6]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// spec is a container that is to be created, but for its files.
type spec struct {
	config *container.Config
	host   *container.HostConfig
	name   string
}

func (s *start) spec(ctx context.Context) (*spec, error) {
	runtimeDir := "/run/eascmd-" + s.instance // fresh: a tmpfs keeps an existing directory's mode
	user, group := s.user()
	port := s.containerPort()
	listen, err := s.listenIP()
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--events", "json", "--runtime-dir", runtimeDir, "--image", s.image.Ref, "--lifeline"}
	config := &container.Config{
		Image:        cmp.Or(s.image.ID, s.image.Ref),
		Entrypoint:   []string{programPath},
		Cmd:          append(args, "-"),
		User:         fmt.Sprintf("%d:%d", user, group),
		WorkingDir:   "/",
		Env:          environment(user),
		Labels:       s.labels(),
		OpenStdin:    true,
		StdinOnce:    true,
		AttachStdin:  true,
		AttachStdout: true,
		AttachStderr: true,
		ExposedPorts: nat.PortSet{port: {}},
		StopSignal:   "SIGTERM",
		Healthcheck:  &container.HealthConfig{Test: []string{"NONE"}},
	}
	host := &container.HostConfig{
		AutoRemove:     true,
		ReadonlyRootfs: true,
		CapDrop:        []string{"ALL"},
		SecurityOpt:    []string{"no-new-privileges"},
		PortBindings:   nat.PortMap{port: {{HostIP: listen, HostPort: strconv.Itoa(s.plan.Gateway.Port)}}},
		ShmSize:        s.ShmSize,
		Tmpfs: map[string]string{
			// A tmpfs is noexec by default, and a host may be built here.
			runtimeDir: "rw,exec,nosuid,nodev," + s.ownership(user, group),
			"/tmp":     "rw,exec,nosuid,nodev,mode=1777",
		},
		// Everything that is printed is followed as it comes; a service that
		// stays behind leaves the end of it to whoever asks.
		LogConfig: container.LogConfig{Type: "none"},
	}
	if s.Kept {
		host.LogConfig = container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "10m", "max-file": "2"}}
	}
	if s.d.Info.InitBinary != "" {
		// Somebody has to wait for what a processor leaves behind.
		yes := true
		host.Init = &yes
	}
	if s.d.Remapped() {
		// The files belong to this user, whom such a daemon would take for another.
		host.UsernsMode = "host"
	}
	s.limit(&host.Resources)
	s.gpus.apply(config, host)
	if err := s.d.addCUDA(ctx, s.GPUs, config, host); err != nil {
		return nil, err
	}
	return &spec{config: config, host: host, name: s.containerName()}, nil
}

// environment is what a program may ask for that the user of a container has
// not: a home to keep caches in, and a name, since no passwd file knows the user.
func environment(uid int) []string {
	name := "eas"
	if uid == 0 {
		name = "root"
	}
	return []string{"HOME=/tmp", "USER=" + name, "LOGNAME=" + name}
}

// containerName is what people see in the daemon's lists.
func (s *start) containerName() string { return "eascmd-" + s.plan.Name + "-" + s.instance }

// user returns who the processor runs as: whoever runs this program, so that
// it may read what they may. In a rootless engine that is the container's root.
func (s *start) user() (uid, gid int) {
	uid, gid = os.Getuid(), os.Getgid()
	switch {
	case s.d.Rootless():
		return 0, 0
	case uid < 0: // Windows: its files are everybody's
		return 1000, 1000
	}
	return uid, gid
}

// ownership are the options of a tmpfs that belongs to a user alone. Podman
// knows no uid: there it is root's, or, in a container of somebody else, whose
// processes are all the same user's, everybody's.
func (s *start) ownership(uid, gid int) string {
	switch {
	case uid == 0:
		return "mode=0700"
	case s.d.Podman():
		return "mode=1777"
	}
	return fmt.Sprintf("mode=0700,uid=%d,gid=%d", uid, gid)
}

// listenIP is the address to publish the port at: the daemon takes no names.
func (s *start) listenIP() (string, error) {
	host := s.plan.Gateway.Host
	if host == "localhost" || host == "" {
		return "127.0.0.1", nil
	}
	if net.ParseIP(host) == nil {
		return "", fault.New(fault.Usage, "--host %s: the Docker engine publishes a port at an IP address, not at a name", host).
			WithHint("give the address, such as 127.0.0.1 or 0.0.0.0")
	}
	return host, nil
}

// limit sets the limits of the description. One that the daemon cannot keep is
// told and left out: it would refuse the container.
func (s *start) limit(r *container.Resources) {
	info := &s.d.Info
	if memory := s.plan.Worker.MemoryMB << 20; memory > 0 {
		if info.MemoryLimit {
			r.Memory = memory
		} else {
			s.warn("memory is not limited: the daemon's kernel cannot limit it", "boot the daemon's machine with cgroup_enable=memory")
		}
		switch {
		case info.MemoryLimit && info.SwapLimit:
			r.MemorySwap = memory
		case info.MemoryLimit:
			s.warn("swap is not limited: the processor may use more than metadata.memory on the daemon's machine", "boot the daemon's machine with swapaccount=1, or without swap")
		}
	}
	if cpus := s.CPUs; cpus > 0 {
		switch {
		case !info.CPUCfsQuota:
			s.warn("metadata.cpu is not kept: the daemon's kernel cannot limit processor time", "use a kernel with CONFIG_CFS_BANDWIDTH")
		case info.NCPU > 0 && cpus > info.NCPU:
			s.warn(fmt.Sprintf("metadata.cpu is %d and the daemon has %d: the processor gets these", cpus, info.NCPU), "")
		default:
			r.NanoCPUs = int64(cpus) * 1e9
		}
	}
}

// entry is something that the container has.
type entry struct {
	source   string // on this machine
	path     string // in the container
	writable bool
}

// files lists what the container has of this machine, in the order of depth.
func (s *start) files() []entry {
	list := []entry{{s.program, programPath, false}}
	if s.Host != "" && s.Image != "" {
		platform := "linux-" + s.d.Arch()
		if s.plan.Language == "java" {
			platform = "java" // it is the same everywhere
		}
		list = append(list, entry{s.Host, path.Join(programDir, hostsDir, platform, filepath.Base(s.Host)), false})
	}
	list = append(list, entry{s.Workspace, "", true})
	for _, m := range s.Mounts {
		list = append(list, entry{m.Source, m.Path, m.Writable})
	}
	return list
}

// places are the paths at which the container has an entry.
func (e entry) places() []string {
	if path.IsAbs(e.path) {
		return []string{e.path}
	}
	return []string{path.Join(Workspace, e.path), path.Join(EASWorkspace, e.path)}
}

// createMounted creates the container with the files mounted, and reports
// whether the daemon sees them. If not there is no container.
func (s *start) createMounted(ctx context.Context, spec *spec) (seen bool, err error) {
	probe, content, err := s.makeProbe()
	if err != nil {
		return false, err
	}
	files := append(s.files(), entry{probe, probePath, false})
	host := *spec.host
	for _, f := range files {
		for _, target := range f.places() {
			host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeBind, Source: f.source, Target: target, ReadOnly: !f.writable})
		}
	}
	err = s.create(ctx, spec, &host)
	if err != nil {
		if unseen(err) {
			s.log("the daemon does not see this machine's files; they are copied to it")
			return false, nil
		}
		return false, err
	}
	seen, err = s.seesFiles(ctx, content, files)
	if err != nil || !seen {
		err = errors.Join(err, s.remove(removeTime))
	}
	if err == nil && !seen {
		s.log("the daemon has other files than this machine; those of the service are copied to it")
	}
	return seen, err
}

// makeProbe makes a file that only a daemon which sees our files can know.
func (s *start) makeProbe() (dir string, content string, err error) {
	content = rand.Text()
	// In a directory: Podman reads no file that is mounted as such.
	dir = filepath.Join(s.dir.Path(), probeName)
	if err = os.Mkdir(dir, 0o755); err == nil {
		err = os.WriteFile(filepath.Join(dir, probeName), []byte(content), 0o644)
	}
	if err != nil {
		return "", "", fault.New(fault.Failed, "ask the daemon which files it sees: %w", err)
	}
	return dir, content, nil
}

// seesFiles reads the probe back through the daemon, and compares what was
// mounted with what was meant: some daemons see a part of our files only.
func (s *start) seesFiles(ctx context.Context, content string, files []entry) (bool, error) {
	got, err := s.readFile(ctx, path.Join(probePath, probeName), int64(len(content)))
	if errdefs.IsNotFound(err) || err == nil && got != content {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	same := make([]bool, len(files))
	var all errgroup.Group
	for i, f := range files {
		if f.source == s.Workspace || f.path == probePath {
			same[i] = true // it is where the probe is; creating the container changes it
			continue
		}
		all.Go(func() (err error) {
			same[i], err = s.sees(ctx, f)
			return err
		})
	}
	err = all.Wait()
	return err == nil && !slices.Contains(same, false), err
}

// sees reports whether the container has what is meant at one place.
func (s *start) sees(ctx context.Context, f entry) (bool, error) {
	info, err := os.Stat(f.source)
	if err != nil {
		return false, fault.New(fault.Failed, "read %s: %w", f.source, err)
	}
	if !info.IsDir() && s.d.Podman() {
		return true, nil // it cannot be asked; where there is no such file it has refused already
	}
	asked, cancel := s.d.limit(ctx, askTime)
	defer cancel()
	stat, err := s.d.ContainerStatPath(asked, s.container, f.places()[0])
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, s.d.explain(err, "looking at the container's files")
	}
	// Whole seconds: not every way that files are shared keeps more.
	return stat.Mode.IsDir() == info.IsDir() && stat.Mtime.Unix() == info.ModTime().Unix() &&
		(info.IsDir() || stat.Size == info.Size()), nil
}

// create creates the container.
func (s *start) create(ctx context.Context, spec *spec, host *container.HostConfig) error {
	made, err := settle(ctx, s.d, createTime, func(ctx context.Context) (container.CreateResponse, error) {
		return s.d.ContainerCreate(ctx, spec.config, host, nil, nil, spec.name)
	})
	if err != nil {
		if unseen(err) {
			return err
		}
		if strings.Contains(err.Error(), "inimum memory limit allowed") {
			return fault.New(fault.Description, "metadata.memory is %d MB, which is less than a container can live on: %w", s.plan.Worker.MemoryMB, err).
				WithHint("it is in megabytes: raise it, or leave it out for no limit")
		}
		return s.d.explainGPU(s.d.explain(err, "creating the container"), s.GPUs)
	}
	s.container = made.ID
	for _, w := range made.Warnings {
		s.warn(w, "")
	}
	return nil
}

// settleTime is how long the daemon has to end what it is at when nobody wants
// it any more.
const settleTime = 5 * time.Second

// settle makes a call that makes something, within a limit. The daemon goes on
// when the caller has gone: the call is given a moment more, to learn what there
// is to be removed.
func settle[T any](ctx context.Context, d *Daemon, limit time.Duration, call func(context.Context) (T, error)) (T, error) {
	calling, cancel := d.limit(context.WithoutCancel(ctx), limit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(settleTime, cancel) })()
	return call(calling)
}

// unseen reports whether a container was refused because a file to be mounted
// does not exist where the daemon is, or is not shared with it.
func unseen(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "bind source path does not exist") || // Docker
		strings.Contains(text, "mounts denied") || strings.Contains(text, "is not shared from") || // Docker Desktop
		strings.Contains(text, "statfs ") && strings.Contains(text, "no such file or directory") // Podman
}

// remove removes the container, if there is one.
func (s *start) remove(patience time.Duration) error {
	if s.container == "" {
		return nil
	}
	id := s.container
	s.container = ""
	return s.d.removeContainer(id, patience)
}

// undo removes all that was made. A daemon that takes longer than patience is
// left with it; the next run removes it.
func (s *start) undo(patience time.Duration) error {
	if err := s.remove(patience); err != nil {
		return err
	}
	volumes := s.volumes
	if s.Keep {
		volumes = s.outdated()
	}
	return s.d.removeVolumes(volumes, patience)
}

// outdated lists, of a run whose copies are kept, those that nobody will use
// again: what the processor wrote to, and copies of what has changed since.
func (s *start) outdated() []string {
	ctx, cancel := s.d.limit(context.Background(), askTime)
	defer cancel()
	list, err := s.d.VolumeList(ctx, volumetypes.ListOptions{Filters: filters.NewArgs(
		filters.Arg("label", labelOwner+"="+s.owner), filters.Arg("label", labelService+"="+s.plan.Name),
	)})
	if err != nil {
		return nil // the next run will
	}
	var old []string
	for _, v := range list.Volumes {
		_, keep := v.Labels[labelKeep]
		if !keep || !slices.Contains(s.volumes, v.Name) {
			old = append(old, v.Name)
		}
	}
	return old
}

// labels say what the container belongs to; see leftovers.go.
func (s *start) labels() map[string]string {
	labels := map[string]string{
		labelRun:     filepath.Base(s.dir.Path()),
		labelOwner:   s.owner,
		labelService: s.plan.Name,
	}
	if s.Kept {
		labels[labelKept] = s.Workspace
	}
	return labels
}

// with returns labels and more.
func with(labels map[string]string, name, value string) map[string]string {
	labels = maps.Clone(labels)
	labels[name] = value
	return labels
}
