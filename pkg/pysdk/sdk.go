package pysdk

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/workers"
)

// sdkPackage is the name of the package for import and for pip.
const sdkPackage = "allspark"

// sdkPython is the oldest Python that the bundled package runs on.
const sdkPython = "3.8"

// SDK is the package allspark as eascmd carries it.
type SDK struct {
	Version string
	files   []sdkFile // sorted by name
}

// sdkFile is a file of an installed package or a wheel.
type sdkFile struct {
	name string // from site-packages on, with slashes
	data []byte
}

// versionLine is where the package says its version.
var versionLine = regexp.MustCompile(`(?m)^__version__ = "([0-9][0-9A-Za-z.+]*)"`)

// Bundled returns the package that is built into eascmd.
func Bundled() (*SDK, error) {
	fsys, err := fs.Sub(workers.Python, "python")
	if err != nil {
		return nil, err
	}
	return ReadSDK(fsys)
}

// ReadSDK reads the package from a file system that has its directory
// "allspark".
func ReadSDK(fsys fs.FS) (*SDK, error) {
	s := &SDK{}
	err := fs.WalkDir(fsys, sdkPackage, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if e.Name() == "__pycache__" {
				return fs.SkipDir
			}
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		if m := versionLine.FindSubmatch(data); m != nil && path.Ext(name) == ".py" {
			s.Version = string(m[1])
		}
		s.files = append(s.files, sdkFile{name, data})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the package %s: %w", sdkPackage, err)
	}
	if s.Version == "" {
		return nil, fmt.Errorf("the package %s says no version", sdkPackage)
	}
	return s, nil
}

// distInfo is the directory with what pip knows of the package.
func (s *SDK) distInfo() string { return sdkPackage + "-" + s.Version + ".dist-info" }

// metadata is the file METADATA, which the wheel and the installed package
// share.
func (s *SDK) metadata() []byte {
	return fmt.Appendf(nil, `Metadata-Version: 2.1
Name: %s
Version: %s
Summary: Processors in Python for Alibaba Cloud PAI-EAS
License: Apache-2.0
Requires-Python: >=%s
Description-Content-Type: text/plain

The interface of EAS for processors in Python, as eascmd brings it: pure Python,
without dependencies.
`, sdkPackage, s.Version, sdkPython)
}

// wheelInfo is the file WHEEL.
func (s *SDK) wheelInfo() []byte {
	return []byte(`Wheel-Version: 1.0
Generator: eascmd
Root-Is-Purelib: true
Tag: py3-none-any
`)
}

// record makes the list of all files with their hashes and sizes, which is the
// last of them.
func (s *SDK) record(files []sdkFile) sdkFile {
	name := s.distInfo() + "/RECORD"
	var b strings.Builder
	for _, f := range files {
		sum := sha256.Sum256(f.data)
		fmt.Fprintf(&b, "%s,sha256=%s,%d\n", f.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(f.data))
	}
	fmt.Fprintf(&b, "%s,,\n", name)
	return sdkFile{name, []byte(b.String())}
}

// installed lists the files of the installed package.
func (s *SDK) installed() []sdkFile {
	files := append(s.packaged(), sdkFile{s.distInfo() + "/INSTALLER", []byte("eascmd\n")}, sdkFile{s.distInfo() + "/REQUESTED", nil})
	return append(files, s.record(files))
}

// packaged lists the files that a wheel and the installed package have in
// common.
func (s *SDK) packaged() []sdkFile {
	files := append([]sdkFile(nil), s.files...)
	return append(files, sdkFile{s.distInfo() + "/METADATA", s.metadata()}, sdkFile{s.distInfo() + "/WHEEL", s.wheelInfo()})
}

// writeTo installs the package into a directory for packages, as pip would:
// pip lists, checks and removes it.
func (s *SDK) writeTo(site string) error {
	for _, f := range s.installed() {
		name := filepath.Join(site, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return fault.New(fault.Failed, "install the package %s: %w", sdkPackage, err)
		}
		if err := os.WriteFile(name, f.data, 0o666); err != nil {
			return fault.New(fault.Failed, "install the package %s: %w", sdkPackage, err)
		}
	}
	return nil
}

// installedSDK returns the version of the package allspark in a directory for
// packages; empty where there is none.
func installedSDK(sites ...string) string {
	for _, site := range sites {
		found, err := filepath.Glob(filepath.Join(site, sdkPackage+"-*.dist-info"))
		if err == nil && len(found) > 0 {
			return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), sdkPackage+"-"), ".dist-info")
		}
	}
	return ""
}
