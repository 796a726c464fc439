package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/engine/docker"
	"github.com/openeas/eascmd/pkg/service"
	"github.com/openeas/eascmd/pkg/ui"
)

func newImageCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "image",
		GroupID: groupDevelop,
		Short:   "Make images for processors in Python",
		Long: `Makes images for processors in Python: data images, which hold a processor's
environment, so that its package holds nothing but code, and development images,
in which environments are made.`,
		Example:     `  eascmd image build -f app.json -t registry.cn-shanghai.aliyuncs.com/team/demo-env:1 --push`,
		Annotations: exits(),
		Args:        noArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImageBuildCommand(a))
	return cmd
}

type imageBuildOptions struct {
	file   string
	env    string
	name   string
	base   string
	push   bool
	dev    bool
	python string
	given  func(flag string) bool
}

func newImageBuildCommand(a *app) *cobra.Command {
	var opts imageBuildOptions
	cmd := &cobra.Command{
		Use:   "build [-f SERVICE.JSON | --env DIR | --dev] -t NAME",
		Short: "Put a Python environment into an image",
		Long: `Puts the environment of a Python processor into an image, at /data/eas/ENV, where
a service with this image as its data_image finds it. Environments of every kind
are made independent of this machine while they are sent, as "pysdk pack" does;
nothing in them changes, and nothing is written on this machine. The same files
make the same layer.

The environment is ENV in the directory that the description's processor_path
names, or the one of --env. The description is service.json or app.json of the
current directory where -f names none. Without -t the image gets the name that
the description's data_image has.

With --dev it is a development image: eascmd, a compiler, git, and at /data/eas/ENV
an environment with pip and the allspark SDK. It is built on the Python image of
Docker Hub for --python, and else with the Python of the base's distribution; on a
base with conda, mamba or micromamba that makes the environment.`,
		Example: `  eascmd image build -f app.json -t demo-env:1
  eascmd image build -t registry.cn-shanghai.aliyuncs.com/team/demo-env:1 --push
  eascmd image build --dev --python 3.11 -t python-dev:3.11`,
		Annotations: exits(fault.Description, fault.Processor, fault.Missing, fault.Remote, fault.Interrupted),
		Args:        noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.given = cmd.Flags().Changed
			return opts.run(cmd.Context(), a)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&opts.file, "file", "f", "", "service `description` (default: service.json or app.json)")
	flags.StringVar(&opts.env, "env", "", "the environment's `directory`, in place of a description")
	flags.StringVarP(&opts.name, "tag", "t", "", "`name` of the image, with its registry and its tag (default: the description's data_image)")
	flags.StringVar(&opts.base, "base", "", "`image` to build on (default: debian:12-slim)")
	flags.BoolVar(&opts.push, "push", false, "push the image to its registry")
	flags.BoolVar(&opts.dev, "dev", false, "make a development image")
	flags.StringVar(&opts.python, "python", "", "`version` of Python for --dev, such as 3.11")
	// The global -t gives its letter away here.
	flags.StringVar(&a.stsToken, "sts-token", "", "security `token` of a temporary access key; - reads a line of standard input")
	_ = flags.MarkHidden("sts-token")
	return cmd
}

// pythonVersion is what --python takes.
var pythonVersion = regexp.MustCompile(`^3\.\d{1,2}(\.\d{1,2})?$`)

func (o *imageBuildOptions) check() error {
	switch {
	case o.dev && (o.file != "" || o.env != ""):
		return fault.New(fault.Usage, "--dev makes an image without an environment of yours: leave --file and --env out, or --dev")
	case o.file != "" && o.env != "":
		return fault.New(fault.Usage, "--file and --env both name an environment: give one of them")
	case o.python != "" && !o.dev:
		return fault.New(fault.Usage, "--python is for --dev: an environment has its Python already")
	case o.python != "" && !pythonVersion.MatchString(o.python):
		return fault.New(fault.Usage, "--python %s: a version is written like 3.11", o.python)
	case o.dev && o.name == "":
		return fault.New(fault.Usage, "the image needs a name").WithHint("-t python-dev:1")
	}
	return nil
}

