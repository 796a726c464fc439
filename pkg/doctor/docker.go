package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/openeas/eascmd/internal/diskspace"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/docker"
)

const groupDocker = "Docker"

// connector returns a function that connects to the daemon once, for all probes.
// What it finds out itself about a daemon that hangs comes before their limit.
func connector(ctx context.Context, opts Options) func() (*docker.Daemon, error) {
	return sync.OnceValues(func() (*docker.Daemon, error) {
		limited, cancel := context.WithTimeout(ctx, early(opts.Limit))
		defer cancel()
		d, err := docker.Connect(limited, opts.Docker)
		if err == nil {
			context.AfterFunc(ctx, func() { d.Close() })
		}
		return d, err
	})
}

// dockerProbes look for a daemon and at what it can do.
func dockerProbes(m *machine, opts Options, connect func() (*docker.Daemon, error)) []probe {
	// with runs what needs a daemon that answers; the line about it says where
	// there is none.
	with := func(name string, f func(ctx context.Context, d *docker.Daemon) finding) probe {
		return probe{group: groupDocker, name: name, run: func(ctx context.Context) []finding {
			d, err := connect()
			if err != nil {
				return nil
			}
			return []finding{f(ctx, d)}
		}}
	}
	return []probe{{
		group: groupDocker, name: "daemon", breaks: dockerEngine, fix: "see what `docker version` does",
		run: func(ctx context.Context) []finding {
			candidates := make(chan []docker.Candidate, 1)
			go func() { candidates <- docker.Candidates(ctx, opts.Docker) }()
			d, err := connect()
			if err != nil {
				return []finding{noDaemon(err, <-candidates)}
			}
			return m.judgeDaemon(factsOf(ctx, d))
		},
	}, with("image", func(ctx context.Context, d *docker.Daemon) finding {
		return dockerImage(d.ImageState(ctx, opts.CABundle))
	}), with("files", func(ctx context.Context, d *docker.Daemon) finding {
		return dockerFiles(ctx, d, opts)
	})}
}

// unknown is what is said of what can only be tried with an image.
const unknown = "not known before an image is there; `eascmd test --engine docker` gets one"

// dockerImage says whether the first run has to wait for an image.
func dockerImage(state docker.ImageState, err error) finding {
	const name = "image"
	switch {
	case err != nil:
		return warning(name, cmp.Or(fault.HintOf(err), "see what `docker images` does"), "%v", err)
	case state.Built != "":
		return ok(name, "%s, built on %s", state.Built, state.Base)
	case state.HasBase:
		return ok(name, "will be built on %s at the first run", state.Base)
	}
	return ok(name, "%s will be pulled and built on at the first run", state.Base)
}

// dockerFiles tries how files get into a container.
func dockerFiles(ctx context.Context, d *docker.Daemon, opts Options) finding {
	const name = "files"
	state, err := d.ImageState(ctx, opts.CABundle)
	if err != nil || state.Usable() == "" {
		return ok(name, "%s", unknown)
	}
	seen, err := d.SeesFiles(ctx, state.Usable())
	switch {
	case err != nil:
		return warning(name, cmp.Or(fault.HintOf(err), "see what `docker run --rm "+state.Usable()+" true` does"), "a container cannot be made: %v", err)
	case seen:
		return ok(name, "mounted: the daemon sees this machine's")
	}
	return ok(name, "copied: the daemon does not see this machine's")
}

// noDaemon lists all that was tried.
func noDaemon(err error, tried []docker.Candidate) finding {
	const name = "daemon"
	var lines []string
	for _, c := range tried {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s (%s): %s", c.Address, c.Source, c.Outcome)))
	}
	found := "none answers"
	if len(lines) > 0 {
		found += "\n" + strings.Join(lines, "\n")
	} else {
		found += ": " + err.Error()
	}
	f := warning(name, fault.HintOf(err), "%s", found)
	if f.fix == "" {
		f.fix = "install Docker Engine, or set DOCKER_HOST to the address of a daemon"
	}
	f.breaks = dockerEngine
	return f
}

// facts are what is judged of a daemon.
type facts struct {
	endpoint, source      string
	product, version, api string
	system, arch          string // such as linux, amd64
	storage, backing      string // the driver, and the file system below it
	cgroup, cgroupDriver  string
	rootDir               string
	here                  bool // it runs on this machine
	rootless, remapped    bool
	snap, desktop         bool
	memory, swap          bool // whether it can limit them
	cpu, pids             bool
	offset                time.Duration // of its clock; positive: ahead
	tellsTime             bool
}

