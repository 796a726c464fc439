package localtest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/service"
	"github.com/openeas/eascmd/pkg/store"
)

// Local is a file or directory of this machine that a description names.
type Local struct {
	Path string // absolute
	Dir  bool
}

// IsLocal reports whether an address in a description is a path of this
// machine, written as one or as file://.
func IsLocal(address string) bool {
	scheme, _, remote := strings.Cut(address, "://")
	return !remote || scheme == store.File
}

// FindLocal finds the file or directory of this machine that a field of a
// description names. The original takes a relative path from the current
// directory; beside the description is where people expect it. "." is there in
// both places: it is the description's own directory where the processor is in
// that; a directory of another name that is there in both is the one with the
// processor in it.
func FindLocal(d *service.Description, descriptionDir, field, address string) (Local, error) {
	path := strings.TrimPrefix(address, store.File+"://")
	tried := []string{path}
	if !filepath.IsAbs(path) {
		if beside := filepath.Join(descriptionDir, path); beside != filepath.Clean(path) {
			tried = append(tried, beside)
			if field == "processor_path" && holdsEntry(d, beside) && (filepath.Clean(path) == "." || !holdsEntry(d, path)) {
				tried = tried[1:]
			}
		}
	}
	var absolute []string
	for _, candidate := range tried {
		full, err := filepath.Abs(candidate)
		if err != nil {
			return Local{}, fault.New(fault.Failed, "%s: %w", field, err)
		}
		info, err := os.Stat(full)
		switch {
		case err == nil && (info.IsDir() || info.Mode().IsRegular()):
			return Local{full, info.IsDir()}, nil
		case err == nil:
			return Local{}, fault.New(fault.Description, "%s: %s is neither a file nor a directory", field, full)
		case !errors.Is(err, fs.ErrNotExist):
			return Local{}, fault.New(fault.Description, "%s: %w", field, err)
		}
		if !slices.Contains(absolute, full) {
			absolute = append(absolute, full)
		}
	}
	err := fault.New(fault.Description, "%s: there is no %s", field, strings.Join(absolute, " and no "))
	if field == "processor_path" {
		return Local{}, err.WithHint("build the processor first, or correct processor_path")
	}
	return Local{}, err.WithHint("a relative path starts at the current directory or at the description's")
}

// holdsEntry reports whether a directory has the processor's main file.
func holdsEntry(d *service.Description, dir string) bool {
	info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(d.ProcessorEntry)))
	return err == nil && d.ProcessorEntry != "" && info.Mode().IsRegular()
}
