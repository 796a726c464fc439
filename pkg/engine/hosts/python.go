package hosts

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/workers"
)

// PythonEntry is the name of the host's program in the directory that Python
// returns. It is run with the processor's program as its argument.
const PythonEntry = "eashost.py"

// Python returns the directory that holds the host for Python processors and
// the package allspark, which it writes at first use. Several programs may do
// so at the same time. The directory's name carries a hash of what is in it, so
// that versions of eascmd do not mix theirs.
func Python(opts Options) (string, error) {
	files, name, err := pythonFiles()
	if err != nil {
		return "", fault.New(fault.Failed, "read the host for Python processors: %w", err)
	}
	dir, err := opts.dir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	if pythonWhole(path, files) {
		return path, nil
	}
	if err := writePython(dir, path, files); err != nil {
		return "", cannotKeep("the host for Python processors", err)
	}
	return path, nil
}

// pythonFiles returns what the host consists of, by its slash-separated path,
// and the name of the directory for it.
func pythonFiles() (files map[string][]byte, name string, err error) {
	root, err := fs.Sub(workers.Python, "python")
	if err != nil {
		return nil, "", err
	}
	files = make(map[string][]byte)
	h := sha256.New()
	err = fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		files[path] = data
		io.WriteString(h, path)
		h.Write([]byte{0})
		sum := sha256.Sum256(data)
		h.Write(sum[:])
		return nil
	})
	return files, "eashost-python-" + hex.EncodeToString(h.Sum(nil))[:12], err
}

// pythonWhole reports whether all files are at path. Something may clean a cache
// directory by age, file by file.
func pythonWhole(path string, files map[string][]byte) bool {
	for name, data := range files {
		info, err := os.Stat(filepath.Join(path, filepath.FromSlash(name)))
		if err != nil || info.Size() != int64(len(data)) {
			return false
		}
	}
	return true
}

// writePython writes the files to path, a directory in dir, which appears whole.
// Of two that do so at the same time the first wins, with the same content.
func writePython(dir, path string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	removeAbandoned(dir, time.Now().Add(-time.Hour))
	temp, err := os.MkdirTemp(dir, buildPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	for name, data := range files {
		file := filepath.Join(temp, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return err
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	for range 10 {
		if err = os.Rename(temp, path); err == nil {
			return nil
		}
		if pythonWhole(path, files) {
			return nil
		}
		// What is there is not whole: a name of its own keeps a program that runs
		// from it undisturbed until it is gone.
		if err := os.Rename(path, temp+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		os.RemoveAll(temp + ".old")
	}
	return err
}