func (o *imageBuildOptions) run(ctx context.Context, a *app) error {
	if err := o.check(); err != nil {
		return err
	}
	description := ""
	if !o.dev && o.env == "" {
		var err error
		if description, err = o.fromDescription(); err != nil {
			return err
		}
	}
	if o.name == "" {
		return fault.New(fault.Usage, "the image needs a name").
			WithHint("-t registry.cn-shanghai.aliyuncs.com/NAMESPACE/NAME:TAG, or data_image in the description")
	}
	if o.push {
		if err := docker.CanPush(o.name); err != nil {
			return err
		}
	}
	daemon, err := docker.Connect(ctx, docker.ConnectOptions{})
	if err != nil {
		return err
	}
	defer daemon.Close()
	options := docker.MakeOptions{
		Name: o.name, Base: o.base, CABundle: a.caBundle, Env: os.Getenv,
		Log: func(text string) { a.term.Info("%s", ui.Printable(text)) },
		Progress: func(label string) (func(done, total int64), func()) {
			p := a.term.Progress(label)
			return p.Update, p.Done
		},
	}
	made, err := o.make(ctx, a, daemon, options)
	if err != nil {
		return err
	}
	a.term.OK("Made the image [%s]", made.Name)
	result := madeImage{Image: made.Name, ID: made.ID, Layer: made.Layer, Size: made.Size}
	if o.push {
		if result.Digest, err = daemon.PushImage(ctx, options); err != nil {
			return err
		}
		a.term.OK("Pushed [%s]", made.Name)
	}
	if err := a.print(result); err != nil {
		return err
	}
	o.advise(a, made.Name, description)
	return nil
}

// fromDescription takes from the description what was not given, and returns
// where it is.
func (o *imageBuildOptions) fromDescription() (path string, err error) {
	path = o.file
	for _, name := range [...]string{"service.json", "app.json"} {
		if _, err := os.Stat(name); path == "" && err == nil {
			path = name
		}
	}
	if path == "" {
		return "", fault.New(fault.Usage, "there is neither a service.json nor an app.json here").
			WithHint("name the description with -f, or the environment with --env")
	}
	d, err := service.Load(path)
	if err != nil {
		return "", err
	}
	if o.name == "" {
		o.name = d.DataImage
	}
	if d.ProcessorType != "python" {
		return "", fault.New(fault.Description, "%s: processor_type is %q, and only processors in Python have an environment", path, d.ProcessorType)
	}
	if strings.Contains(d.ProcessorPath, "://") {
		return "", fault.New(fault.Description, "%s: processor_path is no directory of this machine", path).WithHint("name the environment with --env DIR")
	}
	for _, dir := range [...]string{d.ProcessorPath, filepath.Join(filepath.Dir(path), d.ProcessorPath)} {
		env := filepath.Join(dir, "ENV")
		if info, err := os.Stat(env); err == nil && info.IsDir() {
			o.env = env
			return path, nil
		}
	}
	// A package, or a program whose environment lies beside it.
	if beside := filepath.Join(filepath.Dir(path), "ENV"); isDir(beside) {
		o.env = beside
		return path, nil
	}
	return "", fault.New(fault.Description, "%s: there is no ENV in the directory of processor_path [%s], and none beside the description", path, d.ProcessorPath).
		WithHint("name the environment with --env DIR; `eascmd pysdk init` makes a project with one, and with --env-only one for this project")
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// make makes the image.
func (o *imageBuildOptions) make(ctx context.Context, a *app, d *docker.Daemon, options docker.MakeOptions) (docker.Made, error) {
	if o.dev {
		return d.MakeDevImage(ctx, docker.DevOptions{
			MakeOptions: options, Python: o.python, Version: versionOf(buildInfo()).Version,
			Warn: func(text, hint string) {
				a.term.Warn("%s", ui.Printable(text))
				a.term.Hint("%s", ui.Printable(hint))
			},
		})
	}
	if d.Arch() != runtime.GOARCH {
		return docker.Made{}, fault.New(fault.Missing, "the environment is for this machine's CPU, %s, and the Docker daemon's is %s", runtime.GOARCH, d.Arch()).
			WithHint("make environment and image on a machine with that CPU: `eascmd image build --dev` makes an image to do so in")
	}
	tree, err := a.portableTree(ctx, o.env)
	if err != nil {
		return docker.Made{}, err
	}
	return d.MakeDataImage(ctx, options, tree.Entries)
}

// advise tells how the image is used.
func (o *imageBuildOptions) advise(a *app, name, description string) {
	if o.dev {
		a.term.Info("work in it:  docker run --rm -it -v \"$PWD:/data/eas/work\" %s", name)
		return
	}
	a.term.Info(`in the description:  "data_image": "%s"`, name)
	if description == "" {
		description = "SERVICE.JSON"
	}
	a.term.Info("try it:  eascmd test %s --engine docker", shellQuote(description))
}

// madeImage is the result of image build.
type madeImage struct {
	Image  string `json:"image"`
	ID     string `json:"id"`
	Layer  string `json:"layer"` // of the environment, uncompressed: the same files have the same
	Size   int64  `json:"size"`  // bytes
	Digest string `json:"digest,omitempty"`
}

// View lists what identifies the image.
func (m madeImage) View() ui.View {
	details := ui.Details{
		{Key: "Image", Value: m.Image},
		{Key: "ID", Value: m.ID},
		{Key: "Size", Value: ui.Bytes(m.Size)},
	}
	if m.Digest != "" {
		details = append(details, ui.Detail{Key: "Digest", Value: m.Digest})
	}
	return details
}
