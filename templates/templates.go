// Package templates holds the projects that `eascmd init` and `eascmd pysdk
// init` write, one directory a language, and writes them: whole or not at all.
package templates

import (
	"embed"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

//go:embed all:cpp all:java all:python
var projects embed.FS

// Template is a project that can be written.
type Template struct {
	Name    string   `json:"name"`    // what `eascmd init` takes
	Summary string   `json:"summary"` // one line for people
	Next    []string `json:"-"`       // the commands that build and run the project, in order
}

// List returns the templates in the order in which they are shown.
func List() []Template {
	return []Template{{
		Name:    "cpp",
		Summary: "C/C++ processor with Makefile, CMakeLists.txt, a model and a test request",
		Next:    []string{"make", "eascmd test service.json --data @request.txt"},
	}, {
		Name:    "java",
		Summary: "Java processor with a Maven project that makes one jar, a unit test, a model and a test request",
		Next:    []string{"mvn package", "eascmd test service.json --data @request.txt"},
	}, {
		Name:    "python",
		Summary: "Python processor without an environment; `eascmd pysdk init` makes one with it",
		Next:    []string{"eascmd test app.json --data @request.txt"},
	}}
}

// Find returns the template of that name.
func Find(name string) (Template, error) {
	var names []string
	for _, t := range List() {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return Template{}, fault.New(fault.Usage, "there is no template %q", name).
		WithHint("templates: %s", strings.Join(names, ", "))
}

// Options say how a project is written.
type Options struct {
	Name  string // of the service; empty: made from the directory's name
	Force bool   // replace files that are there

	// Replace holds contents for files of the template, by their paths in it, in
	// place of its own.
	Replace map[string][]byte
}

// ServiceName returns the name that the service of a project in dir gets. What
// is no name of a service is an error of kind Usage.
func (o Options) ServiceName(dir string) (string, error) {
	if o.Name == "" {
		return nameFor(dir)
	}
	if !validName(o.Name) {
		return "", fault.New(fault.Usage, "service name %q: must be %s", o.Name, nameRule)
	}
	return o.Name, nil
}

// Write writes the project into dir, which is made where it is missing, and
// returns the paths of the files written, dir included. A file that is there
// already is an error unless opts.Force is set. When Write fails, dir is as it
// was.
func (t Template) Write(dir string, opts Options) ([]string, error) {
	name, err := opts.ServiceName(dir)
	if err != nil {
		return nil, err
	}
	files, err := t.render(name)
	if err != nil {
		return nil, err
	}
	for n, f := range files {
		if data, ok := opts.Replace[f.path]; ok {
			files[n].data = data
		}
	}
	return write(dir, files, opts.Force)
}

// placeholder stands for the service's name in a template's files.
const placeholder = "@name@"

// file is one file of a project.
type file struct {
	path string // relative, with slashes
	data []byte
}

// render returns the template's files with the service's name filled in.
func (t Template) render(name string) ([]file, error) {
	sub, err := fs.Sub(projects, t.Name)
	if err != nil {
		return nil, err
	}
	var files []file
	err = fs.WalkDir(sub, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(sub, p)
		if err != nil {
			return err
		}
		text := strings.ReplaceAll(string(data), placeholder, name)
		files = append(files, file{path: p, data: []byte(text)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read template %s: %w", t.Name, err)
	}
	return files, nil
}

// A service's name goes into URLs, file names, image names and build files:
// what is safe in all of them is allowed.
const (
	maxName  = 44
	nameRule = "a small letter, then small letters, digits and underscores, at most 44 characters"
)

func validName(name string) bool {
	if name == "" || len(name) > maxName || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	return strings.IndexFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_'
	}) < 0
}

// nameFor makes a service's name from the last element of dir: "My-Model"
// becomes my_model.
func nameFor(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	base := filepath.Base(abs)
	name := strings.Map(func(c rune) rune {
		switch {
		case c == '-' || c == '.' || c == ' ':
			return '_'
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		}
		return c
	}, base)
	if !validName(name) {
		return "", fault.New(fault.Usage, "the directory's name %q makes no service name: it must be %s", base, nameRule).
			WithHint("choose one with --name")
	}
	return name, nil
}
