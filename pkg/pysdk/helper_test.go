//go:build unix

package pysdk

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/openeas/eascmd/pkg/pysdk/python"
)

// interpreter returns one of this machine, or skips.
func interpreter(t *testing.T, version string) *python.Interpreter {
	t.Helper()
	i, err := python.Preferred(t.Context(), python.FindOptions{Version: version}, usable)
	if err != nil {
		t.Fatal(err)
	}
	if i == nil {
		t.Skip("missing: Python " + version)
	}
	return i
}

// several returns the interpreters that tests go through: that of PATH, the
// oldest and the newest, and one that a distribution brings.
func several(t *testing.T) []*python.Interpreter {
	t.Helper()
	all, err := python.Find(t.Context(), python.FindOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(i *python.Interpreter) bool { return !usable(i) || i.Virtual() })
	if len(all) == 0 {
		t.Skip("missing: a Python 3")
	}
	list := all[:1]
	rest := slices.Clone(all[1:])
	slices.SortFunc(rest, func(a, b *python.Interpreter) int { return a.Minor - b.Minor })
	for n, i := range rest {
		if n == 0 || n == len(rest)-1 || i.Prefix == "/usr" {
			list = append(list, i)
		}
	}
	return list
}

func bundled(t *testing.T) *SDK {
	t.Helper()
	sdk, err := Bundled()
	if err != nil {
		t.Fatal(err)
	}
	return sdk
}

// said is a log that a failing test shows.
func said(t *testing.T) *bytes.Buffer {
	var log bytes.Buffer
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return &log
}

// create makes an environment.
func create(t *testing.T, opts Options) *Environment {
	t.Helper()
	opts.Log = said(t)
	opts.Warn = func(text string) { t.Error(text) }
	env, err := Create(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// output runs a program and returns what it prints on standard output.
func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(python.Environ(os.Environ()), "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_ROOT_USER_ACTION=ignore")
	cmd.Dir = t.TempDir()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// listing describes all that is in a directory: names, modes, contents.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + info.ModTime().String() + " " + string(data)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " " + target
		}
		all[strings.TrimPrefix(path, dir)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// wheel makes a package with a program of its own, so that a test needs no
// index. It returns the directory it lies in.
func wheel(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	s := &SDK{Version: "1.0"}
	s.files = []sdkFile{{name + ".py", fmt.Appendf(nil, "def main():\n    import sys\n    print(%q, sys.prefix)\n", name)}}
	info := name + "-1.0.dist-info"
	s.files = append(s.files,
		sdkFile{info + "/METADATA", fmt.Appendf(nil, "Metadata-Version: 2.1\nName: %s\nVersion: 1.0\n", name)},
		sdkFile{info + "/WHEEL", s.wheelInfo()},
		sdkFile{info + "/entry_points.txt", fmt.Appendf(nil, "[console_scripts]\n%s = %s:main\n", name, name)},
	)
	record := s.record(s.files)
	record.name = info + "/RECORD"
	record.data = bytes.ReplaceAll(record.data, []byte(s.distInfo()), []byte(info))
	f, err := os.Create(filepath.Join(dir, name+"-1.0-py3-none-any.whl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writeZip(f, append(s.files, record)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// backends lists those that work here without network.
func backends() []Backend {
	if runtime.GOOS == "linux" {
		return []Backend{Copy, Venv}
	}
	return []Backend{Venv}
}

// quick is the back end for tests to which it does not matter.
func quick() Backend { return backends()[0] }
