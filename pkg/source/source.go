// Package source takes a service from this machine to a store: it finds the
// processor and the model that a description names by a local path, checks them
// against what they will run on, packs and uploads them, and returns the
// description with their addresses.
//
// An object is named by its content, so that what an earlier version of a
// service was made of stays as it was, and so that nothing is sent twice. What
// has not changed since the last time is neither checked nor packed again.
package source

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/localtest"
	"github.com/openeas/eascmd/pkg/service"
	"github.com/openeas/eascmd/pkg/store"
)

// Options say what is published where. Description and CacheDir must be set.
type Options struct {
	Description *service.Description

	// File is the description's own file: relative paths in the description may
	// start at its directory, and it is left out of packages, because a package
	// must not change with it. DescriptionDir is its directory where there is no
	// file.
	File           string
	DescriptionDir string

	// Prefix is where objects go; the zero value for nowhere, which is an error
	// once there is something to upload.
	Prefix store.Address
	Store  store.Options

	// CacheDir is a directory, made if need be, for packages and for what is
	// needed to go on with an interrupted upload.
	CacheDir string

	// DryRun does everything but to upload.
	DryRun bool
	// NoCheck leaves the checks out.
	NoCheck bool
	// Elsewhere is for a target of one's own: which CPU and libraries it has is
	// not known, and it may read s3:// and file://. What EAS would refuse is
	// then a warning.
	Elsewhere bool

	LimitRate int64 // bytes a second; 0 means no limit
	Parallel  int   // parts sent at the same time; 0: what suits the size

	// Program is the version of the program that packs: another one packs anew.
	Program string

	// Step is told, in one sentence, what is about to be done; Warn is told what
	// the user should know although it goes on.
	Step func(text string)
	Warn func(text, hint string)

	// Progress starts to show the progress of something long. update is told
	// bytes that are done and their total (0 or less: unknown), done its end.
	Progress func(label string) (update func(done, total int64), done func())
}

// Published is a service that everything is in place for.
type Published struct {
	// Description is the one to send, in its normal form. It may hold the
	// service's token and passwords.
	Description json.RawMessage
	Uploads     []Upload
	Warnings    []Warning
}

// Upload is one object of a service.
type Upload struct {
	Field   string        `json:"field"`   // of the description
	Source  string        `json:"source"`  // path on this machine
	Package string        `json:"package"` // the file that is sent: the source itself or what it was packed into
	Address string        `json:"address"`
	Size    int64         `json:"size"` // bytes
	SHA256  string        `json:"sha256"`
	Cached  bool          `json:"cached"`  // it had been packed before
	Present bool          `json:"present"` // the store had it already
	Sent    int64         `json:"sent"`    // bytes
	Took    time.Duration `json:"-"`       // to send it

	to store.Address
}

// Warning is what the user should know.
type Warning struct {
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

// Publish checks, packs and uploads what a description names on this machine.
// Nothing is uploaded before all of it is found good.
//
// Errors are of kind Description where the description or the profile is wrong,
// Processor where what it names cannot run, and those of the store.
func Publish(ctx context.Context, opts Options) (*Published, error) {
	p := &publisher{Options: opts, rewrite: map[string]string{}}
	defer p.close()
	if p.DescriptionDir == "" && p.File != "" {
		p.DescriptionDir = filepath.Dir(p.File)
	}
	if err := p.run(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, fault.New(fault.Interrupted, "%w", context.Cause(ctx))
		}
		return nil, err
	}
	return &Published{Description: p.text, Uploads: p.uploads, Warnings: p.warnings}, nil
}

// publisher is one run of Publish.
type publisher struct {
	Options
	rewrite  map[string]string // texts of fields of the description
	text     []byte            // the description that is sent
	uploads  []Upload
	warnings []Warning
	locks    []func()
}

// close lets go of the packages.
func (p *publisher) close() {
	for _, unlock := range p.locks {
		unlock()
	}
}

func (p *publisher) step(text string) {
	if p.Step != nil {
		p.Step(text)
	}
}

func (p *publisher) warn(text, hint string) {
	p.warnings = append(p.warnings, Warning{text, hint})
	if p.Warn != nil {
		p.Warn(text, hint)
	}
}

// progress starts to show the progress of something long.
func (p *publisher) progress(label string) (update func(done, total int64), done func()) {
	if p.Progress == nil {
		return func(int64, int64) {}, func() {}
	}
	return p.Progress(label)
}

