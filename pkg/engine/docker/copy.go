package docker

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	volumetypes "github.com/docker/docker/api/types/volume"

	"github.com/openeas/eascmd/internal/fault"
)

// volume holds a copy of files of this machine where the daemon does not see
// them.
type volume struct {
	name     string
	labels   map[string]string
	places   []string // in the container
	writable bool
	files    []file // the first is the volume's own directory

	// mark is the modification time of the volume's directory once all files
	// are there. It follows from the content, so that one that was filled half
	// is never taken for whole, and nothing has to lie among the user's files.
	mark time.Time
}

// file is a file, a directory or a symbolic link of a volume.
type file struct {
	path   string // in the volume, with slashes; "." is its directory
	source string // on this machine; empty for a directory that is only here
	info   fs.FileInfo
	link   string
}

// stallTime is how long a copy may make no progress at all.
const stallTime = 60 * time.Second

// createCopied creates the container with volumes that hold copies of the
// files. Those that are only read are named by their content: runs of the same
// files share them.
//
// A container cannot be given files on a volume that it only reads, nor any
// while its root is read-only; so another one, which is never started, takes
// them, and holds the volumes until the one that runs does.
func (s *start) createCopied(ctx context.Context, spec *spec) error {
	volumes, err := s.plannedVolumes(ctx)
	if err != nil {
		return err
	}
	helper := &start{Options: s.Options, d: s.d, root: s.root, image: s.image}
	config := &container.Config{Image: spec.config.Image, Entrypoint: []string{"true"}, Labels: with(s.labels(), labelFiles, "true")}
	host := &container.HostConfig{NetworkMode: "none", CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"}}
	for i, v := range volumes {
		v.labels = with(s.labels(), labelContent, path.Base(v.places[0]))
		if s.Keep && !v.writable {
			v.labels = with(v.labels, labelKeep, "true")
		}
		if err := s.makeVolume(ctx, v); err != nil {
			return err
		}
		host.Mounts = append(host.Mounts, v.mount(fillPath(i), false))
	}
	helperSpec := *spec
	helperSpec.config, helperSpec.name = config, spec.name+"-files"
	if err := helper.create(ctx, &helperSpec, host); err != nil {
		return err
	}
	err = helper.fill(ctx, volumes)
	if err == nil {
		err = s.createWithVolumes(ctx, spec, volumes)
	}
	return errors.Join(err, helper.remove(removeTime))
}

// fillPath is where the container that takes the files has the i-th volume.
func fillPath(i int) string { return fmt.Sprintf("/volume-%d", i) }

// mount is the volume at a place in a container. One that another run has
// removed since it was found is made again with the container, as ours.
func (v *volume) mount(target string, readOnly bool) mount.Mount {
	return mount.Mount{
		Type: mount.TypeVolume, Source: v.name, Target: target, ReadOnly: readOnly,
		VolumeOptions: &mount.VolumeOptions{NoCopy: true, Labels: v.labels},
	}
}

func (s *start) makeVolume(ctx context.Context, v *volume) error {
	_, err := settle(ctx, s.d, askTime, func(ctx context.Context) (volumetypes.Volume, error) {
		return s.d.VolumeCreate(ctx, volumetypes.CreateOptions{Name: v.name, Labels: v.labels})
	})
	if err != nil {
		return s.d.explain(err, "making a volume")
	}
	s.volumes = append(s.volumes, v.name)
	return nil
}

func (s *start) createWithVolumes(ctx context.Context, spec *spec, volumes []*volume) error {
	host := *spec.host
	for _, v := range volumes {
		for _, target := range v.places {
			host.Mounts = append(host.Mounts, v.mount(target, !v.writable))
		}
	}
	return s.create(ctx, spec, &host)
}

// plannedVolumes says which volumes the files go to: the program's, one for
// each directory that comes from elsewhere, and the workspace's own.
func (s *start) plannedVolumes(ctx context.Context) ([]*volume, error) {
	var list []*volume
	roots := make(map[string]*volume)
	at := func(root string, writable bool) *volume {
		v := roots[root]
		if v == nil {
			v = &volume{places: entry{path: root}.places(), writable: writable, files: []file{{path: "."}}}
			roots[root] = v
			list = append(list, v)
		}
		v.writable = v.writable || writable
		return v
	}
	for _, f := range s.files()[1:] {
		info, err := os.Stat(f.source)
		if err != nil {
			return nil, fault.New(fault.Failed, "copy files to the daemon: %w", err)
		}
		root, name := f.path, ""
		if !info.IsDir() {
			root, name = path.Split(f.path)
			root = strings.TrimSuffix(root, "/")
		}
		if root == "" || isProgram(f.path) {
			continue // the workspace and the hosts: below
		}
		v := at(root, f.writable)
		if err := v.add(f.source, name, nil); err != nil {
			return nil, err
		}
	}
	own := at("", true)
	err := own.add(s.Workspace, "", func(p string) bool { return roots[p] != nil })
	if err != nil {
		return nil, err
	}
	programs := at(programDir, false)
	for _, f := range s.files() {
		if !isProgram(f.path) {
			continue
		}
		name, err := filepath.Rel(programDir, f.path)
		if err == nil {
			err = programs.addParents(filepath.ToSlash(name))
		}
		if err == nil {
			err = programs.add(f.source, filepath.ToSlash(name), nil)
		}
		if err != nil {
			return nil, err
		}
	}
	update, done := s.progress("reading the files to copy")
	defer done()
	var read int64
	for _, v := range list {
		if err := v.identify(ctx, s.owner, s.instance, func(n int) { read += int64(n); update(read, 0) }); err != nil {
			return nil, err
		}
	}
	// Docker mounts by depth; what is deterministic is easier to look at.
	slices.SortStableFunc(list, func(a, b *volume) int {
		return cmp.Compare(strings.Count(a.places[0], "/"), strings.Count(b.places[0], "/"))
	})
	return list, nil
}

// isProgram reports whether a path in the container is of what is ours.
func isProgram(name string) bool { return strings.HasPrefix(name, programDir+"/") }

// add adds the file or directory at source as name, or, with an empty name, a
// directory's content. What leave accepts stays empty.
func (v *volume) add(source, name string, leave func(path string) bool) error {
	// The path itself may be a link to the user's directory.
	source, err := filepath.EvalSymlinks(source)
	if err != nil {
		return fault.New(fault.Failed, "copy files to the daemon: %w", err)
	}
	return filepath.WalkDir(source, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return fault.New(fault.Failed, "copy files to the daemon: %w", err).
				WithHint("make the file readable, or remove it from the directory that is copied")
		}
		rel, err := filepath.Rel(source, p)
		if err != nil {
			return err
		}
		inside := path.Join(name, filepath.ToSlash(rel))
		info, err := d.Info()
		if err != nil {
			return fault.New(fault.Failed, "copy files to the daemon: %w", err)
		}
		f := file{path: inside, source: p, info: info}
		switch {
		case inside == ".":
			v.files[0] = f
			return nil
		case info.IsDir() && leave != nil && leave(inside):
			v.files = append(v.files, f)
			return fs.SkipDir
		case info.Mode()&fs.ModeSymlink != 0:
			if f.link, err = os.Readlink(p); err != nil {
				return fault.New(fault.Failed, "copy files to the daemon: %w", err)
			}
		case !info.IsDir() && !info.Mode().IsRegular():
			return nil // a socket or a pipe means nothing over there
		}
		v.files = append(v.files, f)
		return nil
	})
}

