package portable

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// nowhere is the directory that takes the place of the old one where nothing
// can be computed. By convention it exists on no system.
const nowhere = "/nonexistent"

// largestText bounds what is rewritten as a text, in bytes.
const largestText = 16 << 20

// editTexts rewrites the texts that name the old place, where it is known how.
func (b *builder) editTexts() error {
	for _, name := range slices.Sorted(maps.Keys(b.items)) {
		it := b.items[name]
		if !it.Mode.IsRegular() || it.Size > largestText || it.seen.kind != other {
			continue
		}
		installed := path.Dir(name) == b.packages()
		info := path.Dir(path.Dir(name)) == b.packages()
		var err error
		switch base := path.Base(name); {
		case installed && strings.HasSuffix(base, ".pth"):
			err = b.editPath(it)
		case installed && strings.HasSuffix(base, ".egg-link"):
			err = b.editEggLink(it)
		case installed && strings.HasPrefix(base, "__editable__") && strings.HasSuffix(base, ".py"):
			err = b.checkFinder(it)
		case info && base == "direct_url.json":
			err = b.editDirectURL(it)
		case path.Dir(name) == "bin" && total(it.seen.hits) == 0:
			err = b.editScript(it) // it may name a place of long ago
		case total(it.seen.hits) == 0:
		case strings.HasSuffix(base, ".pc"):
			err = b.editPkgConfig(it)
		default:
			err = b.editScript(it)
		}
		if err == nil {
			err = b.editRecorded(it)
		}
		if err != nil {
			return fmt.Errorf("rewrite %s: %w", origin(it), err)
		}
	}
	return nil
}

func total(hits map[string]int) int {
	n := 0
	for _, h := range hits {
		n += h
	}
	return n
}

// change gives a file another content, and looks at it again.
func (b *builder) change(it *item, data []byte) error {
	it.setData(data)
	return b.recount(it)
}

// oldName returns the name in the tree of a path on this machine.
func (b *builder) oldName(p string) (string, bool) {
	for _, old := range b.old {
		if rel, ok := below(filepath.Clean(p), old); ok {
			return rel, true
		}
	}
	return "", false
}

// interpreterOf returns the interpreter of the tree that a script's first line
// names. In bin/ that may be one of a place that the environment was moved or
// copied from; those in the system's directories are meant as they are.
func (b *builder) interpreterOf(it *item, program string) (string, bool) {
	if name, ok := b.oldName(program); ok {
		return name, true
	}
	dir, base := path.Split(path.Clean(program))
	dir = path.Clean(dir)
	if path.Dir(it.Name) != "bin" || !path.IsAbs(dir) || path.Base(dir) != "bin" || !isPythonName(base) || slices.Contains(systemPrefixes, path.Dir(dir)) {
		return "", false
	}
	return "bin/" + base, true
}

// firstLine splits the line that says which program runs a script: the
// program, its argument, and the rest of the text.
var firstLine = regexp.MustCompile(`^#! *([^ \t\r\n]+)([^\r\n]*)\r?\n`)

// coding is how a Python source says that it is not in UTF-8.
var coding = regexp.MustCompile(`^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)`)

// longLine are the first lines of a program whose interpreter has a long path.
var longLine = regexp.MustCompile(`^#!/bin/sh\r?\n'''exec' "?([^"\n]+?)"? "\$0" "\$@"\r?\n' '''\r?\n`)

// editScript makes a script find its interpreter from where it lies.
func (b *builder) editScript(it *item) error {
	text, err := it.content()
	if err != nil {
		return err
	}
	if m := longLine.FindSubmatch(text); m != nil {
		if name, ok := b.interpreterOf(it, string(m[1])); ok {
			return b.change(it, append([]byte(launcher(path.Dir(it.Name), b.interpreterName(name))), text[len(m[0]):]...))
		}
	}
	m := firstLine.FindSubmatch(text)
	if m == nil {
		return nil
	}
	name, ok := b.interpreterOf(it, string(m[1]))
	if !ok {
		return nil
	}
	rest := text[len(m[0]):]
	base := path.Base(name)
	second, _, _ := bytes.Cut(rest, []byte("\n"))
	c := coding.FindSubmatch(second)
	foreign := c != nil && !slices.Contains([]string{"utf-8", "utf8", "ascii", "us-ascii"}, strings.ToLower(string(c[1])))
	first := "#!/usr/bin/env " + base + "\n"
	if isPythonName(base) && !foreign {
		// The line that names the encoding would stand too low to be seen.
		if c != nil {
			rest = bytes.TrimPrefix(rest[len(second):], []byte("\n"))
		}
		first = launcher(path.Dir(it.Name), b.interpreterName(name))
	}
	return b.change(it, append([]byte(first), rest...))
}

