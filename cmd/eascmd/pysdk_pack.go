package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/pysdk/packing"
	"github.com/openeas/eascmd/pkg/ui"
)

type pysdkPackOptions struct {
	out          placeOrFormat
	force        bool
	level        int
	singleMember bool
	noCheck      bool
	glibc        string
	explain      bool
	upload       bool
	uploading    lineOptions
}

func newPysdkPackCommand(a *app) *cobra.Command {
	var opts pysdkPackOptions
	cmd := &cobra.Command{
		Use:         "pack DIRECTORY",
		Annotations: exits(fault.Description, fault.Processor, fault.Missing, fault.Remote, fault.Interrupted),
		Short:       "Pack a processor in Python with its environment",
		Long: `Writes a processor's directory into a package, a tar.gz that runs from any path on
a Linux machine without Python: the environment in ENV/ is made independent of
where it is while it is packed, whichever program made it. Nothing in the directory
changes. The same files give the same package, byte for byte.

Before the package is in its place it is unpacked under another path, and its own
interpreter imports allspark and what the program imports: app.py, or the
processor_entry of app.json. An import that only a function or a try has is a
warning where it fails.

What no package needs is left out: version control, caches, virtual environments
other than ENV, earlier packages. A file .easignore names more, a pattern a line as
in .gitignore; !PATTERN takes something back. The environment is only touched by
patterns that begin with ENV/. --explain lists what was left out.

With --upload the package is uploaded, as ` + "`eascmd upload`" + ` does it, and its address
printed, which is what processor_path names.`,
		Example: `  eascmd pysdk pack ./demo
  eascmd pysdk pack ./demo -o /tmp/demo-1.tar.gz --level 9
  eascmd pysdk pack ./demo --force --explain
  eascmd pysdk pack -u ./demo --to oss://my-bucket/processors
  eascmd pysdk pack ./demo -o json`,
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
	a.addPlaceFlag(cmd, &opts.out, "file that is written, or the directory for it (default: beside DIRECTORY, DIRECTORY.tar.gz)")
	flags.BoolVar(&opts.force, "force", false, "replace a package that is there")
	flags.BoolVar(&opts.explain, "explain", false, "list the biggest directories, what was left out and why, and what is compiled into the interpreter")
	flags.IntVar(&opts.level, "level", pack.DefaultLevel, "compression, from 1 (fast) to 9 (small)")
	flags.BoolVar(&opts.singleMember, "single-member", false, "write one gzip member instead of a chain of them, for readers that end after the first")
	flags.BoolVar(&opts.noCheck, "no-check", false, "do not unpack the package and try its imports")
	flags.StringVar(&opts.glibc, "glibc", packing.DefaultGLIBC, "`version` of the GNU C library where the service runs")
	flags.BoolVarP(&opts.upload, "upload", "u", false, "upload the package and print its address")
	opts.uploading.addFlags(flags)
	return cmd
}

func (o pysdkPackOptions) run(ctx context.Context, a *app, dir string) error {
	if !o.upload && o.uploading != (lineOptions{}) {
		return fault.New(fault.Usage, "--to, --inner, --limit-rate and --parallel say how a package is uploaded, and it is not").
			WithHint("add --upload, or leave them out")
	}
	if err := o.uploading.check(); err != nil {
		return err
	}
	if o.level < 1 || o.level > 9 {
		return fault.New(fault.Usage, "--level %d: the levels are 1 (fast) to 9 (small)", o.level).
			WithHint("see `eascmd pysdk pack --help`")
	}
	var to *uploader
	if o.upload { // before minutes are spent on packing
		var err error
		if to, err = o.uploading.open(ctx, a); err != nil {
			return err
		}
		defer to.store.Close()
	}
	bar := partBar{term: a.term}
	defer bar.done()
	p, err := packing.Make(ctx, packing.Options{
		Dir: dir, File: o.out.place, Replace: o.force,
		Level: o.level, SingleMember: o.singleMember, NoCheck: o.noCheck, GLIBC: o.glibc,
		Step: func(text string) {
			bar.done()
			a.term.Info("[PYSDK] %s", ui.Printable(text))
		},
		Warn: func(text, hint string) {
			a.term.Warn("%s", ui.Printable(text))
			if hint != "" {
				a.term.Hint("%s", ui.Printable(hint))
			}
		},
		Progress: bar.update,
	})
	bar.done()
	if err != nil {
		return err
	}
	if to == nil {
		return a.printPackage(p, o.explain, nil)
	}
	sent := to.result(nil)
	if err := to.all(ctx, []localFile{{p.Path, filepath.Base(p.Path), p.Size}}, sent); err != nil {
		return err
	}
	a.term.OK("%s target path: [%s]", sent.scheme, ui.Printable(sent.target()))
	return a.printPackage(p, o.explain, sent)
}

// partBar shows the progress of one part after another. Its methods may be
// called from several goroutines.
type partBar struct {
	term *ui.Terminal

	mu   sync.Mutex
	part string
	bar  *ui.Progress // of part; nil while there is none
}

func (b *partBar) update(part string, done, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar == nil || part != b.part {
		b.end()
		b.part, b.bar = part, b.term.Progress(part)
	}
	b.bar.Update(done, total)
}

func (b *partBar) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end()
}