// addParents adds the directories above a file.
func (v *volume) addParents(name string) error {
	for i := range name {
		if name[i] != '/' {
			continue
		}
		dir := name[:i]
		if !slices.ContainsFunc(v.files, func(f file) bool { return f.path == dir }) {
			v.files = append(v.files, file{path: dir})
		}
	}
	return nil
}

// identify names the volume: by its content where it is only read, by the run
// where it is written.
func (v *volume) identify(ctx context.Context, owner, run string, read func(n int)) error {
	slices.SortFunc(v.files, func(a, b file) int { return cmp.Compare(a.path, b.path) })
	slices.SortStableFunc(v.files, func(a, b file) int { // the volume's directory first
		return cmp.Compare(btoi(a.path != "."), btoi(b.path != "."))
	})
	kind := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return -1
	}, strings.ToLower(path.Base(v.places[0])))
	h := sha256.New()
	io.WriteString(h, owner)
	if v.writable {
		io.WriteString(h, run)
	} else {
		for _, f := range v.files {
			header := v.header(f, "", 0, 0)
			fmt.Fprintf(h, "%d %s %o %d %q %q\n", header.Typeflag, f.path, header.Mode, header.Size, header.Linkname, "")
			if header.Typeflag != tar.TypeReg {
				continue
			}
			if err := copyFile(ctx, h, f, true, read); err != nil {
				return err
			}
		}
	}
	sum := h.Sum(nil)
	v.name = "eascmd-" + kind + "-" + hex.EncodeToString(sum[:8])
	v.mark = time.Unix(946684800+int64(sum[8])<<16+int64(sum[9])<<8+int64(sum[10]), 0) // a moment of the year 2000
	return nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// copyFile copies a file's content, which must not change meanwhile: not at all
