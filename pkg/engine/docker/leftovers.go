package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
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

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/rundir"
	"github.com/openeas/eascmd/pkg/engine/child"
)

// Labels of the containers and volumes of a run. Owner tells ours from those of
// everybody else who uses the daemon, and run whether the process that started
// them is alive.
const (
	labelPrefix  = "com.github.openeas.eascmd."
	labelOwner   = labelPrefix + "owner"   // see ownerOf
	labelRun     = labelPrefix + "run"     // name of the run's directory
	labelService = labelPrefix + "service" // name of the service
	labelKept    = labelPrefix + "kept"    // of a service that is to stay behind: its workspace
	labelContent = labelPrefix + "content" // of a volume: what it holds
	labelKeep    = labelPrefix + "keep"    // of a volume that --keep leaves for the next run
	labelFiles   = labelPrefix + "files"   // of a container that only takes files
)

// ownerFile holds the owner's name in the root of the run directories.
const ownerFile = "owner"

// ownerOf returns a name that only processes share which share the directory
// of runs, and so can tell from its locks which runs go on. Two containers of
// one CI system, alike as they may be, have two.
func ownerOf(root *rundir.Root) (string, error) {
	name := filepath.Join(root.Path(), ownerFile)
	for {
		text, err := os.ReadFile(name)
		if owner := strings.TrimSpace(string(text)); err == nil && owner != "" {
			return owner, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fault.New(fault.Failed, "read who the runs belong to: %w", err)
		}
		// Whole or not at all: another start may read it now.
		fresh := name + "-" + randomName()
		if err := os.WriteFile(fresh, []byte(randomName()+randomName()), 0o600); err != nil {
			return "", fault.New(fault.Failed, "note who the runs belong to: %w", err)
		}
		err = os.Link(fresh, name)
		if errors.Is(err, fs.ErrExist) && len(text) == 0 {
			os.Remove(name) // an empty one is nobody's
			err = nil
		}
		os.Remove(fresh)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fault.New(fault.Failed, "note who the runs belong to: %w", err)
		}
	}
}

// stopTime is how long a service has to drain that is stopped by its name.
const stopTime = 60 * time.Second

// sweep removes what dead runs of this owner left: they were killed, or the
// daemon was. What cannot be removed must not keep this run from starting.
func (s *start) sweep(ctx context.Context) {
	limited, cancel := s.d.limit(ctx, askTime)
	defer cancel()
	ours := filters.NewArgs(filters.Arg("label", labelOwner+"="+s.owner))
	containers, err := s.d.ContainerList(limited, container.ListOptions{All: true, Filters: ours})
	if err != nil {
		return
	}
	for _, c := range containers {
		// One that was to stay behind and is not left yet ends with whoever
		// started it; so what runs stays, and what does not was never started.
		_, kept := c.Labels[labelKept]
		kept = kept && !slices.Contains([]string{"created", "exited", "dead"}, c.State)
		if !kept && !s.root.Alive(c.Labels[labelRun]) {
			_ = s.d.removeContainer(c.ID, removeTime)
		}
	}
	s.d.sweepWorkspaces(limited)
	volumes, err := s.d.VolumeList(limited, volumetypes.ListOptions{Filters: ours})
	if err != nil {
		return
	}
	var dead []string
	for _, v := range volumes.Volumes {
		_, keep := v.Labels[labelKeep]
		if !keep && !s.root.Alive(v.Labels[labelRun]) {
			dead = append(dead, v.Name) // one that a service still has is refused
		}
	}
	_ = s.d.removeVolumes(dead, removeTime)
}

// heir is what a workspace was left to, as it is noted beside it.
type heir struct {
	Daemon    string `json:"daemon"`
	Container string `json:"container"` // its id
}

// leave notes beside the workspace in dir what it is left to.
func (s *start) leave(dir *rundir.Dir) error {
	note, err := json.Marshal(heir{s.d.identity(), s.container})
	if err != nil {
		return err
	}
	return dir.Leave(note)
}

// identity tells daemons apart.
func (d *Daemon) identity() string { return cmp.Or(d.Info.ID, d.Endpoint) }

func heirOf(l rundir.Left) (h heir, ok bool) {
	err := json.Unmarshal(l.Note, &h)
	return h, err == nil && h.Container != ""
}

// sweepWorkspaces removes those of services that have gone since.
func (d *Daemon) sweepWorkspaces(ctx context.Context) {
	root, err := rundir.Temporary()
	if err != nil {
		return
	}
	for _, l := range root.Left() {
		h, ok := heirOf(l)
		if !ok || h.Daemon != d.identity() {
			continue
		}
		if _, err := d.ContainerInspect(ctx, h.Container); errdefs.IsNotFound(err) {
			_ = l.Remove()
		}
	}
}

// leftTo returns the directory on this machine that was left to a service.
func (s *Service) leftTo() (rundir.Left, bool) {
	if s.workspace == "" {
		return rundir.Left{}, false
	}
	l, ok := rundir.LeftAt(filepath.Dir(s.workspace))
	if !ok {
		return l, false
	}
	h, ok := heirOf(l)
	return l, ok && h.Container == s.id
}