func (b *partBar) end() {
	if b.bar != nil {
		b.bar.Done()
		b.bar = nil
	}
}

// printPackage prints the result of pysdk pack, and with explain what the package
// is made of: as one result for programs, as one table after another for people.
// sent is where it was uploaded to, nil for nowhere.
func (a *app) printPackage(p *packing.Package, explain bool, sent *uploadResult) error {
	made := packResult{Package: *p, Upload: sent}
	if !explain {
		return a.print(made)
	}
	explained := packExplained{
		packResult: made,
		Biggest:    list(p.Biggest), LeftOut: list(leftOutRows(p.LeftOut)), Built: list(p.Built), Findings: list(p.Findings),
	}
	if a.output != ui.Table {
		return a.print(explained)
	}
	for _, part := range []struct {
		rows   int
		result ui.Result
	}{
		{1, made},
		{len(p.Biggest), biggestList(p.Biggest)},
		{len(p.LeftOut), leftOutList(explained.LeftOut)},
		{len(p.Built), builtList(p.Built)},
		{len(p.Findings), findingsList(p.Findings)},
	} {
		if part.rows == 0 {
			continue
		}
		if err := a.print(part.result); err != nil {
			return err
		}
	}
	return nil
}

// packResult is the result of pysdk pack.
type packResult struct {
	packing.Package
	Upload *uploadResult `json:"upload,omitempty"`
}

// View shows what was made.
func (r packResult) View() ui.View {
	v := ui.Details{
		{Key: "Package", Value: r.Path},
		{Key: "Size", Value: fmt.Sprintf("%s, of %s in %d files (%.0f%%)", ui.Bytes(r.Size), ui.Bytes(r.Content), r.Files, 100*float64(r.Size)/float64(max(r.Content, 1)))},
		{Key: "SHA-256", Value: r.SHA256},
		{Key: "Time", Value: shortDuration(r.Millis)},
	}
	if r.Python != "" {
		v = append(v, ui.Detail{Key: "Python", Value: r.Python})
	}
	checked := "not tried"
	if r.Checked {
		checked = "unpacked and tried"
	}
	v = append(v, ui.Detail{Key: "Checked", Value: checked})
	if r.Upload == nil {
		return v
	}
	return append(v, ui.Detail{Key: "Address", Value: r.Upload.target()})
}

// packExplained is the result of pysdk pack --explain.
type packExplained struct {
	packResult
	Biggest  []packing.Directory `json:"biggest"`
	LeftOut  []leftOutRow        `json:"left_out"`
	Built    []packing.Built     `json:"compiled_in"`
	Findings []packing.Finding   `json:"findings"`
}

// list makes an empty list of none, which JSON tells apart.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// biggestList lists the biggest directories.
type biggestList []packing.Directory

// View has a line a directory.
func (l biggestList) View() ui.View {
	t := ui.List{Header: []string{"directory", "files", "size"}}
	for _, d := range l {
		t.Rows = append(t.Rows, []any{d.Name, d.Files, ui.Bytes(d.Bytes)})
	}
	return t
}

// leftOutRow is what was left out for one reason.
type leftOutRow struct {
	Why   string   `json:"why"`
	Count int      `json:"count"`
	Names []string `json:"names"`
}

// leftOutRows sorts what was left out by reason, the most frequent first.
func leftOutRows(all []pack.LeftOut) []leftOutRow {
	var rows []leftOutRow
	at := map[string]int{}
	for _, l := range all {
		i, ok := at[l.Why]
		if !ok {
			i = len(rows)
			at[l.Why] = i
			rows = append(rows, leftOutRow{Why: l.Why})
		}
		rows[i].Count++
		rows[i].Names = append(rows[i].Names, l.Name)
	}
	slices.SortStableFunc(rows, func(a, b leftOutRow) int { return cmp.Compare(b.Count, a.Count) })
	return rows
}

// leftOutList lists what was left out.
type leftOutList []leftOutRow

// View has a line a reason, with the first names.
func (l leftOutList) View() ui.View {
	const shown = 3
	t := ui.List{Header: []string{"left out", "number", "why"}}
	for _, row := range l {
		names := strings.Join(row.Names[:min(shown, len(row.Names))], "\n")
		if len(row.Names) > shown {
			names += "\n..."
		}
		t.Rows = append(t.Rows, []any{names, row.Count, row.Why})
	}
	return t
}

// builtList lists what is compiled into the environment.
type builtList []packing.Built

// View has a line a file and directory.
func (l builtList) View() ui.View {
	t := ui.List{Header: []string{"compiled into", "directory", "times"}}
	for _, b := range l {
		t.Rows = append(t.Rows, []any{b.File, b.Directory, b.Times})
	}
	return t
}

// findingsList lists what was found in the environment.
type findingsList []packing.Finding

// View has a line a finding.
func (l findingsList) View() ui.View {
	t := ui.List{Header: []string{"file", "severity", "what"}}
	for _, f := range l {
		t.Rows = append(t.Rows, []any{f.File, f.Severity, f.Text})
	}
	return t
}
