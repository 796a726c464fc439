package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pysdk"
	"github.com/openeas/eascmd/pkg/pysdk/python"
	"github.com/openeas/eascmd/pkg/store"
	"github.com/openeas/eascmd/pkg/ui"
)

type pysdkInitOptions struct {
	name         string
	python       string
	backend      pysdk.Backend
	requirements string
	sdk          string
	envOnly      bool
}

func newPysdkInitCommand(a *app) *cobra.Command {
	opts := pysdkInitOptions{backend: pysdk.Auto}
	cmd := &cobra.Command{
		Use:         "init DIRECTORY",
		Annotations: exits(fault.Missing, fault.Remote, fault.Interrupted),
		Short:       "Write a new processor in Python with its environment",
		Long: `Writes a project that runs as it stands: app.py, app.json, requirements.txt,
.easignore, a test request, and in ENV/ a Python with pip and the package allspark.
The directory must be empty or not exist. Nothing is left of it when this fails.
With --env-only it is a project that is there, such as a fresh clone: it gets its
ENV/, with the packages that its requirements.txt lists.

The environment is made by one of these back ends:

  copy   a private copy of an interpreter of this machine, with the libraries
         that it needs; without network (Linux)
  conda  conda, mamba or micromamba, with the channels they are set up for
  uv     uv, which fetches an interpreter where none of the version is here
  venv   the interpreter's module venv

auto is copy where an interpreter of the version is here, else the first of the
others that there is. Interpreters are looked for on PATH, in pyenv, conda, uv
and the usual directories. Without --python the version is that of python3 on
PATH, else the newest that is here; on a terminal it is asked for.

Packages are installed by the environment's own pip, with its settings, the
proxies of the environment and --ca-bundle.`,
		Example: `  eascmd pysdk init ./demo
  eascmd pysdk init ./demo --python 3.11 --requirements ./requirements.txt
  eascmd pysdk init ./clone --env-only
  eascmd pysdk init ./demo --sdk ./allspark-0.15.0-py2.py3-none-any.whl`,
		Args: needArgs("the directory"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveFilterDirs
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return opts.run(cmd.Context(), a, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.python, "python", "", "`version` of Python, such as 3.11 or 3.11.7 (default: that of python3 on PATH)")
	flags.Var(&opts.backend, "backend", "what makes the environment: "+strings.Join(pysdk.Backends(), ", "))
	flags.StringVar(&opts.requirements, "requirements", "", "install the packages that this `file` lists; it becomes the project's requirements.txt")
	flags.StringVar(&opts.sdk, "sdk", "bundled", "where allspark comes from: bundled, or the `path` or address of a wheel or source archive")
	flags.StringVar(&opts.name, "name", "", "`name` of the service (default: made from the directory's name)")
	flags.BoolVar(&opts.envOnly, "env-only", false, "make only ENV/, in a project that is there")
	// It fails only for a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("backend", completeWords(pysdk.Backends))
	return cmd
}

func (o pysdkInitOptions) run(ctx context.Context, a *app, dir string) error {
	source, err := o.source(a)
	if err != nil {
		return err
	}
	opts := pysdk.Options{
		Dir: dir, Version: o.python, Backend: o.backend, Requirements: o.requirements,
		SDK: source, CABundle: a.caBundle, Creator: versionOf(buildInfo()).Version,
		Log:  a.term.Err,
		Step: func(text string) { a.term.Info("[PYSDK] %s", ui.Printable(text)) },
		Warn: func(text string) { a.term.Warn("%s", ui.Printable(text)) },
	}
	if err := o.check(&opts); err != nil {
		return err
	}
	if opts.Version == "" && a.term.CanPrompt() && !a.yes {
		if opts.Version, err = a.askPythonVersion(ctx); err != nil {
			return err
		}
	}
	bar := a.term.Progress("copying Python")
	defer bar.Done()
	opts.Progress = func(done, total int64) {
		bar.Update(done, total)
		if done == total {
			bar.Done()
		}
	}
	var project *pysdk.Project
	if o.envOnly {
		env, err := pysdk.Create(ctx, opts)
		if err != nil {
			return err
		}
		project = &pysdk.Project{Directory: dir, Environment: *env}
	} else if project, err = pysdk.NewProject(ctx, o.name, opts); err != nil {
		return err
	}
	if err := a.print(pysdkProject(*project)); err != nil {
		return err
	}
	a.sayNext(dir, project)
	return nil
}

// check refuses what can be refused before anything is asked, and takes the
// requirements of a project that is there.
func (o pysdkInitOptions) check(opts *pysdk.Options) error {
	if !o.envOnly {
		return pysdk.CheckProject(*opts, o.name)
	}
	if o.name != "" {
		return fault.New(fault.Usage, "--name is for a new project, and --env-only is for one that is there: give one of them")
	}
	if info, err := os.Stat(opts.Dir); err != nil || !info.IsDir() {
		return fault.New(fault.Usage, "there is no project %s", opts.Dir).WithHint("leave --env-only out to make one")
	}
	listed := filepath.Join(opts.Dir, "requirements.txt")
	if info, err := os.Stat(listed); opts.Requirements == "" && err == nil && info.Mode().IsRegular() {
		opts.Requirements = listed
	}
	return nil
}

// source returns where allspark comes from.
func (o pysdkInitOptions) source(a *app) (pysdk.Source, error) {
	if o.sdk == "bundled" {
		return pysdk.Bundled()
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	return pysdk.ParseSource(o.sdk, store.HTTPOptions{
		CacheDir: filepath.Join(cache, "downloads"),
		CABundle: a.caBundle,
		Warn:     func(text string) { a.term.Warn("%s", ui.Printable(text)) },
	}), nil
}

// askPythonVersion asks for the version of Python until it gets one.
func (a *app) askPythonVersion(ctx context.Context) (string, error) {
	standard, err := pysdk.Default(ctx)
	if err != nil {
		return "", err
	}
	for {
		version, err := a.term.Line(ctx, "[PYSDK] Please choose your python version [enter for "+standard+"]", "name it with --python")
		if err != nil {
			return "", err
		}
		if version == "" {
			return standard, nil
		}
		err = python.CheckVersion(version)
		if err == nil {
			return version, nil
		}
		a.term.Info("%v; %s", err, fault.HintOf(err))
	}
}

// sayNext names the commands that come next.
func (a *app) sayNext(dir string, p *pysdk.Project) {
	env := p.Environment
	made := dir
	if len(p.Files) == 0 {
		made = filepath.Join(dir, pysdk.EnvName)
	}
	a.term.OK("Made %s with Python %s (%s)", made, env.Python, env.Backend)
	if len(p.Files) == 0 {
		return // whoever has the project knows
	}
	a.term.Info("Next:")
	if filepath.Clean(dir) != "." {
		a.term.Info("  cd %s", shellQuote(dir))
	}
	a.term.Info("  eascmd test app.json --data @request.txt")
	if env.Pip {
		a.term.Info("  ENV/bin/python -m pip install -r requirements.txt")
	}
	a.term.Info("  eascmd pysdk pack .")
	a.term.Info("  eascmd create app.json")
}

// pysdkProject is the result of pysdk init.
type pysdkProject pysdk.Project

// View lists what was written.
func (p pysdkProject) View() ui.View {
	return ui.Text(strings.Join(append([]string{filepath.Join(p.Directory, pysdk.EnvName)}, p.Files...), "\n"))
}
