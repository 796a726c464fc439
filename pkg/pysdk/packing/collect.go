package packing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/pysdk/portable"
	"github.com/openeas/eascmd/pkg/service"
)

// The files that a processor's directory is looked into for.
const (
	descriptionFile = "app.json"
	programFile     = "app.py"
)

// content is what goes into a package, and what was noticed.
type content struct {
	entries  []pack.Entry
	left     []pack.LeftOut
	built    []Built
	findings []Finding
}

// collect finds what goes into the package. Nothing is written before it has
// ended well.
func (m *maker) collect(ctx context.Context) (*content, error) {
	m.readDescription()
	ignore, err := m.ignore()
	if err != nil {
		return nil, err
	}
	c := &content{}
	c.entries, c.left, err = pack.Walk(ctx, m.dir, pack.WalkOptions{Ignore: ignore, Except: []string{pack.EnvDir}})
	if err != nil {
		return nil, err
	}
	if err := m.environment(ctx, c, ignore); err != nil {
		return nil, err
	}
	has := func(name string) bool {
		return slices.ContainsFunc(c.entries, func(e pack.Entry) bool { return e.Name == name })
	}
	switch {
	case m.entry == "" && has(programFile):
		m.entry = programFile
	case m.entry == "":
		m.Warn(fmt.Sprintf("there is no %s in %s, and no %s names another program: its imports are not tried", programFile, m.Dir, descriptionFile), "")
	case !has(m.entry):
		where := filepath.Join(m.Dir, descriptionFile) + ": processor_entry"
		if m.Description != nil {
			where = "processor_entry"
		}
		return nil, fault.New(fault.Description, "%s: there is no %s among what is packed", where, m.entry).
			WithHint("correct processor_entry; `eascmd pysdk pack %s --explain` says what is left out", m.Dir)
	}
	if !m.env && !m.image {
		m.Warn(fmt.Sprintf("there is no %s in %s: the package has no Python", pack.EnvDir, m.Dir),
			fmt.Sprintf("`eascmd pysdk init %s --env-only` makes one; without one the service needs a data_image", m.Dir))
	}
	return c, nil
}

// readDescription finds out which program the package is made for. What is
// wrong with a description is said where it is used.
func (m *maker) readDescription() {
	if m.Description != nil {
		m.use(m.Description)
		return
	}
	name := filepath.Join(m.dir, descriptionFile)
	if _, err := os.Stat(name); err != nil {
		return
	}
	d, err := service.Load(name)
	if err != nil {
		m.Warn(fmt.Sprintf("%v", err), "")
		return
	}
	m.use(d)
}

func (m *maker) use(d *service.Description) {
	m.image = d.DataImage != ""
	if d.ProcessorEntry != "" && (d.ProcessorType == "" || d.ProcessorType == "python") {
		m.entry = path.Clean(filepath.ToSlash(d.ProcessorEntry))
	}
}

// ignore returns what is left out: what no package needs, earlier packages and
// what the directory's own file says.
func (m *maker) ignore() (*pack.Ignore, error) {
	ig := pack.DefaultIgnore()
	for _, pattern := range []string{
		"/" + quoteGlob(filepath.Base(m.dir)) + ".tar.gz",
		"/." + quoteGlob(filepath.Base(m.dir)) + ".tar.gz.*",
	} {
		if err := ig.AddPattern(pattern, "earlier package"); err != nil {
			return nil, err
		}
	}
	for _, name := range m.Without {
		if err := ig.AddPattern("/"+quoteGlob(name), "not for a package"); err != nil {
			return nil, err
		}
	}
	name := filepath.Join(m.Dir, pack.IgnoreFile)
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		// Nobody may ever write into a FIFO, and /dev/zero does not end.
		return nil, fault.New(fault.Description, "%s is no file", name).
			WithHint("it lists patterns of what is left out of the package, a line each")
	}
	f, err := os.Open(name)
	switch {
	case err == nil:
		err = ig.Add(f, name)
		f.Close()
		if err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.Failed, "%w", err)
	}
	if rel, err := filepath.Rel(m.dir, m.file); err == nil && filepath.IsLocal(rel) {
		if err := ig.AddPattern("/"+quoteGlob(filepath.ToSlash(rel)), "the package itself"); err != nil {
			return nil, err
		}
	}
	return ig, nil
}

