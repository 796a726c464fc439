package docker

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
)

// dataLanguage marks data images as such.
const dataLanguage = "data"

// makingName begins the names of the containers that images are made of.
const makingName = "eascmd-image-"

// commitTime is how long the daemon may take to make a layer of gigabytes.
const commitTime = 20 * time.Minute

// layerTime is the modification time of all that is put into an image, so that
// the same files make the same layer.
var layerTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// MakeDataImage makes an image of a base and an environment, whose entries are
// named below EnvironmentDir: "bin/python". They are sent to the daemon as they
// are read, and no file is written on this machine.
//
// No builder has a part in it: the files go into a container that is never
// started, and the image is made of that. So the layer holds these files with
// fixed times and owners and nothing else, and the same files give the same
// layer.
func (d *Daemon) MakeDataImage(ctx context.Context, o MakeOptions, entries []pack.Entry) (Made, error) {
	named, err := imageName(o.Name)
	if err != nil {
		return Made{}, err
	}
	base, err := d.haveImage(ctx, wanted{ref: cmp.Or(o.Base, defaultBase), flag: "--base"}, o.image(dataLanguage))
	if err != nil {
		return Made{}, err
	}
	d.removeMaking(ctx)
	s := &start{Options: &Options{Progress: o.Progress}, d: d, image: base}
	err = s.create(ctx, &spec{name: makingName + randomName(), config: dataConfig(base)}, &container.HostConfig{NetworkMode: "none"})
	if err != nil {
		return Made{}, err
	}
	name := reference.FamiliarString(named)
	err = s.fillData(ctx, base, entries)
	if err == nil {
		if o.Log != nil {
			o.Log("making the image " + name + " on " + base.Ref)
		}
		err = s.commit(ctx, name)
	}
	if err = errors.Join(err, s.remove(removeTime)); err != nil {
		return Made{}, err
	}
	return d.made(ctx, name)
}

// dataConfig is what containers of a data image begin with: that of its base, and
// the environment as the active one.
func dataConfig(base image) *container.Config {
	search := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, v := range base.Env {
		if name, value, _ := strings.Cut(v, "="); name == "PATH" && value != "" {
			search = value
		}
	}
	config := &container.Config{
		Image:      cmp.Or(base.ID, base.Ref),
		Env:        []string{"PATH=" + EnvironmentDir + "/bin:" + search},
		WorkingDir: path.Dir(EnvironmentDir),
		Labels:     map[string]string{imageLabel: dataLanguage, baseLabel: wanted{ref: base.Ref}.family()},
	}
	if !base.Runs {
		config.Cmd = []string{"/bin/sh"} // a daemon makes no container without one
	}
	return config
}

// fillData puts the environment into the container.
func (s *start) fillData(ctx context.Context, base image, entries []pack.Entry) error {
	asked, cancel := s.d.limit(ctx, askTime)
	_, err := s.d.ContainerStatPath(asked, s.container, EnvironmentDir)
	cancel()
	if err == nil {
		return fault.New(fault.Usage, "the base %s has an environment at %s already, which would be mixed with this one", base.Ref, EnvironmentDir).
			WithHint("name the image that it was made from with --base, or leave --base out")
	}
	if !errdefs.IsNotFound(err) {
		return s.d.explain(err, "looking at the base's files")
	}
	var total int64
	for _, e := range entries {
		total += e.Size
	}
	update, done := s.progress("sending the environment to the daemon")
	defer done()
	ctx, sending, end := s.watchTransfer(ctx, "sending the environment to the daemon")
	defer end()
	var sent int64
	r, w := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		w.CloseWithError(writeLayer(ctx, w, entries, func(n int) {
			sending()
			sent += int64(n)
			update(sent, total)
		}))
	}()
	err = s.d.CopyToContainer(ctx, s.container, "/", r, container.CopyToContainerOptions{})
	r.CloseWithError(errors.New("the daemon takes no more")) // so that the writer ends
	<-written
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil && tellsFullDisk(err.Error()) {
		return fault.New(fault.Failed, "making the image: the Docker daemon's disk is full: %w", err).WithHint("%s", s.d.freeSpace())
	}
	return s.d.explain(err, "sending the environment to the daemon")
}

