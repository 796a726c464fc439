// Package hosts finds the host programs that make a worker out of a processor,
// or builds them from their embedded source.
//
// A host is looked for beside the running program, where a release puts it, then
// in the cache of earlier builds, and is built last. Its file name carries a
// hash of the source, the compiler's flags and the platform, so that versions
// of eascmd share a cache without mixing their hosts.
package hosts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/workers"
)

// Options say where a host may be kept.
type Options struct {
	// CacheDir holds built hosts, in its directory "hosts". Empty means the
	// user's cache directory.
	CacheDir string

	// Dirs may hold a host, right in them, and are looked into first. They are
	// set in a container, whose image brings a host or is given one: whether its
	// C library suits that is only seen by trying, so that every host is tried
	// out before it is taken.
	Dirs []string

	// Fleeting says that CacheDir goes with the run: nothing is made in it that
	// only later runs gain from.
	Fleeting bool

	// Log, where set, is told in one sentence what takes time.
	Log func(string)
}

// cppFlags compile and link the C host. pthread_create is exported (-rdynamic),
// because the host's own takes the place of the C library's.
var cppFlags = []string{"-std=gnu11", "-O2", "-pthread", "-rdynamic"}

// CPPFlags returns the flags that the C host is compiled and linked with, beside
// -ldl.
func CPPFlags() []string { return slices.Clone(cppFlags) }

// CPP returns the path of the host for C and C++ processors on this machine,
// which it builds at first use. Several programs may do so at the same time. A
// missing compiler is an error of kind Missing.
func CPP(ctx context.Context, opts Options) (string, error) {
	if runtime.GOOS != "linux" {
		return "", fault.New(fault.Missing, "C and C++ processors are Linux programs, and this machine runs %s", runtime.GOOS).
			WithHint("use a Linux machine: the Docker engine, which this system needs, is not part of this version yet")
	}
	name := CPPName(runtime.GOOS, runtime.GOARCH)
	path := prebuilt(runtime.GOOS+"-"+runtime.GOARCH, name, isProgram)
	var failures []failure
	if len(opts.Dirs) > 0 {
		path, failures = tried(ctx, name, opts.Dirs, path)
	}
	if path != "" {
		return path, nil
	}
	dir, err := opts.dir()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, name)
	if isProgram(path) {
		return path, nil
	}
	if err := buildCPP(ctx, dir, path, opts.Log); err != nil {
		return "", explainImage(err, opts.Dirs, failures)
	}
	return path, nil
}

// CPPName is the file name under which a release keeps the C host for a
// platform, in the directory hosts/<goos>-<goarch> beside eascmd.
func CPPName(goos, goarch string) string {
	h := sha256.New()
	for _, s := range [...]string{goos, goarch, strings.Join(cppFlags, " "), workers.CPPHost} {
		io.WriteString(h, s)
		h.Write([]byte{0})
	}
	return "eashost-cpp-" + hex.EncodeToString(h.Sum(nil))[:12]
}

// prebuilt returns the path of a host that came with the running program, in a
// directory beside it, and that is as it has to be, or "".
func prebuilt(dir, name string, is func(path string) bool) string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	for _, hosts := range [...]string{"hosts", "../lib/eascmd/hosts"} {
		if path := filepath.Join(filepath.Dir(exe), hosts, dir, name); is(path) {
			return path
		}
	}
	return ""
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o100 != 0
}

func (o Options) dir() (string, error) {
	cache := o.CacheDir
	if cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fault.New(fault.Missing, "no place to keep the built host: %w", err).
				WithHint("set HOME or XDG_CACHE_HOME")
		}
		cache = filepath.Join(base, "eascmd")
	}
	return filepath.Join(cache, "hosts"), nil
}

// cannotKeep is the error for a host that there is no place for.
func cannotKeep(host string, err error) error {
	return fault.New(fault.Failed, "%s cannot be kept: %w", host, err).
		WithHint("make the directory writable, or set XDG_CACHE_HOME to one that is")
}
