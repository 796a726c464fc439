package portable

import (
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// addPip adds pip, and setuptools for the Pythons that environments have it in.
func (b *builder) addPip() error {
	wanted := []string{"pip"}
	if b.python.Major == 3 && b.python.Minor < 12 {
		wanted = append(wanted, "setuptools")
	}
	for _, name := range wanted {
		ok, err := b.addBundled(name)
		if err == nil && !ok {
			ok, err = b.addInstalled(name)
		}
		if err != nil {
			return err
		}
		if !ok && name == "pip" {
			b.find(Warning, "", "install pip for "+b.python.Executable, "the interpreter has no pip to bring along")
		}
	}
	return nil
}

// addBundled unpacks one of the wheels that ensurepip installs in new
// environments.
func (b *builder) addBundled(name string) (bool, error) {
	dirs := []string{filepath.Join(b.python.Stdlib, "ensurepip", "_bundled"), b.python.WheelDir}
	if b.python.BasePrefix == "/usr" {
		dirs = append(dirs, "/usr/share/python-wheels") // which need a Python as new as the distribution's
	}
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		wheels, err := filepath.Glob(filepath.Join(dir, name+"-*-none-any.whl"))
		if err != nil || len(wheels) == 0 {
			continue
		}
		return true, b.addWheel(wheels[len(wheels)-1])
	}
	return false, nil
}

// packages is where packages lie in the tree.
func (b *builder) packages() string { return b.stdlib + "/site-packages" }

// largestWheel bounds a file of a wheel, in bytes.
const largestWheel = 64 << 20

// addWheel unpacks a wheel of pure Python.
func (b *builder) addWheel(file string) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	defer z.Close()
	for _, f := range z.File {
		if f.FileInfo().IsDir() || !filepath.IsLocal(f.Name) {
			continue
		}
		data, err := readZipped(f)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", file, f.Name, err)
		}
		b.put(path.Join(b.packages(), f.Name), 0o644, data)
	}
	for name := range b.items {
		dir, base := path.Split(name)
		if base == "RECORD" && path.Dir(path.Clean(dir)) == b.packages() && b.items[dir+"INSTALLER"] == nil {
			if err := b.install(path.Clean(dir)); err != nil {
				return err
			}
		}
	}
	return nil
}

func readZipped(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, largestWheel))
}

// install does for an unpacked wheel what an installer does besides: it makes
// its programs, and notes them and itself.
func (b *builder) install(info string) error {
	record, err := b.items[info+"/RECORD"].content()
	if err != nil {
		return err
	}
	lines := bytes.NewBuffer(record)
	note := func(name string, data []byte) {
		sum := sha256.Sum256(data)
		fmt.Fprintf(lines, "%s,sha256=%s,%d\n", relative(b.packages(), name), base64.RawURLEncoding.EncodeToString(sum[:]), len(data))
	}
	add := func(name string, mode fs.FileMode, data []byte) {
		b.put(name, mode, data)
		note(name, data)
	}
	add(info+"/INSTALLER", 0o644, []byte("pip\n"))
	if points := b.items[info+"/entry_points.txt"]; points != nil {
		text, err := points.content()
		if err != nil {
			return err
		}
		for _, p := range programs(text) {
			if p.name == "pip3" || strings.HasPrefix(p.name, "pip3.") || strings.HasPrefix(p.name, "pip-") {
				continue // as of the Python that the wheel was built with
			}
			names := []string{p.name}
			if p.name == "pip" {
				names = []string{"pip", "pip3", "pip" + b.python.Name()}
			}
			for _, name := range names {
				add("bin/"+name, 0o755, fmt.Appendf(nil, programText, launcher("bin", "bin/python"), p.module, p.function, p.function))
			}
		}
	}
	b.items[info+"/RECORD"].setData(lines.Bytes())
	return nil
}

// programText is a program that calls a function of a package.
const programText = `%simport sys
from %s import %s
if __name__ == "__main__":
    sys.exit(%s())
`

// entryPoint is a program that a package wants.
type entryPoint struct{ name, module, function string }

// programs returns the programs that the file entry_points.txt of a package
// wants.
func programs(text []byte) []entryPoint {
	var list []entryPoint
	section := ""
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		module, function, ok2 := strings.Cut(strings.TrimSpace(value), ":")
		if section == "[console_scripts]" && ok && ok2 {
			list = append(list, entryPoint{strings.TrimSpace(name), module, function})
		}
	}
	return list
}

// addInstalled copies a package that is installed for the interpreter.
func (b *builder) addInstalled(name string) (bool, error) {
	for _, dir := range b.python.SysPath {
		if info, err := os.Stat(filepath.Join(dir, name, "__init__.py")); err != nil || !info.Mode().IsRegular() {
			continue
		}
		parts := []string{name}
		for _, pattern := range []string{name + "-*.dist-info", name + "-*.egg-info"} {
			infos, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				return false, err
			}
			for _, p := range infos {
				parts = append(parts, filepath.Base(p))
			}
		}
		if name == "setuptools" {
			parts = append(parts, "pkg_resources", "_distutils_hack", "distutils-precedence.pth")
		}
		for _, part := range parts {
			if err := b.addPart(dir, part); err != nil {
				return false, err
			}
		}
		if name == "pip" {
			for _, program := range []string{"pip", "pip3", "pip" + b.python.Name()} {
				b.put("bin/"+program, 0o755, fmt.Appendf(nil, programText, launcher("bin", "bin/python"), "pip._internal.cli.main", "main", "main"))
			}
		}
		return true, nil
	}
	return false, nil
}

// addPart adds a directory or file of a directory of packages.
func (b *builder) addPart(dir, part string) error {
	source := filepath.Join(dir, part)
	info, err := os.Stat(source)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // not every version has all of them
	}
	if err != nil {
		return err
	}
	name := path.Join(b.packages(), part)
	if !info.IsDir() {
		b.file(name, source, info)
		return nil
	}
	return b.addDir(name, source, func(_ string, d fs.DirEntry) string { return keepBytecode(d.Name()) })
}

// launcher returns the first lines of a Python program in a directory of the
// tree: they make a shell run the interpreter that lies where it is from there,
// and are a string to Python. A path that began a line with #! would have to be
// absolute.
func launcher(dir, interpreter string) string {
	rel := relative(dir, interpreter)
	return "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'" + rel + "' \"$0\" \"$@\"\n' '''\n"
}