func (p *publisher) run(ctx context.Context) error {
	if p.CacheDir == "" {
		return fault.New(fault.Failed, "publish %s: no cache directory is given", p.Description.Name)
	}
	parts, err := p.parts()
	if err != nil {
		return err
	}
	// Before minutes are spent on packing.
	if len(parts) > 0 {
		if err := p.checkPrefix(); err != nil {
			return err
		}
	}
	if err := p.valid(p.Description.Canonical(), true); err != nil {
		return err
	}
	prune(p.CacheDir)
	for _, part := range parts {
		if err := part.publish(ctx); err != nil {
			return err
		}
	}
	if p.Description.CUDA != "" {
		p.rewrite["cuda"] = "" // a directory of this machine
	}
	p.text = p.Description.Rewritten(p.rewrite)
	if err := p.valid(p.text, false); err != nil {
		return err
	}
	return p.upload(ctx)
}

// valid holds a form of the description against what the target asks for.
func (p *publisher) valid(text []byte, local bool) error {
	file := p.File
	if file == "" {
		file = p.Description.Name
	}
	options := service.Options{ForDeploy: true, Published: local, AnyStore: p.Elsewhere}
	if local && p.File != "" {
		_, err := options.Load(p.File) // with the lines that its author knows
		return err
	}
	_, err := options.Parse(file, text)
	return err
}

// checkPrefix looks at where objects go.
func (p *publisher) checkPrefix() error {
	const hint = "set it with `eascmd config set upload_prefix oss://BUCKET/PREFIX`, or name it with --to"
	switch {
	case p.Prefix == store.Address{}:
		return fault.New(fault.Description, "what lies on this machine has to be uploaded, and nothing says where to: the profile has no upload_prefix").
			WithHint(hint)
	case p.Prefix.Scheme != store.OSS && !p.Elsewhere:
		return fault.New(fault.Description, "%s cannot be where a service's files are: EAS reads oss:// only", p.Prefix).WithHint(hint)
	case p.Prefix.Scheme != store.OSS:
		p.warn("EAS itself cannot read "+p.Prefix.String()+": the service runs on a target of your own only", "")
	}
	return nil
}

// parts lists what the description names on this machine.
func (p *publisher) parts() ([]*part, error) {
	d := p.Description
	var parts []*part
	for _, f := range []struct{ field, address string }{
		{processorPath, d.ProcessorPath}, {modelPath, d.ModelPath}, {warmUpPath, d.WarmUpDataPath},
	} {
		switch {
		case f.address == "":
			continue
		case p.Elsewhere && store.IsAddress(f.address):
			if addr, err := store.ParseAddress(f.address); err != nil {
				return nil, fault.New(fault.Description, "%s: %w", f.field, err)
			} else if addr.Scheme != store.OSS {
				p.warn(f.field+": EAS itself cannot read "+addr.String()+": the service runs on a target of your own only", "")
			}
			continue
		case !localtest.IsLocal(f.address):
			continue
		}
		found, err := localtest.FindLocal(d, p.DescriptionDir, f.field, f.address)
		if err != nil {
			return nil, err
		}
		if found.Dir && filepath.Dir(found.Path) == found.Path {
			return nil, fault.New(fault.Description, "%s: %s is all of this machine's files", f.field, found.Path).
				WithHint("name the directory that has what the service needs, and nothing else")
		}
		parts = append(parts, &part{publisher: p, field: f.field, path: found.Path, dir: found.Dir})
	}
	return parts, nil
}

// upload brings the packages to their addresses.
func (p *publisher) upload(ctx context.Context) error {
	if p.DryRun || len(p.uploads) == 0 {
		return nil
	}
	s, err := store.Open(ctx, p.Prefix, p.Store)
	if err != nil {
		return err
	}
	defer s.Close()
	for i := range p.uploads {
		if err := p.send(ctx, s, &p.uploads[i]); err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) send(ctx context.Context, s store.Store, u *Upload) error {
	name := filepath.Base(u.Package)
	begin := sync.OnceFunc(func() { p.step("Uploading " + name + " to [" + u.Address + "]") })
	update, done := p.progress("uploading " + name)
	defer done()
	sent, err := store.Upload(ctx, store.UploadOptions{
		File: u.Package, To: u.to, Store: s, Options: p.Store,
		CacheDir:  filepath.Join(p.CacheDir, "uploads"),
		LimitRate: p.LimitRate, Parallel: p.Parallel,
		Progress: func(at store.UploadProgress) {
			if at.Phase == store.Sending {
				begin()
				update(at.Done, at.Total)
			}
		},
		Warn: func(text string) { p.warn(text, "") },
	})
	if err != nil {
		return err
	}
	if sent.Sums.SHA256 != u.SHA256 {
		return fault.New(fault.Failed, "%s was changed while it was uploaded", u.Package).
			WithHint("let nothing write to it meanwhile, and try again")
	}
	if sent.Skipped {
		p.step("Found " + name + " at [" + u.Address + "]: it is not sent again")
	}
	u.Present, u.Sent, u.Took = sent.Skipped, sent.Sent, sent.Took
	return nil
}
