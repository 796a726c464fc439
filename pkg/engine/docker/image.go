package docker

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/filters"
	dockerimage "github.com/docker/docker/api/types/image"

	"github.com/openeas/eascmd/internal/fault"
)

// defaultBase is what the built image begins with. Its C library is older than
// that of most systems that processors are built on for EAS, and still served.
const defaultBase = "debian:12-slim"

// HostsDir is where the built image has its host, under the name that
// hosts.CPPName or hosts.JavaName gives it.
const HostsDir = "/usr/lib/eascmd/hosts"

// The labels of the images that are built here.
const (
	imageLabel       = "com.github.openeas.eascmd.image"       // the language that it is for
	baseLabel        = "com.github.openeas.eascmd.base"        // the base's name, as in messages
	recipeLabel      = "com.github.openeas.eascmd.recipe"      // the hash of what it is built from, but for the base
	authoritiesLabel = "com.github.openeas.eascmd.authorities" // the hash of the certificate authorities, or "none"
	buildLabel       = "com.github.openeas.eascmd.build"       // the build that made it, or that it is a step of
)

// How long the daemon may take for what it only looks up or removes, and how
// long a build or a pull may say nothing.
const (
	imageCallTime = 30 * time.Second
	imageQuiet    = 10 * time.Minute
)

// imageOptions say which image a container is to be made from.
type imageOptions struct {
	// Language is what the processor is written in: "cpp", "java" or "python".
	Language string

	// Image is used as it is, where it is set, and Data, the description's
	// data_image, otherwise. Otherwise an image is built on Base, or on the usual
	// base where that is empty; nothing is built where Plain is set.
	Image, Data, Base string
	Plain             bool

	// Host is the host for Java processors, where this machine has it: an image
	// that is built then needs no compiler. It may be empty.
	Host string

	// DataAuth is what Data is pulled with, the description's dockerAuth: base64
	// of user:password. It may be empty.
	DataAuth string

	// CABundle is a PEM file with certificate authorities that a build and the
	// image that comes of it trust. It may be empty.
	CABundle string

	// Env returns a variable of the environment: proxies, and where the
	// registries' credentials are.
	Env func(name string) string

	// Log is told in one line what is done now.
	Log func(text string)

	// Progress starts to show the progress of a transfer.
	Progress func(label string) (update func(done, total int64), done func())

	// Quiet is how long a build or a pull may say nothing; 0 is the usual time.
	Quiet time.Duration
}

func (o *imageOptions) log(text string) {
	if o.Log != nil {
		o.Log(text)
	}
}

func (o *imageOptions) env(name string) string {
	if o.Env == nil {
		return ""
	}
	return o.Env(name)
}

func (o *imageOptions) quiet() time.Duration { return cmp.Or(o.Quiet, imageQuiet) }

// image is one that the daemon has.
type image struct {
	Ref string // its name, for messages
	ID  string

	// Of its configuration:
	Env              []string
	OS, Architecture string
	Runs             bool // it has a command
}

// ensureImage returns the image that a container is to be made from. It is
// pulled or built where the daemon does not have it. What is missing for that is
// an error of kind Missing.
func (d *Daemon) ensureImage(ctx context.Context, o imageOptions) (image, error) {
	switch {
	case o.Image != "":
		return d.haveImage(ctx, wanted{ref: o.Image, flag: "--image"}, &o)
	case o.Data != "":
		return d.haveImage(ctx, wanted{ref: o.Data, flag: "data_image", auth: o.DataAuth}, &o)
	case o.Plain:
		return d.haveImage(ctx, wanted{ref: cmp.Or(o.Base, defaultBase), flag: "--base-image"}, &o)
	}
	r, err := newRecipe(&o, d.Arch())
	if err != nil {
		return image{}, err
	}
	want := wanted{ref: cmp.Or(o.Base, defaultBase), flag: "--base-image"}
	base, err := d.findImage(ctx, want)
	if errdefs.IsNotFound(err) {
		// Once an image is built, its base is only needed to see whether that has
		// changed.
		if earlier, ok := d.builtEarlier(ctx, want, r); ok {
			return earlier, nil
		}
		base, err = d.haveImage(ctx, want, &o)
	}
	if err != nil {
		return image{}, err
	}
	tag := r.tag(base.ID)
	built, err := d.findImage(ctx, wanted{ref: tag})
	if !errdefs.IsNotFound(err) {
		return built, err
	}
	unlock, err := lockBuild(ctx, tag, &o)
	if err != nil {
		return image{}, d.explain(err, "waiting for the image "+tag)
	}
	defer unlock()
	if built, err = d.findImage(ctx, wanted{ref: tag}); !errdefs.IsNotFound(err) {
		return built, err
	}
	o.log("building the image " + tag + " on " + base.Ref + ", once")
	if err := d.buildImage(ctx, r, base, tag, &o); err != nil {
		return image{}, err
	}
	d.removeOlder(ctx, r, want, tag)
	if built, err = d.findImage(ctx, wanted{ref: tag}); errdefs.IsNotFound(err) {
		return image{}, fault.New(fault.Failed, "the image %s was built, and is gone: %w", tag, err).
			WithHint("run it again; something on this daemon removes images, such as `docker image prune -a`")
	}
	return built, err
}