// where exact is set, because a name is made of it, and never so that there is
// less of it.
func copyFile(ctx context.Context, w io.Writer, f file, exact bool, read func(n int)) error {
	src, err := os.Open(f.source)
	if err != nil {
		return fault.New(fault.Failed, "copy files to the daemon: %w", err).
			WithHint("make the file readable, or remove it from the directory that is copied")
	}
	defer src.Close()
	n, err := io.Copy(w, io.LimitReader(&counted{ctx, src, read}, f.info.Size()))
	if err != nil {
		return err
	}
	if n != f.info.Size() {
		return fault.New(fault.Failed, "copy files to the daemon: %s became shorter meanwhile", f.source).
			WithHint("start again when nothing writes to it")
	}
	if now, err := src.Stat(); exact && (err != nil || now.Size() != n || !now.ModTime().Equal(f.info.ModTime())) {
		return fault.New(fault.Failed, "copy files to the daemon: %s was written to meanwhile", f.source).
			WithHint("start again when nothing writes to it")
	}
	return nil
}

// counted is a reader that tells what it reads and ends with its context.
type counted struct {
	ctx  context.Context
	r    io.Reader
	read func(n int)
}

func (c *counted) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	if n > 0 {
		c.read(n)
	}
	return n, err
}

// header is a file's entry in the archive that fills a volume.
func (v *volume) header(f file, dir string, uid, gid int) *tar.Header {
	h := &tar.Header{Name: path.Join(dir, f.path), Uid: uid, Gid: gid, Mode: 0o755, Typeflag: tar.TypeDir, Format: tar.FormatPAX}
	if f.path == "." {
		h.ModTime = v.mark
	}
	if f.info == nil {
		return h
	}
	h.Mode = int64(f.info.Mode().Perm())
	if f.path != "." {
		h.ModTime = f.info.ModTime()
	}
	switch {
	case f.info.Mode()&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.link, 0o777
	case f.info.Mode().IsRegular():
		h.Typeflag, h.Size = tar.TypeReg, f.info.Size()
	}
	return h
}

// fill copies files to the volumes that the container has, but for those that
// have them already.
func (s *start) fill(ctx context.Context, volumes []*volume) error {
	missing, err := s.unfilled(ctx, volumes)
	if err != nil || len(missing) == 0 {
		return err
	}
	// Another run may be filling one of them, or read from it as soon as it is
	// full: only one at a time, and never again.
	unlock, err := s.lockVolumes(ctx, volumes, missing)
	if err != nil {
		return err
	}
	defer unlock()
	if missing, err = s.unfilled(ctx, volumes); err != nil || len(missing) == 0 {
		return err
	}
	var total int64
	for _, i := range missing {
		for _, f := range volumes[i].files {
			total += volumes[i].header(f, "", 0, 0).Size
		}
	}
	update, done := s.progress("copying files to the daemon")
	defer done()

	ctx, sending, end := s.watchTransfer(ctx, "copying files to the daemon")
	defer end()
	var copied int64
	read := func(n int) {
		sending()
		copied += int64(n)
		update(copied, total)
	}
	send := func(place string, which []int) error {
		r, w := io.Pipe()
		go func() { w.CloseWithError(s.writeArchive(ctx, w, place, volumes, which, read)) }()
		err := s.d.CopyToContainer(ctx, s.container, place, r, container.CopyToContainerOptions{})
		r.CloseWithError(errors.New("the daemon takes no more")) // so that the writer ends
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return s.d.explain(err, "copying files to the daemon")
	}
	if !s.d.Podman() {
		// In the root each volume's own directory is an entry, and gets its owner.
		return send("/", missing)
	}
	// Podman does not see a volume from the directory above it.
	for _, i := range missing {
		if err := send(fillPath(i), []int{i}); err != nil {
			return err
		}
	}
	return nil
}