func factsOf(ctx context.Context, d *docker.Daemon) facts {
	f := facts{
		endpoint: d.Endpoint, source: d.Source,
		product: "Docker Engine", version: d.Info.ServerVersion, api: d.ClientVersion(),
		system: d.Info.OSType, arch: d.Arch(),
		storage: d.Info.Driver, cgroup: d.Info.CgroupVersion, cgroupDriver: d.Info.CgroupDriver,
		rootDir: d.Info.DockerRootDir, here: d.SameMachine(),
		rootless: d.Rootless(), remapped: d.Remapped(), snap: d.Snap(), desktop: d.Desktop(),
		memory: d.Info.MemoryLimit, swap: d.Info.SwapLimit, cpu: d.Info.CPUCfsQuota, pids: d.Info.PidsLimit,
	}
	if d.Podman() {
		f.product = "Podman"
	}
	for _, pair := range d.Info.DriverStatus {
		if pair[0] == "Backing Filesystem" {
			f.backing = pair[1]
		}
	}
	// Asked again, because the time has to be compared at once.
	begin := time.Now()
	info, err := d.Client.Info(ctx)
	end := time.Now()
	if theirs, parseErr := time.Parse(time.RFC3339Nano, info.SystemTime); err == nil && parseErr == nil {
		f.tellsTime = true
		switch {
		case theirs.After(end):
			f.offset = theirs.Sub(end)
		case theirs.Before(begin):
			f.offset = theirs.Sub(begin)
		}
	}
	return f
}

// maxDaemonOffset is how far a daemon's clock may be off: a container has it.
const maxDaemonOffset = 5 * time.Second

// judgeDaemon makes the lines about a daemon that answers.
func (m *machine) judgeDaemon(f facts) []finding {
	found := []finding{ok("daemon", "%s (%s)", f.endpoint, f.source)}
	add := func(f finding) { found = append(found, f) }

	engine := fmt.Sprintf("%s %s, API %s, %s/%s", f.product, f.version, f.api, f.system, f.arch)
	if f.system != "" && f.system != "linux" {
		w := warning("engine", "switch Docker Desktop to Linux containers", "%s: processors are Linux programs", engine)
		w.breaks = dockerEngine
		add(w)
	} else {
		add(ok("engine", "%s", engine))
	}
	add(f.judgeMode())
	storage := f.storage
	if f.backing != "" {
		storage += " on " + f.backing
	}
	switch f.storage {
	case "vfs", "devicemapper", "aufs":
		add(warning("storage", "set \"storage-driver\": \"overlay2\" in /etc/docker/daemon.json, or remove the driver named there", "%s, which makes images and containers slow and large", storage))
	default:
		add(ok("storage", "%s", storage))
	}
	switch {
	case f.cgroupDriver == "none" || f.cgroup == "":
		add(warning("control groups", f.delegate(), "none, so that nothing can be limited"))
	default:
		add(ok("control groups", "version %s, %s", f.cgroup, f.cgroupDriver))
		add(f.judgeLimits())
	}
	if f.here {
		if space, err := diskspace.Of(m.path(f.rootDir)); err == nil {
			text := fmt.Sprintf("%s: %s free of %s", f.rootDir, size(space.Free), size(space.Total))
			if space.Free < 2*littleRoom {
				add(warning("disk", "`docker system df` shows what takes the room, `docker image prune` removes images without a name", "%s, which is little for an image", text))
			} else {
				add(ok("disk", "%s", text))
			}
		}
	}
	if f.tellsTime {
		switch text := f.offset.Abs().Round(time.Second); {
		case f.offset > maxDaemonOffset:
			add(warning("clock", f.setClock(), "%v ahead of this machine's", text))
		case f.offset < -maxDaemonOffset:
			add(warning("clock", f.setClock(), "%v behind this machine's", text))
		default:
			add(ok("clock", "the same time as here"))
		}
	}
	return found
}

// judgeMode says with which rights the daemon runs.
func (f *facts) judgeMode() finding {
	const name = "mode"
	switch {
	case f.snap:
		return warning(name, "install Docker Engine from the distribution or from docs.docker.com, and `sudo snap remove docker`",
			"from a snap, which sees only what is in homes and not hidden, and gives no GPU to containers")
	case f.rootless:
		return ok(name, "rootless: root in a container is you")
	case f.remapped:
		return ok(name, "users are remapped: no user of a container owns files here")
	case f.desktop:
		return ok(name, "Docker Desktop, in a virtual machine")
	}
	return ok(name, "as root")
}

// judgeLimits says what the daemon cannot limit.
func (f *facts) judgeLimits() finding {
	const name = "limits"
	var can, cannot []string
	for _, limit := range []struct {
		what string
		can  bool
	}{{"memory", f.memory}, {"swap", f.swap}, {"CPU", f.cpu}, {"processes", f.pids}} {
		if limit.can {
			can = append(can, limit.what)
		} else {
			cannot = append(cannot, limit.what)
		}
	}
	if len(cannot) == 0 {
		return ok(name, "%s", strings.Join(can, ", "))
	}
	fix := "enable these controllers in the kernel of the daemon's machine"
	switch {
	case f.rootless:
		fix = f.delegate()
	case f.cgroup == "1" && (!f.memory || !f.swap):
		fix = "add cgroup_enable=memory swapaccount=1 to the kernel's command line, and restart the machine"
	}
	return warning(name, fix, "no limit of %s", strings.Join(cannot, ", "))
}

// delegate is how a rootless daemon gets control groups.
func (f *facts) delegate() string {
	return "have systemd delegate control groups to users: put `[Service] Delegate=cpu cpuset io memory pids` into /etc/systemd/system/user@.service.d/delegate.conf, and `sudo systemctl daemon-reload`"
}

func (f *facts) setClock() string {
	if f.desktop {
		return "restart Docker Desktop: its virtual machine has slept"
	}
	return "set the clocks of both machines by a time server: `sudo timedatectl set-ntp true`"
}
