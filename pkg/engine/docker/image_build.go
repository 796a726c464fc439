package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/gofrs/flock"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/store"
)

// stepMark begins the lines of a build that are shown to the user.
const stepMark = "eascmd: "

// How long what a build leaves may take to go away, and how old what another
// build has left must be, so that it is none that goes on.
const (
	cleanTime = 20 * time.Second
	abandoned = 2 * time.Hour
)

// lockBuild waits until no other program of this user builds the same image. Two
// at the same time would do no harm, and every step twice: where there is no
// place for a lock, there is none.
func lockBuild(ctx context.Context, tag string, o *imageOptions) (unlock func(), err error) {
	none := func() {}
	cache, err := os.UserCacheDir()
	if err != nil {
		return none, nil
	}
	dir := filepath.Join(cache, "eascmd", "images")
	if os.MkdirAll(dir, 0o755) != nil {
		return none, nil
	}
	l := flock.New(filepath.Join(dir, strings.ReplaceAll(tag, ":", "-")+".lock"))
	got, err := l.TryLock()
	if err == nil && !got {
		o.log("another eascmd builds the image " + tag + "; waiting for it")
		_, err = l.TryLockContext(ctx, 100*time.Millisecond)
	}
	switch {
	case ctx.Err() != nil:
		l.Close()
		return nil, context.Cause(ctx)
	case err != nil:
		l.Close()
		return none, nil
	}
	return func() { l.Close() }, nil
}

// buildImage builds an image from a recipe and a base, under a name. It leaves
// nothing else behind, however it ends.
func (d *Daemon) buildImage(ctx context.Context, r *recipe, base image, tag string, o *imageOptions) error {
	name := rand.Text()
	archive, err := r.context(base.ID, name)
	if err != nil {
		return fault.New(fault.Failed, "prepare the build of an image: %w", err)
	}
	proxies := d.buildProxies(o)
	if proxies.unreachable != "" {
		o.log("the proxy " + proxies.unreachable + " is this machine's own, which containers of this daemon do not reach")
	}
	said := output{line: func(line string) {
		if text, ok := strings.CutPrefix(line, stepMark); ok {
			o.log(text)
		}
	}}
	err = d.runBuild(ctx, build.ImageBuildOptions{
		Version: build.BuilderV1, // the other one needs a session with us
		Tags:    []string{tag},
		Labels: map[string]string{
			imageLabel: r.language, baseLabel: wanted{ref: base.Ref}.family(), recipeLabel: r.hash(), authoritiesLabel: r.authorities,
		},
		Context: archive, Dockerfile: "Dockerfile", BuildArgs: proxies.args, NetworkMode: proxies.network,
		Remove: true, ForceRemove: true,
	}, o, &said)
	d.cleanBuild(ctx, name, err != nil)
	if err != nil {
		return d.explainBuild(ctx, err, &said, r.language, base, proxies)
	}
	return nil
}

// fullDiskQuiet is how long a build may say nothing that has said that there is
// no room.
const fullDiskQuiet = 30 * time.Second

// runBuild has the daemon build, and follows what the builder prints.
func (d *Daemon) runBuild(parent context.Context, opts build.ImageBuildOptions, o *imageOptions, said *output) error {
	ctx, watch, stop := newWatch(parent, o.quiet())
	defer stop()
	resp, err := d.ImageBuild(ctx, opts.Context, opts)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	defer resp.Body.Close()
	err = readMessages(ctx, resp.Body, watch, func(m *message) {
		said.write(m.Stream)
		if tellsFullDisk(m.Stream) {
			// apt-get, for one, may hang then.
			watch.hurry(fullDiskQuiet)
		}
	})
	said.end()
	return err
}

