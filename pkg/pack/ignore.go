package pack

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// IgnoreFile is the name of the file that says what is left out of a package.
const IgnoreFile = ".easignore"

// usual is what no package needs: what version control, editors, tests and
// Python itself leave in a directory.
const usual = `
.git
.hg
.svn
__pycache__
*.pyc
*.pyo
.venv
venv
node_modules
.idea
.vscode
.DS_Store
*.swp
.pytest_cache
.mypy_cache
.ruff_cache
.ipynb_checkpoints
/.easignore
`

// Ignore says what is left out of a package. The rules are those of a
// .gitignore file: a pattern a line; # begins a comment, ! takes back, a slash
// at the end means directories only, a slash anywhere else makes the pattern one
// of the whole path, ** stands for any number of directories; the last pattern
// that matches decides.
//
// Two things are different. What is in a directory that is left out can be taken
// back, by a pattern with a slash that names it: data and !data/small.csv. And
// the environment is only touched by patterns that begin with ENV/, since a
// pattern such as data or *.md would take files from the packages in it.
//
// The zero value leaves out nothing.
type Ignore struct {
	rules []rule
}

type rule struct {
	why      string   // the pattern and where it is from
	parts    []string // of the pattern, between slashes
	anchored bool     // it matches the whole path, not just its last part
	dirs     bool     // it only matches directories
	negated  bool
}

// DefaultIgnore leaves out what no package needs.
func DefaultIgnore() *Ignore {
	ig := &Ignore{}
	for pattern := range strings.Lines(usual) {
		if err := ig.AddPattern(strings.TrimSuffix(pattern, "\n"), "default"); err != nil {
			panic(err) // the list above is wrong
		}
	}
	return ig
}

// Add adds the rules in r, which come after those that are there. name is the
// file's: reasons have its last element and the line.
func (ig *Ignore) Add(r io.Reader, name string) error {
	s := bufio.NewScanner(r)
	for line := 1; s.Scan(); line++ {
		text := s.Text()
		if line == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if err := ig.AddPattern(text, fmt.Sprintf("%s:%d", filepath.Base(name), line)); err != nil {
			return fault.New(fault.Description, "%s:%d: %w", name, line, err)
		}
	}
	if err := s.Err(); err != nil {
		return fault.New(fault.Description, "%s: %w", name, err)
	}
	return nil
}

// AddPattern adds one rule. A comment and an empty line are none. source is what
// is said of where it is from.
func (ig *Ignore) AddPattern(text, source string) error {
	text = trimSpaces(strings.TrimSuffix(text, "\r"))
	if text == "" || text[0] == '#' {
		return nil
	}
	r := rule{why: text + " (" + source + ")"}
	pattern, negated := strings.CutPrefix(text, "!")
	r.negated = negated
	pattern, r.dirs = strings.CutSuffix(pattern, "/")
	r.anchored = strings.Contains(pattern, "/")
	pattern = strings.TrimPrefix(pattern, "/")
	for part := range strings.SplitSeq(pattern, "/") {
		// path.Match knows [^a] alone.
		part = strings.ReplaceAll(part, "[!", "[^")
		if _, err := path.Match(part, ""); err != nil {
			return fmt.Errorf("the pattern %s is not valid", quote(text))
		}
		switch part {
		case "":
			return fmt.Errorf("the pattern %s has an empty part", quote(text))
		case ".", "..":
			return fmt.Errorf("the pattern %s matches nothing: a pattern begins at the directory that is packed", quote(text))
		}
		r.parts = append(r.parts, part)
	}
	ig.rules = append(ig.rules, r)
	return nil
}

// trimSpaces removes spaces at the end, but for one behind a backslash.
func trimSpaces(s string) string {
	for strings.HasSuffix(s, " ") && !strings.HasSuffix(s, `\ `) || strings.HasSuffix(s, "\t") {
		s = s[:len(s)-1]
	}
	return s
}

// Excluded reports whether a file or directory is left out, and why.
func (ig *Ignore) Excluded(name string, dir bool) (why string, out bool) {
	v := verdict{rule: -1}
	for i, c := range name {
		if c == '/' {
			v = ig.below(v, name[:i], true)
		}
	}
	v = ig.below(v, name, dir)
	return v.why, v.out
}

// verdict is what the rules say of a path.
type verdict struct {
	out  bool
	rule int // the one that leaves it out, else -1
	why  string
}

// below returns the verdict of a path whose directory has another one.
func (ig *Ignore) below(parent verdict, name string, dir bool) verdict {
	env := inEnv(name)
	for i := len(ig.rules) - 1; i > parent.rule; i-- {
		r := &ig.rules[i]
		if parent.out && !(r.negated && r.anchored) || env && r.parts[0] != EnvDir || !r.matches(name, dir) {
			continue
		}
		if r.negated {
			return verdict{rule: -1}
		}
		return verdict{out: true, rule: i, why: r.why}
	}
	return parent
}

// mayTakeBack reports whether a rule could take back something in a directory that
// is left out.
func (ig *Ignore) mayTakeBack(v verdict, dir string) bool {
	for _, r := range ig.rules[v.rule+1:] {
		if r.negated && r.anchored && beginsLike(r.parts, dir) {
			return true
		}
	}
	return false
}

// beginsLike reports whether what a pattern matches may lie in a directory.
func beginsLike(parts []string, dir string) bool {
	for part := range strings.SplitSeq(dir, "/") {
		switch {
		case len(parts) == 0:
			return false
		case parts[0] == "**":
			return true
		}
		if ok, _ := path.Match(parts[0], part); !ok {
			return false
		}
		parts = parts[1:]
	}
	return len(parts) > 0
}

func (r *rule) matches(name string, dir bool) bool {
	if r.dirs && !dir {
		return false
	}
	if !r.anchored {
		ok, _ := path.Match(r.parts[0], path.Base(name))
		return ok || r.parts[0] == "**"
	}
	return matchParts(r.parts, name)
}

// matchParts reports whether a pattern matches a whole path.
func matchParts(parts []string, name string) bool {
	for len(parts) > 0 {
		if parts[0] == "**" {
			if len(parts) == 1 {
				return name != "" // all that is in a directory, but not itself
			}
			for rest := name; ; {
				if matchParts(parts[1:], rest) {
					return true
				}
				_, after, more := strings.Cut(rest, "/")
				if !more {
					return false
				}
				rest = after
			}
		}
		if name == "" {
			return false
		}
		first, rest, _ := strings.Cut(name, "/")
		if ok, _ := path.Match(parts[0], first); !ok {
			return false
		}
		parts, name = parts[1:], rest
	}
	return name == ""
}
