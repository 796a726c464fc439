package localtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/service"
	"github.com/openeas/eascmd/pkg/store"
)

// preparation makes one workspace.
type preparation struct {
	ctx    context.Context
	d      *service.Description
	opts   *Options
	dir    string // of the workspace
	mounts []Mount
}

// source is something on this machine that a description names.
type source struct {
	path string // absolute
	name string // the file's own name; that of a download is its address's
	dir  bool
}

// find brings what a field of the description names to this machine.
func (p *preparation) find(field, address string) (source, error) {
	scheme, _, remote := strings.Cut(address, "://")
	switch {
	case !remote, scheme == store.File:
		found, err := FindLocal(p.d, p.opts.DescriptionDir, field, address)
		return source{path: found.Path, name: filepath.Base(found.Path), dir: found.Dir}, err
	case scheme == "http" || scheme == "https":
		return p.download(address)
	case store.IsAddress(address):
		return p.fetch(field, address)
	default:
		return source{}, fault.New(fault.Missing, "%s: %s:// addresses cannot be read by this version yet", field, scheme).
			WithHint("fetch %s to this machine and write its local path", store.Mask(address))
	}
}

func (p *preparation) download(address string) (source, error) {
	name := store.NameOf(address)
	update, done := p.opts.progress(name)
	defer done()
	path, err := store.FetchHTTP(p.ctx, address, store.HTTPOptions{
		CacheDir: p.opts.CacheDir,
		CABundle: p.opts.CABundle,
		Progress: update,
		Warn:     func(text string) { p.opts.warn(text, "") },
	})
	return source{path: path, name: name}, err
}

// fetch brings an object, or all below a prefix, from its store.
func (p *preparation) fetch(field, address string) (source, error) {
	addr, err := store.ParseAddress(address)
	if err != nil {
		return source{}, fault.New(fault.Description, "%s: %w", field, err)
	}
	name := path.Base(strings.TrimSuffix(addr.Key, "/"))
	update, done := p.opts.progress(name)
	defer done()
	var options store.Options
	if p.opts.Store != nil {
		if options, err = p.opts.Store(); err != nil {
			return source{}, fault.New(fault.KindOf(err), "%s: %w", field, err)
		}
	}
	options.CABundle = p.opts.CABundle
	if options.OSSEndpoint == "" {
		options.OSSEndpoint = p.d.OSSEndpoint
	}
	fetched, err := store.Fetch(p.ctx, addr, store.FetchOptions{
		Options:  options,
		CacheDir: p.opts.CacheDir,
		Progress: update,
		Warn:     func(text string) { p.opts.warn(text, "") },
	})
	if err != nil {
		return source{}, fault.New(fault.KindOf(err), "%s: %w", field, err)
	}
	info, err := os.Stat(fetched)
	if err != nil {
		return source{}, fault.New(fault.Failed, "%s: %w", field, err)
	}
	return source{path: fetched, name: name, dir: info.IsDir()}, nil
}

// model makes the model of the workspace at path. It returns the name of the
// file that the model is, empty for a directory.
func (p *preparation) model(path string) (file string, err error) {
	if p.d.ModelPath == "" {
		err := os.Mkdir(path, 0o755)
		p.checkModelEntry(path)
		return "", p.made(err)
	}
	p.opts.step("Fetching model from [" + store.Mask(p.d.ModelPath) + "]")
	s, err := p.find("model_path", p.d.ModelPath)
	if err != nil {
		return "", err
	}
	if s.dir {
		p.checkModelEntry(s.path)
		return "", p.place(s.path, path, false)
	}
	unpacked, err := p.unpack("model", s, path)
	if err != nil {
		return "", err
	}
	if unpacked {
		p.checkModelEntry(path)
		return "", p.protect(path)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return "", p.made(err)
	}
	err = p.place(s.path, filepath.Join(path, s.name), false)
	p.checkModelEntry(path)
	return s.name, err
}

// place has what lies at source at path in the workspace: linked, or for a
// container to be mounted.
func (p *preparation) place(source, path string, writable bool) error {
	if !p.opts.Container {
		return p.made(os.Symlink(source, path))
	}
	info, err := os.Stat(source)
	if err != nil {
		return p.made(err)
	}
	if info.IsDir() {
		p.warnOfLinks(source)
		err = os.Mkdir(path, 0o755)
	} else {
		err = os.WriteFile(path, nil, 0o644)
	}
	if err != nil {
		return p.made(err)
	}
	return p.mount(source, path, writable)
}

// protect has a directory of the workspace mounted on itself, for a container
// that may not write to it.
func (p *preparation) protect(path string) error {
	if !p.opts.Container {
		return nil
	}
	return p.mount(path, path, false)
}

func (p *preparation) mount(source, path string, writable bool) error {
	rel, err := filepath.Rel(p.dir, path)
	if err != nil {
		return p.made(err)
	}
	p.mounts = append(p.mounts, Mount{source, filepath.ToSlash(rel), writable})
	return nil
}

