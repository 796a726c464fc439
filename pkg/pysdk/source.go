package pysdk

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pysdk/python"
	"github.com/openeas/eascmd/pkg/store"
)

// Source is where the package allspark comes from: an *SDK, which eascmd
// carries, or what ParseSource returns.
type Source interface {
	// needs returns the oldest version of Python that it runs on; empty where
	// that is not known.
	needs() string
	// needsPip reports whether pip installs it.
	needsPip() bool
	// check refuses it before anything is made.
	check() error
	// install installs it into the environment of an interpreter and returns
	// its version.
	install(ctx context.Context, b *builder, i *python.Interpreter) (version string, err error)
}

// ParseSource understands the path of a wheel, source archive or directory, and
// the http or https address of a wheel or archive, which is fetched into the
// cache that fetch names.
func ParseSource(text string, fetch store.HTTPOptions) Source {
	if scheme, _, ok := strings.Cut(text, "://"); ok && (scheme == "http" || scheme == "https") {
		return remoteSource{text, fetch}
	}
	return fileSource(text)
}

func (s *SDK) needs() string  { return sdkPython }
func (s *SDK) needsPip() bool { return false }
func (s *SDK) check() error   { return nil }

func (s *SDK) install(ctx context.Context, b *builder, i *python.Interpreter) (string, error) {
	b.step("Installing allspark " + s.Version)
	if err := s.writeTo(i.Purelib); err != nil {
		return "", err
	}
	// So that the first start need not, and those of a user who may not write.
	dir := filepath.Join(i.Purelib, sdkPackage)
	if err := b.run(ctx, "compile the package allspark", i.Executable, "-I", "-m", "compileall", "-q", dir); err != nil {
		return "", err
	}
	return s.Version, nil
}

// fileSource is a wheel, a source archive or a directory.
type fileSource string

func (f fileSource) needs() string  { return "" }
func (f fileSource) needsPip() bool { return true }

func (f fileSource) check() error {
	info, err := os.Stat(string(f))
	if err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is a pipe or a device", string(f))
	}
	if err != nil {
		return fault.New(fault.Usage, "the package allspark: %w", err).
			WithHint("--sdk takes bundled, a wheel, a source directory, or an http or https address")
	}
	return nil
}

func (f fileSource) install(ctx context.Context, b *builder, i *python.Interpreter) (string, error) {
	b.step("Installing allspark from " + filepath.Base(string(f)))
	abs, err := filepath.Abs(string(f))
	if err != nil {
		return "", err
	}
	if err := b.pip(ctx, i, "install the package "+string(f), "install", abs); err != nil {
		return "", err
	}
	version := installedSDK(i.Purelib, i.Platlib)
	if version == "" {
		return "", fault.New(fault.Usage, "%s does not bring the package allspark", string(f))
	}
	return version, nil
}

// remoteSource is the address of a wheel or source archive.
type remoteSource struct {
	url   string
	fetch store.HTTPOptions
}

func (r remoteSource) needs() string  { return "" }
func (r remoteSource) needsPip() bool { return true }
func (r remoteSource) check() error   { return nil }

func (r remoteSource) install(ctx context.Context, b *builder, i *python.Interpreter) (string, error) {
	b.step("Fetching " + store.Mask(r.url))
	cached, err := store.FetchHTTP(ctx, r.url, r.fetch)
	if err != nil {
		return "", err
	}
	// pip goes by the file's name, which the cache does not keep.
	dir, err := os.MkdirTemp("", "eascmd-sdk-")
	if err != nil {
		return "", fault.New(fault.Failed, "install the package allspark: %w", err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, path.Base(store.NameOf(r.url)))
	if err := copyFile(name, cached); err != nil {
		return "", fault.New(fault.Failed, "install the package allspark: %w", err)
	}
	return fileSource(name).install(ctx, b, i)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