// quoteGlob quotes what means something in a pattern.
func quoteGlob(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, " ", `\ `).Replace(name)
}

// environment adds the environment in a form that runs anywhere, less what the
// directory's owner leaves out.
func (m *maker) environment(ctx context.Context, c *content, ignore *pack.Ignore) error {
	dir := filepath.Join(m.dir, pack.EnvDir)
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.New(fault.Failed, "%w", err)
	}
	if !info.IsDir() {
		return fault.New(fault.Processor, "%s is not a directory", dir).WithHint("%s is the place of the Python environment", pack.EnvDir)
	}
	if why, out := ignore.Excluded(pack.EnvDir, true); out {
		c.left = append(c.left, pack.LeftOut{Name: pack.EnvDir + "/", Why: why})
		return nil
	}
	m.Step("Reading " + dir)
	t, err := portable.Environment(ctx, dir, portable.Options{Name: pack.EnvDir, GLIBC: m.GLIBC})
	if err != nil {
		return err
	}
	m.env = true
	out := func(e pack.Entry) bool {
		why, out := ignore.Excluded(e.Name, e.Mode.IsDir())
		if out {
			c.left = append(c.left, pack.LeftOut{Name: e.Name, Why: why})
		}
		return out
	}
	for _, e := range t.Entries {
		if !out(e) {
			c.entries = append(c.entries, e)
		}
	}
	for _, l := range t.LeftOut {
		c.left = append(c.left, pack.LeftOut{Name: l.Path, Why: l.Why})
	}
	for _, b := range t.Built {
		c.built = append(c.built, Built{File: b.Path, Directory: b.Text, Times: b.Count})
	}
	return m.findings(c, t.Findings)
}

// findings sorts what was found into what ends the work and what is said.
func (m *maker) findings(c *content, found []portable.Finding) error {
	var errs []portable.Finding
	for _, f := range found {
		if f.Severity == portable.Error {
			errs = append(errs, f)
			continue
		}
		c.findings = append(c.findings, Finding{File: f.Path, Severity: f.Severity.String(), Text: f.Text, Hint: f.Hint})
		if f.Severity == portable.Warning {
			text := f.Text
			if f.Path != "" {
				text = f.Path + ": " + text
			}
			m.Warn(text, f.Hint)
		}
	}
	if len(errs) > 0 {
		return findingsError(errs)
	}
	return nil
}

// Directory is a directory in a package with all that it holds.
type Directory struct {
	Name  string `json:"directory"`
	Bytes int64  `json:"bytes"` // of its files, not compressed
	Files int    `json:"files"`
}

// biggest lists the 20 directories that hold most. One in which another one has
// nearly everything is not listed, since that one is.
func biggest(entries []pack.Entry) []Directory {
	total := map[string]*Directory{}
	for _, e := range entries {
		if !e.Mode.IsRegular() {
			continue
		}
		for dir := path.Dir(e.Name); ; dir = path.Dir(dir) {
			d := total[dir]
			if d == nil {
				d = &Directory{Name: dir}
				total[dir] = d
			}
			d.Bytes += e.Size
			d.Files++
			if dir == "." {
				break
			}
		}
	}
	const nearly = 0.8
	for name, d := range total {
		if above := total[path.Dir(name)]; name != "." && above.Name != "" && float64(d.Bytes) > nearly*float64(above.Bytes) {
			above.Name = "" // its size is still compared with
		}
	}
	var list []Directory
	for _, d := range total {
		if d.Name != "" {
			list = append(list, *d)
		}
	}
	slices.SortFunc(list, func(a, b Directory) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
	return list[:min(len(list), 20)]
}