// cleanBuild removes the steps of a build that are no part of what it made, and
// its containers where it failed: one that is broken off is still at work when
// our call has ended. What old builds have left goes too.
func (d *Daemon) cleanBuild(parent context.Context, name string, failed bool) {
	ctx, cancel := d.limit(context.WithoutCancel(parent), cleanTime)
	defer cancel()
	label := buildLabel + "=" + name
	for {
		left := false
		if failed {
			left = d.removeContainers(ctx, label)
		}
		left = d.removeDangling(ctx, label, time.Time{}) || left
		if !left {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond): // the daemon tells nobody when a step is gone
		}
	}
	d.removeDangling(ctx, buildLabel, time.Now().Add(-abandoned))
}

// removeContainers removes those of a build, and reports whether there were any.
func (d *Daemon) removeContainers(ctx context.Context, label string) bool {
	list, err := d.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", label))})
	if err != nil {
		return false
	}
	for _, c := range list {
		_ = d.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}) // else again
	}
	return len(list) > 0
}

// removeDangling removes the images without a name and with a label, if they
// were made before a time that is not zero. It reports whether some stayed.
func (d *Daemon) removeDangling(ctx context.Context, label string, before time.Time) (stayed bool) {
	list, err := d.ImageList(ctx, dockerimage.ListOptions{Filters: filters.NewArgs(
		filters.Arg("dangling", "true"), filters.Arg("label", label))})
	if err != nil {
		return false
	}
	for _, img := range list {
		if !before.IsZero() && time.Unix(img.Created, 0).After(before) {
			continue
		}
		_, err := d.ImageRemove(ctx, img.ID, dockerimage.RemoveOptions{PruneChildren: true})
		stayed = stayed || (err != nil && !errdefs.IsNotFound(err))
	}
	return stayed
}

// removeOlder removes the images that were built earlier for the same language,
// base and authorities and that nothing uses. It is no failure where one stays.
func (d *Daemon) removeOlder(ctx context.Context, r *recipe, base wanted, tag string) {
	ctx, cancel := d.limit(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	list, err := d.ownImages(ctx, imageLabel+"="+r.language, baseLabel+"="+base.family(), authoritiesLabel+"="+r.authorities)
	if err != nil {
		return
	}
	for _, img := range list {
		if slices.Contains(img.RepoTags, tag) {
			continue
		}
		for _, older := range img.RepoTags {
			if strings.HasPrefix(older, "eascmd-"+r.language+":") {
				_, _ = d.ImageRemove(ctx, older, dockerimage.RemoveOptions{PruneChildren: true}) // the daemon keeps what is in use
			}
		}
	}
}

// explainBuild says why an image could not be built.
func (d *Daemon) explainBuild(ctx context.Context, err error, said *output, language string, base image, p *buildProxies) error {
	doing := "building an image on " + base.Ref
	if ctx.Err() != nil {
		return d.explain(context.Cause(ctx), doing)
	}
	tail := ""
	if len(said.tail) > 0 {
		tail = "\n  " + store.Mask(strings.Join(said.tail, "\n  ")) // a proxy may have a password
	}
	quiet, ok := errors.AsType[*quietError](err)
	if ok && tellsFullDisk(said.all.String()) {
		return fault.New(fault.Failed, "%s: the Docker daemon's disk is full: %w%s", doing, quiet, tail).WithHint("%s", d.freeSpace())
	}
	if ok {
		return fault.New(fault.Missing, "%s: %w%s", doing, quiet, tail).
			WithHint("the network of its containers or the daemon itself hangs: `docker run --rm %s true` tries the latter, and %s", base.Ref, p.advice(d))
	}
	failure, ok := errors.AsType[streamError](err)
	if !ok {
		return d.explain(err, doing)
	}
	kind, why, hint := d.diagnoseBuild(said.all.String()+string(failure), language, base, p)
	if language == devLanguage {
		// Its base has another flag, and it is run in no image.
		hint, _, _ = strings.Cut(strings.ReplaceAll(hint, "--base-image", "--base"), ", or --image to run in")
	}
	return fault.New(kind, "%s: %s: %w%s", doing, why, streamError(store.Mask(string(failure))), tail).WithHint("%s", hint)
}