// watchTransfer ends a context when a transfer stands still: none is too long,
// but one that does is a daemon that hangs. sending is to be called whenever
// something was sent, end in any case.
func (s *start) watchTransfer(parent context.Context, doing string) (ctx context.Context, sending, end func()) {
	ctx, cancel := context.WithCancelCause(parent)
	stalled := time.AfterFunc(stallTime, func() {
		cancel(fault.New(fault.Failed, "%s has stood still for %v", doing, stallTime).
			WithHint("look at the daemon and at the network to it (%s)", s.d.Endpoint))
	})
	return ctx, func() { stalled.Reset(stallTime) }, func() {
		stalled.Stop()
		cancel(nil)
	}
}

// unfilled lists the volumes that lack their files.
func (s *start) unfilled(ctx context.Context, volumes []*volume) ([]int, error) {
	var missing []int
	for i, v := range volumes {
		asked, cancel := s.d.limit(ctx, askTime)
		stat, err := s.d.ContainerStatPath(asked, s.container, fillPath(i))
		err = s.d.explain(err, "looking at a volume")
		cancel()
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, err
		}
		if err != nil || v.writable || !stat.Mtime.Equal(v.mark) {
			missing = append(missing, i)
		}
	}
	return missing, nil
}

// lockVolumes waits until no other run fills one of the volumes that are shared.
func (s *start) lockVolumes(ctx context.Context, volumes []*volume, which []int) (unlock func(), err error) {
	var names []string
	for _, i := range which {
		if !volumes[i].writable {
			names = append(names, volumes[i].name)
		}
	}
	slices.Sort(names) // everybody in the same order
	var all []func()
	unlock = func() {
		for _, u := range all {
			u()
		}
	}
	waiting := sync.OnceFunc(func() { s.log("another eascmd copies the same files; waiting for it") })
	for _, name := range names {
		u, err := s.root.Lock(ctx, name, waiting)
		if err != nil {
			unlock()
			return nil, err
		}
		all = append(all, u)
	}
	return unlock, nil
}

// writeArchive writes the files of volumes as one archive for the directory place
// of a container that has them at fillPath.
func (s *start) writeArchive(ctx context.Context, w io.Writer, place string, volumes []*volume, which []int, read func(n int)) error {
	uid, gid := s.user()
	t := tar.NewWriter(w)
	for _, i := range which {
		v := volumes[i]
		for _, f := range v.files {
			h := v.header(f, strings.TrimPrefix(strings.TrimPrefix(fillPath(i), place), "/"), uid, gid)
			if err := t.WriteHeader(h); err != nil {
				return err
			}
			if h.Typeflag != tar.TypeReg {
				continue
			}
			if err := copyFile(ctx, t, f, !v.writable, read); err != nil {
				return err
			}
		}
	}
	return t.Close()
}

// readFile reads a small file out of the container.
func (s *start) readFile(ctx context.Context, name string, most int64) (string, error) {
	limited, cancel := s.d.limit(ctx, askTime)
	defer cancel()
	r, _, err := s.d.CopyFromContainer(limited, s.container, name)
	if err != nil {
		return "", s.d.explain(err, "reading a file of the container")
	}
	defer r.Close()
	t := tar.NewReader(r)
	if _, err := t.Next(); err != nil {
		return "", s.d.explain(err, "reading a file of the container")
	}
	text, err := io.ReadAll(io.LimitReader(t, most+1))
	return string(text), s.d.explain(err, "reading a file of the container")
}