// interpreterName returns the interpreter of the tree that one of the old
// place is now.
func (b *builder) interpreterName(name string) string {
	if b.items[name] != nil {
		return name
	}
	return "bin/python"
}

// editPath makes the directories in a .pth file relative, which is from where
// the file lies.
func (b *builder) editPath(it *item) error {
	text, err := it.content()
	if err != nil {
		return err
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		dir := strings.TrimSpace(line)
		if !filepath.IsAbs(dir) {
			out.WriteString(line)
			continue
		}
		rel, ok := b.fromPackages(it, dir)
		if !ok {
			out.WriteString(line)
			continue
		}
		out.WriteString(rel + "\n")
	}
	if out.String() == string(text) {
		return nil
	}
	return b.change(it, []byte(out.String()))
}

// fromPackages returns a directory that a file of site-packages names, relative
// to there. One that will not be there is a finding.
func (b *builder) fromPackages(it *item, dir string) (string, bool) {
	if name, ok := b.oldName(dir); ok {
		return relative(b.packages(), name), true
	}
	if b.root != "" {
		// Beside the environment lies the processor, which is packed with it.
		if rel, ok := below(filepath.Clean(dir), filepath.Dir(b.root)); ok && b.opts.Name != "" {
			b.find(Note, it.Name, "", "leads to %s, which has to lie beside the environment there too", dir)
			return path.Join(relative(b.packages(), "."), "..", rel), true
		}
	}
	b.find(Error, it.Name, "install it without --editable (-e), so that its code is in the environment",
		"an editable installation: its code is in %s, outside of the environment", dir)
	return "", false
}

// editEggLink makes the directory of an editable installation relative.
func (b *builder) editEggLink(it *item) error {
	text, err := it.content()
	if err != nil {
		return err
	}
	dir, rest, _ := strings.Cut(string(text), "\n")
	if !filepath.IsAbs(strings.TrimSpace(dir)) {
		return nil
	}
	rel, ok := b.fromPackages(it, strings.TrimSpace(dir))
	if !ok {
		return nil
	}
	return b.change(it, []byte(rel+"\n"+rest))
}

// mapping is where the finder of an editable installation says which packages
// are where.
var mapping = regexp.MustCompile(`(?m)^MAPPING[^=\n]*= *(\{.*\})`)

// quoted is an absolute path in a Python source.
var quoted = regexp.MustCompile(`'(/[^']*)'`)

// checkFinder tells which code an editable installation's finder leads to.
func (b *builder) checkFinder(it *item) error {
	text, err := it.content()
	if err != nil {
		return err
	}
	for _, m := range mapping.FindAllSubmatch(text, -1) {
		for _, dir := range quoted.FindAllSubmatch(m[1], -1) {
			b.find(Error, it.Name, "install it without --editable (-e), so that its code is in the environment",
				"an editable installation: its code is in %s, outside of the environment", dir[1])
		}
	}
	return nil
}

// editDirectURL leaves out where on this machine a package was installed from.
func (b *builder) editDirectURL(it *item) error {
	text, err := it.content()
	if err != nil {
		return err
	}
	var from struct {
		URL string `json:"url"`
	}
	if json.Unmarshal(text, &from) != nil {
		return nil // nobody can read it
	}
	if u, err := url.Parse(from.URL); err == nil && u.Scheme == "file" {
		delete(b.items, it.Name)
		b.leave(it.Name, "where on this machine the package was installed from")
	}
	return nil
}

// editPkgConfig makes the prefix of a library's description relative to where
// the description lies.
func (b *builder) editPkgConfig(it *item) error {
	text, err := it.content()
	if err != nil {
		return err
	}
	here := "${pcfiledir}/" + relative(path.Dir(it.Name), ".")
	for _, old := range b.old {
		text = replacePath(text, old, here)
	}
	return b.change(it, text)
}