// wanted is an image by its name, and the flag that has named it or could name
// another. It is pulled with auth, base64 of user:password, where that is set.
type wanted struct{ ref, flag, auth string }

// family is the name as people write it: debian:12-slim, not
// docker.io/library/debian:12-slim.
func (w wanted) family() string {
	named, err := reference.ParseNormalizedNamed(w.ref)
	if err != nil {
		return w.ref // an image ID
	}
	return reference.FamiliarString(reference.TagNameOnly(named))
}

// haveImage returns an image that the daemon has or that it pulls.
func (d *Daemon) haveImage(ctx context.Context, want wanted, o *imageOptions) (image, error) {
	img, err := d.findImage(ctx, want)
	if !errdefs.IsNotFound(err) {
		return img, err
	}
	if err := d.pullImage(ctx, want, o); err != nil {
		return image{}, err
	}
	if img, err = d.findImage(ctx, want); errdefs.IsNotFound(err) {
		return image{}, fault.New(fault.Failed, "the image %s was pulled, and is gone: %w", want.ref, err).
			WithHint("run it again; something on this daemon removes images, such as `docker image prune -a`")
	}
	return img, err
}

// findImage returns an image that the daemon has and that can run here. The
// error is one of errdefs.IsNotFound where it does not have it.
func (d *Daemon) findImage(ctx context.Context, want wanted) (image, error) {
	ctx, cancel := d.limit(ctx, imageCallTime)
	defer cancel()
	info, err := d.ImageInspect(ctx, want.ref)
	switch {
	case errdefs.IsNotFound(err):
		return image{}, err
	case errdefs.IsInvalidArgument(err):
		return image{}, badName(want, err)
	case err != nil:
		return image{}, d.explain(err, "looking for the image "+want.ref)
	}
	img := image{Ref: want.ref, ID: info.ID, OS: info.Os, Architecture: info.Architecture}
	if info.Config != nil {
		img.Env = info.Config.Env
		img.Runs = len(info.Config.Cmd)+len(info.Config.Entrypoint) > 0
	}
	return img, d.suits(img, want)
}

// suits says whether a container of the image can run here.
func (d *Daemon) suits(img image, want wanted) error {
	if img.OS != "" && img.OS != "linux" {
		return fault.New(fault.Missing, "the image %s is for %s, and processors are Linux programs", img.Ref, systemName(img.OS)).
			WithHint("name a Linux image with %s; where Docker Desktop runs Windows containers, switch it to Linux containers", want.flag)
	}
	if img.Architecture != "" && img.Architecture != d.Arch() {
		return fault.New(fault.Missing, "the image %s is for the CPU %s, and the Docker daemon's is %s", img.Ref, img.Architecture, d.Arch()).
			WithHint("pull the one for this CPU (docker pull --platform linux/%s %s), or name another with %s", d.Arch(), img.Ref, want.flag)
	}
	return nil
}

// systemName is the name of an operating system as people write it.
func systemName(goos string) string {
	if goos == "windows" {
		return "Windows"
	}
	return goos
}

// badName is the error for what is no image name at all.
func badName(want wanted, err error) error {
	return fault.New(fault.Usage, "%q is not the name of an image: %w", want.ref, err).
		WithHint("give %s a name such as debian:12-slim, HOST/NAME:TAG or NAME@sha256:…, or an image ID", want.flag)
}

// builtEarlier returns the newest image built by a recipe on a base that the
// daemon does not have any more. It says no where anything is in the way.
func (d *Daemon) builtEarlier(ctx context.Context, want wanted, r *recipe) (image, bool) {
	list, err := d.ownImages(ctx, imageLabel+"="+r.language, baseLabel+"="+want.family(), recipeLabel+"="+r.hash())
	list = slices.DeleteFunc(list, func(s dockerimage.Summary) bool { return len(s.RepoTags) == 0 })
	if err != nil || len(list) == 0 {
		return image{}, false
	}
	newest := slices.MaxFunc(list, func(a, b dockerimage.Summary) int { return cmp.Compare(a.Created, b.Created) })
	img, err := d.findImage(ctx, wanted{ref: newest.RepoTags[0], flag: want.flag})
	return img, err == nil
}

// ownImages lists the images with all of some labels.
func (d *Daemon) ownImages(ctx context.Context, labels ...string) ([]dockerimage.Summary, error) {
	ctx, cancel := d.limit(ctx, imageCallTime)
	defer cancel()
	by := filters.NewArgs()
	for _, label := range labels {
		by.Add("label", label)
	}
	list, err := d.ImageList(ctx, dockerimage.ListOptions{Filters: by})
	return list, d.explain(err, "listing the images that eascmd has built")
}
