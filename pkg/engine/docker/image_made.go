package docker

import (
	"cmp"
	"context"
	"errors"
	"os"
	"strings"

	"github.com/distribution/reference"

	"github.com/openeas/eascmd/internal/fault"
)

// EnvironmentDir is where a data image holds its Python environment.
const EnvironmentDir = "/data/eas/ENV"

// MakeOptions say which image a user has made.
type MakeOptions struct {
	Name string // NAME[:TAG]; one that the daemon has already loses the name
	Base string // empty: the usual one

	// CABundle is a PEM file with certificate authorities that a build trusts.
	// It may be empty.
	CABundle string

	// Env returns a variable of the environment: proxies, and where the
	// registries' credentials are.
	Env func(name string) string

	// Log is told in one line what is done now; Progress starts to show the
	// progress of a transfer, as in Options.
	Log      func(text string)
	Progress func(label string) (update func(done, total int64), done func())
}

func (m *MakeOptions) image(language string) *imageOptions {
	return &imageOptions{
		Language: language, Base: m.Base, CABundle: m.CABundle, Env: m.Env, Log: m.Log, Progress: m.Progress,
	}
}

// Made is an image that was made.
type Made struct {
	Name  string // with its tag
	ID    string // sha256:…, of the image in the daemon
	Layer string // sha256:…, of the uncompressed layer that was added last: the same files, the same layer
	Size  int64  // bytes of all layers
}

// imageName is the name that an image is to have, with its tag.
func imageName(name string) (reference.NamedTagged, error) {
	bad := func(why error) error {
		return fault.New(fault.Usage, "%q is not a name for an image: %w", name, why).
			WithHint("such as scorer-env:1 or registry.example.com/team/scorer-env:1; in lower case")
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, bad(err)
	}
	if _, ok := named.(reference.Digested); ok {
		return nil, bad(errors.New("a digest follows from the content and cannot be given"))
	}
	tagged, ok := reference.TagNameOnly(named).(reference.NamedTagged)
	if !ok {
		return nil, bad(errors.New("it has no tag"))
	}
	return tagged, nil
}

// made describes an image that has just been made.
func (d *Daemon) made(ctx context.Context, name string) (Made, error) {
	ctx, cancel := d.limit(ctx, imageCallTime)
	defer cancel()
	info, err := d.ImageInspect(ctx, name)
	if err != nil {
		return Made{}, d.explain(err, "looking at the image "+name)
	}
	m := Made{Name: name, ID: info.ID, Size: info.Size}
	if n := len(info.RootFS.Layers); n > 0 {
		m.Layer = info.RootFS.Layers[n-1]
	}
	return m, nil
}

// DevOptions say which development image is made.
type DevOptions struct {
	MakeOptions
	Python string // "3.11"; empty: the one that the base's distribution has

	// Executable is the eascmd that goes into the image; empty means the running
	// one. Version is that of the running one: which release fits a daemon with
	// another CPU.
	Executable, Version string
	Warn                func(text, hint string) // as in Options
}

// devLanguage marks development images as such.
const devLanguage = "python-dev"

// MakeDevImage makes an image to make Python environments in: eascmd, a compiler,
// git, and at EnvironmentDir an environment with pip and the SDK.
func (d *Daemon) MakeDevImage(ctx context.Context, o DevOptions) (Made, error) {
	named, err := imageName(o.Name)
	if err != nil {
		return Made{}, err
	}
	r := &recipe{
		language: devLanguage, dockerfile: pythonDevDockerfile,
		data:  recipeData{Environment: EnvironmentDir, Python: o.Python},
		files: []contextFile{{"prepare.sh", []byte(prepare)}},
	}
	if err := r.trust(o.CABundle); err != nil {
		return Made{}, err
	}
	options := o.image(devLanguage)
	tell := Options{Log: o.Log, Warn: o.Warn, Progress: o.Progress}
	program, err := d.program(ctx, programOptions{
		Executable: o.Executable, Version: o.Version, CABundle: o.CABundle, Log: tell.log, Warn: tell.warn, Progress: tell.progress,
	})
	if err != nil {
		return Made{}, err
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return Made{}, fault.New(fault.Failed, "prepare the build of an image: %w", err)
	}
	r.files = append(r.files, contextFile{"eascmd", data})
	base, err := d.haveImage(ctx, wanted{ref: cmp.Or(o.Base, pythonBase(o.Python)), flag: "--base"}, options)
	if err != nil {
		return Made{}, err
	}
	name := reference.FamiliarString(named)
	options.log("building the image " + name + " on " + base.Ref)
	if err := d.buildImage(ctx, r, base, name, options); err != nil {
		return Made{}, err
	}
	return d.made(ctx, name)
}

// pythonBase is the image that has a version of Python, of the same system as the
// usual base where there is one: what is made in it runs there. Without a version
// it is the usual base, whose distribution has a Python.
func pythonBase(version string) string {
	major, minor, _ := strings.Cut(version, ".")
	switch {
	case version == "":
		return defaultBase
	case major == "3" && len(minor) == 1 && minor < "7":
		return "python:" + version + "-slim-bullseye" // the last system that it was made for
	}
	return "python:" + version + "-slim-bookworm"
}
