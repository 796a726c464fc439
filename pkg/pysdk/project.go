package pysdk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/templates"
)

// Project is a processor's project with its environment.
type Project struct {
	Directory   string      `json:"directory"`
	Files       []string    `json:"files"` // that were written, Directory included
	Environment Environment `json:"environment"`
}

// requirementsName is the project's file of requirements.
const requirementsName = "requirements.txt"

// NewProject makes the environment in opts.Dir and writes the project of the
// template "python" beside it, for a service called name (empty: made from the
// directory's name). A file of requirements takes the place of the template's.
// A directory that is not empty is an error of kind Usage. When NewProject
// fails the directory is as it was.
func NewProject(ctx context.Context, name string, opts Options) (_ *Project, err error) {
	template, err := templates.Find("python")
	if err != nil {
		return nil, err
	}
	if err := CheckProject(opts, name); err != nil {
		return nil, err
	}
	project := templates.Options{Name: name}
	if opts.Requirements != "" {
		data, err := os.ReadFile(opts.Requirements)
		if err != nil {
			return nil, fault.New(fault.Usage, "requirements: %w", err)
		}
		project.Replace = map[string][]byte{requirementsName: data}
	}
	made := missing(opts.Dir)
	env, err := Create(ctx, opts)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = removeAll(env.Path)
			removeDirs(made)
		}
	}()
	opts.step("Installing python processor example app.py")
	opts.step("Installing python service example app.json")
	files, err := template.Write(opts.Dir, project)
	if err != nil {
		return nil, err
	}
	return &Project{Directory: opts.Dir, Files: files, Environment: *env}, nil
}

// CheckProject returns the errors of NewProject that can be known before
// anything is looked for or asked.
func CheckProject(opts Options, name string) error {
	if err := (&opts).check(); err != nil {
		return err
	}
	if _, err := (templates.Options{Name: name}).ServiceName(opts.Dir); err != nil {
		return err
	}
	return refuseFull(opts.Dir)
}

// refuseFull fails where a directory holds anything but what a killed call has
// left.
func refuseFull(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.New(fault.Usage, "make a project in %s: %w", dir, err)
	}
	for _, e := range entries {
		if !IsLeftover(e.Name()) {
			return fault.New(fault.Usage, "directory %s is not empty: it has %s", dir, e.Name()).
				WithHint("choose a directory that is empty or does not exist, or make only an environment in this one: --env-only")
		}
	}
	return nil
}

// missing lists what makeDirs is going to make of a directory.
func missing(dir string) (dirs []string) {
	for d := filepath.Clean(dir); !exists(d) && filepath.Dir(d) != d; d = filepath.Dir(d) {
		dirs = append(dirs, d)
	}
	return dirs
}
