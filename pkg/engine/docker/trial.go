package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/engine/gpu"
)

// ImageState says what the daemon has of the image that C and C++ processors
// run in where no other is asked for.
type ImageState struct {
	Built   string // its name; empty where it is still to be built
	Base    string // the name of what it is built on
	HasBase bool   // whether that is there, or is to be pulled
}

// Usable is an image that the daemon has, for trying something out; it is empty
// where there is none.
func (s ImageState) Usable() string {
	if s.Built == "" && s.HasBase {
		return s.Base
	}
	return s.Built
}

// ImageState looks for the image, and builds and pulls nothing.
func (d *Daemon) ImageState(ctx context.Context, caBundle string) (ImageState, error) {
	state := ImageState{Base: defaultBase}
	r, err := newRecipe(&imageOptions{Language: "cpp", CABundle: caBundle}, d.Arch())
	if err != nil {
		return state, err
	}
	want := wanted{ref: defaultBase, flag: "--base-image"}
	base, err := d.findImage(ctx, want)
	if errdefs.IsNotFound(err) {
		if earlier, ok := d.builtEarlier(ctx, want, r); ok {
			state.Built = earlier.Ref
		}
		return state, nil
	}
	if err != nil {
		return state, err
	}
	state.HasBase = true
	built, err := d.findImage(ctx, wanted{ref: r.tag(base.ID)})
	switch {
	case errdefs.IsNotFound(err):
		return state, nil
	case err != nil:
		return state, err
	}
	state.Built = built.Ref
	return state, nil
}

// SeesFiles tries whether the daemon sees this machine's files, so that they
// are mounted, or has to be sent copies. image is any that it has.
func (d *Daemon) SeesFiles(ctx context.Context, image string) (seen bool, err error) {
	err = d.try(ctx, func(ctx context.Context, s *start) error {
		probe, content, err := s.makeProbe()
		if err != nil {
			return err
		}
		host := &container.HostConfig{
			NetworkMode: "none",
			Mounts:      []mount.Mount{{Type: mount.TypeBind, Source: probe, Target: probePath, ReadOnly: true}},
		}
		if err := s.create(ctx, s.trial(image, "true"), host); err != nil {
			if unseen(err) {
				return nil
			}
			return err
		}
		seen, err = s.seesFiles(ctx, content, nil)
		return err
	})
	return seen, err
}

// SameMachine reports whether the daemon runs on this machine, as far as that
// can be known without asking it for more than what it has said.
func (d *Daemon) SameMachine() bool { return d.sameMachine() }

// OffersGPUs reports whether the daemon says that it gives NVIDIA's GPUs to
// containers. It may do so without saying it.
func (d *Daemon) OffersGPUs() bool {
	if _, registered := d.Info.Runtimes[nvidiaRuntime]; registered {
		return true
	}
	for _, device := range d.Info.DiscoveredDevices {
		if strings.HasPrefix(device.ID, nvidia.CDIKind+"=") {
			return true
		}
	}
	return false
}

// GPUWay says in which way a container gets all the GPUs of the daemon's
// machine. Where it can be known that there is none, the error names the one
// thing that is missing, as that of a run would, and begins with why and "asks
// for a GPU".
func (d *Daemon) GPUWay(ctx context.Context, why string) (string, error) {
	return d.requestGPUs(ctx, gpu.Request{All: true, Why: why}, new(container.Config), new(container.HostConfig))
}

// maxListing is more than nvidia-smi says of the GPUs of any machine.
const maxListing = 64 << 10

// TryGPUs gives a container all GPUs and returns what nvidia-smi lists there, a
// line a GPU. image is any that the daemon has and that has a shell. Errors are
// those of a run.
func (d *Daemon) TryGPUs(ctx context.Context, image, why string) (listed string, err error) {
	err = d.try(ctx, func(ctx context.Context, s *start) error {
		s.GPUs = gpu.Request{All: true, Why: why}
		spec := s.trial(image, "nvidia-smi -L")
		host := &container.HostConfig{
			NetworkMode: "none", ReadonlyRootfs: true,
			CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"},
			LogConfig: container.LogConfig{Type: "json-file"}, // which can be read back
		}
		if _, err := d.requestGPUs(ctx, s.GPUs, spec.config, host); err != nil {
			return err
		}
		if err := s.create(ctx, spec, host); err != nil {
			return err
		}
		if err := d.ContainerStart(ctx, s.container, container.StartOptions{}); err != nil {
			return d.explainGPU(d.explain(err, "starting a container with GPUs"), s.GPUs)
		}
		status, err := s.waitTrial(ctx)
		if err != nil {
			return err
		}
		logs, err := d.ContainerLogs(ctx, s.container, container.LogsOptions{ShowStdout: true, ShowStderr: true})
		if err != nil {
			return d.explain(err, "reading what a container has printed")
		}
		defer logs.Close()
		text, err := io.ReadAll(io.LimitReader(logs, maxListing))
		if err != nil {
			return d.explain(err, "reading what a container has printed")
		}
		listed = strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
		if status != 0 {
			return s.explainListing(status, listed)
		}
		return nil
	})
	return listed, err
}

// explainListing is the error for an nvidia-smi that failed in a container.
func (s *start) explainListing(status int64, said string) error {
	const notFound = 127 // of the shell
	if status == notFound {
		return s.d.missingGPU(s.GPUs, "a container with GPUs has no nvidia-smi").
			WithHint("update the NVIDIA Container Toolkit; it brings nvidia-smi along where NVIDIA_DRIVER_CAPABILITIES has utility")
	}
	return s.d.explainGPU(fault.New(fault.Missing, "nvidia-smi fails in a container, with status %d: %s", status, said), s.GPUs)
}

// try makes a run that is none for f, and removes what f has made for it. What
// is left because this program was killed is removed by the next run.
func (d *Daemon) try(ctx context.Context, f func(ctx context.Context, s *start) error) error {
	root, err := rundir.Runtime()
	if err != nil {
		return err
	}
	owner, err := ownerOf(root)
	if err != nil {
		return err
	}
	dir, err := root.New()
	if err != nil {
		return err
	}
	s := &start{Options: new(Options), d: d, root: root, owner: owner, dir: dir}
	limited, cancel := d.limit(ctx, startTime)
	defer cancel()
	err = f(limited, s)
	return errors.Join(err, s.remove(removeTime), dir.Close())
}

// trial is a container that runs a line of the shell as whoever runs this
// program, and then ends.
func (s *start) trial(image, script string) *spec {
	uid, gid := s.user()
	return &spec{
		config: &container.Config{
			Image: image, Entrypoint: []string{"sh", "-c", script}, User: fmt.Sprintf("%d:%d", uid, gid),
			Tty: true, // one stream, without frames
			// It serves nobody: it is removed like others, and not listed.
			Labels: map[string]string{labelRun: filepath.Base(s.dir.Path()), labelOwner: s.owner},
		},
		name: "eascmd-trial-" + randomName(),
	}
}

// waitTrial waits for the end of a container and returns its exit status.
func (s *start) waitTrial(ctx context.Context) (int64, error) {
	ended, failed := s.d.ContainerWait(ctx, s.container, container.WaitConditionNotRunning)
	select {
	case e := <-ended:
		return e.StatusCode, nil
	case err := <-failed:
		return 0, s.d.explain(err, "waiting for a container")
	}
}