// writeLayer writes an environment as an archive for the root of an image.
func writeLayer(ctx context.Context, w io.Writer, entries []pack.Entry, read func(n int)) error {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b pack.Entry) int { return strings.Compare(a.Name, b.Name) })
	t := tar.NewWriter(w)
	made := make(map[string]bool)
	directory := func(name string, mode fs.FileMode) error {
		if made[name] {
			return nil
		}
		made[name] = true
		return t.WriteHeader(&tar.Header{
			Typeflag: tar.TypeDir, Name: name + "/", Mode: int64(mode.Perm()), ModTime: layerTime, Format: tar.FormatPAX,
		})
	}
	root := strings.TrimPrefix(EnvironmentDir, "/")
	// above writes the directories that lead to a name, where no entry has.
	above := func(name string) error {
		for i, c := range name {
			if c != '/' {
				continue
			}
			if err := directory(name[:i], 0o755); err != nil {
				return err
			}
		}
		return nil
	}
	if err := above(root + "/"); err != nil {
		return err
	}
	first := make(map[string]string) // of the names of one file
	for _, e := range entries {
		name := path.Join(root, e.Name)
		if err := above(name); err != nil {
			return err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(e.Mode.Perm()), ModTime: layerTime, Format: tar.FormatPAX}
		switch e.Mode.Type() {
		case fs.ModeDir:
			if err := directory(name, e.Mode); err != nil {
				return err
			}
			continue
		case fs.ModeSymlink:
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.Link, 0o777
		default:
			if earlier, ok := first[e.Same]; ok && e.Same != "" {
				h.Typeflag, h.Linkname = tar.TypeLink, earlier
				break
			}
			first[e.Same] = name
			h.Size = e.Size
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := writeContent(ctx, t, e, read); err != nil {
			return err
		}
	}
	return t.Close()
}

func writeContent(ctx context.Context, w io.Writer, e pack.Entry, read func(n int)) error {
	src, err := e.Open()
	if err != nil {
		return fault.New(fault.Failed, "read the environment: %w", err).WithHint("make the file readable, or remove it")
	}
	defer src.Close()
	n, err := io.Copy(w, io.LimitReader(&counted{ctx, src, read}, e.Size))
	if err != nil {
		return fmt.Errorf("read the environment: %s: %w", e.Name, err)
	}
	if n != e.Size {
		return fault.New(fault.Failed, "read the environment: %s became shorter meanwhile", e.Name).
			WithHint("start again when nothing writes to it")
	}
	return nil
}

// commit makes an image of the container.
func (s *start) commit(ctx context.Context, name string) error {
	ctx, cancel := s.d.limit(ctx, commitTime)
	defer cancel()
	_, err := s.d.ContainerCommit(ctx, s.container, container.CommitOptions{Reference: name, Comment: "eascmd image build"})
	if err != nil && tellsFullDisk(err.Error()) {
		return fault.New(fault.Failed, "making the image: the Docker daemon's disk is full: %w", err).WithHint("%s", s.d.freeSpace())
	}
	return s.d.explain(err, "making the image "+name)
}

// removeMaking removes what killed programs have left while they made an image.
func (d *Daemon) removeMaking(ctx context.Context) {
	ctx, cancel := d.limit(ctx, cleanTime)
	defer cancel()
	list, err := d.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("name", makingName), filters.Arg("status", "created"))})
	if err != nil {
		return
	}
	for _, c := range list {
		if time.Since(time.Unix(c.Created, 0)) > abandoned {
			_ = d.ContainerRemove(ctx, c.ID, container.RemoveOptions{RemoveVolumes: true})
		}
	}
}
