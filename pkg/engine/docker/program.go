package docker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/store"
)

// releases is where the programs of a release lie, in a directory by its tag.
const releases = "https://github.com/openeas/eascmd/releases/download"

// sumsName is the file of a release with the sums of its programs.
const sumsName = "SHA256SUMS"

// programOptions say where a program for a container comes from.
type programOptions struct {
	Executable string // empty means the running one
	Version    string // of the running one: which release fits it

	// CacheDir keeps what was downloaded; empty means the user's cache directory.
	CacheDir string
	CABundle string // a PEM file with certificate authorities, or empty

	// Releases is the address of the releases; empty means the usual one.
	Releases string

	Log      func(text string)
	Warn     func(text, hint string)
	Progress func(label string) (update func(done, total int64), done func())
}

// program returns the path of an eascmd that runs in containers of the daemon:
// for Linux and its CPU, and static, so that it needs nothing of an image. It is
// the running one where that fits, else the one beside it, else the release's.
func (d *Daemon) program(ctx context.Context, o programOptions) (string, error) {
	own := o.Executable
	if own == "" {
		var err error
		if own, err = os.Executable(); err != nil {
			return "", fault.New(fault.Failed, "find the program that is running: %w", err)
		}
	}
	arch := d.Arch()
	fits, static := linuxProgram(own, arch)
	if fits && static {
		return own, nil
	}
	name, released := releaseNames[arch]
	if released {
		for _, path := range besides(own, name) {
			if fits, static := linuxProgram(path, arch); fits && static {
				return path, nil
			}
		}
	}
	if fits {
		if o.Warn != nil {
			o.Warn(own+" is linked dynamically, and runs only in images with a C library that suits it", "build it with CGO_ENABLED=0, or use a released one")
		}
		return own, nil
	}
	if !released {
		return "", fault.New(fault.Missing, "the Docker daemon's CPU is %s, and there is no eascmd for it", arch).
			WithHint("use a daemon on amd64 or arm64, which EAS has")
	}
	return o.download(ctx, name)
}

// releaseNames are what a release calls the programs for Linux, by CPU.
var releaseNames = map[string]string{"amd64": "eascmd64", "arm64": "eascmd-linux-arm64"}

// besides returns where another program of the same release may lie: in the
// directory of the running one, and where `make build` puts it.
func besides(own, name string) []string {
	if resolved, err := filepath.EvalSymlinks(own); err == nil {
		own = resolved
	}
	dir := filepath.Dir(own)
	return []string{filepath.Join(dir, name), filepath.Join(dir, "..", "dist", name)}
}

// linuxProgram says whether a file is a program for Linux on a CPU, and whether
// it needs no dynamic linker.
func linuxProgram(path, arch string) (fits, static bool) {
	f, err := elf.Open(path)
	if err != nil {
		return false, false
	}
	defer f.Close()
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	if machine, ok := machines[arch]; !ok || f.Machine != machine || f.Class != elf.ELFCLASS64 {
		return false, false
	}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN || f.OSABI != elf.ELFOSABI_NONE && f.OSABI != elf.ELFOSABI_LINUX {
		return false, false
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return true, false
		}
	}
	return true, true
}

// release matches the version of a release, and not what `git describe` makes
// of a commit after one.
var release = regexp.MustCompile(`^v?(\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)[.\d]*)?)$`)

// download returns a program of this version's release, from the cache or the
// network.
func (o *programOptions) download(ctx context.Context, name string) (string, error) {
	parts := release.FindStringSubmatch(o.Version)
	if parts == nil {
		return "", fault.New(fault.Missing, "containers need the Linux program %s, which is not beside this one, and this version (%s) is no release to download it from",
			name, cmp.Or(o.Version, "unknown")).
			WithHint("`make build` makes dist/%s; put it beside this program", name)
	}
	tag := "v" + parts[1]
	cache := o.CacheDir
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", fault.New(fault.Missing, "no place to keep the program for containers: %w", err).
				WithHint("set HOME or XDG_CACHE_HOME")
		}
		cache = filepath.Join(dir, "eascmd")
	}
	// It gets there checked and as a whole, so that it is not checked again.
	path := filepath.Join(cache, "programs", tag, name)
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return path, nil
	}
	byHand := fmt.Sprintf("download %s of release %s by hand, and put it beside this program", name, tag)
	wrap := func(err error) error {
		f := fault.New(fault.KindOf(err), "get the program for containers, %s of release %s: %w", name, tag, err)
		if hint := fault.HintOf(err); hint != "" {
			return f.WithHint("%s; or %s", hint, byHand)
		}
		return f.WithHint("%s", byHand)
	}
	base := strings.TrimRight(cmp.Or(o.Releases, releases), "/") + "/" + tag + "/"
	fetch := store.HTTPOptions{CacheDir: filepath.Join(cache, "downloads"), CABundle: o.CABundle}
	sums, err := store.FetchHTTP(ctx, base+sumsName, fetch)
	if err != nil {
		return "", wrap(err)
	}
	want, err := sumOf(sums, name)
	if err != nil {
		return "", wrap(err)
	}
	if o.Log != nil {
		o.Log("downloading " + name + " of release " + tag + ", the program for containers, once")
	}
	if o.Progress != nil {
		update, done := o.Progress("downloading " + name)
		defer done()
		fetch.Progress = update
	}
	file, err := store.FetchHTTP(ctx, base+name, fetch)
	if err != nil {
		return "", wrap(err)
	}
	if err := keepProgram(file, path, want); err != nil {
		return "", wrap(err)
	}
	return path, nil
}

// sumOf returns the SHA-256 sum that a file in the form of sha256sum has for a
// name.
func sumOf(sums, name string) (string, error) {
	data, err := os.ReadFile(sums)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || strings.TrimPrefix(fields[1], "*") != name {
			continue
		}
		if sum, err := hex.DecodeString(fields[0]); err == nil && len(sum) == sha256.Size {
			return strings.ToLower(fields[0]), nil
		}
	}
	return "", fault.New(fault.Remote, "the release's %s has no sum for it", sumsName)
}

// keepProgram copies a file to path, to be executed, if it has the sum.
func keepProgram(file, path, want string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fault.New(fault.Missing, "make room for it: %w", err)
	}
	out, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return fault.New(fault.Failed, "keep it: %w", err)
	}
	defer os.Remove(out.Name())
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, hash), in)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fault.New(fault.Failed, "keep it: %w", err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != want {
		return fault.New(fault.Remote, "what came has the SHA-256 sum %s, and the release says %s", got, want).
			WithHint("something between here and the release changes what is downloaded")
	}
	if err := os.Chmod(out.Name(), 0o755); err != nil {
		return fault.New(fault.Failed, "keep it: %w", err)
	}
	if err := os.Rename(out.Name(), path); err != nil {
		return fault.New(fault.Failed, "keep it: %w", err)
	}
	return nil
}
