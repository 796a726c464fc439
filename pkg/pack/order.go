package pack

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// EnvDir is the directory at a package's root that holds the Python environment.
const EnvDir = "ENV"

// record is an entry at its place in the archive.
type record struct {
	Entry
	same string // the name that comes before and is the same file; empty for most
	rank rank
}

// rank is what an entry is for. The lower ranks come first in an archive, so
// that what changes most often stands at its end.
type rank uint8

const (
	environment rank = iota
	model
	code
)

// inOrder returns the entries in the order in which they are written: by rank,
// and by path within one; every directory, also one that has no entry of its
// own, before what it holds. Of the names of one file all but the first refer
// to it.
//
// The error names an entry that cannot be part of an archive.
func inOrder(entries []Entry) ([]record, error) {
	leaves := make([]record, 0, len(entries))
	dirs := make(map[string]bool) // whether it holds something
	for _, e := range entries {
		if err := checkEntry(e); err != nil {
			return nil, fault.New(fault.KindOf(err), "entry %s cannot be packed: %w", quote(e.Name), err)
		}
		if e.Mode.IsDir() {
			if _, ok := dirs[e.Name]; !ok {
				dirs[e.Name] = false
			}
		} else {
			leaves = append(leaves, record{Entry: e, rank: rankOf(e)})
		}
		for dir := path.Dir(e.Name); dir != "." && !dirs[dir]; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	for name, full := range dirs {
		if !full { // where it belongs is said by nothing that it holds
			leaves = append(leaves, record{Entry: Entry{Name: name, Mode: fs.ModeDir}, rank: rankOf(Entry{Name: name})})
		}
	}
	slices.SortFunc(leaves, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), comparePaths(a.Name, b.Name))
	})

	all := make([]record, 0, len(leaves)+len(dirs))
	first := make(map[string]string)
	written := make(map[string]bool, len(leaves))
	for _, r := range leaves {
		if _, isDir := dirs[r.Name]; written[r.Name] || isDir && !r.Mode.IsDir() {
			return nil, fault.New(fault.Failed, "entry %s cannot be packed: the name comes twice", quote(r.Name))
		}
		written[r.Name] = true
		all = appendDirs(all, path.Dir(r.Name), r.rank, dirs)
		if r.Same != "" && r.Mode.IsRegular() {
			if name, ok := first[r.Same]; ok {
				r.same = name
			} else {
				first[r.Same] = r.Name
			}
		}
		all = append(all, r)
	}
	return all, nil
}

// appendDirs appends a directory and those above it, as far as they are not
// there yet.
func appendDirs(all []record, dir string, rank rank, missing map[string]bool) []record {
	if dir == "." || !missing[dir] {
		return all
	}
	missing[dir] = false
	all = appendDirs(all, path.Dir(dir), rank, missing)
	return append(all, record{Entry: Entry{Name: dir, Mode: fs.ModeDir}, rank: rank})
}

// checkEntry refuses what could not be unpacked again.
func checkEntry(e Entry) error {
	name, err := cleanName(e.Name)
	switch {
	case err != nil:
		return err
	case name != e.Name || name == ".":
		return errors.New("its name is not in the simplest form")
	case e.Mode.IsDir():
		return nil
	case e.Mode.IsRegular():
		if e.Size < 0 || e.Open == nil {
			return errors.New("it has no content")
		}
		return nil
	case e.Mode.Type() == fs.ModeSymlink:
		if leadsOut(e.Name, e.Link) {
			return fmt.Errorf("it is a link to %q, which %w", e.Link, errLeadsOut)
		}
		return nil
	}
	return fmt.Errorf("it is %s", kindOf(e.Mode))
}

// leadsOut reports whether a link, taken by itself, leads out of the archive or
// nowhere.
func leadsOut(name, target string) bool {
	if target == "" || isAbsolute(target) || strings.ContainsRune(target, 0) {
		return true
	}
	to := path.Join(path.Dir(name), target)
	return to == ".." || strings.HasPrefix(to, "../")
}

// rankOf says what an entry is for: by its name, and whatever is too large to
// be code is a model too.
func rankOf(e Entry) rank {
	if inEnv(e.Name) {
		return environment
	}
	if e.Mode.IsRegular() && e.Size > bigFile {
		return model
	}
	top, _, below := strings.Cut(e.Name, "/")
	if below && (top == "model" || top == "models") {
		return model
	}
	switch strings.ToLower(path.Ext(e.Name)) {
	case ".bin", ".ckpt", ".gguf", ".h5", ".hdf5", ".joblib", ".keras", ".mar", ".model", ".npy", ".npz", ".onnx",
		".pb", ".pickle", ".pkl", ".pmml", ".pt", ".pth", ".safetensors", ".tflite", ".ubj", ".weights":
		return model
	}
	return code
}

// inEnv reports whether a name is the environment's directory or below it.
func inEnv(name string) bool {
	rest, ok := strings.CutPrefix(name, EnvDir)
	return ok && (rest == "" || rest[0] == '/')
}

// comparePaths orders paths so that a directory is followed by all that it
// holds.
func comparePaths(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x == '/' {
			return -1
		}
		if y == '/' {
			return 1
		}
		return cmp.Compare(x, y)
	}
	return cmp.Compare(len(a), len(b))
}