// warnOfLinks warns of links that lead out of a directory: in a container, which
// gets the directory and nothing beside it, they lead nowhere. Those of a Python
// environment are not told: it gets one that runs without them.
func (p *preparation) warnOfLinks(dir string) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return
	}
	const most, mostEntries = 3, 20_000
	var out []string
	entries := 0
	filepath.WalkDir(real, func(path string, e fs.DirEntry, err error) error {
		if p.d.ProcessorType == "python" && path == filepath.Join(real, "ENV") {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entries++; entries > mostEntries {
			return fs.SkipAll
		}
		if err != nil || e.Type()&fs.ModeSymlink == 0 {
			return nil
		}
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return nil // it leads nowhere here either
		}
		if rel, err := filepath.Rel(real, target); err != nil || !filepath.IsLocal(rel) {
			if rel, err = filepath.Rel(real, path); err == nil {
				out = append(out, rel)
			}
		}
		return nil
	})
	if len(out) == 0 {
		return
	}
	names := strings.Join(out[:min(len(out), most)], ", ")
	if len(out) > most {
		names += fmt.Sprintf(" and %d more", len(out)-most)
	}
	p.opts.warn("links in "+dir+" lead out of it and will lead nowhere in the container: "+names,
		"put the files themselves there: cp -L")
}

// checkModelEntry warns of a model_entry that the model at path does not have.
// It is no error: a processor may take the text for something else.
func (p *preparation) checkModelEntry(path string) {
	entry := p.d.ModelEntry
	if entry == "" {
		return
	}
	if _, err := os.Stat(filepath.Join(path, entry)); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if p.d.ModelPath == "" {
		p.opts.warn("model_entry ["+entry+"] is given, but no model: model_path is missing", "")
		return
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // where the author knows it
	}
	p.opts.warn("model_entry ["+entry+"] is not in the model: "+filepath.Join(path, entry), contentOf(path))
}

// contentOf lists what is in a directory, in short.
func contentOf(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	const most = 5
	var names []string
	for _, e := range entries[:min(len(entries), most)] {
		names = append(names, e.Name())
	}
	switch {
	case len(entries) == 0:
		return "the model is empty"
	case len(entries) > most:
		return fmt.Sprintf("the model holds %s and %d more", strings.Join(names, ", "), len(entries)-most)
	default:
		return "the model holds " + strings.Join(names, ", ")
	}
}

// processor makes the processor's directory of the workspace at path.
func (p *preparation) processor(path string) error {
	p.opts.step("Fetching processor from [" + store.Mask(p.d.ProcessorPath) + "]")
	s, err := p.find("processor_path", p.d.ProcessorPath)
	if err != nil {
		return err
	}
	if !s.dir {
		if unpacked, err := p.unpack("processor", s, path); err != nil || unpacked {
			return err
		}
	}
	if s.dir && p.opts.Container {
		return p.place(s.path, path, p.opts.Writable)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return p.made(err)
	}
	if !s.dir {
		return p.place(s.path, filepath.Join(path, s.name), p.opts.Writable)
	}
	// A real directory with links in it, because ../../model has to lead to the
	// workspace's model and not to what is above the user's directory.
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return fault.New(fault.Description, "processor_path: %w", err)
	}
	for _, e := range entries {
		if err := os.Symlink(filepath.Join(s.path, e.Name()), filepath.Join(path, e.Name())); err != nil {
			return p.made(err)
		}
	}
	return nil
}

// unpack unpacks a file to a directory at path, if it is an archive and not
// meant to stay one.
func (p *preparation) unpack(what string, s source, path string) (bool, error) {
	if !p.d.Uncompress {
		return false, nil
	}
	format, err := pack.Detect(s.path)
	if err != nil {
		return false, fault.New(fault.KindOf(err), "%s: %w", what, err)
	}
	if format == pack.None {
		return false, nil
	}
	if _, single := pack.SingleFile(s.path); single {
		return false, nil
	}
	p.opts.step(fmt.Sprintf("Uncompressing %s [%s]", what, s.name))
	update, done := p.opts.progress("unpacking " + s.name)
	defer done()
	_, err = pack.Extract(p.ctx, s.path, path, pack.ExtractOptions{Progress: update})
	return err == nil, err
}

// warmUp finds the files that are replayed before the service is ready. A
// container has them at path.
func (p *preparation) warmUp(path string) ([]string, error) {
	if p.d.WarmUpDataPath == "" {
		return nil, nil
	}
	s, err := p.find("warm_up_data_path", p.d.WarmUpDataPath)
	if err != nil {
		return nil, err
	}
	dir, names := filepath.Dir(s.path), []string{filepath.Base(s.path)}
	if s.dir {
		dir = s.path
		if names, err = p.warmUpNames(dir); err != nil {
			return nil, err
		}
	}
	if p.opts.Container {
		if s.dir {
			err = p.place(s.path, path, false)
		} else if err = p.made(os.Mkdir(path, 0o755)); err == nil {
			err = p.place(s.path, filepath.Join(path, names[0]), false)
		}
		dir = path
	}
	var files []string
	for _, name := range names {
		files = append(files, filepath.Join(dir, name))
	}
	return files, err
}

// warmUpNames lists the files of a directory of requests.
func (p *preparation) warmUpNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, fault.New(fault.Description, "warm_up_data_path: %w", err)
	}
	var names []string
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.Mode().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		p.opts.warn("warm_up_data_path: "+dir+" holds no files", "")
	}
	return names, nil
}

// made explains a failure to make something in the workspace.
func (p *preparation) made(err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Failed, "make the workspace: %w", err).
		WithHint("set TMPDIR to a directory with room that you may write to")
}
