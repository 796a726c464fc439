package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/store"
	"github.com/openeas/eascmd/pkg/ui"
)

type uploadOptions struct {
	lineOptions
	keep bool
}

// lineOptions are the flags that all commands which upload share: where to, and
// how the line is used.
type lineOptions struct {
	to       string
	inner    bool
	rate     byteSize
	parallel int
}

func (o *lineOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.to, "to", "", "`prefix` that is uploaded to, such as oss://BUCKET/PREFIX (default the profile's upload_prefix)")
	flags.BoolVar(&o.inner, "inner", false, "use the internal endpoint of OSS, from within the cloud's own network")
	flags.Var(&o.rate, "limit-rate", "send no more than this `size` a second, such as 5MiB (default no limit)")
	flags.IntVar(&o.parallel, "parallel", 0, "parts that are sent at the same time (default what suits the size)")
}

// check refuses what cannot be done.
func (o *lineOptions) check() error {
	if o.parallel < 0 || o.parallel > store.MaxParallel {
		return fault.New(fault.Usage, "--parallel %d: it is 1 to %d", o.parallel, store.MaxParallel).
			WithHint("leave the flag out for the default")
	}
	return nil
}

func newUploadCommand(a *app) *cobra.Command {
	var opts uploadOptions
	cmd := &cobra.Command{
		Use:     "upload FILE|DIRECTORY",
		GroupID: groupDeploy,
		Short:   "Upload a file or a directory to object storage",
		Long: `Uploads a file, or every file below a directory, to OSS, to an S3-compatible store
or to a directory (file:///PATH), and prints its address, which a service
description can name.

Where to is said by --to, else by upload_prefix of the profile. A file is named as
it is called here: model.tar.gz becomes PREFIX/model.tar.gz, and what a directory
holds is named by its path below that directory. With --keep the path as it is
given comes before: out/model.tar.gz becomes PREFIX/out/model.tar.gz.

A large file goes in parts, several at a time. What is there already with the same
content is not sent again. An upload that was interrupted, by whatever it was, is
gone on with by the same command. The store's own checksum is held against that of
the file, and the SHA-256 is kept with the object (eascmd-sha256).

When a file of a directory cannot be uploaded the others are all the same, and the
exit status is that of the first failure.

Without a terminal progress is a line now and then; with -o json each is an object
on standard error: {"event":"progress","file":...,"done":...,"total":...}.`,
		Example: `  eascmd upload model.tar.gz --to oss://my-bucket/models
  eascmd upload ./model --keep --inner
  eascmd upload model.tar.gz --limit-rate 5MiB -o json`,
		Annotations: exits(fault.Failed, fault.Usage, fault.Description, fault.Missing, fault.Remote, fault.Interrupted),
		Args:        needArgs("the file or directory"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return opts.run(cmd.Context(), a, args[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	opts.addFlags(flags)
	flags.BoolVar(&opts.keep, "keep", false, "keep the path as it is given in the object's name")
	return cmd
}

func (o *uploadOptions) run(ctx context.Context, a *app, path string) error {
	if err := o.check(); err != nil {
		return err
	}
	files, lost, err := o.list(path)
	if err != nil {
		return err
	}
	u, err := o.open(ctx, a)
	if err != nil {
		return err
	}
	defer u.store.Close()
	result := u.result(lost)
	err = u.all(ctx, files, result)
	if err != nil && (ctx.Err() != nil || len(files) == 1 && len(lost) == 0) {
		return err
	}
	if printErr := a.print(result); printErr != nil {
		return printErr
	}
	if err == nil && len(lost) == 0 {
		return nil
	}
	return result.failure(err)
}

// localFile is a file that is uploaded.
type localFile struct {
	path string
	name string // below the prefix
	size int64
}

// list finds the files, and what cannot be uploaded.
func (o *uploadOptions) list(path string) (files []localFile, lost []failedFile, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fault.New(fault.Usage, "there is no file or directory %s", path)
	case err != nil:
		return nil, nil, fault.New(fault.Failed, "upload %s: %w", path, bare(err))
	}
	kept, err := o.keptPath(path)
	if err != nil {
		return nil, nil, err
	}
	if info.Mode().IsRegular() {
		return []localFile{{path, cmp.Or(kept, filepath.Base(path)), info.Size()}}, nil, nil
	}
	if !info.IsDir() {
		return nil, nil, fault.New(fault.Usage, "%s is neither a file nor a directory", path)
	}
	root := path
	if link, err := os.Lstat(path); err == nil && link.Mode()&fs.ModeSymlink != 0 {
		if root, err = filepath.EvalSymlinks(path); err != nil {
			return nil, nil, fault.New(fault.Failed, "upload %s: %w", path, bare(err))
		}
	}
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		lose := func(why string) { lost = append(lost, failedFile{file, why}) }
		if err != nil {
			lose(bare(err).Error())
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		info, err := os.Stat(file)
		switch {
		case err != nil:
			lose(bare(err).Error())
		case info.Mode().IsRegular():
			files = append(files, localFile{file, strings.TrimPrefix(kept+"/"+filepath.ToSlash(rel), "/"), info.Size()})
		case d.IsDir():
		case info.IsDir():
			lose("it is a link to a directory, which is not followed")
		default:
			lose("it is neither a file nor a directory")
		}
		return nil
	})
	if err != nil {
		return nil, nil, fault.New(fault.Failed, "upload %s: %w", path, err)
	}
	if len(files)+len(lost) == 0 {
		return nil, nil, fault.New(fault.Usage, "there are no files in %s", path)
	}
	return files, lost, nil
}

// keptPath is the path of what is uploaded that --keep has in names.
func (o *uploadOptions) keptPath(path string) (string, error) {
	if !o.keep {
		return "", nil
	}
	clean := filepath.ToSlash(filepath.Clean(strings.TrimPrefix(path, filepath.VolumeName(path))))
	clean = strings.TrimLeft(clean, "/")
	switch {
	case clean == ".":
		return "", nil
	case clean == "..", strings.HasPrefix(clean, "../"):
		return "", fault.New(fault.Usage, "--keep: %s leads out of the current directory, and so out of the prefix", path).
			WithHint("start from a directory above it, or leave --keep out")
	}
	return clean, nil
}

// uploader sends files to one store.
type uploader struct {
	app    *app
	store  store.Store
	prefix store.Address
	cache  string
	*lineOptions
}

// open finds out where to and as whom, and tells.
func (o *lineOptions) open(ctx context.Context, a *app) (*uploader, error) {
	prefix, err := a.uploadPrefix(ctx, o.to)
	if err != nil {
		return nil, err
	}
	if prefix == (store.Address{}) {
		return nil, fault.New(fault.Description, "nothing says where to upload to: there is no --to, and the profile has no upload_prefix").
			WithHint("name it with --to oss://BUCKET/PREFIX, or store it with `eascmd config set upload_prefix oss://BUCKET/PREFIX`")
	}
	options, err := a.storeOptions(ctx)
	if err != nil {
		return nil, err
	}
	options.Inner = o.inner
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, prefix, options)
	if err != nil {
		return nil, err
	}
	if err := a.announceStore(ctx, prefix, s.Endpoint()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	a.term.OK("%s endpoint:    [%s]", prefix.Scheme, ui.Printable(s.Endpoint()))
	return &uploader{app: a, store: s, prefix: prefix, cache: filepath.Join(cache, "uploads"), lineOptions: o}, nil
}

// result is that of an upload that has not begun.
func (u *uploader) result(lost []failedFile) *uploadResult {
	return &uploadResult{
		Endpoint: u.store.Endpoint(), Prefix: u.prefix.String(), Files: []uploadedFile{}, Failed: list(lost), scheme: u.prefix.Scheme,
	}
}

// all sends one file after the other: one alone fills the line. It returns the
// first error. Those of a file let it go on; those of the store, the network or
// the user do not.
func (u *uploader) all(ctx context.Context, files []localFile, result *uploadResult) error {
	for _, f := range files {
		result.Size += f.size
	}
	result.Total = len(files) + len(result.Failed)
	label := fmt.Sprintf("uploading %d files", len(files))
	if len(files) == 1 {
		label = "uploading " + filepath.Base(files[0].path)
	}
	bar := u.app.transfer(label)
	defer bar.Done()
	var first error
	before := int64(0)
	for i, f := range files {
		sent, err := u.send(ctx, f, func(p store.UploadProgress) {
			switch p.Phase {
			case store.Hashing:
				bar.Reading(f.path, p.Done, p.Total)
			case store.Sending:
				bar.Sending(f.path, before+p.Done, result.Size)
			}
		})
		before += f.size
		if err == nil {
			result.Files = append(result.Files, sent)
			continue
		}
		first = cmp.Or(first, err)
		result.Failed = append(result.Failed, failedFile{f.path, err.Error()})
		if fault.KindOf(err) == fault.Failed {
			continue
		}
		for _, rest := range files[i+1:] {
			result.Failed = append(result.Failed, failedFile{rest.path, "not sent"})
		}
		break
	}
	if ctx.Err() != nil && first != nil {
		bar.Done()
		u.app.term.Info("interrupted; the same command goes on where this one has ended")
	}
	return first
}

// send sends a file.
func (u *uploader) send(ctx context.Context, f localFile, progress func(store.UploadProgress)) (uploadedFile, error) {
	to, err := u.prefix.Join(f.name)
	if err != nil {
		return uploadedFile{}, fault.New(fault.Failed, "%w", err)
	}
	sent, err := store.Upload(ctx, store.UploadOptions{
		File: f.path, To: to, Store: u.store, CacheDir: u.cache,
		LimitRate: int64(u.rate), Parallel: u.parallel,
		Progress: progress,
		Warn:     func(text string) { u.app.term.Warn("%s", ui.Printable(text)) },
	})
	if err != nil {
		return uploadedFile{}, err
	}
	file := uploadedFile{
		File: f.path, Address: sent.Address.String(), Size: sent.Size, SHA256: sent.Sums.SHA256,
		CRC64: sent.Sums.CRC64, CRC32C: sent.Sums.CRC32C, Confirmed: string(sent.Confirmed),
		Present: sent.Skipped, Resumed: sent.Resumed, Sent: sent.Sent, Retries: sent.Retries, Millis: sent.Took.Milliseconds(),
	}
	switch {
	case sent.Skipped:
		u.app.term.Debug("%s is there already: %s", ui.Printable(f.path), ui.Printable(file.Address))
	case sent.Resumed > 0:
		u.app.term.Info("went on with an earlier upload: %s of %s were there", ui.Bytes(sent.Resumed), ui.Bytes(sent.Size))
	}
	return file, nil
}

// uploadResult is the result of upload.
type uploadResult struct {
	Endpoint string         `json:"endpoint"`
	Prefix   string         `json:"prefix"`
	Total    int            `json:"total"` // files
	Size     int64          `json:"size"`  // bytes of all
	Files    []uploadedFile `json:"files"` // those that are there now
	Failed   []failedFile   `json:"failed"`

	scheme string
}

// uploadedFile is a file that is in the store.
type uploadedFile struct {
	File      string `json:"file"`
	Address   string `json:"address"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`
	CRC64     string `json:"crc64,omitempty"`
	CRC32C    string `json:"crc32c,omitempty"`
	Confirmed string `json:"confirmed"` // the checksum that the store has confirmed; empty: none
	Present   bool   `json:"present"`   // it was there already
	Resumed   int64  `json:"resumed"`   // bytes that an earlier upload had sent
	Sent      int64  `json:"sent"`      // bytes
	Retries   int    `json:"retries"`
	Millis    int64  `json:"milliseconds"`
}

// failedFile is a file that is not.
type failedFile struct {
	File  string `json:"file"`
	Error string `json:"error"`
}

// target is where the one file is, or all of them.
func (r *uploadResult) target() string {
	if len(r.Files) == 1 && r.Total == 1 {
		return r.Files[0].Address
	}
	return r.Prefix
}

// View has the original's lines.
func (r *uploadResult) View() ui.View {
	var b strings.Builder
	fmt.Fprintf(&b, "[OK] %s target path: [%s]\n", r.scheme, ui.Printable(r.target()))
	there := 0
	for _, f := range r.Files {
		if f.Present {
			there++
		}
	}
	did := fmt.Sprintf("upload %d files", len(r.Files)-there)
	if there > 0 {
		did += fmt.Sprintf(", skip %d files", there)
	}
	if len(r.Failed) == 0 {
		fmt.Fprintf(&b, "Succeed: Total num: %d, size: %s. OK num: %d(%s).", r.Total, thousands(r.Size), len(r.Files), did)
	} else {
		fmt.Fprintf(&b, "FinishWithError: Total num: %d, size: %s. Error num: %d. OK num: %d(%s).", r.Total, thousands(r.Size), len(r.Failed), len(r.Files), did)
	}
	return ui.Text(b.String())
}

// failure is the error of an upload in which files were lost.
func (r *uploadResult) failure(first error) error {
	const shown = 5
	var list strings.Builder
	for _, f := range r.Failed[:min(shown, len(r.Failed))] {
		name := f.File
		if strings.ContainsFunc(name, unicode.IsControl) {
			name = strconv.Quote(name)
		}
		fmt.Fprintf(&list, "\n  %s: %s", name, f.Error)
	}
	if more := len(r.Failed) - shown; more > 0 {
		fmt.Fprintf(&list, "\n  and %d more", more)
	}
	kind, hint := fault.Failed, ""
	if first != nil {
		kind, hint = fault.KindOf(first), fault.HintOf(first)
	}
	err := fault.New(kind, "%d of %d files were not uploaded:%s", len(r.Failed), r.Total, list.String())
	return err.WithHint("%s", hint)
}

// thousands writes a number with commas.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
