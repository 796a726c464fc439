package check

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Bounds of the search through a Python processor's sources.
const (
	maxSources     = 2000
	maxSourceBytes = 4 << 20 // of one file: what is longer was not written by people
	maxDepth       = 6
)

// notSources are directories whose content is not the processor's own code.
var notSources = map[string]bool{
	"ENV": true, "venv": true, "node_modules": true, "__pycache__": true, "site-packages": true,
}

// PythonSources notes, by file and line, the absolute paths of EAS's workspace
// that the sources of a Python processor name. dir is the processor's directory,
// whose entries may be links; environments in it are left out.
func PythonSources(dir string) Report {
	report := Report{Path: dir}
	files := 0
	var walk func(path string, depth int)
	walk = func(path string, depth int) {
		entries, err := os.ReadDir(path)
		if err != nil {
			return
		}
		for _, e := range entries {
			name := e.Name()
			if files >= maxSources || len(report.Problems) >= maxPaths {
				return
			}
			full := filepath.Join(path, name)
			info, err := os.Stat(full)
			switch {
			case err != nil || strings.HasPrefix(name, ".") || notSources[name]:
			case info.IsDir() && depth < maxDepth && !isEnvironment(full):
				walk(full, depth+1)
			case info.Mode().IsRegular() && strings.HasSuffix(name, ".py") && info.Size() <= maxSourceBytes:
				files++
				report.sourcePaths(dir, full)
			}
		}
	}
	walk(dir, 0)
	return report
}

// isEnvironment reports whether a directory is a Python environment.
func isEnvironment(dir string) bool {
	for _, mark := range [...]string{"pyvenv.cfg", "conda-meta", "bin/python"} {
		if _, err := os.Lstat(filepath.Join(dir, mark)); err == nil {
			return true
		}
	}
	return false
}

func (r *Report) sourcePaths(dir, file string) {
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode()&fs.ModeType != 0 {
		return
	}
	rel, err := filepath.Rel(dir, file)
	if err != nil {
		rel = file
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxSourceBytes)
	for n := 1; lines.Scan() && len(r.Problems) < maxPaths; n++ {
		code, _, _ := bytes.Cut(lines.Bytes(), []byte("#"))
		for _, path := range appendPaths(nil, code) {
			path = strings.TrimRight(path, `,;:)]}\`)
			r.add(Note, "workspace-path", "use ../../model, or the environment variable EAS_MODEL_DIR",
				"%s names the path %s, which exists on EAS and not everywhere else", fmt.Sprintf("%s:%d", filepath.ToSlash(rel), n), path)
		}
	}
}