// removeContainer ends and removes a container. It is no fault if it is gone.
func (d *Daemon) removeContainer(id string, patience time.Duration) error {
	ctx, cancel := d.limit(context.Background(), patience)
	defer cancel()
	err := d.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err == nil || errdefs.IsNotFound(err) {
		return nil
	}
	if errdefs.IsConflict(err) {
		// The daemon is at it itself.
		gone, failed := d.ContainerWait(ctx, id, container.WaitConditionRemoved)
		select {
		case <-gone:
			return nil
		case err = <-failed:
			if err == nil || errdefs.IsNotFound(err) {
				return nil
			}
		}
	}
	return d.explain(err, "removing the container")
}

// removeVolumes removes volumes; those that are gone, or that another run has,
// are no fault.
func (d *Daemon) removeVolumes(names []string, patience time.Duration) error {
	var failed error
	for _, name := range names {
		ctx, cancel := d.limit(context.Background(), patience)
		err := d.VolumeRemove(ctx, name, false)
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
			failed = errors.Join(failed, d.explain(err, "removing a volume"))
		}
		cancel()
	}
	return failed
}

// Service is one that runs on the engine.
type Service struct {
	Service   string
	Container string // name
	Endpoint  string // base URL of the published port; empty where none is
	State     string // in the daemon's words: "running"
	Since     time.Time
	Kept      bool // it goes on without the program that started it
	Ours      bool // it belongs to who asks

	id        string
	workspace string   // of a kept one, on the machine that started it
	volumes   []string // that it uses
}

// List lists the services on a daemon, those of others included.
func List(ctx context.Context, d *Daemon) ([]Service, error) {
	root, err := rundir.Runtime()
	if err != nil {
		return nil, err
	}
	owner, err := ownerOf(root)
	if err != nil {
		return nil, err
	}
	limited, cancel := d.limit(ctx, askTime)
	defer cancel()
	containers, err := d.ContainerList(limited, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", labelService))})
	if err != nil {
		return nil, d.explain(err, "listing containers")
	}
	var list []Service
	for _, c := range containers {
		if _, helper := c.Labels[labelFiles]; helper {
			continue
		}
		s := Service{
			Service: c.Labels[labelService], State: c.State, Since: time.Unix(c.Created, 0), Ours: c.Labels[labelOwner] == owner,
			id: c.ID, workspace: c.Labels[labelKept],
		}
		_, s.Kept = c.Labels[labelKept]
		if _, ok := s.leftTo(); ok {
			s.Ours = true // although the directory of runs is another: it ends with a login
		}
		for _, m := range c.Mounts {
			if m.Type == mount.TypeVolume {
				s.volumes = append(s.volumes, m.Name)
			}
		}
		if len(c.Names) > 0 {
			s.Container = strings.TrimPrefix(c.Names[0], "/")
		}
		for _, p := range c.Ports {
			if p.PublicPort != 0 { // the gateway's: no other is published
				s.Endpoint = "http://" + child.Callable(net.JoinHostPort(p.IP, strconv.Itoa(int(p.PublicPort))))
				break
			}
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Service) int { return strings.Compare(a.Container, b.Container) })
	return list, nil
}

// Stop ends a service by its name or its container's, and removes its container,
// its volumes and, where it was left to it, its workspace.
func Stop(ctx context.Context, d *Daemon, name string) (Service, error) {
	list, err := List(ctx, d)
	if err != nil {
		return Service{}, err
	}
	var found []Service
	var names []string
	for _, s := range list {
		switch {
		case s.Container == name || len(name) >= 12 && strings.HasPrefix(s.id, name):
			found = []Service{s}
		case s.Service == name && s.Ours:
			found = append(found, s)
		}
		if s.Ours {
			names = append(names, s.Service)
		}
		if len(found) == 1 && found[0].Container == name {
			break
		}
	}
	switch {
	case len(found) == 0 && len(names) == 0:
		return Service{}, fault.New(fault.Usage, "--stop %s: no service of yours runs on the Docker engine", name).
			WithHint("`eascmd test --list` lists them")
	case len(found) == 0:
		return Service{}, fault.New(fault.Usage, "--stop %s: there is no such service; there are %s", name, strings.Join(names, ", ")).
			WithHint("`eascmd test --list` lists them")
	case len(found) > 1:
		var containers []string
		for _, s := range found {
			containers = append(containers, s.Container)
		}
		return Service{}, fault.New(fault.Usage, "--stop %s: %d services have this name", name, len(found)).
			WithHint("name the container: %s", strings.Join(containers, " or "))
	case !found[0].Ours:
		return Service{}, fault.New(fault.Usage, "--stop %s: somebody else started it", name).
			WithHint("whoever did can stop it; docker rm -f %s does it all the same", found[0].Container)
	}
	s := found[0]
	stopping, cancel := d.limit(ctx, stopTime)
	defer cancel()
	// It drains at its own pace, the plan's grace time at most.
	wait := int(stopTime.Seconds()) - 5
	err = d.ContainerStop(stopping, s.id, container.StopOptions{Timeout: &wait})
	if err != nil && !errdefs.IsNotFound(err) {
		return s, d.explain(err, "stopping the container")
	}
	if err := d.removeContainer(s.id, removeTime); err != nil {
		return s, err
	}
	var volumes []string
	for _, name := range s.volumes {
		v, err := d.VolumeInspect(stopping, name)
		if err != nil {
			continue // it went with its container
		}
		if _, keep := v.Labels[labelKeep]; !keep && v.Labels[labelOwner] != "" {
			volumes = append(volumes, name)
		}
	}
	err = d.removeVolumes(volumes, removeTime)
	if l, ok := s.leftTo(); ok {
		err = errors.Join(err, l.Remove())
	}
	return s, err
}
